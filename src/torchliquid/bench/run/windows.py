"""A task's series as a network takes it: side by side in training, from end to end at last."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchliquid.bench.models.registry import Model
from torchliquid.bench.tasks.task import Array, StepIndex, Task
from torchliquid.errors import TorchliquidError
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

    def ready(self, width: int) -> "Ready":
        """The same, to be run again and again; ``width``: units of all lanes of a model."""
        sequences, length = self.x.shape[-3:-1]
        size = max(1, LARGEST // (width * length))
        present = ~self.target.isnan()
        target, parts = self.target.nan_to_num(), []
        for start in range(0, sequences, size):
            part = slice(start, start + size)
            dt = None if self.dt is None else self.dt[..., part, :]
            views = self.x[..., part, :, :], dt, target[..., part, :], present[..., part, :]
            parts.append(views)
        return Ready(parts, present.sum(dim=(-2, -1)))


class Ready(NamedTuple):
    """Windows in as few parts as `LARGEST` allows, and how many of their targets count.

    A part is inputs, dt, targets without gaps, and which of them count; the count is of each lane,
    or of all where they share the series.
    """

    parts: list[tuple[Tensor, Tensor | None, Tensor, Tensor]]
    targets: Tensor

    @torch.no_grad()
    def error(self, model: Pack | SequenceModel) -> Tensor:
        """The mean squared error of each lane (a model alone is one), in the output's unit."""
        sums = [_squares(model, *part).double() for part in self.parts]
        return torch.stack(sums).sum(dim=0) / self.targets


def _squares(
    model: Pack | SequenceModel, x: Tensor, dt: Tensor | None, target: Tensor, present: Tensor
) -> Tensor:
    error = torch.where(present, model(x, dt=dt)[0].squeeze(-1) - target, 0.0)
    return error.square().sum(dim=(-2, -1))


def training_windows(task: Task, model: Model, warm_up: int = 0) -> Windows:
    """The training stretch as sequences, each from a zero state.

    The last one of a series is filled up with steps that do not count, and so are all but the last
    steps of sliding windows. Of the others the first ``warm_up`` steps do not count either.

    Raises:
        TorchliquidError: a warm-up that leaves nothing.
    """
    if task.last_only:
        return _windows(task, model, 0, task.train, None)
    windows = _windows(task, model, 0, task.train, 0)
    if warm_up >= windows.target.shape[-1]:
        raise TorchliquidError(
            f"warm_up is {warm_up}, and a training sequence has {windows.target.shape[-1]} steps: "
            "give fewer"
        )
    windows.target[..., :warm_up] = torch.nan
    return windows


def later_windows(task: Task, model: Model, start: int, stop: int) -> Windows:
    """The stretch from step ``start`` to ``stop`` as sequences that do not hang on one another.

    Each runs over a training window of the steps before its own first (fewer where its series
    begins), which do not count: its state is there what it is where the state is carried over, as
    far back as the models learnt to look.
    """
    before = length_of(task) if not task.last_only else None
    return _windows(task, model, start, stop, before)


def reset_windows(task: Task, model: Model) -> Windows:
    """The test stretch of each series as one sequence from a zero state."""
    test = task.steps - task.test
    return _windows(task, model, test, task.steps, 0, length=task.test)


def length_of(task: Task) -> int:
    """Steps of a training window."""
    return min(task.window or task.train, task.train)


def _windows(
    task: Task,
    model: Model,
    start: int,
    stop: int,
    before: int | None,
    length: int | None = None,
) -> Windows:
    """The steps from ``start`` to ``stop`` in sequences of one series each.

    Each counts for ``length`` steps, and runs over ``before`` steps that do not count before them;
    with ``before`` None, sequences of ``length`` steps end at every step, which alone counts.
    """
    x, dt = inputs_for(task, model)
    length = length or length_of(task)
    sequences, counted = [], []
    for line in task.timelines():
        low, high = np.searchsorted(line, (start, stop))
        # `first` and `last`: where each sequence begins, and the first of its steps that counts
        if before is None:
            first = np.arange(max(low, length - 1), high) - length + 1
            last = first + length - 1
            size = length
        else:
            last = np.arange(low, high, length)
            first, size = np.maximum(last - before, 0), before + min(length, stop - start)
        # all sequences are equally long: those at the end of a series run over it, repeat its last
        # step, and what they have there does not count
        indices = first[:, None] + np.arange(size)
        end = np.minimum(last + (1 if before is None else length), high)
        counted.append((indices >= last[:, None]) & (indices < end[:, None]))
        sequences.append(line[np.minimum(indices, max(high - 1, 0))])
    steps = torch.from_numpy(np.concatenate(sequences))
    target = torch.from_numpy(task.targets)[:, steps]
    x = x.squeeze(-3)[..., steps, :]
    if task.change is not None:
        target = (target - x[..., 0]) / task.change
    target = torch.where(torch.from_numpy(np.concatenate(counted)), target, torch.nan)
    dt = None if dt is None else dt.squeeze(-2)[..., steps]
    return Windows(x, target if len(target) > 1 else target.squeeze(0), dt)


def inputs_for(task: Task, model: Model) -> tuple[Tensor, Tensor | None]:
    """What a model sees of the whole series: ``(S, 1, T, I)`` or ``(1, T, I)``, and dt.

    Irregular spacing reaches a model that takes dt as dt ``(1, T)``, or ``(S, 1, T)`` where each
    lane has its own or scales it by its own factor; any other as one more feature.
    """
    x = torch.from_numpy(task.inputs if model.takes_dt else task.timed_inputs())
    x = x.unsqueeze(1) if len(x) > 1 else x
    if not model.takes_dt or task.layer_dt is not None:
        return x, None
    own = np.ndim(task.dt) == 2 or np.ndim(task.dt_scale) == 1
    dt = np.atleast_2d(np.float32(task.dt)) * np.reshape(np.float32(task.dt_scale), (-1, 1))
    times = torch.from_numpy(np.broadcast_to(dt, (len(dt), task.steps)).copy())
    return x, times.unsqueeze(1) if own else times


def predict(task: Task, model: Model, pack: Pack) -> tuple[Array, Array]:
    """Predictions ``(S, T)`` with the state carried over, ``(S, N)`` with it reset for the test."""
    lines, test = task.timelines(), task.steps - task.test
    reset = predict_along(task, model, pack, [line[line >= test] for line in lines])
    return predict_along(task, model, pack, lines), reset[:, test:]


@torch.no_grad()
def predict_along(task: Task, model: Model, pack: Pack, lines: list[StepIndex]) -> Array:
    """Predictions ``(S, T)`` along each of these series, from a zero state at its first step."""
    x, dt = inputs_for(task, model)
    y = (
        _after_windows(task, pack, x, dt, lines[0])
        if task.last_only
        else along(lambda x, dt: _end_to_end(pack, x, dt), x, dt, lines)
    )
    y = y.squeeze(-1)
    if task.change is not None:
        y = x.squeeze(-3)[..., 0] + task.change * y
    return np.asarray(y.numpy())


def along(
    run: Callable[[Tensor, Tensor | None], Tensor],
    x: Tensor,
    dt: Tensor | None,
    lines: list[StepIndex],
) -> Tensor:
    """What a pack gives at every step of each series run from end to end: ``(S, T, F)``.

    Args:
        run: from inputs and dt of B sequences to ``(S, B, L, F)``.
        x: see `inputs_for`.
        dt: see `inputs_for`.
        lines: the steps of each series; zero stands at steps of none.
    """
    outputs: Tensor | None = None
    for batch in _of_like_length(lines):
        longest = max(map(len, batch))
        steps = torch.stack([torch.from_numpy(line[np.minimum(np.arange(longest), len(line) - 1)])
                             for line in batch])  # fmt: skip
        there = torch.stack([torch.arange(longest) < len(line) for line in batch])
        gaps = None if dt is None else dt.squeeze(-2)[..., steps]
        y = run(x.squeeze(-3)[..., steps, :], gaps)
        if outputs is None:
            outputs = y.new_zeros(len(y), x.shape[-2], y.shape[-1])
        outputs[:, steps[there]] = y[:, there]
    if outputs is None:
        raise ValueError("there is no step to run over")
    return outputs


def _of_like_length(lines: list[StepIndex]) -> list[list[StepIndex]]:
    """The series in batches, of which the longest is less than twice as long as the shortest."""
    batches: dict[int, list[StepIndex]] = {}
    for line in lines:
        if len(line):
            batches.setdefault(len(line).bit_length(), []).append(line)
    return list(batches.values())


def _end_to_end(pack: Pack, x: Tensor, dt: Tensor | None) -> Tensor:
    """Outputs ``(S, B, L, 1)``."""
    outputs, state = [], None
    for start in range(0, x.shape[-2], LONGEST):
        part = slice(start, start + LONGEST)
        y, state = pack(x[..., part, :], state, None if dt is None else dt[..., part])
        outputs.append(y)
    return torch.cat(outputs, dim=-2)


def _after_windows(task: Task, pack: Pack, x: Tensor, dt: Tensor | None, line: StepIndex) -> Tensor:
    """Outputs ``(S, T, 1)``, each from a state that starts at zero a window before."""
    before, x = int(line[0]), x[..., int(line[0]) :, :]
    dt = None if dt is None else dt[..., before:]
    length = min(task.window or x.shape[-2], x.shape[-2])
    gaps = None if dt is None else dt.squeeze(-2).unfold(-1, length, 1)
    first = pack(x[..., :length, :], dt=None if dt is None else dt[..., :length])[0]
    sliding = x.squeeze(-3).unfold(-2, length, 1).transpose(-1, -2)
    last = pack(sliding, dt=gaps)[0][:, :, -1:]
    y = torch.cat([first[:, :, :-1], last.transpose(1, 2)], dim=2).squeeze(1)
    return torch.nn.functional.pad(y, (0, 0, before, 0))
