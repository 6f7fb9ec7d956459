"""A table file as a series of numbers, checked: what a model may learn from, and when it was."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.checks import visible
from torchliquid.data.formats import Columns, Marks, is_number, read_columns
from torchliquid.errors import TorchliquidError

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]
LISTED_NAMES = 20
SHOWN_CHARACTERS = 40
DUPLICATES = ("refuse", "first", "last", "mean")
_COMPACT = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
LEAST_RUN = 10
"""Rows that a series in a table of several has at least, on average."""


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers in time order.

    Args:
        name: what reports call it.
        columns: C names, the target's first.
        values: ``(N, C)``, one row a time; NaN where missing.
        times: ``(N,)``, increasing; None where the rows only have an order.
        time_unit: unit of ``times``, if known.
        time: name of the column that the times come from.
        dates: ``(N,)``, moments in UTC as seconds since 1970, where the times are dates.
        notes: what a reader of the file should know.
    """

    name: str
    columns: tuple[str, ...]
    values: Numbers
    times: Numbers | None = None
    time_unit: str | None = None
    time: str | None = None
    dates: Numbers | None = None
    notes: tuple[str, ...] = ()


def read_table(
    path: Path | str,
    target: str,
    features: Sequence[str] = (),
    time: str | None = None,
    *,
    missing: Sequence[str] = (),
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    time_format: str | None = None,
    sort: bool = False,
    duplicates: str = "refuse",
) -> Series:
    """Read the columns of a table file that a model is to see.

    Cells that are empty, NA or NaN are missing values; true and false count as 1 and 0. Messages
    count data rows from 1, not counting the header.

    Times are numbers, or dates and times in ISO 8601 (``2015-02-04 17:51:00``, ``20150204``, with
    or without a time zone; UTC without). Dates become seconds since the first row, or, if all are
    the same moment of a month (monthly, quarterly, yearly tables), months since the first row, so
    that the unequal lengths of months and years do not count as irregular spacing.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.pq`` or ``.npy``; see
            `torchliquid.data.formats.read_columns`.
        target: name of the column to predict.
        features: names of further columns that the model sees, patterns such as ``"temp*"``, or
            ``"all"``: every other column of numbers.
        time: name of the column of time stamps, or several names with commas between, whose cells
            are joined by a blank; None: rows in order, equally spaced.
        missing: further cells of target and features that stand for a missing value, such as
            ``"-200"`` or ``"?"``; a number means all cells of its value.
        decimal: mark before decimals, in a text file; None: found column by column.
        thousands: mark between groups of three digits, in a text file; None: none.
        encoding: of a text file; None: UTF-8, or UTF-16 where it begins with its mark.
        time_format: how times are written, in `strptime`'s codes, such as ``"%d/%m/%Y %H.%M"``;
            None: ISO 8601, whole numbers such as 20150204, or numbers.
        sort: put the rows in the order of their times; else times that run back are refused.
        duplicates: of several rows with the same time (after sorting) keep the ``"first"``, the
            ``"last"`` or their ``"mean"``; ``"refuse"``: an error says how many there are.

    Returns:
        The series; its name is the file's, without the suffix.

    Raises:
        TorchliquidError: the file cannot be read; a column is unknown, ambiguous, named twice,
            holds text or infinity, or no value at all; a time is missing, cannot be read, or does
            not come after the one before it.
    """
    path = Path(path)
    columns = read_columns(path, Marks(decimal, thousands, encoding))
    timed = _parts(columns, time)
    features = _named(columns, features, {target, *timed})
    _check_roles(target, features, timed)
    wanted = (target, *features)
    found = [_find(columns, name, path) for name in wanted]
    for name, column in zip(wanted, found, strict=True):
        if "ambiguous" in column.attrs:
            raise TorchliquidError(f"column {name!r} {column.attrs['ambiguous']}")
    cells = [_blanked(column, missing) for column in found]
    stamps = _joined([_find(columns, name, path) for name in timed]) if timed else None
    roles = ("target", *["feature"] * len(features))
    values = [_numbers(c, f"{r} {n!r}") for c, r, n in zip(cells, roles, wanted, strict=True)]
    table, times, unit, dates = np.stack(values, axis=1), None, None, None
    if duplicates not in DUPLICATES:
        raise TorchliquidError(f"duplicates is {duplicates!r}: give {', '.join(DUPLICATES)}")
    if stamps is not None:
        what = f"time column {time!r}"
        ordered = _moments(stamps, what, time_format)
        if sort:
            order = np.argsort(ordered, kind="stable")
            ordered, table, stamps = ordered[order], table[order], stamps.iloc[order]
        if duplicates != "refuse":
            ordered, table = _merged(ordered, table, duplicates)
        else:
            _check_order(ordered, stamps, what)
        times, unit, dates = _times(ordered)
    names = tuple(map(visible, wanted))
    stamp = None if time is None else visible(time)
    unused = [column for column in columns if column[0] not in {*wanted, *timed}]
    notes = (*_several_series(unused), *(_backwards(unused) if time is None else ()))
    stem = visible(Path(path.stem).stem if path.suffix == ".gz" else path.stem)
    return Series(stem, names, table, times, unit, stamp, dates, notes)


def _named(columns: Columns, features: Sequence[str], taken: set[str]) -> list[str]:
    """The features by name, patterns and "all" resolved to columns of numbers not yet taken."""
    import pandas as pd

    names = [name for name, _ in columns]
    others = [
        name
        for name, cells in columns
        if name and name not in taken and pd.api.types.is_numeric_dtype(cells.dtype)
    ]
    found: list[str] = []
    for feature in features:
        if feature in names:
            found.append(feature)
        elif feature == "all" or set("*?[") & set(feature):
            pattern = "*" if feature == "all" else feature
            hits = [name for name in others if fnmatch.fnmatchcase(name, pattern)]
            if not hits:
                raise TorchliquidError(f"no column of numbers is named like {feature!r}")
            found += [name for name in hits if name not in found]
        else:
            found.append(feature.strip() if feature.strip() in names else feature)
    return found


def _parts(columns: Columns, time: str | None) -> list[str]:
    """The names of the columns that a time is written in."""
    if time is None or "," not in time or any(name == time for name, _ in columns):
        return [] if time is None else [time]
    return [name.strip() for name in time.split(",")]


def _joined(columns: list[pd.Series]) -> pd.Series:
    """The column of times, several as one."""
    first, *others = columns
    if not others:
        return first
    joined, there = first.astype(str), first.notna()
    for cells in others:
        joined, there = joined + " " + cells.astype(str), there & cells.notna()
    return joined.where(there)


def _several_series(unused: Columns) -> list[str]:
    """A note where a column of text tells several series apart, one after the other."""
    for name, cells in unused:
        if cells.dtype.kind in "biufcM" or cells.isna().any():
            continue
        words = cells.astype(str)
        runs = int((words != words.shift()).sum())
        if 1 < runs == words.nunique() <= len(words) / LEAST_RUN:
            return [
                f"Column {name!r} is constant in {runs} runs, as where a table holds several "
                "series one after the other: they were read as one. If they are several, give each "
                "a file of its own."
            ]
    return []


def _backwards(unused: Columns) -> list[str]:
    """A note where a column that nobody named as the time is one, and runs back."""
    for name, cells in unused:
        if cells.dtype.kind in "biufc" or cells.isna().any():
            continue
        try:
            stamps = _as_dates(cells)
        except (ValueError, TypeError):
            continue
        if np.isnat(stamps).any() or len(stamps) < 2:
            continue
        back = int((np.diff(stamps) < np.timedelta64(0)).sum())
        if back:
            return [
                f"Column {name!r} holds dates that run back in {back} rows, and rows count as time "
                f"here, the first as the oldest: sort the table, or give --time {name!r}."
            ]
    return []


def _check_roles(target: str, features: Sequence[str], timed: Sequence[str]) -> None:
    if target in features:
        raise TorchliquidError(
            f"{target!r} is both target and feature: leave it out of the features (the model "
            "always sees the target's own current value)"
        )
    twice = [name for place, name in enumerate(features) if name in features[:place]]
    if twice:
        raise TorchliquidError(f"feature {twice[0]!r} is given twice: name each feature once")
    for name in timed:
        if name in (target, *features):
            role = "target" if name == target else "a feature"
            raise TorchliquidError(
                f"{name!r} is both {role} and the time column: give it one role (models get the "
                "time between rows anyway)"
            )


def _find(columns: list[tuple[str, pd.Series]], wanted: str, path: Path) -> pd.Series:
    found = [cells for name, cells in columns if name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise TorchliquidError(
            f"{path} has {len(found)} columns named {wanted!r}: rename all but one"
        )
    names = [name for name, _ in columns if name]
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted.lower(), lower, n=1)
    hint = f" (did you mean {lower[near[0]]!r}?)" if near else ""
    listed = ", ".join(repr(name) for name in names[:LISTED_NAMES])
    more = len(names) - LISTED_NAMES
    raise TorchliquidError(
        f"{path} has no column {wanted!r}{hint}: its columns are {listed}"
        + (f" and {more} more" if more > 0 else "")
    )


def _blanked(cells: pd.Series, missing: Sequence[str]) -> pd.Series:
    """The cells without those that stand for a missing value."""
    import pandas as pd

    if not missing:
        return cells
    numbers = [float(word) for word in missing if is_number(word)]
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.mask(cells.isin(numbers))
    # a column that is text because of such marks alone is one of numbers afterwards
    words = cells.astype(str).str.strip()
    hit = words.isin(list(missing)) | pd.to_numeric(words, errors="coerce").isin(numbers)
    return cells.mask(hit)


def _numbers(cells: pd.Series, what: str) -> Numbers:
    """The cells as numbers; NaN where missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        present = cells.notna()
        # Decimals and such through their text; true and false as they are.
        plain = [cell if isinstance(cell, bool) else str(cell) for cell in cells[present]]
        values = np.full(len(cells), np.nan)
        values[present.to_numpy()] = pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce")
        wrong = np.flatnonzero(present.to_numpy() & np.isnan(values))
        if len(wrong):
            raise TorchliquidError(
                f"{what} holds {_show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1}: give a "
                "column of numbers, with empty cells where a value is missing"
            )
    if np.isnan(values).all():
        raise TorchliquidError(f"{what} holds no value at all: give a column of numbers")
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise TorchliquidError(
            f"{what} is {values[infinite[0]]} in data row {infinite[0] + 1}: give finite numbers, "
            "with empty cells where a value is missing"
        )
    return values


def _moments(cells: pd.Series, what: str, time_format: str | None) -> NDArray[Any]:
    """The cells as numbers or as dates, whichever more of them are."""
    import pandas as pd

    missing = np.flatnonzero(cells.isna())
    if len(missing):
        raise TorchliquidError(
            f"{what} is empty in data row {missing[0] + 1}: fill it in or delete the row"
        )
    if time_format is not None:
        try:
            found = pd.to_datetime(cells.astype(str), format=time_format, utc=True, errors="coerce")
        except ValueError as error:
            raise TorchliquidError(f"time format {time_format!r} is none: {error}") from error
        wrong = np.flatnonzero(found.isna())
        if len(wrong):
            raise TorchliquidError(
                f"{what} holds {_show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1}, which is "
                f"not of the form {time_format!r} ({len(wrong)} such rows)"
            )
        stamps: NDArray[Any] = found.dt.tz_localize(None).to_numpy()
        return stamps
    numbers, stamps = _as_numbers(cells), _as_dates(cells)
    compact = pd.api.types.is_integer_dtype(cells.dtype) and not np.isnat(stamps).any()
    dates = compact or np.isnat(stamps).sum() < np.isnan(numbers).sum()
    wrong = np.flatnonzero(np.isnat(stamps) if dates else ~np.isfinite(numbers))
    if len(wrong):
        raise TorchliquidError(
            f"{what} holds {_show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1}: give finite "
            "numbers, dates and times like 2015-02-04T17:51:00, or --time-format, such as "
            "'%d.%m.%Y %H:%M'"
        )
    return stamps if dates else numbers


def _check_order(ordered: NDArray[Any], cells: pd.Series, what: str) -> None:
    """Times that repeat or run back are refused, with how many and where the first is."""
    late = np.flatnonzero(ordered[1:] <= ordered[:-1])
    if not len(late):
        return
    row = late[0] + 1  # counted from 1, the row before the offending one
    before, after = _show(cells.iloc[row - 1]), _show(cells.iloc[row])
    repeated = int((ordered[1:] == ordered[:-1]).sum())
    back = len(late) - repeated
    if ordered[row] == ordered[row - 1]:
        raise TorchliquidError(
            f"{what} is {before} in data row {row} and {after} in data row {row + 1}, the same "
            f"time ({repeated} such rows{f', {back} run back' if back else ''}): give "
            "--duplicates first, last or mean; if the hour repeats as clocks are put back, give "
            "times with their zone; if the table holds several series, give each its own file"
        )
    raise TorchliquidError(
        f"{what} goes back from {before} in data row {row} to {after} in data row {row + 1} "
        f"({back} such rows{f', {repeated} repeat a time' if repeated else ''}): sort the table by "
        "time, or give --sort; if it holds several series, give each its own file"
    )


def _merged(ordered: NDArray[Any], table: Numbers, keep: str) -> tuple[NDArray[Any], Numbers]:
    """Rows that share their time with the row before as one."""
    late = np.flatnonzero(ordered[1:] < ordered[:-1])
    if len(late):
        raise TorchliquidError(f"the times run back in {len(late)} rows: give --sort as well")
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(ordered))
    if keep == "first":
        return ordered[starts], table[starts]
    if keep == "last":
        return ordered[starts], table[ends - 1]
    there = ~np.isnan(table)
    count = np.add.reduceat(there, starts, axis=0)
    total = np.add.reduceat(np.where(there, table, 0.0), starts, axis=0)
    with np.errstate(invalid="ignore"):
        return ordered[starts], total / np.where(count, count, np.nan)


def _times(ordered: NDArray[Any]) -> tuple[Numbers, str | None, Numbers | None]:
    """Increasing times, their unit, and as moments where they are dates."""
    if ordered.dtype.kind != "M":
        return ordered, None, None
    return *_since_first(ordered), ordered.astype("datetime64[ms]").astype(np.float64) / 1000


def _as_numbers(cells: pd.Series) -> Numbers:
    """Numbers, NaN where a cell is none."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=np.float64)
    return pd.to_numeric(cells.astype(str), errors="coerce").to_numpy(dtype=np.float64)


def _compact(cells: pd.Series) -> NDArray[np.datetime64] | None:
    """Whole numbers such as 202012, 20201231 or 2020123123 as dates, where all of them are.

    In years from 1800 to 2200: other numbers are counters.
    """
    import pandas as pd

    words = cells.astype(str)
    form = _COMPACT.get(len(words.iloc[0])) if len(words) else None
    if (
        form is None
        or not words.str.fullmatch(rf"(1[89]|2[01])\d{{{len(words.iloc[0]) - 2}}}").all()
    ):
        return None
    stamps = pd.to_datetime(words, format=form, errors="coerce").to_numpy()
    return None if np.isnat(stamps).any() else stamps


def _as_dates(cells: pd.Series) -> NDArray[np.datetime64]:
    """Moments in UTC, NaT where a cell is none."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(cells.dtype):
        compact = _compact(cells)
        if compact is None:
            return np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
        return compact
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        stamps = pd.to_datetime(cells, utc=True)
    elif pd.api.types.is_float_dtype(cells.dtype):
        return np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
    else:
        stamps = pd.to_datetime(cells.astype(str), utc=True, format="ISO8601", errors="coerce")
    return stamps.dt.tz_localize(None).to_numpy()


def _since_first(stamps: NDArray[np.datetime64]) -> tuple[Numbers, str]:
    for shift in (np.timedelta64(0, "D"), np.timedelta64(1, "D")):  # the day after: ends of months
        months = (stamps + shift).astype("datetime64[M]")
        within = stamps + shift - months
        if (within == within[0]).all():
            return (months - months[0]).astype(np.float64), "months"
    return (stamps - stamps[0]) / np.timedelta64(1, "s"), "seconds"


def _show(cell: Any) -> str:
    text = repr(cell) if isinstance(cell, str) else str(cell)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
