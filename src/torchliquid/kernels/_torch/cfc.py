"""The CfC over a sequence in PyTorch operations, with a hand-written backward pass.

Equations in `torchliquid.functional.cfc`. Of a gradient g of the state after a sample, that of each
head is g times a factor of the heads alone; from there it goes back through the maps, each by the
slope of its activation, to the state before:

    dz_n = g * factors,    dz_(k-1) = (W_k^T dz_k) * slope_(k-1),    g before = V^T dz_0

Factors and slopes are computed for all samples at once, from the states that the forward pass left.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchliquid.functional.cfc import (
    ACTIVATIONS,
    LECUN_SCALE,
    LECUN_SLOPE,
    Map,
    state_after,
)
from torchliquid.kernels._sequence import (
    add_product,
    apply,
    outer_products,
    products,
    project,
    shifted,
)


def cfc(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    maps: Sequence[Map],
    rate: Tensor | None,
    target: Tensor | None,
    dt: float | Tensor,
    mode: str,
    activation: str,
    kept: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.cfc`."""
    u = project(x, weight_ih, bias)
    step = torch.as_tensor(dt, dtype=u.dtype, device=u.device)
    if step.dim():
        step = step.movedim(-1, 0).unsqueeze(-1)
    own = [None if value is None else value.unsqueeze(-2) for value in (rate, target)]
    weights = [weight for weight, _ in maps]
    offsets = [
        weight.new_zeros(*weight.shape[:-2], 1, weight.shape[-2])
        if offset is None
        else offset.unsqueeze(-2)
        for weight, offset in maps
    ]
    factors = [factor.movedim(-2, 0) for factor in kept]
    states: Tensor = apply(
        _Scan, u, h0, weight_hh, step, *own, mode, activation, *weights, *offsets, *factors
    )
    return states.movedim(0, -2), states[-1]


class _Maps(NamedTuple):
    weights: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]


def _maps(flat: Sequence[Tensor], masked: bool) -> _Maps:
    n = len(flat) // (3 if masked else 2)
    return _Maps(tuple(flat[:n]), tuple(flat[n : 2 * n]), tuple(flat[2 * n :]))


def _is_masked(u: Tensor, flat: Sequence[Tensor]) -> bool:
    """Whether factors of what is kept follow weights and offsets: they alone have steps."""
    return bool(flat) and flat[-1].dim() == u.dim()


class _Scan(torch.autograd.Function):
    """States after every step ``(L, *S, B, H)``.

    Takes ``u (L, *S, B, U)``, ``h0 (*S, B, H)``, ``V (*S, U, H)``, dt as a scalar or
    ``(L, *S, B, 1)``, r and A ``(*S, 1, H)`` or None, the mode, the activation; then the weights
    ``(*S, F, G)``, offsets ``(*S, 1, F)`` and, where something is dropped, factors
    ``(L, *S, B, G)`` of the further maps.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        u: Tensor,
        h0: Tensor,
        weight: Tensor,
        step: Tensor,
        rate: Tensor | None,
        target: Tensor | None,
        mode: str,
        activation: str,
        *flat: Tensor,
    ) -> Tensor:
        act, transposed = ACTIVATIONS[activation], weight.mT
        own = [None if value is None else value.squeeze(-2) for value in (rate, target)]
        maps = _maps(flat, _is_masked(u, flat))
        rows = [
            (w.mT, b.expand(*h0.shape[:-1], b.shape[-1]))
            for w, b in zip(maps.weights, maps.offsets, strict=True)
        ]
        states, h = [], h0
        for k in range(len(u)):
            z = add_product(u[k], h, transposed)
            for i, (w, b) in enumerate(rows):
                z = act(z) * maps.kept[i][k] if maps.kept else act(z)
                z = add_product(b, z, w)
            h = state_after(z, step[k] if step.dim() else step, mode, own[0], own[1])
            states.append(h)
        return torch.stack(states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.mode, ctx.activation = inputs[:8]
        ctx.save_for_backward(*tensors, output, *inputs[8:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, h0, weight, step, rate, target, states, *flat = ctx.saved_tensors
        maps = _maps(flat, _is_masked(u, flat))
        n, act, slope_of = len(maps.weights), ACTIVATIONS[ctx.activation], SLOPES[ctx.activation]
        before = shifted(h0, states)
        z = u + products(before, weight.mT)
        taken: list[Tensor] = []
        slopes: list[Tensor] = []
        for i in range(n):
            y, slope = act(z), slope_of(z)
            if maps.kept:
                y, slope = y * maps.kept[i], slope * maps.kept[i]
            taken.append(y)
            slopes.append(slope)
            z = products(y, maps.weights[i].mT) + maps.offsets[i]
        partials = _PARTIALS[ctx.mode](z, step, rate, target)
        g = torch.zeros_like(h0)
        gs: list[Tensor] = []
        dzs: list[list[Tensor]] = [[] for _ in range(n + 1)]
        for k in reversed(range(len(u))):
            g = g + gradient[k]
            gs.append(g)
            d = (partials.heads[k] * g.unsqueeze(-2)).flatten(-2)
            dzs[n].append(d)
            for i in reversed(range(n)):
                d = (d @ maps.weights[i]) * slopes[i][k]
                dzs[i].append(d)
            g = d @ weight
        every = torch.stack(gs[::-1])
        dz = [torch.stack(part[::-1]) for part in dzs]
        needs = ctx.needs_input_grad
        return (
            dz[0],
            g,
            outer_products(dz[0], before) if needs[2] else None,
            (every * partials.step).sum_to_size(step.shape) if needs[3] else None,
            (every * partials.rate).sum_to_size(rate.shape) if needs[4] else None,
            (every * partials.target).sum_to_size(target.shape) if needs[5] else None,
            None,
            None,
            *(outer_products(dz[i + 1], taken[i]) for i in range(n)),
            *(dz[i + 1].sum_to_size(maps.offsets[i].shape) for i in range(n)),
            *(None for _ in maps.kept),
        )


class _Partials(NamedTuple):
    """Derivatives of the state after each sample, by its heads ``(L, *S, B, heads, H)``, dt, ..."""

    heads: Tensor
    step: Tensor
    rate: Any = None
    target: Any = None


def _gated(z: Tensor, step: Tensor, rate: None, target: None, gate: bool = True) -> _Partials:
    f, g, a, b = z.chunk(4, -1)
    f, g, s = torch.tanh(f), torch.tanh(g), torch.sigmoid(a * step + b)
    turn = (g - f if gate else g) * s * (1 - s)
    share = 1 - s if gate else 1
    heads = [share * (1 - f * f), s * (1 - g * g), turn * step, turn]
    return _Partials(torch.stack(heads, -2), turn * a)


def _pure(z: Tensor, step: Tensor, rate: Tensor, target: Tensor) -> _Partials:
    speed = rate.abs() + z.abs()
    left = torch.exp(-step * speed)
    moved = target * left * z
    heads = target * left * (step * z.abs() - 1)
    return _Partials(heads.unsqueeze(-2), moved * speed, moved * step * rate.sign(), 1 - left * z)


def _no_gate(z: Tensor, step: Tensor, rate: None, target: None) -> _Partials:
    return _gated(z, step, rate, target, gate=False)


_PARTIALS: dict[str, Callable[..., _Partials]] = {
    "default": _gated,
    "no_gate": _no_gate,
    "pure": _pure,
}


def _lecun_slope(z: Tensor) -> Tensor:
    y = torch.tanh(LECUN_SLOPE * z)
    return LECUN_SCALE * LECUN_SLOPE * (1 - y * y)


def _tanh_slope(z: Tensor) -> Tensor:
    y = torch.tanh(z)
    return 1 - y * y


def _relu_slope(z: Tensor) -> Tensor:
    return (z > 0).to(z)


def _silu_slope(z: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))


def _gelu_slope(z: Tensor) -> Tensor:
    density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + torch.erf(z / math.sqrt(2))) + z * density


SLOPES = {
    "lecun_tanh": _lecun_slope,
    "tanh": _tanh_slope,
    "relu": _relu_slope,
    "silu": _silu_slope,
    "gelu": _gelu_slope,
}
"""Derivatives of `functional.cfc.ACTIVATIONS`."""
