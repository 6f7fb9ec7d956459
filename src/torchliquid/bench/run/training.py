"""Train all lanes of a network together, as a pack."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.windows import (
    Ready,
    Windows,
    later_windows,
    length_of,
    reset_windows,
    training_windows,
)
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import LongStepWarning, TorchliquidError, TrainingWarning
from torchliquid.nn import Pack, SequenceModel
from torchliquid.training import Options, Trainer, check_schedule

Progress = Callable[[int], None]
EVALUATIONS = 50
"""Epochs at which the curves are taken, spread evenly; the best on validation is one of them."""
ALONE_SECONDS = 2.0
"""How long one model alone is timed, if so long that three epochs are done by then."""
MEASURED = 0.01
"""Seconds that are measured at once."""


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


def check_optimiser(schedule: Any, weight_decay: Any) -> None:
    """Refuse what is no schedule, or no decay."""
    check_schedule(schedule)
    number = isinstance(weight_decay, int | float) and not isinstance(weight_decay, bool)
    if not number or not 0 <= weight_decay < 10:
        raise TorchliquidError(f"weight_decay is {weight_decay!r}: give a number from 0 to 10")


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
    of the last epoch. A lane that diverges, and has no best epoch, ends with weights that are NaN:
    it never touches another.

    Args:
        task: gives data and split.
        model: a network, not a classical model.
        protocol: see `Protocol`.
        progress: called every so often with the number of finished epochs.
        trials: one a lane, instead of the protocol's lanes and rate: settings to be compared on
            the validation part. The test part is not looked at.
    """
    seeds = protocol.weight_seeds() if trials is None else protocol.trial_seeds(len(trials))
    scale = None
    if trials is not None and model.takes_dt:
        scale = torch.tensor([trial.dt for trial in trials])
    pack = Pack(lambda seed: model.build(task), seeds)
    windows = training_windows(task, model, scale)
    trainer = _trainer(pack, windows, protocol, trials)
    ready = windows.ready(len(pack) * model.hidden)
    curves = _Curves(task, model, pack, ready, scale, with_test=trials is None)
    every = max(1, protocol.epochs // EVALUATIONS)
    evaluating = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # results say which lanes diverged
        for epoch in (*range(0, protocol.epochs, every), protocol.epochs):
            for done in trainer.epochs_until(epoch):
                progress(done)
            start = time.perf_counter()
            trainer.give_weights()
            curves.take(epoch)
            evaluating += time.perf_counter() - start
    if trainer.epoch < protocol.epochs:  # every lane diverged before
        progress(protocol.epochs)
    if task.valid:
        curves.restore_best()
    else:
        _mark_diverged(pack, trainer)
    seconds = trainer.seconds / protocol.epochs
    return Trained(pack, curves.arrays(), seconds, evaluating, curves.best)


def _trainer(
    model: Pack | SequenceModel,
    windows: Windows,
    protocol: Protocol,
    trials: Sequence[Trial] | None,
    epochs: int | None = None,
) -> Trainer:
    """The training of a model on windows, with the protocol's settings or each lane's own."""
    lr: float | list[float] = float(protocol.learning_rate)
    decay: float | list[float] = float(protocol.weight_decay)
    schedule: str | list[str] = protocol.schedule
    if trials is not None:
        lr = [trial.learning_rate for trial in trials]
        schedule = [trial.schedule for trial in trials]
        decay = [trial.weight_decay for trial in trials]
    options = Options(
        epochs=epochs or protocol.epochs,
        lr=lr,
        schedule=schedule,
        weight_decay=decay,
        cycle=protocol.cycle,
        dt=windows.dt,
        weight=~windows.target.isnan(),
    )
    return Trainer(model, windows.x, windows.target.nan_to_num().unsqueeze(-1), options)


@torch.no_grad()
def _mark_diverged(pack: Pack, trainer: Trainer) -> None:
    """A lane that diverged, and has no best epoch, has no weights to be judged by."""
    ends = trainer.history().ends
    for parameter in pack.parameters():
        for lane, end in enumerate(ends):
            if end == "diverged":
                parameter[lane] = torch.nan


def seconds_alone(task: Task, model: Model, protocol: Protocol) -> float:
    """What an epoch of one model takes by itself, outside any pack: the median of a few."""
    torch.manual_seed(protocol.weight_seeds()[0])
    single = model.build(task)
    windows = training_windows(task, model)
    if windows.x.dim() == 4:
        windows = Windows(windows.x[0], windows.target[0], windows.dt)
    taken: list[float] = []
    epochs = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # said of the pack
        warnings.simplefilter("ignore", TrainingWarning)
        trainer = _trainer(single, windows, protocol, None, epochs=2**30)
        while len(taken) < 12 and not trainer.ended:
            before = trainer.seconds
            trainer.advance(epochs)
            taken.append((trainer.seconds - before) / epochs)
            epochs = max(1, min(1000, int(MEASURED / max(taken[-1], 1e-9))))
            if len(taken) >= 3 and trainer.seconds > ALONE_SECONDS:
                break
    return float(np.median(taken[min(2, len(taken) - 1) :]))


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
