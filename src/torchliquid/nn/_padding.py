"""Rows of different lengths: padded tensors with their lengths, and torch's `PackedSequence`.

Padded steps are ignored: they are 0 in the output, as in `torch.nn.utils.rnn.pad_packed_sequence`.
The last state of a row is that after its last real sample; what stands in the padding, even NaN,
reaches neither an output nor a gradient.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from torchliquid._checks import check_tensor, holds_whole
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr
from torchliquid.nn._interface import Interface


class Padded(NamedTuple):
    """What was packed, padded: x, dt, how long each row is, and what was observed."""

    x: Tensor
    dt: Any
    lengths: Tensor
    observed: Any


class MaskedBatch(NamedTuple):
    """A call's arguments, with something harmless at padded steps.

    Args:
        x: see the layer.
        dt: see the layer.
        ends: real samples of each row ``(B,)``; None where all are.
        padding: which steps are padded, laid out like x with one feature.
    """

    x: Any
    dt: Any
    ends: Tensor | None = None
    padding: Tensor | None = None

    def zero_padding(self, result: Tensor, value: float = 0.0) -> Tensor:
        """A result laid out like x, with a value at padded steps."""
        return result if self.padding is None else result.masked_fill(self.padding, value)


def masked(interface: Interface, x: Any, h0: Any, dt: Any, lengths: Any) -> MaskedBatch:
    """The arguments of a call whose rows have these lengths.

    Args:
        interface: of the layer or pack.
        x: ``(*S, L, B, I)``, with ``batch_first`` ``(*S, B, L, I)``.
        h0: see the layer.
        dt: see the layer; what stands at padded steps plays no part.
        lengths: ``(B,)`` integers from 1 to L, a tensor or a list, for all lanes; None: every
            row is whole.

    Raises:
        TorchliquidError: lengths that do not fit.
    """
    if lengths is None:
        return MaskedBatch(x, dt)
    interface.check(x, h0, None)
    if x.dim() < 3:
        raise TorchliquidError(
            f"lengths was given for x of shape {tuple(x.shape)}: it is for batches of rows"
        )
    outer, inner = x.shape[-3:-1]
    B, L = (outer, inner) if interface.batch_first else (inner, outer)
    ends = check_lengths(lengths, B, L).to(x.device)
    steps = torch.arange(L, device=x.device)
    real = steps < ends[:, None] if interface.batch_first else steps[:, None] < ends
    if isinstance(dt, Tensor) and dt.dim() == 1:
        dt = dt.expand(real.shape) if interface.batch_first else dt.unsqueeze(-1).expand(real.shape)
    if isinstance(dt, Tensor) and dt.dim() > 1:
        # no time: a step that is not taken must not be warned of as too long
        if dt.shape[-2:] == real.shape:
            dt = torch.where(real, dt, torch.zeros_like(dt))
        elif dt.shape[-3:] == (*real.shape, 1):
            dt = torch.where(real.unsqueeze(-1), dt, torch.zeros_like(dt))
    padding = ~real.unsqueeze(-1)
    return MaskedBatch(x.masked_fill(padding, 0.0), dt, ends, padding)


def packed_like(
    x: PackedSequence, outputs: Tensor, lengths: Tensor, batch_first: bool
) -> PackedSequence:
    """Padded outputs, packed as x is."""
    order = x.sorted_indices
    if order is not None:
        outputs = outputs.index_select(0 if batch_first else 1, order)
        lengths = lengths[order.cpu()]
    packed = pack_padded_sequence(outputs, lengths, batch_first=batch_first)
    return PackedSequence(packed.data, x.batch_sizes, order, x.unsorted_indices)


def unpacked(x: PackedSequence, dt: Any, lengths: Any, observed: Any, batch_first: bool) -> Padded:
    """A packed sequence padded, and what goes with it, packed alike or not; rows in their order.

    Raises:
        TorchliquidError: something that is packed otherwise, or lengths beside those of x.
    """
    if lengths is not None:
        raise TorchliquidError("x is packed already, with its lengths: leave lengths out")
    sequence, lengths = pad_packed_sequence(x, batch_first=batch_first)
    if isinstance(dt, PackedSequence):
        dt = _alike("dt", dt, x, lengths, batch_first)
        if dt.dim() == 3 and dt.shape[-1] != 1:
            raise TorchliquidError(f"dt is packed with {dt.shape[-1]} features: give one a sample")
        dt = dt.squeeze(-1) if dt.dim() == 3 else dt
    if isinstance(observed, PackedSequence):
        observed = _alike("observed", observed, x, lengths, batch_first)
    return Padded(sequence, dt, lengths, observed)


def _alike(
    name: str, packed: PackedSequence, x: PackedSequence, lengths: Tensor, batch_first: bool
) -> Tensor:
    """What is packed as x is, padded. Batch sizes alone do not show which row is how long."""
    padded, packed_lengths = pad_packed_sequence(packed, batch_first=batch_first)
    if not torch.equal(packed.batch_sizes, x.batch_sizes) or not torch.equal(
        packed_lengths, lengths
    ):
        raise TorchliquidError(
            f"{name} is packed with other lengths than x, or in another order of rows: pack both "
            "from the same order, with the same lengths and the same enforce_sorted"
        )
    return padded


def check_lengths(lengths: Any, B: int, L: int) -> Tensor:
    """Real samples of B padded rows of L: integers from 1 to L ``(B,)``.

    Raises:
        TorchliquidError: another shape or type, or numbers that do not fit.
    """
    expected = f"{B} integers from 1 to {L}, one for each row"
    if isinstance(lengths, Tensor):
        check_tensor("lengths", lengths, f"of {expected}")
    try:
        counts = torch.as_tensor(lengths)
    except Exception as error:  # whatever a caller's object raises when it is read
        raise TorchliquidError(f"lengths is {short_repr(lengths)}: expected {expected}") from error
    if counts.is_meta:
        raise TorchliquidError(f"lengths is on the meta device: expected {expected}")
    if not holds_whole(counts) or counts.shape != (B,):
        raise TorchliquidError(
            f"lengths has shape {tuple(counts.shape)} and {counts.dtype}: expected {expected}"
        )
    if torch.compiler.is_compiling():
        if not torch.compiler.is_exporting():  # a compiled model looks at values as it runs
            torch._assert_async(
                ((counts >= 1) & (counts <= L)).all(), f"lengths: expected {expected}"
            )
        return counts.long()
    if B and not bool(((counts >= 1) & (counts <= L)).all()):
        raise TorchliquidError(
            f"lengths holds {int(counts.min())} to {int(counts.max())}: expected {expected}"
        )
    return counts.long()
