"""Chaotic series: the Lorenz and Rössler systems, and the Mackey-Glass equation.

    Lorenz        x' = 10 (y - x),  y' = x (28 - z) - y,  z' = x y - 8/3 z
    Rössler       x' = -y - z,  y' = x + 0.2 y,  z' = 0.2 + z (x - 5.7)
    Mackey-Glass  x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x

Only x is seen. Sources: Lorenz 1963; Rössler 1976; Mackey and Glass 1977. They are integrated by
the classical Runge-Kutta method at a fixed step, so that a lane does not hang on the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.sampling import DrawnSignal, Times, check_steps
from torchliquid.errors import TorchliquidError

Values = NDArray[np.float64]


class _System(NamedTuple):
    """Interval between samples, integration step, time to fall onto the attractor, x's size.

    ``exponent``: the largest Lyapunov exponent, the rate at which small errors grow (Sprott, "Chaos
    and time-series analysis", 2003; Farmer 1982 for Mackey-Glass).
    """

    interval: float
    step: float
    transient: float
    mean: float
    scale: float
    exponent: float
    rate: Callable[[Values], Values] | None = None


def _lorenz(state: Values) -> Values:
    x, y, z = state
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def _roessler(state: Values) -> Values:
    x, y, z = state
    return np.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)])


SYSTEMS = {
    "lorenz": _System(0.05, 0.005, 20.0, 0.0, 7.92, 0.906, _lorenz),
    "roessler": _System(0.5, 0.02, 100.0, 0.18, 5.15, 0.0714, _roessler),
    "mackey-glass": _System(3.0, 0.1, 500.0, 0.93, 0.226, 0.0071),
}
DELAY = 17.0


@dataclass(frozen=True)
class Attractor:
    """A coordinate of a chaotic system plus Gaussian noise; each draw starts somewhere else.

    Args:
        system: ``"lorenz"``, ``"roessler"`` or ``"mackey-glass"``.
        sigma: standard deviation of the noise, as a share of the signal's own.
        steps: predictions in the whole series.
        train: steps of them that are for training, the first ones.
    """

    system: str
    sigma: float = 0.05
    steps: int = 600
    train: int = 400

    own_times = False

    def __post_init__(self) -> None:
        if self.system not in SYSTEMS:
            raise TorchliquidError(f"system is {self.system!r}: give one of {', '.join(SYSTEMS)}")
        if not 0 <= self.sigma <= 1000:
            raise TorchliquidError(f"sigma is {self.sigma}: give a number from 0 to 1000")
        check_steps(self.steps, self.train)

    @property
    def interval(self) -> float:
        """Time between samples, in the system's unit."""
        return SYSTEMS[self.system].interval

    def spec(self) -> dict[str, Any]:
        """All that defines the series but the draw, JSON types."""
        return {
            "task": "attractor",
            "system": self.system,
            "sigma": self.sigma,
            "steps": self.steps,
            "train": self.train,
        }

    def drawn(self, rngs: Sequence[np.random.Generator]) -> DrawnSignal:
        """A start for each generator; see `Signal`."""
        return DrawnSignal(lambda times: self.at(np.ravel(times), rngs), self.sigma)

    def at(self, times: Times, rngs: Sequence[np.random.Generator]) -> Values:
        """X without noise at these times, a row for each generator, in standard deviations."""
        from scipy.interpolate import CubicHermiteSpline

        system = SYSTEMS[self.system]
        steps = int(np.ceil((system.transient + np.max(times)) / system.step)) + 1
        run = _delayed if system.rate is None else _ordinary
        x, slope = run(system, rngs, steps)
        grid = system.step * np.arange(len(x)) - system.transient
        values = CubicHermiteSpline(grid, x, slope)(times)
        return np.asarray(((values - system.mean) / system.scale).T)


def _ordinary(
    system: _System, rngs: Sequence[np.random.Generator], steps: int
) -> tuple[Values, Values]:
    """X and its slope ``(steps + 1, S)``."""
    rate, h = system.rate, system.step
    if rate is None:
        raise ValueError("the system has no rate")
    state = np.stack([rng.uniform(-1, 1, 3) for rng in rngs], axis=1)
    x, slope = np.empty((steps + 1, len(rngs))), np.empty((steps + 1, len(rngs)))
    for k in range(steps + 1):
        k1 = rate(state)
        x[k], slope[k] = state[0], k1[0]
        k2 = rate(state + h / 2 * k1)
        k3 = rate(state + h / 2 * k2)
        k4 = rate(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x, slope


def _delayed(
    system: _System, rngs: Sequence[np.random.Generator], steps: int
) -> tuple[Values, Values]:
    """The same, from a constant past."""
    h, delay = system.step, round(DELAY / system.step)
    x, slope = np.zeros((delay + steps + 2, len(rngs))), np.zeros((delay + steps + 2, len(rngs)))
    x[: delay + 1] = [rng.uniform(0.5, 1.5) for rng in rngs]

    def rate(now: Values, then: Values) -> Values:
        return np.asarray(0.2 * then / (1 + then**10) - 0.1 * now)

    for k in range(delay, delay + steps + 1):
        old, older = x[k - delay + 1], x[k - delay]
        between = old  # half-way between two steps: the constant past, or Hermite's cubic
        if k >= 2 * delay:
            between = (older + old) / 2 + h / 8 * (slope[k - delay] - slope[k - delay + 1])
        k1 = slope[k] = rate(x[k], older)
        k2 = rate(x[k] + h / 2 * k1, between)
        k3 = rate(x[k] + h / 2 * k2, between)
        k4 = rate(x[k] + h * k3, old)
        x[k + 1] = x[k] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x[delay:-1], slope[delay:-1]
