"""A bank of resonators by the native kernel, from gates and drives on: fast in both directions."""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional.resonator import Scan, scan_states
from torchliquid.kernels import _library as library
from torchliquid.kernels._buffers import SavedBuffer
from torchliquid.kernels._sequence import grad_with_graph
from torchliquid.kernels._torch.recurrence import run_recurrence

_HEAD, _VIEWS = f"{library.SIZES}dqq", 14
_PARTS = 11


def scan(given: Scan) -> Tensor:
    """States ``(*S, B, L, 3 H)``; at most one dimension of lanes."""
    dt = given.dt if isinstance(given.dt, Tensor) else None
    interval = 0.0 if isinstance(given.dt, Tensor) else float(given.dt)
    tensors = (given.rate, given.gate, given.frequency, dt, given.drive, given.h0)
    if library.wants_graph(*tensors):
        return _Scan.apply(interval, *tensors)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(interval, *library.readable(*tensors), keep=False)[0]


def _in_torch(
    interval: float,
    rate: Tensor,
    gate: Tensor | None,
    frequency: Tensor,
    dt: Tensor | None,
    drive: Tensor,
    h0: Tensor,
) -> Tensor:
    time = interval if dt is None else dt
    return scan_states(Scan(rate, gate, frequency, time, drive, h0), run_recurrence)


def _forward(
    interval: float,
    rate: Tensor,
    gate: Tensor | None,
    frequency: Tensor,
    dt: Tensor | None,
    drive: Tensor,
    h0: Tensor,
    *,
    keep: bool,
) -> tuple[Tensor, SavedBuffer | None, int]:
    """States, what the backward pass reads beside them, and how far apart its parts lie."""
    *rows, L, H = drive.shape
    y, kept, gap = drive.new_empty(*rows, L, 3 * H), None, 0
    if keep:
        steps = 1 if dt is None and gate is None else L
        count = y.numel() // (3 * H * L)
        gap = steps * H + 2 * library.loaded().width[y.itemsize]
        kept = SavedBuffer(drive, count * _PARTS * gap)
    views = _views(rate, gate, frequency, dt, drive, h0, y)
    _call("resonator_forward", interval, drive, kept, gap, views)
    return y, kept, gap


def _backward(
    grad_y: Tensor,
    interval: float,
    rate: Tensor,
    gate: Tensor | None,
    frequency: Tensor,
    dt: Tensor | None,
    drive: Tensor,
    h0: Tensor,
    y: Tensor,
    kept: SavedBuffer,
    gap: int,
    *,
    wants_dt: bool,
) -> list[Tensor | None]:
    *rows, L, H = drive.shape
    grad_rate, grad_frequency = drive.new_empty(*rows, H), drive.new_empty(*rows, H)
    grad_gate = None if gate is None else drive.new_empty(drive.shape)
    grad_dt = drive.new_empty(*rows, L) if wants_dt else None
    grad_drive, grad_h0 = drive.new_empty(drive.shape), drive.new_empty(*rows, 3 * H)
    views = _views(rate, gate, frequency, dt, drive, h0, y)
    views += [
        _sequence(grad_y),
        _state(grad_rate),
        _sequence(grad_gate),
        _state(grad_frequency),
        _sequence(None if grad_dt is None else grad_dt.unsqueeze(-1)),
        _sequence(grad_drive),
        _state(grad_h0),
    ]
    _call("resonator_backward", interval, drive, kept, gap, views)
    return [
        grad_rate.sum(-2),
        grad_gate,
        grad_frequency.sum(-2),
        None if grad_dt is None or dt is None else grad_dt.sum_to_size(dt.shape),
        grad_drive,
        grad_h0,
    ]


def _call(
    name: str,
    interval: float,
    drive: Tensor,
    kept: SavedBuffer | None,
    gap: int,
    views: list[library.View],
) -> None:
    *lanes, B, L, H = drive.shape
    sizes = (drive.itemsize, torch.get_num_threads(), 0, *(lanes or [1]), B, L, 1, H, 1)
    numbers = (*sizes, interval, 0 if kept is None else kept.tensor.data_ptr(), gap)
    library.loaded().call(name, library.arguments(_HEAD, numbers, views, _VIEWS))


def _views(
    rate: Tensor,
    gate: Tensor | None,
    frequency: Tensor,
    dt: Tensor | None,
    drive: Tensor,
    h0: Tensor,
    y: Tensor,
) -> list[library.View]:
    return [
        _state(rate.unsqueeze(-2)),
        _sequence(gate),
        _state(frequency.unsqueeze(-2)),
        _sequence(None if dt is None else dt.unsqueeze(-1)),
        _sequence(drive),
        _state(h0),
        _sequence(y),
    ]


def _sequence(t: Tensor | None) -> library.View:
    """``(*S, B, L, F)``, where a size of 1 stands for all rows or steps."""
    if t is None:
        return library.ABSENT
    lane, batch, row, item = _strides(t, 4)
    return t.data_ptr(), lane, batch, row, item


def _state(t: Tensor) -> library.View:
    """``(*S, B, F)``."""
    lane, batch, item = _strides(t, 3)
    return t.data_ptr(), lane, batch, 0, item


def _strides(t: Tensor, dims: int) -> list[int]:
    sizes = [*t.shape[:-1], 2]
    strides = [0 if n == 1 else s for n, s in zip(sizes, t.stride(), strict=True)]
    return [0] * (dims - len(strides)) + strides


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, interval: float, *tensors: Tensor | None) -> Tensor:
        y, ctx.kept, ctx.gap = _forward(interval, *library.readable(*tensors), keep=True)
        ctx.interval = interval
        library.save_for_backward(ctx, *tensors, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        rate, gate, frequency, dt, drive, h0, y = library.saved_for_backward(ctx)
        given = (rate, gate, frequency, dt, drive, h0)
        if not library.reads_gradients(grad):
            needs = ctx.needs_input_grad
            return tuple(grad_with_graph(_in_torch, (ctx.interval, *given), needs, [grad]))
        grad, rate, gate, frequency, dt, drive, h0, y = library.readable(grad, *given, y)
        return None, *_backward(
            grad, ctx.interval, rate, gate, frequency, dt, drive, h0, y, ctx.kept, ctx.gap,
            wants_dt=ctx.needs_input_grad[4],
        )  # fmt: skip
