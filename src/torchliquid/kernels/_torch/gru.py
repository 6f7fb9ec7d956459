"""The GRU over a sequence in PyTorch operations, with a hand-written backward pass.

Equations in `torchliquid.functional.gru`. With v = V h + b the recurrent part of the gates' inputs
and g the gradient of a step's state h' = (1 - z) n + z h:

    dn = g (1 - z)(1 - n^2),   dz = g (h - n) z (1 - z),   dr = dn v_n r (1 - r)
    du = (dr, dz, dn),   dv = (dr, dz, dn r),   g before = g z + V^T dv

The factors of g depend on states alone: they are computed for all steps at once.
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


def gru(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.gru`."""
    if bias_hh is None:
        bias_hh = weight_hh.new_zeros(weight_hh.shape[:-1])
    u = project(x, weight_ih, bias_ih)
    states: Tensor = apply(_Scan, u, h0, weight_hh, bias_hh.unsqueeze(-2))
    return states.movedim(0, -2), states[-1]


class _Scan(torch.autograd.Function):
    """States after every step ``(L, *S, B, H)``.

    Takes ``u (L, *S, B, 3H)``, ``h0 (*S, B, H)``, ``V (*S, 3H, H)``, ``b (*S, 1, 3H)``.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, h0: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        H = h0.shape[-1]
        transposed = weight.mT
        bias_rows = bias.expand(*h0.shape[:-1], 3 * H)
        states, h = [], h0
        for step in u:
            v = add_product(bias_rows, h, transposed)
            r, z = torch.sigmoid(step[..., : 2 * H] + v[..., : 2 * H]).chunk(2, -1)
            n = torch.tanh(torch.addcmul(step[..., 2 * H :], r, v[..., 2 * H :]))
            h = torch.lerp(n, h, z)
            states.append(h)
        return torch.stack(states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, h0, weight, bias, states = ctx.saved_tensors
        H = h0.shape[-1]
        before = shifted(h0, states)
        v = products(before, weight.mT) + bias
        r, z = torch.sigmoid(u[..., : 2 * H] + v[..., : 2 * H]).chunk(2, -1)
        n = torch.tanh(u[..., 2 * H :] + r * v[..., 2 * H :])
        to_n = (1 - z) * (1 - n * n)
        to_r = to_n * v[..., 2 * H :] * r * (1 - r)
        to_z = (before - n) * z * (1 - z)
        factors = torch.stack([to_r, to_z, to_n * r], dim=-2)
        g = torch.zeros_like(h0)
        gs: list[Tensor] = []
        for k in reversed(range(len(u))):
            g = g + gradient[k]
            gs.append(g)
            dv = (factors[k] * g.unsqueeze(-2)).reshape(*g.shape[:-1], 3 * H)
            g = add_product(g * z[k], dv, weight)
        every = torch.stack(gs[::-1])
        dv = (factors * every.unsqueeze(-2)).reshape(*every.shape[:-1], 3 * H)
        du = torch.cat([dv[..., : 2 * H], every * to_n], dim=-1)
        return du, g, outer_products(dv, before), dv.sum_to_size(bias.shape)
