"""A dt beside a layer's time constants: stamps are refused, a wrong unit is said."""

import warnings

import torch
from torch import Tensor

from torchliquid.errors import TimeUnitWarning, TorchliquidError

STAMP = 1e8
"""Seconds since 1970 are more since 1973; milliseconds since 1970 all the more."""
FAR = 1000.0
"""So many times a time constant, or that part of it, no sample's dt should be."""


def check_no_stamps(dt: Tensor, along: int) -> None:
    """Check that dt, time running along a dimension, does not hold the times themselves.

    Raises:
        TorchliquidError: it does, by all looks: large numbers that never fall and hardly grow.
    """
    if dt.shape[along] < 3:
        return
    first, last = dt.select(along, 0), dt.select(along, -1)
    grows = bool((dt.diff(dim=along) >= 0).all()) and bool((last > first).all())
    if grows and float(dt.min()) >= STAMP and bool((last < 2 * first).all()):
        raise TorchliquidError(
            f"dt goes from {float(first.flatten()[0]):.10g} to {float(last.flatten()[0]):.10g} "
            "without ever falling: these are times, not times between samples; give "
            "dt_from_timestamps(t)"
        )


def warn_of_unit(dt: Tensor, tau: Tensor, name: str) -> None:
    """Warn where every dt is a thousand times above, or below, all of a layer's time constants."""
    positive = dt[dt > 0]
    if not positive.numel() or not tau.numel():
        return
    least, most = float(positive.min()), float(positive.max())
    fastest, slowest = float(tau.min()), float(tau.max())
    if least > FAR * slowest:
        why = f"at least {least:.4g}, and the {name} forgets within {slowest:.3g}: it remembers "
        what = "nothing from one sample to the next"
    elif most < fastest / FAR:
        why = f"at most {most:.4g}, and the {name} moves within {fastest:.3g}: its state hardly "
        what = "moves"
    else:
        return
    warnings.warn(
        f"dt is {why}{what}. Give time in another unit, such as the median of the gaps "
        "(dt / dt.median()): about 0.1 to 10 trains well",
        TimeUnitWarning,
        stacklevel=2,
    )


def readable(tensor: Tensor) -> bool:
    """Return whether a tensor's values can be looked at: not in compiled or transformed code."""
    return not (
        torch.compiler.is_compiling()
        or tensor.is_meta
        or not tensor.numel()
        or tensor.is_complex()
        or tensor.dtype == torch.bool
        or torch._C._functorch.peek_interpreter_stack() is not None
    )
