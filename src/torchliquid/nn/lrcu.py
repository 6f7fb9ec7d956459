"""`LRCU`: liquid-resistance liquid-capacitance units over a wiring."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from torchliquid._checks import check_unfolds
from torchliquid.functional.lrcu import lrcu, lrcu_time_constants
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, register
from torchliquid.nn._wired import WiredLayer, synapses_of, wiring_of
from torchliquid.wirings import Wiring

SYNAPSE = ("sigma", "mu", "w", "k")
RANGES = {"gleak": (0.001, 1.0), "vleak": (-1.0, 1.0), "w": (0.001, 1.0), "sigma": (1.0, 3.0),
          "mu": (-1.0, 1.0)}  # fmt: skip
"""Where parameters start, uniformly: what acts is drawn there. Gates are centred on values of mean
0 and deviation 1; vleak is wider than the authors' +-0.2, within which every state would stay."""
POSITIVE = ("w", "sensory_w", "gleak", "shift")


class LRCU(WiredLayer):
    """Units whose resistance and capacitance both move with input and state.

    The equations are in `torchliquid.functional.lrcu`. Outputs are the motors of the wiring.

    Args:
        input_size: I, features of one sample.
        wiring: which neuron sends to which (`torchliquid.wirings`); a number: `FullyConnected`.
        num_layers: each but the first runs over the outputs of the one below, with the same wiring.
        bias: whether the elastance has one.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own.
        proj_size: must be 0: outputs are motors.
        unfolds: solver steps for one sample.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters, E synapses among H neurons and E_s from inputs: sigma_l0, mu_l0, w_l0, k_l0
    ``(E,)``, the same with ``sensory_`` ``(E_s,)``, gleak_l0, vleak_l0 ``(H,)``, weight_ih_l0
    ``(H, I)``, weight_hh_l0 ``(H, H)``, bias_l0, shift_l0 ``(H,)``. Of w, gleak and shift the
    softplus acts.

    Raises:
        TorchliquidError: a wiring that is none, or a proj_size.

    >>> layer = LRCU(3, 8, batch_first=True)
    >>> y, state = layer(torch.zeros(5, 20, 3), dt=torch.rand(5, 20))
    >>> y.shape, state.shape
    (torch.Size([5, 20, 8]), torch.Size([1, 5, 8]))
    """

    weight_names = tuple(
        f"{name}_l0"
        for name in (
            *SYNAPSE, *(f"sensory_{name}" for name in SYNAPSE), "gleak", "vleak", "weight_ih",
            "weight_hh", "bias", "shift",
        )
    )  # fmt: skip

    def __init__(
        self,
        input_size: int,
        wiring: Wiring | int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        unfolds: int = 1,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.wiring = wiring_of(wiring, proj_size)
        self.unfolds = check_unfolds(unfolds)
        super().__init__(
            input_size, self.wiring.units, num_layers, bias, batch_first, dropout, bidirectional,
            dt=dt, device=device, dtype=dtype,
        )  # fmt: skip

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H = self.hidden_size
        edges, sensory = synapses_of(self.wiring, features, torch.device("cpu"))
        found: dict[str, tuple[int, ...]] = {name: (len(edges),) for name in SYNAPSE}
        found |= {f"sensory_{name}": (len(sensory),) for name in SYNAPSE}
        found |= dict.fromkeys(("gleak", "vleak", "bias", "shift"), (H,))
        found |= {"weight_ih": (H, features), "weight_hh": (H, H)}
        return {f"{name}_l0": shape for name, shape in found.items()}

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw` and `RANGES`; s starts at 1, as the authors have it."""
        H, features = self.hidden_size, self._features(weights)
        for held, weight in weights.items():
            name = held.removesuffix("_l0")
            plain = name.removeprefix("sensory_")
            if plain in RANGES:
                nn.init.uniform_(weight, *RANGES[plain])
            elif plain == "k":
                nn.init.normal_(weight, 0.0, (features if name != plain else H) ** -0.5)
            elif plain == "shift":
                nn.init.ones_(weight)
            elif plain == "bias":
                nn.init.zeros_(weight)
            else:
                bound = (6 / (features + 2 * H)) ** 0.5
                nn.init.uniform_(weight, -bound, bound)
            if name in POSITIVE:
                with torch.no_grad():
                    weight.copy_(torch.log(torch.expm1(weight)))  # softplus gives it back

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        own, edges = _acting(weights), synapses_of(self.wiring, x.shape[-1], x.device)
        given: Any = (x, state, *map(own.get, _ORDER), *edges, dt, self.unfolds)
        return lrcu(*given)

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: the motors."""
        return states[..., : self.wiring.outputs]

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`: no synapse and no elastance hears them."""
        source = synapses_of(self.wiring, 1, kept.device)[0][:, 0]
        hh, k = weights["weight_hh_l0"], weights["k_l0"]
        return {
            **weights,
            "w_l0": torch.where(kept[source] > 0, weights["w_l0"], -1e4),  # softplus: 0
            "k_l0": k * kept[source].to(k),
            "weight_hh_l0": hh * kept.to(hh),
        }

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`: 1 / (e sigmoid(f)), before each sample."""
        own, edges = _acting(weights), synapses_of(self.wiring, x.shape[-1], x.device)
        states, _ = self.scan(weights, x, state, dt)
        before = torch.cat([state.unsqueeze(-2), states[..., :-1, :]], -2)
        names = [name for name in _ORDER if name not in ("k", "sensory_k", "vleak")]
        given: Any = (x, before, *map(own.get, names), *edges)
        return lrcu_time_constants(*given)


_ORDER = tuple(name.removesuffix("_l0") for name in LRCU.weight_names)


def _acting(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters as they act, by the names of the equation."""
    own = {name.removesuffix("_l0"): weight for name, weight in weights.items()}
    return own | {name: softplus(own[name]) for name in POSITIVE}


register(
    CellType(
        name="LRCU",
        papers=("farsang2024liquid",),
        layer=LRCU,
        is_liquid=True,
        takes_dt=True,
        options={name: kind for name, kind in LIQUID_OPTIONS.items() if name != "hidden_size"}
        | {"wiring": Wiring, "unfolds": int},
        about="liquid resistance and capacitance over a wiring",
    )
)
