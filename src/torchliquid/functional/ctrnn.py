"""Continuous-time recurrent cell: a leaky integrator whose time constant does not move.

    dx/dt = -x / tau + tanh(W_ih u + W_hh x + b)

with input u held constant between samples, by the step that the LTC paper fuses:

    x' = (x + dt tanh(W_ih u + W_hh x + b)) / (1 + dt / tau)

Symbols: tau > 0 time constant, dt time between samples, both in the same unit. The state stays in
[-tau, tau]. Source: Funahashi and Nakamura 1993; the form is that which Hasani et al., "Liquid
Time-constant Networks", AAAI 2021, set the liquid cell against.
"""

import torch
from torch import Tensor

from torchliquid.functional._arguments import as_time, check_gated
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project


def ctrnn(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    dt: float | Tensor = 1.0,
) -> tuple[Tensor, Tensor]:
    """Run the cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state ``(*S, B, H)``.
        weight_ih: ``(*S, H, I)``.
        weight_hh: ``(*S, H, H)``.
        bias: ``(*S, H)``, or None.
        tau: ``(*S, H)``, positive.
        dt: time before each sample, a number or ``(*S, B, L)``.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, or an invalid dt.
    """
    check_gated(1, x, {"h0": h0}, weight_ih, weight_hh, bias, None, {"tau": tau}, dt)
    return ctrnn_unchecked(x, h0, weight_ih, weight_hh, bias, tau, dt)


def ctrnn_unchecked(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    dt: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """`ctrnn`, of arguments that a layer has checked already."""
    dt = as_time(dt, x.dtype)
    weight, rate = weight_hh.transpose(-2, -1), 1 / tau.unsqueeze(-2)
    steps = (dt.unsqueeze(-1),) if isinstance(dt, Tensor) else ()

    def sample(h: Tensor, u: Tensor, step: "float | Tensor" = 0.0) -> Tensor:
        interval = step if steps else dt
        return (h + interval * torch.tanh(u + h @ weight)) / (1 + interval * rate)

    return over_samples(sample, h0, project(x, weight_ih, bias), *steps)
