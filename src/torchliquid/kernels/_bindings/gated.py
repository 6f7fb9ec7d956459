"""LSTM and GRU over a sequence by the native kernel: the functions of `torchliquid.functional`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid.kernels import _library as library
from torchliquid.kernels._buffers import SavedBuffer
from torchliquid.kernels._sequence import grad_with_graph
from torchliquid.kernels._torch import gru as torch_gru
from torchliquid.kernels._torch import lstm as torch_lstm

_LSTM, _GRU = 0, 1
KEPT = 6


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """See `torchliquid.functional.lstm`; at most one dimension of lanes."""
    y, last, last_c = _run(_LSTM, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)
    return y, (last, last_c)


def gru(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.gru`; at most one dimension of lanes."""
    y, last, _ = _run(_GRU, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh)
    return y, last


def _run(kind: int, *given: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    if not library.is_plain(*given):
        y, last, last_c, _ = gated_op(kind, *given)
        return y, last, last_c
    if library.wants_graph(*given):
        return _Scan.apply(kind, *given)  # type: ignore[no-any-return, no-untyped-call]
    return forward(kind, given, None)


def forward(
    kind: int, tensors: Sequence[Any], kept: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """States; last h and last c (a GRU: empty). ``tensors`` as `lstm`'s arguments."""
    tensors = library.readable(*tensors)
    x, h0, weight_hh = tensors[0], tensors[1], tensors[4]
    layout, rows = library.layout_of(weight_hh), library.in_rows("gated", x, weight_hh)
    y = layout.new_sequence(x, weight_hh.shape[0], h0.shape[-1], rows)
    last = layout.new_state(h0, rows)
    last_c = layout.new_state(h0, rows) if kind == _LSTM else h0.new_empty(0)
    ends = (last, last_c if kind == _LSTM else None)
    library.loaded().call("gated_forward", _packed(kind, tensors, y, ends, kept, []))
    return y, last, last_c


def backward(
    kind: int,
    grads: Sequence[Tensor | None],
    tensors: Sequence[Any],
    needs: Sequence[bool],
    y: Tensor,
    kept: Tensor,
) -> list[Tensor | None]:
    """Gradients of what was given; None where ``needs`` says so."""
    read: tuple[Any, ...] = library.readable(*tensors, y, kept, *grads[:3])
    tensors, y, kept, grads = read[:7], read[7], read[8], read[9:]
    x, h0, c0, *weights = tensors
    layout, rows = library.layout_of(weights[1]), library.in_rows("gated", x, weights[1])
    S = weights[1].shape[0]
    grad_x = layout.new_sequence(x, S, x.shape[-1], rows) if needs[0] else None
    grad_h0 = layout.new_state(h0, rows) if needs[1] else None
    grad_c0 = layout.new_state(h0, rows) if needs[2] and c0 is not None else None
    gradients = [
        torch.empty_like(w) if w is not None and need else None
        for w, need in zip(weights, needs[3:], strict=True)
    ]
    more = [
        library.ABSENT,
        layout.sequence(grads[0]),
        layout.state(grads[1]),
        layout.state(grads[2] if kind == _LSTM else None),
        layout.sequence(grad_x),
        layout.state(grad_h0),
        layout.state(grad_c0),
        layout.matrix(gradients[0]),
        layout.matrix(gradients[1]),
        layout.vector(gradients[2]),
        layout.vector(gradients[3]),
    ]
    library.loaded().call("gated_backward", _packed(kind, tensors, y, (None, None), kept, more))
    if grad_x is not None and grad_x.dim() > x.dim():
        grad_x = grad_x.sum(0)
    return [grad_x, grad_h0, grad_c0, *gradients]


def _packed(
    kind: int,
    tensors: Sequence[Any],
    y: Tensor,
    ends: tuple[Tensor | None, Tensor | None],
    kept: Tensor | None,
    gradients: list[library.View],
) -> bytes:
    x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh = tensors
    layout, rows = library.layout_of(weight_hh), library.in_rows("gated", x, weight_hh)
    views = [
        layout.sequence(x),
        layout.state(h0),
        layout.state(c0),
        layout.matrix(weight_ih),
        layout.matrix(weight_hh),
        layout.vector(bias_ih),
        layout.vector(bias_hh),
        library.ABSENT,
        library.ABSENT,
        layout.sequence(y),
        layout.state(ends[0]),
        layout.state(ends[1]),
    ]
    numbers = library.numbers(layout, x, weight_hh, h0.shape[-1], rows)
    address = 0 if kept is None else kept.data_ptr()
    return packed(numbers, (kind, 0, 0.0), views, address, [], 0, gradients)


def packed(
    numbers: tuple[int, ...],
    options: tuple[int, int, float],
    views: list[library.View],
    kept: int,
    heads: list[library.View],
    outputs: int,
    gradients: list[library.View],
) -> bytes:
    """The header's struct tl_gated: kind, raw, interval; views; a buffer; the readout's; O."""
    return b"".join(
        (
            library.arguments(f"{library.SIZES}2qd", (*numbers, *options), views, 12),
            library.arguments("q", (kept,), heads, 3),
            library.arguments("q", (outputs,), gradients, 15),
        )
    )


def _kept_size(x: Tensor, weight_hh: Tensor) -> int:
    return KEPT * library.kept_size(x, weight_hh, library.in_rows("gated", x, weight_hh))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kind: int, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
        ctx.kind, ctx.kept = kind, SavedBuffer(given[0], _kept_size(given[0], given[4]))
        y, last, last_c = forward(kind, given, ctx.kept.tensor)
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, *given, y)
        return y, last, last_c

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, y = library.saved_for_backward(ctx)
        needs = ctx.needs_input_grad[1:]
        if not library.reads_gradients(*grads):
            return (None, *_again(ctx.kind, tensors, needs, grads))
        return (None, *backward(ctx.kind, grads, tensors, needs, y, ctx.kept.tensor))


def _again(
    kind: int, tensors: Sequence[Any], needs: Sequence[bool], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    def run(x: Tensor, h0: Tensor, c0: Any, *weights: Any) -> Any:
        if kind == _LSTM:
            return torch_lstm.lstm(x, h0, c0, *weights)
        return torch_gru.gru(x, h0, *weights)

    return grad_with_graph(run, tensors, needs, grads[: 3 - kind])


@torch.library.custom_op("torchliquid::gated", mutates_args=())
def gated_op(
    kind: int,
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """LSTM (0) or GRU (1) as an operator of torch; also gives what the backward pass needs."""
    kept = x.new_zeros(_kept_size(x, weight_hh))  # the kernel leaves padding as it is
    tensors = (x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)
    return (*forward(kind, tensors, kept), kept)


@torch.library.custom_op("torchliquid::gated_backward", mutates_args=())
def gated_backward_op(
    kind: int,
    grad_y: Tensor | None,
    grad_last: Tensor | None,
    grad_last_c: Tensor | None,
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    y: Tensor,
    kept: Tensor,
    needs: list[bool],
) -> list[Tensor]:
    """`backward` as an operator; an empty tensor stands for a gradient that is not needed."""
    tensors = (x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)
    grads = backward(kind, (grad_y, grad_last, grad_last_c), tensors, needs, y, kept)
    return library.without_none(y, grads)


@gated_op.register_fake
def _(kind: int, x: Tensor, h0: Tensor, c0: Any, ih: Tensor, weight_hh: Tensor, *_: Any) -> Any:
    layout, rows = library.layout_of(weight_hh), library.in_rows("gated", x, weight_hh)
    y = layout.new_sequence(x, weight_hh.shape[0], h0.shape[-1], rows)
    last_c = layout.new_state(h0, rows) if kind == _LSTM else h0.new_empty(0)
    return y, layout.new_state(h0, rows), last_c, x.new_empty(_kept_size(x, weight_hh))


@gated_backward_op.register_fake
def _(*arguments: Any) -> list[Tensor]:
    x, h0, c0, *weights = arguments[4:11]
    layout, rows = library.layout_of(weights[1]), library.in_rows("gated", x, weights[1])
    grad_x = layout.new_sequence(x, weights[1].shape[0], x.shape[-1], rows)
    grads = [
        grad_x.sum(0) if grad_x.dim() > x.dim() else grad_x,
        layout.new_state(h0, rows),
        None if c0 is None else layout.new_state(h0, rows),
        *(None if w is None else torch.empty_like(w) for w in weights),
    ]
    return library.without_none(x, grads, arguments[-1])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.kind = inputs[0]
    ctx.save_for_backward(*inputs[1:], output[0], output[3])


def _differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    *tensors, y, kept = ctx.saved_tensors
    needs = [bool(need) for need in ctx.needs_input_grad[1:]]
    last_c = grads[2] if ctx.kind == _LSTM else None
    gradients = gated_backward_op(ctx.kind, grads[0], grads[1], last_c, *tensors, y, kept, needs)
    return None, *(g if need else None for g, need in zip(gradients, needs, strict=True))


gated_op.register_autograd(_differentiate, setup_context=_setup)
