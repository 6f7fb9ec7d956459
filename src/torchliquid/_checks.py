"""Checks of single arguments: each gives the value back or an error that says what to do."""

import math
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

LARGEST_SIZE = 2**31 - 1
LARGEST_UNFOLDS = 10_000
LARGEST_LAYERS = 1_000
_WHOLE = (int, Integral)
_NUMBERS = (float, int, Real)  # tuples, the likely types first: compilers of torch follow them


def check_size(name: str, size: int, least: int = 1) -> int:
    """The size, if it is one; an error that names it if not."""
    whole = isinstance(size, _WHOLE) and not isinstance(size, bool)
    if not whole or not least <= size <= LARGEST_SIZE:
        raise TorchliquidError(f"{name} is {short_repr(size)}: give an integer of at least {least}")
    return int(size)


def check_seed(seed: int) -> int:
    """The seed of a generator, if it is one; an error if not."""
    whole = isinstance(seed, _WHOLE) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**63:
        raise TorchliquidError(f"seed is {short_repr(seed)}: give an integer of at least 0")
    return int(seed)


def check_at_most(name: str, size: int, most: int, least: int = 1) -> int:
    """A size that is not above another number."""
    checked = check_size(name, size, least)
    if checked > most:
        raise TorchliquidError(f"{name} is {short_repr(size)}: give at most {most}")
    return checked


def check_unfolds(unfolds: int) -> int:
    """Check a number of sub-steps that can be run."""
    return check_at_most("unfolds", unfolds, LARGEST_UNFOLDS)


def check_layers(num_layers: int) -> int:
    """Check a number of layers that can be meant."""
    return check_at_most("num_layers", num_layers, LARGEST_LAYERS)


def check_proj_size(proj_size: int, hidden_size: int) -> int:
    """A width to project to: less than what there is; 0 for none."""
    whole = isinstance(proj_size, _WHOLE) and not isinstance(proj_size, bool)
    if not whole or not 0 <= proj_size < hidden_size:
        raise TorchliquidError(
            f"proj_size is {short_repr(proj_size)}: give an integer less than hidden_size, "
            f"{hidden_size}, or 0 for no projection"
        )
    return int(proj_size)


def check_positive(name: str, value: float) -> float:
    """A finite number above 0."""
    number = isinstance(value, _NUMBERS) and not isinstance(value, bool)
    if not number or not 0 < value < 10**300:
        raise TorchliquidError(f"{name} is {short_repr(value)}: give a finite number above 0")
    return float(value)


def check_probability(name: str, share: float) -> float:
    """A number in [0, 1]."""
    if not isinstance(share, _NUMBERS) or isinstance(share, bool) or not 0 <= share <= 1:
        raise TorchliquidError(f"{name} is {short_repr(share)}: give a number from 0 to 1")
    return float(share)


def check_index(name: str, index: Any, length: int) -> int:
    """An index of a list of this length, counted from its end if negative."""
    whole = isinstance(index, _WHOLE) and not isinstance(index, bool)
    if not whole or not -length <= index < length:
        raise TorchliquidError(
            f"{name} is {short_repr(index)}: give an integer from 0 to {length - 1}"
        )
    return int(index)


def check_neurons(neurons: Any, length: int) -> list[int]:
    """Numbers of neurons: of one, of several, or where a mask is true."""
    if isinstance(neurons, Integral):
        return [check_index("neurons", neurons, length)]
    message = (
        f"neurons is {short_repr(neurons)}: give numbers from 0 to {length - 1}, or a mask "
        f"({length},)"
    )
    try:
        indices = torch.as_tensor(neurons if isinstance(neurons, Tensor) else list(neurons))
    except Exception as error:  # whatever a caller's object raises when it is read
        raise TorchliquidError(message) from error
    if indices.dtype == torch.bool and indices.shape == (length,):
        return [int(n) for n in indices.nonzero().squeeze(-1)]
    if indices.numel() and (not holds_whole(indices) or indices.dim() != 1):
        raise TorchliquidError(message)
    return [check_index("neurons", int(n), length) for n in indices]


def check_flag(name: str, flag: bool) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(flag, bool):
        raise TorchliquidError(f"{name} is {short_repr(flag)}: give True or False")
    return flag


def check_interval(dt: Any, dtype: torch.dtype | None = None, unfolds: int = 1) -> float:
    """One dt for all samples, as a float that a solver computing in ``dtype`` can take."""
    if not isinstance(dt, _NUMBERS) or isinstance(dt, bool):
        raise TorchliquidError(
            f"dt is a {type(dt).__name__}: expected a float, or a tensor with one value a sample"
        )
    try:
        value = float(dt)
    except OverflowError:
        value = math.inf
    if not 0 <= value < math.inf:
        raise TorchliquidError(
            f"dt is {short_repr(dt)}: expected a finite time between samples that is not negative"
        )
    if dtype is not None:
        limits = torch.finfo(dtype)
        least = limits.tiny * limits.eps / 2  # rounded to 0, as all below it
        if not least < value / unfolds <= limits.max and value > 0:
            parts = f" in {unfolds} unfolds" if unfolds > 1 else ""
            raise TorchliquidError(
                f"dt is {value:g}, which {dtype} cannot hold{parts}: give time in another unit, or "
                "the layer another dtype"
            )
        value = min(value, longest_interval(dtype))
    return value


def longest_interval(dtype: torch.dtype) -> float:
    """The longest dt that a cell computes with: products of it must not overflow.

    A longer one is taken as this long, which changes no result: states have been at rest since
    long before, unless a time constant is 1e25 times the unit of dt.
    """
    largest = float(torch.finfo(dtype).max)
    return largest if dtype == torch.float16 else largest * 2.0**-20


def check_intervals(dt: Tensor, dtype: torch.dtype) -> Tensor:
    """One dt for each sample, as ``dtype``. A compiled model does not look at the values."""
    if dt.dtype == torch.bool or dt.is_complex():
        raise TorchliquidError(f"dt is {dt.dtype}: expected real numbers, e.g. dt.to({dtype})")
    original, dt = dt, dt.to(dtype)
    if torch.compiler.is_compiling() or dt.is_meta:
        return dt
    before, after = _values(original), _values(dt)
    if not bool(((after >= 0) & after.isfinite()).all()):
        raise TorchliquidError(
            "dt holds values that are negative or not finite"
            + ("" if original.dtype == dtype else f" in {dtype}")
            + ": fix them"
        )
    if original.dtype != dtype and not bool(((after > 0) == (before > 0)).all()):
        raise TorchliquidError(f"dt holds values that are 0 in {dtype}: give a larger unit of time")
    longest = longest_interval(dtype)
    return dt.clamp(max=longest) if bool((after > longest).any()) else dt


def _values(t: Tensor) -> Tensor:
    """The numbers below all transforms of torch.func, which hide them."""
    while torch._C._functorch.is_functorch_wrapped_tensor(t):
        t = torch._C._functorch.get_unwrapped(t)
    return t.detach()


def check_tensor(name: str, value: Any, expected: str) -> Tensor:
    """An ordinary dense tensor; ``expected`` ends the message."""
    if not isinstance(value, Tensor):
        advice = ""
        if type(value).__name__ == "Proxy":
            advice = "; torch.fx traces no recurrence: make the layer a leaf of your Tracer"
        raise TorchliquidError(
            f"{name} is a {type(value).__name__}: expected a tensor {expected}{advice}"
        )
    if value.is_nested or value.layout != torch.strided:
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        raise TorchliquidError(f"{name} is {kind}: expected a dense tensor {expected}")
    return value


def holds_whole(tensor: Tensor) -> bool:
    """Whether a tensor's numbers are whole ones by their type."""
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def autocast_type(tensor: Tensor) -> torch.dtype | None:
    """What autocast computes in where the tensor lies; None where it is not on."""
    if tensor.is_meta:  # of which torch.is_autocast_enabled has not heard
        return None
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def check_device(name: str, value: Tensor, device: torch.device, owner: str) -> None:
    """That a tensor lies where the weights are."""
    if value.device != device:
        raise TorchliquidError(
            f"{name} is on {value.device}, {owner} on {device}: move one, e.g. {name}.to({device})"
        )
