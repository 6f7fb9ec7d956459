"""Cells that take a time for each sample and are not liquid: what a liquid layer is measured by.

They have the interface of `LiquidLayer`, and no kernel: they run PyTorch operations.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from torchliquid.functional.ctrnn_cell import ctrnn
from torchliquid.functional.decay_gru_cell import decay_gru
from torchliquid.functional.ltc_cell import positive_tau
from torchliquid.nn.layer import LiquidLayer

SLOW = -2.25
"""Raw rate at which a decay starts: its softplus is 0.1, a time constant of 10."""


class _Rival(LiquidLayer):
    """What both have in common: G rows of gates, a bias or two, a raw rate a neuron."""

    rows: ClassVar[int]
    """Rows of weights for each neuron."""
    start: ClassVar[float]
    """Where the raw rates start."""
    biases: ClassVar[tuple[str, ...]]
    rate_name: ClassVar[str]

    def shapes(self, features: int, fed_back: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        G = self.rows * self.hidden_size
        weights: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (G, features),
            "weight_hh_l0": (G, fed_back),
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

    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        raise NotImplementedError


class CTRNN(_Rival):
    """Continuous-time recurrent layer: its time constants are learnt, and do not move.

    It is `LTC` without what is liquid about it.
    The equation is in `torchliquid.functional.ctrnn_cell`.

    Args: as of `LiquidLayer`.

    Parameters: weight_ih_l0 ``(H, I)``, weight_hh_l0 ``(H, H)``, bias_l0 ``(H,)``, raw_tau_l0
    ``(H,)``, whose softplus is tau; it starts at 1 (tau 1.313).

    >>> import torch
    >>> CTRNN(1, 8)(torch.zeros(5, 1), dt=0.1)[0].shape
    torch.Size([5, 8])
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_l0", "raw_tau_l0")
    rows, start, biases, rate_name = 1, 1.0, ("bias_l0",), "raw_tau_l0"

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        ih, hh = weights["weight_ih_l0"], weights["weight_hh_l0"]
        return ctrnn(x, state, ih, hh, weights.get("bias_l0"), self._tau(weights), dt)

    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        return positive_tau(weights["raw_tau_l0"])


class DecayGRU(_Rival):
    """`nn.GRU` whose state decays in the time between samples, each neuron at a learnt rate.

    The equations are in `torchliquid.functional.decay_gru_cell`. A sample with dt 0 still counts:
    do not pad sequences with such.

    Args: as of `LiquidLayer`.

    Parameters: those of `nn.GRU`, and raw_rate_l0 ``(H,)``, whose softplus is the rate; it starts
    at -2.25 (a time constant of 10).

    >>> import torch
    >>> DecayGRU(1, 4)(torch.zeros(5, 1), dt=0.1)[0].shape
    torch.Size([5, 4])
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "raw_rate_l0")
    rows, start, biases, rate_name = 3, SLOW, ("bias_ih_l0", "bias_hh_l0"), "raw_rate_l0"

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        return decay_gru(
            x,
            state,
            weights["weight_ih_l0"],
            weights["weight_hh_l0"],
            weights.get("bias_ih_l0"),
            weights.get("bias_hh_l0"),
            positive_tau(weights["raw_rate_l0"]),
            dt,
        )

    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        return 1 / positive_tau(weights["raw_rate_l0"])
