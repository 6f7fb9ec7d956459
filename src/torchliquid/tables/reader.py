"""A table file as a series of numbers, checked: what a model may learn from, and when it was."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import escape_control
from torchliquid.tables._dates import CLOCK_COLUMNS, as_dates, calendar_columns, of_numbers
from torchliquid.tables._formats import read_columns
from torchliquid.tables._text_file import Columns, is_number
from torchliquid.tables._times import (
    Numbers,
    check_order,
    elapsed,
    late_rows,
    merged,
    moments,
    resampled,
)
from torchliquid.tables._values import Notify, categories, numbers
from torchliquid.tables.dialect import CsvDialect

if TYPE_CHECKING:
    import pandas as pd

LISTED_NAMES = 20
DUPLICATES = ("refuse", "first", "last", "mean")
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
        series_id: ``(N,)``, number of the series that a row is of, 0, 1, ... in turn; each has its
            rows together, and its times increase. None: there is one series.
        series_names: names of the series.
        series: name of the column that identifies them.
        future: columns whose value at the time to be predicted is known beforehand.
    """

    name: str
    columns: tuple[str, ...]
    values: Numbers
    times: Numbers | None = None
    time_unit: str | None = None
    time: str | None = None
    dates: Numbers | None = None
    notes: tuple[str, ...] = ()
    series_id: NDArray[np.int64] | None = None
    series_names: tuple[str, ...] = ()
    series: str | None = None
    future: tuple[str, ...] = ()


def read_table(
    path: Path | str,
    target: str,
    features: Sequence[str] = (),
    time: str | None = None,
    *,
    missing: Sequence[str] = (),
    dialect: CsvDialect | None = None,
    time_format: str | None = None,
    time_zone: str | None = None,
    sort: bool = False,
    duplicates: str = "refuse",
    every: str | None = None,
    series: str | None = None,
    future: Sequence[str] = (),
    calendar: Sequence[str] = (),
) -> Series:
    """Read the columns of a table file that a model is to see.

    Cells that are empty, NA or NaN are missing values; true and false count as 1 and 0. Messages
    count data rows from 1, not counting the header.

    Times are numbers, durations (``12:30:00``), or dates in any form that can be read in one way
    (see `torchliquid.tables._dates.as_dates`; UTC without a zone). Dates become seconds since the
    first row, or, if all are the same moment of a month (monthly, quarterly, yearly tables), months
    since the first row, so that the unequal lengths of months and years do not count as irregular
    spacing.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.pq`` or ``.npy``; see
            `torchliquid.tables._formats.read_columns`.
        target: name of the column to predict.
        features: names of further columns that the model sees, patterns such as ``"temp*"``, or
            ``"all"``: every other column of numbers.
        time: name of the column of time stamps, or several names with commas between, whose cells
            are joined by a blank; None: rows in order, equally spaced.
        missing: further cells of target and features that stand for a missing value, such as
            ``"-200"`` or ``"?"``; a number means all cells of its value.
        dialect: how a text file is written, where it can be read in two ways.
        time_format: how times are written, in `strptime`'s codes, such as ``"%d/%m/%Y %H.%M"``;
            None: found.
        time_zone: where clocks show the times that name no zone, as ``"Europe/Berlin"``: an hour
            that comes twice as clocks are put back is two hours. None: UTC.
        sort: put the rows in the order of their times; else times that run back are refused.
        duplicates: of several rows with the same time (after sorting) keep the ``"first"``, the
            ``"last"`` or their ``"mean"``; ``"refuse"``: an error says how many there are.
        every: resample to one row an interval, such as ``"1h"`` (for times that are numbers a
            number), with the mean of its values.
        future: features whose value at the time to be predicted is known beforehand.
        calendar: "hour", "weekday" or "month": of the time to be predicted, each as a sine and a
            cosine; dates only.
        series: name of a column that identifies several series, wherever their rows are; None:
            the table is one.

    Returns:
        The series; its name is the file's, without the suffix.

    Raises:
        TorchliquidError: the file cannot be read; a column is unknown, ambiguous, named twice,
            holds text or infinity, or no value at all; a time is missing, cannot be read, or does
            not come after the one before it.
    """
    path = Path(path)
    said_notes: list[str] = []
    columns = read_columns(path, dialect, said_notes.append)
    timed = _parts(columns, time)
    features = _named(columns, features, {target, *timed, *([series] if series else [])})
    _check_roles(target, features, timed)
    if series in {target, *features, *timed}:
        raise TorchliquidError(
            f"{series!r} identifies series: it cannot be target, feature or time"
        )
    names, values = [], []
    for role, name in (("target", target), *(("feature", feature) for feature in features)):
        column = _find(columns, name, path)
        if "ambiguous" in column.attrs:
            raise TorchliquidError(f"column {name!r} {column.attrs['ambiguous']}")
        numeric = _values(_blanked(column, missing), role, name, said_notes.append)
        names += list(numeric)
        values += list(numeric.values())
    wanted = (target, *features)
    stamps = _joined({name: _find(columns, name, path) for name in timed}) if timed else None
    table = np.stack(values, axis=1)
    if duplicates not in DUPLICATES:
        raise TorchliquidError(f"duplicates is {duplicates!r}: give {', '.join(DUPLICATES)}")
    series_id: NDArray[np.int64] | None = None
    series_names: tuple[str, ...] = ()
    if series is not None:
        series_id, series_names, order = _told_apart(_find(columns, series, path), series)
        table, stamps = table[order], None if stamps is None else stamps.iloc[order]
    unused = [column for column in columns if column[0] not in {*wanted, *timed, series}]
    times, unit, dates = None, None, None
    if stamps is not None:
        ordered = moments(stamps, f"time column {time!r}", time_format, time_zone)
        rows, kept = [], []
        for k, part in enumerate(_rows_of(series_id, len(ordered))):
            ordered_rows = part[np.argsort(ordered[part], kind="stable")] if sort else part
            if duplicates == "refuse":
                of = "" if series_id is None else f" of {series} {series_names[k]!r}"
                apart = _apart_hint(unused, late_rows(ordered), series)
                check_order(
                    ordered[ordered_rows],
                    stamps.iloc[ordered_rows],
                    f"time column {time!r}{of}",
                    apart,
                )
            single = merged(ordered[ordered_rows], table[ordered_rows], duplicates)
            rows.append(single if every is None else resampled(*single, every))
            kept.append(np.full(len(rows[-1][0]), k))
        ordered, table = (np.concatenate(part) for part in zip(*rows, strict=True))
        series_id = None if series_id is None else np.concatenate(kept)
        times, unit, dates = elapsed(ordered)
    elif every is not None:
        raise TorchliquidError(f"`every={every}` needs `time`: say which column holds the times")
    known = _known(future, names)
    if calendar:
        more = calendar_columns(dates, calendar, time_zone)
        table = np.column_stack([table, *more.values()])
        names += list(more)
        known += list(more)
    notes = (
        *said_notes,
        *(_several_series(unused) if series is None else ()),
        *(_backwards(unused) if time is None else ()),
    )
    return Series(
        name=escape_control(Path(path.stem).stem if path.suffix == ".gz" else path.stem),
        columns=tuple(map(escape_control, names)),
        values=table,
        times=times,
        time_unit=unit,
        time=None if time is None else escape_control(time),
        dates=dates,
        notes=notes,
        series_id=series_id,
        series_names=series_names,
        series=None if series is None else escape_control(series),
        future=tuple(map(escape_control, known)),
    )


def _known(future: Sequence[str], names: Sequence[str]) -> list[str]:
    """The features, by name, that are known beforehand; of text the columns of its words."""
    known = []
    for feature in future:
        matching = [n for n in names[1:] if n == feature or n.startswith(f"{feature}=")]
        if not matching:
            raise TorchliquidError(
                f"{feature!r} is to be known beforehand, but is no feature: the features are "
                f"{', '.join(names[1:]) or 'none'}"
            )
        known += matching
    return known


def _told_apart(
    cells: pd.Series, series: str
) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.int64]]:
    """Which series each row is of, their names, and the order that puts each together."""
    import pandas as pd

    missing = np.flatnonzero(cells.isna())
    if len(missing):
        raise TorchliquidError(
            f"column {series!r} identifies series, and is empty in data row {missing[0] + 1}: "
            "fill it in or delete the row"
        )
    codes, names = pd.factorize(cells)
    order = np.argsort(codes, kind="stable")
    return codes[order].astype(np.int64), tuple(escape_control(str(name)) for name in names), order


def _rows_of(series_id: NDArray[np.int64] | None, rows: int) -> list[NDArray[np.int64]]:
    """The rows of each series."""
    if series_id is None:
        return [np.arange(rows)]
    return np.split(np.arange(rows), np.cumsum(np.bincount(series_id))[:-1])


def _apart_hint(unused: Columns, late: NDArray[np.int64], series: str | None) -> str:
    """How to identify series where times run back: by a column that changes wherever they do."""
    if series is not None:
        return "or these are several series as well"
    for name, cells in unused:
        starts = _starts_of_runs(cells)
        if starts is not None and np.isin(late, starts).all():
            return f"if these are several series, one for each {name!r}: give `series={name!r}`"
    return "if the table holds several series, give the column that identifies them: `series`"


def _named(columns: Columns, features: Sequence[str], taken: set[str]) -> list[str]:
    """The features by name, patterns and "all" resolved to columns of numbers not yet taken."""
    names = [name for name, _ in columns]
    others = [
        name for name, cells in columns if name and name not in taken and _is_of_numbers(cells)
    ]
    matching: list[str] = []
    for feature in features:
        if feature in names:
            matching.append(feature)
        elif feature == "all" or set("*?[") & set(feature):
            pattern = "*" if feature == "all" else feature
            hits = [name for name in others if fnmatch.fnmatchcase(name, pattern)]
            if not hits:
                raise TorchliquidError(f"no column of numbers is named like {feature!r}")
            matching += [name for name in hits if name not in matching]
        else:
            matching.append(feature.strip() if feature.strip() in names else feature)
    return matching


def _is_of_numbers(cells: pd.Series) -> bool:
    try:
        numbers(cells, "")
    except TorchliquidError:
        return False
    return True


def _values(cells: pd.Series, role: str, name: str, notify: Notify) -> dict[str, Numbers]:
    """The column as numbers; a feature of few words as one column of 0 and 1 for each word."""
    try:
        return {name: numbers(cells, f"{role} {name!r}", notify)}
    except TorchliquidError:
        levels = categories(cells) if role == "feature" else None
        if levels is None:
            raise
    notify(
        f"Feature {name!r} is text: it counts as {len(levels)} columns, 1 where it is the word and "
        f"0 elsewhere ({', '.join(levels)})."
    )
    text = cells.astype(str)
    return {
        f"{name}={word}": np.where(cells.isna(), np.nan, text == word).astype(np.float64)
        for word in levels
    }


def _parts(columns: Columns, time: str | None) -> list[str]:
    """The names of the columns that a time is written in."""
    if time is None or "," not in time or any(name == time for name, _ in columns):
        return [] if time is None else [time]
    return [name.strip() for name in time.split(",")]


def _joined(columns: dict[str, pd.Series]) -> pd.Series:
    """The column of times, several as one: of year, month, day ... in numbers, or as words."""
    first, *others = columns.values()
    if not others:
        return first
    named = {name.strip().lower(): cells for name, cells in columns.items()}
    if set(named) <= set(CLOCK_COLUMNS) and "year" in named:
        return of_numbers(named)
    joined, there = first.astype(str), first.notna()
    for cells in others:
        joined, there = joined + " " + cells.astype(str), there & cells.notna()
    return joined.where(there)


def _starts_of_runs(cells: pd.Series) -> NDArray[np.int64] | None:
    """Where each run of a value begins, if every value has one run, and runs are long."""
    texts = cells.astype(str)
    starts = np.flatnonzero((texts != texts.shift()).to_numpy())
    return starts if 1 < len(starts) == texts.nunique() <= len(texts) / LEAST_RUN else None


def _several_series(unused: Columns) -> list[str]:
    """A note where a column of text identifies several series, one after the other."""
    for name, cells in unused:
        if cells.dtype.kind in "biufcM" or cells.isna().any():
            continue
        starts = _starts_of_runs(cells)
        if starts is not None:
            return [
                f"Column {name!r} is constant in {len(starts)} runs, as where a table holds "
                "several series one after the other: they were read as one. If they are several, "
                "give "
                f"`series={name!r}`."
            ]
    return []


def _backwards(unused: Columns) -> list[str]:
    """A note where a column that was not named as the time is one, and runs back."""
    for name, cells in unused:
        if cells.dtype.kind in "biufc" or cells.isna().any():
            continue
        try:
            stamps = as_dates(cells)
        except (ValueError, TypeError):
            continue
        if np.isnat(stamps).any() or len(stamps) < 2:
            continue
        back = int((np.diff(stamps) < np.timedelta64(0)).sum())
        if back:
            return [
                f"Column {name!r} holds dates that run back in {back} rows, and rows count as time "
                f"here, the first as the oldest: sort the table, or give `time={name!r}`."
            ]
    return []


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


def _find(columns: list[tuple[str, pd.Series]], wanted: str, path: Path) -> pd.Series:
    matching = [cells for name, cells in columns if name == wanted]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise TorchliquidError(
            f"{path} has {len(matching)} columns named {wanted!r}: rename all but one"
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
    texts = cells.astype(str).str.strip()
    hit = texts.isin(list(missing)) | pd.to_numeric(texts, errors="coerce").isin(numbers)
    return cells.mask(hit)
