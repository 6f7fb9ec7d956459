"""Damped oscillators under noise, corrected by their error: a Kalman filter in continuous time.

A signal is the sum of the real parts of K complex oscillators, seen with noise:

    dz_k = (-r_k + i w_k) z_k dt + noise,    x = sum_k Re z_k + n e

The noise is such that Re z_k has the standard deviation q_k at rest. Between samples the estimate
turns and decays, and the covariances C = E[z z^H] and R = E[z z^T] of its error grow towards rest:

    z' = a z,    C' = a a^H C + diag(2 q^2 (1 - |a|^2)),    R' = a a^T R,    a = exp((-r + i w) dt)

element by element. At a sample the estimate is corrected by its error e with a gain g / v:

    g = (C + R) 1 / 2,    v = Re sum_k g_k + n^2,    e = x - sum_k Re z'_k
    z = z' + g e / v,     C = C' - g g^H / v,        R = R' - g g^T / v

So the gain, and with it the time in which the past is forgotten, follows the gaps; a sample that
was not observed corrects nothing. The logarithm of v and e^2 / v give the likelihood.

Symbols: w frequency in radians, r decay, per unit of dt; q, n standard deviations in the unit of x.
All four are positive. Every covariance stays below that of rest, for any dt. Sources: Kalman and
Bucy 1961; Harvey, "Forecasting, Structural Time Series Models and the Kalman Filter", 1989 (cycles
as components); Schirmer et al., "Modeling Irregular Time Series with Continuous Recurrent Units",
ICML 2022 (such filters as cells).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Belief(NamedTuple):
    """What a filter knows after a sample.

    ``state (B, K)`` and ``covariance (2, B, K, K)``, which holds C and R: both are complex.
    """

    state: Tensor
    covariance: Tensor


class Filtered(NamedTuple):
    """What a filter knows at each sample.

    ``states (B, L, K)``, complex: the estimate after it. ``errors (B, L)``: how far the sample was
    off what was expected; ``variances (B, L)``: of that error. ``last``: to go on from.
    """

    states: Tensor
    errors: Tensor
    variances: Tensor
    last: Belief


def oscillator_filter(
    x: Tensor,
    dt: Tensor,
    observed: Tensor,
    frequency: Tensor,
    decay: Tensor,
    spread: Tensor,
    noise: Tensor,
    start: Belief | None = None,
) -> Filtered:
    """Run the filter over B series, each with oscillators of its own.

    Args:
        x: samples ``(B, L)``; what stands where nothing was observed plays no part.
        dt: time before each sample ``(B, L)``; at rest that before the first plays no part.
        observed: which were observed ``(B, L)``, booleans.
        frequency: w ``(B, K)``.
        decay: r ``(B, K)``.
        spread: q ``(B, K)``.
        noise: n ``(B,)``.
        start: what is known before, see `Filtered.last`; None: the oscillators are at rest.

    >>> one = torch.ones(1, 1)
    >>> x = torch.cos(torch.arange(50.0))[None]
    >>> run = oscillator_filter(x, torch.ones(1, 50), x == x, one, 0.01 * one, one, 0.1 * one[0])
    >>> bool(run.errors[0, 20:].abs().max() < 0.1)
    True
    """
    dt = dt.T.unsqueeze(-1)  # (L, B, 1)
    turned = torch.polar(torch.exp(-decay * dt), frequency * dt)
    factors = torch.stack([turned.conj(), turned], 1)[..., None, :] * turned[:, None, :, :, None]
    rest = _independent(2 * spread**2).to(turned.dtype)
    added = _independent(-torch.expm1(-2 * decay * dt) * 2 * spread**2).to(turned.dtype)
    state, covariance = start or Belief(torch.zeros_like(turned[0]), rest)
    there = observed.T.to(x.dtype)
    values = torch.where(observed, x, 0.0).T
    states, errors, variances = [], [], []
    steps = (turned, factors, added, values, there)
    for a, factor, more, value, seen in zip(*(part.unbind(0) for part in steps), strict=True):
        state = a * state
        covariance = factor * covariance + more
        gain = covariance.sum(0).sum(-1) / 2
        variance = gain.real.sum(-1) + noise**2
        error = value - state.real.sum(-1)
        correction = gain * (seen / variance).unsqueeze(-1)
        state = state + correction * error.unsqueeze(-1)
        both = torch.stack([gain.conj(), gain]).unsqueeze(-2)
        covariance = covariance - correction[..., None] * both
        states.append(state)
        errors.append(error)
        variances.append(variance)
    return Filtered(
        torch.stack(states, 1),
        torch.stack(errors, 1),
        torch.stack(variances, 1),
        Belief(state, covariance),
    )


def _independent(variances: Tensor) -> Tensor:
    """C and R ``(..., 2, B, K, K)`` of oscillators that know nothing of each other."""
    C = torch.diag_embed(variances)
    return torch.stack([C, torch.zeros_like(C)], dim=-4)


def oscillator_forecast(
    states: Tensor, horizon: float | Tensor, frequency: Tensor, decay: Tensor
) -> Tensor:
    """Return the signal's expected value some time after each estimate ``(B, L)``.

    Args:
        states: estimates ``(B, L, K)``, see `oscillator_filter`.
        horizon: how much later, a number or ``(B,)``.
        frequency: w ``(B, K)``.
        decay: r ``(B, K)``.
    """
    time = torch.as_tensor(horizon, dtype=decay.dtype).reshape(-1, 1)
    turned = torch.polar(torch.exp(-decay * time), frequency * time)
    return (turned.unsqueeze(1) * states).real.sum(-1)
