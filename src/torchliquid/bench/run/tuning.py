"""The same number of trials for every network, before it is trained: what it does best with.

A trial is a learning rate and, for models that take it, the time that a step counts as; where the
protocol says so also a schedule of the rate, and a weight decay. All trials of a
model are lanes of one pack, each with initial weights that no later lane has. The one with the
lowest error on the validation part, at the best of its epochs, is the model's choice.
"""

import dataclasses
import math
import warnings
from typing import Any

import numpy as np

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.training import Progress, Trial, train
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import LongStepWarning
from torchliquid.training import SCHEDULES

RATES = (1e-3, 5e-2)
DTS = (0.1, 10.0)
"""Bounds of the settings tried, both spread evenly over their logarithms."""
DRAWS = 3
"""Draws that each trial is trained on, of a task that can be drawn again."""
FIRST = Trial(0.01, 1.0)
"""The first setting tried, and the one taken where nothing is tuned."""
DECAYS = (0.0, 1e-3, 1e-2, 1e-1)
TUNABLE = ("learning_rate", "dt", "schedule", "weight_decay")
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class Choice:
    """The trials, their lowest errors on the validation part, and which one was taken."""

    trials: list[Trial]
    errors: list[float]
    taken: Trial

    def facts(self) -> dict[str, object]:
        """JSON types for the store."""
        return {
            "taken": dataclasses.asdict(self.taken),
            "trials": [
                dataclasses.asdict(trial) | {"valid_mse": error if np.isfinite(error) else None}
                for trial, error in zip(self.trials, self.errors, strict=True)
            ],
        }


def trials_of(protocol: Protocol) -> list[Trial]:
    """The settings tried, the same for every model: rates in order, dt by the golden ratio.

    So each of both is spread evenly, and neither follows the other. Every second trial has a cycle,
    and decays come in turn.

    >>> [trial.learning_rate for trial in trials_of(Protocol(trials=5))]
    [0.01, 0.001, 0.0037, 0.014, 0.05]
    """
    first = dataclasses.replace(
        FIRST,
        learning_rate=protocol.learning_rate,
        schedule=protocol.schedule,
        weight_decay=protocol.weight_decay,
    )
    trials, others = [first], protocol.trials - 1
    for k in range(others):
        drawn: dict[str, Any] = {
            "learning_rate": _between(RATES, k / max(1, others - 1)),
            "dt": _between(DTS, (k + 0.5) * _GOLDEN % 1),
            "schedule": SCHEDULES[(k + 1) % 2],
            "weight_decay": DECAYS[int(len(DECAYS) * (k * math.sqrt(2) % 1))],
        }
        varied = {name: value for name, value in drawn.items() if name in protocol.tuned}
        trials.append(dataclasses.replace(first, **varied))
    return trials


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return float(f"{low * (high / low) ** share:.2g}")


def is_tuned(model: Model, protocol: Protocol) -> bool:
    """Whether there is anything to be tried of a model."""
    some = bool(set(protocol.tuned) - (set() if model.takes_dt else {"dt"}))
    return protocol.trials > 1 and model.kind != "classical" and some


def passes(model: Model, protocol: Protocol) -> int:
    """Epochs in all, those of the trials included."""
    return protocol.epochs * (2 if is_tuned(model, protocol) else 1)


def tune(
    task: Task, model: Model, protocol: Protocol, progress: Progress = lambda epoch: None
) -> Choice:
    """Try settings on the validation part; the first counts where none gives a finite error.

    Of a task that can be drawn again, each trial has `DRAWS` lanes with a draw of their own each,
    and the number of epochs is found there as well, since the task has no validation part.
    """
    trials = trials_of(protocol)
    draws = 1 if task.tuning is None else DRAWS
    if task.tuning is not None:
        task = task.tuning(len(trials) * draws)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # the trial that is taken says it again
        lanes = [trial for trial in trials for _ in range(draws)]
        trained = train(task, model, protocol, progress, lanes)
    with np.errstate(divide="ignore"):
        errors = np.exp(np.log(trained.best).reshape(-1, draws).mean(axis=1))
    best = int(np.argmin(errors))
    taken = trials[best]
    if draws > 1:
        chosen = trained.curves["chosen_epoch"].reshape(-1, draws)[best]
        taken = dataclasses.replace(taken, epochs=max(1, int(np.median(chosen))))
    return Choice(trials, errors.tolist(), taken)


def tuned(task: Task, protocol: Protocol, trial: Trial) -> tuple[Task, Protocol]:
    """Task and protocol with a trial's settings."""
    return (
        dataclasses.replace(task, dt=task.dt * trial.dt),
        dataclasses.replace(
            protocol,
            learning_rate=trial.learning_rate,
            epochs=protocol.epochs if trial.epochs is None else trial.epochs,
            schedule=trial.schedule,
            weight_decay=trial.weight_decay,
            cycle=protocol.epochs,
        ),
    )
