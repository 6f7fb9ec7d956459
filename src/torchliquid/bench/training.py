"""Train all lanes of a network together, as a pack."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid.bench.models import Model
from torchliquid.bench.scoring import mse
from torchliquid.bench.task import Array, Task
from torchliquid.errors import LongStepWarning
from torchliquid.nn import Pack

Progress = Callable[[int], None]
EVALUATIONS = 50
"""Epochs at which the curves are taken, spread evenly; the best on validation is one of them."""


@dataclass(frozen=True)
class Protocol:
    """How every network of a benchmark is trained: Adam, mean squared error, full batch.

    Args:
        lanes: S; lane i has its own initial weights and, where the task draws noise, its own draw.
        epochs: passes over the training stretch.
        learning_rate: Adam's, the same for all networks.
        seed: the initial weights of lane i follow from ``(seed, i)``.
    """

    lanes: int = 24
    epochs: int = 1000
    learning_rate: float = 0.01
    seed: int = 0

    def weight_seeds(self) -> list[int]:
        """One seed a lane for the initial weights, unrelated to those of the noise."""
        return [
            int(np.random.SeedSequence((self.seed, lane, 1)).generate_state(1)[0])
            for lane in range(self.lanes)
        ]


@dataclass(frozen=True)
class Trained:
    """A trained pack, its learning curves (rows of `Run.arrays`) and the cost of an epoch."""

    pack: Pack
    curves: dict[str, NDArray[np.generic]]
    seconds_per_epoch: float


def train(
    task: Task, model: Model, protocol: Protocol, progress: Progress = lambda epoch: None
) -> Trained:
    """Train a pack of networks on a task.

    The loss is the mean squared error over the training steps whose target is there. With a
    validation part, each lane keeps the weights of its best evaluated epoch there; without, those
    of the last epoch. A lane that diverges goes on diverging: it never touches another.

    Args:
        task: gives data and split.
        model: a network, not a classical model.
        protocol: see `Protocol`.
        progress: called with the number of finished epochs.
    """
    pack = Pack(lambda seed: model.build(task), protocol.weight_seeds())
    x, target, dt = training_windows(task, model)
    if task.change is not None:
        target = (target - x[..., 0]) / task.change
    present = ~target.isnan()
    target = target.nan_to_num()
    # per lane: the lanes' losses are summed, so each lane's gradient is that of its own mean
    count = present.sum(dim=(-2, -1))
    optimiser = torch.optim.Adam(pack.parameters(), lr=protocol.learning_rate)
    curves = _Curves(task, model, pack)
    every = max(1, protocol.epochs // EVALUATIONS)
    seconds = 0.0
    for epoch in range(protocol.epochs + 1):
        if epoch % every == 0 or epoch == protocol.epochs:
            curves.take(epoch)
        if epoch == protocol.epochs:
            break
        start = time.perf_counter()
        optimiser.zero_grad()
        y, _ = pack(x, dt=dt)
        error = torch.where(present, y.squeeze(-1) - target, 0.0)
        (error.square().sum(dim=(-2, -1)) / count).sum().backward()
        optimiser.step()
        seconds += time.perf_counter() - start
        progress(epoch + 1)
    if task.valid:
        curves.restore_best()
    return Trained(pack, curves.arrays(), seconds / protocol.epochs)


def seconds_alone(task: Task, model: Model, protocol: Protocol) -> float:
    """What an epoch of one model takes by itself, outside any pack: the median of a few."""
    torch.manual_seed(protocol.weight_seeds()[0])
    single = model.build(task)
    x, target, dt = training_windows(task, model)
    x, target = (x[0] if x.dim() == 4 else x), (target[0] if target.dim() == 3 else target)
    present, target = ~target.isnan(), target.nan_to_num()
    optimiser = torch.optim.Adam(single.parameters(), lr=protocol.learning_rate)
    taken = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # said of the pack
        for _ in range(min(20, 2 + protocol.epochs)):
            start = time.perf_counter()
            optimiser.zero_grad()
            error = torch.where(present, single(x, dt=dt)[0].squeeze(-1) - target, 0.0)
            error.square().sum().backward()
            optimiser.step()
            taken.append(time.perf_counter() - start)
    return float(np.median(taken[2:]))


def training_windows(task: Task, model: Model) -> tuple[Tensor, Tensor, Tensor | None]:
    """The training stretch as sequences: inputs, targets (NaN: does not count) and dt.

    Returns:
        ``(S, B, L, I)`` or ``(B, L, I)``, ``(S, B, L)`` or ``(B, L)``, and ``(B, L)`` or None.
        The last window is filled up with steps that do not count, and so are all but the last
        steps of sliding windows.
    """
    x, dt = inputs_for(task, model)
    x, target = (
        x[..., : task.train, :],
        torch.from_numpy(task.targets[:, : task.train]).unsqueeze(1),
    )
    dt = None if dt is None else dt[:, : task.train]
    length = min(task.window or task.train, task.train)
    if task.last_only:
        target = target.squeeze(1).unfold(-1, length, 1).clone()
        target[..., :-1] = torch.nan
        dt = None if dt is None else dt.squeeze(0).unfold(-1, length, 1)
        return sliding(x, length), target if len(target) > 1 else target.squeeze(0), dt
    missing = -task.train % length
    pad = torch.nn.functional.pad
    windows = pad(x, (0, 0, 0, missing)).unflatten(-2, (-1, length)).squeeze(-4)
    target = pad(target, (0, missing), value=torch.nan).unflatten(-1, (-1, length)).squeeze(-3)
    if dt is not None:
        dt = pad(dt, (0, missing), value=1.0).unflatten(-1, (-1, length)).squeeze(0)
    return windows, target if len(target) > 1 else target.squeeze(0), dt


def inputs_for(task: Task, model: Model) -> tuple[Tensor, Tensor | None]:
    """What a model sees of the whole series: ``(S, 1, T, I)`` or ``(1, T, I)``, and dt.

    Irregular spacing reaches a liquid model as dt ``(1, T)``, any other as one more feature.
    """
    liquid = model.kind == "liquid"
    x = torch.from_numpy(task.inputs if liquid else task.timed_inputs())
    dt = None
    if liquid and isinstance(task.dt, np.ndarray):
        dt = torch.from_numpy(task.dt).unsqueeze(0)
    return x.unsqueeze(1) if len(x) > 1 else x, dt


@torch.no_grad()
def predict(task: Task, model: Model, pack: Pack) -> tuple[Array, Array]:
    """Predictions ``(S, T)`` with the state carried over, ``(S, N)`` with it reset for the test."""
    x, dt = inputs_for(task, model)
    test = task.steps - task.test

    def run(x: Tensor, dt: Tensor | None) -> Array:
        y = (_after_windows(task, pack, x, dt) if task.last_only else pack(x, dt=dt)[0]).squeeze(3)
        if task.change is not None:
            y = x[..., 0] + task.change * y
        return np.asarray(y.squeeze(1).numpy())

    return run(x, dt), run(x[..., test:, :], None if dt is None else dt[:, test:])


def sliding(x: Tensor, length: int) -> Tensor:
    """Windows from every step on: ``(*S, 1, T, I)`` to ``(*S, T - length + 1, length, I)``."""
    return x.squeeze(-3).unfold(-2, length, 1).transpose(-1, -2)


def _after_windows(task: Task, pack: Pack, x: Tensor, dt: Tensor | None) -> Tensor:
    """Predictions ``(S, 1, T, 1)``, each from a state that starts at zero a window before."""
    length = min(task.window or x.shape[-2], x.shape[-2])
    gaps = None if dt is None else dt.squeeze(0).unfold(-1, length, 1)
    first = pack(x[..., :length, :], dt=None if dt is None else dt[:, :length])[0]
    last = pack(sliding(x, length), dt=gaps)[0][:, :, -1:]
    return torch.cat([first[:, :, :-1], last.transpose(1, 2)], dim=2)


class _Curves:
    """Errors at the evaluated epochs, and the best weights by validation."""

    def __init__(self, task: Task, model: Model, pack: Pack) -> None:
        self.task, self.model, self.pack = task, model, pack
        self.rows: dict[str, list[NDArray[np.float64]]] = {}
        self.epochs: list[int] = []
        self.best = np.full(len(pack), np.inf)
        self.chosen = np.zeros(len(pack), dtype=np.int64)
        self.weights = {name: p.detach().clone() for name, p in pack.named_parameters()}

    def take(self, epoch: int) -> None:
        task = self.task
        carry, reset = predict(task, self.model, self.pack)
        parts = {
            "train": slice(0, task.train),
            "valid": slice(task.train, task.train + task.valid),
            "carry": slice(task.train + task.valid, task.steps),
        }
        if not task.valid:
            del parts["valid"]
        errors = {name: mse(carry[:, part], task.targets[:, part]) for name, part in parts.items()}
        errors["reset"] = mse(reset, task.targets[:, parts["carry"]])
        for name, error in errors.items():
            self.rows.setdefault(name, []).append(error)
        self.epochs.append(epoch)
        if task.valid:
            self._keep(epoch, errors["valid"] < self.best, errors["valid"])

    def _keep(self, epoch: int, better: NDArray[np.bool_], errors: NDArray[np.float64]) -> None:
        self.best = np.where(better, errors, self.best)
        self.chosen[better] = epoch
        lanes = torch.from_numpy(np.flatnonzero(better))
        for name, parameter in self.pack.named_parameters():
            self.weights[name][lanes] = parameter.detach()[lanes]

    @torch.no_grad()
    def restore_best(self) -> None:
        for name, parameter in self.pack.named_parameters():
            parameter.copy_(self.weights[name])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        arrays: dict[str, NDArray[np.generic]] = {"curve_epoch": np.array(self.epochs)}
        for name, errors in self.rows.items():
            arrays[f"curve_{name}"] = np.array(errors)
        if self.task.valid:
            arrays["chosen_epoch"] = self.chosen
        return arrays
