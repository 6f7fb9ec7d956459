"""A task's series as a network takes it: side by side in training, from end to end at last."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchliquid.bench.models import Model
from torchliquid.bench.task import Array, Task
from torchliquid.nn import Pack, SequenceModel

LARGEST = 2**24
"""Numbers of state (lanes x sequences x steps x units) that one call of a pack may hold."""
LONGEST = 2**16
"""Steps that one call of a pack takes of a series; the state is handed on to the next."""


class Windows(NamedTuple):
    """Sequences, their targets in the unit of a model's output, and the time before each step.

    ``x (S, B, L, I)`` or ``(B, L, I)``; ``target (S, B, L)`` or ``(B, L)``, NaN where a step does
    not count; ``dt (S, B, L)``, ``(B, L)`` or None.
    """

    x: Tensor
    target: Tensor
    dt: Tensor | None

    def parts(self, numbers_a_sequence: int) -> Iterator["Windows"]:
        """The same sequences in as few parts as `LARGEST` allows."""
        sequences = self.x.shape[-3]
        size = max(1, LARGEST // numbers_a_sequence)
        if size >= sequences:
            yield self
            return
        for start in range(0, sequences, size):
            part = slice(start, start + size)
            dt = None if self.dt is None else self.dt[..., part, :]
            yield Windows(self.x[..., part, :, :], self.target[..., part, :], dt)

    def counted(self) -> Tensor:
        """Targets that count: of each lane, or of all where they share the series."""
        return (~self.target.isnan()).sum(dim=(-2, -1))

    def squares(self, model: Pack | SequenceModel) -> Tensor:
        """Sum of squared errors of each lane (a model alone is one), in the output's unit."""
        y = model(self.x, dt=self.dt)[0].squeeze(-1)
        error = torch.where(self.target.isnan(), 0.0, y - self.target.nan_to_num())
        return error.square().sum(dim=(-2, -1))

    def backward(self, model: Pack | SequenceModel, numbers_a_sequence: int) -> Tensor:
        """The mean squared error of each lane; its gradients are added up in the weights."""
        count, total = self.counted(), torch.zeros(())
        for part in self.parts(numbers_a_sequence):
            mean = part.squares(model) / count
            # per lane: the lanes' losses are summed, so each lane's gradient is its own mean's
            mean.sum().backward()
            total = total + mean.detach()
        return total

    @torch.no_grad()
    def error(self, model: Pack | SequenceModel, numbers_a_sequence: int) -> Tensor:
        """The mean squared error of each lane, without gradients."""
        sums = [part.squares(model).double() for part in self.parts(numbers_a_sequence)]
        return torch.stack(sums).sum(dim=0) / self.counted()


def training_windows(task: Task, model: Model, scale: Tensor | None = None) -> Windows:
    """The training stretch as sequences, each from a zero state.

    The last one is filled up with steps that do not count, and so are all but the last steps of
    sliding windows. ``scale``: see `inputs_for`.
    """
    length = min(task.window or task.train, task.train)
    if task.last_only:
        starts = torch.arange(task.train - length + 1)
        return _windows(task, model, scale, starts, length, length - 1, task.train)
    return _windows(task, model, scale, torch.arange(0, task.train, length), length, 0, task.train)


def later_windows(
    task: Task, model: Model, start: int, stop: int, scale: Tensor | None = None
) -> Windows:
    """The stretch from step ``start`` to ``stop`` as sequences that do not hang on one another.

    Each runs over a training window of the steps before its own first, which do not count: its
    state is there what it is where the state is carried over, as far back as the models learnt to
    look. ``scale``: see `inputs_for`.
    """
    length = min(task.window or task.train, task.train)
    if task.last_only:
        starts = torch.arange(start, stop) - length + 1
        return _windows(task, model, scale, starts, length, length - 1, stop)
    own = min(length, stop - start)
    starts = torch.arange(start, stop, own) - length
    return _windows(task, model, scale, starts, length + own, length, stop)


def reset_window(task: Task, model: Model, scale: Tensor | None = None) -> Windows:
    """The test stretch as one sequence from a zero state."""
    start = torch.tensor([task.steps - task.test])
    return _windows(task, model, scale, start, task.test, 0, task.steps)


def _windows(
    task: Task,
    model: Model,
    scale: Tensor | None,
    starts: Tensor,
    length: int,
    silent: int,
    stop: int,
) -> Windows:
    """Sequences from these steps on, of which the first ``silent`` steps do not count."""
    x, dt = inputs_for(task, model, scale)
    steps = starts[:, None] + torch.arange(length)
    counted = (steps < stop) & (torch.arange(length) >= silent)
    steps = steps.clamp(max=stop - 1)
    target = torch.from_numpy(task.targets)[:, steps]
    x = x.squeeze(-3)[..., steps, :]
    if task.change is not None:
        target = (target - x[..., 0]) / task.change
    target = torch.where(counted, target, torch.nan)
    dt = None if dt is None else dt.squeeze(-2)[..., steps]
    return Windows(x, target if len(target) > 1 else target.squeeze(0), dt)


def inputs_for(
    task: Task, model: Model, scale: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """What a model sees of the whole series: ``(S, 1, T, I)`` or ``(1, T, I)``, and dt.

    Irregular spacing reaches a liquid model as dt ``(1, T)``, any other as one more feature.

    Args:
        task: gives the series.
        model: an entry of the comparison.
        scale: ``(S,)``, times the task's dt is that of each lane of a liquid model: dt is
            ``(S, 1, T)`` then.
    """
    liquid = model.kind == "liquid"
    x = torch.from_numpy(task.inputs if liquid else task.timed_inputs())
    dt = None
    if liquid and (isinstance(task.dt, np.ndarray) or scale is not None):
        dt = torch.from_numpy(np.broadcast_to(np.float32(task.dt), (task.steps,)).copy())
        dt = dt.unsqueeze(0) if scale is None else scale[:, None, None] * dt
    return x.unsqueeze(1) if len(x) > 1 else x, dt


@torch.no_grad()
def predict(task: Task, model: Model, pack: Pack) -> tuple[Array, Array]:
    """Predictions ``(S, T)`` with the state carried over, ``(S, N)`` with it reset for the test."""
    x, dt = inputs_for(task, model)
    test = task.steps - task.test

    def run(x: Tensor, dt: Tensor | None) -> Array:
        y = _after_windows(task, pack, x, dt) if task.last_only else _end_to_end(pack, x, dt)
        if task.change is not None:
            y = x[..., 0] + task.change * y
        return np.asarray(y.squeeze(1).numpy())

    return run(x, dt), run(x[..., test:, :], None if dt is None else dt[:, test:])


def _end_to_end(pack: Pack, x: Tensor, dt: Tensor | None) -> Tensor:
    """Outputs ``(S, 1, T)``."""
    outputs, state = [], None
    for start in range(0, x.shape[-2], LONGEST):
        part = slice(start, start + LONGEST)
        y, state = pack(x[..., part, :], state, None if dt is None else dt[..., part])
        outputs.append(y.squeeze(-1))
    return torch.cat(outputs, dim=-1)


def _after_windows(task: Task, pack: Pack, x: Tensor, dt: Tensor | None) -> Tensor:
    """Outputs ``(S, 1, T)``, each from a state that starts at zero a window before."""
    length = min(task.window or x.shape[-2], x.shape[-2])
    gaps = None if dt is None else dt.squeeze(0).unfold(-1, length, 1)
    first = pack(x[..., :length, :], dt=None if dt is None else dt[:, :length])[0]
    sliding = x.squeeze(-3).unfold(-2, length, 1).transpose(-1, -2)
    last = pack(sliding, dt=gaps)[0][:, :, -1:]
    return torch.cat([first[:, :, :-1], last.transpose(1, 2)], dim=2).squeeze(-1)
