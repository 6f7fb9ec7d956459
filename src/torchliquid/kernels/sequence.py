"""What the hand-written kernels share: time-first sequences, and products over lanes."""

import torch
from torch import Tensor

from torchliquid.functional import projection


def project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + b`` at every step, time first: ``x (*S, B, L, I)`` gives ``(L, *S, B, G)``."""
    return projection.project(x, weight, bias).movedim(-2, 0).contiguous()


def add_product(a: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """``a + x @ weight`` in one call, lanes ``(S, B, H)`` or none ``(B, H)``."""
    if x.dim() == 3:
        return torch.baddbmm(a, x, weight)
    return torch.addmm(a, x, weight)


def products(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight`` at every step: ``(T, *S, B, H)`` times ``(*S, H, G)``, one product a lane."""
    return projection.project(x.movedim(0, -2), weight.mT, None).movedim(-2, 0)


def outer_products(dz: Tensor, x: Tensor) -> Tensor:
    """``dz x^T`` summed over steps and batch.

    Takes ``dz (T, *S, B, G)`` and ``x (T, *S, B, H)``, gives ``(*S, G, H)``.
    """
    left = dz.movedim(0, -3).flatten(-3, -2)
    return left.mT @ x.movedim(0, -3).flatten(-3, -2)


def shifted(first: Tensor, states: Tensor) -> Tensor:
    """The state before every step, from the first one and those after every step."""
    return torch.cat([first.unsqueeze(0), states[:-1]])
