"""Tasks whose series a generator draws: each lane has a draw of its own.

Evenly sampled, a model sees a noisy sample and predicts the next one. Irregularly sampled, it
predicts what a sensor would read one mean interval later, whenever the next sample is; the times of
the samples are the same for all lanes, unless each lane has a signal of its own. With missing
samples, the last one that is there stands for those that are not, without a mark, and a target that
is not there does not count.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.attractors import Attractor
from torchliquid.bench.tasks.sampling import DrawnSignal, drawn_times, even_times
from torchliquid.bench.tasks.sines import SinesOfAKind, SumOfSines
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError

Values = NDArray[np.float64]
SAMPLINGS = ("even", "irregular")
TIMES = 2**31
"""Stands in a lane's place in the seed of times that all lanes share: no lane has this number."""


class Signal(Protocol):
    """What a generator offers; ``own_times``: irregular times are each lane's own."""

    steps: int
    train: int
    own_times: bool

    @property
    def interval(self) -> float:
        """Time between samples."""

    def spec(self) -> dict[str, Any]:
        """All that defines the series but the draw, JSON types."""

    def drawn(self, rngs: Sequence[np.random.Generator]) -> DrawnSignal:
        """A draw for each generator, which may be drawn from afterwards."""


@dataclass(frozen=True)
class _Plan:
    """A task but for its draws."""

    name: str
    signal: Any
    seed: int
    window: int | None
    sampling: str
    missing: float
    dt: float

    def task(self, lanes: int, speed: float = 1.0) -> Task:
        """The task with draws of ``lanes`` lanes."""
        signal: Signal = self.signal
        rngs = [np.random.default_rng((self.seed, i)) for i in range(lanes)]
        drawn = signal.drawn(rngs)
        dt: float | NDArray[np.float32] = self.dt
        if self.sampling == "even":
            times = even_times(signal.steps, signal.train, signal.interval, speed)
            clean = np.broadcast_to(drawn.at(times), (lanes, len(times)))
            noisy = _with_noise(drawn, clean, rngs)
            seen, targets, truth = noisy[:, :-1], noisy[:, 1:], clean[:, 1:]
        else:
            of_times = rngs if signal.own_times else [np.random.default_rng((self.seed, TIMES))]
            size = (signal.steps, signal.train, signal.interval)
            times = np.stack([drawn_times(*size, rng, speed) for rng in of_times])
            ahead = np.where(np.arange(signal.steps) < signal.train, 1.0, speed)
            later = times + signal.interval * ahead
            clean = drawn.at(np.concatenate([times, later], axis=1))
            clean = np.broadcast_to(clean, (lanes, 2 * signal.steps))
            noisy = _with_noise(drawn, clean, rngs)
            seen, targets = np.split(noisy, 2, axis=1)
            truth = clean[:, signal.steps :]
            gaps = np.diff(times, axis=1, prepend=-signal.interval)
            gaps[:, signal.train + 1 :] /= speed
            dt = (self.dt * gaps / signal.interval).astype(np.float32)
            dt = dt if signal.own_times else dt[0]
        observed = None
        if self.missing:
            lost = np.stack([rng.random(signal.steps + 1) < self.missing for rng in rngs])
            lost[:, 0] = False
            latest = np.where(lost[:, :-1], 0, np.arange(signal.steps))
            seen = np.take_along_axis(seen, np.maximum.accumulate(latest, axis=1), axis=1)
            targets = np.where(lost[:, 1:], np.nan, targets)
            observed = ~lost[:, :-1]
        return Task(
            name=self.name,
            spec=signal.spec()
            | ({} if self.window is None else {"window": self.window})
            | ({} if self.sampling == "even" else {"sampling": self.sampling})
            | ({"missing": self.missing} if self.missing else {}),
            inputs=seen[:, :, None].astype(np.float32),
            targets=targets.astype(np.float32),
            clean=truth.astype(np.float32),
            observed=observed,
            dt=dt,
            ahead=self.dt,
            train=signal.train,
            window=self.window,
            last_only=self.window is not None,
            faster=functools.partial(_drawn, self, lanes),
        )


@functools.lru_cache(maxsize=8)
def _drawn(plan: _Plan, lanes: int, speed: float) -> Task:
    """Kept, because a chaotic series takes a second, and every model asks for the same ones."""
    return plan.task(lanes, speed)


def _with_noise(drawn: DrawnSignal, clean: Values, rngs: Sequence[np.random.Generator]) -> Values:
    return clean + drawn.sigma * np.stack([rng.standard_normal(clean.shape[1]) for rng in rngs])


def article_task(
    series: SumOfSines,
    lanes: int,
    seed: int,
    *,
    window: int | None = None,
    sampling: str = "even",
    missing: float = 0.0,
) -> Task:
    """The article's task: predict the next noisy value from the current noisy one.

    Args:
        series: the frozen specification of the signal.
        lanes: S; every lane has its own noise draw, the same for all models.
        seed: lane i draws its noise from the generator seeded by ``(seed, i)``.
        window: None: one sequence, a prediction at every step. A number: the model that part 2 of
            the article prints, one prediction from the last state of so many steps.
        sampling: ``"even"``, or ``"irregular"``: see the top of this module.
        missing: share of the samples that are missing.

    Raises:
        TorchliquidError: the window is not within 2 and half the training steps; no lane, or a
            negative seed; a sampling that is unknown, or a share that is none.
    """
    if window is not None and not 2 <= window <= series.train // 2:
        raise TorchliquidError(
            f"window is {window}: give 2 to {series.train // 2} steps, half of those to train on"
        )
    _check(lanes, seed, sampling, missing)
    return _Plan("article", series, seed, window, sampling, missing, series.interval).task(lanes)


def sines_task(
    series: SinesOfAKind, lanes: int, seed: int, *, sampling: str = "even", missing: float = 0.0
) -> Task:
    """Predict the next value of a sum of sines that is another in every lane.

    Arguments as of `article_task`. An interval over lanes so speaks of the whole kind.
    """
    _check(lanes, seed, sampling, missing)
    return _Plan("sines", series, seed, None, sampling, missing, series.interval).task(lanes)


def attractor_task(
    series: Attractor, lanes: int, seed: int, *, sampling: str = "even", missing: float = 0.0
) -> Task:
    """Predict the next value of a chaotic series; arguments as of `article_task`.

    The time between samples counts as 1 to liquid models, to be tuned. ``spec`` holds a hash of the
    numbers, which may differ in their last digits, and then in all, from machine to machine.
    """
    _check(lanes, seed, sampling, missing)
    task = _Plan(series.system, series, seed, None, sampling, missing, 1.0).task(lanes)
    digest = hashlib.sha256(task.inputs.tobytes() + task.targets.tobytes()).hexdigest()
    return replace(task, spec=task.spec | {"sha256": digest})


def _check(lanes: int, seed: int, sampling: str, missing: float) -> None:
    if lanes < 1 or seed < 0:
        raise TorchliquidError("`lanes` must be at least 1 and `seed` at least 0")
    if sampling not in SAMPLINGS:
        raise TorchliquidError(f"sampling is {sampling!r}: give 'even' or 'irregular'")
    if isinstance(missing, bool) or not 0 <= missing <= 0.9:
        raise TorchliquidError(f"missing is {missing}: give a share from 0 to 0.9")
