"""Cells of a table as times: numbers or dates, in order, and none of them guessed."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables._columns import Notify
from torchliquid.tables._dates import as_dates, beginnings
from torchliquid.tables._time_formats import fitting_formats, of_format
from torchliquid.tables._values import Numbers, show, to_numbers
from torchliquid.tables._zones import in_utc, to_local

if TYPE_CHECKING:
    import pandas as pd

_CLOCK = r"\d+:\d{2}(:\d{2}(\.\d+)?)?"
"""A time without a date: hours, minutes, and maybe seconds since some start."""
_DURATION = r"-?\d+ days?( [+-]?\d+:\d{2}:\d{2}(\.\d+)?)?"
"""As pandas writes them."""
_FAR = re.compile(r"(0\d|1[0-5]|16[0-7]|226[2-9]|22[7-9]|2[3-9]|[3-9]\d)\d*-\d\d-\d\d")
"""ISO dates that no 64 bits of nanoseconds hold."""
MOST_ROWS = 20
"""Resampling makes at most so many rows of one."""
TIME_UNITS = ("ns", "us", "ms", "s", "min", "h", "D", "excel")
_EPOCHS = {"s": (5e8, 2.5e9), "ms": (5e11, 2.5e12), "us": (5e14, 2.5e15), "ns": (5e17, 2.5e18)}
"""Where numbers lie that count these units since 1970, from 1985 to 2049."""


def moments(
    cells: pd.Series,
    what: str,
    time_format: str | None = None,
    zone: str | None = None,
    *,
    time_unit: str | None = None,
    clock_change: str = "ask",
    notify: Notify = lambda text: None,
) -> NDArray[Any]:
    """The cells as numbers, as dates (in UTC) or as durations, whichever more of them are.

    NaT stands for rows that a change of clocks leaves out (``clock_change="drop"``).
    """
    import pandas as pd

    missing = np.flatnonzero(cells.isna())
    if len(missing):
        raise TorchliquidError(
            f"{what} is empty or no date in data row {missing[0] + 1}: fill it in or delete the row"
        )
    if time_unit is not None:
        return in_utc(_since_epoch(cells, what, time_unit), zone if time_unit == "excel" else None)
    if pd.api.types.is_timedelta64_dtype(cells.dtype):
        return cells.to_numpy()
    if pd.api.types.is_datetime64_any_dtype(cells.dtype) and time_format is None:
        try:
            return as_dates(cells, zone, clock_change)
        except TorchliquidError as error:
            raise TorchliquidError(f"{what}: {error}") from error
    typed = pd.api.types.is_numeric_dtype(cells.dtype)
    texts = cells.astype(str).str.strip()
    try:
        if time_format is not None:
            dates = of_format(texts, time_format, notify)
            if dates.isna().all():
                dates = of_format(beginnings(texts, notify), time_format, notify)
            _check_format(dates, cells, what, time_format)
            return as_dates(dates, zone, clock_change)
        durations = None if typed else _durations(texts, notify)
        if durations is not None:
            return durations
        numbers = to_numbers(texts).to_numpy()
        stamps = as_dates(cells, zone, clock_change, notify)
    except TorchliquidError as error:
        raise TorchliquidError(str(error) if what in str(error) else f"{what}: {error}") from error
    left_out = np.isnat(stamps) & (clock_change == "drop") & np.isnan(numbers)
    compact = np.isfinite(numbers).all() and not np.isnat(stamps).any()
    dated = compact or np.isnat(stamps).sum() < np.isnan(numbers).sum()
    wrong = np.flatnonzero(np.isnat(stamps) if dated else ~np.isfinite(numbers))
    if len(wrong) and not (dated and left_out.all(where=np.isnat(stamps))):
        raise TorchliquidError(
            f"{what} holds {show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1} "
            f"({plural(len(wrong), 'such row')}): {_advice(texts, wrong)}"
        )
    if not dated:
        _note_epoch(numbers, what, notify)
    return stamps if dated else numbers


def _advice(texts: pd.Series, wrong: NDArray[np.int64]) -> str:
    """What to give where times cannot be read: the very format, where there is one."""
    if int(version("pandas").split(".")[0]) < 3 and _FAR.match(texts.iloc[wrong[0]]):
        return "dates before 1678 or after 2261 need pandas 3"
    formats = fitting_formats(texts) if len(wrong) == len(texts) else []
    if formats:
        zone = re.search(r" ([A-Z]{3,5})(?: |$)", formats[0])
        also = (
            f", and the `time_zone` that it calls {zone[1]}, such as Europe/Berlin or -05:00"
            if zone
            else ""
        )
        return f"give `time_format`, {' or '.join(map(repr, formats[:3]))}{also}"
    return (
        "give finite numbers, dates and times like 2015-02-04T17:51:00, or `time_format`, such as "
        "'%d.%m.%Y %H:%M'"
    )


def _check_format(stamps: pd.Series, cells: pd.Series, what: str, time_format: str) -> None:
    wrong = np.flatnonzero(stamps.isna())
    if len(wrong):
        raise TorchliquidError(
            f"{what} holds {show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1}, which is "
            f"not of the form {time_format!r} ({plural(len(wrong), 'such row')})"
        )


def _durations(texts: pd.Series, notify: Notify) -> NDArray[Any] | None:
    """Times without a date; those of a clock that starts again at midnight go on."""
    import pandas as pd

    if texts.str.fullmatch(_DURATION).all():
        return pd.to_timedelta(texts).to_numpy()
    if not texts.str.fullmatch(_CLOCK).all():
        return None
    found = pd.to_timedelta(texts.where(texts.str.count(":") == 2, texts + ":00")).to_numpy()
    day, half = np.timedelta64(24, "h"), np.timedelta64(12, "h")
    over = np.diff(found, prepend=found[:1]) < -half
    if over.any() and found.max() < day:
        notify(
            f"Times of day start again at midnight {int(over.sum())} times: each time a new day "
            "begins. Where days are missing between, give the date as well (`time=DATE,TIME`)."
        )
        return np.asarray(found + np.cumsum(over) * day)
    return found


def _since_epoch(cells: pd.Series, what: str, unit: Any) -> pd.Series:
    """Numbers as dates, counted in this unit from 1970, or in days as spreadsheets do."""
    import pandas as pd

    if unit not in TIME_UNITS:
        raise TorchliquidError(f"time unit is {unit!r}: give {', '.join(TIME_UNITS)}")
    numbers = to_numbers(cells.astype(str).str.strip())
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise TorchliquidError(
            f"{what} holds {show(cells.iloc[wrong[0]])} in data row {wrong[0] + 1}: `time_unit` is "
            "of times that are numbers"
        )
    try:
        if unit == "excel":  # to the second: a day in double precision has no exact minutes
            return pd.to_datetime(numbers, unit="D", origin="1899-12-30").dt.round("s")
        whole: pd.Series = numbers.astype("int64") if (numbers % 1 == 0).all() else numbers
        return pd.to_datetime(whole, unit=unit)
    except (ValueError, OverflowError) as error:
        raise TorchliquidError(
            f"{what}: {numbers.iloc[0]:g} {unit} since 1970 is no date: give another `time_unit`"
        ) from error


def _note_epoch(numbers: Numbers, what: str, notify: Notify) -> None:
    """Say where numbers look like a count since 1970."""
    for unit, (low, high) in _EPOCHS.items():
        if len(numbers) and low <= numbers.min() and numbers.max() <= high:
            notify(
                f"{what} holds numbers that look like {unit} since 1970: they count as numbers. If "
                f"they are dates, give `time_unit={unit}`."
            )


def resampled(
    ordered: NDArray[Any], table: Numbers, every: str, zone: str | None
) -> tuple[NDArray[Any], Numbers]:
    """One row for each interval: the mean of the values in it, none where there is no row.

    Intervals of dates are pandas' (``1h``, ``1D``, ``W-MON``: weeks from Mondays, ``MS``: months),
    by the clocks of the zone; each is stamped with its beginning, and holds what was known at its
    end. Those of numbers begin at whole multiples.
    """
    import pandas as pd

    if ordered.dtype.kind not in "mM":
        width = _number(every)
        bins = np.floor_divide(ordered, width).astype(np.int64)
        _check_rows(int(bins[-1] - bins[0] + 1), every, len(ordered))
        means = pd.DataFrame(table).groupby(bins).mean()
        means = means.reindex(range(bins[0], bins[-1] + 1))
        return means.index.to_numpy() * width, means.to_numpy()
    index = to_local(ordered, zone) if ordered.dtype.kind == "M" else pd.TimedeltaIndex(ordered)
    offset = _offset(every)
    if isinstance(offset, pd.offsets.Tick) and ordered.dtype.kind == "M":
        span = (ordered[-1] - ordered[0]) / np.timedelta64(1, "ns")
        _check_rows(int(span // offset.nanos) + 1, every, len(ordered))
    frame = pd.DataFrame(table, index=index)
    try:
        means = frame.resample(offset, label="left", closed="left").mean()
    except (ValueError, TypeError) as error:
        raise TorchliquidError(
            f"`every` is {every!r}, which these times cannot be cut into: give such as 15min or 1h"
        ) from error
    starts = means.index
    if isinstance(starts, pd.DatetimeIndex):
        starts = starts.tz_convert("UTC").tz_localize(None)
    return starts.to_numpy(), means.to_numpy()


def _number(every: str) -> float:
    """An interval in the unit of times that are numbers."""
    try:
        width = float(every)
    except ValueError as error:
        raise TorchliquidError(
            f"`every` is {every!r}: give a number, as the times are numbers (of dates that are "
            "numbers, give `time_unit`)"
        ) from error
    if not width > 0:
        raise TorchliquidError(f"`every` is {every!r}: give an interval above 0")
    return width


def _offset(every: str) -> Any:
    """An interval as pandas knows it."""
    from pandas.tseries.frequencies import to_offset

    wanted = "give such as 15min, 1h, 1D, W-MON (weeks from Mondays), MS (months) or QS"
    try:
        offset = to_offset(every)
    except ValueError as error:
        raise TorchliquidError(f"`every` is {every!r}: {wanted}") from error
    if offset is None or offset.n <= 0:
        raise TorchliquidError(f"`every` is {every!r}: give an interval above 0")
    if re.search(r"E\b", offset.rule_code):  # the ends of months, quarters, years
        raise TorchliquidError(f"`every` is {every!r}, and intervals are named by their begin: "
                               f"{wanted}")  # fmt: skip
    return offset


def _check_rows(rows: int, every: str, of: int) -> None:
    if rows > MOST_ROWS * of:
        raise TorchliquidError(
            f"`every={every}` makes {rows:,} rows of {of:,}, most of them empty: give a longer "
            "interval"
        )


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
    if repeated > len(ordered) / 4 and "e" in before.lower() and ordered.dtype.kind == "f":
        raise TorchliquidError(
            f"{what} is {before} in data row {row} and {after} in data row {row + 1} ({repeated} "
            "such rows): these numbers were rounded when the file was written. Write them in full"
        )
    if ordered[row] == ordered[row - 1]:
        raise TorchliquidError(
            f"{what} is {before} in data row {row} and {after} in data row {row + 1}, the same "
            f"time ({plural(repeated, 'such row')}{f', {back} run back' if back else ''}): give "
            "`duplicates`: first, last or mean; if the hour repeats as clocks are put back, give "
            f"`time_zone`; {apart}"
        )
    if ordered.dtype.kind == "M" and _swapped(ordered):
        raise TorchliquidError(
            f"{what} goes back from {before} in data row {row} to {after} in data row {row + 1}, "
            "and rises where day and month change places in all dates that allow it, as a "
            "spreadsheet does that takes the one for the other: write the times again"
        )
    raise TorchliquidError(
        f"{what} goes back from {before} in data row {row} to {after} in data row {row + 1} "
        f"({plural(back, 'such row')}{f', {repeated} repeat a time' if repeated else ''}): sort "
        f"the table by time, or give `sort`; {apart}"
    )


def _swapped(ordered: NDArray[np.datetime64]) -> bool:
    """Whether times rise once day and month change places in the dates that allow it."""
    import pandas as pd

    stamps = pd.Series(ordered)
    parts = {name: getattr(stamps.dt, name) for name in ("year", "month", "day", "hour", "minute")}
    swaps = parts["day"] <= 12
    parts["month"], parts["day"] = (
        parts["month"].where(~swaps, parts["day"]),
        parts["day"].where(~swaps, parts["month"]),
    )
    return bool(pd.to_datetime(pd.DataFrame(parts)).is_monotonic_increasing)


def merged(ordered: NDArray[Any], table: Numbers, keep: str) -> tuple[NDArray[Any], Numbers]:
    """Rows that share their time with the row before as one; as they are with ``"refuse"``."""
    import pandas as pd

    if keep == "refuse":
        return ordered, table
    late = np.flatnonzero(ordered[1:] < ordered[:-1])
    if len(late):
        raise TorchliquidError(f"the times run back in {len(late)} rows: give `sort` as well")
    new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    if keep == "first":
        return ordered[new], table[new]
    if keep == "last":
        return ordered[new], table[np.append(new[1:], True)]
    return ordered[new], pd.DataFrame(table).groupby(np.cumsum(new)).mean().to_numpy()
