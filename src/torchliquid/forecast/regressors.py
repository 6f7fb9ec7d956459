"""What a linear regression on the past sees at each step: lags, as they are or interpolated."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Steps = NDArray[np.int64]


class Regressors(Protocol):
    """Lags of several features at each of T steps.

    ``features`` is how many there are, I; ``available (T,)`` how many lags there are at each step,
    0 at steps of no series.
    """

    features: int
    available: Steps

    def rows(self, steps: Steps, order: int) -> Values:
        """Return the lags ``(N, order * I)`` at some steps, the latest first; 0 where absent."""

    def along(self, lines: Sequence[Steps]) -> "Regressors":
        """Return the same values along other series: nothing before their first steps is seen."""


class Lags:
    """The last samples as they are.

    Args:
        x: samples ``(T, I)``.
        lines: the steps of each series, in time order.
    """

    def __init__(self, x: Values, lines: Sequence[Steps]) -> None:
        self.x, self.features = x, x.shape[1]
        self.before, self.available = np.full(len(x), -1), np.zeros(len(x), dtype=np.int64)
        for line in lines:
            self.before[line[1:]] = line[:-1]
            self.available[line] = np.arange(1, len(line) + 1)

    def rows(self, steps: Steps, order: int) -> Values:
        """See `Regressors`."""
        at, lags = steps, []
        for _ in range(order):
            lags.append(np.where(at[:, None] >= 0, self.x[at], 0.0))
            at = np.where(at >= 0, self.before[at], -1)
        return np.concatenate(lags, axis=1)

    def along(self, lines: Sequence[Steps]) -> "Lags":
        """See `Regressors`."""
        return Lags(self.x, lines)


class InterpolatedLags:
    """The past on an even grid that ends now, interpolated linearly between observed samples.

    A value after the last observed sample is that sample's: nothing later is seen.

    Args:
        x: samples ``(T, I)``.
        lines: the steps of each series, in time order.
        clock: the time of each step ``(T,)``, increasing along each series.
        observed: which samples were observed ``(T,)``; None: all.
        spacing: of the grid.
    """

    def __init__(
        self,
        x: Values,
        lines: Sequence[Steps],
        clock: Values,
        observed: NDArray[np.bool_] | None,
        spacing: float,
    ) -> None:
        self.x, self.features = x, x.shape[1]
        self.lines, self.clock, self.spacing = lines, clock, spacing
        self.observed = np.ones(len(x), dtype=bool) if observed is None else observed
        self.line_of = np.full(len(x), -1)
        self.available = np.zeros(len(x), dtype=np.int64)
        for k, line in enumerate(lines):
            self.line_of[line] = k
            if len(line):
                since = (clock[line] - clock[line[0]]) / spacing
                self.available[line] = 1 + np.floor(since + 1e-6).astype(np.int64)

    def rows(self, steps: Steps, order: int) -> Values:
        """See `Regressors`."""
        past = np.arange(order) < self.available[steps, None]
        return np.where(past[..., None], self.values(steps, order), 0.0).reshape(len(steps), -1)

    def values(self, steps: Steps, order: int) -> Values:
        """Return the past of some steps ``(N, order, I)``, the latest first.

        Before a series begins it is the first observed value.
        """
        values = np.zeros((len(steps), order, self.features))
        for k in np.unique(self.line_of[steps]):
            if k < 0:
                continue
            here = np.flatnonzero(self.line_of[steps] == k)
            values[here] = self._of_line(self.lines[k], steps[here], order)
        return values

    def _of_line(self, line: Steps, steps: Steps, order: int) -> Values:
        seen = line[self.observed[line]]
        if not len(seen):
            return np.zeros((len(steps), order, self.features))
        times = self.clock[seen]
        now = self.clock[steps]
        last = times[np.maximum(np.searchsorted(times, now, side="right") - 1, 0)]
        asked = np.minimum(now[:, None] - self.spacing * np.arange(order), last[:, None])
        return np.stack([np.interp(asked, times, x) for x in self.x[seen].T], axis=-1)

    def along(self, lines: Sequence[Steps]) -> "InterpolatedLags":
        """See `Regressors`."""
        return InterpolatedLags(self.x, lines, self.clock, self.observed, self.spacing)
