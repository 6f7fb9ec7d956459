"""What a sceptic tries first: persistence, and ridge regression on the last few inputs."""

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.task import Array, Task

ORDERS = (1, 2, 4, 8, 16, 32)
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties, in units of the number of training rows; the largest all but shrink to a
constant (of the change: to persistence)."""

_Matrix = NDArray[np.float64]


def persistence(task: Task) -> tuple[Array, Array, int]:
    """The next value is the current one: predictions carried and reset, and 0 parameters."""
    carry = task.inputs[:, :, 0]
    return carry, carry[:, task.steps - task.test :], 0


def mean(task: Task) -> tuple[Array, Array, int]:
    """The mean of the training targets, always: predictions carried and reset, and 1 parameter."""
    level = np.nanmean(task.targets[:, : task.train], axis=1, keepdims=True, dtype=np.float64)
    carry = np.broadcast_to(level, task.targets.shape).astype(np.float32)
    return carry, carry[:, task.steps - task.test :], 1


def choices(task: Task) -> list[tuple[int, float]]:
    """Order and penalty of `ridge_ar`, for each lane that has data of its own."""
    inputs = task.timed_inputs().astype(np.float64)
    return [
        _choose(*_lane(task, inputs, lane), task)
        for lane in range(max(len(inputs), len(task.targets)))
    ]


def edge_note(chosen: list[tuple[int, float]]) -> list[str]:
    """What to say where the largest penalty was the best one."""
    lanes = sum(penalty == PENALTIES[-1] for _, penalty in chosen)
    if not lanes:
        return []
    where = "" if len(chosen) == 1 else f" in {lanes} of {len(chosen)} lanes"
    return [
        f"the largest penalty was the best on the validation steps{where}: there it all but "
        "repeats a constant (where changes are predicted, the last value)"
    ]


def _lane(task: Task, inputs: _Matrix, lane: int) -> tuple[_Matrix, _Matrix]:
    """A lane's inputs and what is to be predicted from them."""
    x = inputs[min(lane, len(inputs) - 1)]
    y = task.targets[min(lane, len(task.targets) - 1)].astype(np.float64)
    return x, y if task.change is None else y - x[:, 0]


def ridge_ar(task: Task, chosen: list[tuple[int, float]] | None = None) -> tuple[Array, Array, int]:
    """Linear regression on the last p inputs of every feature, with a ridge penalty.

    Order p and penalty are chosen on the validation steps; a task without them gives the last fifth
    of its training steps for the choice, and the chosen model is fitted again on all of them.
    Where fewer than p inputs have been seen, at the start or after a reset, the prediction is that
    of the order which they allow, fitted alike.

    Args:
        task: gives data and split.
        chosen: order and penalty of each lane, as `choices` finds them.

    Returns:
        Predictions ``(S or 1, T)`` carried, ``(S or 1, N)`` reset, and the number of parameters of
        order p (the median over lanes, since each lane chooses its own).
    """
    inputs, test = task.timed_inputs().astype(np.float64), task.steps - task.test
    carried, reset, sizes = [], [], []
    for lane, (order, penalty) in enumerate(chosen or choices(task)):
        x, y = _lane(task, inputs, lane)
        base = np.zeros(len(x)) if task.change is None else x[:, 0]
        weights = [_fit(x, y, k, penalty, task.train) for k in range(1, order + 1)]
        carried.append(base + _predict(x, weights))
        reset.append(base[test:] + _predict(x[test:], weights))
        sizes.append(len(weights[-1]))
    return (
        np.asarray(carried, dtype=np.float32),
        np.asarray(reset, dtype=np.float32),
        int(np.median(sizes)),
    )


def _choose(x: _Matrix, y: _Matrix, task: Task) -> tuple[int, float]:
    fit = task.train if task.valid else task.train - task.train // 5
    end = task.train + task.valid
    best = (np.inf, ORDERS[0], PENALTIES[-1])
    seen = fit + np.flatnonzero(~np.isnan(y[fit:end]))
    if not len(seen):  # nothing to choose on
        return best[1:]
    for order in ORDERS:
        if 2 * order * x.shape[1] > fit:
            break
        for penalty in PENALTIES:
            prediction = _lags(x, order)[seen] @ _fit(x, y, order, penalty, fit)
            error = float(np.mean((prediction - y[seen]) ** 2))
            best = min(best, (error, order, penalty))
    return best[1:]


def _lags(x: _Matrix, order: int) -> _Matrix:
    """Rows ``[x_t, x_{t-1}, ..., x_{t-order+1}, 1]`` for every step of ``x (T, I)``.

    The first ``order - 1`` rows lack some of their inputs: zeros stand there.
    """
    padded = np.concatenate([np.zeros((order - 1, x.shape[1])), x])
    lags = [padded[order - 1 - k : len(padded) - k] for k in range(order)]
    return np.concatenate([*lags, np.ones((len(x), 1))], axis=1)


def _fit(x: _Matrix, y: _Matrix, order: int, penalty: float, end: int) -> _Matrix:
    """Weights from the steps before ``end`` whose inputs and target are all there."""
    rows, y = _lags(x[:end], order)[order - 1 :], y[order - 1 : end]
    seen = ~np.isnan(y)
    rows, y = rows[seen], y[seen]
    shrink = penalty * len(rows) * np.eye(rows.shape[1])
    shrink[-1, -1] = 0.0  # the intercept is not shrunk
    return np.asarray(np.linalg.lstsq(rows.T @ rows + shrink, rows.T @ y)[0])


def _predict(x: _Matrix, weights: list[_Matrix]) -> _Matrix:
    """Predictions for every step, ``weights[k]`` being those of order ``k + 1``."""
    prediction = _lags(x, len(weights)) @ weights[-1]
    for step in range(min(len(weights) - 1, len(x))):
        prediction[step] = _lags(x[: step + 1], step + 1)[-1] @ weights[step]
    return prediction
