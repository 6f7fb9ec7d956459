"""The article's series: a sum of sines plus Gaussian noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.presets import ARTICLE, PRESETS
from torchliquid.bench.tasks.sampling import Times, even_times
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
        if not 20 <= self.train <= self.steps - 10:
            raise TorchliquidError(
                f"train is {self.train} of {self.steps} steps: leave at least 20 steps to train on "
                "and 10 to test on"
            )
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
        return np.asarray(self.at(times)[0])

    def at(self, times: Times, rngs: Sequence[np.random.Generator] = ()) -> NDArray[np.float64]:
        """The signal without noise at these times ``(1, N)``: nothing is drawn."""
        return np.asarray(sum(a * np.sin(w * times) for a, w in self.sines))[None]

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
