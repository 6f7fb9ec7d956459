"""A task for networks that are fed interpolated samples: each prediction has a past of its own.

Where sampling is irregular or samples are missing, the past of a step on an even grid, interpolated
linearly, changes with every step. So each step becomes a window of `LENGTH` values that ends there,
run from a zero state, of which the last prediction counts. Nothing later than the step is seen.
"""

import dataclasses

import numpy as np

from torchliquid.bench.models.classical import grid_spacings, interpolated_lags
from torchliquid.bench.models.fitted import lines_of_test
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.windows import predict_along
from torchliquid.bench.tasks.task import Array, Task
from torchliquid.nn import Pack

LENGTH = 32


def as_windows(task: Task, like: Task | None = None, *, reset: bool = False) -> Task:
    """Return the task with a series of `LENGTH` steps for each of its steps.

    Args:
        task: with irregular times, or samples missing.
        like: another such task, whose grid is taken: that of the training.
        reset: whether the windows of test steps see nothing before the test stretch.
    """
    spacings = grid_spacings(task) if like is None else like.spec["grid"]
    lines = lines_of_test(task) if reset else task.timelines()
    steps = np.arange(task.steps)
    lanes = range(max(len(task.inputs), len(spacings)))
    past = [interpolated_lags(task, lane, spacings, lines).values(steps, LENGTH) for lane in lanes]
    inputs = np.stack(past)[:, :, ::-1].astype(np.float32)  # (S, T, LENGTH, I), the latest last
    targets = np.full((len(task.targets), task.steps, LENGTH), np.nan, dtype=np.float32)
    targets[:, :, -1] = task.targets
    return dataclasses.replace(
        task,
        inputs=inputs.reshape(len(inputs), -1, inputs.shape[-1]),
        targets=targets.reshape(len(targets), -1),
        clean=None,
        observed=None,
        spec=task.spec | {"grid": spacings},
        dt=float(np.median(spacings)),
        dt_scale=1.0 if like is None else like.dt_scale,
        ahead=None,
        train=LENGTH * task.train,
        valid=LENGTH * task.valid,
        window=LENGTH,
        last_only=False,
        times=None,
        series_id=np.repeat(steps, LENGTH),
        series_names=tuple(map(str, steps)),
        faster=None,
    )


def predict_windows(task: Task, model: Model, pack: Pack, like: Task) -> tuple[Array, Array]:
    """Return predictions ``(S, T)`` with the past at hand, ``(S, N)`` with none before the test.

    Args:
        task: the series as it is.
        model: a network that is fed interpolated samples.
        pack: it, trained.
        like: what it was trained on, of `as_windows`.
    """
    reset = predict_ends(task, model, pack, like, reset=True)
    return predict_ends(task, model, pack, like), reset[:, task.steps - task.test :]


def predict_ends(task: Task, model: Model, pack: Pack, like: Task, *, reset: bool = False) -> Array:
    """Return a prediction for each step ``(S, T)``; arguments as above and of `as_windows`."""
    windows = as_windows(task, like, reset=reset)
    return predict_along(windows, model, pack, windows.timelines())[:, LENGTH - 1 :: LENGTH]
