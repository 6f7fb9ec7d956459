"""Which column of a table is what: target, features, time, series; and columns joined to times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables._columns import Column, Columns, find, named
from torchliquid.tables._dates import CLOCK_COLUMNS, of_numbers
from torchliquid.tables._header import is_date
from torchliquid.tables._values import is_number, numbers, to_numbers

if TYPE_CHECKING:
    import pandas as pd


class Roles(NamedTuple):
    """Which column is what."""

    target: Column
    features: list[Column]
    time: list[Column]
    series: Column | None
    unused: Columns


def find_roles(
    columns: Columns,
    path: Path | str,
    target: str,
    features: Sequence[str],
    time: str | None,
    series: str | None,
    missing: Sequence[str],
) -> Roles:
    """Find the columns by what people call them, and give each one role."""

    def is_of_numbers(column: Column) -> bool:
        try:
            numbers(blanked(column, missing), "")
        except TorchliquidError:
            return False
        return True

    wanted = find(columns, target, path)
    if is_date(wanted.name) and sum(is_date(c.name) for c in columns) > len(columns) / 2:
        raise TorchliquidError(
            f"{path} has a column for each date ({wanted.name!r}): a model reads one row for each "
            "time. Make rows of them, as pandas.melt does, and give `series` for the several lines"
        )
    timed = [find(columns, name, path) for name in _parts(columns, time)]
    identifies = None if series is None else find(columns, series, path)
    taken = [column.name for column in (wanted, *timed, identifies) if column is not None]
    seen = [find(columns, name, path) for name in named(columns, features, taken, is_of_numbers)]
    _check_roles(wanted.name, [c.name for c in seen], [c.name for c in timed])
    if identifies is not None and any(identifies is c for c in (wanted, *seen, *timed)):
        raise TorchliquidError(
            f"{series!r} identifies series: it cannot be target, feature or time"
        )
    used = (wanted, *seen, *timed, identifies)
    unused = [column for column in columns if not any(column is other for other in used)]
    return Roles(wanted, seen, timed, identifies, unused)


def called(columns: list[Column]) -> str:
    """The names of columns, with commas between; empty where one has none."""
    names = [column.name for column in columns]
    return ",".join(names) if all(names) else ""


def _parts(columns: Columns, time: str | None) -> list[str]:
    """The names of the columns that a time is written in."""
    if time is None or "," not in time or any(column.name == time for column in columns):
        return [] if time is None else [time]
    return [name.strip() for name in time.split(",")]


def _check_roles(target: str, features: Sequence[str], timed: Sequence[str]) -> None:
    if target in features:
        raise TorchliquidError(
            f"{target!r} is both target and feature: leave it out of the features (the model "
            "always sees the target's own current value)"
        )
    twice = [name for k, name in enumerate(features) if name in features[:k]]
    if twice:
        raise TorchliquidError(f"feature {twice[0]!r} is given twice: name each feature once")
    for name in timed:
        if name in (target, *features):
            role = "target" if name == target else "a feature"
            raise TorchliquidError(
                f"{name!r} is both {role} and the time column: give it one role (models get the "
                "time between rows anyway)"
            )


def blanked(column: Column, missing: Sequence[str]) -> Column:
    """The column without the cells that stand for a missing value."""
    import pandas as pd

    if not missing:
        return column
    cells = column.cells
    numeric = [float(word) for word in missing if is_number(word)]
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return column._replace(cells=cells.mask(cells.isin(numeric)))
    # a column that is text because of such marks alone is one of numbers afterwards
    texts = cells.astype(str).str.strip()
    hit = texts.isin(list(missing)) | (cells.notna() & to_numbers(texts).isin(numeric))
    return column._replace(cells=cells.mask(hit))


def with_target(columns: Columns, target: str) -> Columns:
    """The columns, with one of missing values for the target where there is none."""
    import pandas as pd

    if any(column.name == target for column in columns):
        return columns
    missing = pd.Series(np.full(len(columns[0].cells), np.nan))
    return [*columns, Column(target, missing)]


def joined_times(columns: list[Column]) -> pd.Series:
    """The column of times, several as one: of year, month, day ... in numbers, or as words."""
    first, *others = columns
    if not others:
        return _with_points(first)
    by_name = {column.name.strip().lower(): column.cells for column in columns}
    if len(by_name) == len(columns) and set(by_name) <= set(CLOCK_COLUMNS) and "year" in by_name:
        return of_numbers(by_name)
    joined, there = first.cells.astype(str), first.cells.notna()
    for column in others:
        joined = joined + " " + column.cells.astype(str)
        there &= column.cells.notna()
    return joined.where(there)


def _with_points(column: Column) -> pd.Series:
    """The cells, as numbers where they are such with decimal commas."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(column.cells.dtype):
        return column.cells
    texts = column.cells.astype(str)
    if texts.str.fullmatch(r"[+-]?\d+,\d+|\d+").all() and texts.str.contains(",").any():
        return pd.Series(numbers(column, f"time column {column.name!r}"))
    return column.cells
