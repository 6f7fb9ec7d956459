"""Columns of a table file, not yet interpreted, and how people name them."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torchliquid.errors import TorchliquidError

if TYPE_CHECKING:
    import pandas as pd

Notify = Callable[[str], None]
LISTED_NAMES = 20


@dataclass(frozen=True)
class Marks:
    """How numbers are written in cells that are text.

    Args:
        decimal: mark before the decimals, as given; None: found column by column.
        thousands: mark between groups of three digits, as given.
        commas: whether a column may have decimal commas though nobody said so.
        points: whether some column of the table has decimal points.
    """

    decimal: str | None = None
    thousands: str | None = None
    commas: bool = False
    points: Callable[[], bool] = lambda: False


class Column(NamedTuple):
    """A column as its file holds it: cells of text files are text, NaN where they are empty."""

    name: str
    cells: pd.Series
    marks: Marks = Marks()


Columns = list[Column]


def find(columns: Columns, wanted: str, path: Path | str) -> Column:
    """The column of that name; else of that pattern, or of that number from 1.

    Blanks and line breaks count as one blank, and ``Unnamed: 0`` is what pandas calls a column
    without a name.

    Raises:
        TorchliquidError: none or several fit.
    """
    for fits in _ways(columns, wanted):
        matching = [columns[k] for k in fits]
        if len(matching) == 1:
            return matching[0]
        if matching:
            listed = ", ".join(sorted({repr(column.name) for column in matching}))
            raise TorchliquidError(
                f"{path} has {len(matching)} columns named {wanted!r}"
                + (f" ({listed})" if set("*?[") & set(wanted) else "")
                + ": rename all but one, or give its number, counted from 1 ("
                + ", ".join(str(k + 1) for k in fits)
                + ")"
            )
    names = [column.name for column in columns if column.name]
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted.lower(), lower, n=1)
    hint = f" (did you mean {lower[near[0]]!r}?)" if near else ""
    listed = ", ".join(repr(name) for name in names[:LISTED_NAMES])
    more = len(names) - LISTED_NAMES
    raise TorchliquidError(
        f"{path} has no column {wanted!r}{hint}: its columns are {listed}"
        + (f" and {more} more" if more > 0 else "")
    )


def _ways(columns: Columns, wanted: str) -> list[list[int]]:
    """The places of the columns that fit a name, by each way in turn."""
    names = [column.name for column in columns]
    loose, plain = " ".join(wanted.split()), [" ".join(name.split()) for name in names]
    unnamed = re.fullmatch(r"Unnamed: (\d+)", wanted)
    number = int(wanted) - 1 if wanted.isdecimal() else -1
    is_pattern = bool(set("*?[") & set(wanted))
    ways: list[list[int]] = [
        [k for k, name in enumerate(names) if name == wanted],
        [k for k, name in enumerate(plain) if name == loose],
        # numpy.savetxt and others write the first name behind a comment mark
        [k for k, name in enumerate(plain) if name == loose.lstrip("#% ")],
        [k for k in range(len(names)) if unnamed and k == int(unnamed[1]) and not names[k]],
        [k for k, name in enumerate(names) if is_pattern and fnmatch.fnmatchcase(name, wanted)],
        [number] if 0 <= number < len(names) else [],
    ]
    return ways


def named(
    columns: Columns,
    features: Sequence[str],
    taken: Collection[str],
    fits: Callable[[Column], bool],
) -> list[str]:
    """The features by name, patterns and "all" resolved.

    Args:
        columns: of the table.
        features: names, patterns such as ``"temp*"``, or ``"all"``.
        taken: columns that have a role already: no pattern stands for them.
        fits: whether a column can be a feature.
    """
    names = [column.name for column in columns]
    others: list[str] | None = None
    matching: list[str] = []
    for feature in features:
        if feature in names:
            matching.append(feature)
        elif feature == "all" or set("*?[") & set(feature):
            if others is None:
                others = [c.name for c in columns if c.name and c.name not in taken and fits(c)]
            pattern = "*" if feature == "all" else feature
            hits = [name for name in others if fnmatch.fnmatchcase(name, pattern)]
            if not hits:
                raise TorchliquidError(f"no column of numbers is named like {feature!r}")
            matching += [name for name in hits if name not in matching]
        else:
            matching.append(feature)
    return matching
