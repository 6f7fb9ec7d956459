"""Calls of an LTC that are validated, straight to the native kernel.

A small model's step takes the kernel some 20 us; checking and laying out every argument of a call
in Python takes 100. What is looked at here is just enough to know that those checks would pass and
change nothing. Everything else takes the slow path, which gives the same result or the error.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchliquid._checks import longest_interval
from torchliquid.kernels._bindings import ltc as native_ltc

Weights = tuple[Any, Any, Any, Any, Any]
Readout = tuple[Any, Any]

_FIXED = frozenset(native_ltc.SOLVERS) - {"euler"}
"""Solvers that have nothing to say of a long step."""
_LIMITS = {
    dtype: (torch.finfo(dtype).tiny, longest_interval(dtype))
    for dtype in (torch.float32, torch.float64)
}


def ltc(
    x: Any,
    h0: Any,
    dt: Any,
    weights: Weights,
    solver: str,
    unfolds: int,
    batch_first: bool,
    readout: Readout | None,
) -> tuple[Tensor, Tensor] | None:
    """An LTC's call as `LiquidLayer.forward` documents it, with a readout `SequenceModel`'s.

    Weights with a leading dimension are those of a pack. None, and nothing done, where an argument
    is not quite what the kernel takes.
    """
    weight_ih, weight_hh, bias, raw_tau, target = weights
    if (
        type(x) is not Tensor
        or x.is_nested
        or type(dt) is not float
        or solver not in _FIXED
        or _watched()
    ):
        return None
    for w in weights:
        if w is not None and type(w) is not torch.nn.Parameter:
            return None
    if weight_ih is None or weight_hh is None or raw_tau is None or target is None:
        return None
    dtype = x.dtype
    limits = _LIMITS.get(dtype)
    if limits is None or not limits[0] * unfolds < dt < limits[1]:
        return None
    *lead, H, I = weight_ih.shape
    dims = x.dim()
    if dims != 3 and not (lead and dims == 4 and x.shape[0] == lead[0]):
        return None
    B = x.shape[-3 if batch_first else -2]
    vector = (*lead, H)
    shapes = [(weight_hh, (*lead, H, H)), (raw_tau, vector), (target, vector), (weight_ih, None)]
    if bias is not None:
        shapes.append((bias, vector))
    if readout is not None:
        weight, readout_bias = readout
        kinds = (type(weight), type(readout_bias))
        if kinds != (torch.nn.Parameter, torch.nn.Parameter):
            return None
        outputs = weight.shape[-2]
        shapes += [(weight, (*lead, outputs, H)), (readout_bias, (*lead, outputs))]
    if h0 is not None:
        if type(h0) is not Tensor:
            return None
        shapes.append((h0, (*lead, 1, B, H)))
    for t, shape in shapes:
        if t.dtype is not dtype or not t.is_cpu or (shape is not None and t.shape != shape):
            return None
    if x.shape[-1] != I or not x.numel() or not x.is_cpu or x.layout is not torch.strided:
        return None
    if h0 is None:
        h0 = x.new_zeros(*lead, 1, B, H)
    elif h0.layout is not torch.strided or h0.is_nested:
        return None
    sequence = x if batch_first else x.transpose(-3, -2)
    tensors = (sequence, h0, *weights)
    if readout is None:
        y, last = native_ltc.layer(*tensors, dt, solver, unfolds)
    else:
        y, last = native_ltc.model(*tensors, dt, solver, unfolds, *readout)
    if not batch_first:
        y = y.transpose(-3, -2)
    # callers view a layer's outputs; a pack's would cost a copy of all lanes
    return (y if lead else y.contiguous()), last


def _watched() -> bool:
    """Whether the call is traced, transformed or widened, or other kernels are asked for."""
    return (
        torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._is_tracing()
        or torch.is_autocast_enabled("cpu")
    )
