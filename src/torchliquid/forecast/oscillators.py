"""Forecasts by damped oscillators that correct themselves: fitted by the likelihood of the past.

See `torchliquid.functional._oscillator_filter` for the equations. Frequencies, decays and noises of
many series are fitted side by side, each from several starts, of which the one with the highest
likelihood of its own training samples is taken: nothing else is chosen.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid import kernels
from torchliquid.forecast.regressors import Values
from torchliquid.functional._oscillator_filter import oscillator_filter, oscillator_forecast

OSCILLATORS, STARTS, EPOCHS = 6, 2, 600
BURN_IN = 0.1
"""Share of the training samples, the first ones, that does not count in the likelihood."""
HIGHEST = 0.7
"""Of the starting frequencies, as a share of the highest that even samples resolve."""
MEMORY = 60.0
"""Mean gaps in which an oscillator decays e-fold at the start."""
RATES = (0.1, 0.003)
"""Adam's learning rate at the start and at the end."""


@dataclass(frozen=True)
class Oscillators:
    """Fitted filters of S series, in units of their mean gap and of their standard deviation.

    Args:
        gap: mean time between samples ``(S,)``.
        mean: of the training samples ``(S,)``.
        size: their standard deviation ``(S,)``.
        logs: logarithms of frequency, decay and spread ``(S, K)`` and of the noise ``(S, 1)``.
    """

    gap: Values
    mean: Values
    size: Values
    logs: list[Tensor]

    @property
    def parameters(self) -> int:
        """Number of fitted numbers of a series: 3 K + 1, and the mean."""
        return 3 * self.logs[0].shape[1] + 2

    @torch.no_grad()
    def predict(
        self, x: Values, gaps: Values, observed: NDArray[np.bool_], horizon: Values
    ) -> Values:
        """Return what is expected a time after each sample ``(S, T)``, from those until then.

        Args:
            x: samples ``(S, T)``.
            gaps: time before each ``(S, T)``.
            observed: which were observed ``(S, T)``.
            horizon: how far ahead ``(S,)``, in the unit of gaps.
        """
        frequency, decay, spread, noise = _values(self.logs)
        data = _scaled(x, gaps, observed, self.gap, self.mean, self.size)
        states = oscillator_filter(*data, frequency, decay, spread, noise).states
        time = torch.from_numpy(horizon / self.gap)
        value = oscillator_forecast(states, time, frequency, decay).numpy()
        return np.asarray(self.mean[:, None] + self.size[:, None] * value)


def fit_oscillators(
    x: Values,
    gaps: Values,
    observed: NDArray[np.bool_],
    *,
    oscillators: int = OSCILLATORS,
    starts: int = STARTS,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Oscillators:
    """Fit K oscillators to each of S series by the likelihood of its samples.

    Args:
        x: training samples ``(S, T)``.
        gaps: time before each ``(S, T)``.
        observed: which were observed ``(S, T)``.
        oscillators: K; their frequencies start between one turn in the series and near the highest.
        starts: how many of each series; the likelihood takes one.
        epochs: steps of Adam.
        seed: of the starts.
    """
    S, T = x.shape
    gap = gaps.mean(axis=1)
    weight = observed / observed.sum(axis=1, keepdims=True)
    mean = (weight * x).sum(axis=1)
    size = np.sqrt((weight * (x - mean[:, None]) ** 2).sum(axis=1))
    size = np.where(size > 0, size, 1.0)
    data = [t.repeat_interleave(starts, 0) for t in _scaled(x, gaps, observed, gap, mean, size)]
    logs = [log.repeat(S, 1).requires_grad_() for log in _starts(starts, T, oscillators, seed)]
    values, times, seen = data
    counts = seen.to(torch.float64)
    counts[:, : int(BURN_IN * T)] = 0
    best = torch.full((S * starts,), math.inf, dtype=torch.float64)
    kept = [log.detach().clone() for log in logs]
    optimiser = torch.optim.Adam(logs, betas=(0.9, 0.99))
    for epoch in range(epochs + 1):
        errors, variances = kernels.filter_likelihoods(values, times, seen, *_values(logs))
        surprise = ((variances.log() + errors**2 / variances) * counts).sum(1) / 2
        better = surprise.detach() < best
        best = torch.where(better, surprise.detach(), best)
        for old, log in zip(kept, logs, strict=True):
            old[better] = log.detach()[better]
        if epoch == epochs:
            break
        optimiser.param_groups[0]["lr"] = RATES[1] + (RATES[0] - RATES[1]) * (1 - epoch / epochs)
        optimiser.zero_grad()
        surprise.sum().backward()
        for log in logs:
            if log.grad is not None:
                log.grad.nan_to_num_(0.0).clamp_(-50, 50)
        optimiser.step()
    chosen = best.view(S, starts).argmin(1) + starts * torch.arange(S)
    return Oscillators(gap, mean, size, [log[chosen] for log in kept])


def _starts(count: int, steps: int, oscillators: int, seed: int) -> list[Tensor]:
    """Frequencies spread over their logarithm with jitter, memories of some `MEMORY` gaps."""
    generator = torch.Generator().manual_seed(seed)
    low, high = 2 * math.pi / steps, HIGHEST * math.pi
    width = math.log(high / low) / oscillators
    shape = (count, oscillators)
    jitter = torch.rand(shape, generator=generator, dtype=torch.float64)
    frequency = math.log(low) + width * (torch.arange(oscillators) + jitter)
    decay = -math.log(MEMORY) + 0.2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    spread = torch.full(shape, -0.5 * math.log(oscillators), dtype=torch.float64)
    return [frequency, decay, spread, torch.full((count, 1), math.log(0.1), dtype=torch.float64)]


def _values(logs: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    frequency, decay, spread, noise = (log.exp() for log in logs)
    return frequency, decay, spread, noise[:, 0]


def _scaled(
    x: Values, gaps: Values, observed: NDArray[np.bool_], gap: Values, mean: Values, size: Values
) -> tuple[Tensor, Tensor, Tensor]:
    values = (x - mean[:, None]) / size[:, None]
    return (torch.from_numpy(values), torch.from_numpy(gaps / gap[:, None]),
            torch.from_numpy(np.ascontiguousarray(observed)))  # fmt: skip
