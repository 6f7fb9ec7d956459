"""Cells that take a time for each sample and are not liquid: what a liquid layer is measured by.

They have the interface of `LiquidLayer`, and no kernel: they run PyTorch operations.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from torchliquid.checks import check_flag
from torchliquid.functional.ctrnn_cell import ctrnn
from torchliquid.functional.decay_gru_cell import decay_gru
from torchliquid.functional.ltc_cell import positive_tau
from torchliquid.nn.layer import LiquidLayer, new_parameter

SLOW = -2.25
"""Raw rate at which a decay starts: its softplus is 0.1, a time constant of 10."""


class _Rival(LiquidLayer):
    """What both have in common: G rows of gates, a bias or two, a raw rate a neuron."""

    kernel: ClassVar[str | None] = None
    rows: ClassVar[int]
    """Rows of weights for each neuron."""
    start: ClassVar[float]
    """Where the raw rates start."""
    biases: ClassVar[tuple[str, ...]]
    rate_name: ClassVar[str]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        batch_first: bool = False,
        dt: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=batch_first, dt=dt)
        I, H, G = self.input_size, self.hidden_size, self.rows * self.hidden_size
        self.bias = check_flag("bias", bias)
        self.weight_ih_l0 = new_parameter("weight_ih_l0", (G, I), device, dtype)
        self.weight_hh_l0 = new_parameter("weight_hh_l0", (G, H), device, dtype)
        for name in self.biases:
            own = new_parameter(name, (G,), device, dtype) if self.bias else None
            self.register_parameter(name, own)
        setattr(self, self.rate_name, new_parameter(self.rate_name, (H,), device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew: uniformly within 1 / sqrt(H), as `nn.GRU` does."""
        if self.weight_ih_l0.is_meta:
            return  # no memory to draw into
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name == self.rate_name:
                nn.init.constant_(parameter, self.start)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`: they are the same at every sample."""
        tau = self._tau(weights)[..., None, None, :]
        return tau.expand(*state.shape[:-1], x.shape[-2], self.hidden_size)

    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """See `LiquidLayer.config`."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dt": self.dt,
        }


class CTRNN(_Rival):
    """Continuous-time recurrent layer: its time constants are learnt, and do not move.

    It is `LTC` without what is liquid about it.
    The equation is in `torchliquid.functional.ctrnn_cell`.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons.
        bias: whether there is one.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dt: time between samples where a call gives none; the unit of tau.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters: weight_ih_l0 ``(H, I)``, weight_hh_l0 ``(H, H)``, bias_l0 ``(H,)``, raw_tau_l0
    ``(H,)``, whose softplus is tau; it starts at 1 (tau 1.313).

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

    Args: as of `CTRNN`.

    Parameters: those of `nn.GRU`, and raw_rate_l0 ``(H,)``, whose softplus is the rate; it starts
    at -2.25 (a time constant of 10).

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
