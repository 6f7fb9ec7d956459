"""The synaptic LTC by the native kernel: `torchliquid.functional.synaptic`, fast.

Here the input is mapped already, and eleven weights travel as one list: sigma, mu, w, erev of the
recurrent synapses, the same of the sensory ones, gleak, vleak, cm.
"""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional.synaptic import all_pairs, map_input
from torchliquid.functional.synaptic import synaptic as reference
from torchliquid.kernels import _library as library
from torchliquid.kernels._sequence import grad_with_graph

_HEAD, _INPUTS, _GRADIENTS = f"{library.SIZES}qqqdqq", 15, 16


def synaptic(
    x: Tensor,
    h0: Tensor,
    sigma: Tensor,
    mu: Tensor,
    w: Tensor,
    erev: Tensor,
    sensory_sigma: Tensor,
    sensory_mu: Tensor,
    sensory_w: Tensor,
    sensory_erev: Tensor,
    gleak: Tensor,
    vleak: Tensor,
    cm: Tensor,
    input_w: Tensor | None = None,
    input_b: Tensor | None = None,
    synapses: Tensor | None = None,
    sensory: Tensor | None = None,
    dt: float | Tensor = 1.0,
    unfolds: int = 6,
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.synaptic`; at most one dimension of lanes."""
    times, interval = (dt, 0.0) if isinstance(dt, Tensor) else (None, float(dt))
    H = h0.shape[-1]
    edges = all_pairs(H, H) if synapses is None else synapses.contiguous()
    sensory_edges = all_pairs(x.shape[-1], H) if sensory is None else sensory.contiguous()
    x = map_input(x, input_w, input_b)
    weights = [sigma, mu, w, erev, sensory_sigma, sensory_mu, sensory_w, sensory_erev]
    weights += [gleak, vleak, cm]
    options = (edges, sensory_edges, interval, unfolds)
    tensors = (x, h0, times, *weights)
    if not library.is_plain(*tensors, edges, sensory_edges):
        y, last = synaptic_op(x, h0, times, weights, *options)
        return y, last
    if library.wants_graph(*tensors):
        return _Scan.apply(*options, *tensors)  # type: ignore[no-any-return, no-untyped-call]
    return forward(x, h0, times, weights, *options)


def forward(
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    edges: Tensor,
    sensory_edges: Tensor,
    interval: float,
    unfolds: int,
) -> tuple[Tensor, Tensor]:
    """States and the last state."""
    x, h0, dt, *weights = library.readable(x, h0, dt, *weights)
    edges, sensory_edges = library.readable(edges, sensory_edges)
    layout = _layout(weights)
    y = layout.new_sequence(x, len(weights[-1]), h0.shape[-1])
    options = (edges, sensory_edges, interval, unfolds)
    library.loaded().call("synaptic_forward", packed(x, h0, dt, weights, options, y, []))
    return y, y.select(-2, -1).clone()


def backward(
    grad_y: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    edges: Tensor,
    sensory_edges: Tensor,
    interval: float,
    unfolds: int,
    y: Tensor,
    needs: list[bool],
) -> list[Tensor | None]:
    """Gradients of x, h0, dt and the weights, None where they are not needed."""
    read: Any = library.readable(grad_y, grad_last, x, h0, dt, y, *weights)
    grad_y, grad_last, x, h0, dt, y, *weights = read
    edges, sensory_edges = library.readable(edges, sensory_edges)
    layout = _layout(weights)
    S = len(weights[-1])
    grad_x = layout.new_sequence(x, S, x.shape[-1]) if needs[0] else None
    grad_h0 = layout.new_state(h0) if needs[1] else None
    grad_dt = None
    if dt is not None and needs[2]:
        grad_dt = layout.new_sequence(x, S, 1).squeeze(-1)
    grads = [
        torch.empty_like(w) if need else None for w, need in zip(weights, needs[3:], strict=True)
    ]
    gradients = [
        layout.sequence(grad_y),
        layout.state(grad_last),
        layout.sequence(grad_x),
        layout.gaps(grad_dt),
        layout.state(grad_h0),
        *map(layout.vector, grads),
    ]
    options = (edges, sensory_edges, interval, unfolds)
    library.loaded().call("synaptic_backward", packed(x, h0, dt, weights, options, y, gradients))
    return [_for(x, grad_x), grad_h0, _for(dt, grad_dt), *grads]


Options = tuple[Tensor, Tensor, float, int]
"""Synapses among neurons, from inputs; dt where it is one for all; sub-steps."""


def packed(
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    options: Options,
    y: Tensor,
    gradients: list[library.View],
    memory: bytes = library.NO_MEMORY,
) -> bytes:
    """The kernel's struct; gradients in the header's order, absent ones at the end."""
    layout = _layout(weights)
    numbers = _numbers(layout, x, h0, weights, *options)
    views = [*_views(layout, x, h0, dt, weights, y), *gradients]
    return library.arguments(_HEAD, numbers, views, _INPUTS + _GRADIENTS) + memory


def _for(tensor: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    """The gradient of a tensor that the lanes may share."""
    if tensor is None or gradient is None or gradient.dim() == tensor.dim():
        return gradient
    return gradient.sum(0)


def _layout(weights: list[Tensor]) -> library.Layout:
    return library.Packed if weights[-1].dim() == 2 else library.Batched


def _numbers(
    layout: library.Layout,
    x: Tensor,
    h0: Tensor,
    weights: list[Tensor],
    edges: Tensor,
    sensory_edges: Tensor,
    interval: float,
    unfolds: int,
) -> tuple[Any, ...]:
    for list_, first in ((edges, weights[0]), (sensory_edges, weights[4])):
        if list_.dtype != torch.int64 or list_.shape != (first.shape[-1], 2):
            raise ValueError(
                f"a list of synapses is {list_.dtype} of shape {tuple(list_.shape)}: expected "
                f"int64 of shape ({first.shape[-1]}, 2), a row for each synapse"
            )
    sizes = library.numbers(layout, x, weights[-1], h0.shape[-1], rows=False)
    counts = (unfolds, len(edges), len(sensory_edges), interval)
    return (*sizes, *counts, edges.data_ptr(), sensory_edges.data_ptr())


def _views(
    layout: library.Layout,
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    y: Tensor,
) -> list[library.View]:
    return [
        layout.sequence(x),
        layout.gaps(dt),
        layout.state(h0),
        *map(layout.vector, weights),
        layout.sequence(y),
    ]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        edges, sensory_edges, interval, unfolds, x, h0, dt, *weights = given
        ctx.options = interval, unfolds
        y, last = forward(x, h0, dt, weights, edges, sensory_edges, interval, unfolds)
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, y, edges, sensory_edges, x, h0, dt, *weights)
        return y, last

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None) -> Any:
        y, edges, sensory_edges, x, h0, dt, *weights = library.saved_for_backward(ctx)
        needs = list(ctx.needs_input_grad[4:])
        interval, unfolds = ctx.options
        if not library.reads_gradients(grad_y, grad_last):

            def run(x: Tensor, h0: Tensor, dt: Tensor | None, *weights: Tensor) -> Any:
                step = interval if dt is None else dt
                maps = (None, None)  # applied already
                every: tuple[Any, ...] = (*weights, *maps, edges, sensory_edges, step, unfolds)
                return reference(x, h0, *every)

            arguments, needs = (x, h0, dt, *weights), ctx.needs_input_grad[4:]
            again = grad_with_graph(run, arguments, needs, (grad_y, grad_last))
            return (None, None, None, None, *again)
        arguments = (x, h0, dt, weights, edges, sensory_edges, interval, unfolds)
        grads = backward(grad_y, grad_last, *arguments, y, needs)
        return (None, None, None, None, *grads)


@torch.library.custom_op("torchliquid::synaptic", mutates_args=())
def synaptic_op(
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    edges: Tensor,
    sensory_edges: Tensor,
    interval: float,
    unfolds: int,
) -> tuple[Tensor, Tensor]:
    """`forward` as an operator of torch, for whatever traces, compiles or exports."""
    return forward(x, h0, dt, weights, edges, sensory_edges, interval, unfolds)


@torch.library.custom_op("torchliquid::synaptic_backward", mutates_args=())
def synaptic_backward_op(
    grad_y: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    edges: Tensor,
    sensory_edges: Tensor,
    interval: float,
    unfolds: int,
    y: Tensor,
    needs: list[bool],
) -> list[Tensor]:
    """`backward` as an operator; an empty tensor stands for a gradient that is not needed."""
    arguments = (x, h0, dt, weights, edges, sensory_edges, interval, unfolds, y)
    return library.without_none(x, backward(grad_y, grad_last, *arguments, needs))


@synaptic_op.register_fake
def _(x: Tensor, h0: Tensor, dt: Any, weights: list[Tensor], *_: Any) -> tuple[Tensor, Tensor]:
    y = _layout(weights).new_sequence(x, weights[-1].shape[0], h0.shape[-1])
    return y, y.select(-2, -1).clone()


@synaptic_backward_op.register_fake
def _(*arguments: Any) -> list[Tensor]:
    x, h0, dt, weights = arguments[2:6]
    layout, S = _layout(weights), weights[-1].shape[0]
    grads = [_for(x, layout.new_sequence(x, S, x.shape[-1])), layout.new_state(h0)]
    grads += [None if dt is None else _for(dt, layout.new_sequence(x, S, 1).squeeze(-1))]
    grads += [torch.empty_like(w) for w in weights]
    return library.without_none(x, grads, arguments[-1])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, h0, dt, weights, edges, sensory_edges, *ctx.options = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[0], edges, sensory_edges, x, h0, dt, *weights)


def _differentiate(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None) -> tuple[Any, ...]:
    y, edges, sensory_edges, x, h0, dt, *weights = ctx.saved_tensors
    first, listed = ctx.needs_input_grad[:3], ctx.needs_input_grad[3]
    needs = [*map(bool, first), *map(bool, listed)]
    arguments = (x, h0, dt, weights, edges, sensory_edges, *ctx.options, y)
    grads = synaptic_backward_op(grad_y, grad_last, *arguments, needs)
    gradients = [g if need else None for g, need in zip(grads, needs, strict=True)]
    return (*gradients[:3], gradients[3:], None, None, None, None)


synaptic_op.register_autograd(_differentiate, setup_context=_setup)
