"""The CfC by the native kernel: `torchliquid.functional.cfc`, fast.

Weights travel as one list: of the first map the parts for the input and for the state, and a bias;
of each further map a weight and a bias; rate and target. Absent ones are None.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchliquid.functional.cfc import MODES, Map
from torchliquid.functional.cfc import cfc as reference
from torchliquid.kernels import _library as library
from torchliquid.kernels._sequence import grad_with_graph

ACTIVATIONS = ("lecun_tanh", "tanh", "relu", "silu")
"""In the header's order."""
_MAPS = 4
_HEAD, _INPUTS, _GRADIENTS = f"{library.SIZES}4qd", 9 + 2 * _MAPS, 10 + 2 * _MAPS


class Options(NamedTuple):
    """What does not change from call to call."""

    mode: str
    activation: str
    interval: float


def fits(maps: Sequence[Map], activation: str) -> bool:
    """Whether the kernel runs these: few further maps, of one width."""
    widths = {weight.shape[-1] for weight, _ in maps}
    return len(maps) <= _MAPS and len(widths) < 2 and (not maps or activation in ACTIVATIONS)


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
    kept: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.cfc`; at most one dimension of lanes, nothing dropped."""
    times, interval = (dt, 0.0) if isinstance(dt, Tensor) else (None, float(dt))
    weights = [weight_ih, weight_hh, bias, *(t for pair in maps for t in pair), rate, target]
    options = Options(mode, activation, interval)
    given = (x, h0, times, *weights)
    if not library.is_plain(*given):
        # an operator's list holds tensors alone: an empty one stands for one that is absent
        held = [x.new_empty(0) if w is None else w for w in weights]
        y, last = cfc_op(x, h0, times, held, *options)
        return y, last
    if library.wants_graph(*given):
        return _Scan.apply(options, *given)  # type: ignore[no-any-return, no-untyped-call]
    return forward(x, h0, times, weights, options, None)


def forward(
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: Sequence[Tensor | None],
    options: Options,
    kept: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """States and the last state; writes what `backward` reads to ``kept``."""
    read: Any = library.readable(x, h0, dt, *weights)
    x, h0, dt, *weights = read
    layout = library.layout_of(read[3])
    y = layout.new_sequence(x, len(read[3]), h0.shape[-1])
    library.loaded().call("cfc_forward", packed(x, h0, dt, weights, options, y, [], kept))
    return y, y.select(-2, -1).clone()


def new_kept(x: Tensor, h0: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
    """An empty buffer for `forward`."""
    ih: Any = weights[0]
    n = (len(weights) - 5) // 2
    width = library.loaded().width[x.element_size()]
    lanes, batch = (len(ih), x.shape[-3]) if ih.dim() == 3 else (x.shape[0], 1)
    values = n * (ih.shape[-2] if n else 0) + 4 * h0.shape[-1]
    return x.new_empty(-(-lanes // width) * width * batch * x.shape[-2] * values)


def backward(
    grad_y: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: Sequence[Tensor | None],
    options: Options,
    y: Tensor,
    kept: Tensor,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of x, h0, dt and the weights, None where they are not needed."""
    read: Any = library.readable(grad_y, grad_last, x, h0, dt, y, *weights)
    grad_y, grad_last, x, h0, dt, y, *weights = read
    ih = read[6]
    layout, S = library.layout_of(ih), len(ih)
    grad_x = layout.new_sequence(x, S, x.shape[-1]) if needs[0] else None
    grad_h0 = layout.new_state(h0) if needs[1] else None
    grad_dt = None
    if dt is not None and needs[2]:
        grad_dt = layout.new_sequence(x, S, 1).squeeze(-1)
    grads = [
        torch.empty_like(w) if w is not None and need else None
        for w, need in zip(weights, needs[3:], strict=True)
    ]
    gradients = [
        layout.sequence(grad_y),
        layout.state(grad_last),
        layout.sequence(grad_x),
        layout.gaps(grad_dt),
        layout.state(grad_h0),
        *weight_views(layout, grads),
    ]
    arguments = packed(x, h0, dt, weights, options, y, gradients, kept)
    library.loaded().call("cfc_backward", arguments)
    return [for_shared(x, grad_x), grad_h0, for_shared(dt, grad_dt), *grads]


def for_shared(tensor: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    """The gradient of a tensor that the lanes may share."""
    if tensor is None or gradient is None or gradient.dim() == tensor.dim():
        return gradient
    return gradient.sum(0)


def packed(
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: Sequence[Tensor | None],
    options: Options,
    y: Tensor,
    gradients: list[library.View],
    kept: Tensor | None,
    memory: bytes = library.NO_MEMORY,
) -> bytes:
    """The kernel's struct; gradients in the header's order, absent ones at the end."""
    ih: Any = weights[0]
    layout, maps = library.layout_of(ih), (len(weights) - 5) // 2
    sizes = library.numbers(layout, x, ih, h0.shape[-1], rows=False)
    activation = ACTIVATIONS.index(options.activation) if maps else 0
    counts = (list(MODES).index(options.mode), activation, maps, ih.shape[-2] if maps else 1)
    first = [layout.sequence(x), layout.gaps(dt), layout.state(h0)]
    views = [*first, *weight_views(layout, weights), layout.sequence(y), *gradients]
    head = (*sizes, *counts, options.interval)
    address = (0 if kept is None else kept.data_ptr()).to_bytes(8, sys.byteorder)
    return library.arguments(_HEAD, head, views, _INPUTS + _GRADIENTS) + address + memory


def weight_views(layout: library.Layout, weights: Sequence[Tensor | None]) -> list[library.View]:
    ih, hh, bias, *maps, rate, target = weights
    absent = [library.ABSENT] * (_MAPS - len(maps) // 2)
    return [
        layout.matrix(ih), layout.matrix(hh), layout.vector(bias),
        *(layout.matrix(w) for w in maps[::2]), *absent,
        *(layout.vector(b) for b in maps[1::2]), *absent,
        layout.vector(rate), layout.vector(target),
    ]  # fmt: skip


def _equation(options: Options, given: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """The same by `functional.cfc`."""
    x, h0, dt, ih, hh, bias, *maps, rate, target = given
    pairs = list(zip(maps[::2], maps[1::2], strict=True))
    time = options.interval if dt is None else dt
    return reference(
        x, h0, ih, hh, bias, pairs, rate, target, time, options.mode, options.activation
    )


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, options: Options, *given: Any) -> tuple[Tensor, Tensor]:
        x, h0, dt, *weights = given
        kept = new_kept(x, h0, weights)
        ctx.options = options
        y, last = forward(x, h0, dt, weights, options, kept)
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, y, kept, *given)
        return y, last

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None) -> Any:
        y, kept, *given = library.saved_for_backward(ctx)
        needs = list(ctx.needs_input_grad[1:])
        if not library.reads_gradients(grad_y, grad_last):

            def run(*again: Any) -> Any:
                return _equation(ctx.options, again)

            return (None, *grad_with_graph(run, given, needs, (grad_y, grad_last)))
        x, h0, dt, *weights = given
        grads = backward(grad_y, grad_last, x, h0, dt, weights, ctx.options, y, kept, needs)
        return (None, *grads)


def _present(weights: Sequence[Tensor]) -> list[Tensor | None]:
    return [w if w.numel() else None for w in weights]


@torch.library.custom_op("torchliquid::cfc", mutates_args=())
def cfc_op(
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    mode: str,
    activation: str,
    interval: float,
) -> tuple[Tensor, Tensor]:
    """`forward` as an operator of torch, for whatever traces, compiles or exports."""
    return forward(x, h0, dt, _present(weights), Options(mode, activation, interval), None)


@torch.library.custom_op("torchliquid::cfc_backward", mutates_args=())
def cfc_backward_op(
    grad_y: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    h0: Tensor,
    dt: Tensor | None,
    weights: list[Tensor],
    mode: str,
    activation: str,
    interval: float,
    y: Tensor,
    needs: list[bool],
) -> list[Tensor]:
    """`backward` as an operator, which runs forward again for what is kept.

    An empty tensor stands for a gradient that is not needed.
    """
    options, held = Options(mode, activation, interval), _present(weights)
    kept = new_kept(x, h0, held)
    forward(x, h0, dt, held, options, kept)
    grads = backward(grad_y, grad_last, x, h0, dt, held, options, y, kept, needs)
    return library.without_none(x, grads, needs)


@cfc_op.register_fake
def _(x: Tensor, h0: Tensor, dt: Any, weights: Any, *_: Any) -> tuple[Tensor, Tensor]:
    y = library.layout_of(weights[0]).new_sequence(x, weights[0].shape[0], h0.shape[-1])
    return y, y.select(-2, -1).clone()


@cfc_backward_op.register_fake
def _(*arguments: Any) -> list[Tensor]:
    x, h0, dt, weights = arguments[2:6]
    layout, S = library.layout_of(weights[0]), weights[0].shape[0]
    grads = [for_shared(x, layout.new_sequence(x, S, x.shape[-1])), layout.new_state(h0)]
    grads += [None if dt is None else for_shared(dt, layout.new_sequence(x, S, 1).squeeze(-1))]
    grads += [torch.empty_like(w) for w in weights]
    return library.without_none(x, grads, arguments[-1])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, h0, dt, weights, *ctx.options = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[0], x, h0, dt, *weights)


def _differentiate(ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None) -> tuple[Any, ...]:
    y, x, h0, dt, *weights = ctx.saved_tensors
    first, listed = ctx.needs_input_grad[:3], ctx.needs_input_grad[3]
    needs = [*map(bool, first), *map(bool, listed)]
    grads = cfc_backward_op(grad_y, grad_last, x, h0, dt, weights, *ctx.options, y, needs)
    gradients = [g if need else None for g, need in zip(grads, needs, strict=True)]
    return (*gradients[:3], gradients[3:], None, None, None)


cfc_op.register_autograd(_differentiate, setup_context=_setup)
