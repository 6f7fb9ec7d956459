"""A base for cells that take dt and whose time constants do not depend on the input."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from torchliquid.nn.layer import LiquidLayer


class RateLayer(LiquidLayer):
    """A layer with G rows of gates, one or two biases and a raw rate for each neuron."""

    rows: ClassVar[int]
    """Rows of weights for each neuron."""
    start: ClassVar[float]
    """Where the raw rates start."""
    biases: ClassVar[tuple[str, ...]]
    rate_name: ClassVar[str]

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        G = self.rows * self.hidden_size
        weights: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (G, features),
            "weight_hh_l0": (G, recurrent_size),
        }
        return weights | dict.fromkeys(self.biases, (G,)) | {self.rate_name: (self.hidden_size,)}

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`: uniformly within 1 / sqrt(H), as `nn.GRU` does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, weight in weights.items():
            if name == self.rate_name:
                nn.init.constant_(weight, self.start)
            else:
                nn.init.uniform_(weight, -bound, bound)

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`: they are the same at every sample."""
        tau = self._tau(weights)[..., None, None, :]
        return tau.expand(*state.shape[:-1], x.shape[-2], self.hidden_size)

    @property
    def tau(self) -> Tensor:
        """Time constants in the unit of dt, ``(H,)``, or ``(D, H)``."""
        return self._tau({self.rate_name: self._by_layer(self.rate_name)})

    @abstractmethod
    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Compute the time constants ``(*S, H)``, positive."""
