"""The loop over samples that every equation is run in."""

from collections.abc import Callable

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError


def over_samples(
    step: Callable[..., Tensor], state: Tensor, *sequences: Tensor
) -> tuple[Tensor, Tensor]:
    """``step(state, *samples)`` for each sample in turn.

    A loop in Python; where `torch.export` gives the length as a symbol, torch's scan operator,
    because a loop would write the length of the example into the program.

    Args:
        step: from the state ``(*S, B, H)`` and a sample ``(*S, B, F)`` of each sequence to the
            state after it.
        state: before the first.
        sequences: ``(*S, B, L, F)``, one at least.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.
    """
    if torch.compiler.is_exporting() and isinstance(sequences[0].shape[-2], torch.SymInt):
        return _scanned(step, state, sequences)
    states = []
    for samples in zip(*(sequence.unbind(-2) for sequence in sequences), strict=True):
        state = step(state, *samples)
        states.append(state)
    return torch.stack(states, dim=-2), state


def _scanned(
    step: Callable[..., Tensor], state: Tensor, sequences: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    try:
        from torch._higher_order_ops.scan import scan
    except ImportError as error:
        raise TorchliquidError(
            f"torch {torch.__version__} has no scan operator, and a loop would write the length of "
            "the example into the exported program: export with a fixed length, or use a newer "
            "torch"
        ) from error

    def both(state: Tensor, samples: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        after = step(state, *samples)
        return after, after.clone()

    first = tuple(sequence.movedim(-2, 0) for sequence in sequences)
    last, states = scan(both, state, first, dim=0)
    return states.movedim(0, -2), last
