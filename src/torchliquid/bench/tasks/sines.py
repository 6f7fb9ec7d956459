"""Sums of sines plus Gaussian noise: the article's signal, and a kind of which it is one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.presets import ARTICLE, PRESETS
from torchliquid.bench.tasks.sampling import DrawnSignal, Times, check_steps, even_times
from torchliquid.errors import TorchliquidError

LARGEST = 1e12
"""Squares of anything beyond would overflow the 32-bit numbers of a task."""


@dataclass(frozen=True)
class SumOfSines:
    """``sum of amplitude * sin(frequency * t) + sigma * noise``, sampled every ``interval``.

    The article ("Deconstructing Liquid Neural Networks (LNNs), Part 3: Benchmarking LNNs vs LSTMs")
    fixes the 300 steps, the first 200 for training and the sum of sines; it does not print the
    sines or sigma. The defaults are those of 2,232 candidates that come closest to the numbers and
    curves that it does print (``benchmarks/calibrate.py``).

    Args:
        sines: pairs (amplitude, angular frequency in radians per unit of time).
        sigma: standard deviation of the noise, in the signal's unit.
        steps: predictions in the whole series; one sample more is drawn, the last target.
        train: steps of them that are for training, the first ones.
        span: time that the steps cover; the sampling interval is ``span / steps``.

    >>> SumOfSines(sigma=0.1).sines
    ((1.0, 1.0), (0.4, 2.5), (0.2, 10.0))
    """

    sines: tuple[tuple[float, float], ...] = PRESETS[ARTICLE].sines
    sigma: float = PRESETS[ARTICLE].sigma
    steps: int = 300
    train: int = 200
    span: float = 30.0

    own_times = False

    def __post_init__(self) -> None:
        if not self.sines or not all(abs(v) <= LARGEST for sine in self.sines for v in sine):
            raise TorchliquidError(
                f"sines is {self.sines}: give finite pairs of amplitude and angular frequency, at "
                f"most {LARGEST:g}"
            )
        if not 0 <= self.sigma <= LARGEST:
            raise TorchliquidError(
                f"sigma is {self.sigma}: give a finite number of at least 0, at most {LARGEST:g}"
            )
        if not (self.span > 0 and math.isfinite(self.span)):
            raise TorchliquidError(f"span is {self.span}: give a positive, finite time")
        check_steps(self.steps, self.train)
        if np.ptp(self.clean()) <= 1e-9 * max(abs(amplitude) for amplitude, _ in self.sines):
            raise TorchliquidError(
                f"sines is {self.sines}: they add up to a constant signal; give others"
            )

    @property
    def interval(self) -> float:
        """Time between samples."""
        return self.span / self.steps

    @classmethod
    def of_preset(cls, name: str, **given: Any) -> "SumOfSines":
        """The series of a preset, but for what is given (and not None).

        Raises:
            TorchliquidError: there is no such preset, or see the class.
        """
        if name not in PRESETS:
            raise TorchliquidError(f"preset is {name!r}: give one of {', '.join(PRESETS)}")
        values: dict[str, Any] = {"sines": PRESETS[name].sines, "sigma": PRESETS[name].sigma}
        return cls(**values | {key: value for key, value in given.items() if value is not None})

    def clean(self) -> NDArray[np.float64]:
        """The signal without noise, ``(steps + 1,)``."""
        times = even_times(self.steps, self.train, self.interval)
        return self.at(times)

    def at(self, times: Times) -> NDArray[np.float64]:
        """The signal without noise at some times."""
        return np.asarray(sum(a * np.sin(w * times) for a, w in self.sines))

    def drawn(self, rngs: Sequence[np.random.Generator]) -> DrawnSignal:
        """The signal, which is the same in every lane; see `Signal`."""
        return DrawnSignal(self.at, self.sigma)

    def noisy(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The signal with one draw of the noise, ``(steps + 1,)``."""
        clean = self.clean()
        return clean + self.sigma * rng.standard_normal(len(clean))

    def spec(self) -> dict[str, Any]:
        """All that defines the series but the draw, JSON types."""
        return {
            "task": "article",
            "sines": [list(sine) for sine in self.sines],
            "sigma": self.sigma,
            "steps": self.steps,
            "train": self.train,
            "span": self.span,
        }


VARYING = ("none", "frequency", "amplitude")


@dataclass(frozen=True)
class SinesOfAKind:
    """Sums of two or three sines plus noise; every lane draws a signal of its own.

    They are of the article's kind: the ranges are those of the grid that its signal was found in
    (``benchmarks/calibrate.py``), made continuous. Amplitudes are 1, 0.3 to 0.6 and, in three of
    four signals, 0.1 to 0.3; frequencies 0.7 to 1.4, 2 to 5 times that, and from 5 (or 1.2 times
    the second) to 13, each evenly over its logarithm; phases are any; sigma is 0.02 to 0.05. The
    sampling interval is 0.1.

    Args:
        steps: predictions in the whole series.
        train: steps of them that are for training, the first ones.
        varying: ``"none"``; ``"frequency"``: each frequency sways by up to a tenth;
            ``"amplitude"``: each amplitude by up to a half. They sway as sines of a period
            between 10 and 40.
    """

    steps: int = 300
    train: int = 200
    varying: str = "none"

    interval = 0.1
    own_times = True

    def __post_init__(self) -> None:
        check_steps(self.steps, self.train)
        if self.varying not in VARYING:
            raise TorchliquidError(f"varying is {self.varying!r}: give one of {', '.join(VARYING)}")

    def drawn(self, rngs: Sequence[np.random.Generator]) -> DrawnSignal:
        """A signal for each generator; see `Signal`."""
        signals = [_draw(rng) for rng in rngs]
        sines = np.stack([sines for sines, _ in signals])  # (S, 3, 3)
        amplitude, frequency, phase = np.moveaxis(sines, 2, 0)[..., None]
        sways = np.ones((2, len(rngs), 3, 1))
        if self.varying != "none":
            sways = np.moveaxis(np.stack([_draw_sway(rng) for rng in rngs]), 2, 0)[..., None]
        turns, start = sways

        def at(times: Times) -> NDArray[np.float64]:
            t = np.atleast_2d(times)[:, None]
            size, angle = amplitude, frequency * t + phase
            if self.varying == "amplitude":
                size = amplitude * (1 + 0.5 * np.sin(turns * t + start))
            elif self.varying == "frequency":  # the integral of a frequency that sways
                angle = angle - 0.1 * frequency / turns * np.cos(turns * t + start)
            return np.asarray((size * np.sin(angle)).sum(axis=1))

        return DrawnSignal(at, np.array([[sigma] for _, sigma in signals]))

    def spec(self) -> dict[str, Any]:
        """All that defines the series but the draw, JSON types."""
        varying = {} if self.varying == "none" else {"varying": self.varying}
        return {"task": "sines", "steps": self.steps, "train": self.train} | varying


def _draw_sway(rng: np.random.Generator) -> NDArray[np.float64]:
    """Frequency and phase with which each of three sines sways ``(3, 2)``."""
    turns = 2 * np.pi / np.exp(rng.uniform(np.log(10), np.log(40), 3))
    return np.stack([turns, rng.uniform(0, 2 * np.pi, 3)], axis=1)


def _draw(rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Amplitude, frequency and phase of three sines ``(3, 3)``, the last maybe of none; sigma."""

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    first = between(0.7, 1.4)
    second = first * between(2, 5)
    amplitudes, frequencies = [1.0, rng.uniform(0.3, 0.6)], [first, second]
    if rng.random() < 0.75:
        amplitudes.append(rng.uniform(0.1, 0.3))
        frequencies.append(between(max(5.0, 1.2 * second), 13.0))
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))
    sines = np.zeros((3, 3))
    sines[: len(phases)] = np.stack([amplitudes, frequencies, phases], axis=1)
    return sines, between(0.02, 0.05)
