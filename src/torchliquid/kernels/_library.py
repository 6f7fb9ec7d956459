"""The native library: found, loaded and tested once, called with plain structs of numbers.

The C interface is described in ``c/torchliquid.h``. A call takes one struct of sizes and
views; here it is packed into bytes, which is cheaper than one argument for each number. ctypes
lets go of the interpreter's lock while a kernel runs.
"""

import ctypes
import functools
import os
import struct
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError

ABI = 8
"""TL_ABI of the header this package was written for."""
ISA = "TORCHLIQUID_ISA"
"""Environment variable that names the instruction set to use."""
KERNELS = (
    "ltc",
    "linear",
    "gated",
    "synaptic",
    "arrivals",
    "padding",
    "resonator",
    "filter",
    "cfc",
    "sum",
    "fit",
)
"""In the header's order."""
ONE_WAY = ("sum", "fit")
_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

View = tuple[int, int, int, int, int]
ABSENT: View = (0, 0, 0, 0, 0)


class Library:
    """The loaded library: `isa` in use, `isas` compiled, and `call` for a kernel."""

    def __init__(self, path: Path) -> None:
        handle = ctypes.CDLL(str(path))
        handle.tl_abi.restype = ctypes.c_int64
        if handle.tl_abi() != ABI:
            raise OSError(
                f"{path.name} speaks version {handle.tl_abi()} of the interface, this package "
                f"{ABI}: install torchliquid again"
            )
        handle.tl_isa.restype = handle.tl_isas.restype = ctypes.c_char_p
        handle.tl_width.restype = ctypes.c_int64
        handle.tl_width.argtypes = [ctypes.c_int64]
        handle.tl_use_isa.argtypes = [ctypes.c_char_p]
        self.isas = handle.tl_isas().decode().split()
        wanted = os.environ.get(ISA)
        if wanted and handle.tl_use_isa(wanted.encode()):
            raise OSError(
                f"{ISA} is {wanted!r}: it does not run here; compiled are {', '.join(self.isas)}"
            )
        self.isa = handle.tl_isa().decode()
        if not self.isa:
            raise OSError(f"{path.name} fails its self-test on this machine")
        self.width: dict[int, int] = {size: handle.tl_width(size) for size in (4, 8)}
        self._kernels = {}
        for name in KERNELS:
            for direction in ("forward", "backward")[: 1 if name in ONE_WAY else 2]:
                kernel = getattr(handle, f"tl_{name}_{direction}")
                kernel.argtypes = [ctypes.c_char_p]
                self._kernels[f"{name}_{direction}"] = kernel
        self._run = handle.tl_run
        self._run.argtypes = [ctypes.c_char_p]
        self._fit = handle.tl_fit_all
        self._fit.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]

    def call(self, name: str, arguments: bytes) -> None:
        """Run a kernel on a packed struct."""
        self._check(self._kernels[name](arguments), name)

    def run(self, program: "Program") -> bool:
        """Run kernels one after another; False where a dt or a length is not valid."""
        code = self._run(program.packed())
        if code in (3, 4):
            return False
        self._check(code, "of a sequence")
        return True

    def fit(self, trainings: Sequence[ctypes.Structure], threads: int) -> None:
        """Run trainings, structs of tl_fit, side by side."""
        pointers = (ctypes.c_void_p * len(trainings))(*map(ctypes.addressof, trainings))
        self._check(self._fit(pointers, len(trainings), threads), "fit")

    def _check(self, code: int, name: str) -> None:
        if code == 1:
            raise MemoryError(f"the native kernel {name} found no memory for its scratch")
        if code:
            raise TorchliquidError(f"the native kernel {name} was given sizes it does not take")


class Program:
    """Kernels to be run one after another, each with its struct, in one call."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, name: str, arguments: bytes, backward: bool = False) -> None:
        """Add a kernel with its packed struct."""
        self._parts += [_HEAD.pack(KERNELS.index(name), backward, len(arguments)), arguments]

    def packed(self) -> bytes:
        """The program as the header's ``tl_run`` wants it."""
        return b"".join([(len(self._parts) // 2).to_bytes(8, sys.byteorder), *self._parts])


_HEAD = struct.Struct("=3q")


@functools.cache
def find() -> tuple[Library | None, str]:
    """The library, or None and why there is none."""
    path = Path(__file__).with_name(f"_native{_SUFFIX}")
    if not path.parent.is_dir():
        return (
            None,
            "torchliquid lies in an archive, and no library can be loaded from one",
        )
    if not path.exists():
        return None, "it was not compiled when torchliquid was installed (no C compiler?)"
    try:
        return Library(path), ""
    except (OSError, AttributeError) as error:
        return None, str(error)


def loaded() -> Library:
    """The library.

    Raises:
        TorchliquidError: there is none.
    """
    library, why = find()
    if library is None:
        raise TorchliquidError(f"the native kernels are not at hand: {why}")
    return library


_REALS = (torch.float32, torch.float64)
_ORDINARY = (Tensor, torch.nn.Parameter)


def accepts(*tensors: Tensor | None) -> bool:
    """Whether a kernel may read these: on the CPU, float32 or float64, of one type, not empty."""
    dtype = None
    for t in tensors:
        if t is None:
            continue
        if not t.is_cpu or t.layout != torch.strided or not t.numel():
            return False
        if dtype is None:
            dtype = t.dtype
            if dtype not in _REALS:
                return False
        elif t.dtype != dtype:
            return False
    return True


def readable(*tensors: Tensor | None) -> tuple[Any, ...]:
    """The same tensors, where their memory holds their values; every entry to a kernel calls it.

    A kernel reads memory. torch keeps some tensors lazily: with the negative bit
    (``z.conj().imag``, and gradients of complex losses) memory holds the other sign, and a zero
    tensor has no memory. Such tensors are materialised. Views, strides and expanded tensors are
    read as they are. Dtype and device are checked by `accepts`, and by `saved_for_backward`.

    Raises:
        TorchliquidError: a tensor whose memory was freed.
    """
    for t in tensors:
        if t is not None and (t.is_neg() or not t.data_ptr()):
            return tuple(map(_materialised, tensors))
    return tensors


def _materialised(t: Tensor | None) -> Tensor | None:
    if t is None:
        return None
    if t._is_zerotensor():
        return torch.zeros(t.shape, dtype=t.dtype)
    if t.numel() and not t.data_ptr():
        raise TorchliquidError(
            f"a tensor of shape {tuple(t.shape)} has no memory: was its storage freed or resized?"
        )
    return t.resolve_neg()


# Which hooks on saved tensors are in force; torch before 2.8 cannot say, so that all may be.
_TOP_HOOKS = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


def save_for_backward(ctx: Any, *tensors: Tensor | None) -> None:
    """``ctx.save_for_backward``, and what `saved_for_backward` must give back where hooks run."""
    ctx.save_for_backward(*tensors)
    hooked = _TOP_HOOKS is None or _TOP_HOOKS(True) is not None
    ctx.shapes = [None if t is None else t.shape for t in tensors] if hooked else None


def saved_for_backward(ctx: Any) -> tuple[Any, ...]:
    """``ctx.saved_tensors``, where hooks on saved tensors gave back what they were given.

    Raises:
        TorchliquidError: a hook gave back another dtype, device or shape.
    """
    tensors: tuple[Any, ...] = ctx.saved_tensors
    if ctx.shapes is None:
        return tensors
    dtype = tensors[0].dtype
    for t, shape in zip(tensors, ctx.shapes, strict=True):
        if t is not None and not (
            t.shape == shape and t.is_cpu and t.dtype in (dtype, torch.int64, torch.bool)
        ):
            raise TorchliquidError(
                f"a tensor of shape {tuple(shape)} was saved for the backward pass, and is now "
                f"{t.dtype} of shape {tuple(t.shape)} on {t.device}, next to {dtype}: hooks on "
                "saved tensors must give back what they were given"
            )
    return tensors


def is_plain(*tensors: Tensor | None) -> bool:
    """Whether these are ordinary tensors outside any tracing, compilation or transformation."""
    if torch.compiler.is_compiling():
        return False
    for t in tensors:
        if t is not None and type(t) not in _ORDINARY:
            return False
    return (
        not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.peek_interpreter_stack() is None
        and not torch._C._is_tracing()
    )


def reads_gradients(*grads: Tensor | None) -> bool:
    """Whether a kernel can compute the gradients that are asked for: once, from real memory."""
    return not torch.is_grad_enabled() and not any(
        g is not None and torch._C._functorch.is_legacy_batchedtensor(g) for g in grads
    )


def wants_graph(*tensors: Tensor | None) -> bool:
    """Whether autograd records what is done with these tensors."""
    if torch.is_grad_enabled():
        for t in tensors:
            if t is not None and t.requires_grad:
                return True
    return False


class Packed:
    """Views of a pack: lanes are its models. Tensors have a leading dimension S or, shared, none.

    Methods give the five numbers of a ``tl_view``: address, strides of lane, batch, row and item.
    """

    shared = 0

    @staticmethod
    def sequence(t: Tensor | None) -> View:
        """``(S, B, L, F)`` or ``(B, L, F)``."""
        if t is None:
            return ABSENT
        s = t.stride()
        return (t.data_ptr(), *s) if len(s) == 4 else (t.data_ptr(), 0, *s)  # type: ignore[return-value]

    @staticmethod
    def gaps(t: Tensor | None) -> View:
        """``(S, B, L)`` or ``(B, L)``."""
        if t is None:
            return ABSENT
        s = t.stride()
        return (t.data_ptr(), *s, 0) if len(s) == 3 else (t.data_ptr(), 0, *s, 0)  # type: ignore[return-value]

    @staticmethod
    def state(t: Tensor | None, index: int = 0) -> View:
        """``(S, B, H)``, or one layer's and direction's of ``(S, D, B, H)``."""
        if t is None:
            return ABSENT
        lane, *depth, batch, item = t.stride()
        offset = index * depth[0] * t.element_size() if index else 0
        return t.data_ptr() + offset, lane, batch, 0, item

    @staticmethod
    def matrix(t: Tensor | None) -> View:
        """``(S, J, I)``."""
        if t is None:
            return ABSENT
        lane, row, item = t.stride()
        return t.data_ptr(), lane, 0, row, item

    @staticmethod
    def vector(t: Tensor | None) -> View:
        """``(S, H)``."""
        if t is None:
            return ABSENT
        lane, item = t.stride()
        return t.data_ptr(), lane, 0, 0, item

    @staticmethod
    def sizes(x: Tensor, weight: Tensor) -> tuple[int, int, int, int]:
        """Lanes, batch, steps, inputs."""
        B, L, I = x.shape[-3:]
        return len(weight), B, L, I

    @staticmethod
    def new_sequence(like: Tensor, lanes: int, features: int, rows: bool = False) -> Tensor:
        """An empty ``(S, B, L, F)``, lane innermost in memory where not `in_rows`."""
        B, L = like.shape[-3:-1]
        if rows:
            return like.new_empty(lanes, B, L, features)
        return like.new_empty(B, L, features, lanes).permute(3, 0, 1, 2)

    @staticmethod
    def new_state(like: Tensor, rows: bool = False) -> Tensor:
        """An empty ``(S, B, H)`` like the given one, lane innermost in memory if not `in_rows`."""
        if rows:
            return torch.empty_like(like, memory_format=torch.contiguous_format)
        return like.new_empty(*like.shape[1:], len(like)).movedim(-1, 0)


class Batched:
    """Views of one model: lanes are the sequences of its batch. Tensors have no dimension S."""

    shared = 1

    @staticmethod
    def sequence(t: Tensor | None) -> View:
        """``(B, L, F)``."""
        if t is None:
            return ABSENT
        lane, row, item = t.stride()
        return t.data_ptr(), lane, 0, row, item

    @staticmethod
    def gaps(t: Tensor | None) -> View:
        """``(B, L)``."""
        if t is None:
            return ABSENT
        lane, row = t.stride()
        return t.data_ptr(), lane, 0, row, 0

    @staticmethod
    def state(t: Tensor | None, index: int = 0) -> View:
        """``(B, H)``, or one layer's and direction's of ``(D, B, H)``."""
        if t is None:
            return ABSENT
        *depth, lane, item = t.stride()
        offset = index * depth[0] * t.element_size() if index else 0
        return t.data_ptr() + offset, lane, 0, 0, item

    @staticmethod
    def matrix(t: Tensor | None) -> View:
        """``(J, I)``."""
        if t is None:
            return ABSENT
        row, item = t.stride()
        return t.data_ptr(), 0, 0, row, item

    @staticmethod
    def vector(t: Tensor | None) -> View:
        """``(H,)``."""
        return ABSENT if t is None else (t.data_ptr(), 0, 0, 0, t.stride(0))

    @staticmethod
    def sizes(x: Tensor, weight: Tensor) -> tuple[int, int, int, int]:
        """Lanes, batch, steps, inputs."""
        B, L, I = x.shape
        return B, 1, L, I

    @staticmethod
    def new_sequence(like: Tensor, lanes: int, features: int, rows: bool = False) -> Tensor:
        """An empty ``(B, L, F)``, batch and time in memory as in ``like``."""
        B, L = like.shape[:2]
        if like.stride(0) >= like.stride(1):
            return like.new_empty(B, L, features)
        return like.new_empty(L, B, features).transpose(0, 1)

    @staticmethod
    def new_state(like: Tensor, rows: bool = False) -> Tensor:
        """An empty ``(B, H)`` like the given one."""
        return torch.empty_like(like, memory_format=torch.contiguous_format)


def backwards(view: View, steps: int, size: int) -> View:
    """A view of a sequence whose last step is the first; reals of ``size`` bytes."""
    address, lane, batch, row, item = view
    return (address + (steps - 1) * row * size, lane, batch, -row, item) if address else view


Layout = type[Packed] | type[Batched]


def layout_of(weight: Tensor) -> Layout:
    """Which of the two: a weight matrix of a pack has three dimensions."""
    return Packed if weight.dim() == 3 else Batched


@functools.cache
def _format(head: str, views: int) -> struct.Struct:
    return struct.Struct(f"={head}{5 * views}q")


def arguments(head: str, numbers: tuple[Any, ...], views: list[View], total: int) -> bytes:
    """A kernel's struct: numbers as ``head`` says, then views, absent ones up to ``total``."""
    n = len(views)
    return _format(head, n).pack(*numbers, *chain.from_iterable(views)) + bytes(40 * (total - n))


NO_MEMORY = bytes(12 * 40 + 8)
"""A tl_memory that is not there."""


def memory(views: list[View], kept: Tensor | None) -> bytes:
    """A tl_memory: views in the header's order, absent ones at the end."""
    address = 0 if kept is None else kept.data_ptr()
    return arguments("", (), views, 12) + address.to_bytes(8, sys.byteorder)


def in_rows(cell: str, x: Tensor, weight_hh: Tensor) -> bool:
    """Whether registers hold the neurons of one sequence, rather than one neuron of many.

    ``cell`` is "ltc" or "gated". It depends on a pack's sizes, not on how many lanes it has.
    """
    if ROWS is not None:
        return ROWS
    H = weight_hh.shape[-1]
    if weight_hh.dim() == 3:
        return pack_in_rows(cell, H, x.element_size())
    return few(H, loaded().width[x.element_size()]) >= x.shape[0]


def pack_in_rows(cell: str, hidden: int, size: int) -> bool:
    """The same for a pack of models of H neurons, reals of 4 or 8 bytes.

    The weights of a register's worth of lanes must fit the nearest cache; those of large models do
    not.
    """
    if ROWS is not None:
        return ROWS
    width = loaded().width[size]
    return hidden >= width if cell == "gated" else hidden >= 4 * width


def few(hidden: int, width: int) -> int:
    """Sequences of a batch up to which rows are faster; more fill a register of their own."""
    return hidden // (2 * -(-hidden // width))


ROWS: bool | None = None
"""Decides `in_rows` where it is not None: for tests and measurements."""


def numbers(layout: Layout, x: Tensor, weight: Tensor, hidden: int, rows: bool) -> tuple[int, ...]:
    """A kernel's tl_sizes; ``weight`` has the lanes of a pack."""
    threads = torch.get_num_threads()
    sizes = layout.sizes(x, weight)
    return (x.element_size(), threads, layout.shared, *sizes, hidden, rows)


SIZES = "9q"
"""Format of `numbers`."""


def kept_size(x: Tensor, weight_hh: Tensor, rows: bool) -> int:
    """Reals of a buffer kept for the backward pass: one for each state, in whole registers."""
    width = loaded().width[x.element_size()]
    lanes, batch = (len(weight_hh), x.shape[-3]) if weight_hh.dim() == 3 else (x.shape[0], 1)
    H = weight_hh.shape[-1]
    if rows:
        H = -(-H // width) * width
    else:
        lanes = -(-lanes // width) * width
    whole: int = lanes * batch * x.shape[-2] * H
    return whole


def without_none(
    x: Tensor, grads: Sequence[Tensor | None], needs: Sequence[bool] | None = None
) -> list[Tensor]:
    """Return gradients as an operator must: an empty tensor where one is None or not needed."""
    wanted = needs or [True] * len(grads)
    pairs = zip(grads, wanted, strict=True)
    return [x.new_empty(0) if g is None or not need else g for g, need in pairs]
