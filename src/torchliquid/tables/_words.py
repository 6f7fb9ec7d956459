"""Columns of text: as features, a column of 0 and 1 for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables._columns import Column, Notify
from torchliquid.tables._values import Numbers, is_mostly_numbers, to_numbers

if TYPE_CHECKING:
    import pandas as pd

MOST_WORDS = 12
"""Of a text that is a feature; of more, the most frequent count, and one column is for the rest."""
OTHER = "other"
REPEATED = 5
"""Rows that a word has on average, where a column is one of categories."""


def words_of(
    column: Column, what: str, notify: Notify, levels: Sequence[str] | None = None
) -> dict[str, Numbers] | None:
    """Return a column of few words as a column for each, 1 where it is the word and 0 elsewhere.

    A missing cell is none of them: all its columns are 0. Words that elsewhere mean a missing
    number, such as ``None`` or ``NA``, are words.

    Args:
        column: of text.
        what: it, in messages.
        notify: gets how the column was read.
        levels: the words that have a column, known from another table; None: chosen here. Then a
            word that is none of them belongs to `OTHER`, or, where that is none, to no column.

    Returns:
        The columns by their names, words in alphabetical order; None where the column is no
        category: most cells are numbers, or hardly any word comes twice.

    Raises:
        TorchliquidError: one word stands in every row.
    """
    texts = column.cells[column.cells.notna()].astype(str)
    if levels is not None:
        return _of_levels(column, texts, what, notify, levels)
    if not len(texts) or is_mostly_numbers(to_numbers(texts.str.strip())):
        return None
    counts = texts.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(counts) == 1 and len(texts) == len(column.cells):
        raise TorchliquidError(
            f"{what} holds {counts.index[0]!r} in every row: leave it out, it tells nothing"
        )
    frequent = list(counts.index if len(counts) <= MOST_WORDS else counts.index[: MOST_WORDS - 1])
    if counts[frequent].sum() < REPEATED * len(frequent):
        return None
    note_lookalikes(list(counts.index), what, notify)
    words = sorted(frequent)
    rare = len(counts) - len(frequent)
    other = (OTHER if OTHER not in words else f"{OTHER} words") if rare else None
    found = _indicators(column, words, other)
    missing = len(column.cells) - len(texts)
    notify(
        f"{what[0].upper()}{what[1:]} is text: it counts as {len(found)} columns, 1 where it is "
        f"the word and 0 elsewhere ({', '.join(words)}"
        + (f"; {rare} rarer words are one, {other!r}" if rare else "")
        + (f"; {missing} empty cells are none of them" if missing else "")
        + ")."
    )
    return found


def _of_levels(
    column: Column, texts: pd.Series, what: str, notify: Notify, levels: Sequence[str]
) -> dict[str, Numbers]:
    """The columns of words that another table had."""
    other = next((word for word in (OTHER, f"{OTHER} words") if word in levels[-1:]), None)
    known = [word for word in levels if word != other]
    unseen = sorted(set(texts) - set(known))
    if unseen and other is None:
        notify(
            f"{what} holds words that were not there before ({', '.join(unseen[:3])}): they count "
            "as none of the known ones."
        )
    return _indicators(column, known, other)


def _indicators(column: Column, words: Sequence[str], other: str | None) -> dict[str, Numbers]:
    """1 where a cell is the word, 0 elsewhere, for each word, and for the rest of them."""
    cells = column.cells.astype(object)
    found = {f"{column.name}={word}": np.asarray(cells == word, np.float64) for word in words}
    if other is not None:
        others = cells.notna() & ~cells.isin(list(words))
        found[f"{column.name}={other}"] = np.asarray(others, np.float64)
    return found


def note_lookalikes(words: Sequence[str], what: str, notify: Notify) -> None:
    """Note which words differ by blanks or case alone: people often mean one by them."""
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
