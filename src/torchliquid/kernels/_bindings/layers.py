"""Layers and directions of a cell over a batch, with a readout at their top, in one native call.

A call is a program of kernels (`library.Program`): what is missing or padded in the batch is turned
into times and inputs that the cells read (`tl_arrivals` of the header), then every layer runs in
every direction, then a linear readout. Rows are read backwards by strides, nothing is copied for
it. The backward pass is the same program from its end.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchliquid._checks import longest_interval
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated, linear
from torchliquid.kernels._bindings.stages import (
    NO_GRADIENTS,
    Gradients,
    KernelCell,
    Stage,
    added,
    ends_view,
    mask_view,
    packed,
)
from torchliquid.kernels._buffers import SavedBuffer
from torchliquid.kernels._library import ABSENT, View
from torchliquid.kernels._sequence import grad_with_graph


class Plan(NamedTuple):
    """What does not change from call to call.

    Args:
        cell: what runs.
        layers: how many.
        directions: one or two.
        interval: dt of every sample where it is not a tensor.
        reads: whether a readout's weight and bias follow the layers' weights.
    """

    cell: KernelCell
    layers: int
    directions: int
    interval: float
    reads: bool


class InvalidValueError(Exception):
    """A dt or a length is not valid; which one, the checks of the caller say."""


Given = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""x ``(*S, B, L, I)``, h0 ``(*S, D, B, H)``, c0 or None; dt ``(*S, B, L)``, observed ``(B, L)`` or
``(B, L, I)`` and ends ``(B,)``, or None each."""


def run(
    plan: Plan, given: Given, weights: Sequence[Tensor | None], slow: Callable[..., Any]
) -> tuple[Tensor, ...]:
    """Outputs of the top layer, or readouts; the last h ``(*S, D, B, H)`` and, of an LSTM, c.

    For ordinary tensors only (`library.is_plain`). ``weights`` are those of every layer and
    direction in torch's order, then the readout's. ``slow(x, h0, c0, dt, *weights)`` gives the
    same from differentiable operations, for gradients that need a graph.

    Raises:
        InvalidValueError: of dt or ends; nothing was done.
    """
    if library.wants_graph(*given[:4], *weights):
        return _Layers.apply(plan, slow, *given, *weights)  # type: ignore[no-any-return, no-untyped-call]
    return Run(plan, given, weights, keep=False).forward()


class Run:
    """One forward pass, and what its backward pass needs of it.

    Args:
        plan: see there.
        given: inputs.
        weights: see `run`.
        keep: whether there will be a backward pass.
        threads: torch's number if None.
    """

    def __init__(
        self,
        plan: Plan,
        given: Given,
        weights: Sequence[Tensor | None],
        *,
        keep: bool,
        threads: int | None = None,
    ) -> None:
        self.plan, self.keep = plan, keep
        self.threads = torch.get_num_threads() if threads is None else threads
        read: tuple[Any, ...] = library.readable(*given, *weights)
        self.x, self.h0, self.c0, self.dt, self.observed, self.ends = read[:6]
        self.weights = read[6:]
        self.count = len(self.weights)
        x, weight_hh = self.x, self.weights[1]
        self.layout = library.layout_of(weight_hh)
        self.rows = library.in_rows(plan.cell.kernel, x, weight_hh)
        self.hidden, self.lanes = weight_hh.shape[-1], weight_hh.shape[0]
        self.steps, self.size = x.shape[-2], x.element_size()
        self.outputs = self.weights[-1].shape[-1] if plan.reads else 0
        # a kernel reads its states out by itself, but for those of two directions, side by side
        fused = plan.cell.kernel == "ltc" or self.rows
        self.fused = plan.reads and plan.directions == 1 and fused
        self.ragged = self.observed is not None or self.ends is not None
        # the sequences that layers read and write, and dt as either direction reads it
        self.sequences: list[Tensor] = [x]
        self.times: list[Tensor | None] = [self.dt, self.dt]
        self.kept: list[tuple[SavedBuffer | None, SavedBuffer | None]] = []
        self.clean: Tensor | None = None
        self.timed = False
        self.alive: list[Any] = []  # whose addresses a program holds
        self.gradients: list[Tensor | None] = []  # of the weights, where to write them

    # ---- forward ------------------------------------------------------------------------------

    def forward(self) -> tuple[Tensor, ...]:
        """Outputs or readouts, and the last states."""
        program, outputs = self.forward_program()
        if not library.loaded().run(program):
            raise InvalidValueError
        return outputs

    def forward_program(self) -> tuple[library.Program, tuple[Tensor, ...]]:
        """What `forward` runs, and where it writes."""
        plan, layout = self.plan, self.layout
        program = library.Program()
        self._add_arrivals(program)
        last = self._new_state()
        last_c = self._new_state() if plan.cell.states == 2 else None
        width = self.hidden * plan.directions
        for layer in range(plan.layers):
            reads = self.fused and layer == plan.layers - 1
            x = self.sequences[layer]
            y = layout.new_sequence(self.x, self.lanes, self.outputs if reads else width, self.rows)
            for direction in range(plan.directions):
                index = layer * plan.directions + direction
                self.kept.append(self._buffers(reads))
                ends = [layout.state(last, index), layout.state(last_c, index)]
                stage = self._stage(index, x, y, ends, reads, NO_GRADIENTS)
                program.add(plan.cell.kernel, stage)
            self.sequences.append(y)
        out = self.sequences[-1]
        if self.ends is not None:
            if plan.directions == 2:  # read backwards, a row's first real step follows padding
                states, out = out, layout.new_sequence(self.x, self.lanes, width, self.rows)
                program.add("padding", self._padding(out, states), backward=True)
            else:
                program.add("padding", self._padding(out))
        if plan.reads and not self.fused:
            out = layout.new_sequence(self.x, self.lanes, self.outputs, self.rows)
            program.add("linear", self._linear([layout.sequence(out)]))
        return program, (out, last) if last_c is None else (out, last, last_c)

    def take_times(self, times: Tensor, back: Tensor | None) -> None:
        """Take dt as either direction reads it from a run that had the same x, dt and masks."""
        self.times, self.timed = [times, back], True

    def read_times(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """X without what is missing, and dt as either direction reads it; None: as it was given.

        Raises:
            InvalidValueError: of dt or ends.
        """
        program = library.Program()
        self._add_arrivals(program)
        if not library.loaded().run(program):
            raise InvalidValueError
        return self.sequences[0], self.times[0], self.times[1]

    def _add_arrivals(self, program: library.Program) -> None:
        """What turns missing and padded samples into times; and where dt is checked."""
        x, dt = self.x, self.dt
        if self.timed or (dt is None and not self.ragged):
            return
        shape = x.shape[-3:-1] if dt is None else dt.shape
        if self.ragged:
            self.clean = torch.empty_like(x, memory_format=torch.contiguous_format)
            self.sequences[0] = self.clean
            self.times[0] = x.new_empty(shape)
        if self.plan.directions == 2:
            self.times[1] = x.new_empty(shape)
        program.add("arrivals", self._arrivals([], 1))

    def _arrivals(self, gradients: list[View], lanes: int) -> bytes:
        layout, x, dt = self.layout, self.x, self.dt
        times, back = (None if t is dt else t for t in self.times)
        if layout.shared:
            of_x, of_dt, batch = x.shape[0], x.shape[0], 1
        else:
            of_x, batch = x.shape[0] if x.dim() == 4 else 1, x.shape[-3]
            of_dt = dt.shape[0] if dt is not None and dt.dim() == 3 else 1
        numbers = (self.size, 1, 0, of_x, batch, self.steps, x.shape[-1], of_dt, 0)
        none = 0.0 if self.plan.cell.stays else -1.0
        views = [
            layout.sequence(x),
            layout.gaps(dt),
            mask_view(layout, self.observed),
            ends_view(layout, self.ends),
            layout.sequence(self.clean),
            layout.gaps(times),
            layout.gaps(back),
        ]
        options = (self.plan.interval, longest_interval(x.dtype), none)
        head = library.arguments(f"{library.SIZES}3d", (*numbers, *options), views, 7)
        if not gradients:
            return head + bytes(5 * 40 + 8)
        return head + library.arguments("", (), gradients, 5) + lanes.to_bytes(8, sys.byteorder)

    def _padding(
        self, y: Tensor | None, grad: Tensor | None = None, grad_fill: Tensor | None = None
    ) -> bytes:
        """Fills padded steps of y; or with a gradient, takes that of the steps that are real."""
        layout, reads = self.layout, self.plan.reads
        lanes, batch = (self.x.shape[0], 1) if layout.shared else (self.lanes, self.x.shape[-3])
        width = self.outputs if reads else self.hidden * self.plan.directions
        numbers = (self.size, 1, 0, lanes, batch, self.steps, 1, width, 0)
        views, to = [ends_view(layout, self.ends)], layout.sequence(y)
        if grad is None:  # the readout of a state of zero is its bias
            views += [to, layout.vector(self.weights[-1] if reads else None)]
        else:
            views += [ABSENT, ABSENT, layout.sequence(grad), to, layout.vector(grad_fill)]
        return library.arguments(library.SIZES, numbers, views, 6)

    def _linear(self, views: list[View]) -> bytes:
        weight, bias = self.weights[-2:]
        return linear.packed(self.layout, self.sequences[-1], weight, bias, views, self.threads)

    def _buffers(self, reads: bool) -> tuple[SavedBuffer | None, SavedBuffer | None]:
        if not self.keep:
            return None, None
        x, cell = self.x, self.plan.cell
        size = library.kept_size(x, self.weights[1], self.rows)
        if cell.kernel == "gated":
            return SavedBuffer(x, gated.KEPT * size), None
        states = SavedBuffer(x, size) if reads else None
        # gates are kept where there is one a sample; more are cheaper to compute again
        return states, SavedBuffer(x, size) if cell.unfolds == 1 else None

    def _new_state(self) -> Tensor:
        x: Tensor = self.x
        depth, B = self.plan.layers * self.plan.directions, x.shape[-3]
        if self.layout.shared:
            return x.new_empty(depth, B, self.hidden)
        shape, S, H = (self.lanes, depth, B, self.hidden), self.lanes, self.hidden
        if self.rows:
            return x.new_empty(shape)
        # no view: a caller may change it in place
        return x.new_empty_strided(shape, (1, B * H * S, H * S, S))

    def _stage(
        self,
        index: int,
        x: Tensor,
        y: Tensor,
        ends: list[View],
        reads: bool,
        gradients: "Gradients",
    ) -> bytes:
        """The struct of one layer in one direction."""
        plan, layout = self.plan, self.layout
        cell, direction = plan.cell, index % plan.directions
        first = cell.weights * index
        weights = self.weights[first : first + cell.weights]
        sizes = layout.sizes(x, weights[1])
        numbers = (self.size, self.threads, layout.shared, *sizes, self.hidden, self.rows)
        sequence, out = layout.sequence(x), layout.sequence(y)
        times = layout.gaps(self.times[direction])
        if direction:
            out = self._part(out)
            sequence, out, times = (
                library.backwards(view, self.steps, self.size) for view in (sequence, out, times)
            )
        first_kept, second_kept = (
            0 if buffer is None else buffer.tensor.data_ptr() for buffer in self.kept[index]
        )
        inputs = Stage(
            sequence,
            times,
            layout.state(self.h0, index),
            layout.state(self.c0, index),
            _views(layout, weights),
            _views(layout, self.weights[-2:]) if reads else [ABSENT, ABSENT],
            ABSENT if reads else out,
            ends[0],
            ends[1],
            out if reads else ABSENT,
            (first_kept, second_kept),
            self.outputs if reads else 0,
        )
        return packed(cell, numbers, plan.interval, inputs, gradients)

    def _part(self, view: View) -> View:
        """The second direction's features of outputs that stand side by side."""
        address, lane, batch, row, item = view
        return address + self.hidden * item * self.size, lane, batch, row, item

    # ---- backward -----------------------------------------------------------------------------

    def backward(
        self, grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of x, h0, c0, dt and the weights, None where ``needs`` says so."""
        program, found = self.backward_program(grads, needs)
        library.loaded().run(program)
        grad_x, grad_h0, grad_c0, grad_dt, *of_weights = found
        if grad_x is not None and grad_x.dim() > self.x.dim():
            grad_x = grad_x.sum(0)
        if grad_dt is not None and self.dt is not None and grad_dt.dim() > self.dt.dim():
            grad_dt = grad_dt.sum(0)
        self.alive = []
        return [grad_x, grad_h0, grad_c0, grad_dt, *of_weights]

    def backward_program(
        self, grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> tuple[library.Program, list[Tensor | None]]:
        """What `backward` runs, and where it writes: of each lane, also where lanes share x."""
        plan, layout = self.plan, self.layout
        grad_out, grad_last, *grad_c = library.readable(*grads)
        grad_last_c = grad_c[0] if grad_c else None
        program = library.Program()
        self.alive = [grad_out, grad_last, grad_last_c]
        like = self.x
        needs_weights = needs[4:]
        of_weights = self.gradients or [
            torch.empty_like(w) if w is not None and need else None
            for w, need in zip(self.weights, needs_weights, strict=True)
        ]
        grad_h0 = self._new_state() if needs[1] else None
        grad_c0 = self._new_state() if needs[2] and self.c0 is not None else None
        width = self.hidden * plan.directions
        if plan.reads and not self.fused:
            states = layout.new_sequence(like, self.lanes, width, self.rows)
            more = [ABSENT, layout.sequence(grad_out), layout.sequence(states)]
            more += [layout.matrix(of_weights[-2]), layout.vector(of_weights[-1])]
            if grad_out is not None:
                program.add("linear", self._linear(more), backward=True)
                grad_out = states
        padded = grad_out if self.ends is not None else None
        if padded is not None:
            features = self.outputs if plan.reads else width
            grad_out = layout.new_sequence(like, self.lanes, features, self.rows)
            program.add("padding", self._padding(grad_out, padded), backward=True)
        self.alive.append(grad_out)
        grad_times: list[Tensor | None] = [None, None]
        for layer in reversed(range(plan.layers)):
            reads = self.fused and layer == plan.layers - 1
            x, y = self.sequences[layer], self.sequences[layer + 1]
            grad_x: Tensor | None = None
            for direction in range(plan.directions):
                index = layer * plan.directions + direction
                here = None
                if layer or needs[0]:
                    here = layout.new_sequence(like, self.lanes, x.shape[-1], self.rows)
                of_dt = None
                if self.dt is not None and needs[3]:
                    of_dt = layout.new_sequence(like, self.lanes, 1, self.rows).squeeze(-1)
                self.alive += [here, of_dt]
                first = plan.cell.weights * index
                gradients = self._gradients(
                    direction,
                    reads,
                    (grad_out, here, of_dt),
                    [layout.state(t, index) for t in (grad_last, grad_last_c, grad_h0, grad_c0)],
                    of_weights[first : first + plan.cell.weights],
                    of_weights[-2:] if reads else [],
                )
                stage = self._stage(index, x, y, [ABSENT, ABSENT], reads, gradients)
                program.add(plan.cell.kernel, stage, backward=True)
                grad_x = added(program, grad_x, here)
                grad_times[direction] = added(program, grad_times[direction], of_dt)
            grad_out = grad_x
        if padded is not None and plan.reads and of_weights[-1] is not None:
            fill = self._padding(None, padded, of_weights[-1])
            program.add("padding", fill, backward=True)
        grad_x, grad_dt = grad_out, grad_times[0]  # None where they are not needed
        if grad_x is not None and self.observed is not None and self.observed.dim() == 3:
            filled, grad_x = grad_x, torch.empty_like(grad_x)
            self.alive.append(filled)
            views = [ABSENT, ABSENT, layout.sequence(filled), layout.sequence(grad_x)]
            program.add("arrivals", self._arrivals(views, self._rows()), backward=True)
        if grad_dt is not None and (self.ragged or plan.directions == 2):
            sums, grad_dt = grad_dt, torch.empty_like(grad_dt)
            self.alive.append(sums)
            views = [layout.gaps(sums), layout.gaps(grad_times[1]), ABSENT, ABSENT]
            views.append(layout.gaps(grad_dt))
            program.add("arrivals", self._arrivals(views, self._rows()), backward=True)
        return program, [grad_x, grad_h0, grad_c0, grad_dt, *of_weights]

    # ---- between the two ----------------------------------------------------------------------

    def tensors(self) -> list[Tensor | None]:
        """What autograd is to save, in the order of `restore`."""
        masks = [self.observed, self.ends]
        return [self.x, self.h0, self.c0, self.dt, *masks, *self.weights, *self.sequences[1:]]

    def release(self) -> None:
        """Let go of what autograd saves: an output must not keep the graph that made it."""
        self.times = [None if t is self.dt else t for t in self.times]
        self.x = self.h0 = self.c0 = self.dt = self.observed = self.ends = None
        self.weights, self.sequences = (), []

    def restore(self, saved: Sequence[Any]) -> None:
        """Take what autograd saved."""
        self.x, self.h0, self.c0, self.dt, self.observed, self.ends, *rest = saved
        self.weights, states = tuple(rest[: self.count]), rest[self.count :]
        self.sequences = [self.x if self.clean is None else self.clean, *states]
        self.times = [self.dt if t is None else t for t in self.times]

    def _rows(self) -> int:
        rows: int = self.x.shape[0] if self.layout.shared else self.lanes
        return rows

    def _gradients(
        self,
        direction: int,
        reads: bool,
        sequences: tuple[Tensor | None, Tensor | None, Tensor | None],
        states: list[View],
        weights: list[Tensor | None],
        readout: list[Tensor | None],
    ) -> "Gradients":
        layout = self.layout
        out, x, dt = sequences
        of_out, of_x, of_dt = layout.sequence(out), layout.sequence(x), layout.gaps(dt)
        if direction:
            of_out = self._part(of_out) if out is not None else ABSENT
            of_out, of_x, of_dt = (
                library.backwards(view, self.steps, self.size) for view in (of_out, of_x, of_dt)
            )
        return Gradients(
            ABSENT if reads else of_out,
            of_out if reads else ABSENT,
            of_x,
            of_dt,
            states,
            _views(layout, weights),
            _views(layout, readout) if reads else [ABSENT, ABSENT],
        )


def _views(layout: library.Layout, weights: Sequence[Tensor | None]) -> list[View]:
    """Of weights by their dimensions: matrices first, then vectors."""
    matrices = 2 if len(weights) > 2 else 1
    views = [layout.matrix(w) for w in weights[:matrices]]
    return views + [layout.vector(w) for w in weights[matrices:]]


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, slow: Any, *tensors: Any) -> tuple[Tensor, ...]:
        ctx.slow, ctx.run = slow, Run(plan, tensors[:6], tensors[6:], keep=True)
        outputs: tuple[Tensor, ...] = ctx.run.forward()
        ctx.set_materialize_grads(False)
        library.save_for_backward(ctx, *ctx.run.tensors())
        ctx.run.release()
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        saved, run = library.saved_for_backward(ctx), ctx.run
        needs = ctx.needs_input_grad[2:6] + ctx.needs_input_grad[8:]
        given = (*saved[:4], *saved[6 : 6 + run.count])
        if not library.reads_gradients(*grads):
            found = grad_with_graph(ctx.slow, given, needs, grads)
        else:
            run.restore(saved)
            found = run.backward(grads, needs)
            run.release()
        return (None, None, *found[:4], None, None, *found[4:])
