"""Values that fit hardly anything, and what each kind of argument takes of them."""

import inspect
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from torchliquid import LTC, functional

S, B, L, I, H, O = 2, 3, 4, 2, 5, 1


class Sub(torch.Tensor):
    """A tensor by another name."""


class Broken:
    """Whatever one asks of it fails."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __len__(self):
        raise RuntimeError("no length")


def common() -> list[Any]:
    """Values that fit hardly anything."""
    return [
        None, True, False, 0, 1, -1, 3, 2**31, 10**12, 10**30, 10**400, 0.0, 1.5, -2.5, 1e-46,
        1e-320, 1e39, 1e300, math.nan, math.inf, -math.inf, 1j, "", "x", "0.1", "cpu", "\0", b"x",
        [], [0.1], [[0.1]], (), (1, 2), {}, {"a": 1}, set(), object(), Broken(), len, lambda: 1,
        Exception("x"), Decimal("0.5"), Fraction(1, 2), np.float32(0.3), np.float64(-1),
        np.int64(2), np.bool_(True), np.array(0.3), np.array([0.1, 0.2]), np.array(["x"]),
        torch.float32, torch.int32, torch.complex64, torch.float8_e4m3fn, torch.strided,
        torch.Size([2]), Path("nowhere"), range(3), torch.device("cpu"), torch.device("meta"),
        torch.Generator(), nn.Linear(2, 2), nn.Identity(), nn.LSTM(2, 5), inspect, Ellipsis,
        slice(3), memoryview(b"abcd"), iter([1, 2]),
    ]  # fmt: skip


def tensors() -> list[torch.Tensor]:
    """Tensors of every odd kind, whatever is expected."""
    base = torch.full((B, L), 0.1)
    return [
        torch.tensor(0.3), torch.tensor(0.0), torch.tensor(-0.3), torch.tensor(math.nan),
        torch.tensor(2), torch.tensor(True), torch.tensor(1j), torch.tensor(0.3, device="meta"),
        torch.empty(0), torch.empty(0, 0), base, base.int(), base > 0, base.to(torch.complex64),
        base.to_sparse(), base.to("meta"), torch.nested.nested_tensor([base[0], base[1, :2]]),
        torch.ones(1), torch.ones(B), torch.ones(B, L, I, H, 1),
    ]  # fmt: skip


def variants(value: torch.Tensor) -> list[torch.Tensor]:
    """A right tensor, changed in one way."""
    found = [
        value.double(), value.half(), value.bfloat16(), value.long(), value > 0,
        value.to(torch.complex64), value.to("meta"), value.to_sparse(), value.unsqueeze(0),
        value.unsqueeze(-1), value.detach().clone().requires_grad_(), nn.Parameter(value.detach()),
        value.as_subclass(Sub), value.mT.contiguous().mT if value.dim() > 1 else value.clone(),
        value.numpy(), value.tolist(), torch.nested.nested_tensor([value, value]),
    ]  # fmt: skip
    for d in range(value.dim()):
        n = value.shape[d]
        found += [
            value.select(d, 0), value.narrow(d, 0, n - 1), value.narrow(d, 0, 0),
            torch.cat([value, value.narrow(d, 0, 1)], d), torch.cat([value, value], d),
        ]  # fmt: skip
    return found


# Predicates: what is right, from the documentation alone.

Fine = Callable[[Any, Any], bool]
DENSE = torch.strided


def dense(v: Any) -> bool:
    return isinstance(v, torch.Tensor) and not v.is_nested and v.layout == DENSE and v.is_cpu


def any_length(v: Any, base: Any) -> bool:
    """Where no dt goes with x, a sequence may have any length."""
    return (
        dense(v)
        and v.dtype == base.dtype
        and v.dim() == base.dim()
        and bool(v.numel())
        and (v.shape[:-2], v.shape[-1]) == (base.shape[:-2], base.shape[-1])
    )


def any_length_of_pack(v: Any, base: Any) -> bool:
    return any_length(v, base) or any_length(v, base[0])


def same(v: Any, base: Any) -> bool:
    """A dense tensor of the base's shape and dtype."""
    return dense(v) and v.shape == base.shape and v.dtype == base.dtype


def same_or_none(v: Any, base: Any) -> bool:
    return v is None or same(v, base)


def number(v: Any) -> bool:
    return isinstance(v, Real) and not isinstance(v, bool | np.bool_)


def in_float32(v: Any) -> bool:
    """A time: not negative, finite, and neither 0 nor infinite only because of its dtype."""
    try:
        value = float(v)
    except OverflowError:
        return False
    kept = float(np.float32(value)) if abs(value) < 1e38 else math.inf
    return value >= 0 and math.isfinite(kept) and (kept > 0 or value == 0)


def time_of_layer(v: Any, base: Any) -> bool:
    if v is None:
        return True
    if isinstance(v, torch.Tensor):
        if not dense(v) or v.dtype == torch.bool or v.is_complex():
            return False
        right = v.shape in ((), base.shape, base.shape[-1:], (*base.shape, 1))  # (L,): all rows
        return right and bool((v.double() >= 0).all())
    return number(v) and in_float32(v)


def one_time(v: Any, base: Any) -> bool:
    """One for all, or one for each of B streams."""
    if isinstance(v, torch.Tensor) and v.dim() > 1:
        return False
    return time_of_layer(v, torch.empty(B))


def stamps(v: Any, base: Any) -> bool:
    """Times in order, of one sample at least."""
    if isinstance(v, torch.Tensor):
        if not dense(v) or v.dtype == torch.bool or v.is_complex():
            return False
        v = v.detach().double().numpy()
    try:
        array = np.asarray(v)
    except Exception:
        return False
    if array.dtype.kind not in "iuf" or not array.ndim or not array.shape[-1]:
        return False
    return bool(np.isfinite(array).all() and (np.diff(array, axis=-1) >= 0).all())


def no_unit(v: Any, base: Any) -> bool:
    return v is None


def time_or_none(v: Any, base: Any) -> bool:
    return v is None or (number(v) and in_float32(v))


def dimension(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and -2 <= v < 2


def time_of_function(v: Any, base: Any) -> bool:
    if isinstance(v, torch.Tensor):
        return same(v, base)
    return number(v) and in_float32(v)


def size(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and 1 <= v < 2**31


def unfolds(v: Any, base: Any) -> bool:
    return size(v, base) and v <= 10_000


def flag(v: Any, base: Any) -> bool:
    return isinstance(v, bool)


def share(v: Any, base: Any) -> bool:
    return number(v) and 0 <= v <= 1


def projection(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and 0 <= v < H


def solver(v: Any, base: Any) -> bool:
    return isinstance(v, str) and v in functional.SOLVERS


def device(v: Any, base: Any) -> bool:
    return v is None or (isinstance(v, str) and v == "cpu") or isinstance(v, torch.device)


def dtype(v: Any, base: Any) -> bool:
    floats = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    return v is None or (isinstance(v, torch.dtype) and v in floats)


def positive_time(v: Any, base: Any) -> bool:
    try:
        return number(v) and 0 < float(v) < math.inf
    except OverflowError:
        return False


def recurrent(v: Any, base: Any) -> bool:
    return isinstance(v, LTC | nn.LSTM | nn.GRU)


def watched(v: Any, base: Any) -> bool:
    return isinstance(v, LTC)


def neurons(v: Any, base: Any) -> bool:
    """One of H, several, or a mask of them."""
    if isinstance(v, Integral) and not isinstance(v, bool):
        return -H <= v < H
    if isinstance(v, str | bytes | dict | Iterator):
        return isinstance(v, Iterator) or not v
    try:
        array = v.numpy() if isinstance(v, torch.Tensor) and dense(v) else np.asarray(list(v))
    except Exception:
        return False
    if not array.size:
        return True
    if array.dtype.kind == "b":
        return array.shape == (H,)
    fits = array.dtype.kind in "iu" and array.ndim == 1
    return fits and bool(((array >= -H) & (array < H)).all())


def edges(v: Any, base: Any) -> bool:
    if v is None:
        return base is None
    return dense(v) and v.shape == base.shape and v.dtype == torch.int64


def nothing(v: Any, base: Any) -> bool:
    """None alone: it is another name for what is given already."""
    return v is None


def shared_or_own(v: Any, base: Any) -> bool:
    """A pack's input: with lanes, or shared by them."""
    return dense(v) and v.dtype == base.dtype and v.shape in (base.shape, base.shape[1:])


def time_of_pack(v: Any, base: Any) -> bool:
    if dense(v) and v.shape == base.shape[1:]:
        return time_of_layer(v, base[0])
    return time_of_layer(v, base)


def pair(v: Any, base: Any) -> bool:
    return v is None


def seeds(v: Any, base: Any) -> bool:
    return isinstance(v, range | memoryview | tuple | Iterator) and v != ()


def index(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and -S <= v < S


def gradient_norm(v: Any, base: Any) -> bool:
    return number(v) and 0 < v < 10**300


def never(v: Any, base: Any) -> bool:
    return False


def broadcast_with(*shape: int) -> Fine:
    def fits(v: Any, base: Any) -> bool:
        if not dense(v) or v.dtype != base.dtype:
            return False
        try:
            torch.broadcast_shapes(v.shape, shape)
        except RuntimeError:
            return False
        return True

    return fits


def layer_with_times(v: Any, base: Any) -> bool:
    return False  # another layer would need another x


def count(v: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool | np.bool_) and v < 2**31


def one(v: Any, fits: Callable[[Any], bool]) -> bool:
    """One value, also in an array without dimensions; a model has no lanes."""
    try:
        if isinstance(v, torch.Tensor | np.ndarray | np.generic):
            v = v.tolist()
        v = v[0] if isinstance(v, list | tuple) and len(v) == 1 else v
        return bool(fits(v))
    except Exception:
        return False


def finite(v: Any, base: Any) -> bool:
    return same(v, base) and bool(v.isfinite().all())


def target(v: Any, base: Any) -> bool:
    """Of every sample, or of the last one."""
    shapes = (base.shape, (len(base), base.shape[-1]))
    return dense(v) and v.shape in shapes and v.is_floating_point() and bool(v.isfinite().all())


def weights(v: Any, base: Any) -> bool:
    """Of samples, or of rows."""
    if v is None:
        return True
    if not dense(v) or v.is_complex() or v.shape not in (base.shape, base.shape[:1]):
        return False
    return bool((v.double() >= 0).all() and v.double().isfinite().all() and v.double().sum() > 0)


def seed_number(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool | np.bool_) and 0 <= v < 2**63


def new_file(v: Any, base: Any) -> bool:
    return v is None or (isinstance(v, str | Path) and v not in ("", "\0"))
