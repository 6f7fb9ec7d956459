"""Gated recurrent unit, the equations of `torch.nn.GRU` (one layer, one direction).

    r, z = sigmoid(W_i* u + b_i* + W_h* h + b_h*)       reset and update gate
    n    = tanh(W_in u + b_in + r (W_hn h + b_hn))      candidate
    h'   = (1 - z) n + z h

Rows of the weights are in torch's order r, z, n. Written out here because `nn.GRU` cannot train a
pack of models side by side. Source: Cho et al. 2014; torch's documentation.
"""

import torch
from torch import Tensor

from torchliquid.functional._arguments import check_gated
from torchliquid.functional._projection import project


def gru(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state ``(*S, B, H)``.
        weight_ih: ``(*S, 3H, I)``.
        weight_hh: ``(*S, 3H, H)``.
        bias_ih: ``(*S, 3H)``, or None.
        bias_hh: ``(*S, 3H)``, or None.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.
    """
    check_gated(3, x, {"h0": h0}, weight_ih, weight_hh, bias_ih, bias_hh)
    H = h0.shape[-1]
    weight = weight_hh.transpose(-2, -1)
    states = []
    h = h0
    for u in project(x, weight_ih, bias_ih).unbind(-2):
        v = h @ weight
        if bias_hh is not None:
            v = v + bias_hh.unsqueeze(-2)
        r, z = torch.sigmoid(u[..., : 2 * H] + v[..., : 2 * H]).chunk(2, dim=-1)
        n = torch.tanh(u[..., 2 * H :] + r * v[..., 2 * H :])
        h = n + z * (h - n)
        states.append(h)
    return torch.stack(states, dim=-2), h
