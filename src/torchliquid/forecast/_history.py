"""A table's series on an even grid: what a forecaster sees of the past, and what it is asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.tables import Grid, Rows, Series

Values = NDArray[np.float64]
TRAINED, VALIDATED = 0.6, 0.8
"""Shares of each series, from its first row, that end the training and the validation part."""
MOST_EMPTY = 20
"""A grid has at most so many positions for each row."""
DAY, WEEK, YEAR = 86_400.0, 7 * 86_400.0, 365.25 * 86_400.0


@dataclass(frozen=True)
class History:
    """One series at positions of a grid.

    Args:
        label: its name; empty where there is one series.
        first: position of the first value.
        y: the target ``(N,)``, NaN where it is missing.
        held: the target with missing values filled: by the last value seen (the first one before
            it), or by what a filter expected ``(N,)``.
        past: features ``(N, P)``, the last values seen, 0 before any.
        known: features that are known beforehand ``(N, K)``, so that the last rows may have no
            target; NaN where they are missing.
        states: of a filter at each row ``(N, S)``; of shape (0, 0) where there is none.
        memory: states of a network at each row ``(N, M)``; of shape (0, 0) where there is none.
    """

    label: str
    first: int
    y: Values
    held: Values
    past: Values
    known: Values
    states: Values = field(default_factory=lambda: np.zeros((0, 0)))
    memory: Values = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def end(self) -> int:
        """The position behind the last value of the target."""
        return self.first + len(self.y)

    def padded(self, first: int) -> History:
        """Return this series from an earlier position on, the positions before it being empty."""
        before = self.first - first

        def empty(values: Values) -> Values:
            return np.concatenate([np.full((before, *values.shape[1:]), np.nan), values])

        return History(
            self.label, first, empty(self.y), empty(self.held), empty(self.past), empty(self.known)
        )

    def joined(self, later: History) -> History:
        """Return this series with the rows that follow its end, without states and memory."""
        past = np.concatenate([self.past, later.past])
        known = np.concatenate([self.known[: len(self.y)], later.known])
        return History(
            self.label, self.first, np.concatenate([self.y, later.y]),
            held(np.concatenate([self.held, later.y])), held(past, 0.0), known,
        )  # fmt: skip

    def planned(self, plan: History) -> History:
        """Return this series with the known features of another table, in whose rows they count."""
        skipped = plan.first - self.first
        known = np.full(
            (max(skipped + len(plan.known), len(self.known)), self.known.shape[1]), np.nan
        )
        known[: len(self.known)] = self.known
        begin = max(skipped, 0)
        known[begin : skipped + len(plan.known)] = plan.known[begin - skipped :]
        return replace(self, known=known)

    def last(self, rows: int) -> History:
        """Return the last rows alone."""
        return self.part(max(len(self.y) - rows, 0))

    def part(self, start: int, stop: int | None = None) -> History:
        """Return some rows alone."""
        rows = slice(start, stop)
        return History(
            self.label, self.first + start, self.y[rows], self.held[rows], self.past[rows],
            self.known[rows], self.states[rows], self.memory[rows],
        )  # fmt: skip


def held(values: Values, before: float | None = None) -> Values:
    """Return values with each missing one replaced by the last before it.

    Args:
        values: ``(N,)`` or ``(N, C)``.
        before: what stands before the first value; None: that value.
    """
    table = values[:, None] if values.ndim == 1 else values
    rows = np.where(np.isnan(table), -1, np.arange(len(table))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    found = np.take_along_axis(table, np.maximum(last, 0), axis=0)
    for k in range(table.shape[1]):
        seen = table[~np.isnan(table[:, k]), k]
        start = (seen[0] if len(seen) else 0.0) if before is None else before
        found[last[:, k] < 0, k] = start
    return found.reshape(values.shape)


def on_grid(series: Series, parts: Sequence[Rows], grid: Grid, what: str) -> list[History]:
    """Return each series at the positions of a grid: several rows at one as their mean.

    Rows at the end without a target are kept in `History.known` alone.

    Raises:
        TorchliquidError: rows are off an even grid, or so far apart that the grid is all but empty.
    """
    known = [series.columns.index(name) for name in series.future]
    past = [k for k in range(1, len(series.columns)) if k not in known]
    found = []
    for part in parts:
        positions = grid.positions(part)
        grid.check(positions, part.label or what)
        index = np.rint(positions).astype(np.int64)
        first = int(index[0])
        length = int(index[-1]) - first + 1
        if length > MOST_EMPTY * len(index):
            raise TorchliquidError(
                f"{part.label or what} has {len(index):,} rows in {length:,} gaps of "
                f"{grid.words()}: give `every`, a longer interval"
            )
        values = _placed(part.values, index - first, length)
        target = np.flatnonzero(~np.isnan(values[:, 0]))
        rows = int(target[-1]) + 1 if len(target) else 0
        y = values[:rows, 0]
        found.append(
            History(part.label, first, y, held(y), held(values[:rows, past]), values[:, known])
        )
    return found


def _placed(values: Values, index: NDArray[np.int64], length: int) -> Values:
    """Values at their positions ``(length, C)``; the mean of those at the same one."""
    there = ~np.isnan(values)
    total, count = np.zeros((length, values.shape[1])), np.zeros((length, values.shape[1]))
    np.add.at(total, index, np.where(there, values, 0.0))
    np.add.at(count, index, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / count)


@dataclass(frozen=True)
class Seasons:
    """What repeats itself in a table, in positions of its grid.

    Args:
        naive: periods that a seasonal naive forecast may have, the shortest first.
        lags: how many values a regression sees, by the seasons; most_lags: how many it may see.
        harmonics: pairs of a calendar's name and how many sines and cosines of it.
    """

    naive: tuple[int, ...]
    lags: int
    most_lags: int
    harmonics: tuple[tuple[str, int], ...] = ()

    @property
    def shortest(self) -> int:
        """The shortest season; 1 where there is none."""
        return self.naive[0] if self.naive else 1

    def columns(self, grid: Grid, positions: NDArray[np.int64]) -> Values:
        """Return sines and cosines at positions ``(N, C)``."""
        return _waves(self.phases(grid, positions), [count for _, count in self.harmonics])

    def first_columns(self, grid: Grid, positions: NDArray[np.int64]) -> Values:
        """Return of each calendar the sine and cosine that are as long as itself ``(N, C)``."""
        return _waves(self.phases(grid, positions), [1] * len(self.harmonics))

    def phases(self, grid: Grid, positions: NDArray[np.int64]) -> Values:
        """Return where positions stand in each calendar, from 0 to 1 ``(N, C)``."""
        if not self.harmonics:
            return np.zeros((len(positions), 0))
        local = grid.local(positions)
        return np.stack([_phase(local, name) for name, _ in self.harmonics], axis=1)


def _waves(phases: Values, counts: Sequence[int]) -> Values:
    """Sines and cosines of so many multiples of each phase ``(N, C)``."""
    columns: list[Values] = []
    for phase, count in zip(phases.T, counts, strict=True):
        angle = 2 * np.pi * phase
        for k in range(1, count + 1):
            columns += [np.sin(k * angle), np.cos(k * angle)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(phases), 0))


def _phase(local: Values, name: str) -> Values:
    """Where moments stand in their day, week or year, from 0 to 1."""
    if name == "day":
        return np.asarray(local % DAY / DAY)
    if name == "week":
        return np.asarray((local - 4 * DAY) % WEEK / WEEK)
    days = np.floor(local / DAY).astype(np.int64).astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    length = (years + 1).astype("datetime64[D]") - years.astype("datetime64[D]")
    since = local - years.astype("datetime64[s]").astype(np.float64)
    return np.asarray(since / (length / np.timedelta64(1, "s")))


MOST_LAGS, LEAST_LAGS = 200, 24


def seasons_of(grid: Grid, rows: int, found: int | None) -> Seasons:
    """Return the seasons of a table, by the spacing of its rows, or by what was found in them.

    A calendar's season counts where the training part holds two of it.

    Args:
        grid: gives the spacing.
        rows: positions of the training part, of the longest series.
        found: season that the autocorrelation of the training part shows; None: it shows none.
    """
    gap = grid.seconds
    naive: list[int] = []
    harmonics: list[tuple[str, int]] = []
    if gap is not None:
        for name, length, most in (("day", DAY, 6), ("week", WEEK, 6), ("year", YEAR, 4)):
            period = length / gap
            if grid.kind == "week" and name == "week":
                period = len(grid.slots)
            if period < 1.9 or rows < 2 * period:
                continue
            terms = min(most if name != "year" or gap >= DAY else 2, int(period // 2))
            harmonics.append((name, terms))
            whole = round(period)
            if abs(period - whole) < 0.01 and whole <= max(MOST_LAGS, rows // 8):
                naive.append(whole)
    if found is not None and found not in naive and rows >= 3 * found:
        naive.append(found)
    naive.sort()
    fitting = [period for period in naive if period <= MOST_LAGS]
    lags = max([LEAST_LAGS, *(period if period > 30 else 2 * period for period in fitting)])
    if gap is not None and gap == DAY and 7 in naive:
        lags = max(lags, 56)
    lags = max(1, min(lags, rows // 8))
    most = min(MOST_LAGS, rows // 8)
    return Seasons(tuple(naive), lags, most if most > 1.5 * lags else lags, tuple(harmonics))


def warn_far(label: str, name: str, seen: Values, low: float, high: float, spread: float) -> None:
    """Warn where values lie far outside those of the training part: another unit, or sensor."""
    seen = seen[~np.isnan(seen)]
    if not len(seen) or spread <= 0:
        return
    middle = float(np.median(seen))
    off = max(low - middle, middle - high) / spread
    if off > 5:
        of = f" of {label}" if label else ""
        warnings.warn(
            f"{name}{of} is {middle:g} here (median), {off:.0f} deviations outside what the model "
            f"was fitted on ({low:g} to {high:g}): is it in another unit?",
            stacklevel=4,
        )
