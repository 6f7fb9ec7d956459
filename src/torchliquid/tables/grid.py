"""An even grid of times: the position of each row on it, and the time of each position.

Calendars are grids as well: a row a month, a local day, or a row for each time of the week that a
table has, such as business days.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.tables._grid import DAY, MONDAY, WEEK, WEEKLY, rows_of_week
from torchliquid.tables._rows import Rows
from torchliquid.tables._values import Numbers
from torchliquid.tables._zones import to_local, to_utc
from torchliquid.tables.reader import Series

OFF_GRID = 0.25
"""Rows may be so far from a position, in gaps, where times are even."""


@dataclass(frozen=True)
class Grid:
    """Positions 0, 1, 2 ... in time.

    Args:
        kind: ``"rows"``: there are no times; ``"numbers"`` or ``"seconds"``: elapsed ones;
            ``"dates"``; ``"days"``: dates by local clocks; ``"months"``; ``"week"``: the slots.
        gap: time between positions: a number, seconds, or months; of a week's slots 1.
        start: of position 0: a number, seconds since 1970, or months since then.
        zone: whose clocks count; None: UTC.
        within: seconds from the beginning of a month; from its end where negative.
        slots: times of the week, in seconds from Monday.
        even: whether all rows of the table were at a position.
    """

    kind: str
    gap: float
    start: float
    zone: str | None = None
    within: float = 0.0
    slots: tuple[float, ...] = ()
    even: bool = True

    def positions(self, rows: Rows) -> Numbers:
        """Return where rows are on the grid, in gaps from position 0 ``(N,)``.

        Raises:
            TorchliquidError: they have no times, or others than the grid's.
        """
        if self.kind == "rows":
            return np.arange(len(rows.values), dtype=np.float64)
        dated = self.kind not in ("numbers", "seconds")
        times = rows.dates if dated else rows.times
        if times is None or (not dated and rows.dates is not None):
            raise TorchliquidError(
                f"the times are {'no dates' if dated else 'dates, or there are none'}: expected "
                f"{'dates' if dated else 'numbers'}, as the table had that the model was fitted on"
            )
        if self.kind in ("numbers", "seconds", "dates"):
            return np.asarray((times - self.start) / self.gap)
        local = _local(times, self.zone)
        if self.kind == "days":
            return np.asarray((local - self.start) / self.gap)
        if self.kind == "months":
            months = _stamps(local).astype("datetime64[M]")
            return np.asarray((months.astype(np.float64) - self.start) / self.gap)
        return rows_of_week(local, np.array(self.slots)) - self.start

    def check(self, positions: Numbers, what: str) -> None:
        """That rows of an even grid are at its positions.

        Raises:
            TorchliquidError: some are not.
        """
        off = np.abs(positions - np.rint(positions))
        if self.even and len(off) and off.max() > OFF_GRID:
            raise TorchliquidError(
                f"{what} has a row that is {off.max():.2g} gaps off ({int(off.argmax()) + 1} of "
                f"{len(off)}): expected one row every {self.words()}; resample it with `every`"
            )

    def words(self) -> str:
        """Return the gap in words."""
        if self.kind == "months":
            return f"{self.gap:g} months"
        if self.kind == "week":
            return f"slot of {len(self.slots)} a week"
        if self.kind in ("rows", "numbers"):
            return f"{self.gap:g}"
        for unit, length in (("day", DAY), ("hour", 3600.0), ("minute", 60.0)):
            count = self.gap / length
            if count >= 1 and count == round(count):
                return f"{count:g} {unit}" + ("" if count == 1 else "s")
        return f"{self.gap:g} seconds"

    @property
    def seconds(self) -> float | None:
        """The gap in seconds, about; None where times are no dates."""
        if self.kind in ("dates", "days"):
            return self.gap
        if self.kind == "months":
            return self.gap * 365.25 / 12 * DAY
        return WEEK / len(self.slots) if self.kind == "week" else None

    def local(self, positions: NDArray[Any]) -> Numbers:
        """Return what local clocks show at positions, in seconds since 1970 ``(N,)``."""
        positions = np.asarray(positions, dtype=np.float64)
        if self.kind == "months":
            months = np.rint(self.start + positions * self.gap).astype(np.int64)
            month = months + (self.within < 0)
            begin = month.astype("datetime64[M]").astype("datetime64[s]").astype(np.float64)
            return np.asarray(begin + self.within)
        if self.kind == "week":
            index = np.rint(positions + self.start).astype(np.int64)
            week, slot = np.divmod(index, len(self.slots))
            return np.asarray(MONDAY + week * WEEK + np.array(self.slots)[slot])
        times = self.start + positions * self.gap
        return np.asarray(_local(times, self.zone) if self.kind == "dates" else times)

    def times(self, positions: NDArray[Any]) -> Any:
        """Return the times of positions: numbers, or dates (with the zone, where one was given)."""
        import pandas as pd

        positions = np.asarray(positions, dtype=np.float64)
        if self.kind == "rows":
            return positions.astype(np.int64)
        if self.kind in ("numbers", "seconds"):
            return self.start + positions * self.gap
        if self.kind == "dates":
            moments = _stamps(self.start + positions * self.gap)
        else:
            moments = to_utc(_stamps(self.local(positions)), self.zone)
        if self.zone is None:
            return pd.DatetimeIndex(moments)
        return to_local(moments, self.zone)

    def to_json(self) -> dict[str, Any]:
        """Return the grid in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Grid:
        """Return the grid that `to_json` wrote."""
        return cls(**facts | {"slots": tuple(facts["slots"])})


def grid_of(series: Series, parts: list[Rows], zone: str | None) -> Grid:
    """Return the grid of a table: the median gap of its rows, or its calendar.

    Args:
        series: gives the unit of times.
        parts: the rows of each series.
        zone: whose clocks count; None: UTC.
    """
    if series.times is None:
        return Grid("rows", 1.0, 0.0)
    gaps = np.concatenate([part.gaps() for part in parts])
    gap = float(np.median(gaps)) if len(gaps) else 1.0
    steps = gaps / gap
    even = bool(len(gaps)) and bool((np.abs(steps - np.rint(steps)) < 0.02).all())
    if series.dates is None:
        kind = "numbers" if series.time_unit is None else "seconds"
        return Grid(kind, gap, float(series.times.min()), even=even)
    local = _local(series.dates, zone)
    if series.time_unit == "months":
        months = _stamps(local).astype("datetime64[M]")
        begin = months.astype("datetime64[s]").astype(np.float64)
        end = (months + 1).astype("datetime64[s]").astype(np.float64)
        after, before = local - begin, local - end
        within = float(np.median(after if np.ptp(after) <= np.ptp(before) else before))
        return Grid("months", gap, float(months.astype(np.int64).min()), zone, within)
    if series.time_unit == WEEKLY:
        slots = np.unique((local - MONDAY) % WEEK)
        return Grid(
            "week", 1.0, float(rows_of_week(local, slots).min()), zone, slots=tuple(slots.tolist())
        )
    if (local % DAY == local[0] % DAY).all() and gap % DAY == 0:
        return Grid("days", gap, float(local.min()), zone, even=even)
    return Grid("dates", gap, float(series.dates.min()), zone, even=even)


def _stamps(seconds: Numbers) -> NDArray[np.datetime64]:
    return np.rint(seconds * 1e6).astype("datetime64[us]")


def _local(seconds: Numbers, zone: str | None) -> Numbers:
    """What local clocks show, in seconds since 1970."""
    if zone is None:
        return np.asarray(seconds, dtype=np.float64)
    naive = to_local(_stamps(seconds), zone).tz_localize(None).to_numpy()
    return np.asarray(naive.astype("datetime64[us]").astype(np.float64) / 1e6)
