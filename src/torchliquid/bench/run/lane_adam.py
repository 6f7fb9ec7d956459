"""Adam's steps, each lane with its own rate, schedule and weight decay."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.nn import Pack, SequenceModel

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
    """An optimiser for a pack: `torch.optim.AdamW` with torch's defaults, each lane as if alone.

    `torch.optim` would import torch's compiler, a second of every process that trains.

    Args:
        model: a pack of S lanes; or a model, with one value for all.
        rates: a learning rate a lane, or one for all.
        schedules: of each lane, or one for all.
        decays: weight decay of each lane, or one for all.
        epochs: of a whole cycle.
    """

    BETAS, EPS = (0.9, 0.999), 1e-8

    def __init__(
        self,
        model: Pack | SequenceModel,
        rates: float | Sequence[float],
        schedules: str | Sequence[str],
        decays: float | Sequence[float],
        epochs: int,
    ) -> None:
        self.epochs, self.parameters = epochs, list(model.parameters())
        plain = isinstance(rates, float) and schedules == "constant" and decays == 0
        self.rate = rates if plain and isinstance(rates, float) else None
        self.rates, self.decays = torch.as_tensor(rates), torch.as_tensor(decays)
        self.cycles = torch.tensor(
            [s == "one-cycle" for s in ([schedules] if isinstance(schedules, str) else schedules)]
        )
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, epoch: int) -> None:
        """The step after an epoch, counted from 0."""
        self.steps += 1
        first, second = self.BETAS
        shrink, root = 1 - first**self.steps, math.sqrt(1 - second**self.steps)
        share = cycled(min(epoch, self.epochs - 1), self.epochs)
        rates = torch.where(self.cycles, share * self.rates, self.rates)
        kept, length = 1 - rates * self.decays, rates / shrink
        for parameter, (mean, square) in zip(self.parameters, self.moments, strict=True):
            grad = parameter.grad
            if grad is None:
                continue
            mean.lerp_(grad, 1 - first)
            square.mul_(second).addcmul_(grad, grad, value=1 - second)
            scale = (square.sqrt() / root).add_(self.EPS)
            if self.rate is not None:
                parameter.addcdiv_(mean, scale, value=-self.rate / shrink)
            else:
                parameter.mul_(_by_lane(kept, parameter))
                parameter.sub_(mean / scale * _by_lane(length, parameter))


def _by_lane(values: Tensor, parameter: Tensor) -> Tensor:
    return values.to(parameter.dtype).reshape(-1, *[1] * (parameter.dim() - 1))
