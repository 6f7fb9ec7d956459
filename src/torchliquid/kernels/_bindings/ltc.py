"""The LTC over a sequence by the native kernel: `torchliquid.functional.ltc`, fast."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid.kernels import _library as library
from torchliquid.kernels._buffers import SavedBuffer
from torchliquid.kernels._sequence import grad_with_graph
from torchliquid.kernels._torch import ltc as torch_ltc

SOLVERS = ("semi_implicit", "euler", "exponential")
"""Solvers that the native kernel knows, in the order of the header's numbers."""


Options = tuple[float, int, int]
"""The interval where dt is None, the solver's number, unfolds."""


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
    """See `torchliquid.functional.ltc`; a solver of `SOLVERS`, at most one dimension of lanes."""
    times, interval = (dt, 0.0) if isinstance(dt, Tensor) else (None, float(dt))
    tensors = (x, h0, weight_ih, weight_hh, bias, tau, target, times)
    options = (interval, SOLVERS.index(solver), unfolds)
    if not library.is_plain(*tensors):
        y, last, _ = torch.ops.torchliquid.ltc(*tensors, *options)  # see ltc_operator.py
        return y, last
    if library.wants_graph(*tensors):
        return _Scan.apply(*tensors, *options)  # type: ignore[no-any-return, no-untyped-call]
    return forward(tensors, options)


def forward(
    tensors: tuple[Any, ...], options: Options, kept_gates: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """States and the last one.

    ``tensors`` are x, h0, both weights, bias, tau, target, dt or None; ``options`` see `Options`.
    Gates are kept for the backward pass in a buffer of `kept_size` reals.
    """
    tensors = library.readable(*tensors)
    x, h0, weight_hh = tensors[0], tensors[1], tensors[3]
    layout, rows = library.layout_of(weight_hh), library.in_rows("ltc", x, weight_hh)
    y = layout.new_sequence(x, weight_hh.shape[0], h0.shape[-1], rows)
    last = layout.new_state(h0, rows)
    arguments = _packed(tensors, options, y, last, kept_gates, [])
    library.loaded().call("ltc_forward", arguments)
    return y, last


def backward(
    grads: Sequence[Tensor | None],
    tensors: tuple[Any, ...],
    options: Options,
    needs: Sequence[bool],
    y: Tensor,
    kept_gates: Tensor | None,
) -> list[Tensor | None]:
    """Gradients of what was given; None where ``needs`` says so.

    ``grads`` are those of `forward`'s two results, ``y`` its first one.
    """
    *tensors, y, grad_y, grad_last = library.readable(*tensors, y, *grads[:2])  # type: ignore[assignment]
    x, h0, *weights, dt = tensors
    layout, rows = library.layout_of(weights[1]), library.in_rows("ltc", x, weights[1])
    S = weights[1].shape[0]
    grad_x = layout.new_sequence(x, S, x.shape[-1], rows) if needs[0] else None
    grad_dt = None
    if dt is not None and needs[7]:
        grad_dt = layout.new_sequence(x, S, 1, rows).squeeze(-1)
    grad_h0 = layout.new_state(h0, rows) if needs[1] else None
    gradients = [
        torch.empty_like(w) if w is not None and need else None
        for w, need in zip(weights, needs[2:7], strict=True)
    ]
    more = [
        layout.sequence(grad_y),
        layout.state(grad_last),
        library.ABSENT,
        layout.sequence(grad_x),
        layout.gaps(grad_dt),
        layout.state(grad_h0),
        layout.matrix(gradients[0]),
        layout.matrix(gradients[1]),
        *map(layout.vector, gradients[2:]),
    ]
    arguments = _packed(tuple(tensors), options, y, None, kept_gates, more)
    library.loaded().call("ltc_backward", arguments)
    if grad_x is not None and grad_x.dim() > x.dim():
        grad_x = grad_x.sum(0)
    if grad_dt is not None and grad_dt.dim() > dt.dim():
        grad_dt = grad_dt.sum(0)
    return [grad_x, grad_h0, *gradients, grad_dt]


def _packed(
    tensors: tuple[Any, ...],
    options: Options,
    y: Tensor,
    last: Tensor | None,
    kept_gates: Tensor | None,
    gradients: list[library.View],
) -> bytes:
    x, h0, weight_ih, weight_hh, *vectors, dt = tensors
    layout, rows = library.layout_of(weight_hh), library.in_rows("ltc", x, weight_hh)
    views = [
        layout.sequence(x),
        layout.gaps(dt),
        layout.state(h0),
        layout.matrix(weight_ih),
        layout.matrix(weight_hh),
        *map(layout.vector, vectors),
        library.ABSENT,
        library.ABSENT,
        layout.sequence(y),
        layout.state(last),
        library.ABSENT,
    ]
    interval, solver, unfolds = options
    numbers = library.numbers(layout, x, weight_hh, h0.shape[-1], rows)
    kept = (0, 0 if kept_gates is None else kept_gates.data_ptr(), 0)
    return packed(numbers, (solver, unfolds, 0, interval), views, kept, gradients)


def packed(
    numbers: tuple[int, ...],
    options: tuple[int, int, int, float],
    views: list[library.View],
    kept: tuple[int, int, int],
    gradients: list[library.View],
) -> bytes:
    """The header's struct tl_ltc: solver, unfolds, raw, interval; views; two buffers and O."""
    head = library.arguments(f"{library.SIZES}qqqd", (*numbers, *options), views, 13)
    return head + library.arguments("3q", kept, gradients, 13)


def kept_size(x: Tensor, weight_hh: Tensor) -> int:
    """Reals of a buffer for gates."""
    return library.kept_size(x, weight_hh, library.in_rows("ltc", x, weight_hh))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        tensors, ctx.options = arguments[:8], arguments[8:]
        # gates are kept where there is one a sample; more are cheaper to compute again
        size = kept_size(tensors[0], tensors[3])
        ctx.gates = SavedBuffer(tensors[0], size) if ctx.options[2] == 1 else None
        y, last = forward(tensors, ctx.options, ctx.gates and ctx.gates.tensor)
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, *tensors, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, y = library.saved_for_backward(ctx)
        needs = ctx.needs_input_grad[:8]
        if not library.reads_gradients(*grads):
            again = grad_with_graph(_in_torch(ctx.options), tensors, needs, grads)
            return (*again, None, None, None)
        gates = ctx.gates and ctx.gates.tensor
        gradients = backward(grads, tuple(tensors), ctx.options, needs, y, gates)
        return (*gradients, None, None, None)


def _in_torch(options: Options) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same function in PyTorch operations."""
    interval, solver, unfolds = options

    def run(*given: Any) -> tuple[Tensor, Tensor]:
        x, h0, *weights, dt = given
        step = interval if dt is None else dt
        return torch_ltc.ltc(x, h0, *weights, step, SOLVERS[solver], unfolds)  # type: ignore[call-arg]

    return run
