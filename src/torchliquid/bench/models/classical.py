"""What a sceptic tries first: simple forecasts, and ridge regression on the last few inputs."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from torchliquid.bench.models.fitted import (
    Forecast,
    Method,
    Values,
    lanes_of,
    lines_of_test,
)
from torchliquid.bench.tasks.task import Array, StepIndex, Task
from torchliquid.forecast import (
    PENALTIES,
    InterpolatedLags,
    Lags,
    Regressors,
    Ridge,
    fit_ridge,
    season,
)

LONG_GAP = 10.0


def persistence(task: Task) -> Forecast:
    """The next value is the current one."""
    carry = task.inputs[:, :, 0]
    return Forecast(carry, carry[:, task.steps - task.test :])


def mean(task: Task) -> Forecast:
    """The mean of the training targets, always."""
    level = np.nanmean(task.targets[:, : task.train], axis=1, keepdims=True, dtype=np.float64)
    carry = np.broadcast_to(level, task.targets.shape).astype(np.float32)
    return Forecast(carry, carry[:, task.steps - task.test :], 1)


def mean_of_series(task: Task) -> Forecast:
    """`mean`, in place of a method that is fitted to one series."""
    note = "it is fitted to one series: of several it repeats the mean"
    return mean(task)._replace(notes=(note,))


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


def fit_ridge_ar(task: Task) -> Method:
    """Linear regression on the last p inputs of every feature, with a ridge penalty.

    Order p and penalty are chosen on the validation steps, or by leave-one-out where a task has
    none (`torchliquid.forecast.ridge`). Where fewer than p inputs have been seen, at the start of a
    series or after a reset, the prediction is that of the order which they allow.

    Returns:
        The fitted regression, which forecasts that task or one whose test part is another. Its
        parameters are those of order p (the median over lanes, since each lane chooses its own).
    """
    return _regression(task, lambda task, lane, x: Lags(x, task.timelines()))


def ridge_of(task: Task, lane: int) -> Ridge:
    """Return the regression of `fit_ridge_ar` that one lane fits."""
    x, y = list(lanes_of(task))[lane if len(task.inputs) > 1 or len(task.targets) > 1 else 0]
    return fit_ridge(Lags(x, task.timelines()), y, task.train, task.valid)


def fit_interpolated_ar(task: Task) -> Method:
    """`fit_ridge_ar` on an even grid that ends now, samples being interpolated linearly.

    The spacing of the grid is the mean time between training samples, gaps of more than
    `LONG_GAP` medians left out. Where sampling is even and no sample is missing, this is ridge-AR.
    """
    spacings = grid_spacings(task)

    def regressors(task: Task, lane: int, x: Values) -> InterpolatedLags:
        return interpolated_lags(task, lane, spacings, task.timelines())

    return _regression(task, regressors)


def grid_spacings(task: Task) -> list[float]:
    """Return the spacing of each lane's grid, or one for all; see `fit_interpolated_ar`."""
    rows = range(len(task.dt) if isinstance(task.dt, np.ndarray) and task.dt.ndim == 2 else 1)
    return [_spacing(task.gaps(lane)[: task.train]) for lane in rows]


def interpolated_lags(
    task: Task, lane: int, spacings: list[float], lines: list[StepIndex]
) -> InterpolatedLags:
    """Return a lane's past on an even grid, along some series."""
    x = task.inputs[min(lane, len(task.inputs) - 1)].astype(np.float64)
    observed = None if task.observed is None else task.observed[min(lane, len(task.observed) - 1)]
    spacing = spacings[min(lane, len(spacings) - 1)]
    return InterpolatedLags(x, lines, task.clock(lane), observed, spacing)


def _spacing(gaps: Values) -> float:
    return float(gaps[gaps <= LONG_GAP * np.median(gaps)].mean())


def _regression(task: Task, regressors_of: Callable[[Task, int, Values], Regressors]) -> Method:
    fitted = [
        fit_ridge(regressors_of(task, lane, x), y, task.train, task.valid)
        for lane, (x, y) in enumerate(lanes_of(task))
    ]

    def forecast(task: Task) -> Forecast:
        test = task.steps - task.test
        carried, reset = [], []
        for lane, (x, _) in enumerate(lanes_of(task)):
            ridge = fitted[min(lane, len(fitted) - 1)]
            regressors = regressors_of(task, lane, x)
            base = 0.0 if task.change is None else x[:, 0]
            carried.append(base + ridge.predict(regressors))
            reset.append((base + ridge.predict(regressors.along(lines_of_test(task))))[test:])
        return Forecast(
            np.asarray(carried, dtype=np.float32),
            np.asarray(reset, dtype=np.float32),
            int(np.median([ridge.parameters for ridge in fitted])),
            edge_note([ridge.penalty for ridge in fitted]),
        )

    return forecast


def edge_note(penalties: list[float]) -> tuple[str, ...]:
    """Return what to say where the largest penalty was the best one."""
    lanes = sum(penalty == PENALTIES[-1] for penalty in penalties)
    if not lanes:
        return ()
    where = "" if len(penalties) == 1 else f" in {lanes} of {len(penalties)} lanes"
    return (
        f"the largest penalty had the lowest error{where}: there it all but repeats a constant "
        "(where changes are predicted, the last value)",
    )
