"""Train all lanes of a network together, as a pack."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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
from torchliquid.nn import CELLS, Pack, SequenceModel
from torchliquid.training import Options, Trainer, check_schedule

Progress = Callable[[int], None]
EVALUATIONS = 50
"""Epochs at which the curves are taken, spread evenly over their logarithm, at most; the epoch that
is chosen is one of them."""
CAPS = (1_000, 3_000, 10_000)
"""Epochs that are always among them: at these, errors are compared."""
ALONE_SECONDS = 2.0
"""How long one model alone is timed, if so long that three epochs are done by then."""
MEASURED = 0.01
"""Seconds that are measured at once."""


@dataclass(frozen=True)
class Setting:
    """What a lane is trained with.

    Args:
        learning_rate: Adam's.
        dt: of models that take it, times the task's dt.
        epochs: those whose weights are kept; None: the last ones, or the best on validation.
        schedule: see `Protocol`.
        weight_decay: see `Protocol`.
        penalty: of a readout that is solved for, see `torchliquid.fit`.
    """

    learning_rate: float
    dt: float = 1.0
    epochs: int | None = None
    schedule: str = "constant"
    weight_decay: float = 0.0
    penalty: float = 1e-4


@dataclass(frozen=True)
class Trained:
    """A trained pack, its learning curves (rows of `Run.arrays`) and what it cost.

    ``best`` ``(S,)`` is each lane's lowest error on the validation part, infinite without one;
    ``final_error`` ``(S,)`` its training error where its training ended.
    """

    pack: Pack
    curves: dict[str, NDArray[np.generic]]
    seconds_per_epoch: float
    seconds_evaluating: float
    best: NDArray[np.float64]
    final_error: NDArray[np.float64]


def check_optimiser(schedule: Any, weight_decay: Any) -> None:
    """Refuse what is no schedule, or no decay."""
    check_schedule(schedule)
    number = isinstance(weight_decay, int | float) and not isinstance(weight_decay, bool)
    if not number or not 0 <= weight_decay < 10:
        raise TorchliquidError(f"weight_decay is {weight_decay!r}: give a number from 0 to 10")


def looks_of(epochs: int) -> list[int]:
    """Return the epochs at which curves are taken.

    >>> looks_of(12), len(looks_of(10_000))
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 48)
    """
    spread = np.geomspace(1, epochs, EVALUATIONS).round().astype(int).tolist()
    return sorted({0, *spread, *(cap for cap in CAPS if cap <= epochs)})


def train(
    task: Task,
    model: Model,
    protocol: Protocol,
    progress: Progress = lambda epoch: None,
    *,
    settings: Sequence[Setting] | None = None,
    tuning: bool = False,
    looks: Sequence[int] | None = None,
) -> Trained:
    """Train a pack of networks on a task.

    The loss is the mean squared error over the training steps whose target is there. With a
    validation part, each lane keeps the weights of its best evaluated epoch there; without, those
    of its setting's epoch, or of the last one. A lane that diverges before ends with weights that
    are NaN: it never touches another.

    Args:
        task: gives data and split; its `dt_scale` goes with the settings.
        model: a network, not a classical model.
        protocol: see `Protocol`.
        progress: called every so often with the number of finished epochs.
        settings: one for each lane, or one for all, instead of the protocol's.
        tuning: the settings are to be compared on the validation part: lanes have initial weights
            of their own, and the test part is not looked at.
        looks: epochs at which curves are taken; None: `looks_of`.
    """
    if settings is not None and not tuning:
        settings = list(settings) * (protocol.lanes // len(settings))
    seeds = protocol.trial_seeds(len(settings or ())) if tuning else protocol.weight_seeds()
    pack = Pack(lambda seed: model.build(task), seeds)
    windows = training_windows(task, model, protocol.warm_up)
    _keep_frequencies(pack, model, task)
    trainer = _trainer(pack, windows, protocol, settings, model.readout)
    ready = windows.ready(len(pack) * model.hidden)
    keep_at = None
    if settings is not None and not task.valid:
        keep_at = np.array([s.epochs or protocol.epochs for s in settings])
    curves = _Curves(task, model, pack, ready, keep_at, with_test=not tuning)
    evaluating = 0.0
    kept_epochs = [] if keep_at is None else keep_at.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # results say which lanes diverged
        for epoch in sorted({*(looks or looks_of(protocol.epochs)), *kept_epochs}):
            for done in trainer.epochs_until(epoch):
                progress(done)
            start = time.perf_counter()
            trainer.give_weights()
            curves.take(epoch)
            evaluating += time.perf_counter() - start
    if trainer.epoch < protocol.epochs:  # every lane diverged before
        progress(protocol.epochs)
    if curves.chooses:
        curves.restore_chosen()
    if not task.valid:
        _mark_diverged(pack, trainer, keep_at)
    seconds = trainer.seconds / protocol.epochs
    return Trained(pack, curves.arrays(), seconds, evaluating, curves.best, curves.final_error())


def _trainer(
    model: Pack | SequenceModel,
    windows: Windows,
    protocol: Protocol,
    settings: Sequence[Setting] | None,
    readout: str,
    epochs: int | None = None,
) -> Trainer:
    """The training of a model on windows, with the protocol's settings or each lane's own."""
    lr: float | list[float] = float(protocol.learning_rate)
    decay: float | list[float] = float(protocol.weight_decay)
    schedule: str | list[str] = protocol.schedule
    penalty: float | list[float] = Setting.penalty
    if settings is not None:
        lr = [setting.learning_rate for setting in settings]
        schedule = [setting.schedule for setting in settings]
        decay = [setting.weight_decay for setting in settings]
        penalty = [setting.penalty for setting in settings]
    options = Options(
        epochs=epochs or protocol.epochs,
        lr=lr,
        schedule=schedule,
        weight_decay=decay,
        dt=windows.dt,
        readout=readout,
        penalty=penalty,
        weight=~windows.target.isnan(),
    )
    return Trainer(model, windows.x, windows.target.nan_to_num().unsqueeze(-1), options)


@torch.no_grad()
def _keep_frequencies(pack: Pack, model: Model, task: Task) -> None:
    """Initial frequencies as they would be at the task's own dt, whatever dt counts as.

    They span what the series can show; another dt is to move the time constants alone.
    """
    scale = torch.as_tensor(np.asarray(task.dt_scale, dtype=np.float64)).log()
    for name in CELLS[model.cell].log_frequencies:
        weight = pack.get_parameter(f"layer.{name}")
        weight.sub_(scale.to(weight.dtype).reshape(-1, 1))


@torch.no_grad()
def _mark_diverged(pack: Pack, trainer: Trainer, keep_at: NDArray[np.int64] | None) -> None:
    """A lane that diverged before its weights were to be kept has none to be judged by."""
    history = trainer.history()
    for lane, end in enumerate(history.ends):
        if end == "diverged" and (keep_at is None or int(history.epochs[lane]) < keep_at[lane]):
            for parameter in pack.parameters():
                parameter[lane] = torch.nan


def seconds_alone(task: Task, model: Model, protocol: Protocol) -> float:
    """What an epoch of one model takes by itself, outside any pack: the median of a few."""
    torch.manual_seed(protocol.weight_seeds()[0])
    single = model.build(task)
    x, target, dt = training_windows(task, model, protocol.warm_up)
    if x.dim() == 4:
        x, target = x[0], target[0]
    windows = Windows(x, target, dt[0] if dt is not None and dt.dim() == 3 else dt)
    taken: list[float] = []
    epochs = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # said of the pack
        warnings.simplefilter("ignore", TrainingWarning)
        trainer = _trainer(single, windows, protocol, None, model.readout, epochs=2**30)
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
        keep_at: NDArray[np.int64] | None,
        *,
        with_test: bool,
    ) -> None:
        self.pack, self.keep_at = pack, keep_at
        width = len(pack) * model.hidden
        self.unit = 1.0 if task.change is None else task.change**2
        test = task.train + task.valid
        later = {}
        if task.valid:
            later["valid"] = later_windows(task, model, task.train, test)
        if with_test:
            later["carry"] = later_windows(task, model, test, task.steps)
            # over a longer stretch the start does not count, and it cannot be cut into windows
            if not task.last_only and task.test <= length_of(task):
                later["reset"] = reset_windows(task, model)
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
            better = errors < self.best
            self.best = np.where(better, errors, self.best)
            self._keep(epoch, better)
        elif self.keep_at is not None:
            self._keep(epoch, self.keep_at == epoch)

    @property
    def chooses(self) -> bool:
        """Whether lanes keep weights of epochs of their own."""
        return "valid" in self.rows or self.keep_at is not None

    def final_error(self) -> NDArray[np.float64]:
        """Return each lane's training error at its own last epoch, or after the last one."""
        train = np.array(self.rows["train"])
        if self.keep_at is None:
            return np.asarray(train[-1])
        looks = np.searchsorted(self.epochs, self.keep_at)
        return np.asarray(train[looks, np.arange(len(looks))])

    def _keep(self, epoch: int, lanes_kept: NDArray[np.bool_]) -> None:
        self.chosen[lanes_kept] = epoch
        lanes = torch.from_numpy(np.flatnonzero(lanes_kept))
        for name, parameter in self.pack.named_parameters():
            self.weights[name][lanes] = parameter.detach()[lanes]

    @torch.no_grad()
    def restore_chosen(self) -> None:
        for name, parameter in self.pack.named_parameters():
            parameter.copy_(self.weights[name])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        arrays: dict[str, NDArray[np.generic]] = {"curve_epoch": np.array(self.epochs)}
        for name, errors in self.rows.items():
            arrays[f"curve_{name}"] = np.array(errors)
        if self.chooses:
            arrays["chosen_epoch"] = self.chosen
        return arrays
