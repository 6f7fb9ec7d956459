"""The input projection, hoisted out of the time loop: one matrix product for all steps."""

from torch import Tensor


def project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + b`` at every time step.

    Args:
        x: input ``(*S, B, L, I)``.
        weight: ``(*S, G, I)``.
        bias: ``(*S, G)``, or None.

    Returns:
        ``(*S, B, L, G)``.
    """
    B, L = x.shape[-3:-1]
    u = x.flatten(-3, -2) @ weight.mT
    if bias is not None:
        u = u + bias.unsqueeze(-2)
    every: Tensor = u.unflatten(-2, (B, L))
    return every
