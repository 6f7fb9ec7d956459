"""Cells of a table as times: numbers or dates, in order, and none of them guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.tables._dates import as_dates

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]
SHOWN_CHARACTERS = 40
_CLOCK = r"\d+:\d{2}(:\d{2}(\.\d+)?)?"
"""A time without a date: hours, minutes, and maybe seconds since some start."""
MOST_ROWS = 20
"""Resampling makes at most so many rows of one."""


def moments(
    cells: pd.Series, what: str, time_format: str | None = None, zone: str | None = None
) -> NDArray[Any]:
    """The cells as numbers, as dates (in UTC) or as durations, whichever more of them are."""
    import pandas as pd

    missing = np.flatnonzero(cells.isna())
    if len(missing):
        raise TorchliquidError(
            f"{what} is empty or no date in data row {missing[0] + 1}: fill it in or delete the row"
        )
    if time_format is not None:
        return _of_format(cells, what, time_format, zone)
    if pd.api.types.is_timedelta64_dtype(cells.dtype):
        return cells.to_numpy()
    if not pd.api.types.is_numeric_dtype(cells.dtype):
        texts = cells.astype(str).str.strip()
        if texts.str.fullmatch(_CLOCK).all():
            return pd.to_timedelta(texts.where(texts.str.count(":") == 2, texts + ":00")).to_numpy()
    numbers = _as_numbers(cells)
    try:
        stamps = as_dates(cells, zone)
    except TorchliquidError as error:
        raise TorchliquidError(f"{what}: {error}") from error
    compact = pd.api.types.is_integer_dtype(cells.dtype) and not np.isnat(stamps).any()
    dates = compact or np.isnat(stamps).sum() < np.isnan(numbers).sum()
    wrong = np.flatnonzero(np.isnat(stamps) if dates else ~np.isfinite(numbers))
    if len(wrong):
        raise TorchliquidError(
            f"{what} holds {show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1} ({len(wrong)} "
            "such rows): give finite numbers, dates and times like 2015-02-04T17:51:00, or "
            "`time_format`, such as '%d.%m.%Y %H:%M'"
        )
    return stamps if dates else numbers


def _of_format(cells: pd.Series, what: str, time_format: str, zone: str | None) -> NDArray[Any]:
    import pandas as pd

    try:
        stamps = pd.to_datetime(cells.astype(str), format=time_format, errors="coerce")
    except ValueError as error:
        raise TorchliquidError(f"time format {time_format!r} is none: {error}") from error
    wrong = np.flatnonzero(stamps.isna())
    if len(wrong):
        raise TorchliquidError(
            f"{what} holds {show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1}, which is "
            f"not of the form {time_format!r} ({len(wrong)} such rows)"
        )
    return as_dates(stamps, zone)


def resampled(ordered: NDArray[Any], table: Numbers, every: str) -> tuple[NDArray[Any], Numbers]:
    """One row for each interval: the mean of the values in it, none where there is no row.

    Intervals of dates begin at whole multiples since 1970 (full hours for ``1h``); each is stamped
    with its beginning, and holds what was known at its end.
    """
    dated = ordered.dtype.kind in "mM"
    width = _width(every, dated=dated)
    unit = f"{ordered.dtype.kind}8[ns]"
    numbers = ordered.astype(unit).astype(np.int64) if dated else ordered
    bins = np.floor_divide(numbers, width).astype(np.int64)
    rows = int(bins[-1] - bins[0] + 1)
    if rows > MOST_ROWS * len(ordered):
        raise TorchliquidError(
            f"`every={every}` makes {rows:,} rows of {len(ordered):,}, most of them empty: give a "
            "longer interval"
        )
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    means = np.full((rows, table.shape[1]), np.nan)
    means[bins[starts] - bins[0]] = _means(table, starts)
    begins = (bins[0] + np.arange(rows)) * width
    stamps = begins.astype(np.int64).astype(unit) if dated else begins
    return stamps, means


def _means(table: Numbers, starts: NDArray[np.int64]) -> Numbers:
    """The mean of each run of rows, from these on; NaN where all of a run is missing."""
    there = ~np.isnan(table)
    count = np.add.reduceat(there, starts, axis=0, dtype=np.int64)
    total = np.add.reduceat(np.where(there, table, 0.0), starts, axis=0)
    return np.asarray(total / np.where(count, count, np.nan))


def _width(every: str, *, dated: bool) -> float | int:
    """An interval in nanoseconds, or in the unit of times that are numbers."""
    import pandas as pd

    try:
        width = pd.Timedelta(every).value if dated else float(every)
    except ValueError as error:
        wanted = "such as 15min, 1h or 1D" if dated else "a number, as the times are numbers"
        raise TorchliquidError(f"`every` is {every!r}: give {wanted}") from error
    if not width > 0:
        raise TorchliquidError(f"`every` is {every!r}: give an interval above 0")
    return width


def late_rows(ordered: NDArray[Any]) -> NDArray[np.int64]:
    """Rows (from 0) whose time is not after that of the row before."""
    return np.flatnonzero(ordered[1:] <= ordered[:-1]) + 1


def check_order(ordered: NDArray[Any], cells: pd.Series, what: str, apart: str) -> None:
    """Times that repeat or run back are refused, with how many and where the first is.

    ``apart``: what to do where the table holds several series.
    """
    late = late_rows(ordered) - 1
    if not len(late):
        return
    row = late[0] + 1  # counted from 1, the row before the offending one
    before, after = show(cells.iloc[row - 1]), show(cells.iloc[row])
    repeated = int((ordered[1:] == ordered[:-1]).sum())
    back = len(late) - repeated
    if ordered[row] == ordered[row - 1]:
        raise TorchliquidError(
            f"{what} is {before} in data row {row} and {after} in data row {row + 1}, the same "
            f"time ({repeated} such rows{f', {back} run back' if back else ''}): give "
            "`duplicates`: first, last or mean; if the hour repeats as clocks are put back, give "
            f"`time_zone`; {apart}"
        )
    raise TorchliquidError(
        f"{what} goes back from {before} in data row {row} to {after} in data row {row + 1} "
        f"({back} such rows{f', {repeated} repeat a time' if repeated else ''}): sort the table by "
        f"time, or give `sort`; {apart}"
    )


def merged(ordered: NDArray[Any], table: Numbers, keep: str) -> tuple[NDArray[Any], Numbers]:
    """Rows that share their time with the row before as one; as they are with ``"refuse"``."""
    if keep == "refuse":
        return ordered, table
    late = np.flatnonzero(ordered[1:] < ordered[:-1])
    if len(late):
        raise TorchliquidError(f"the times run back in {len(late)} rows: give `sort` as well")
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(ordered))
    if keep == "first":
        return ordered[starts], table[starts]
    if keep == "last":
        return ordered[starts], table[ends - 1]
    return ordered[starts], _means(table, starts)


def elapsed(ordered: NDArray[Any]) -> tuple[Numbers, str | None, Numbers | None]:
    """Increasing times, their unit, and as moments where they are dates."""
    if ordered.dtype.kind == "m":
        return ordered / np.timedelta64(1, "s"), "seconds", None
    if ordered.dtype.kind != "M":
        return ordered, None, None
    return *_since_first(ordered), ordered.astype("datetime64[ms]").astype(np.float64) / 1000


def _as_numbers(cells: pd.Series) -> Numbers:
    """Numbers, NaN where a cell is none."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=np.float64)
    return pd.to_numeric(cells.astype(str), errors="coerce").to_numpy(dtype=np.float64)


def _since_first(stamps: NDArray[np.datetime64]) -> tuple[Numbers, str]:
    for shift in (np.timedelta64(0, "D"), np.timedelta64(1, "D")):  # the day after: ends of months
        months = (stamps + shift).astype("datetime64[M]")
        within = stamps + shift - months
        if (within == within[0]).all():
            return (months - months[0]).astype(np.float64), "months"
    return (stamps - stamps[0]) / np.timedelta64(1, "s"), "seconds"


def show(cell: Any) -> str:
    """A cell as a message shows it: quoted where it is text, cut where it is long."""
    text = repr(cell) if isinstance(cell, str) else str(cell)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
