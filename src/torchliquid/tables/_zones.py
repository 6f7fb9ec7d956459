"""Moments in UTC and as the clocks of a place show them."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural

if TYPE_CHECKING:
    import pandas as pd

Stamps = NDArray[np.datetime64]
CLOCK_CHANGES = ("ask", "first", "last", "drop")


def in_utc(stamps: pd.Series, zone: str | None, clock_change: str = "ask") -> Stamps:
    """Dates in UTC; NaT stays NaT, and stands for hours that ``"drop"`` leaves out.

    Args:
        stamps: dates with a zone of their own, or without.
        zone: where clocks show the times of dates without one; None: UTC.
        clock_change: what an hour is that clocks show twice in autumn, and a table has once: the
            ``"first"`` or the ``"last"`` of the two, or left out, as are hours that no clock
            showed in spring; ``"ask"``: such hours are refused.

    Raises:
        TorchliquidError: the zone is unknown, or its clocks showed a time twice or never.
    """
    import pandas as pd

    if stamps.dt.tz is not None:
        return np.asarray(stamps.dt.tz_convert("UTC").dt.tz_localize(None))
    if zone is None:
        return np.asarray(stamps)
    place = _place(zone)
    local = pd.DatetimeIndex(stamps)
    summer = np.ones(len(local), bool)
    found = local.tz_localize(place, ambiguous=summer, nonexistent="NaT")
    never = np.asarray(found.isna()) & np.asarray(local.notna())
    if never.any() and clock_change != "drop":
        first = local[never][0]
        raise TorchliquidError(
            f"clocks of {zone!r} never showed {first} ({plural(int(never.sum()), 'such row')}): "
            "they went forward there. If these clocks keep standard time all year, give "
            f"`time_zone={_standard(first, place)}`; else leave the rows out with "
            "`clock_change=drop`"
        )
    local = pd.DatetimeIndex(local.where(~never))
    try:
        found = local.tz_localize(place, ambiguous="infer")
    except Exception as error:  # what pandas 2 raises here is no ValueError
        once = local.tz_localize(place, ambiguous="NaT")
        twice = np.asarray(once.isna()) & np.asarray(local.notna())
        if clock_change == "ask":
            raise TorchliquidError(
                f"clocks of {zone!r} showed {local[twice][0]} twice, and the table does not show "
                f"which of the two it means ({plural(int(twice.sum()), 'such row')}): give "
                "`clock_change`: first, last, or drop, which leaves them out"
            ) from error
        which: Any = "NaT" if clock_change == "drop" else summer == (clock_change == "first")
        found = local.tz_localize(place, ambiguous=which)
    return np.asarray(found.tz_convert("UTC").tz_localize(None))


def to_local(stamps: Stamps, zone: str | None) -> pd.DatetimeIndex:
    """Dates in UTC as the clocks of a place show them, with their zone."""
    import pandas as pd

    return pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(_place(zone or "UTC"))


def to_utc(local: Stamps, zone: str | None) -> Stamps:
    """Dates as clocks of a place show them, in UTC; of an hour shown twice the first.

    An hour that clocks never showed counts from the one before.
    """
    import pandas as pd

    if zone is None:
        return local
    index = pd.DatetimeIndex(local)
    summer = np.ones(len(index), bool)
    found = index.tz_localize(_place(zone), ambiguous=summer, nonexistent="shift_forward")
    return np.asarray(found.tz_convert("UTC").tz_localize(None))


def _place(zone: str) -> Any:
    """The clocks of a place, or of a fixed offset such as +01:00."""
    import pandas as pd

    try:
        if zone[:1] in "+-":
            return pd.Timestamp(f"2000-01-01T00:00{zone}").tz
        return zoneinfo.ZoneInfo(zone)
    except (ValueError, KeyError, OSError) as error:
        raise TorchliquidError(
            f"no clocks are known of {zone!r}: give `time_zone` a name such as Europe/Berlin, an "
            "offset such as +01:00, or times with their offset"
        ) from error


def _standard(moment: pd.Timestamp, place: Any) -> str:
    """The offset of standard time, as +01:00."""
    import pandas as pd

    days = [pd.Timestamp(moment.year, month, 1, tz=place) for month in (1, 7)]
    offsets = [offset for day in days if (offset := day.utcoffset()) is not None]
    minutes = int(min(offsets).total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
