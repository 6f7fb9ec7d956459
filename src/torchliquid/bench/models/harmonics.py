"""Regression on sines of unknown frequencies: the floor where a series is a sum of sines.

Sines are added one by one, each where the periodogram of what is left has its peak; after each, all
frequencies are refined together. How many are kept is chosen by a criterion of Schwarz's kind
(Djuric, "A model selection rule for sinusoids in white Gaussian noise", 1996). The forecast is the
sum, extrapolated: it never looks at the test stretch.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.models.classical import mean_of_series
from torchliquid.bench.models.fitted import Forecast, Method
from torchliquid.bench.tasks.task import Task

MOST = 6
"""Sines that are tried at most."""
LONGEST = 2_000
"""Training steps that are looked at, the last ones."""
FINER = 4
"""Frequencies of the periodogram for each one that the stretch can separate."""

_Values = NDArray[np.float64]


def fit_harmonics(task: Task) -> Method:
    """Frequencies, amplitudes and phases from the training part of each lane with its own data."""
    if task.series_id is not None:
        return mean_of_series
    curves = [
        _fit_curve(_when(task, lane)[: task.train], y[: task.train])
        for lane, y in enumerate(task.targets.astype(np.float64))
    ]

    def forecast(task: Task) -> Forecast:
        carry = np.stack(
            [_design(w, _when(task, lane)) @ b for lane, (w, b) in enumerate(curves)]
        ).astype(np.float32)
        counts = sorted({len(w) for w, _ in curves})
        counts_text = " or ".join(map(str, counts))
        return Forecast(
            carry,
            carry[:, task.steps - task.test :],
            int(np.median([3 * len(w) + 1 for w, _ in curves])),
            (f"{counts_text} sines were fitted; it never sees the test part",),
        )

    return forecast


def _when(task: Task, lane: int) -> _Values:
    """When each target of a lane is, in median training gaps."""
    dt = task.gaps(lane)
    return np.asarray((np.cumsum(dt) + task.horizon(lane)) / np.median(dt[: task.train]))


def _fit_curve(when: _Values, y: _Values) -> tuple[_Values, _Values]:
    """Frequencies ``(k,)`` and coefficients ``(2 k + 1,)`` of a stretch."""
    from scipy.optimize import least_squares
    from scipy.signal import lombscargle

    there = np.flatnonzero(~np.isnan(y))[-LONGEST:]
    when, y = when[there], y[there]
    frequencies = np.empty(0)
    best = (_criterion(0, y - y.mean()), frequencies, np.array([y.mean()]))
    # up to the highest frequency that even samples resolve; from half a period in the stretch
    span = when[-1] - when[0]
    grid = np.linspace(np.pi / span, np.pi, max(8, int(FINER * span)))
    for _ in range(MOST):
        left = _residual(frequencies, when, y)
        if np.ptp(left) <= 1e-9 * np.abs(y).max() or len(y) < 4 * (len(frequencies) + 2):
            break
        peak = grid[np.argmax(lombscargle(when, left - left.mean(), grid))]
        run = partial(_residual, when=when, y=y)
        refined = least_squares(run, np.append(frequencies, peak), x_scale=1 / span, max_nfev=50)
        frequencies = np.abs(refined.x)
        criterion = _criterion(len(frequencies), refined.fun)
        if criterion < best[0]:
            best = (criterion, frequencies, _coefficients(frequencies, when, y))
    return best[1:]


def _criterion(sines: int, left: _Values) -> float:
    """A frequency counts three times: it is known ever better in a longer stretch (Djuric 1996)."""
    error = np.mean(left**2) + np.finfo(float).tiny
    return float(len(left) * np.log(error) + (5 * sines + 1) * np.log(len(left)))


def _design(frequencies: _Values, when: _Values) -> _Values:
    angles = when[:, None] * frequencies
    return np.concatenate([np.ones((len(when), 1)), np.sin(angles), np.cos(angles)], axis=1)


def _coefficients(frequencies: _Values, when: _Values, y: _Values) -> _Values:
    return np.asarray(np.linalg.lstsq(_design(frequencies, when), y, rcond=1e-10)[0])


def _residual(frequencies: _Values, when: _Values, y: _Values) -> _Values:
    return np.asarray(y - _design(frequencies, when) @ _coefficients(frequencies, when, y))
