"""Statistics over lanes. The independent unit is the lane, never the time step."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchliquid.bench.judging.schema import Quantiles

LEVEL = 0.95
RESAMPLES = 9_999
LEAST = 6
"""Lanes that an interval needs: of five, lowest and highest hold the median in 94 % of draws."""
FEW = 16
"""Below so many lanes a bootstrap of the median is too short; order statistics are not."""
BOUND = 1e12
"""Ratios beyond this, as of a lane that diverged, count as this."""


@dataclass(frozen=True)
class Estimate:
    """A median over lanes and its bootstrap interval; not a number where it cannot be computed."""

    figure: float
    low: float
    high: float


def quantiles(values: ArrayLike) -> Quantiles:
    """Median, 10 % and 90 % quantile over lanes; None where lanes that diverged make it infinite.

    >>> quantiles([1.0, 2.0, 3.0])
    {'median': 2.0, 'q10': 1.2, 'q90': 2.8}
    """
    q10, middle, q90 = (float(q) for q in quantiles_along(values, 0))
    return {"median": finite(middle), "q10": finite(q10), "q90": finite(q90)}


def quantiles_along(values: ArrayLike, axis: int) -> NDArray[np.float64]:
    """10 % quantile, median and 90 % quantile over lanes, the first axis of the result.

    A lane that is not finite counts as infinitely bad. Quantiles between two finite lanes are
    interpolated; next to an infinite one they are infinite. Tables and figures both use this.

    >>> [float(q) for q in quantiles_along([1.0, 2.0, float("nan")], 0)]
    [1.2, 2.0, inf]
    """
    array = np.asarray(values, dtype=np.float64)
    array = np.sort(np.where(np.isfinite(array), array, np.inf), axis=axis)
    results = []
    for share in (0.1, 0.5, 0.9):
        position = share * (array.shape[axis] - 1)
        low, high = (array.take(int(f(position)), axis=axis) for f in (np.floor, np.ceil))
        weight = position - np.floor(position)
        with np.errstate(invalid="ignore"):
            mixed = low + (high - low) * weight
        results.append(np.where(np.isfinite(high), mixed, high if weight else low))
    return np.stack(results)


def median(values: ArrayLike) -> float:
    """The median over lanes, by `quantiles_along`.

    >>> median([1.0, 2.0, 4.0, float("nan")])
    3.0
    """
    return float(quantiles_along(values, 0)[1])


def finite(value: float) -> float | None:
    """The value rounded to what a reader of JSON needs, or None if it is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def paired_ratio(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """``first / second`` lane by lane, kept within `BOUND`; 1 where both diverged."""
    a = np.clip(np.nan_to_num(np.asarray(first, dtype=np.float64), nan=np.inf), 1 / BOUND, BOUND)
    b = np.clip(np.nan_to_num(np.asarray(second, dtype=np.float64), nan=np.inf), 1 / BOUND, BOUND)
    return np.asarray(np.clip(a / b, 1 / BOUND, BOUND))


def median_interval(values: ArrayLike, tests: int = 1) -> Estimate:
    """Median over lanes with its interval at `LEVEL`, or such that all of ``tests`` hold at once.

    Below `FEW` lanes it goes from one lane to another, in their order, that hold the median at
    least so often, whatever the distribution; from there on it is a percentile bootstrap. The
    resampling is seeded, and the same for all rows of a length. With fewer than `LEAST` lanes, or
    values that are not finite, there is no interval.

    >>> median_interval([2.0] * 10)
    Estimate(figure=2.0, low=2.0, high=2.0)
    """
    array = np.asarray(values, dtype=np.float64)
    figure = float(np.median(array)) if np.isfinite(array).all() else np.nan
    if len(array) < LEAST or not np.isfinite(figure):
        return Estimate(figure, np.nan, np.nan)
    if len(array) < FEW:
        outside = _outside(len(array), tests)
        if outside < 0:
            return Estimate(figure, -np.inf, np.inf)
        ordered = np.sort(array)
        return Estimate(figure, float(ordered[outside]), float(ordered[-1 - outside]))
    medians = np.median(array[_resamples(len(array), RESAMPLES)], axis=1)
    tail = 50 * (1 - LEVEL) / tests
    low, high = np.percentile(medians, [tail, 100 - tail])
    return Estimate(figure, float(low), float(high))


def _outside(lanes: int, tests: int = 1) -> int:
    """How many lanes at either end may be left out so that the others hold the median.

    Negative where even all of them do not hold it often enough.

    >>> [_outside(n) for n in (6, 8, 9, 12, 15)], _outside(6, tests=2)
    ([0, 0, 1, 2, 3], -1)
    """
    outside, tail = -1, 0.0
    while 2 * (tail := tail + math.comb(lanes, outside + 1) / 2**lanes) <= (1 - LEVEL) / tests:
        outside += 1
    return outside


@functools.cache
def _resamples(lanes: int, count: int) -> NDArray[np.int64]:
    """Which lanes each resample holds: hundreds of intervals of one benchmark share them."""
    return np.random.default_rng(0).integers(0, lanes, (count, lanes))


def interquartile_mean(ratios: NDArray[np.float64]) -> float:
    """The geometric mean of the middle half of ratios.

    >>> round(interquartile_mean(np.array([1e-9, 1.0, 4.0, 1e9])), 9)
    2.0
    """
    from scipy.stats import trim_mean

    return float(np.exp(trim_mean(np.log(ratios), 0.25)))


def share_below(ratios: NDArray[np.float64]) -> float:
    """The share of ratios below 1, those of 1 counting half.

    >>> share_below(np.array([0.5, 1.0, 2.0, 3.0]))
    0.375
    """
    return float(np.mean(ratios < 1) + np.mean(ratios == 1) / 2)


def verdict(estimate: Estimate, low: float, high: float) -> str:
    """Whether the whole interval lies in ``[low, high]``, wholly outside of it, or neither.

    >>> verdict(Estimate(0.5, 0.4, 0.6), 0, 1), verdict(Estimate(2, 1.5, 3), 0, 1)
    ('holds', 'does not hold')
    >>> verdict(Estimate(0.9, 0.8, 1.1), 0, 1)
    'inconclusive'
    """
    if low <= estimate.low and estimate.high <= high:
        return "holds"
    if estimate.high < low or estimate.low > high:
        return "does not hold"
    return "inconclusive"


def sign_flip(ratios: ArrayLike) -> float:
    """Two-sided p of paired ratios, if the sign of each one's logarithm were a toss.

    Wilcoxon's test: signs are flipped, and the ranks of the sizes are added, so that a lane that
    diverged counts no more than the largest. Not a number where a ratio is not finite.

    >>> sign_flip([2.0, 2.1, 2.2, 2.3, 2.4, 2.5]), sign_flip([1.0] * 6)
    (0.03125, 1.0)
    """
    from scipy.stats import wilcoxon

    logs = np.log(np.asarray(ratios, dtype=np.float64))
    if not np.isfinite(logs).all():
        return float("nan")
    logs = logs[logs != 0]
    return float(wilcoxon(logs).pvalue) if len(logs) else 1.0


def holm(ps: Sequence[float], tests: int | None = None) -> list[float]:
    """Holm's correction of several p-values; one that is not a number counts as 1.

    Args:
        ps: of the tests that were made.
        tests: how many were planned; those that were not made count as p = 1.

    >>> holm([0.01, 0.04, 0.03]), holm([0.01], tests=12)
    ([0.03, 0.06, 0.06], [0.12])
    """
    values = np.nan_to_num(np.asarray(ps, dtype=np.float64), nan=1.0)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (max(len(values), tests or 0) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]
