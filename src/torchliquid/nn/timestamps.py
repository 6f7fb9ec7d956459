"""From the times of samples to the time before each."""

from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchliquid._checks import check_interval, check_tensor
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr
from torchliquid.nn._parameters import DTYPES

NANOSECONDS = {
    "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "m": 6e10, "h": 3.6e12, "D": 8.64e13, "W": 6.048e14
}  # fmt: skip
"""In each unit of dates that has a fixed length."""

_EXPECTED = "a tensor, an array of numbers or of datetime64, or a pandas index or series"


def dt_from_timestamps(
    t: Any,
    first: float | None = None,
    *,
    unit: str | None = None,
    dim: int = -1,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The time before each sample, as layers take it, from the times of the samples.

    Differences are taken in double precision, or in whole nanoseconds for dates, before they are
    rounded to ``dtype``: stamps in seconds since 1970 keep their fractions.

    Args:
        t: times along ``dim``, in order, such as ``(B, L)`` or ``(L,)``: a tensor, a NumPy array
            (``datetime64`` too), or a pandas ``DatetimeIndex`` or ``Series``. Padding repeats the
            last time: no time passes.
        first: time before the first sample, which no stamp gives; None: the median of all
            intervals that are not 0.
        unit: ``"median"``: dt is in units of the median of all intervals that are not 0, which is
            what trains well; of dates also ``"s"``, ``"h"`` or ``"D"``. Numbers have their own.
        dim: along which time runs.
        dtype: of the result; None: that of ``t`` if it is a floating-point tensor, else torch's
            default.

    Returns:
        dt, shaped like ``t``.

    Raises:
        TorchliquidError: times that run backwards, are missing or not finite; dates without a
            unit; a first interval that cannot be known.

    >>> dt_from_timestamps(torch.tensor([10.0, 10.5, 12.0, 12.5]))
    tensor([0.5000, 0.5000, 1.5000, 0.5000])
    >>> dt_from_timestamps(torch.tensor([0.0, 300.0, 900.0, 1200.0]), unit="median")
    tensor([1., 1., 2., 1.])
    >>> dates = np.array(["2026-01-01T00:00", "2026-01-01T06:00"], dtype="datetime64[m]")
    >>> dt_from_timestamps(dates, first=1, unit="h")
    tensor([1., 6.])
    """
    device = t.device if isinstance(t, Tensor) else None
    if dtype is None:
        dtype = t.dtype if isinstance(t, Tensor) else torch.get_default_dtype()
        dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype) or dtype not in DTYPES:
        raise TorchliquidError(
            f"dtype is {short_repr(dtype)}: give a floating-point type of torch, e.g. torch.float32"
        )
    if not isinstance(dim, Integral) or isinstance(dim, bool):
        raise TorchliquidError(f"dim is {short_repr(dim)}: give the number of a dimension of t")
    times, scale = _numbers(t, unit)
    if times.ndim == 0 or not -times.ndim <= dim < times.ndim or times.shape[dim] == 0:
        raise TorchliquidError(
            f"t has shape {times.shape}: expected at least one sample along dimension {dim}"
        )
    gaps = np.diff(times, axis=dim).astype(np.float64) / scale
    if (gaps < 0).any():
        where = tuple(int(k) for k in np.argwhere(gaps < 0)[0])
        raise TorchliquidError(
            f"t runs backwards between two samples (the first such interval is at {where}): sort "
            "the samples by time, or repeat the last time where they are padding"
        )
    as_median = isinstance(unit, str) and unit == "median"
    if first is None or as_median:
        if not (gaps > 0).any():
            raise TorchliquidError(
                "no interval of t is longer than 0, so the one before the first sample "
                "cannot be known: give first, and no unit of 'median'"
            )
        before = float(np.median(gaps[gaps > 0]))
        if as_median:
            gaps, before = gaps / before, 1.0
    if first is not None:
        before = check_interval(first, dtype)
    shape = list(times.shape)
    shape[dim] = 1
    dt = np.concatenate([np.full(shape, before), gaps], axis=dim)
    return torch.from_numpy(dt).to(device=device, dtype=dtype)


def _numbers(t: Any, unit: str | None) -> tuple[np.ndarray[Any, np.dtype[Any]], float]:
    """Times as numbers, and how many of theirs make one of dt's unit."""
    array = _of_tensor(t) if isinstance(t, Tensor) else _array(t)
    if array.dtype.kind == "M":
        if unit is None:
            raise TorchliquidError("t holds dates: give unit, of dt, such as 's', 'h' or 'D'")
        if np.isnat(array).any():
            raise TorchliquidError("t holds dates that are missing (NaT): fix or drop them")
        if not isinstance(unit, str) or unit not in (*NANOSECONDS, "median"):
            raise TorchliquidError(
                f"unit is {short_repr(unit)}: give 'median', or one of a fixed length: "
                f"{', '.join(NANOSECONDS)} (m: minutes)"
            )
        return array.astype("datetime64[ns]").astype(np.int64), NANOSECONDS.get(unit, 1.0)
    if unit is not None and not (isinstance(unit, str) and unit == "median"):
        raise TorchliquidError(
            f"unit is {short_repr(unit)}, but t holds numbers: leave it out, or give 'median'"
        )
    if array.dtype.kind not in "iuf":
        raise TorchliquidError(f"t holds {array.dtype}: expected {_EXPECTED}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise TorchliquidError("t holds times that are not finite: fix or drop them")
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
    return array.astype(np.int64) if array.dtype.kind == "u" else array, 1.0


def _of_tensor(t: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    t = check_tensor("t", t, "of times")
    if t.is_meta:
        raise TorchliquidError("t is on the meta device, without any times: give a real tensor")
    return np.asarray(
        (t.double() if t.is_floating_point() else t).detach().cpu().resolve_neg().numpy()
    )


def _array(t: Any) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        zone = getattr(getattr(t, "dt", t), "tz", None)
        if zone is not None:  # pandas: an array of moments, not of local times
            clock = getattr(t, "dt", t).tz_convert("UTC")
            t = getattr(clock, "dt", clock).tz_localize(None)
        return np.asarray(t)
    except Exception as error:  # whatever a caller's object raises when it is read
        raise TorchliquidError(f"t is {short_repr(t)}: expected {_EXPECTED}") from error
