"""Train all lanes of a network together, as a pack."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.lane_adam import LaneAdam
from torchliquid.bench.run.windows import (
    Ready,
    Windows,
    later_windows,
    length_of,
    reset_windows,
    training_windows,
)
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import LongStepWarning
from torchliquid.nn import Pack

Progress = Callable[[int], None]
EVALUATIONS = 50
"""Epochs at which the curves are taken, spread evenly; the best on validation is one of them."""
ALONE_SECONDS = 2.0
"""How long one model alone is timed, if so long that three epochs are done by then."""


@dataclass(frozen=True)
class Trial:
    """Settings to try.

    Args:
        learning_rate: Adam's.
        dt: of models that take it, times the task's dt.
        epochs: where tuning found them on draws of their own; None: the protocol's.
        schedule: see `Protocol`.
        weight_decay: see `Protocol`.
    """

    learning_rate: float
    dt: float = 1.0
    epochs: int | None = None
    schedule: str = "constant"
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A trained pack, its learning curves (rows of `Run.arrays`) and what it cost.

    ``best`` ``(S,)`` is each lane's lowest error on the validation part, infinite without one.
    """

    pack: Pack
    curves: dict[str, NDArray[np.generic]]
    seconds_per_epoch: float
    seconds_evaluating: float
    best: NDArray[np.float64]


def train(
    task: Task,
    model: Model,
    protocol: Protocol,
    progress: Progress = lambda epoch: None,
    trials: Sequence[Trial] | None = None,
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
        trials: one a lane, instead of the protocol's lanes and rate: settings to be compared on
            the validation part. The test part is not looked at.
    """
    seeds = protocol.weight_seeds() if trials is None else protocol.trial_seeds(len(trials))
    scale = None
    if trials is not None and model.takes_dt:
        scale = torch.tensor([trial.dt for trial in trials])
    pack = Pack(lambda seed: model.build(task), seeds)
    width = len(pack) * model.hidden
    windows = training_windows(task, model, scale).ready(width)
    optimiser = _optimiser(pack, protocol, trials)
    curves = _Curves(task, model, pack, windows, scale, with_test=trials is None)
    every = max(1, protocol.epochs // EVALUATIONS)
    seconds = evaluating = 0.0
    for epoch in range(protocol.epochs + 1):
        start = time.perf_counter()
        if epoch % every == 0 or epoch == protocol.epochs:
            curves.take(epoch)
            evaluating += time.perf_counter() - start
        if epoch == protocol.epochs:
            break
        start = time.perf_counter()
        optimiser.zero_grad()
        windows.backward(pack)
        optimiser.step(epoch)
        seconds += time.perf_counter() - start
        progress(epoch + 1)
    if task.valid:
        curves.restore_best()
    return Trained(pack, curves.arrays(), seconds / protocol.epochs, evaluating, curves.best)


def _optimiser(pack: Pack, protocol: Protocol, trials: Sequence[Trial] | None) -> LaneAdam:
    epochs = protocol.cycle or protocol.epochs
    if trials is None:
        rate = float(protocol.learning_rate)
        return LaneAdam(pack, rate, protocol.schedule, protocol.weight_decay, epochs)
    return LaneAdam(
        pack,
        [trial.learning_rate for trial in trials],
        [trial.schedule for trial in trials],
        [trial.weight_decay for trial in trials],
        epochs,
    )


def seconds_alone(task: Task, model: Model, protocol: Protocol) -> float:
    """What an epoch of one model takes by itself, outside any pack: the median of a few."""
    torch.manual_seed(protocol.weight_seeds()[0])
    single = model.build(task)
    windows = training_windows(task, model)
    if windows.x.dim() == 4:
        windows = Windows(windows.x[0], windows.target[0], windows.dt)
    ready = windows.ready(model.hidden)
    optimiser = LaneAdam(single, protocol.learning_rate, "constant", 0.0, protocol.epochs)
    taken: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # said of the pack
        while len(taken) < min(20, 2 + protocol.epochs):
            start = time.perf_counter()
            optimiser.zero_grad()
            ready.backward(single)
            optimiser.step(len(taken))
            taken.append(time.perf_counter() - start)
            if len(taken) >= 3 and sum(taken) > ALONE_SECONDS:
                break
    return float(np.median(taken[2:]))


class _Curves:
    """Errors at the evaluated epochs, and the best weights by validation."""

    def __init__(
        self,
        task: Task,
        model: Model,
        pack: Pack,
        windows: Ready,
        scale: Tensor | None,
        *,
        with_test: bool,
    ) -> None:
        self.pack = pack
        width = len(pack) * model.hidden
        self.unit = 1.0 if task.change is None else task.change**2
        test = task.train + task.valid
        later = {}
        if task.valid:
            later["valid"] = later_windows(task, model, task.train, test, scale)
        if with_test:
            later["carry"] = later_windows(task, model, test, task.steps, scale)
            # over a longer stretch the start does not count, and it cannot be cut into windows
            if not task.last_only and task.test <= length_of(task):
                later["reset"] = reset_windows(task, model, scale)
        self.parts = {"train": windows} | {name: part.ready(width) for name, part in later.items()}
        self.rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.parts}
        self.epochs: list[int] = []
        self.best = np.full(len(pack), np.inf)
        self.chosen = np.zeros(len(pack), dtype=np.int64)
        self.weights = {name: p.detach().clone() for name, p in pack.named_parameters()}

    def take(self, epoch: int) -> None:
        for name, windows in self.parts.items():
            error = self.unit * windows.error(self.pack).numpy()
            self.rows[name].append(np.where(np.isnan(error), np.inf, error))
        self.epochs.append(epoch)
        if "valid" in self.rows:
            errors = self.rows["valid"][-1]
            self._keep(epoch, errors < self.best, errors)

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
        if "valid" in self.rows:
            arrays["chosen_epoch"] = self.chosen
        return arrays
