"""`CfC`: closed-form continuous-time cells."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid._checks import check_at_most, check_probability, check_size
from torchliquid.functional.cfc import MODES, Map, check_mode, heads_of
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, Variant, register
from torchliquid.nn.layer import LiquidLayer


class CfC(LiquidLayer):
    """A closed-form continuous-time layer, the CfC of the package ncps, right for batches.

    Its state after any time is a formula: no solver, one step a sample. The equations are in
    `torchliquid.functional.cfc`. A sample with dt 0 still counts: do not pad sequences with such.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons.
        num_layers: each but the first runs over the outputs of the one below.
        bias: whether there is one, in every map.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own.
        proj_size: see `LiquidLayer`.
        mode: ``"default"``; ``"no_gate"``, whose states are a sum of two; ``"pure"``, the formula
            with the fewest weights.
        backbone_layers: maps with an activation between the input and the heads; 0: none.
        backbone_units: U, values that each of them gives.
        backbone_dropout: share of these that is dropped in training, at each sample anew.
        activation: of the backbone: ``"lecun_tanh"``, ``"tanh"``, ``"relu"``, ``"silu"`` or
            ``"gelu"``.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters of G = 4 heads, of 1 in the pure mode, with a backbone: weight_ih_l0 ``(U, I)``,
    weight_hh_l0 ``(U, H)``, bias_l0 ``(U,)``, weight_backbone1_l0 ``(U, U)``, bias_backbone1_l0
    ``(U,)`` and so on for each further layer of it, weight_heads_l0 ``(G H, U)``, bias_heads_l0
    ``(G H,)``; without: weight_ih_l0 ``(G H, I)``, weight_hh_l0 ``(G H, H)``, bias_l0 ``(G H,)``.
    In the pure mode also rate_l0 and target_l0 ``(H,)``.

    Time constants are the time in which the gate's argument moves by 1, ``1 / |a|``; in the pure
    mode that of the decay, ``1 / (|r| + |f|)``.

    Raises:
        TorchliquidError: a mode, an activation, a size or a share that is none.

    >>> layer = CfC(3, 8, batch_first=True)
    >>> y, state = layer(torch.zeros(5, 20, 3), dt=torch.rand(5, 20))
    >>> y.shape, state.shape
    (torch.Size([5, 20, 8]), torch.Size([1, 5, 8]))
    """

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
        mode: str = "default",
        backbone_layers: int = 1,
        backbone_units: int = 128,
        backbone_dropout: float = 0.0,
        activation: str = "lecun_tanh",
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_mode(mode, activation)
        self.mode, self.activation = mode, activation
        self.backbone_layers = check_at_most("backbone_layers", backbone_layers, 100, 0)
        self.backbone_units = check_size("backbone_units", backbone_units)
        self.backbone_dropout = check_probability("backbone_dropout", backbone_dropout)
        later = [f"backbone{k}" for k in range(1, self.backbone_layers)]
        self.map_names = (*later, "heads") if self.backbone_layers else ()
        maps = [name for of in self.map_names for name in (f"weight_{of}_l0", f"bias_{of}_l0")]
        own = ("rate_l0", "target_l0") if mode == "pure" else ()
        self.weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_l0", *maps, *own)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, dt=dt, device=device, dtype=dtype,
        )  # fmt: skip

    @classmethod
    def from_ncps(cls, source: Any, **options: Any) -> "CfC":
        """Return the layer that a trained ``ncps.torch.CfC`` is; see `torchliquid.nn.from_ncps`."""
        from torchliquid.nn.ncps import converted

        return converted(cls, source, options)

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H, U = self.hidden_size, self.backbone_units
        heads = MODES[self.mode] * H
        first = U if self.map_names else heads
        found: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (first, features),
            "weight_hh_l0": (first, recurrent_size),
            "bias_l0": (first,),
        }
        for name in self.map_names:
            rows = heads if name == "heads" else U
            found |= {f"weight_{name}_l0": (rows, U), f"bias_{name}_l0": (rows,)}
        if self.mode == "pure":
            found |= {"rate_l0": (H,), "target_l0": (H,)}
        return found

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`: maps as those of ncps, by Glorot's rule, each head for itself.

        Rates r start in (0, 1): at 0, where ncps means them to, they would have no gradient.
        """
        ih, hh = weights["weight_ih_l0"], weights["weight_hh_l0"]
        joined = ih.shape[-1] + hh.shape[-1]  # of the first map: the input and the state
        for name, weight in weights.items():
            if name == "target_l0":
                nn.init.ones_(weight)
            elif name == "rate_l0":
                nn.init.uniform_(weight, 0.0, 1.0)
            else:
                of_first = name in ("weight_ih_l0", "weight_hh_l0", "bias_l0")
                fan = joined if of_first else self.backbone_units
                gives_heads = "heads" in name or not self.map_names
                rows = self.hidden_size if gives_heads else self.backbone_units
                bound = fan**-0.5 if name.startswith("bias") else math.sqrt(6 / (fan + rows))
                nn.init.uniform_(weight, -bound, bound)

    @property
    def drops_within(self) -> bool:
        """See `LiquidLayer.drops_within`."""
        return self.backbone_dropout > 0 and bool(self.map_names)

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        given: Any = (*self._given(weights), dt, self.mode, self.activation)
        return kernels.cfc(x, state, *given)

    def scan_dropping(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan_dropping`."""
        ones = x.new_ones(*state.shape[:-1], x.shape[-2], self.backbone_units)
        kept = [nn.functional.dropout(ones, self.backbone_dropout) for _ in self.map_names]
        given: Any = (*self._given(weights), dt, self.mode, self.activation, kept)
        return kernels.cfc(x, state, *given)

    def behind_memory(
        self, weights: Mapping[str, Tensor], x: Tensor
    ) -> tuple[kernels.Behind, Tensor, tuple[Tensor | None, ...]] | None:
        """See `LiquidLayer.behind_memory`."""
        *first, maps, rate, target = self._given(weights)
        if not kernels.cfc_fits(maps, self.activation):
            return None
        listed = (*first, *(t for pair in maps for t in pair), rate, target)
        return kernels.cfc_behind(self.mode, self.activation), x, listed

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants` and the class."""
        states, _ = self.scan(weights, x, state, dt)
        before = torch.cat([state.unsqueeze(-2), states[..., :-1, :]], -2)
        given: Any = (*self._given(weights)[:4], self.activation)
        return time_constants_of(heads_of(x, before, *given), self.mode, weights.get("rate_l0"))

    def _given(self, weights: Mapping[str, Tensor]) -> Any:
        """What `functional.cfc` takes between the state and dt."""
        first = (weights["weight_ih_l0"], weights["weight_hh_l0"], weights.get("bias_l0"))
        maps: list[Map] = [
            (weights[f"weight_{name}_l0"], weights.get(f"bias_{name}_l0"))
            for name in self.map_names
        ]
        return (*first, maps, weights.get("rate_l0"), weights.get("target_l0"))


def time_constants_of(heads: Tensor, mode: str, rate: Tensor | None) -> Tensor:
    """Time constants ``(*S, B, L, H)`` of heads ``(*S, B, L, G H)``."""
    if rate is not None:
        return 1 / (rate[..., None, None, :].abs() + heads.abs())
    H = heads.shape[-1] // MODES[mode]
    return 1 / heads[..., 2 * H : 3 * H].abs()


register(
    CellType(
        name="CfC",
        papers=("hasani2022closed",),
        layer=CfC,
        is_liquid=True,
        takes_dt=True,
        options=LIQUID_OPTIONS
        | {
            "mode": str,
            "backbone_layers": int,
            "backbone_units": int,
            "backbone_dropout": float,
            "activation": str,
        },
        about="a formula for the state at any time (closed-form continuous time)",
        variants={
            "": Variant({}, "a backbone of one layer of 128 units"),
            "direct": Variant({"backbone_layers": 0}, "no backbone"),
            "no_gate": Variant({"mode": "no_gate"}, "a sum of two states"),
            "pure": Variant({"mode": "pure"}, "one head"),
        },
    )
)
