"""What a sceptic tries first: simple forecasts, and ridge regression on the last few inputs."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.models.fitted import (
    Forecast,
    Method,
    lanes_of,
    lines_of_test,
    parts_to_fit,
)
from torchliquid.bench.tasks.task import Array, StepIndex, Task

ORDERS = (1, 2, 4, 8, 16, 32)
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties, in units of the number of training rows; the largest all but shrink to a
constant (of the change: to persistence)."""
LEAST_SEASON, NEARLY = 0.3, 0.85
"""Autocorrelation of changes from which a season counts, and as a share of the highest."""

_Matrix = NDArray[np.float64]
BLOCK = 2**16
"""Rows of regressors that are in memory at a time."""


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

    The season is the training part's (`season`), in steps, of several series that which most of
    them have; without one, or before one has passed, the current value. Unevenly spaced rows have
    none.
    """
    horizon = int(task.spec.get("horizon", 1))
    test = task.steps - task.test
    lines = task.timelines()
    carry, reset = [], []
    periods: list[str] = []
    for lane in task.inputs[:, :, 0]:
        period = None
        if not isinstance(task.dt, np.ndarray):
            seasons = Counter(season(lane[line[line < task.train]]) for line in lines)
            period = seasons.most_common(1)[0][0]
        back = 0 if period is None else -(-horizon // period) * period - horizon
        if period is not None and str(period) not in periods:
            periods.append(str(period))
        carry.append(_delayed(lane, back, lines))
        reset.append(_delayed(lane, back, lines_of_test(task))[test:])
    if periods:
        note = (
            f"season of {' or '.join(map(str, sorted(periods)))} rows, found in the training part"
        )
    else:
        note = "no season was found in the training part: it repeats the last value"
    return Forecast(np.stack(carry), np.stack(reset), 1, (note,))


def _delayed(x: Array, steps: int, lines: list[StepIndex]) -> Array:
    delayed = x.copy()
    if steps:
        for line in lines:
            delayed[line[steps:]] = x[line[:-steps]]
    return delayed


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
    return [_choose(lane, task) for lane in _lanes(task)]


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


def ridge_ar(task: Task) -> Forecast:
    """Linear regression on the last p inputs of every feature, with a ridge penalty.

    Order p and penalty are chosen on the validation steps; a task without them gives the last fifth
    of its training steps for the choice, and the chosen model is fitted again on all of them.
    Where fewer than p inputs have been seen, at the start of a series or after a reset, the
    prediction is that of the order which they allow, fitted alike.

    Returns:
        The forecast; its parameters are those of order p (the median over lanes, since each lane
        chooses its own).
    """
    return fit_ridge_ar(task)(task)


def fit_ridge_ar(task: Task) -> Method:
    """`ridge_ar` as fitted to a task, to forecast that task or one whose test part is another."""
    chosen = choices(task)
    fitted = [
        [lane.moments(k, task.train).fit(penalty) for k in range(1, order + 1)]
        for lane, (order, penalty) in zip(_lanes(task), chosen, strict=True)
    ]

    def forecast(task: Task) -> Forecast:
        test = task.steps - task.test
        carried, reset = [], []
        for index, lane in enumerate(_lanes(task)):
            weights = fitted[min(index, len(fitted) - 1)]
            base = 0.0 if task.change is None else lane.x[:, 0]
            carried.append(base + lane.predict(weights, task.timelines()))
            reset.append((base + lane.predict(weights, lines_of_test(task)))[test:])
        return Forecast(
            np.asarray(carried, dtype=np.float32),
            np.asarray(reset, dtype=np.float32),
            int(np.median([len(weights[-1]) for weights in fitted])),
            edge_note(chosen),
        )

    return forecast


def _choose(lane: "_Lane", task: Task) -> tuple[int, float]:
    fit, end = parts_to_fit(task)
    best = (np.inf, ORDERS[0], PENALTIES[-1])
    seen = fit + np.flatnonzero(~np.isnan(lane.y[fit:end]))
    if not len(seen):  # nothing to choose on
        return best[1:]
    for order in ORDERS:
        moments = lane.moments(order, fit)
        if 2 * order * lane.x.shape[1] > fit or not moments.rows:
            break
        weights = np.stack([moments.fit(penalty) for penalty in PENALTIES], axis=1)
        error = np.zeros(len(PENALTIES))
        for steps in _blocks(seen):
            wrong = lane.rows(steps, order, lane.before) @ weights - lane.y[steps, None]
            error += (wrong**2).sum(axis=0)
        candidates = zip((error / len(seen)).tolist(), PENALTIES, strict=True)
        best = min(best, *((e, order, penalty) for e, penalty in candidates))
    return best[1:]


def _positions(lines: list[StepIndex], steps: int) -> tuple[StepIndex, StepIndex]:
    """The step before each, and how many there are, in its series; -1 where there is none."""
    before, positions = np.full(steps, -1), np.full(steps, -1)
    for line in lines:
        before[line[1:]] = line[:-1]
        positions[line] = np.arange(len(line))
    return before, positions


def _blocks(steps: StepIndex) -> Iterator[StepIndex]:
    for start in range(0, len(steps), BLOCK):
        yield steps[start : start + BLOCK]


class _Moments(NamedTuple):
    """All that a fit needs of its rows: products among regressors and with targets, and a count."""

    among: _Matrix
    with_target: _Matrix
    rows: int

    def fit(self, penalty: float) -> _Matrix:
        shrink = penalty * self.rows * np.eye(len(self.among))
        shrink[-1, -1] = 0.0  # the intercept is not shrunk
        return np.asarray(np.linalg.lstsq(self.among + shrink, self.with_target, rcond=None)[0])


class _Lane(NamedTuple):
    """Inputs ``(T, I)`` of a lane, what is to be predicted from them ``(T,)``, and `_positions`."""

    x: _Matrix
    y: _Matrix
    before: StepIndex
    positions: StepIndex

    def rows(self, steps: StepIndex, order: int, before: StepIndex) -> _Matrix:
        """``[x_t, x_{t-1}, ..., x_{t-order+1}, 1]``, zeros where its series has not begun."""
        at, lags = steps, []
        for _ in range(order):
            lags.append(np.where(at[:, None] >= 0, self.x[at], 0.0))
            at = np.where(at >= 0, before[at], -1)
        return np.concatenate([*lags, np.ones((len(steps), 1))], axis=1)

    def moments(self, order: int, end: int) -> _Moments:
        """Of the steps before ``end`` whose inputs and target are all there."""
        size = order * self.x.shape[1] + 1
        among, with_target = np.zeros((size, size)), np.zeros(size)
        seen = np.flatnonzero((self.positions[:end] >= order - 1) & ~np.isnan(self.y[:end]))
        for steps in _blocks(seen):
            rows = self.rows(steps, order, self.before)
            among += rows.T @ rows
            with_target += rows.T @ self.y[steps]
        return _Moments(among, with_target, len(seen))

    def predict(self, weights: list[_Matrix], lines: list[StepIndex]) -> _Matrix:
        """Predictions for the steps of these series, ``weights[k]`` being those of order k + 1."""
        before, positions = _positions(lines, len(self.x))
        prediction = np.zeros(len(self.x))
        for order, fitted in enumerate(weights, start=1):
            last = order == len(weights)
            now = positions >= order - 1 if last else positions == order - 1
            for steps in _blocks(np.flatnonzero(now)):
                prediction[steps] = self.rows(steps, order, before) @ fitted
        return prediction


def _lanes(task: Task) -> Iterator[_Lane]:
    before, positions = _positions(task.timelines(), task.steps)
    for x, y in lanes_of(task):
        yield _Lane(x, y, before, positions)
