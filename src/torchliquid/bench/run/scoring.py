"""Errors of predictions: the same few lines for every model."""

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.task import Array, Task

DIVERGED = 10.0
"""A lane has diverged if its training error is not finite or above so many times the variance."""

Errors = NDArray[np.float64]


def mse(prediction: Array, target: Array) -> Errors:
    """Mean squared error ``(S,)`` of ``prediction (S, N)``; missing targets (NaN) do not count.

    NaN where there is no target at all.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        error = (prediction.astype(np.float64) - target) ** 2
        error[np.isnan(prediction) & ~np.isnan(target)] = np.inf
        count = (~np.isnan(error)).sum(axis=1)
        return np.asarray(np.nansum(error, axis=1) / np.where(count, count, np.nan))


def score(
    task: Task, carry: Array, reset: Array, last: Errors | None = None, warm_up: int = 0
) -> dict[str, NDArray[np.generic]]:
    """The rows of `Run.arrays` that every model has. Lanes that diverged count as infinitely bad.

    Args:
        task: gives the targets.
        carry: predictions ``(S, T)``, state from zero at the first step and carried to the last.
        reset: predictions ``(S, N)`` of the test stretch, state from zero at its first step.
        last: training error ``(S,)`` after the last epoch, where earlier weights may have been
            kept: choosing the epoch must not hide that the training went astray.
        warm_up: steps at the start of each series that the training error leaves out.
    """
    test = task.steps - task.test
    counted = np.arange(task.train)
    if warm_up:
        counted = np.setdiff1d(
            counted, np.concatenate([line[:warm_up] for line in task.timelines()])
        )
    rows: dict[str, Errors] = {}
    kinds = {"": task.targets} | ({"_clean": task.clean} if task.clean is not None else {})
    for suffix, target in kinds.items():
        rows["train_mse" + suffix] = mse(carry[:, counted], target[:, counted])
        rows["test_mse_reset" + suffix] = mse(reset, target[:, test:])
        rows["test_mse_carry" + suffix] = mse(carry[:, test:], target[:, test:])
    if task.series_id is not None:
        of_test = task.series_id[test:]
        rows["series_mse_carry"] = np.stack(
            [
                mse(carry[:, test:][:, of_test == k], task.targets[:, test:][:, of_test == k])
                for k in range(len(task.series_names))
            ],
            axis=1,
        )
    limit = DIVERGED * np.nanvar(task.targets[:, : task.train], axis=1)
    diverged = ~(rows["train_mse"] <= limit)
    if last is not None:
        diverged |= ~(last <= limit)
    errors = {
        name: np.where(diverged if error.ndim == 1 else diverged[:, None], np.inf, error)
        for name, error in rows.items()
    }
    return errors | {
        "diverged": diverged,
        "prediction_carry": carry,
        "prediction_reset": reset,
    }


def per_lane(prediction: Array, lanes: int) -> Array:
    """One row a lane, also where all lanes see the same data and so predict the same."""
    return np.ascontiguousarray(np.broadcast_to(prediction, (lanes, prediction.shape[1])))
