"""The native LTC as operators of torch, for whatever traces, compiles or exports."""

from typing import Any

import torch
from torch import Tensor

from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings.ltc import backward, forward, kept_size


def _gates_size(x: Tensor, weight_hh: Tensor, unfolds: int) -> int:
    return kept_size(x, weight_hh) if unfolds == 1 else 0


@torch.library.custom_op("torchliquid::ltc", mutates_args=())
def ltc_op(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    target: Tensor,
    dt: Tensor | None,
    interval: float,
    solver: int,
    unfolds: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """`ltc` as an operator of torch, for whatever traces, compiles or exports; and its gates."""
    tensors = (x, h0, weight_ih, weight_hh, bias, tau, target, dt)
    gates = x.new_zeros(_gates_size(x, weight_hh, unfolds))  # the kernel leaves padding as it is
    kept = gates if unfolds == 1 else None
    return (*forward(tensors, (interval, solver, unfolds), kept), gates)


@torch.library.custom_op("torchliquid::ltc_backward", mutates_args=())
def ltc_backward_op(
    grad_y: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    target: Tensor,
    dt: Tensor | None,
    interval: float,
    solver: int,
    unfolds: int,
    y: Tensor,
    gates: Tensor,
    needs: list[bool],
) -> list[Tensor]:
    """`backward` as an operator; an empty tensor stands for a gradient that is not needed."""
    tensors = (x, h0, weight_ih, weight_hh, bias, tau, target, dt)
    options, kept = (interval, solver, unfolds), gates if unfolds == 1 else None
    grads = backward((grad_y, grad_last), tensors, options, needs, y, kept)
    return library.without_none(y, grads)


@ltc_op.register_fake
def _(x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, *others: Any) -> Any:
    layout, rows = library.layout_of(weight_hh), library.in_rows("ltc", x, weight_hh)
    y = layout.new_sequence(x, weight_hh.shape[0], h0.shape[-1], rows)
    gates = x.new_empty(_gates_size(x, weight_hh, others[-1]))
    return y, layout.new_state(h0, rows), gates


@ltc_backward_op.register_fake
def _(*arguments: Any) -> list[Tensor]:
    x, h0, *weights, dt = arguments[2:10]
    layout = library.layout_of(weights[1])
    lanes, rows = weights[1].shape[0], library.in_rows("ltc", x, weights[1])
    grad_x = layout.new_sequence(x, lanes, x.shape[-1], rows)
    grad_x = grad_x.sum(0) if grad_x.dim() > x.dim() else grad_x
    grads: list[Tensor | None] = [grad_x, layout.new_state(h0, rows)]
    grads += [None if w is None else torch.empty_like(w) for w in weights]
    if dt is not None:
        grad_dt = layout.new_sequence(x, lanes, 1, rows).squeeze(-1)
        grads.append(grad_dt.sum(0) if grad_dt.dim() > dt.dim() else grad_dt)
    else:
        grads.append(None)
    return library.without_none(x, grads, arguments[-1])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    y, _, gates = output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:8], y, gates)
    ctx.options = inputs[8:]


def _differentiate(
    ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    *tensors, y, gates = ctx.saved_tensors
    needs = [bool(need) for need in ctx.needs_input_grad[:8]]
    grads = ltc_backward_op(grad_y, grad_last, *tensors, *ctx.options, y, gates, needs)
    gradients = (g if need else None for g, need in zip(grads, needs, strict=True))
    return (*gradients, None, None, None)


ltc_op.register_autograd(_differentiate, setup_context=_setup)
