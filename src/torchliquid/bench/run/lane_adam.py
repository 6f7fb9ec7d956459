"""Adam's steps, each lane with its own rate, schedule and weight decay."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.nn import Pack

SCHEDULES = ("constant", "one-cycle")
WARM, START, END = 0.3, 1 / 25, 1 / 25e4
"""Of a cycle: the share that the rate rises, where it begins and ends as a share of its peak."""


def check_schedule(schedule: Any, weight_decay: Any) -> None:
    """Refuse what is no schedule, or no decay."""
    if schedule not in SCHEDULES:
        raise TorchliquidError(f"schedule is {schedule!r}: give {' or '.join(SCHEDULES)}")
    number = isinstance(weight_decay, int | float) and not isinstance(weight_decay, bool)
    if not number or not 0 <= weight_decay < 10:
        raise TorchliquidError(f"weight_decay is {weight_decay!r}: give a number from 0 to 10")


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


class LaneAdam:
    """An optimiser for a pack: Adam, with decoupled weight decay as in AdamW.

    Args:
        pack: S lanes.
        rates: a learning rate a lane, or one for all.
        schedules: of each lane, or one for all.
        decays: weight decay of each lane, or one for all.
        epochs: of a whole cycle.
    """

    def __init__(
        self,
        pack: Pack,
        rates: float | Sequence[float],
        schedules: str | Sequence[str],
        decays: float | Sequence[float],
        epochs: int,
    ) -> None:
        self.epochs, self.parameters = epochs, list(pack.parameters())
        self.plain = isinstance(rates, float) and schedules == "constant" and decays == 0
        self.rates, self.decays = torch.as_tensor(rates), torch.as_tensor(decays)
        self.cycles = torch.tensor(
            [s == "one-cycle" for s in ([schedules] if isinstance(schedules, str) else schedules)]
        )
        # a rate of 1 takes Adam's steps whole, to be shortened to those of each lane
        rate = rates if self.plain and isinstance(rates, float) else 1.0
        self.adam = torch.optim.Adam(self.parameters, lr=rate)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.adam.zero_grad()

    @torch.no_grad()
    def step(self, epoch: int) -> None:
        """The step after an epoch, counted from 0."""
        if self.plain:
            self.adam.step()
            return
        before = [parameter.clone() for parameter in self.parameters]
        self.adam.step()
        share = cycled(min(epoch, self.epochs - 1), self.epochs)
        rates = torch.where(self.cycles, share * self.rates, self.rates)
        kept = 1 - rates * self.decays
        for parameter, old in zip(self.parameters, before, strict=True):
            moved = torch.lerp(old, parameter, _by_lane(rates, old))
            parameter.copy_(moved - old * (1 - _by_lane(kept, old)))


def _by_lane(values: Tensor, parameter: Tensor) -> Tensor:
    return values.to(parameter.dtype).reshape(-1, *[1] * (parameter.dim() - 1))
