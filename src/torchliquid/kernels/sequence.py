"""What the hand-written kernels share: time-first sequences, and products over lanes."""

import torch
from torch import Tensor


def project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + b`` at every step, time first: ``x (*S, B, L, I)`` gives ``(L, *S, B, G)``."""
    B, L = x.shape[-3:-1]
    u = x.flatten(-3, -2) @ weight.mT
    if bias is not None:
        u = u + bias.unsqueeze(-2)
    steps: Tensor = u.unflatten(-2, (B, L)).movedim(-2, 0).contiguous()
    return steps


def add_product(a: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """``a + x @ weight`` in one call, lanes ``(S, B, H)`` or none ``(B, H)``."""
    if x.dim() == 3:
        return torch.baddbmm(a, x, weight)
    return torch.addmm(a, x, weight)


def products(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight`` at every step: ``(T, *S, B, H)`` times ``(*S, H, G)``, one product a lane."""
    rows = x.movedim(0, -3)
    every: Tensor = (rows.flatten(-3, -2) @ weight).unflatten(-2, rows.shape[-3:-1])
    return every.movedim(-3, 0)


def outer_products(dz: Tensor, x: Tensor) -> Tensor:
    """``dz x^T`` summed over steps and batch.

    Takes ``dz (T, *S, B, G)`` and ``x (T, *S, B, H)``, gives ``(*S, G, H)``.
    """
    left = dz.movedim(0, -3).flatten(-3, -2)
    return left.mT @ x.movedim(0, -3).flatten(-3, -2)


def shifted(first: Tensor, states: Tensor) -> Tensor:
    """The state before every step, from the first one and those after every step."""
    return torch.cat([first.unsqueeze(0), states[:-1]])
