"""Long short-term memory, the equations of `torch.nn.LSTM` (one layer, one direction).

    i, f, o = sigmoid(W_i* u + b_i* + W_h* h + b_h*)    input, forget and output gate
    g       = tanh(W_ig u + b_ig + W_hg h + b_hg)       candidate
    c'      = f c + i g,   h' = o tanh(c')

Rows of the weights are in torch's order i, f, g, o. Written out here because `nn.LSTM` cannot train
a pack of models side by side. Source: Hochreiter and Schmidhuber 1997; torch's documentation.
"""

import torch
from torch import Tensor

from torchliquid.functional._arguments import check_gated
from torchliquid.functional._projection import project


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: hidden state ``(*S, B, H)``.
        c0: cell state ``(*S, B, H)``.
        weight_ih: ``(*S, 4H, I)``.
        weight_hh: ``(*S, 4H, H)``.
        bias_ih: ``(*S, 4H)``, or None.
        bias_hh: ``(*S, 4H)``, or None.

    Returns:
        ``h`` after every sample ``(*S, B, L, H)``, and the last ``(h, c)``.
    """
    check_gated(4, x, {"h0": h0, "c0": c0}, weight_ih, weight_hh, bias_ih, bias_hh)
    bias = bias_ih if bias_hh is None else bias_hh if bias_ih is None else bias_ih + bias_hh
    weight = weight_hh.transpose(-2, -1)
    hidden = []
    h, c = h0, c0
    for u in project(x, weight_ih, bias).unbind(-2):
        i, f, g, o = (u + h @ weight).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        hidden.append(h)
    return torch.stack(hidden, dim=-2), (h, c)
