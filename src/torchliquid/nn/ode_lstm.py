"""`ODELSTM`: an LSTM whose output moves by a differential equation between samples."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid._checks import check_proj_size, check_size, check_unfolds
from torchliquid.errors import TorchliquidError
from torchliquid.functional.ode_lstm import METHODS, ode_lstm
from torchliquid.messages import short_repr
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, Variant, register
from torchliquid.nn.layer import LiquidLayer


class ODELSTM(LiquidLayer):
    """An LSTM with a memory that time does not touch, and an output that moves in time.

    The equations are in `torchliquid.functional.ode_lstm`. A state is h and c side by side,
    ``(D, B, 2 H)``. A sample with dt 0 still counts: do not pad sequences with such.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons.
        num_layers: each but the first runs over the outputs of the one below.
        bias: whether there is one, in every map.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own.
        proj_size: must be 0.
        method: ``"rk4"``, ``"heun"`` or ``"euler"``.
        unfolds: steps of it for one sample.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters: weight_ih_l0 ``(4 H, I)``, weight_hh_l0 ``(4 H, H)``, bias_l0 ``(4 H,)``, rows in
    torch's order; of the equation weight_in_l0, weight_out_l0 ``(H, H)``, bias_in_l0, bias_out_l0
    ``(H,)``. All start within 1 / sqrt(H), as those of `nn.LSTM`.

    Time constants are ``1 / |df/dx|`` of each neuron's own slope, at its output before time passes:
    how fast it moves towards, or away from, where the others hold it.

    Raises:
        TorchliquidError: a method that does not exist, or a proj_size.

    >>> layer = ODELSTM(3, 8, batch_first=True)
    >>> y, state = layer(torch.zeros(5, 20, 3), dt=torch.rand(5, 20))
    >>> y.shape, state.shape
    (torch.Size([5, 20, 8]), torch.Size([1, 5, 16]))
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_l0", "weight_in_l0", "bias_in_l0",
                    "weight_out_l0", "bias_out_l0")  # fmt: skip

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
        method: str = "rk4",
        unfolds: int = 3,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not isinstance(method, str) or method not in METHODS:
            raise TorchliquidError(
                f"method is {short_repr(method)}: expected one of {', '.join(map(repr, METHODS))}"
            )
        if check_proj_size(proj_size, check_size("hidden_size", hidden_size)):
            raise TorchliquidError(
                f"proj_size is {proj_size}: the equation moves all H outputs; leave it 0, and read "
                "the outputs by a linear layer"
            )
        self.method, self.unfolds = method, check_unfolds(unfolds)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dt=dt, device=device, dtype=dtype,
        )  # fmt: skip

    @property
    def state_size(self) -> int:
        """Values of one direction's state: h and c."""
        return 2 * self.hidden_size

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H = self.hidden_size
        sizes = ((4 * H, features), (4 * H, H), (4 * H,), (H, H), (H,), (H, H), (H,))
        return dict(zip(self.weight_names, sizes, strict=True))

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in weights.values():
            nn.init.uniform_(weight, -bound, bound)

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        own = map(weights.get, self.weight_names)
        given: Any = (x, *state.chunk(2, -1), *own, dt, self.method, self.unfolds)
        states, _ = ode_lstm(*given)
        return states, states[..., -1, :]

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: h."""
        return states[..., : self.hidden_size]

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`: neither gates nor the equation see a neuron."""
        mask = kept[: self.hidden_size]
        muted = {n: weights[n] * mask.to(weights[n]) for n in ("weight_hh_l0", "weight_in_l0")}
        return {**weights, **muted}

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants` and the class."""
        states, _ = self.scan(weights, x, state, dt)
        own = [weights.get(name) for name in self.weight_names]
        before = torch.cat([state.unsqueeze(-2), states[..., :-1, :]], -2)
        B, L = x.shape[-3:-1]
        single = x.reshape(*x.shape[:-3], B * L, 1, x.shape[-1])
        # outputs where no time has passed yet
        given: Any = (single, *before.flatten(-3, -2).chunk(2, -1), *own, 0.0, "euler", 1)
        x0 = ode_lstm(*given)[0][..., 0, : self.hidden_size]
        inner, outer, bias = weights["weight_in_l0"], weights["weight_out_l0"], own[4]
        z = x0 @ inner.transpose(-2, -1)
        z = torch.tanh(z if bias is None else z + bias.unsqueeze(-2))
        own_slopes = (1 - z * z) @ (outer.transpose(-2, -1) * inner)
        tau = 1 / own_slopes.abs()
        return tau.view(*tau.shape[:-2], B, L, self.hidden_size)


register(
    CellType(
        name="ODELSTM",
        papers=("lechner2020learning",),
        layer=ODELSTM,
        is_liquid=False,
        takes_dt=True,
        options=LIQUID_OPTIONS | {"method": str, "unfolds": int},
        about="an LSTM whose output moves by an equation in time",
        variants={
            "": Variant({}, "3 steps of Runge and Kutta"),
            "euler": Variant({"method": "euler", "unfolds": 1}, "one step of Euler's"),
        },
    )
)
