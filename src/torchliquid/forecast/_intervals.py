"""Intervals from a forecast's own errors, at a level that follows how often they were wrong.

For each horizon the half width is a quantile of the last errors, so that the given share of them
lies within. Which quantile follows the record of all horizons: after more misses than asked for the
next intervals are wider. Errors count from the time at which their target is there.

Source: split conformal prediction over a window; adaptive conformal inference (Gibbs and Candès,
2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from torchliquid.forecast._history import Values

MOST_SCORES = 500
"""Errors that are remembered for each horizon."""
RATE = 0.005
"""How fast a level follows its record."""
REFRESHED = 24
"""Errors after which quantiles are taken anew."""
LEAST_STRETCHES = 10
"""Stretches as long as the horizon, next to each other, that validation rows must hold."""


@dataclass
class Intervals:
    """The errors of one series, and the levels of its intervals.

    Args:
        levels: coverages asked for ``(L,)``, such as 0.9.
        scores: absolute errors by the time of their target, the oldest first ``(M, H)``; NaN where
            a target was missing.
        misses: share of errors that are to lie outside, as it is now ``(L,)``.
        given: half widths at the last H times ``(H, L, H)``, the oldest first.
    """

    levels: Values
    scores: Values
    misses: Values
    given: Values
    fresh: int = 0

    def __post_init__(self) -> None:
        self.ordered = np.sort(self.scores, axis=0)

    @classmethod
    def start(cls, levels: Sequence[float], errors: Values) -> Intervals:
        """Return intervals from errors by the time of their target ``(N, H)``."""
        asked, horizon = np.asarray(levels, dtype=np.float64), errors.shape[1]
        scores = np.abs(errors[-MOST_SCORES:])
        found = cls(asked, scores, 1 - asked, np.zeros((0, len(asked), horizon)))
        found.given = np.repeat(found.widths()[None], horizon, axis=0)
        return found

    def widths(self) -> Values:
        """Return the half width for each level and horizon ``(L, H)``; NaN without errors."""
        return _quantiles(self.ordered, self.misses)

    def follow(self, errors: Values) -> Values:
        """Take errors in, and return which of them each level covered ``(N, L, H)``.

        Args:
            errors: by the time of their target ``(N, H)``: of the forecasts made 1 ... H before.
                NaN where a target is missing.

        Returns:
            1 where an error was within the width that held when the forecast was made, 0 where it
            was not, NaN where a target is missing.
        """
        sizes, horizon = np.abs(errors), errors.shape[1]
        if not len(self.levels):
            return np.zeros((len(sizes), 0, horizon))
        covered = np.full((len(sizes), len(self.levels), horizon), np.nan)
        ago = np.arange(horizon)
        for row, size in enumerate(sizes):
            width = self.given[horizon - 1 - ago, :, ago].T  # of h steps ago, for h steps ahead
            within, there = size <= width, ~np.isnan(size) & ~np.isnan(width[0])
            covered[row][:, there] = within[:, there]
            if there.any():
                missed = 1 - within[:, there].mean(axis=1)
                self.misses = np.clip(self.misses + RATE * (1 - self.levels - missed), 0.0, 1.0)
            self.scores = np.concatenate([self.scores[-MOST_SCORES + 1 :], size[None]])
            self.fresh += 1
            if self.fresh >= REFRESHED:
                self.ordered, self.fresh = np.sort(self.scores, axis=0), 0
            self.given = np.concatenate([self.given[1:], self.widths()[None]])
        return covered


def by_target(errors: Values) -> Values:
    """Errors of forecasts made at N times ``(N, H)``, by the time of their target ``(N, H)``.

    Row t holds those of the forecasts made 1 ... H before t; NaN where there was none.

    >>> by_target(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    array([[nan, nan],
           [ 1., nan],
           [ 3.,  2.]])
    """
    found = np.full(errors.shape, np.nan)
    for k in range(min(errors.shape[1], len(errors) - 1)):
        found[k + 1 :, k] = errors[: len(errors) - k - 1, k]
    return found


def _quantiles(ordered: Values, misses: Values) -> Values:
    """The smallest error that leaves this share above, of errors in order ``(M, H)``."""
    if not len(ordered):
        return np.full((len(misses), ordered.shape[1]), np.nan)
    there = (~np.isnan(ordered)).sum(axis=0)
    index = np.ceil((there + 1) * (1 - misses[:, None])).astype(np.int64) - 1
    found = np.take_along_axis(ordered, np.clip(index, 0, np.maximum(there - 1, 0)), axis=0)
    # beyond the largest error seen none is wide enough: half as much again
    found = np.where(index >= there, 1.5 * found, found)
    return np.where(there == 0, np.nan, found)
