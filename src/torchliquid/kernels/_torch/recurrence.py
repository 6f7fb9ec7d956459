"""A diagonal complex recurrence over a sequence, with a hand-written backward pass.

For z_t = a_t z_(t-1) + b_t the total gradient G obeys the same recurrence backwards in time:

    G_t = g_t + conj(a_(t+1)) G_(t+1),    db = G,    da_t = G_t conj(z_(t-1))
    dz_0 = conj(a_1) G_1

(gradients of real and imaginary part as one complex value), so that one scan serves both passes.
"""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional.resonator import Pair, Recurrence, run_by_doubling
from torchliquid.kernels._sequence import apply


def run_recurrence(recurrence: Recurrence, state: Pair) -> Pair:
    """States of a recurrence, as `functional.resonator.run_over_samples` gives them."""
    real, imag = apply(_Scan, *recurrence.factor, *recurrence.drive, *state)
    return Pair(real, imag)


class _Scan(torch.autograd.Function):
    """Takes factors and drives ``(*S, B, L, H)`` and the state ``(*S, B, H)``, by their parts."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        a: Tensor, b: Tensor, c: Tensor, d: Tensor, real: Tensor, imag: Tensor
    ) -> tuple[Tensor, Tensor]:
        states = run_by_doubling(Recurrence(Pair(a, b), Pair(c, d)), Pair(real, imag))
        return states.real, states.imag  # a plain tuple: vmap's rule knows no other

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        a, b, _, _, real, imag = inputs
        ctx.save_for_backward(a, b, real, imag, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        a, b, real0, imag0, real, imag = ctx.saved_tensors
        g, h = (gradient.flip(-2) for gradient in gradients)
        none = torch.zeros_like(a[..., :1, :])
        later = Pair(
            torch.cat([none, a[..., 1:, :].flip(-2)], dim=-2),
            torch.cat([none, -b[..., 1:, :].flip(-2)], dim=-2),
        )
        zero = torch.zeros_like(real0)
        total = run_recurrence(Recurrence(later, Pair(g, h)), Pair(zero, zero))
        g, h = total.real.flip(-2), total.imag.flip(-2)
        before = Pair(
            torch.cat([real0.unsqueeze(-2), real[..., :-1, :]], dim=-2),
            torch.cat([imag0.unsqueeze(-2), imag[..., :-1, :]], dim=-2),
        )
        a, b = a[..., 0, :], b[..., 0, :]
        return (
            g * before.real + h * before.imag,
            h * before.real - g * before.imag,
            g,
            h,
            a * g[..., 0, :] + b * h[..., 0, :],
            a * h[..., 0, :] - b * g[..., 0, :],
        )
