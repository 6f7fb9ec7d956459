"""A linear map at every step of a pack by the native kernel: `torchliquid.functional.project`."""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional._projection import project
from torchliquid.kernels import _library as library
from torchliquid.kernels._sequence import grad_with_graph


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + b``: ``x (S, B, L, I)``, ``weight (S, O, I)``, ``bias (S, O)``; ``(S, B, L, O)``."""
    if not library.is_plain(x, weight, bias):
        mapped: Tensor = linear_op(x, weight, bias)
        return mapped
    if library.wants_graph(x, weight, bias):
        return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return forward(x, weight, bias)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The map, without a graph."""
    x, weight, bias = library.readable(x, weight, bias)
    layout = library.layout_of(weight)
    y = layout.new_sequence(x, weight.shape[0], weight.shape[-2])
    arguments = packed(layout, x, weight, bias, [layout.sequence(y)])
    library.loaded().call("linear_forward", arguments)
    return y


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, needs: list[bool]
) -> list[Tensor | None]:
    """Gradients of x, weight and bias, None where they are not needed."""
    grad, x, weight, bias = library.readable(grad, x, weight, bias)
    layout = library.layout_of(weight)
    grad_x = layout.new_sequence(x, weight.shape[0], x.shape[-1]) if needs[0] else None
    grad_weight = torch.empty_like(weight) if needs[1] else None
    grad_bias = torch.empty_like(bias) if bias is not None and needs[2] else None
    views = [
        layout.sequence(None),
        layout.sequence(grad),
        layout.sequence(grad_x),
        layout.matrix(grad_weight),
        layout.vector(grad_bias),
    ]
    library.loaded().call("linear_backward", packed(layout, x, weight, bias, views))
    if grad_x is not None and grad_x.dim() > x.dim():
        grad_x = grad_x.sum(0)
    return [grad_x, grad_weight, grad_bias]


def packed(
    layout: library.Layout,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    views: list[library.View],
    threads: int | None = None,
) -> bytes:
    """The header's struct tl_linear; ``views`` from y on; torch's number of threads if None."""
    threads, sizes = threads or torch.get_num_threads(), layout.sizes(x, weight)
    numbers = (x.element_size(), threads, layout.shared, *sizes, weight.shape[-2], 0)
    views = [layout.sequence(x), layout.matrix(weight), layout.vector(bias), *views]
    return library.arguments(library.SIZES, numbers, views, 8)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        library.save_for_backward(ctx, x, weight, bias)
        return forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, bias = saved = library.saved_for_backward(ctx)
        if not library.reads_gradients(grad):
            return tuple(grad_with_graph(project, saved, ctx.needs_input_grad, [grad]))
        return tuple(backward(grad, x, weight, bias, ctx.needs_input_grad))


@torch.library.custom_op("torchliquid::linear", mutates_args=())
def linear_op(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`forward` as an operator of torch, for whatever traces, compiles or exports."""
    return forward(x, weight, bias)


@torch.library.custom_op("torchliquid::linear_backward", mutates_args=())
def linear_backward_op(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, needs: list[bool]
) -> list[Tensor]:
    """`backward` as an operator; an empty tensor stands for a gradient that is not needed."""
    grads = backward(grad, x, weight, bias, needs)
    return [x.new_empty(0) if g is None else g for g in grads]


@linear_op.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return library.layout_of(weight).new_sequence(x, weight.shape[0], weight.shape[-2])


@linear_backward_op.register_fake
def _(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, needs: list[bool]
) -> list[Tensor]:
    grad_x = library.layout_of(weight).new_sequence(x, weight.shape[0], x.shape[-1])
    grads = [
        grad_x.sum(0) if grad_x.dim() > x.dim() else grad_x,
        torch.empty_like(weight),
        x.new_empty(0) if bias is None else torch.empty_like(bias),
    ]
    return [g if need else x.new_empty(0) for g, need in zip(grads, needs, strict=True)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = [bool(need) for need in ctx.needs_input_grad]
    grads = linear_backward_op(grad, *ctx.saved_tensors, needs)
    triples = zip(grads, needs, ctx.saved_tensors, strict=True)
    return tuple(g if need and tensor is not None else None for g, need, tensor in triples)


linear_op.register_autograd(_differentiate, setup_context=_setup)
