"""The LTC over a sequence in PyTorch operations, with a hand-written backward pass.

One sub-step takes x to x' = S(x, f, r, A, h) with the gate f = sigmoid(z), z = u + W x, the leak
rate r = 1/tau and the sub-step's length h = dt / K. With g = dLoss/dx' and the solver's partial
derivatives S_x, S_f, ... the exact gradient is

    dz = g S_f f (1 - f)        g before = g S_x + W^T dz
    dr += g S_r,   dA += g S_A,   dh += g S_h,   du += dz,   dW += dz x^T

Only the first line runs step by step. The partial derivatives need states alone, so they are
computed for all sub-steps at once; so are the sums.

    semi_implicit, D = 1 + h (r + f):
        S_x = 1/D,  S_f = h (A - x')/D,  S_r = -h x'/D,  S_A = h f/D,  S_h = (f A - x (r + f))/D^2
    euler, l = r + f, k = min(h, 1/l), y = x, but x' where the step is cut:
        S_x = 1 - k l,  S_f = k (A - y),  S_r = -k y,  S_A = k f,  S_h = f A - x l, 0 where cut
    exponential, l = r + f, s = f A - x l, e = exp(-h l), k = (1 - e)/l, k' = dk/dl = (h e - k)/l:
        S_x = e,  S_f = k (A - x) + k' s,  S_r = -k x + k' s,  S_A = k f,  S_h = e s
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchliquid.functional.ltc import COEFFICIENTS, SMALL
from torchliquid.kernels._library import is_plain
from torchliquid.kernels._sequence import (
    add_product,
    apply,
    outer_products,
    products,
    project,
    shifted,
)


def ltc(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    target: Tensor,
    dt: float | Tensor = 1.0,
    solver: str = "semi_implicit",
    unfolds: int = 1,
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.ltc`; solvers in `SOLVERS` only."""
    u = project(x, weight_ih, bias).to(tau.dtype)  # autocast may give another
    if isinstance(dt, Tensor):
        step = (dt / unfolds).movedim(-1, 0).unsqueeze(-1).repeat_interleave(unfolds, 0)
        step = step.unsqueeze(1) if step.dim() < u.dim() else step  # shared by all lanes
    else:
        step = tau.new_tensor(dt / unfolds)
    rate, target = 1 / tau.unsqueeze(-2), target.unsqueeze(-2)
    every: Tensor = apply(_Scan, u, h0, weight_hh, rate, target, step, solver, unfolds)
    states = every[unfolds - 1 :: unfolds]
    if unfolds > 1:
        states = states.clone()  # else what the caller keeps would hold the sub-steps too
    return states.movedim(0, -2), states[-1]


_Advance = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class _Partials(NamedTuple):
    """Partial derivatives of a sub-step, each ``(L K, *S, B, H)``; ``z`` goes through the gate."""

    x: Tensor
    z: Tensor
    rate: Tensor
    target: Tensor
    step: Tensor


class _Scan(torch.autograd.Function):
    """States after every sub-step ``(L K, *S, B, H)``.

    Takes ``u (L, *S, B, H)``, ``h0 (*S, B, H)``, ``W (*S, H, H)``, rate and A ``(*S, 1, H)``, and
    h: one number, or one for each sub-step ``(L K, *S or 1, B, 1)``.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        u: Tensor,
        h0: Tensor,
        weight: Tensor,
        rate: Tensor,
        target: Tensor,
        step: Tensor,
        solver: str,
        unfolds: int,
    ) -> Tensor:
        advance, transposed = _ADVANCE[solver](rate, target, step), weight.mT
        constants = step * target, step * rate, step
        states, x = [], h0
        for k in range(len(u) * unfolds):
            ha, hr, h = (c[k] for c in constants) if step.dim() else constants
            f = torch.sigmoid(add_product(u[k // unfolds], x, transposed))
            x = advance(x, f, ha, hr, h)
            states.append(x)
        return torch.stack(states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.solver, ctx.unfolds = inputs
        ctx.save_for_backward(*tensors, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, h0, weight, rate, target, step, after = ctx.saved_tensors
        unfolds = ctx.unfolds
        before = shifted(h0, after)
        f = products(before, weight.mT)
        f = torch.sigmoid(f + (u if unfolds == 1 else u.repeat_interleave(unfolds, 0)))
        partials = _PARTIALS[ctx.solver](before, after, f, rate, target, step)
        g = torch.zeros_like(h0)
        gs: list[Tensor] = []
        dzs: list[Tensor] = []
        for k in reversed(range(len(after))):
            g = g + gradient[k]
            dz = g * partials.z[k]
            gs.append(g)
            dzs.append(dz)
            g = add_product(g * partials.x[k], dz, weight)
        every, dz = torch.stack(gs[::-1]), torch.stack(dzs[::-1])
        du = dz if unfolds == 1 else dz.reshape(len(u), unfolds, *dz.shape[1:]).sum(1)
        needs = ctx.needs_input_grad
        return (
            du,
            g,
            outer_products(dz, before) if needs[2] else None,
            (every * partials.rate).sum_to_size(rate.shape) if needs[3] else None,
            (every * partials.target).sum_to_size(target.shape) if needs[4] else None,
            (every * partials.step).sum_to_size(step.shape) if needs[5] else None,
            None,
            None,
        )


# Each takes 1/tau, A and h, and gives the sub-step of a state x, a gate f, h A, h/tau and h.


def _advance_semi_implicit(rate: Tensor, target: Tensor, step: Tensor) -> _Advance:
    def advance(x: Tensor, f: Tensor, ha: Tensor, hr: Tensor, h: Tensor) -> Tensor:
        return torch.addcmul(x, f, ha) / torch.addcmul(1 + hr, f, h)

    return advance


def _advance_euler(rate: Tensor, target: Tensor, step: Tensor) -> _Advance:
    # the same bits where nothing is cut: a lane must not feel that another one's step is
    def whole(x: Tensor, f: Tensor, ha: Tensor, hr: Tensor, h: Tensor) -> Tensor:
        return x + (f * ha - torch.addcmul(hr, f, h) * x)

    def cut(x: Tensor, f: Tensor, ha: Tensor, hr: Tensor, h: Tensor) -> Tensor:
        hl = torch.addcmul(hr, f, h)
        return torch.addcmul(x, f * ha - hl * x, (1 / hl).clamp(max=1))

    numbers = is_plain(rate, step) and step.numel() and not rate.is_meta
    return whole if numbers and bool(step.max() * (1 + rate.max()) <= 1) else cut


def _advance_exponential(rate: Tensor, target: Tensor, step: Tensor) -> _Advance:
    def advance(x: Tensor, f: Tensor, ha: Tensor, hr: Tensor, h: Tensor) -> Tensor:
        equilibrium = f * target / (rate + f)
        return torch.addcmul(x, x - equilibrium, torch.expm1(-torch.addcmul(hr, f, h)))

    return advance


def _semi_implicit(
    x: Tensor, after: Tensor, f: Tensor, r: Tensor, a: Tensor, h: Tensor
) -> _Partials:
    inverse = 1 / (1 + h * (r + f))
    share = h * inverse
    return _Partials(
        x=inverse,
        z=share * (a - after) * f * (1 - f),
        rate=-share * after,
        target=share * f,
        step=(f * a - x * (r + f)) * inverse * inverse,
    )


def _euler(x: Tensor, after: Tensor, f: Tensor, r: Tensor, a: Tensor, h: Tensor) -> _Partials:
    rate = r + f
    cut = h * rate > 1
    k = torch.where(cut, 1 / rate, h)
    y = torch.where(cut, after, x)
    return _Partials(
        x=torch.where(cut, 0, 1 - h * rate),
        z=k * (a - y) * f * (1 - f),
        rate=-k * y,
        target=k * f,
        step=torch.where(cut, 0, f * a - x * rate),
    )


def _exponential(x: Tensor, after: Tensor, f: Tensor, r: Tensor, a: Tensor, h: Tensor) -> _Partials:
    rate = r + f
    k, slower = _decayed(h, rate)
    slope = f * a - x * rate
    slower = slower * slope
    decay = torch.exp(-h * rate)
    return _Partials(
        x=decay,
        z=(k * (a - x) + slower) * f * (1 - f),
        rate=slower - k * x,
        target=k * f,
        step=decay * slope,
    )


def _decayed(h: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """`functional.ltc.decayed` and its derivative by the rate, by the same series."""
    z = h * rate
    few = z.clamp(max=SMALL)
    value, slope = torch.full_like(few, COEFFICIENTS[-1]), torch.zeros_like(few)
    for coefficient in COEFFICIENTS[-2::-1]:
        slope = torch.addcmul(value, slope, few)
        value = torch.addcmul(torch.full_like(few, coefficient), value, few)
    e = torch.exp(-z)
    k = torch.where(z < SMALL, h * value, (1 - e) / rate)
    return k, torch.where(z < SMALL, h * h * slope, (h * e - k) / rate)


_ADVANCE = {
    "semi_implicit": _advance_semi_implicit,
    "euler": _advance_euler,
    "exponential": _advance_exponential,
}
_PARTIALS = {"semi_implicit": _semi_implicit, "euler": _euler, "exponential": _exponential}
SOLVERS = tuple(_ADVANCE)
"""Solvers with a hand-written backward pass."""
