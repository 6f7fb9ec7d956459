"""Single steps of one LTC by the native kernel, with as little as possible around it."""

import struct
from typing import Any

import torch
from torch import Tensor

from torchliquid._checks import longest_interval
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings.ltc import SOLVERS


class Stepper:
    """One step of one model after another, with as little as possible around the kernel.

    Everything but the step's own addresses is packed once. Tensors are contiguous, of the weights'
    type: the caller checks. ``weights`` as in `model`, from both weights to target.
    """

    def __init__(self, weights: tuple[Tensor | None, ...], solver: str, unfolds: int) -> None:
        weight_ih, weight_hh, *vectors = weights
        assert weight_ih is not None  # noqa: S101 - for the type checker
        self.memory, self.options = _memory(weights), (weights[2] is None, solver, unfolds)
        self.dtype = weight_ih.dtype
        # others are looked at more closely
        self.least = torch.finfo(self.dtype).tiny * unfolds
        self.most = longest_interval(self.dtype)
        self.hidden, self.inputs = weight_ih.shape
        self.few = library.few(self.hidden, library.loaded().width[weight_ih.element_size()])
        layout = library.Batched
        views = [layout.matrix(weight_ih), layout.matrix(weight_hh), *map(layout.vector, vectors)]
        self._weights = library.arguments("", (), views, 8)  # then no readout, no y
        self._head = (weight_ih.element_size(), 1, 1)
        self._options = (SOLVERS.index(solver), unfolds, 1)
        self._call = library.loaded().call
        self._of_shape: dict[torch.Size, _Parts] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # a copied or unpickled layer makes its own

    def fits(self, weights: tuple[Tensor | None, ...], solver: str, unfolds: int) -> bool:
        """Whether this is still the stepper of these weights and options."""
        first = weights[0]
        return (
            first is not None
            and first.dtype is self.dtype
            and (weights[2] is None, solver, unfolds) == self.options
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
        self._call("ltc_forward", parts.packed(dt, *addresses))
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
        around = (
            struct.pack(f"={library.SIZES}3q", *numbers),
            struct.pack("=4q5q", I, 0, 0, 1, *library.ABSENT),
            struct.pack("=4q", H, 0, 0, 1) + self._weights,
            struct.pack("=4q", H, 0, 0, 1) + _END,
        )
        self._of_shape.clear()  # it may change with every step
        parts = self._of_shape[shape] = _Parts((*batch, H), around)
        return parts


_END = bytes(40 + 24 + 13 * 40)
"""No output but the last state, nothing kept, no gradients."""


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
