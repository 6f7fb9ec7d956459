"""`GRUD`: a GRU that knows which values are missing, and for how long."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid._checks import check_layers, check_proj_size, check_size
from torchliquid.errors import TorchliquidError
from torchliquid.functional.gru_d import decays, gru_d
from torchliquid.messages import short_repr
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, register
from torchliquid.nn.layer import LiquidLayer


class GRUD(LiquidLayer):
    """A GRU whose state and whose missing inputs decay, each by the time it was not observed.

    The equations are in `torchliquid.functional.gru_d`. Its input is values and masks side by side,
    as ``tl.fill_missing(x, observed, indicator=True)`` gives them. A state is h and, for each
    value, how long it has been missing, ``(D, B, H + I)``. A sample with dt 0 still counts.

    Args:
        input_size: 2 I, values and masks of one sample; even.
        hidden_size: H, neurons.
        num_layers: must be 1: a state has no masks.
        bias: whether the gates have one.
        batch_first: whether batched input is ``(B, L, 2 I)`` instead of ``(L, B, 2 I)``.
        dropout: must be 0: there is one layer.
        bidirectional: whether it also runs backwards, with weights of its own.
        proj_size: must be 0.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters: those of `nn.GRU`, weight_ih_l0 ``(3 H, 2 I)``; input_rate_l0, input_bias_l0
    ``(I,)``, weight_decay_l0 ``(H, I)``, bias_decay_l0 ``(H,)``; rates and W start in (0, 0.1 / I),
    so that decays are slow, biases at 0.

    Time constants are dt over the exponent of a state's decay: infinite where it does not decay.

    Raises:
        TorchliquidError: an odd number of features, or several layers.

    >>> from torchliquid import fill_missing
    >>> x = torch.randn(5, 20, 3)
    >>> seen = fill_missing(x, torch.rand(5, 20, 3) < 0.7, indicator=True, batch_first=True)
    >>> y, state = GRUD(6, 8, batch_first=True)(seen, dt=torch.rand(5, 20))
    >>> y.shape, state.shape
    (torch.Size([5, 20, 8]), torch.Size([1, 5, 11]))
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "input_rate_l0",
                    "input_bias_l0", "weight_decay_l0", "bias_decay_l0")  # fmt: skip

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if check_layers(num_layers) != 1:
            raise TorchliquidError(
                f"num_layers is {short_repr(num_layers)}: a GRUD reads masks beside values, and a "
                "state has none; give its outputs to another layer, such as DecayGRU"
            )
        if check_proj_size(proj_size, check_size("hidden_size", hidden_size)):
            raise TorchliquidError(
                f"proj_size is {proj_size}: a state also holds times; leave it 0, and read the "
                "outputs by a linear layer"
            )
        if check_size("input_size", input_size) % 2:
            raise TorchliquidError(
                f"input_size is {short_repr(input_size)}: give twice the number of features, "
                "values and masks, as fill_missing(..., indicator=True) makes them"
            )
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dt=dt, device=device, dtype=dtype,
        )  # fmt: skip

    @property
    def state_size(self) -> int:
        """Values of one direction's state: h, and times."""
        return self.hidden_size + self.input_size // 2

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H, I = self.hidden_size, features // 2
        sizes = ((3 * H, features), (3 * H, recurrent_size), (3 * H,), (3 * H,), (I,), (I,), (H, I))
        names = [n for n in self.weight_names if n != "bias_decay_l0"]
        return dict(zip(names, sizes, strict=True)) | {"bias_decay_l0": (H,)}

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`: gates uniformly within 1 / sqrt(H), as `nn.GRU` does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, weight in weights.items():
            if name in ("input_rate_l0", "weight_decay_l0"):
                nn.init.uniform_(weight, 0.0, 0.1 / weights["input_rate_l0"].shape[-1])
            elif name in ("input_bias_l0", "bias_decay_l0"):
                nn.init.zeros_(weight)
            else:
                nn.init.uniform_(weight, -bound, bound)

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        given: Any = (x, state, *map(weights.get, self.weight_names), dt)
        return gru_d(*given)

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: h."""
        return states[..., : self.hidden_size]

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`."""
        return super().mute(weights, kept[: self.hidden_size])

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants` and the class."""
        own = [weights[name] for name in self.weight_names[4:]]
        _, exponent, _ = decays(x, state[..., self.hidden_size :], dt, *own)
        time = dt.unsqueeze(-1) if isinstance(dt, Tensor) else torch.full_like(exponent, dt)
        return torch.where(exponent > 0, time / exponent, torch.inf)


register(
    CellType(
        name="GRUD",
        papers=("che2018recurrent",),
        layer=GRUD,
        is_liquid=False,
        takes_dt=True,
        options=LIQUID_OPTIONS,
        about="a GRU that knows what is missing, and for how long",
        sized=False,  # it takes masks
    )
)
