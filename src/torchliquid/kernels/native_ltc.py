"""The LTC over a sequence by the native kernel: `torchliquid.functional.ltc`, fast."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid.functional.ltc import positive_tau
from torchliquid.functional.projection import project
from torchliquid.kernels import library, torch_ltc
from torchliquid.kernels.sequence import differentiable_again

SOLVERS = ("semi_implicit", "euler", "exponential")
"""Solvers that the native kernel knows, in the order of the header's numbers."""


Rest = tuple[float, int, int, bool]
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
    given = (x, h0, weight_ih, weight_hh, bias, tau, target, times)
    rest = (interval, SOLVERS.index(solver), unfolds, False)
    if not library.is_plain(*given):
        y, last, _ = ltc_op(*given, *rest[:3])
        return y, last
    if library.wants_graph(*given):
        return _Scan.apply(*given, *rest)  # type: ignore[no-any-return, no-untyped-call]
    return forward(given, rest)


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
    rest = (interval, SOLVERS.index(solver), unfolds, True)
    given = (x, h0, weight_ih, weight_hh, bias, raw_tau, target, times, readout, readout_bias)
    if library.wants_graph(*given):
        return _Model.apply(*given, *rest)  # type: ignore[no-any-return, no-untyped-call]
    return forward(given[:8], rest, given[8:])


def forward(
    given: tuple[Any, ...],
    rest: Rest,
    readout: tuple[Tensor, Tensor] | None = None,
    kept_states: Tensor | None = None,
    kept_gates: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """States, or readouts where there is a readout; and the last state.

    ``given`` are x, h0, both weights, bias, tau, target, dt or None; ``rest`` see `Rest`.
    What is kept for the backward pass goes into buffers of `library.kept_size` reals.
    """
    x, h0, weight_hh = given[0], given[1], given[3]
    layout, rows = library.layout_of(weight_hh), library.in_rows("ltc", x, h0)
    features = h0.shape[-1] if readout is None else readout[0].shape[-2]
    y = layout.new_sequence(x, weight_hh.shape[0], features, rows)
    last = layout.new_state(h0, rows)
    call = _Call(layout, given, rest, readout)
    views = call.views(y if readout is None else None, last, None if readout is None else y)
    library.loaded().call("ltc_forward", call.pack(views, kept_states, kept_gates, []))
    return y, last


def backward(
    grads: tuple[Tensor | None, Tensor | None],
    given: tuple[Any, ...],
    rest: Rest,
    needs: Sequence[bool],
    y: Tensor | None,
    kept_states: Tensor | None,
    kept_gates: Tensor | None,
    readout: tuple[Tensor, Tensor] | None = None,
) -> list[Tensor | None]:
    """Gradients of what was given, then of the readout; None where ``needs`` says so.

    ``grads`` are those of `forward`'s two results; y its first result where that are states.
    """
    x, h0, weight_ih, weight_hh, bias, tau, target, dt = given
    layout, S = library.layout_of(weight_hh), weight_hh.shape[0]
    rows = library.in_rows("ltc", x, h0)
    grad_x = layout.new_sequence(x, S, x.shape[-1], rows) if needs[0] else None
    grad_dt = None
    if dt is not None and needs[7]:
        grad_dt = layout.new_sequence(x, S, 1, rows).squeeze(-1)
    grad_h0 = layout.new_state(h0, rows) if needs[1] else None
    weights = (weight_ih, weight_hh, bias, tau, target, *(readout or ()))
    needed = (*needs[2:7], *needs[8:])
    found = [
        torch.empty_like(w) if w is not None and need else None
        for w, need in zip(weights, needed, strict=True)
    ]
    call = _Call(layout, given, rest, readout)
    sequence = layout.sequence(grads[0])
    more = [
        library.ABSENT if readout else sequence,
        layout.state(grads[1]),
        sequence if readout else library.ABSENT,
        layout.sequence(grad_x),
        layout.gaps(grad_dt),
        layout.state(grad_h0),
        layout.matrix(found[0]),
        layout.matrix(found[1]),
        *map(layout.vector, found[2:5]),
    ]
    if readout:
        more += [layout.matrix(found[5]), layout.vector(found[6])]
    views = call.views(y, None, None)
    library.loaded().call("ltc_backward", call.pack(views, kept_states, kept_gates, more))
    if grad_x is not None and grad_x.dim() > x.dim():
        grad_x = grad_x.sum(0)
    if grad_dt is not None and grad_dt.dim() > dt.dim():
        grad_dt = grad_dt.sum(0)
    return [grad_x, grad_h0, *found[:5], grad_dt, *found[5:]]


class Stepper:
    """One step of one model after another, with as little as possible around the kernel.

    Everything but the step's own addresses is packed once. Tensors are contiguous, of the weights'
    type: the caller checks. ``weights`` as in `model`, from both weights to target.
    """

    _HEAD = struct.Struct("=9q3qd 5q5q5q")
    _LAST = struct.Struct("=5q")
    _END = bytes(40 + 24 + 13 * 40)

    def __init__(self, weights: tuple[Tensor | None, ...], solver: str, unfolds: int) -> None:
        weight_ih, weight_hh, *vectors = weights
        assert weight_ih is not None  # noqa: S101 - for the type checker
        self.addresses, self.options = _addresses(weights), (solver, unfolds)
        self.dtype = weight_ih.dtype
        limits = torch.finfo(self.dtype)  # others are looked at more closely
        self.least, self.most = limits.tiny * unfolds, limits.max
        self.hidden, self.inputs = weight_ih.shape
        layout = library.Batched
        views = [layout.matrix(weight_ih), layout.matrix(weight_hh), *map(layout.vector, vectors)]
        self._middle = library.arguments("", (), views, 8)  # then no readout, no y
        self._sizes = (weight_ih.element_size(), 1, 1)
        self._more = (1, 1, self.inputs, self.hidden)
        self.few = library.few(self.hidden, library.loaded().width[weight_ih.element_size()])
        self._rest = (SOLVERS.index(solver), unfolds, 1)
        self._call = library.loaded().call

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # a copied or unpickled layer makes its own

    def fits(self, weights: tuple[Tensor | None, ...], solver: str, unfolds: int) -> bool:
        """Whether this is still the stepper of these weights and options."""
        first = weights[0]
        return (
            first is not None
            and first.dtype is self.dtype
            and (solver, unfolds) == self.options
            and _addresses(weights) == self.addresses
        )

    def __call__(
        self, x: Tensor, state: Tensor | None, dt: float, out: Tensor | None
    ) -> Tensor | None:
        """The state after ``x (B, I)`` or ``(I,)``, written into ``out``, which may be ``state``.

        None, and nothing done, where an argument is not quite what the kernel takes.
        """
        if x.is_nested or not 1 <= x.dim() <= 2:
            return None
        if state is None:
            state = x.new_zeros(*x.shape[:-1], self.hidden)
        if type(state) is not Tensor or state.is_nested:
            return None
        if out is None:
            out = torch.empty_like(state)
        if type(out) is not Tensor or out.is_nested:
            return None
        *batch, I = x.shape
        B, H, dtype = batch[0] if batch else 1, self.hidden, self.dtype
        if not (
            type(x) is Tensor
            and type(dt) is float
            and self.least < dt < self.most
            and self.inputs == I
            and B
            and (*batch, H) == state.shape == out.shape
            and x.dtype is state.dtype is out.dtype is dtype
            and x.is_contiguous()
            and state.is_contiguous()
            and out.is_contiguous()
            and x.is_cpu
            and state.is_cpu
            and out.is_cpu
            and not _traced()
        ):
            return None
        head = self._HEAD.pack(
            *self._sizes, B, *self._more, self.few >= B, *self._rest, dt,
            x.data_ptr(), I, 0, 0, 1, 0, 0, 0, 0, 0, state.data_ptr(), H, 0, 0, 1,
        )  # fmt: skip
        last = self._LAST.pack(out.data_ptr(), H, 0, 0, 1)
        self._call("ltc_forward", b"".join((head, self._middle, last, self._END)))
        return out


def _traced() -> bool:
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _nothing() -> None:
    return None


def _addresses(weights: tuple[Tensor | None, ...]) -> list[int]:
    return [0 if w is None else w.data_ptr() for w in weights]


class _Call:
    """One call's arguments as the header's struct tl_ltc wants them."""

    def __init__(
        self,
        layout: library.Layout,
        given: tuple[Any, ...],
        rest: Rest,
        readout: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.layout, self.given, self.rest, self.readout = layout, given, rest, readout

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
        interval, solver, unfolds, raw = self.rest
        rows = library.in_rows("ltc", x, h0)
        numbers = (
            *library.numbers(self.layout, x, weight_hh, h0.shape[-1], rows),
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


def _kept_gates(x: Tensor, h0: Tensor, unfolds: int) -> library.Kept | None:
    """Gates are kept where there is one a sample; more are cheaper to compute again."""
    return library.Kept(x, _kept_size(x, h0)) if unfolds == 1 else None


def _kept_size(x: Tensor, h0: Tensor) -> int:
    return library.kept_size(x, h0, library.in_rows("ltc", x, h0))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        given, ctx.rest = arguments[:8], arguments[8:]
        ctx.gates = _kept_gates(given[0], given[1], ctx.rest[2])
        y, last = forward(given, ctx.rest, kept_gates=ctx.gates and ctx.gates.tensor)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, y)
        return y, last

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *given, y = ctx.saved_tensors
        needs = ctx.needs_input_grad[:8]
        if not library.reads_gradients(*grads):
            again = differentiable_again(_in_torch(ctx.rest), given, needs, grads)
            return (*again, None, None, None, None)
        gates = ctx.gates and ctx.gates.tensor
        found = backward(grads, tuple(given), ctx.rest, needs, y, None, gates)
        return (*found, None, None, None, None)


class _Model(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        given, readout, ctx.rest = arguments[:8], arguments[8:10], arguments[10:]
        x, h0 = given[0], given[1]
        ctx.states = library.Kept(x, _kept_size(x, h0))
        ctx.gates = _kept_gates(x, h0, ctx.rest[2])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, *readout)
        gates = ctx.gates and ctx.gates.tensor
        return forward(given, ctx.rest, readout, ctx.states.tensor, gates)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *given, weight, bias = ctx.saved_tensors
        if not library.reads_gradients(*grads):
            needs, every = ctx.needs_input_grad[:10], (*given, weight, bias)
            again = differentiable_again(_in_torch(ctx.rest), every, needs, grads)
            return (*again, None, None, None, None)
        gates = ctx.gates and ctx.gates.tensor
        found = backward(
            grads,
            tuple(given),
            ctx.rest,
            ctx.needs_input_grad[:10],
            None,
            ctx.states.tensor,
            gates,
            (weight, bias),
        )
        return (*found, None, None, None, None)


def _in_torch(rest: Rest) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same function in PyTorch operations, with a readout where it is given one."""
    interval, solver, unfolds, raw = rest

    def run(*given: Any) -> tuple[Tensor, Tensor]:
        x, h0, weight_ih, weight_hh, bias, tau, target, dt = given[:8]
        weights = (weight_ih, weight_hh, bias, positive_tau(tau) if raw else tau, target)
        step = interval if dt is None else dt
        y, last = torch_ltc.ltc(x, h0, *weights, step, SOLVERS[solver], unfolds)
        return (project(y, *given[8:]) if given[8:] else y), last

    return run


def _gates_size(x: Tensor, h0: Tensor, unfolds: int) -> int:
    return _kept_size(x, h0) if unfolds == 1 else 0


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
    given = (x, h0, weight_ih, weight_hh, bias, tau, target, dt)
    gates = x.new_empty(_gates_size(x, h0, unfolds))
    kept = gates if unfolds == 1 else None
    return (*forward(given, (interval, solver, unfolds, False), kept_gates=kept), gates)


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
    given = (x, h0, weight_ih, weight_hh, bias, tau, target, dt)
    kept = gates if unfolds == 1 else None
    rest = (interval, solver, unfolds, False)
    grads = backward((grad_y, grad_last), given, rest, needs, y, None, kept)
    return [x.new_empty(0) if g is None else g for g in grads]


@ltc_op.register_fake
def _(
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
    layout, rows = library.layout_of(weight_hh), library.in_rows("ltc", x, h0)
    y = layout.new_sequence(x, weight_hh.shape[0], h0.shape[-1], rows)
    return y, layout.new_state(h0, rows), x.new_empty(_gates_size(x, h0, unfolds))


@ltc_backward_op.register_fake
def _(
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
    layout = library.layout_of(weight_hh)
    lanes, rows = weight_hh.shape[0], library.in_rows("ltc", x, h0)
    grad_x = layout.new_sequence(x, lanes, x.shape[-1], rows)
    grad_x = grad_x.sum(0) if grad_x.dim() > x.dim() else grad_x
    grads: list[Tensor | None] = [grad_x, layout.new_state(h0, rows)]
    weights = (weight_ih, weight_hh, bias, tau, target)
    grads += [None if w is None else torch.empty_like(w) for w in weights]
    if dt is not None:
        grad_dt = layout.new_sequence(x, lanes, 1, rows).squeeze(-1)
        grads.append(grad_dt.sum(0) if grad_dt.dim() > dt.dim() else grad_dt)
    else:
        grads.append(None)
    return [
        x.new_empty(0) if g is None or not need else g for g, need in zip(grads, needs, strict=True)
    ]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    y, _, gates = output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:8], y, gates)
    ctx.rest = inputs[8:]


def _differentiate(
    ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    *given, y, gates = ctx.saved_tensors
    needs = [bool(need) for need in ctx.needs_input_grad[:8]]
    grads = ltc_backward_op(grad_y, grad_last, *given, *ctx.rest, y, gates, needs)
    found = (g if need else None for g, need in zip(grads, needs, strict=True))
    return (*found, None, None, None)


ltc_op.register_autograd(_differentiate, setup_context=_setup)
