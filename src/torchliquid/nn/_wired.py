"""What layers over a wiring share."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchliquid._checks import check_proj_size
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr
from torchliquid.nn import _forward as calls
from torchliquid.nn.layer import LiquidLayer
from torchliquid.wirings import FullyConnected, Wiring


class WiredLayer(LiquidLayer):
    """A layer whose neurons are those of a wiring and whose outputs are its motors."""

    wiring: Wiring

    @property
    def output_size(self) -> int:
        """Features that one direction outputs: the motors."""
        return self.wiring.outputs

    def states(
        self, x: Any, h0: Tensor | None = None, dt: Any = None, lengths: Any = None
    ) -> Tensor:
        """Return the states of all H neurons after each sample; arguments as in a call.

        Raises:
            TorchliquidError: the layer has several layers or directions, whose states are many.
        """
        if not self._is_single:
            raise TorchliquidError(
                "states are those of one layer in one direction: this has several; run them one by "
                "one"
            )
        cell: Any = _AllStates(self)
        stack, weights = self.stack(self.training), self.weights()
        return calls.outputs(cell, self.interface(), stack, weights, x, h0, dt, lengths, None)[0]

    def _features(self, weights: Mapping[str, Tensor]) -> int:
        """How many inputs the layer has whose weights these are: the first one's, or outputs."""
        outputs = self.output_size * (2 if self.bidirectional else 1)
        for features in (self.input_size, outputs):
            shapes = self.shapes(features, self.hidden_size)
            if all(tuple(weight.shape) == shapes[name] for name, weight in weights.items()):
                return features
        raise AssertionError(weights.keys())


class _AllStates:
    """A layer over a wiring as a cell whose outputs are the states of all neurons."""

    def __init__(self, layer: WiredLayer) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        return states


def wiring_of(wiring: Any, proj_size: Any) -> Wiring:
    """The wiring that a layer was given; a number is one that is fully connected.

    Raises:
        TorchliquidError: it is none, or outputs are to be projected.
    """
    given: Wiring = wiring if isinstance(wiring, Wiring) else FullyConnected(wiring)
    if check_proj_size(proj_size, max(given.units, 2)):
        raise TorchliquidError(
            f"proj_size is {short_repr(proj_size)}: a layer over a wiring outputs its motors; "
            "leave it out, and give the wiring fewer motors"
        )
    return given


@functools.lru_cache(maxsize=256)
def synapses_of(wiring: Wiring, features: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Synapses among neurons ``(E, 2)`` and from inputs ``(E_s, 2)``: from, to."""
    tables = (wiring.recurrent, wiring.sensory(features))
    first, second = (
        torch.from_numpy(np.argwhere(table).astype(np.int64)).to(device) for table in tables
    )
    return first, second
