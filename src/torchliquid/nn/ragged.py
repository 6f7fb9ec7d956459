"""Rows of unlike lengths: padded tensors with their lengths, and torch's `PackedSequence`.

A padded step is none: it is 0 in the output, as `torch.nn.utils.rnn.pad_packed_sequence` has it,
the last state of a row is that after its last real sample, and whatever stands in the padding, NaN
too, reaches neither an output nor a gradient.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from torchliquid.checks import check_tensor, shown
from torchliquid.errors import TorchliquidError
from torchliquid.nn.interface import Interface

Run = Callable[[Tensor, Any, Any], tuple[Tensor, Tensor]]
"""From x, h0 and dt to states and the last state, all rows of one length."""


class _Padded(NamedTuple):
    x: Tensor
    dt: Any
    lengths: Tensor


def run_padded(
    run: Run, interface: Interface, x: Tensor, h0: Any, dt: Any, lengths: Any
) -> tuple[Tensor, Tensor]:
    """States and last state of padded rows.

    Args:
        run: the layer over rows of one length.
        interface: of the layer.
        x: ``(L, B, I)``, with ``batch_first`` ``(B, L, I)``.
        h0: see the layer.
        dt: see the layer; what stands at padded steps plays no part.
        lengths: ``(B,)`` whole numbers from 1 to L, a tensor or a list.

    Raises:
        TorchliquidError: lengths that do not fit.
    """
    interface.check(x, h0, None)
    if x.dim() != 3:
        raise TorchliquidError(
            f"lengths was given for x of shape {tuple(x.shape)}: it is for batches of rows"
        )
    time = 1 if interface.batch_first else 0
    B, L = x.shape[1 - time], x.shape[time]
    many = _checked(lengths, B, L).to(x.device)
    steps = torch.arange(L, device=x.device)
    real = steps < many[:, None] if interface.batch_first else steps[:, None] < many
    padding = ~real.unsqueeze(-1)
    if isinstance(dt, Tensor) and dt.shape[:2] == real.shape:
        # any time will do, if it is one: what comes of it is dropped
        dt = torch.where(real if dt.dim() == 2 else real.unsqueeze(-1), dt, torch.ones_like(dt))
    states, _ = run(x.masked_fill(padding, 0.0), h0, dt)
    ends = (many - 1).view(*((B, 1) if interface.batch_first else (1, B)), 1)
    last = states.gather(time, ends.expand(*ends.shape[:2], states.shape[-1])).squeeze(time)
    return states.masked_fill(padding, 0.0), last.unsqueeze(0)


def run_packed(
    run: Run, interface: Interface, x: PackedSequence, h0: Any, dt: Any
) -> tuple[PackedSequence, Tensor]:
    """The same of a packed sequence, which comes back packed alike.

    ``h0``, and the last state, are in the order of the rows before they were sorted, as `nn.LSTM`
    has them. ``dt`` is packed alike, with one feature or none, or padded as `pad_packed_sequence`
    would, or a number.

    Raises:
        TorchliquidError: dt that is packed otherwise.
    """
    padded = _unpacked(x, dt, interface.batch_first)
    states, last = run_padded(run, interface, padded.x, h0, padded.dt, padded.lengths)
    order = x.sorted_indices
    batch = 0 if interface.batch_first else 1
    lengths = padded.lengths
    if order is not None:
        states = states.index_select(batch, order)
        lengths = lengths[order.cpu()]
    packed = pack_padded_sequence(states, lengths, batch_first=interface.batch_first)
    return PackedSequence(packed.data, x.batch_sizes, order, x.unsorted_indices), last


def _unpacked(x: PackedSequence, dt: Any, batch_first: bool) -> _Padded:
    sequence, lengths = pad_packed_sequence(x, batch_first=batch_first)
    if isinstance(dt, PackedSequence):
        if not torch.equal(dt.batch_sizes, x.batch_sizes):
            raise TorchliquidError(
                "dt is packed with other lengths than x: pack both with the same ones"
            )
        dt, _ = pad_packed_sequence(dt, batch_first=batch_first)
        if dt.dim() == 3 and dt.shape[-1] != 1:
            raise TorchliquidError(f"dt is packed with {dt.shape[-1]} features: give one a sample")
        dt = dt.squeeze(-1) if dt.dim() == 3 else dt
    return _Padded(sequence, dt, lengths)


def _checked(lengths: Any, B: int, L: int) -> Tensor:
    expected = f"{B} whole numbers from 1 to {L}, one for each row"
    if isinstance(lengths, Tensor):
        check_tensor("lengths", lengths, f"of {expected}")
    try:
        many = torch.as_tensor(lengths)
    except Exception as error:  # whatever somebody's own object raises when it is read
        raise TorchliquidError(f"lengths is {shown(lengths)}: expected {expected}") from error
    if many.is_meta:
        raise TorchliquidError(f"lengths is on the meta device: expected {expected}")
    whole = not (many.is_floating_point() or many.is_complex() or many.dtype == torch.bool)
    if not whole or many.shape != (B,):
        raise TorchliquidError(
            f"lengths has shape {tuple(many.shape)} and {many.dtype}: expected {expected}"
        )
    if B and not bool(((many >= 1) & (many <= L)).all()):
        raise TorchliquidError(
            f"lengths holds {int(many.min())} to {int(many.max())}: expected {expected}"
        )
    return many.long()
