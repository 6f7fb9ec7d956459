"""What a sceptic tries first: simple forecasts, and ridge regression on the last few inputs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.task import Array, Task

ORDERS = (1, 2, 4, 8, 16, 32)
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties, in units of the number of training rows; the largest all but shrink to a
constant (of the change: to persistence)."""
LEAST_SEASON, NEARLY = 0.3, 0.85
"""Autocorrelation of changes from which a season counts, and as a share of the highest."""

_Matrix = NDArray[np.float64]


class Forecast(NamedTuple):
    """What a model without training says: predictions ``(S or 1, T)`` with the past at hand.

    ``reset`` ``(S or 1, N)`` are those of the test stretch without anything before it.
    """

    carry: Array
    reset: Array
    parameters: int = 0
    notes: tuple[str, ...] = ()


def persistence(task: Task) -> Forecast:
    """The next value is the current one."""
    carry = task.inputs[:, :, 0]
    return Forecast(carry, carry[:, task.steps - task.test :])


def mean(task: Task) -> Forecast:
    """The mean of the training targets, always."""
    level = np.nanmean(task.targets[:, : task.train], axis=1, keepdims=True, dtype=np.float64)
    carry = np.broadcast_to(level, task.targets.shape).astype(np.float32)
    return Forecast(carry, carry[:, task.steps - task.test :], 1)


def seasonal(task: Task) -> Forecast:
    """The value one season before the one asked for, or the season before where that is to come.

    The season is the training part's (`season`), in steps; without one, or before one has passed,
    the current value. Unevenly spaced rows have none.
    """
    horizon = int(task.spec.get("horizon", 1))
    test = task.steps - task.test
    found = [season(lane[: task.train, 0]) for lane in task.inputs]
    if isinstance(task.dt, np.ndarray):
        found = [None] * len(task.inputs)
    carry, reset = [], []
    for period, lane in zip(found, task.inputs[:, :, 0], strict=True):
        back = 0 if period is None else -(-horizon // period) * period - horizon
        carry.append(_delayed(lane, back))
        reset.append(_delayed(lane[test:], back))
    periods = sorted({period for period in found if period is not None})
    if periods:
        words = f"season of {' or '.join(map(str, periods))} rows, found in the training part"
    else:
        words = "no season was found in the training part: it repeats the last value"
    return Forecast(np.stack(carry), np.stack(reset), 1, (words,))


def _delayed(x: Array, steps: int) -> Array:
    return x if not steps else np.concatenate([x[:steps], x[:-steps]])


def season(x: NDArray[np.floating]) -> int | None:
    """The season of a stretch: where its changes are most like themselves some steps before.

    A lag counts where the autocorrelation of the changes has a peak, of at least `LEAST_SEASON`
    and beyond twice its standard error (Bartlett's, as for the lags before it). The highest wins,
    or a shorter one nearly as high (`NEARLY`). It is at most a third of the stretch.

    >>> season(np.tile([0.0, 3.0, 1.0, -2.0, 2.0], 20))
    5
    """
    changes = np.diff(np.asarray(x, dtype=np.float64))
    longest = len(x) // 3
    if longest < 3 or changes.min() == changes.max():
        return None
    changes = changes - changes.mean()
    spectrum = np.fft.rfft(changes, 2 * len(changes))
    products = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 2]
    likeness = products / products[0]  # less for long lags: a season wins over its multiples
    error = np.sqrt((1 + 2 * np.cumsum(likeness[1:] ** 2)) / len(changes))
    lags = np.arange(2, longest + 1)
    here = likeness[lags]
    peak = (here >= likeness[lags - 1]) & (here >= likeness[lags + 1])
    counts = peak & (here >= LEAST_SEASON) & (here > 2 * error[lags - 2])
    if not counts.any():
        return None
    # a multiple of the season may be higher by chance
    return int(lags[counts & (here > NEARLY * here[counts].max())][0])


def choices(task: Task) -> list[tuple[int, float]]:
    """Order and penalty of `ridge_ar`, for each lane that has data of its own."""
    inputs = task.timed_inputs().astype(np.float64)
    return [
        _choose(*_lane(task, inputs, lane), task)
        for lane in range(max(len(inputs), len(task.targets)))
    ]


def edge_note(chosen: list[tuple[int, float]]) -> tuple[str, ...]:
    """What to say where the largest penalty was the best one."""
    lanes = sum(penalty == PENALTIES[-1] for _, penalty in chosen)
    if not lanes:
        return ()
    where = "" if len(chosen) == 1 else f" in {lanes} of {len(chosen)} lanes"
    return (
        f"the largest penalty was the best on the validation steps{where}: there it all but "
        "repeats a constant (where changes are predicted, the last value)",
    )


def _lane(task: Task, inputs: _Matrix, lane: int) -> tuple[_Matrix, _Matrix]:
    """A lane's inputs and what is to be predicted from them."""
    x = inputs[min(lane, len(inputs) - 1)]
    y = task.targets[min(lane, len(task.targets) - 1)].astype(np.float64)
    return x, y if task.change is None else y - x[:, 0]


def ridge_ar(task: Task) -> Forecast:
    """Linear regression on the last p inputs of every feature, with a ridge penalty.

    Order p and penalty are chosen on the validation steps; a task without them gives the last fifth
    of its training steps for the choice, and the chosen model is fitted again on all of them.
    Where fewer than p inputs have been seen, at the start or after a reset, the prediction is that
    of the order which they allow, fitted alike.

    Returns:
        The forecast; its parameters are those of order p (the median over lanes, since each lane
        chooses its own).
    """
    chosen = choices(task)
    inputs, test = task.timed_inputs().astype(np.float64), task.steps - task.test
    carried, reset, sizes = [], [], []
    for lane, (order, penalty) in enumerate(chosen):
        x, y = _lane(task, inputs, lane)
        base = np.zeros(len(x)) if task.change is None else x[:, 0]
        weights = [_fit(x, y, k, penalty, task.train) for k in range(1, order + 1)]
        carried.append(base + _predict(x, weights))
        reset.append(base[test:] + _predict(x[test:], weights))
        sizes.append(len(weights[-1]))
    return Forecast(
        np.asarray(carried, dtype=np.float32),
        np.asarray(reset, dtype=np.float32),
        int(np.median(sizes)),
        edge_note(chosen),
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


METHODS: dict[str, tuple[str, Callable[[Task], Forecast]]] = {
    "ridge-AR": (
        "ridge regression on the last p inputs, p and penalty chosen on validation steps",
        ridge_ar,
    ),
    "persistence": ("the next value is the current one", persistence),
    "mean": ("the mean of the training targets, always", mean),
    "seasonal": ("the value a season before, where the training part has a season", seasonal),
}
"""Models without training by epochs: a line for the reader of a table, and the method."""
