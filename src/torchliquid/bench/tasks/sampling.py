"""When a signal is sampled: evenly, or at times that are drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError

Times = NDArray[np.float64]

SHAPE = 2.0
"""Of the gamma distribution of irregular gaps: their standard deviation is 0.7 of their mean."""


def even_times(steps: int, train: int, interval: float, speed: float = 1.0) -> Times:
    """The times of ``steps + 1`` samples.

    From step ``train`` on they are ``speed`` times as far apart: the signal runs faster there.

    >>> even_times(4, 2, 0.5, speed=2.0).tolist()
    [0.0, 0.5, 1.0, 2.0, 3.0]
    """
    k = np.arange(steps + 1)
    return interval * (np.minimum(k, train) + speed * np.maximum(k - train, 0))


def drawn_times(
    steps: int, train: int, interval: float, rng: np.random.Generator, speed: float = 1.0
) -> Times:
    """The times of ``steps`` samples, the first at 0, whose gaps have a gamma distribution.

    ``interval`` is their mean; ``speed``: see `even_times`.
    """
    gaps = rng.gamma(SHAPE, interval / SHAPE, steps - 1)
    gaps[train:] *= speed
    return np.concatenate([[0.0], np.cumsum(gaps)])


class DrawnSignal(NamedTuple):
    """A draw of a signal for each lane.

    ``at`` gives it without noise at times ``(N,)`` or ``(S, N)``, the same for all lanes ``(N,)``
    or ``(S, N)``; ``sigma`` is the noise's standard deviation, a number or ``(S, 1)``.
    """

    at: Callable[[Times], Times]
    sigma: float | Times


def check_steps(steps: int, train: int) -> None:
    """Refuse series that leave too little to train or to test on."""
    if not 20 <= train <= steps - 10:
        raise TorchliquidError(
            f"train is {train} of {steps} steps: leave at least 20 steps to train on and 10 to "
            "test on"
        )
