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
    # reshape, not flatten: batched gradients (is_grads_batched) know the one and not the other
    u = x.reshape(*x.shape[:-3], B * L, x.shape[-1]) @ weight.transpose(-2, -1)
    if bias is not None:
        u = u + bias.unsqueeze(-2)
    return u.reshape(*u.shape[:-2], B, L, u.shape[-1])
