"""Damped oscillators under noise that correct themselves by their error, fitted by likelihood."""

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.models.classical import mean_of_series
from torchliquid.bench.models.fitted import Forecast, Method, Values, lines_of_test
from torchliquid.bench.tasks.task import Task
from torchliquid.forecast import fit_oscillators

LONGEST = 2_000
"""Training steps that are looked at, the last ones."""


def fit_oscillator_filter(task: Task) -> Method:
    """Fit the filter to the training part of each lane with its own data; the target alone is seen.

    Nothing is chosen but by the likelihood of the training samples: validation steps play no part.
    """
    if task.series_id is not None:
        return mean_of_series
    train = slice(max(0, task.train - LONGEST), task.train)
    x, gaps, observed = _samples(task)
    fitted = fit_oscillators(x[:, train], gaps[:, train], observed[:, train])

    def forecast(task: Task) -> Forecast:
        x, gaps, observed = _samples(task)
        horizon = np.array([task.horizon(lane) for lane in range(len(x))])
        carry = fitted.predict(x, gaps, observed, horizon)
        (test,) = lines_of_test(task)
        reset = fitted.predict(x[:, test], gaps[:, test], observed[:, test], horizon)
        return Forecast(carry.astype(np.float32), reset.astype(np.float32), fitted.parameters)

    return forecast


def _samples(task: Task) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Samples, the time before each, and which were observed, ``(S, T)`` each."""
    x = task.inputs[:, :, 0].astype(np.float64)
    gaps = np.stack([task.gaps(lane) for lane in range(len(x))])
    observed = np.ones(x.shape, dtype=bool) if task.observed is None else task.observed
    return x, gaps, observed
