"""Gated recurrent unit whose state decays between samples, at rates that are learnt.

    h~   = exp(-dt r) h                                    r > 0, one rate a neuron
    r, z = sigmoid(W_i* u + b_i* + W_h* h~ + b_h*)         reset and update gate
    n    = tanh(W_in u + b_in + r (W_hn h~ + b_hn))        candidate
    h'   = (1 - z) n + z h~

dt is the time since the last sample, in the unit of 1 / r. What a sample itself does takes no time:
with dt = 0 the state still changes. Sources: the decay is that of Che et al., "Recurrent neural
networks for multivariate time series with missing values", 2018 (GRU-D, without its masks and the
decay of inputs); "Still Competitive: Revisiting Recurrent Models for Irregular Time Series
Prediction" (GRUwE), arXiv 2510.16161, finds such cells level with far larger ones.
"""

import torch
from torch import Tensor

from torchliquid.functional._arguments import as_time, check_gated
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project


def decay_gru(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    rate: Tensor,
    dt: float | Tensor = 1.0,
) -> tuple[Tensor, Tensor]:
    """Run the cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state ``(*S, B, H)``.
        weight_ih: ``(*S, 3H, I)``, rows in torch's order: reset, update, candidate.
        weight_hh: ``(*S, 3H, H)``.
        bias_ih: ``(*S, 3H)``, or None.
        bias_hh: ``(*S, 3H)``, or None.
        rate: r ``(*S, H)``, positive.
        dt: time before each sample, a number or ``(*S, B, L)``.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, or an invalid dt.
    """
    check_gated(3, x, {"h0": h0}, weight_ih, weight_hh, bias_ih, bias_hh, {"rate": rate}, dt)
    return decay_gru_unchecked(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, rate, dt)


def decay_gru_unchecked(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    rate: Tensor,
    dt: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """`decay_gru`, of arguments that a layer has checked already."""
    dt = as_time(dt, x.dtype)
    H = h0.shape[-1]
    weight, rate = weight_hh.transpose(-2, -1), rate.unsqueeze(-2)
    kept = torch.exp(-dt[..., None] * rate.unsqueeze(-2) if isinstance(dt, Tensor) else -dt * rate)
    decays = (kept,) if isinstance(dt, Tensor) else ()

    def sample(h: Tensor, u: Tensor, decay: Tensor = kept) -> Tensor:
        h = h * decay
        v = h @ weight
        if bias_hh is not None:
            v = v + bias_hh.unsqueeze(-2)
        r, z = torch.sigmoid(u[..., : 2 * H] + v[..., : 2 * H]).chunk(2, dim=-1)
        n = torch.tanh(torch.addcmul(u[..., 2 * H :], r, v[..., 2 * H :]))
        return torch.lerp(n, h, z)

    return over_samples(sample, h0, project(x, weight_ih, bias_ih), *decays)
