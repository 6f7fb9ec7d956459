"""The LSTM over a sequence in PyTorch operations, with a hand-written backward pass.

Equations in `torchliquid.functional.lstm`. With the gates' inputs a = U u + V h, stacked here in
the order i, f, o, g, and dh, dc the gradients of a step's state, t = tanh(c):

    dc  += dh o (1 - t^2)
    da   = (dc g i (1 - i),  dc c_before f (1 - f),  dh t o (1 - o),  dc i (1 - g^2))
    dh before = V^T da,   dc before = dc f

The factors of dc and dh depend on states alone: they are computed for all steps at once.
"""

from typing import Any

import torch
from torch import Tensor

from torchliquid.kernels._sequence import (
    add_product,
    apply,
    outer_products,
    products,
    project,
    shifted,
)


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """See `torchliquid.functional.lstm`."""
    bias = bias_ih if bias_hh is None else bias_hh if bias_ih is None else bias_ih + bias_hh
    weight_ih, weight_hh = _sigmoids_first(weight_ih, -2), _sigmoids_first(weight_hh, -2)
    u = project(x, weight_ih, None if bias is None else _sigmoids_first(bias, -1))
    hidden, cells = apply(_Scan, u, h0, c0, weight_hh)
    return hidden.movedim(0, -2), (hidden[-1], cells[-1])


def _sigmoids_first(stacked: Tensor, dim: int) -> Tensor:
    """From torch's order i, f, g, o to i, f, o, g: one sigmoid then serves three gates."""
    i, f, g, o = stacked.chunk(4, dim)
    return torch.cat([i, f, o, g], dim)


class _Scan(torch.autograd.Function):
    """States h and c after every step, ``(L, *S, B, H)`` each.

    Takes ``u (L, *S, B, 4H)``, ``h0`` and ``c0 (*S, B, H)``, ``V (*S, 4H, H)``.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, h0: Tensor, c0: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        H = h0.shape[-1]
        transposed = weight.mT
        hidden, cells = [], []
        h, c = h0, c0
        for step in u:
            a = add_product(step, h, transposed)
            i, f, o = torch.sigmoid(a[..., : 3 * H]).chunk(3, -1)
            c = torch.addcmul(f * c, i, torch.tanh(a[..., 3 * H :]))
            h = o * torch.tanh(c)
            hidden.append(h)
            cells.append(c)
        return torch.stack(hidden), torch.stack(cells)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(ctx: Any, gradient_h: Tensor, gradient_c: Tensor) -> tuple[Tensor | None, ...]:
        u, h0, c0, weight, hidden, cells = ctx.saved_tensors
        H = h0.shape[-1]
        before = shifted(h0, hidden)
        a = u + products(before, weight.mT)
        i, f, o = torch.sigmoid(a[..., : 3 * H]).chunk(3, -1)
        g, t = torch.tanh(a[..., 3 * H :]), torch.tanh(cells)
        into_c = o * (1 - t * t)
        factors = torch.stack(
            [
                g * i * (1 - i),
                shifted(c0, cells) * f * (1 - f),
                t * o * (1 - o),
                i * (1 - g * g),
            ],
            dim=-2,
        )
        dh, dc = torch.zeros_like(h0), torch.zeros_like(c0)
        das: list[Tensor] = []
        for k in reversed(range(len(u))):
            dh = dh + gradient_h[k]
            dc = torch.addcmul(dc + gradient_c[k], dh, into_c[k])
            da = torch.stack([dc, dc, dh, dc], dim=-2) * factors[k]
            da = da.reshape(*dh.shape[:-1], 4 * H)
            das.append(da)
            dh = da @ weight
            dc = dc * f[k]
        da = torch.stack(das[::-1])
        return da, dh, dc, outer_products(da, before)
