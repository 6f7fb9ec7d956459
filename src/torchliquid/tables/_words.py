"""Columns of text: as features, a column of 0 and 1 for each word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables._columns import Column, Notify
from torchliquid.tables._values import Numbers, is_mostly_numbers, to_numbers

if TYPE_CHECKING:
    pass

MOST_WORDS = 12
"""Of a text that is a feature; of more, the most frequent count, and one column is for the rest."""
OTHER = "other"
REPEATED = 5
"""Rows that a word has on average, where a column is one of categories."""


def words_of(column: Column, what: str, notify: Notify) -> dict[str, Numbers] | None:
    """A column of few words as a column for each, 1 where it is the word and 0 elsewhere.

    A missing cell is none of them: all its columns are 0. Words that elsewhere mean a missing
    number, such as ``None`` or ``NA``, are words.

    Returns:
        The columns by their names, words in alphabetical order; None where the column is no
        category: most cells are numbers, or hardly any word comes twice.

    Raises:
        TorchliquidError: one word stands in every row.
    """
    texts = column.cells[column.cells.notna()].astype(str)
    if not len(texts) or is_mostly_numbers(to_numbers(texts.str.strip())):
        return None
    counts = texts.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(counts) == 1 and len(texts) == len(column.cells):
        raise TorchliquidError(
            f"{what} holds {counts.index[0]!r} in every row: leave it out, it tells nothing"
        )
    frequent = counts.index if len(counts) <= MOST_WORDS else counts.index[: MOST_WORDS - 1]
    if counts[frequent].sum() < REPEATED * len(frequent):
        return None
    tell_alike(list(counts.index), what, notify)
    levels = sorted(frequent)
    cells = column.cells.astype(object)
    found = {f"{column.name}={word}": (cells == word).to_numpy(np.float64) for word in levels}
    rare = len(counts) - len(frequent)
    if rare:
        other = OTHER if OTHER not in levels else f"{OTHER} words"
        found[f"{column.name}={other}"] = (cells.notna() & ~cells.isin(list(frequent))).to_numpy(
            np.float64
        )
    missing = len(cells) - len(texts)
    notify(
        f"{what[0].upper()}{what[1:]} is text: it counts as {len(found)} columns, 1 where it is "
        f"the word and 0 elsewhere ({', '.join(levels)}"
        + (f"; {rare} rarer words are one, {other!r}" if rare else "")
        + (f"; {missing} empty cells are none of them" if missing else "")
        + ")."
    )
    return found


def tell_alike(words: list[str], what: str, notify: Notify) -> None:
    """Say which words differ by blanks or case alone: people often mean one by them."""
    by_plain: dict[str, list[str]] = {}
    for word in words:
        by_plain.setdefault(" ".join(word.split()).casefold(), []).append(word)
    alike = [sorted(group) for group in by_plain.values() if len(group) > 1]
    if alike:
        listed = "; ".join(", ".join(map(repr, group)) for group in alike[:3])
        notify(
            f"{what} holds words that differ by blanks or capitals alone ({listed}): they count as "
            "different. If they are one, make them alike in the file."
        )
