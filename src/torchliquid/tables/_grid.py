"""Times as elapsed time, counted as their calendar does where it makes them even.

Months and years have unequal lengths, days have 23 or 25 hours where clocks change, and business
days skip the weekend. A table that has a row for each of them is evenly spaced all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.tables._values import Numbers
from torchliquid.tables._zones import Stamps, to_local

DAY = 86_400.0
WEEK = 7 * DAY
MONDAY = 4 * DAY
"""The first Monday after 1970-01-01, a Thursday, in seconds."""
EARLY_OR_LATE = 4
"""Days at an end of a month: the last business day is at most so far from it."""
LEAST_WEEKS = 3
WEEKLY = "rows of a weekly calendar"
"""Unit of times that are counted by a week's rows."""
LACKING = 0.1
"""Share of a calendar's rows that may be missing: holidays."""


def elapsed(
    ordered: NDArray[Any], zone: str | None, first: NDArray[np.bool_]
) -> tuple[Numbers, str | None, Numbers | None]:
    """Increasing times, their unit, and as moments (seconds since 1970) where they are dates.

    Args:
        ordered: numbers, durations, or dates in UTC.
        zone: whose clocks count; None: UTC.
        first: which rows are the first of their series.
    """
    if ordered.dtype.kind == "m":
        return ordered / np.timedelta64(1, "s"), "seconds", None
    if ordered.dtype.kind != "M":
        return ordered, None, None
    dates = ordered.astype("datetime64[ms]").astype(np.float64) / 1000
    local = to_local(ordered, zone).tz_localize(None).to_numpy()
    within = ~first[1:]
    months = _months(local, within)
    if months is not None:
        return months - months[0], "months", dates
    seconds = local.astype("datetime64[ms]").astype(np.float64) / 1000
    if (seconds % DAY == seconds[0] % DAY).all():
        times: Numbers = (local - local[0]) / np.timedelta64(1, "s")
    else:
        times = (ordered - ordered[0]) / np.timedelta64(1, "s")
    gaps = np.diff(times)[within]
    if len(gaps) and (gaps == gaps[0]).all():
        return times, "seconds", dates
    rows = _calendar_rows(seconds, within)
    if rows is not None:
        return rows - rows[0], WEEKLY, dates
    return times, "seconds", dates


def _months(local: Stamps, within: NDArray[np.bool_]) -> Numbers | None:
    """Months since 1970, where rows are the same moment of a month, or at an end of theirs."""
    for shift in (np.timedelta64(0, "D"), np.timedelta64(1, "D")):  # the day after: ends of months
        months = (local + shift).astype("datetime64[M]")
        moments = local + shift - months
        if (moments == moments[0]).all():
            return months.astype(np.float64)
    months = local.astype("datetime64[M]")
    day = np.timedelta64(1, "D")
    early = (local - months) / day < EARLY_OR_LATE
    late = ((months + 1).astype("datetime64[D]") - local) / day <= EARLY_OR_LATE
    one_each = np.diff(months.astype(np.int64))[within] >= 1
    if one_each.all() and len(one_each) > 2 and (early.all() or late.all()):
        return months.astype(np.float64)
    return None


def rows_of_week(seconds: Numbers, slots: Numbers) -> Numbers:
    """Return the number of each moment in a calendar of these times of the week, from Monday.

    A moment between two of them is half a row off.
    """
    week, phase = np.divmod(seconds - MONDAY, WEEK)
    nearest = np.clip(np.searchsorted(slots, phase), 0, len(slots) - 1)
    off = np.where(np.isclose(slots[nearest], phase), 0.0, 0.5)
    return np.asarray(week * len(slots) + nearest + off)


def _calendar_rows(seconds: Numbers, within: NDArray[np.bool_]) -> Numbers | None:
    """The number of each row in a calendar that has the same times every week, if there is one.

    Business days, Monday to Saturday, opening hours: each time of the week that occurs is a row,
    and few are missing.
    """
    week, phase = np.divmod(seconds - MONDAY, WEEK)
    times = np.unique(phase)
    if np.ptp(week) + 1 < LEAST_WEEKS or len(times) * LEAST_WEEKS > len(seconds):
        return None
    rows = rows_of_week(seconds, times)
    steps = np.diff(rows)[within]
    if not len(steps) or steps.min() < 1 or (steps - 1).sum() > LACKING * len(seconds):
        return None
    # a clock that ticks on through the week, with gaps, is no calendar: it is even already
    plain = np.diff(seconds)[within]
    ticks = plain / np.median(plain)
    if np.allclose(ticks, np.rint(ticks)) and (np.rint(ticks) - 1).sum() <= LACKING * len(seconds):
        return None
    return rows
