"""Rules for the rows of a table: gaps, missing values, spacing, and what is said of them."""

import math
import re
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables._grid import DAY, WEEK, WEEKLY
from torchliquid.tables._values import Numbers
from torchliquid.tables.reader import Series

FILLED = 0.1
"""Rows that may be put in where an even grid has gaps, as a share of those that are there."""
REGULAR = 0.02
"""Relative deviation from the median gap up to which spacing counts as regular.

Stamps once a minute that were rounded to the second are off by up to a sixtieth.
"""
REPEATED = 2
"""Rows that hold one far value, from which it is worth a note."""
LONG_GAP = 1000
"""Gaps of so many medians are worth a note."""


class Rows(NamedTuple):
    """The rows of one series, in time order."""

    values: Numbers
    times: Numbers | None
    dates: Numbers | None
    label: str = ""

    def first(self, rows: int) -> "Rows":
        """Return the first rows alone."""
        times, dates = (None if t is None else t[:rows] for t in (self.times, self.dates))
        return Rows(self.values[:rows], times, dates, self.label)

    def gaps(self) -> Numbers:
        """The time between each two rows; none where times are not known."""
        return np.empty(0) if self.times is None else np.diff(self.times)


def rows_of(series: Series) -> list[Rows]:
    """The rows of each series of a table."""
    if series.series_id is None:
        return [Rows(series.values, series.times, series.dates)]
    parts = []
    for k, label in enumerate(series.series_names):
        mask = series.series_id == k
        times = None if series.times is None else series.times[mask]
        dates = None if series.dates is None else series.dates[mask]
        parts.append(Rows(series.values[mask], times, dates, label))
    return parts


def filled(series: Series, parts: list[Rows], train: float) -> tuple[list[Rows], list[str]]:
    """The rows with those that an even grid lacks, and a note on them.

    The median gap is that of the first share of each series, given by ``train``.
    """
    if series.times is None:
        return parts, []
    gaps = [part.gaps() for part in parts]
    early = [part_gaps[: max(2, math.floor(len(part_gaps) * train))] for part_gaps in gaps]
    median = float(np.median(np.concatenate(early))) if any(map(len, early)) else 0.0
    if not median:
        return parts, []
    steps: list[Numbers] = [np.rint(part_gaps / median) for part_gaps in gaps]
    every = np.concatenate(steps)
    wrong = np.concatenate(gaps) / median - every
    lacking = int((every - 1).sum())
    even = np.abs(wrong).max() < REGULAR and every.min() >= 1
    if not (even and 0 < lacking <= FILLED * len(series.values)):
        return parts, []
    holes = int((every > 1).sum())
    where = max(range(len(parts)), key=lambda k: steps[k].max(initial=0))
    longest = int(steps[where].argmax())
    of = f" of {parts[where].label}" if parts[where].label else ""
    note = (
        f"The rows are evenly spaced in {series.time or 'time'} but for {plural(lacking, 'row')} "
        f"that {'is' if lacking == 1 else 'are'} missing ({plural(holes, 'gap')}, the longest of "
        f"{steps[where][longest] - 1:.0f} before data row {longest + 2}{of}): they were put in, as "
        "rows without values."
    )
    return [missing_rows(part, part_gaps) for part, part_gaps in zip(parts, steps, strict=True)], [
        note
    ]


def missing_rows(part: Rows, steps: Numbers) -> Rows:
    """Put rows without values where an even grid lacks them; ``steps`` are the gaps in rows."""
    rows = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    every = np.arange(rows[-1] + 1)
    values = np.full((len(every), part.values.shape[1]), np.nan)
    values[rows] = part.values
    times, dates = (
        None if moments is None else np.interp(every, rows, moments)
        for moments in (part.times, part.dates)
    )
    return Rows(values, times, dates, part.label)


def rows_ahead(horizon: int | str, series: Series, parts: list[Rows]) -> int:
    """The horizon in rows; given in time, such as ``"6h"``, that of evenly spaced dates.

    Raises:
        TorchliquidError: it is not an integer of rows, or rows are not evenly spaced dates.
    """
    if isinstance(horizon, Integral) or (isinstance(horizon, str) and horizon.isdecimal()):
        if int(horizon) >= 1:
            return int(horizon)
    elif isinstance(horizon, str):
        return _rows_of_time(horizon, series, parts)
    raise TorchliquidError(
        f"horizon is {horizon}: give an integer of rows to look ahead, at least 1, or a time "
        "such as 6h"
    )


def _rows_of_time(horizon: str, series: Series, parts: list[Rows]) -> int:
    import pandas as pd

    gaps = np.concatenate([part.gaps() for part in parts])
    months = re.fullmatch(r"(\d+)MS?", horizon)
    if months and series.time_unit == "months":
        return _whole(int(months[1]) / float(np.median(gaps)), horizon, gaps, "months")
    try:
        seconds = pd.Timedelta(horizon).total_seconds()
    except ValueError as error:
        hint = " (a month has no fixed length, and m is a minute)" if months else ""
        raise TorchliquidError(
            f"horizon is {horizon!r}: give an integer of rows, at least 1, or a time such as 6h or "
            f"30D{hint}"
        ) from error
    if series.time_unit == WEEKLY and series.dates is not None:
        longest = max(parts, key=lambda part: len(part.values))
        return _whole(_calendar_rows(horizon, seconds, longest), horizon, gaps, WEEKLY)
    if series.time_unit != "seconds" or np.abs(gaps / np.median(gaps) - 1).max() >= REGULAR:
        raise TorchliquidError(
            f"horizon is {horizon}, but the rows are not evenly spaced dates (`time`; of numbers "
            "that are dates, `time_unit`): give rows, or resample with `every`"
        )
    return _whole(seconds / float(np.median(gaps)), horizon, gaps, "seconds")


def _whole(rows: float, horizon: str, gaps: Numbers, unit: str) -> int:
    """The rows, if they are an integer."""
    if round(rows) < 1 or abs(rows - round(rows)) > REGULAR:
        raise TorchliquidError(
            f"horizon is {horizon}, which is {rows:.3g} rows of {np.median(gaps):g} {unit}: give "
            "an integer of rows"
        )
    return round(rows)


def _calendar_rows(horizon: str, seconds: float, part: Rows) -> float:
    """How many rows a time is, in a calendar of the same rows every week.

    Whole weeks are as many weeks' rows, a day is the next day of the calendar, and an hour one of
    its hours. Two days are two of the week or two of the calendar's: that is asked.

    Args:
        horizon: as given.
        seconds: the same.
        part: the rows of the longest series.
    """
    if part.times is None or part.dates is None:
        return np.nan
    gaps = np.diff(part.dates)
    gap = float(np.median(gaps))
    if seconds % WEEK == 0:
        later = np.searchsorted(part.dates, part.dates + WEEK)
        rows = np.flatnonzero(later < len(part.dates))
        return float(seconds / WEEK * np.median(part.times[later[rows]] - part.times[rows]))
    if seconds < DAY:
        return seconds / gap
    if seconds > DAY:
        raise TorchliquidError(
            f"horizon is {horizon}, but the rows follow a weekly calendar, in which days are left "
            "out: give a day (1D), whole weeks (7D), or rows"
        )
    if gap >= DAY:
        return 1.0
    runs = np.diff(np.flatnonzero(gaps > 1.5 * gap))  # from one closing to the next
    return float(min(np.median(runs), DAY / gap))


def known_beforehand(rows: Rows, columns: list[int], horizon: int) -> Rows:
    """The rows with these columns moved: beside each row what they are a horizon later."""
    if not columns:
        return rows
    values = rows.values.copy()
    values[:-horizon, columns] = rows.values[horizon:, columns]
    values[-horizon:, columns] = np.nan
    return rows._replace(values=values)


def carried_forward(values: Numbers, mean: Numbers) -> Numbers:
    """Values with each missing one replaced by the last seen before it, or else by the mean."""
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), mean)


def spacing(
    series: Series, parts: list[Rows], trained: list[int]
) -> tuple[float | None, bool, list[str]]:
    """Return the median training gap, whether all gaps are even, and notes on them.

    Args:
        series: gives the names.
        parts: the rows of each series.
        trained: of how many rows of each series the gaps define the median.
    """
    if series.times is None:
        return None, True, []
    gaps = [part.gaps() for part in parts]
    known = [part_gaps[: max(n - 1, 0)] for part_gaps, n in zip(gaps, trained, strict=True)]
    median = float(np.median(np.concatenate(known)))
    relative: list[Numbers] = [part_gaps / median for part_gaps in gaps]
    every = np.concatenate(relative)
    if np.abs(every - 1).max() < REGULAR:
        return median, True, []
    unit = f" {series.time_unit}" if series.time_unit else ""
    notes = [
        f"The rows are not evenly spaced in {series.time or 'time'}: the gaps go from "
        f"{every.min() * median:.6g} to {every.max() * median:.6g}{unit}, median {median:.6g} in "
        "the training part. Liquid models get each gap as dt, in median gaps; the other models get "
        "it as one more feature. The horizon counts rows, whatever the gaps."
    ]
    where = max(range(len(parts)), key=lambda k: relative[k].max(initial=0))
    longest = int(relative[where].argmax())
    if relative[where][longest] > LONG_GAP:
        of = f" of {parts[where].label}" if parts[where].label else ""
        notes.append(
            f"The longest gap, {relative[where][longest]:.6g} times the median, lies before data "
            f"row {longest + 2}{of}: if the rows around it have little to do with each other, give "
            "them as two series, identified by a column (`series`)."
        )
    return median, False, notes


def missing_notes(series: Series) -> list[str]:
    """How many values are missing, and what stands in for them."""
    counts = np.isnan(series.values).sum(axis=0)
    listed = ", ".join(
        f"{name} in {count}" for name, count in zip(series.columns, counts, strict=True) if count
    )
    if not listed:
        return []
    return [
        f"Of {len(series.values)} rows, values are missing for {listed}. A missing input is the "
        "last value seen before it (before the first one: the training mean); the models get no "
        "mark that it is a copy. A missing target counts in no loss or error."
    ]


def still_note(test: NDArray[np.floating]) -> list[str]:
    """A note where the test part never changes."""
    seen = test[~np.isnan(test)]
    if seen.min() < seen.max():
        return []
    return [
        f"The target is constant ({seen[0]:g}) in the test part, as of a sensor that is stuck: "
        "repeating the last value is right there, and skill is not defined."
    ]


def sentinel_notes(series: Series) -> list[str]:
    """Notes on values that may stand for missing ones: an extreme, repeated, and far off."""
    notes = []
    for k, name in enumerate(series.columns):
        seen = series.values[:, k]
        seen = seen[~np.isnan(seen)]
        for extreme in {seen.min(), seen.max()} if len(seen) else ():
            others = seen[seen != extreme]
            rows = len(seen) - len(others)
            if rows < REPEATED or len(others) < len(seen) / 2:
                continue
            low, high = np.quantile(others, [0.01, 0.99])
            if np.abs(others - extreme).min() > high - low > 0:
                notes.append(
                    f"{name} is {extreme:g} in {rows:,} of {len(seen):,} rows, further from all "
                    "other values than these lie apart: if it stands for a missing value, give "
                    f"`missing={extreme:g}`."
                )
    return notes
