"""Missing samples, and features that are missing of those that did.

A missing sample is skipped: the state, and with it the output, stays as it was, and the
time before it counts as time before the next one that did. A feature that is missing holds the last
value of it observed in that row, 0 before the first: the mean, where inputs are standardised. What
stands where nothing was observed, NaN too, reaches no output and no gradient.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchliquid._checks import check_device, check_flag, check_tensor
from torchliquid.errors import TorchliquidError
from torchliquid.nn._interface import BatchFirst, Interface


def fill_missing(
    x: Tensor,
    observed: Tensor | None = None,
    *,
    indicator: bool = False,
    batch_first: bool = False,
) -> Tensor:
    """Fill missing values with the last one observed; add which were observed as features.

    Layers fill by themselves where a call gets ``observed``. This is for a layer that
    must also see what is missing: give it the result, and 2 I for its input_size.

    Args:
        x: ``(L, I)`` or ``(L, B, I)``, with ``batch_first`` ``(B, L, I)``.
        observed: which values were observed, like x; None: those that are not NaN.
        indicator: whether to append, for each feature, 1 where it was observed and 0 elsewhere.
        batch_first: the layout of a batch.

    Returns:
        Like x, with I features or 2 I.

    Raises:
        TorchliquidError: an x that is no batch or row of real numbers, another shape or type.

    >>> x = torch.tensor([[1.0], [torch.nan], [3.0]])
    >>> fill_missing(x, indicator=True)
    tensor([[1., 1.],
            [1., 0.],
            [3., 1.]])
    """
    check_tensor("x", x, "(L, I), (L, B, I) or (B, L, I)")
    if x.dim() not in (2, 3) or not x.is_floating_point():
        raise TorchliquidError(
            f"x has shape {tuple(x.shape)} and {x.dtype}: expected floating-point numbers, (L, I), "
            "(L, B, I) or (B, L, I)"
        )
    arrived = ~x.isnan() if observed is None else observed
    check_mask(arrived, x, (tuple(x.shape),), f"{tuple(x.shape)}")
    time = 1 if check_flag("batch_first", batch_first) and x.dim() == 3 else 0
    held = _forward_fill(x, arrived, time)
    if not check_flag("indicator", indicator):
        return held
    return torch.cat([held, arrived.to(x.dtype)], dim=-1)


class Skipped(NamedTuple):
    """Rows without the missing samples, and the way back; batch first.

    Args:
        given: the rows, observed samples first.
        ends: how many of each row were observed.
        arrived: which samples did, ``(B, L)``.
    """

    given: BatchFirst
    ends: Tensor
    arrived: Tensor

    def scatter_back(self, outputs: Tensor, before: list[Tensor]) -> Tensor:
        """Outputs at every sample; where none was observed, those of the state as it was.

        ``before`` is what the initial state outputs, ``(B, W)``, forwards and maybe backwards,
        whose outputs stand side by side.
        """
        count = self.arrived.cumsum(-1)
        latest, following = count - 1, count - self.arrived.long()
        parts = outputs.chunk(len(before), dim=-1)
        spread = [_taken(parts[0], latest, latest >= 0, before[0])]
        if len(before) == 2:
            there = following < self.ends[:, None]
            spread.append(_taken(parts[1], following, there, before[1]))
        return spread[0] if len(spread) == 1 else torch.cat(spread, dim=-1)

    def at_samples(self, tau: Tensor) -> Tensor:
        """Values ``(*, B, L, F)`` at the observed samples, NaN at the others."""
        index = (self.arrived.cumsum(-1) - 1).clamp(min=0).unsqueeze(-1)
        taken = tau.gather(-2, index.expand(tau.shape))
        return taken.masked_fill(~self.arrived.unsqueeze(-1), torch.nan)


def check_observed(interface: Interface, x: Tensor, observed: Any) -> Tensor:
    """The mask laid out batch first: ``(B, L)`` or ``(B, L, I)``; one for all lanes of a pack.

    Raises:
        TorchliquidError: another type, shape or device.
    """
    shape = x.shape[-3:]
    shapes = tuple(shape[:-1]), tuple(shape)
    expected = f"{shapes[0]}, for samples, or {shapes[1]}, for their features"
    mask = check_mask(observed, x, shapes, expected)
    if x.dim() == 2:
        return mask.unsqueeze(0)
    return mask if interface.batch_first else mask.transpose(0, 1)


def check_mask(
    observed: Any, x: Tensor, shapes: tuple[tuple[int, ...], ...], expected: str
) -> Tensor:
    """A mask of one of these shapes.

    Raises:
        TorchliquidError: another type, shape or device.
    """
    mask = check_tensor("observed", observed, f"of booleans {expected}")
    if mask.dtype != torch.bool or tuple(mask.shape) not in shapes:
        raise TorchliquidError(
            f"observed has shape {tuple(mask.shape)} and {mask.dtype}: expected booleans {expected}"
        )
    check_device("observed", mask, x.device, "x")
    return mask


def compact_observed(call: BatchFirst, observed: Tensor, ends: Tensor | None) -> Skipped:
    """Rows of the observed samples.

    Args:
        call: x ``(*S, B, L, I)``, state, dt.
        observed: ``(B, L)`` or ``(B, L, I)``.
        ends: how many samples of each row are real; None: all.
    """
    x, dt = call.x, call.dt
    B, L = observed.shape[:2]
    if observed.dim() == 3:
        x = _forward_fill(x, observed, -2)
        observed = observed.any(-1)
    else:
        x = x.masked_fill(~observed.unsqueeze(-1), 0.0)
    if ends is not None:
        observed = observed & (torch.arange(L, device=x.device) < ends[:, None])
    if not isinstance(dt, Tensor):
        dt = call.state.new_full((B, L), dt) if isinstance(call.state, Tensor) else dt
    order = torch.argsort(~observed, dim=-1, stable=True)
    # each sample's time goes to the first that arrives from it on, as a sum without differences
    heir = observed.cumsum(-1) - observed.long()
    assert isinstance(dt, Tensor)  # noqa: S101 - for the type checker
    none = dt.new_zeros(*dt.shape[:-1], L + 1)
    times = none.scatter_add(-1, heir.expand(dt.shape), dt)[..., :L]
    count = observed.sum(-1)
    after = torch.arange(L, device=x.device) >= count[:, None]
    rows = x.gather(-2, order.unsqueeze(-1).expand(x.shape))
    return Skipped(BatchFirst(rows, call.state, times.masked_fill(after, 0.0)), count, observed)


def _forward_fill(x: Tensor, arrived: Tensor, time: int) -> Tensor:
    shape = [1] * arrived.dim()
    shape[time] = x.shape[time]
    steps = torch.arange(x.shape[time], device=x.device).view(shape)
    latest = torch.where(arrived, steps, -1).cummax(dim=time).values
    clean = x.masked_fill(~arrived, 0.0)
    return clean.gather(time, latest.clamp(min=0).expand(x.shape))


def _taken(outputs: Tensor, index: Tensor, there: Tensor, otherwise: Tensor) -> Tensor:
    gathered = index.clamp(0, outputs.shape[-2] - 1).unsqueeze(-1).expand(outputs.shape)
    return torch.where(there.unsqueeze(-1), outputs.gather(-2, gathered), otherwise.unsqueeze(-2))
