"""Single steps of one LTC by the native kernel, with as little as possible around it."""

import struct
from typing import Any

import torch
from torch import Tensor

from torchliquid.kernels import library
from torchliquid.kernels.native_ltc import SOLVERS


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
