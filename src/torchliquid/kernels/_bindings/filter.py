"""Likelihoods of oscillators that correct themselves, by the native kernel: both directions."""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional._oscillator_filter import Belief, Filtered, oscillator_filter
from torchliquid.kernels import _library as library
from torchliquid.kernels._buffers import SavedBuffer
from torchliquid.kernels._sequence import grad_with_graph

_HEAD, _VIEWS = f"{library.SIZES}4q", 15


def likelihoods(
    x: Tensor,
    dt: Tensor,
    observed: Tensor,
    frequency: Tensor,
    decay: Tensor,
    spread: Tensor,
    noise: Tensor,
) -> tuple[Tensor, Tensor]:
    """Errors and variances ``(B, L)``; ``observed`` holds 1 and 0 in the type of x."""
    given = (x, dt, observed, frequency, decay, spread, noise)
    if library.wants_graph(*given):
        return _Filter.apply(*given)  # type: ignore[no-any-return, no-untyped-call]
    errors, variances, _ = _forward(*library.readable(*given), keep=False)
    return errors, variances


def _in_torch(
    x: Tensor,
    dt: Tensor,
    observed: Tensor,
    frequency: Tensor,
    decay: Tensor,
    spread: Tensor,
    noise: Tensor,
) -> tuple[Tensor, Tensor]:
    found = oscillator_filter(x, dt, observed > 0, frequency, decay, spread, noise)
    return found.errors, found.variances


def run(given: tuple[Tensor, ...], start: Belief | None) -> Filtered:
    """The whole of `oscillator_filter`, without gradients; arguments as of `likelihoods`."""
    read = library.readable(*given)
    x, frequency = read[0], read[3]
    (B, L), K = x.shape, frequency.shape[1]
    errors, variances = x.new_empty(B, L), x.new_empty(B, L)
    states, last = x.new_empty(B, L, 2 * K), x.new_zeros(B, 4 * K * K + 6 * K)
    before = None if start is None else _packed(start)
    _call("filter_forward", read, None, _views(read, errors, variances), (states, before, last))
    return Filtered(_complex(states), errors, variances, _unpacked(last, K))


def _complex(t: Tensor) -> Tensor:
    """``(..., K)`` of real parts and behind them imaginary ones ``(..., 2 K)``."""
    return torch.complex(*(part.contiguous() for part in t.chunk(2, -1)))


def _packed(belief: Belief) -> Tensor:
    """What is known, as the kernel has it ``(B, 4 K K + 6 K)``."""
    state, (C, R) = belief
    matrices = [part.flatten(1) for t in (C, R) for part in (t.real, t.imag)]
    rest = torch.zeros_like(state.real).repeat(1, 4)
    return torch.cat([*matrices, state.real, state.imag, rest], 1).contiguous()


def _unpacked(last: Tensor, K: int) -> Belief:
    matrices = last[:, : 4 * K * K].unflatten(1, (2, 2, K, K))
    covariance = torch.complex(matrices[:, :, 0].contiguous(), matrices[:, :, 1].contiguous())
    state = _complex(last[:, 4 * K * K : 4 * K * K + 2 * K])
    return Belief(state, covariance.transpose(0, 1))


def _forward(*given: Tensor, keep: bool) -> tuple[Tensor, Tensor, SavedBuffer | None]:
    x, frequency = given[0], given[3]
    (B, L), K = x.shape, frequency.shape[1]
    errors, variances = x.new_empty(B, L), x.new_empty(B, L)
    kept = SavedBuffer(x, B * L * (4 * K * K + 6 * K)) if keep else None
    _call("filter_forward", given, kept, _views(given, errors, variances))
    return errors, variances, kept


def _views(given: tuple[Tensor, ...], errors: Tensor, variances: Tensor) -> list[library.View]:
    x, dt, observed, frequency, decay, spread, noise = given
    rows = [_row(t) for t in (x, dt, observed)]
    values = [_vector(t) for t in (frequency, decay, spread, noise.unsqueeze(-1))]
    return [*rows, *values, _row(errors), _row(variances)]


def _row(t: Tensor) -> library.View:
    """``(B, L)``."""
    batch, row = t.stride()
    return t.data_ptr(), 0, batch, row, 0


def _vector(t: Tensor) -> library.View:
    """``(B, K)``."""
    batch, item = t.stride()
    return t.data_ptr(), 0, batch, 0, item


def _call(
    name: str,
    given: tuple[Tensor, ...],
    kept: SavedBuffer | None,
    views: list[library.View],
    memory: tuple[Tensor | None, ...] = (None, None, None),
) -> None:
    x, K = given[0], given[3].shape[1]
    sizes = (x.itemsize, torch.get_num_threads(), 0, 1, *x.shape, 1, K, 1)
    addresses = [0 if kept is None else kept.tensor.data_ptr()]
    addresses += [0 if t is None else t.data_ptr() for t in memory]
    library.loaded().call(name, library.arguments(_HEAD, (*sizes, *addresses), views, _VIEWS))


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor]:
        errors, variances, ctx.kept = _forward(*library.readable(*given), keep=True)
        library.save_for_backward(ctx, *given, errors, variances)
        return errors, variances

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        *given, errors, variances = library.saved_for_backward(ctx)
        needs = ctx.needs_input_grad
        # of samples, times and masks the kernel has no gradient
        if any(needs[:3]) or not library.reads_gradients(*grads):
            return tuple(grad_with_graph(_in_torch, given, needs, grads))
        read = library.readable(*grads, *given, errors, variances)
        first, second, *given, errors, variances = read
        found = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in given[3:]]
        views = _views(tuple(given), errors, variances)
        views += [_row(first), _row(second), *map(_vector, found[:3])]
        views.append(_vector(found[3].unsqueeze(-1)))
        _call("filter_backward", tuple(given), ctx.kept, views)
        return None, None, None, *found
