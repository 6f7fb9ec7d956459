"""Parameters that are still to be initialised."""

from typing import Any

import torch
from torch import nn

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def new_parameter(name: str, shape: tuple[int, ...], device: Any, dtype: Any) -> nn.Parameter:
    """A parameter that is still to be initialised, or an error that says what was wrong."""
    kind = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(kind, torch.dtype) or kind not in DTYPES:
        raise TorchliquidError(
            f"dtype is {short_repr(dtype)}: give a floating-point type of torch, e.g. torch.float32"
        )
    try:
        return nn.Parameter(torch.empty(*shape, device=device, dtype=kind))
    except (RuntimeError, TypeError, ValueError, AssertionError, MemoryError) as error:
        # RuntimeError: no memory, or no such device; AssertionError: a build without it
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TorchliquidError(
            f"cannot make {name} {shape} on device {short_repr(device)}: {reason[:160]}"
        ) from error
