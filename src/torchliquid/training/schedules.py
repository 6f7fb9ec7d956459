"""How the learning rate moves over the epochs."""

import math
from typing import Any

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

SCHEDULES = ("constant", "one-cycle")
WARM, START, END = 0.3, 1 / 25, 1 / 25e4
"""Of a cycle: the share that the rate rises, where it begins and ends as a share of its peak."""


def check_schedule(schedule: Any) -> None:
    """Refuse what is no schedule."""
    if schedule not in SCHEDULES:
        raise TorchliquidError(f"schedule is {short_repr(schedule)}: give {' or '.join(SCHEDULES)}")


def cycled(epoch: int, epochs: int) -> float:
    """The rate at an epoch as a share of its peak, in one cycle over all epochs.

    It rises and falls along half a cosine each (Smith 2018; `torch.optim.lr_scheduler.OneCycleLR`
    with its defaults).

    >>> [round(cycled(epoch, 10), 3) for epoch in (0, 2, 9)]
    [0.04, 1.0, 0.0]
    """
    peak, last = WARM * epochs - 1, epochs - 1
    if epoch <= peak:
        return _between(START, 1.0, epoch / peak if peak > 0 else 1.0)
    return _between(1.0, END, (epoch - peak) / (last - peak) if last > peak else 1.0)


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) / 2 * (1 + math.cos(math.pi * share))
