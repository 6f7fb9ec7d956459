"""A table file as a series of numbers, checked: what a model may learn from, and when it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import escape_control, plural
from torchliquid.tables._columns import Column, Notify
from torchliquid.tables._dates import calendar_columns
from torchliquid.tables._formats import read_columns
from torchliquid.tables._frames import columns_of
from torchliquid.tables._grid import WEEKLY, elapsed
from torchliquid.tables._roles import blanked, called, find_roles, joined_times, with_target
from torchliquid.tables._times import check_order, late_rows, merged, moments, resampled
from torchliquid.tables._unused import apart_hint, backwards, several_series
from torchliquid.tables._values import Numbers, numbers
from torchliquid.tables._words import note_lookalikes, words_of
from torchliquid.tables._zones import CLOCK_CHANGES
from torchliquid.tables.dialect import CsvDialect

if TYPE_CHECKING:
    pass

DUPLICATES = ("refuse", "first", "last", "mean")


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
        words: of each feature of text, by its column's name, the words that have a column here.
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
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_table(
    path: Path | str | Any,
    target: str,
    features: Sequence[str] = (),
    time: str | None = None,
    *,
    missing: Sequence[str] = (),
    dialect: CsvDialect | None = None,
    time_format: str | None = None,
    time_zone: str | None = None,
    time_unit: str | None = None,
    clock_change: str = "ask",
    sort: bool = False,
    duplicates: str = "refuse",
    every: str | None = None,
    series: str | None = None,
    future: Sequence[str] = (),
    calendar: Sequence[str] = (),
    words: Mapping[str, Sequence[str]] | None = None,
    needs_target: bool = True,
) -> Series:
    """Read the columns of a table file that a model is to see.

    Cells that are empty, NA or NaN are missing values; true and false count as 1 and 0. A feature
    of words is a column of 0 and 1 for each word, and there NA is a word. Messages count data rows
    from 1, not counting the header.

    Times are numbers, durations (``12:30:00``), or dates in any form that can be read in one way
    (see `torchliquid.tables._dates.as_dates`; UTC without a zone). Dates become seconds since the
    first row, by the clocks of ``time_zone`` where all are the same time of day. Where a calendar
    makes them even they are counted by it (`torchliquid.tables._grid`): in months, if all are the
    same moment, or one of the ends, of a month; in rows, if they have the same times every week,
    such as business days.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.pq`` or ``.npy``; see
            `torchliquid.tables._formats.read_columns`. Or a table in memory: a DataFrame of pandas
            or polars, an Arrow table, or an array ``(T, C)``.
        target: name of the column to predict; where no column has that name, a pattern, or its
            number, counted from 1. So with every column that is asked for.
        features: names of further columns that the model sees, patterns such as ``"temp*"``, or
            ``"all"``: every other column of numbers.
        time: name of the column of time stamps, or several names with commas between, whose cells
            are joined by a blank; None: rows in order, equally spaced.
        missing: further cells of target and features that stand for a missing value, such as
            ``"-200"`` or ``"?"``; a number means all cells of its value.
        dialect: how the file is written, where it can be read in two ways.
        time_format: how times are written, in `strptime`'s codes, such as ``"%d/%m/%Y %H.%M"``;
            None: found.
        time_zone: where clocks show the times that name no zone, as ``"Europe/Berlin"``: an hour
            that comes twice as clocks are put back is two hours. An offset such as ``"+01:00"`` is
            a clock without changes. None: UTC.
        time_unit: of times that are numbers, if they are dates: ``"s"``, ``"ms"``, ``"us"``,
            ``"ns"``, ``"min"``, ``"h"`` or ``"D"`` since 1970, or ``"excel"``, days as spreadsheets
            count them. None: numbers stay numbers.
        clock_change: what a row is whose hour clocks showed twice, as they were put back, where the
            table shows it once: the ``"first"`` or the ``"last"`` of the two; ``"drop"`` leaves
            such rows out, and those of hours that clocks never showed; ``"ask"``: an error.
        sort: put the rows in the order of their times; else times that run back are refused.
        duplicates: of several rows with the same time (after sorting) keep the ``"first"``, the
            ``"last"`` or their ``"mean"``; ``"refuse"``: an error says how many there are.
        every: resample to one row an interval, with the mean of its values: ``"1h"``, ``"1D"``,
            ``"W-MON"`` (weeks from Mondays) or ``"MS"`` (months), by the clocks of ``time_zone``;
            for times that are numbers a number.
        future: features whose value at the time to be predicted is known beforehand.
        calendar: "hour", "weekday" or "month": of the time to be predicted, each as a sine and a
            cosine; dates only.
        series: name of a column that identifies several series by its text, wherever their rows
            are; None: the table is one.
        words: the words of each feature of text, as `Series.words` of another table has them; None:
            those of this table.
        needs_target: False: a table without the target is one whose target is missing throughout,
            as a plan of features is.

    Returns:
        The series; its name is the file's, without the suffix.

    Raises:
        TorchliquidError: the file cannot be read; a column is unknown, ambiguous, named twice,
            holds text or infinity, or no value at all; a time is missing, cannot be read, or does
            not come after the one before it.
    """
    if duplicates not in DUPLICATES:
        raise TorchliquidError(f"duplicates is {duplicates!r}: give {', '.join(DUPLICATES)}")
    if clock_change not in CLOCK_CHANGES:
        raise TorchliquidError(f"clock change is {clock_change!r}: give {', '.join(CLOCK_CHANGES)}")
    notes: list[str] = []
    if isinstance(path, (str, Path)):
        path = Path(path)
        columns, name = read_columns(path, dialect, notes.append), _stem(path)
    else:
        columns, name = columns_of(path), "table"
    if not needs_target:
        columns = with_target(columns, target)
    roles = find_roles(
        columns,
        path if isinstance(path, Path) else "the table",
        target,
        features,
        time,
        series,
        missing,
    )
    names, values = [], []
    known_words: dict[str, tuple[str, ...]] = {}
    for role, column in (("target", roles.target), *(("feature", c) for c in roles.features)):
        if role == "target" and not needs_target and column.cells.isna().all():
            names, values = [column.name], [np.full(len(column.cells), np.nan)]
            continue
        levels = (words or {}).get(column.name)
        numeric = _values(blanked(column, missing), role, notes.append, levels)
        if list(numeric) != [column.name]:
            known_words[column.name] = tuple(n.removeprefix(f"{column.name}=") for n in numeric)
        names += list(numeric)
        values += list(numeric.values())
    table = np.stack(values, axis=1)
    stamps = joined_times(roles.time) if roles.time else None
    series_id: NDArray[np.int64] | None = None
    series_names: tuple[str, ...] = ()
    if roles.series is not None:
        series_id, series_names, order = _identify_series(roles.series, notes.append)
        table, stamps = table[order], None if stamps is None else stamps.iloc[order]
    times, unit, dates = None, None, None
    if stamps is not None:
        what = f"time column {time!r}"
        ordered = moments(
            stamps,
            what,
            time_format,
            time_zone,
            time_unit=time_unit,
            clock_change=clock_change,
            notify=notes.append,
        )
        left = ordered == ordered  # NaT, of hours that a change of clocks leaves out, is not
        if not left.all():
            notes.append(f"{plural(int((~left).sum()), 'row')} of a change of clocks left out.")
            ordered, table, stamps = ordered[left], table[left], stamps[left]
            series_id = None if series_id is None else series_id[left]
        rows, kept = [], []
        for k, part in enumerate(_rows_of(series_id, len(ordered))):
            ordered_rows = part[np.argsort(ordered[part], kind="stable")] if sort else part
            if duplicates == "refuse":
                of = "" if series is None else f" of {series} {series_names[k]!r}"
                apart = apart_hint(roles.unused, late_rows(ordered), series)
                check_order(ordered[ordered_rows], stamps.iloc[ordered_rows], f"{what}{of}", apart)
            single = merged(ordered[ordered_rows], table[ordered_rows], duplicates)
            rows.append(single if every is None else resampled(*single, every, time_zone))
            kept.append(np.full(len(rows[-1][0]), k))
        ordered, table = (np.concatenate(part) for part in zip(*rows, strict=True))
        every_id = np.concatenate(kept)
        series_id = None if series_id is None else every_id
        times, unit, dates = elapsed(ordered, time_zone, np.diff(every_id, prepend=-1) != 0)
        if unit == WEEKLY:
            notes.append(
                "Rows have the same times every week, as business days or opening hours do: they "
                "count as evenly spaced, and the time between as none. To count it, resample "
                "(`every`)."
            )
    elif every is not None:
        raise TorchliquidError(f"`every={every}` needs `time`: say which column holds the times")
    known = _known(future, names)
    if calendar:
        more = calendar_columns(dates, calendar, time_zone)
        table = np.column_stack([table, *more.values()])
        names += list(more)
        known += list(more)
    if series is None:
        notes += several_series(roles.unused)
    if time is None:
        notes += backwards(roles.unused)
    return Series(
        name=escape_control(name),
        columns=tuple(map(escape_control, names)),
        values=table,
        times=times,
        time_unit=unit,
        time=None if time is None else escape_control(called(roles.time) or time),
        dates=dates,
        notes=tuple(notes),
        series_id=series_id,
        series_names=series_names,
        series=None if roles.series is None else escape_control(roles.series.name),
        future=tuple(map(escape_control, known)),
        words=known_words,
    )


def read_names(path: Path | str, dialect: CsvDialect | None = None) -> list[str]:
    """Return the names of all columns of a table file.

    Raises:
        TorchliquidError: the file cannot be read.
    """
    return [column.name for column in read_columns(Path(path), dialect)]


def _stem(path: Path) -> str:
    """A file's name without suffixes."""
    return Path(path.stem).stem if path.suffix == ".gz" else path.stem


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


def _identify_series(
    column: Column, notify: Notify
) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.int64]]:
    """Which series each row is of, their names, and the order that puts each together."""
    import pandas as pd

    missing = np.flatnonzero(column.cells.isna())
    if len(missing):
        raise TorchliquidError(
            f"column {column.name!r} identifies series, and is empty in data row {missing[0] + 1}: "
            "fill it in or delete the row"
        )
    codes, found = pd.factorize(column.cells)
    names = [str(name) for name in found]
    note_lookalikes(names, f"Column {column.name!r}, which identifies series,", notify)
    order = np.argsort(codes, kind="stable")
    return codes[order].astype(np.int64), tuple(map(escape_control, names)), order


def _rows_of(series_id: NDArray[np.int64] | None, rows: int) -> list[NDArray[np.int64]]:
    """The rows of each series."""
    if series_id is None:
        return [np.arange(rows)]
    return np.split(np.arange(rows), np.cumsum(np.bincount(series_id))[:-1])


def _values(
    column: Column, role: str, notify: Notify, levels: Sequence[str] | None
) -> dict[str, Numbers]:
    """The column as numbers; a feature of words as one column of 0 and 1 for each word."""
    if levels is not None:
        words = words_of(column, f"{role} {column.name!r}", notify, levels)
        return words or {}
    try:
        return {column.name: numbers(column, f"{role} {column.name!r}", notify)}
    except TorchliquidError:
        words = words_of(column, f"{role} {column.name!r}", notify) if role == "feature" else None
        if words is None:
            raise
        return words
