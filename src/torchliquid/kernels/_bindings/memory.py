"""Cells behind the memory of an LSTM (`torchliquid.nn.MixedMemory`), a sequence in one native call.

A state is h and c side by side; the memory's weights have torch's order of gates, i, f, g, o.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import cfc, synaptic
from torchliquid.kernels._sequence import grad_with_graph

KEPT = 5
"""Registers of H neurons that a step keeps for the backward pass."""


class Behind(NamedTuple):
    """A cell behind a memory.

    Args:
        kernel: ``"synaptic"`` or ``"cfc"``.
        options: of its binding.
    """

    kernel: str
    options: Any


Weights = Sequence[Tensor | None]
"""Of the memory for the input ``(*S, 4H, I)``, for the state and its bias; then the cell's."""


def run(
    cell: Behind,
    x: Tensor,
    seen: Tensor,
    state: Tensor,
    dt: Tensor | None,
    weights: Weights,
    slow: Callable[..., Tensor],
) -> Tensor:
    """States ``(*S, B, L, 2H)`` of the memory's input x and the cell's, ``seen``.

    ``slow(x, seen, state, dt, *weights)`` gives the same from differentiable operations, for
    gradients that need a graph.
    """
    if library.wants_graph(x, seen, state, dt, *weights):
        return _Scan.apply(cell, slow, x, seen, state, dt, *weights)  # type: ignore[no-any-return, no-untyped-call]
    return forward(cell, x, seen, state, dt, weights, None)


class Kept(NamedTuple):
    """What the backward pass reads: of the memory, and of a cell that keeps something."""

    memory: Tensor
    cell: Tensor | None


def new_kept(cell: Behind, x: Tensor, state: Tensor, weights: Weights) -> Kept:
    """Buffers for `forward`."""
    of_memory: Any = weights[0]
    size = library.kept_size(x, _square(weights), rows=False)
    kept = x.new_empty(KEPT * size)
    if cell.kernel == "synaptic":
        return Kept(kept, None)
    H = of_memory.shape[-2] // 4
    return Kept(kept, cfc.new_kept(x, state[..., :H], weights[3:]))


def forward(
    cell: Behind,
    x: Tensor,
    seen: Tensor,
    state: Tensor,
    dt: Tensor | None,
    weights: Weights,
    kept: Kept | None,
) -> Tensor:
    """States; writes what `backward` reads to ``kept``."""
    read: Any = library.readable(x, seen, state, dt, *weights)
    x, seen, state, dt, *weights = read
    layout, H = library.layout_of(_square(weights)), _square(weights).shape[-1]
    states = layout.new_sequence(x, len(_square(weights)), 2 * H)
    _call(cell, "forward", (x, seen, state, dt, weights), states, [], [], kept)
    return states


def backward(
    cell: Behind,
    grad: Tensor,
    x: Tensor,
    seen: Tensor,
    state: Tensor,
    dt: Tensor | None,
    weights: Weights,
    states: Tensor,
    kept: Kept,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of x, seen, the state, dt and the weights, None where they are not needed."""
    read: Any = library.readable(grad, x, seen, state, dt, states, *weights)
    grad, x, seen, state, dt, states, *weights = read
    square = _square(weights)
    layout, S, H = library.layout_of(square), len(square), square.shape[-1]
    grad_x, grad_seen = (
        layout.new_sequence(t, S, t.shape[-1]) if need else None
        for t, need in zip((x, seen), needs, strict=False)
    )
    grad_state = layout.new_state(state) if needs[2] else None
    grad_dt = None
    if dt is not None and needs[3]:
        grad_dt = layout.new_sequence(x, S, 1).squeeze(-1)
    grads = [
        torch.empty_like(w) if w is not None and need else None
        for w, need in zip(weights, needs[4:], strict=True)
    ]
    h, c = (None if grad_state is None else part for part in _halves(grad_state, H))
    of_cell = [layout.sequence(grad[..., :H]), library.ABSENT, layout.sequence(grad_seen),
               layout.gaps(grad_dt), layout.state(h)]  # fmt: skip
    if cell.kernel == "synaptic":
        of_cell += [layout.vector(g) for g in grads[3:]]
    else:
        of_cell += cfc.weight_views(layout, grads[3:])
    of_memory = [
        layout.sequence(grad[..., H:]),
        layout.sequence(grad_x),
        layout.state(c),
        layout.matrix(grads[0]),
        layout.matrix(grads[1]),
        layout.vector(grads[2]),
    ]
    _call(cell, "backward", (x, seen, state, dt, weights), states, of_cell, of_memory, kept)
    inputs = [cfc.for_shared(x, grad_x), cfc.for_shared(seen, grad_seen)]
    return [*inputs, grad_state, cfc.for_shared(dt, grad_dt), *grads]


def _call(
    cell: Behind,
    way: str,
    given: tuple[Tensor, Tensor, Tensor, Tensor | None, Weights],
    states: Tensor,
    of_cell: list[library.View],
    of_memory: list[library.View],
    kept: Kept | None,
) -> None:
    x, seen, state, dt, weights = given
    square = _square(weights)
    layout, H = library.layout_of(square), square.shape[-1]
    h, c = _halves(state, H)
    views = [
        layout.sequence(x),
        layout.matrix(weights[0]),
        layout.matrix(weights[1]),
        layout.vector(weights[2]),
        layout.state(c),
        layout.sequence(states[..., H:]),
        *of_memory,
    ]
    memory = library.memory(views, None if kept is None else kept.memory)
    y, own = states[..., :H], list(weights[3:])
    if cell.kernel == "synaptic":
        packed = synaptic.packed(seen, h, dt, own, cell.options, y, of_cell, memory)  # type: ignore[arg-type]
    else:
        of = None if kept is None else kept.cell
        packed = cfc.packed(seen, h, dt, own, cell.options, y, of_cell, of, memory)  # type: ignore[arg-type]
    library.loaded().call(f"{cell.kernel}_{way}", packed)


def _square(weights: Weights) -> Tensor:
    """The memory's weight for the state, ``(*S, 4H, H)``."""
    weight = weights[1]
    assert weight is not None  # noqa: S101 - every memory has one
    return weight


def _halves(state: Tensor | None, H: int) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if state is None else (state[..., :H], state[..., H:])


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cell: Behind, slow: Any, *given: Any) -> Tensor:
        x, seen, state, dt, *weights = given
        kept = new_kept(cell, x, state, weights)
        states = forward(cell, x, seen, state, dt, weights, kept)
        ctx.cell, ctx.slow = cell, slow
        library.save_for_backward(ctx, states, *kept, *given)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        states, of_memory, of_cell, *given = library.saved_for_backward(ctx)
        needs = list(ctx.needs_input_grad[2:])
        if not library.reads_gradients(grad):
            return (None, None, *grad_with_graph(ctx.slow, given, needs, (grad,)))
        x, seen, state, dt, *weights = given
        kept = Kept(of_memory, of_cell)
        found = backward(ctx.cell, grad, x, seen, state, dt, weights, states, kept, needs)
        return (None, None, *found)
