"""A model let loose on a chaotic series: each prediction is its next input.

What counts is for how long it stays near the truth, the **valid prediction time**: the time before
its first prediction that is off the noise-free series by more than `FAR`, in units of the series'
standard deviation. It starts where the test stretch does, after the model has seen all that came
before.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from torchliquid.bench.models.fitted import Method
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.scoring import per_lane
from torchliquid.bench.run.windows import inputs_for
from torchliquid.bench.tasks.attractors import SYSTEMS
from torchliquid.bench.tasks.task import Array, Task
from torchliquid.nn import Pack

FAR = 0.4
STEPS = 100
"""For how many steps a model runs free, at most."""

Next = Callable[[Array], Array]
"""From the values ``(S,)`` of a step to predictions ``(S,)`` of the next."""


def runs_free(task: Task) -> bool:
    """Whether it makes sense: a chaotic series alone, evenly sampled, whose truth is known."""
    even = "sampling" not in task.spec and "missing" not in task.spec
    return task.spec.get("task") == "attractor" and even and task.clean is not None


def lyapunov_times(task: Task, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Steps in the time in which a small error of the system grows e-fold."""
    system = SYSTEMS[task.spec["system"]]
    return np.asarray(steps * system.interval * system.exponent)


@torch.no_grad()
def of_pack(task: Task, model: Model, pack: Pack) -> NDArray[np.int64]:
    """Steps ``(S,)`` that each lane of a pack stays near the truth."""
    x, dt = inputs_for(task, model)
    start = task.steps - task.test
    x = x if x.dim() == 4 else x.unsqueeze(1)
    _, held = pack(x[..., :start, :], dt=None if dt is None else dt[..., :start])
    state = [held]
    step = None if dt is None else dt[..., :1]  # the series is evenly sampled

    def following(values: Array) -> Array:
        y, state[0] = pack(torch.from_numpy(values).reshape(-1, 1, 1, 1), state[0], step)
        return np.asarray(y.reshape(-1).numpy())

    return _near(task, following, len(pack))


def of_method(task: Task, method: Method, lanes: int) -> NDArray[np.int64]:
    """The same for a model without training: it forecasts the series as it would have it so far."""
    start = task.steps - task.test
    seen = [task.inputs[:, :start]]

    def following(values: Array) -> Array:
        seen.append(values[: len(task.inputs), None, None])
        inputs = np.concatenate(seen, axis=1)
        whole = replace(task, inputs=inputs, targets=task.targets[:, : inputs.shape[1]])
        return per_lane(method(whole).carry, lanes)[:, -1]

    return _near(task, following, lanes)


def _near(task: Task, following: Next, lanes: int) -> NDArray[np.int64]:
    """Steps before a lane is too far off; `STEPS` where it never is."""
    if task.clean is None:
        raise ValueError("the truth is not known")
    start = task.steps - task.test
    steps = min(STEPS, task.test)
    truth = per_lane(task.clean, lanes)
    size = task.clean[:, :start].std()
    values = per_lane(task.inputs[:, start], lanes)[:, 0]
    near, found = np.ones(lanes, dtype=bool), np.zeros(lanes, dtype=np.int64)
    for step in range(steps):
        values = following(np.ascontiguousarray(values, dtype=np.float32))
        with np.errstate(invalid="ignore"):
            near &= np.abs(values - truth[:, start + step]) <= FAR * size
        found += near
        if not near.any():
            break
        values = np.where(np.isfinite(values), values, 0.0)
    return found
