"""Single steps of one layer by a native kernel, with as little as possible around it."""

import struct
from typing import Any

import torch
from torch import Tensor

from torchliquid._checks import longest_interval
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings.stages import KernelCell


class Stepper:
    """One step of one model after another, with as little as possible around the kernel.

    Everything but the step's own addresses is packed once. Tensors are contiguous, of the weights'
    type: the caller checks. ``weights`` are those of one layer, in the cell's order.
    """

    def __init__(self, cell: KernelCell, weights: tuple[Tensor | None, ...]) -> None:
        weight_ih, weight_hh, *vectors = weights
        assert weight_ih is not None  # noqa: S101 - for the type checker
        assert weight_hh is not None  # noqa: S101
        self.memory, self.cell, self.no_bias = _memory(weights), cell, weights[2] is None
        self.dtype = weight_ih.dtype
        # others are looked at more closely
        self.least = torch.finfo(self.dtype).tiny * cell.unfolds
        self.most = longest_interval(self.dtype)
        self.hidden, self.inputs = weight_hh.shape[-1], weight_ih.shape[-1]
        self.few = library.few(self.hidden, library.loaded().width[weight_ih.element_size()])
        layout = library.Batched
        views = [layout.matrix(weight_ih), layout.matrix(weight_hh), *map(layout.vector, vectors)]
        absent = [library.ABSENT]
        if cell.kernel == "ltc":  # then no readout, no y
            self._between: tuple[int, ...] = library.ABSENT
            self._options: tuple[int, ...] = (cell.kind, cell.unfolds, 1)
            self._weights = library.arguments("", (), views, 8)
            self._end = bytes(40 + 24 + 13 * 40)  # no output but the last state, no gradients
        else:  # c0; both weights and biases, no dt, the rate, no y
            self._between, self._options = (), (cell.kind, 1)
            self._weights = library.arguments("", (), absent + views[:4] + absent + views[4:], 8)
            self._end = bytes(40 + 8 + 3 * 40 + 8 + 15 * 40)
        self._name = f"{cell.kernel}_forward"
        self._head = (weight_ih.element_size(), 1, 1)
        self._call = library.loaded().call
        self._of_shape: dict[torch.Size, _Parts] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # a copied or unpickled layer makes its own

    def fits(self, cell: KernelCell, weights: tuple[Tensor | None, ...]) -> bool:
        """Whether this is still the stepper of these weights and options."""
        first = weights[0]
        return (
            first is not None
            and first.dtype is self.dtype
            and (weights[2] is None) is self.no_bias
            and cell == self.cell
            and _memory(weights) == self.memory
        )

    def __call__(
        self, x: Tensor, state: Tensor | None, dt: float, out: Tensor | None
    ) -> Tensor | None:
        """The state after ``x (B, I)`` or ``(I,)``, written into ``out``, which may be ``state``.

        None, and nothing done, where an argument is not quite what the kernel takes.
        """
        if state is None and type(x) is Tensor and not x.is_nested and x.dim():
            state = x.new_zeros(*x.shape[:-1], self.hidden)
        if type(x) is not Tensor or type(state) is not Tensor or x.is_nested or state.is_nested:
            return None
        fresh = out is None
        if out is None:
            out = torch.empty_like(state)
        if type(out) is not Tensor or out.is_nested:
            return None
        dtype = self.dtype
        parts = self._of_shape.get(x.shape) or self._parts(x.shape)
        if (
            parts is None
            or type(dt) is not float
            or not self.least < dt < self.most
            or not (parts.state == state.shape == out.shape)
            or not (x.dtype is state.dtype is out.dtype is dtype)
            or not (x.is_contiguous() and state.is_contiguous() and out.is_contiguous())
            or not (x.is_cpu and state.is_cpu and out.is_cpu)
            or (x.is_neg() or state.is_neg() or out.is_neg())  # as `library.readable` asks
            or _traced()
        ):
            return None
        addresses = x.data_ptr(), state.data_ptr(), out.data_ptr()
        if not all(addresses):
            return None  # a zero tensor, or one whose memory was freed
        self._call(self._name, parts.packed(dt, *addresses))
        if not fresh and not out.is_inference():  # which has no version
            torch.autograd.graph.increment_version(out)  # as torch's own operations in place do
        return out

    def _parts(self, shape: torch.Size) -> "_Parts | None":
        """The struct for samples of this shape but for what each step has of its own."""
        if not 1 <= len(shape) <= 2 or shape[-1] != self.inputs or not shape[0]:
            return None
        *batch, I = shape
        B, H = batch[0] if batch else 1, self.hidden
        numbers = (*self._head, B, 1, 1, I, H, self.few >= B, *self._options)
        between = self._between  # x and the state: an LTC's dt
        around = (
            struct.pack(f"={library.SIZES}{len(self._options)}q", *numbers),
            struct.pack(f"={4 + len(between)}q", I, 0, 0, 1, *between),
            struct.pack("=4q", H, 0, 0, 1) + self._weights,
            struct.pack("=4q", H, 0, 0, 1) + self._end,
        )
        self._of_shape.clear()  # it may change with every step
        parts = self._of_shape[shape] = _Parts((*batch, H), around)
        return parts


class _Parts:
    """What lies around dt and the addresses of x, the state before and the state after."""

    def __init__(self, state: tuple[int, ...], around: tuple[bytes, bytes, bytes, bytes]) -> None:
        self.state, self._around = state, around
        self._pack = struct.Struct("={}sdq{}sq{}sq{}s".format(*map(len, around))).pack

    def packed(self, dt: float, x: int, before: int, after: int) -> bytes:
        head, tail, middle, end = self._around
        return self._pack(head, dt, x, tail, before, middle, after, end)


def _traced() -> bool:
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _nothing() -> None:
    return None


def _memory(weights: tuple[Tensor | None, ...]) -> list[Any]:
    """Where the weights are and how they are to be read: all that a stepper has packed."""
    # of one number of elements, all contiguous tensors have the same strides
    return [
        (w.data_ptr(), w.numel() if w.is_contiguous() else w.stride(), w.is_neg())
        for w in weights
        if w is not None
    ]
