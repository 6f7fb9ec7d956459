"""What goes wrong with a sensor after training: shifts of the test stretch, at five severities.

The training part stays as it is. Noise, spikes, lost and stuck samples, drift, gain and late
samples change the inputs that a model sees and leave its targets alone. With gaps, samples are not
there at all: their steps are left out, and models that take the time between samples get it.
Speed and rate draw the signal again, running faster from the start of the test stretch on; with
rate, models get that more time passes between samples (it is the same signal, sampled more
rarely).

Sizes are in standard deviations of a feature's training part. Inputs that are known beforehand (a
plan, the calendar) are no sensors and stay. Draws are the same for all models.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.config import SEVERITIES
from torchliquid.bench.tasks.task import Array, StepIndex, Task
from torchliquid.errors import TorchliquidError

Values = NDArray[np.float64]
Corrupt = Callable[[Values, float, np.random.Generator], Values]

SPIKE = 4.0
"""Height of a spike, in training standard deviations."""
_SHARES = (0.05, 0.1, 0.2, 0.4, 0.6)
_FASTER = (1.05, 1.1, 1.25, 1.5, 2.0)


class Shift(NamedTuple):
    """A kind of shift.

    Args:
        about: one line for the reader of a table; ``{}`` is the level.
        levels: what each of the `SEVERITIES` is.
        corrupt: from the values ``(S, N, F)`` of a series' test stretch to others; None where more
            than values change.
    """

    about: str
    levels: tuple[float, ...]
    corrupt: Corrupt | None = None


class Shifted(NamedTuple):
    """A task whose test stretch is another, and the steps of the old one that it holds."""

    task: Task
    steps: StepIndex


def _noise(z: Values, level: float, rng: np.random.Generator) -> Values:
    return z + level * rng.standard_normal(z.shape)


def _spikes(z: Values, level: float, rng: np.random.Generator) -> Values:
    hit = rng.random(z.shape) < level
    return z + SPIKE * hit * np.where(rng.random(z.shape) < 0.5, -1.0, 1.0)


def _dropped(z: Values, level: float, rng: np.random.Generator) -> Values:
    lost = rng.random(z.shape[:2]) < level
    lost[:, 0] = False
    seen = np.maximum.accumulate(np.where(lost, 0, np.arange(z.shape[1])), axis=1)
    return np.take_along_axis(z, seen[:, :, None], axis=1)


def _stuck(z: Values, level: float, rng: np.random.Generator) -> Values:
    length = round(level * z.shape[1])
    first = rng.integers(0, z.shape[1] - length + 1, len(z))[:, None]
    positions = np.arange(z.shape[1])
    within = (positions >= first) & (positions < first + length)
    return np.take_along_axis(z, np.where(within, first, positions)[:, :, None], axis=1)


def _drift(z: Values, level: float, rng: np.random.Generator) -> Values:
    return z + level * np.linspace(0, 1, z.shape[1])[:, None]


def _gain(z: Values, level: float, rng: np.random.Generator) -> Values:
    return z * level


def _late(z: Values, level: float, rng: np.random.Generator) -> Values:
    before = np.concatenate([z[:, :1], z[:, :-1]], axis=1)
    return z + level * rng.random((*z.shape[:2], 1)) * (before - z)


SHIFTS: dict[str, Shift] = {
    "noise": Shift("noise of {} standard deviations", (0.1, 0.2, 0.4, 0.8, 1.6), _noise),
    "spikes": Shift("a spike at {} of the samples", (0.01, 0.02, 0.05, 0.1, 0.2), _spikes),
    "dropped": Shift("{} of the samples lost, the last one held", _SHARES, _dropped),
    "stuck": Shift("the sensor stuck for {} of the stretch", _SHARES, _stuck),
    "drift": Shift("drift by {} standard deviations", (0.1, 0.25, 0.5, 1.0, 2.0), _drift),
    "gain": Shift("deviations from the mean {} times as large", _FASTER, _gain),
    "late": Shift("samples late by up to {} of an interval", (0.1, 0.25, 0.5, 0.75, 1.0), _late),
    "gaps": Shift("{} of the samples left out, and the time given", _SHARES),
    "speed": Shift("the signal {} times as fast", _FASTER),
    "rate": Shift("the signal sampled {} times more rarely, and the time given", _FASTER),
}
"""By the name that suites and tables call it."""
DRAWN_ANEW = ("speed", "rate")
"""Shifts of tasks alone that can be drawn again."""


def applies(name: str, task: Task) -> bool:
    """Whether a task can be shifted so."""
    return name not in DRAWN_ANEW or task.faster is not None


def check_shifts(names: Sequence[str], severities: Sequence[int]) -> None:
    """Refuse what is no shift, no severity, or named twice."""
    for name in names:
        if name not in SHIFTS:
            raise TorchliquidError(f"shift is {name!r}: give some of {', '.join(SHIFTS)}")
    for severity in severities:
        if isinstance(severity, bool) or severity not in SEVERITIES:
            raise TorchliquidError(f"severity is {severity!r}: give integers from 1 to 5")
    for listed in (names, severities):
        if len(set(listed)) < len(listed):
            raise TorchliquidError(f"{list(listed)} names one twice: name each once")


def shifted(
    task: Task, name: str, severity: int, *, lanes: int, seed: int, takes_dt: bool
) -> Shifted:
    """A task with its test stretch shifted.

    Args:
        task: as it was trained on.
        name: one of `SHIFTS`.
        severity: 1 to 5.
        lanes: S; each has its own draws.
        seed: of the draws.
        takes_dt: whether the model takes the time between samples. Others get it as far as
            they were in training: as a feature, on tasks of irregular spacing.
    """
    shift = SHIFTS[name]
    level = shift.levels[severity - 1]
    rng = np.random.default_rng((seed, 4, list(SHIFTS).index(name), severity))
    whole = np.arange(task.steps)
    if shift.corrupt is not None:
        return Shifted(_corrupted(task, shift.corrupt, level, rng, lanes), whole)
    knows_dt = takes_dt or isinstance(task.dt, np.ndarray)
    if name == "gaps":
        return _left_out(task, level, rng, knows_dt)
    if task.faster is None:
        raise ValueError(f"{task.name} cannot be drawn again")
    other = task.faster(level)
    dt = _spread(task.dt, task.steps)
    # the first sample of the stretch is as late as ever
    dt[..., whole > task.steps - task.test] *= level
    fast = replace(task, inputs=other.inputs, targets=other.targets, clean=other.clean)
    return Shifted(replace(fast, dt=dt) if knows_dt and name == "rate" else fast, whole)


def _corrupted(
    task: Task, corrupt: Corrupt, level: float, rng: np.random.Generator, lanes: int
) -> Task:
    sensors = np.array(_sensors(task))
    train = task.inputs[:, : task.train][:, :, sensors].astype(np.float64)
    mean, size = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
    size = np.where(size > 0, size, 1.0)
    inputs = np.repeat(task.inputs, lanes // len(task.inputs), axis=0)
    for line in task.timelines():
        steps = line[line >= task.steps - task.test]
        if len(steps):
            z = (inputs[:, steps][:, :, sensors] - mean) / size
            inputs[:, steps[:, None], sensors] = mean + size * corrupt(z, level, rng)
    return replace(task, inputs=inputs)


def _sensors(task: Task) -> list[int]:
    """The features that are not known beforehand."""
    features, known = task.spec.get("features", []), task.spec.get("future", [])
    beforehand = {1 + features.index(name) for name in known}
    return [k for k in range(task.inputs.shape[2]) if k not in beforehand]


def _left_out(task: Task, level: float, rng: np.random.Generator, knows_dt: bool) -> Shifted:
    """The same steps for all lanes; of each series the first of the stretch stays."""
    kept = rng.random(task.steps) >= level
    kept[: task.steps - task.test] = True
    passed = _spread(task.dt, task.steps).astype(np.float64)
    for line in task.timelines():
        test_steps = line[line >= task.steps - task.test]
        kept[test_steps[:1]] = True
        # the time before a sample is since the last one that is there
        clock = np.cumsum(passed[..., line], axis=-1)
        there = kept[line]
        passed[..., line[there]] = np.diff(clock[..., there], prepend=0.0)
    steps = np.flatnonzero(kept)
    left = task.part(steps)
    dt = passed[..., steps].astype(np.float32) if knows_dt else task.dt
    return Shifted(replace(left, dt=dt), steps)


def _spread(dt: float | Array, steps: int) -> Array:
    """Return dt with an entry for each step, ``(T,)`` or ``(S, T)``, to be changed."""
    values = np.asarray(dt, dtype=np.float32)
    return values.copy() if values.ndim else np.full(steps, values)
