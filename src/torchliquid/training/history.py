"""What a training was like."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid import kernels

ENDS = ("interrupted", "ended", "stopped", "diverged")
"""What became of a lane, in the order of the kernels' numbers."""


@dataclass(frozen=True)
class History:
    """What a training was like. Of a pack, everything has lanes ``S``; of a model, none.

    Args:
        loss: ``(epochs,)`` or ``(epochs, S)``, of the weights before each epoch's steps; NaN where
            a lane had ended.
        validation: alike, of the weights after each epoch; None without a validation.
        epochs: how many were done.
        best_epoch: after how many the validation was best; the weights are those. None without.
        best: the loss of that validation.
        ends: ``"ended"`` after all epochs, ``"stopped"`` by patience, ``"diverged"``, or
            ``"interrupted"``.
        engine: ``"native"``, or ``"torch: "`` and why.
        seconds: of the training, by the clock.
    """

    loss: Tensor
    validation: Tensor | None
    epochs: Any
    best_epoch: Any
    best: Any
    ends: Any
    engine: str
    seconds: float


def history_of(
    lanes: kernels.Lanes,
    single: bool,
    epoch: int,
    losses: list[NDArray[np.float64]],
    valid: list[NDArray[np.float64]] | None,
    engine: str,
    seconds: float,
) -> History:
    """The history of a training after some epochs; of a single model without lanes."""
    done = np.where(np.isin(lanes.states, (kernels.STOPPED, kernels.DIVERGED)),
                    lanes.end_epoch, np.minimum(epoch, lanes.most_epochs))  # fmt: skip
    whole = (lanes.states == kernels.TRAINING) & (done >= lanes.most_epochs)
    ends = [ENDS[state] for state in np.where(whole, kernels.ENDED, lanes.states)]

    def curves(parts: list[NDArray[np.float64]]) -> Tensor:
        joined = torch.from_numpy(np.concatenate([np.empty((0, len(ends))), *parts]))
        return joined[:, 0] if single else joined

    def of(values: NDArray[Any]) -> Any:
        return values[0].item() if single else torch.from_numpy(values.copy())

    return History(
        curves(losses),
        None if valid is None else curves(valid),
        of(done),
        None if valid is None else of(lanes.best_epoch),
        None if valid is None else of(lanes.best),
        ends[0] if single else ends,
        engine,
        seconds,
    )
