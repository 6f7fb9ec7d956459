"""The LTC over a sequence by the native kernel: `torchliquid.functional.ltc`, fast."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid.functional._projection import project
from torchliquid.functional.ltc import positive_tau
from torchliquid.kernels import _library as library
from torchliquid.kernels._buffers import SavedBuffer
from torchliquid.kernels._sequence import grad_with_graph
from torchliquid.kernels._torch import ltc as torch_ltc

SOLVERS = ("semi_implicit", "euler", "exponential")
"""Solvers that the native kernel knows, in the order of the header's numbers."""


Options = tuple[float, int, int, bool]
"""The interval where dt is None, the solver's number, unfolds, whether tau is raw."""


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
    options = (interval, SOLVERS.index(solver), unfolds, False)
    if not library.is_plain(*tensors):
        y, last, _ = torch.ops.torchliquid.ltc(*tensors, *options[:3])  # see ltc_operator.py
        return y, last
    if library.wants_graph(*tensors):
        return _Scan.apply(*tensors, *options)  # type: ignore[no-any-return, no-untyped-call]
    return forward(tensors, options)


def layer(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    raw_tau: Tensor,
    target: Tensor,
    dt: float,
    solver: str,
    unfolds: int,
) -> tuple[Tensor, Tensor]:
    """`ltc` with tau = softplus(raw_tau). For ordinary tensors only (`library.is_plain`)."""
    tensors = (x, h0, weight_ih, weight_hh, bias, raw_tau, target, None)
    options = (dt, SOLVERS.index(solver), unfolds, True)
    if library.wants_graph(*tensors):
        return _Scan.apply(*tensors, *options)  # type: ignore[no-any-return, no-untyped-call]
    return forward(tensors, options)


def model(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    raw_tau: Tensor,
    target: Tensor,
    dt: float | Tensor,
    solver: str,
    unfolds: int,
    readout: Tensor,
    readout_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """The layer with tau = softplus(raw_tau), and a linear readout of every state, in one kernel.

    States never leave the kernel. Other arguments as in `ltc`; ``readout (*S, O, H)`` and
    ``readout_bias (*S, O)``. For ordinary tensors only (`library.is_plain`).

    Returns:
        Readouts ``(*S, B, L, O)`` and the last state ``(*S, B, H)``.
    """
    times, interval = (dt, 0.0) if isinstance(dt, Tensor) else (None, float(dt))
    options = (interval, SOLVERS.index(solver), unfolds, True)
    tensors = (x, h0, weight_ih, weight_hh, bias, raw_tau, target, times, readout, readout_bias)
    if library.wants_graph(*tensors):
        return _Model.apply(*tensors, *options)  # type: ignore[no-any-return, no-untyped-call]
    return forward(tensors[:8], options, tensors[8:])


def forward(
    tensors: tuple[Any, ...],
    options: Options,
    readout: tuple[Tensor, Tensor] | None = None,
    kept_states: Tensor | None = None,
    kept_gates: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """States, or readouts where there is a readout; and the last state.

    ``tensors`` are x, h0, both weights, bias, tau, target, dt or None; ``options`` see `Options`.
    What is kept for the backward pass goes into buffers of `library.kept_size` reals.
    """
    read: tuple[Any, ...] = library.readable(*tensors, *(readout or ()))
    tensors, readout = read[:8], read[8:] or None
    x, h0, weight_hh = tensors[0], tensors[1], tensors[3]
    call = _Call(tensors, options, readout)
    features = h0.shape[-1] if readout is None else readout[0].shape[-2]
    y = call.layout.new_sequence(x, weight_hh.shape[0], features, call.rows)
    last = call.layout.new_state(h0, call.rows)
    views = call.views(y if readout is None else None, last, None if readout is None else y)
    library.loaded().call("ltc_forward", call.pack(views, kept_states, kept_gates, []))
    return y, last


def backward(
    grads: tuple[Tensor | None, Tensor | None],
    tensors: tuple[Any, ...],
    options: Options,
    needs: Sequence[bool],
    y: Tensor | None,
    kept_states: Tensor | None,
    kept_gates: Tensor | None,
    readout: tuple[Tensor, Tensor] | None = None,
) -> list[Tensor | None]:
    """Gradients of what was given, then of the readout; None where ``needs`` says so.

    ``grads`` are those of `forward`'s two results; y its first result where that are states.
    """
    read: tuple[Any, ...] = library.readable(*tensors, y, *grads[:2], *(readout or ()))
    tensors, y, grads, readout = read[:8], read[8], read[9:11], read[11:] or None
    x, h0, weight_ih, weight_hh, bias, tau, target, dt = tensors
    call = _Call(tensors, options, readout)
    layout, rows, S = call.layout, call.rows, weight_hh.shape[0]
    grad_x = layout.new_sequence(x, S, x.shape[-1], rows) if needs[0] else None
    grad_dt = None
    if dt is not None and needs[7]:
        grad_dt = layout.new_sequence(x, S, 1, rows).squeeze(-1)
    grad_h0 = layout.new_state(h0, rows) if needs[1] else None
    weights = (weight_ih, weight_hh, bias, tau, target, *(readout or ()))
    needed = (*needs[2:7], *needs[8:])
    gradients = [
        torch.empty_like(w) if w is not None and need else None
        for w, need in zip(weights, needed, strict=True)
    ]
    sequence = layout.sequence(grads[0])
    more = [
        library.ABSENT if readout else sequence,
        layout.state(grads[1]),
        sequence if readout else library.ABSENT,
        layout.sequence(grad_x),
        layout.gaps(grad_dt),
        layout.state(grad_h0),
        layout.matrix(gradients[0]),
        layout.matrix(gradients[1]),
        *map(layout.vector, gradients[2:5]),
    ]
    if readout:
        more += [layout.matrix(gradients[5]), layout.vector(gradients[6])]
    views = call.views(y, None, None)
    library.loaded().call("ltc_backward", call.pack(views, kept_states, kept_gates, more))
    if grad_x is not None and grad_x.dim() > x.dim():
        grad_x = grad_x.sum(0)
    if grad_dt is not None and grad_dt.dim() > dt.dim():
        grad_dt = grad_dt.sum(0)
    return [grad_x, grad_h0, *gradients[:5], grad_dt, *gradients[5:]]


class _Call:
    """One call's arguments as the header's struct tl_ltc wants them."""

    def __init__(
        self,
        tensors: tuple[Any, ...],
        options: Options,
        readout: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.given, self.options, self.readout = tensors, options, readout
        self.layout = library.layout_of(tensors[3])
        self.rows = library.in_rows("ltc", tensors[0], tensors[3])

    def views(
        self, y: Tensor | None, last: Tensor | None, out: Tensor | None
    ) -> list[library.View]:
        layout = self.layout
        x, h0, weight_ih, weight_hh, bias, tau, target, dt = self.given
        weight, weight_bias = self.readout or (None, None)
        return [
            layout.sequence(x),
            layout.gaps(dt),
            layout.state(h0),
            layout.matrix(weight_ih),
            layout.matrix(weight_hh),
            layout.vector(bias),
            layout.vector(tau),
            layout.vector(target),
            layout.matrix(weight),
            layout.vector(weight_bias),
            layout.sequence(y),
            layout.state(last),
            layout.sequence(out),
        ]

    def pack(
        self,
        views: list[library.View],
        kept_states: Tensor | None,
        kept_gates: Tensor | None,
        gradients: list[library.View],
    ) -> bytes:
        x, h0, weight_hh = self.given[0], self.given[1], self.given[3]
        interval, solver, unfolds, raw = self.options
        numbers = (
            *library.numbers(self.layout, x, weight_hh, h0.shape[-1], self.rows),
            solver,
            unfolds,
            raw,
            interval,
        )
        kept = (
            0 if kept_states is None else kept_states.data_ptr(),
            0 if kept_gates is None else kept_gates.data_ptr(),
            self.readout[0].shape[-2] if self.readout else 0,
        )
        head = library.arguments(f"{library.SIZES}qqqd", numbers, views, 13)
        return head + library.arguments("3q", kept, gradients, 13)


def _kept_gates(x: Tensor, weight_hh: Tensor, unfolds: int) -> SavedBuffer | None:
    """Gates are kept where there is one a sample; more are cheaper to compute again."""
    return SavedBuffer(x, kept_size(x, weight_hh)) if unfolds == 1 else None


def kept_size(x: Tensor, weight_hh: Tensor) -> int:
    """Reals of a buffer for states, or for gates."""
    return library.kept_size(x, weight_hh, library.in_rows("ltc", x, weight_hh))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        tensors, ctx.options = arguments[:8], arguments[8:]
        ctx.gates = _kept_gates(tensors[0], tensors[3], ctx.options[2])
        y, last = forward(tensors, ctx.options, kept_gates=ctx.gates and ctx.gates.tensor)
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, *tensors, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, y = library.saved_for_backward(ctx)
        needs = ctx.needs_input_grad[:8]
        if not library.reads_gradients(*grads):
            again = grad_with_graph(_in_torch(ctx.options), tensors, needs, grads)
            return (*again, None, None, None, None)
        gates = ctx.gates and ctx.gates.tensor
        gradients = backward(grads, tuple(tensors), ctx.options, needs, y, None, gates)
        return (*gradients, None, None, None, None)


class _Model(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        tensors, readout, ctx.options = arguments[:8], arguments[8:10], arguments[10:]
        x, weight_hh = tensors[0], tensors[3]
        ctx.states = SavedBuffer(x, kept_size(x, weight_hh))
        ctx.gates = _kept_gates(x, weight_hh, ctx.options[2])
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, *tensors, *readout)
        gates = ctx.gates and ctx.gates.tensor
        return forward(tensors, ctx.options, readout, ctx.states.tensor, gates)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, weight, bias = library.saved_for_backward(ctx)
        if not library.reads_gradients(*grads):
            needs, every = ctx.needs_input_grad[:10], (*tensors, weight, bias)
            again = grad_with_graph(_in_torch(ctx.options), every, needs, grads)
            return (*again, None, None, None, None)
        gates = ctx.gates and ctx.gates.tensor
        gradients = backward(
            grads,
            tuple(tensors),
            ctx.options,
            ctx.needs_input_grad[:10],
            None,
            ctx.states.tensor,
            gates,
            (weight, bias),
        )
        return (*gradients, None, None, None, None)


def _in_torch(options: Options) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same function in PyTorch operations, with a readout where it is given one."""
    interval, solver, unfolds, raw = options

    def run(*given: Any) -> tuple[Tensor, Tensor]:
        x, h0, weight_ih, weight_hh, bias, tau, target, dt = given[:8]
        weights = (weight_ih, weight_hh, bias, positive_tau(tau) if raw else tau, target)
        step = interval if dt is None else dt
        deep = h0.dim() > weight_hh.dim()
        y, last = torch_ltc.ltc(
            x, h0.squeeze(-3) if deep else h0, *weights, step, SOLVERS[solver], unfolds
        )
        read = project(y, *given[8:]) if given[8:] else y
        return read, last.unsqueeze(-3) if deep else last

    return run
