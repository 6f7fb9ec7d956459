"""Settings that are tried before training: the same number for every network, on training data.

A trial is a learning rate and, for models that take it, the time that a step counts as; where the
protocol asks for it also a schedule of the rate, and a weight decay. The setting and the epoch with
the lowest error on the validation steps are taken, and the network is trained anew with them. A
task without validation steps gives the last fifth of its training steps for the choice: the tuner
never gets the test stretch.

``choice="lane"``: each lane draws trials of its own at random, and chooses for itself on its own
data, so that what varies between lanes contains the choice, and intervals over lanes cover it.
``choice="shared"``: the trials are spread evenly, and one choice serves all lanes; it costs less,
and intervals over lanes leave the choice out (Bouthillier et al., "Accounting for variance in
machine learning benchmarks", 2021).
"""

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.training import Progress, Setting, train
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import LongStepWarning
from torchliquid.training import SCHEDULES

RATES = (1e-3, 0.2)
DTS = (0.1, 10.0)
PENALTIES = (1e-6, 1e-2)
"""Bounds of the settings tried, all spread evenly over their logarithms; penalties are of readouts
that are solved for, and always vary."""
DRAWS = 3
"""Lanes that each shared trial is trained on, where lanes have data of their own."""
FIRST = Setting(0.01, 1.0)
"""The first setting tried for a shared choice, and the one taken where nothing is tuned."""
DECAYS = (0.0, 1e-3, 1e-2, 1e-1)
TUNABLE = ("learning_rate", "dt", "schedule", "weight_decay")
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class Choice:
    """Trials, their errors, and what was taken.

    Args:
        by: ``"lane"`` or ``"shared"``.
        trials: K of each lane; of a shared choice one list.
        errors: the lowest on the validation steps ``(S, K)``; of a shared choice ``(1, K)``.
        taken: a setting for each lane, or one for all.
    """

    by: str
    trials: list[list[Setting]]
    errors: NDArray[np.float64]
    taken: list[Setting]

    def dt_scale(self) -> float | NDArray[np.float64]:
        """Return what dt is multiplied by: each lane's own factor, or that of all."""
        if self.by == "shared":
            return self.taken[0].dt
        return np.array([setting.dt for setting in self.taken])

    def facts(self) -> dict[str, object]:
        """JSON types for the store: the tried settings only of a shared choice."""
        tried: object = len(self.trials[0])
        if self.by == "shared":
            tried = [
                dataclasses.asdict(trial) | {"valid_mse": error if np.isfinite(error) else None}
                for trial, error in zip(self.trials[0], self.errors[0].tolist(), strict=True)
            ]
        taken = [dataclasses.asdict(setting) for setting in self.taken]
        return {"by": self.by, "taken": taken, "trials": tried}


def spread_trials(protocol: Protocol) -> list[Setting]:
    """Return the settings of a shared choice: rates in order, dt by the golden ratio.

    So each of both is spread evenly, and neither follows the other. Every second trial has a cycle,
    and decays come in turn.

    >>> [trial.learning_rate for trial in spread_trials(Protocol(trials=5))]
    [0.01, 0.001, 0.0058, 0.034, 0.2]
    """
    first, others = _given(protocol), protocol.trials - 1
    trials = [first]
    for k in range(others):
        drawn: dict[str, Any] = {
            "learning_rate": _between(RATES, k / max(1, others - 1)),
            "dt": _between(DTS, (k + 0.5) * _GOLDEN % 1),
            "schedule": SCHEDULES[(k + 1) % 2],
            "weight_decay": DECAYS[int(len(DECAYS) * (k * math.sqrt(2) % 1))],
            "penalty": _between(PENALTIES, (k + 0.5) * math.sqrt(3) % 1),
        }
        trials.append(_varied(first, drawn, protocol))
    return trials


def drawn_trials(protocol: Protocol, lane: int) -> list[Setting]:
    """Return the settings that a lane tries: drawn at random, the same for all models."""
    rng = np.random.default_rng((protocol.seed, lane, 7))
    trials = []
    for _ in range(protocol.trials):
        drawn: dict[str, Any] = {
            "learning_rate": _between(RATES, rng.random()),
            "dt": _between(DTS, rng.random()),
            "schedule": SCHEDULES[rng.integers(len(SCHEDULES))],
            "weight_decay": DECAYS[rng.integers(len(DECAYS))],
            "penalty": _between(PENALTIES, rng.random()),
        }
        trials.append(_varied(_given(protocol), drawn, protocol))
    return trials


def _given(protocol: Protocol) -> Setting:
    return dataclasses.replace(
        FIRST,
        learning_rate=protocol.learning_rate,
        schedule=protocol.schedule,
        weight_decay=protocol.weight_decay,
    )


def _varied(first: Setting, drawn: dict[str, Any], protocol: Protocol) -> Setting:
    varying = (*protocol.tuned, "penalty")
    varied = {name: value for name, value in drawn.items() if name in varying}
    return dataclasses.replace(first, **varied)


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return float(f"{low * (high / low) ** share:.2g}")


def is_tuned(model: Model, protocol: Protocol) -> bool:
    """Whether there is anything to be tried of a model."""
    some = bool(set(protocol.tuned) - (set() if model.takes_dt else {"dt"}))
    some |= model.readout == "solve"
    return protocol.trials > 1 and model.kind != "classical" and some


def passes(model: Model, protocol: Protocol) -> int:
    """Return the epochs in all, those of the trials included: a trial of one lane counts as one."""
    return protocol.epochs * (1 + _weight(protocol) * is_tuned(model, protocol))


def _weight(protocol: Protocol) -> int:
    """How many times as long as the training the trials take, about."""
    return protocol.trials if protocol.choice == "lane" else 1


def tune(
    task: Task, model: Model, protocol: Protocol, progress: Progress = lambda epoch: None
) -> Choice:
    """Try settings; the first of a lane's counts where none gives a finite error.

    All trials of all lanes are lanes of one pack, each with initial weights of its own.
    """
    task = without_test(task)
    if protocol.choice == "lane":
        trials = [drawn_trials(protocol, lane) for lane in range(protocol.lanes)]
        lanes = np.arange(protocol.lanes)
    else:
        trials = [spread_trials(protocol)]
        own_data = max(len(task.inputs), len(task.targets))
        lanes = np.arange(min(DRAWS, own_data))
    # lane after lane, and in each its trials one after the other
    settings = [trial for lane in range(len(lanes)) for trial in trials[lane % len(trials)]]
    weight = _weight(protocol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # the trial that is taken says it again
        scale = np.array([setting.dt for setting in settings])
        of_trials = _of_lanes(task, np.repeat(lanes, protocol.trials))
        trained = train(
            dataclasses.replace(of_trials, dt_scale=scale),
            model,
            protocol,
            lambda epoch: progress(weight * epoch),
            settings=settings,
            tuning=True,
        )
    errors = trained.best.reshape(len(lanes), -1)
    epochs = np.asarray(trained.curves["chosen_epoch"], dtype=np.float64).reshape(errors.shape)
    if protocol.choice == "shared":
        with np.errstate(divide="ignore"):
            errors = np.exp(np.log(errors).mean(axis=0, keepdims=True))
        epochs = np.median(epochs, axis=0, keepdims=True)
    taken = []
    for tried, found, epoch in zip(trials, errors, epochs, strict=True):
        best = int(np.argmin(found))
        taken.append(dataclasses.replace(tried[best], epochs=max(1, int(epoch[best]))))
    return Choice(protocol.choice, trials, errors, taken)


def without_test(task: Task) -> Task:
    """Return the task as the tuner gets it: validation steps at its end, no test stretch.

    A task without validation steps gives the last fifth of its training steps.
    """
    train = task.train if task.valid else task.train - task.train // 5
    return dataclasses.replace(
        task.part(slice(task.train + task.valid)),
        clean=None,
        train=train,
        valid=task.train + task.valid - train,
        faster=None,
    )


def _of_lanes(task: Task, lanes: NDArray[np.int64]) -> Task:
    """Return a task whose lanes are these of another; data that all share stay shared."""

    def some(values: NDArray[Any]) -> NDArray[Any]:
        return values[lanes] if len(values) > 1 else values

    dt = task.dt
    return dataclasses.replace(
        task,
        inputs=some(task.inputs),
        targets=some(task.targets),
        dt=some(dt) if isinstance(dt, np.ndarray) and dt.ndim == 2 else dt,
    )
