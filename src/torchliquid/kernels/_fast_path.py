"""Calls of layers, models and packs that are validated, straight to the native kernels.

A small model's step takes a kernel some 20 us; checking and laying out every argument of a call in
Python takes 100. What is looked at here is just enough to know that those checks would pass and
change nothing. Everything else takes the slow path, which gives the same result or the error.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchliquid._checks import longest_interval
from torchliquid.kernels._bindings import layers
from torchliquid.kernels._bindings.layers import Plan
from torchliquid.kernels._bindings.stages import KernelCell

_LIMITS = {
    dtype: (torch.finfo(dtype).tiny, longest_interval(dtype))
    for dtype in (torch.float32, torch.float64)
}


def run_layers(
    cell: KernelCell,
    num_layers: int,
    directions: int,
    weights: Sequence[Any],
    readout: tuple[Any, Any] | None,
    batch_first: bool,
    x: Any,
    h0: Any,
    dt: Any,
    lengths: Any,
    observed: Any,
    slow: Callable[..., Any],
) -> tuple[Tensor, Any] | None:
    """A call as `LiquidLayer.forward` documents it, with a readout `SequenceModel`'s.

    Args:
        cell: what runs.
        num_layers: of the stack.
        directions: one or two.
        weights: parameters of every layer and direction in torch's order; absent biases are None.
            With a leading dimension they are those of a pack.
        readout: weight and bias, or None.
        batch_first: layout of what follows.
        x: see the layer, like all up to observed.
        h0: the initial state; of an LSTM a pair.
        dt: a float, or a tensor.
        lengths: samples of each row, or None.
        observed: which samples, or features, were observed, or None.
        slow: see `layers.run`.

    Returns:
        Outputs and the last state; None, and nothing done, where an argument is not quite what the
        kernels take.
    """
    if type(x) is not Tensor or x.is_nested or _watched():
        return None
    limits = _LIMITS.get(x.dtype)
    if limits is None or x.layout is not torch.strided or not x.is_cpu or not x.numel():
        return None
    if x.dim() == 2 and lengths is None and weights[1] is not None and weights[1].dim() == 2:
        row = (_unsqueezed(x, 0), _unsqueezed(h0, -2), _unsqueezed(dt, 0), None)
        inputs = (*row, _unsqueezed(observed, 0), slow)
        done = run_layers(cell, num_layers, directions, weights, readout, True, *inputs)
        return None if done is None else (done[0].squeeze(0), done[1].squeeze(-2))
    if x.dim() < 3:
        return None
    if readout is not None:
        if readout[0] is None or readout[1] is None:
            return None
        if lengths is not None and not (cell.kernel == "ltc" and directions == 1):
            return None  # states are not read out in the kernel, that knows what is padded
        weights = (*weights, *readout)
    lead = _checked_weights(cell, num_layers, directions, weights, x, readout is not None)
    if lead is None:
        return None
    dims, hidden = x.dim(), weights[1].shape[-1]
    if dims != 3 and not (dims == 4 and lead and x.shape[0] == lead[0]):
        return None
    sequence = x if batch_first else x.transpose(-3, -2)
    *_, B, L, I = sequence.shape
    shape = (*lead, num_layers * directions, B, hidden)
    states = _states(cell, h0, shape, x)
    interval, times = 1.0, None
    if type(dt) is float:
        if not limits[0] * cell.unfolds < dt < limits[1]:
            return None
        interval = dt
    else:
        times = _times(dt, x, (B, L), lead, batch_first)
    if states is None or (times is None and type(dt) is not float):
        return None
    if lengths is not None and not (
        _is_ordinary(lengths, torch.int64) and lengths.shape == (B,) and B
    ):
        return None
    if observed is not None:
        if not _is_ordinary(observed, torch.bool) or observed.dim() not in (2, 3):
            return None
        observed = observed if batch_first else observed.transpose(0, 1)
        if observed.shape not in ((B, L), (B, L, I)):
            return None
    plan = Plan(cell, num_layers, directions, interval, readout is not None)
    given = (sequence, *states, times, observed, lengths)
    try:
        y, *last = layers.run(plan, given, weights, slow)
    except layers.InvalidValueError:
        return None
    if not batch_first:
        y = y.transpose(-3, -2)
    # callers view a layer's outputs; a pack's would cost a copy of all lanes
    return (y if lead else y.contiguous()), (last[0] if cell.states == 1 else tuple(last))


def _checked_weights(
    cell: KernelCell,
    num_layers: int,
    directions: int,
    weights: Sequence[Any],
    x: Tensor,
    reads: bool,
) -> tuple[int, ...] | None:
    """The lanes of the weights, which fit each other and x; None if they do not."""
    first, dtype = weights[1], x.dtype
    if type(first) is not torch.nn.Parameter or first.dim() not in (2, 3):
        return None
    lead, H = tuple(first.shape[:-2]), first.shape[-1]
    rows = H * (1 if cell.kernel == "ltc" else 3 + (cell.states == 2))
    vectors = [(*lead, rows)] * (1 if cell.kernel == "ltc" else 2) + [(*lead, H)] * 2
    optional = 3 if cell.kernel == "ltc" else 4
    count = cell.weights
    for index in range(num_layers * directions):
        features = x.shape[-1] if index < directions else H * directions
        shapes = [(*lead, rows, features), (*lead, rows, H), *vectors]
        for k in range(count):
            w = weights[index * count + k]
            if w is None:
                if not 2 <= k < optional:
                    return None
            elif (
                type(w) is not torch.nn.Parameter
                or w.dtype is not dtype
                or w.shape != shapes[k]
                or not w.is_cpu
            ):
                return None
    if reads:
        weight, bias = weights[-2:]
        kinds = (type(weight), type(bias))
        if kinds != (torch.nn.Parameter, torch.nn.Parameter) or weight.dim() != first.dim():
            return None
        shapes = [(*lead, weight.shape[-2], H * directions), (*lead, weight.shape[-2])]
        for w, shape in ((weight, shapes[0]), (bias, shapes[1])):
            if w.dtype is not dtype or w.shape != shape or not w.is_cpu:
                return None
    return lead


def _states(
    cell: KernelCell, h0: Any, shape: tuple[int, ...], x: Tensor
) -> tuple[Tensor, Tensor | None] | None:
    if h0 is None:
        zeros = x.new_zeros(shape)
        return zeros, (zeros if cell.states == 2 else None)
    parts = h0 if cell.states == 2 and isinstance(h0, tuple) else (h0,)
    if len(parts) != cell.states:
        return None
    for part in parts:
        if not _is_ordinary(part, x.dtype) or part.shape != shape:
            return None
    return parts[0], (parts[1] if cell.states == 2 else None)


def _times(
    dt: Any, x: Tensor, rows: tuple[int, int], lead: tuple[int, ...], batch_first: bool
) -> Tensor | None:
    """A tensor of dt laid out batch first."""
    if not _is_ordinary(dt, x.dtype) or not dt.dim():
        return None
    if dt.dim() == 1:
        return dt.expand(rows) if dt.shape == rows[1:] else None
    if dt.shape[-1] == 1 and dt.shape == (*x.shape[:-1], 1):
        dt = dt.squeeze(-1)
    dt = dt if batch_first else dt.transpose(-2, -1)
    return dt if dt.shape in (rows, (*lead, *rows)) else None


def _unsqueezed(value: Any, dim: int) -> Any:
    return value.unsqueeze(dim) if type(value) is Tensor else value


def _is_ordinary(t: Any, dtype: torch.dtype) -> bool:
    """Whether it is a dense tensor of this type on the CPU, with memory of its own."""
    return (
        type(t) is Tensor
        and not t.is_nested
        and t.layout is torch.strided
        and t.dtype is dtype
        and t.is_cpu
    )


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
