"""`NCP`: liquid time constants with a gate for every synapse, over a wiring."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from torchliquid import kernels
from torchliquid._checks import check_flag, check_positive, check_unfolds
from torchliquid.errors import TorchliquidError
from torchliquid.functional.synaptic import EPSILON, _currents, map_input
from torchliquid.messages import short_repr
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, register
from torchliquid.nn._wired import WiredLayer, synapses_of, wiring_of
from torchliquid.wirings import Wiring

SYNAPSE = ("sigma", "mu", "w", "erev")
POSITIVE = ("w", "sensory_w", "gleak", "cm")
MAPS = (None, "linear", "affine")
RANGES = {
    "gleak": (0.001, 1.0), "vleak": (-0.2, 0.2), "cm": (0.4, 0.6), "w": (0.001, 1.0),
    "sigma": (3.0, 8.0), "mu": (0.3, 0.8), "sensory_w": (0.001, 1.0), "sensory_sigma": (1.0, 3.0),
    "sensory_mu": (-1.0, 1.0),
}  # fmt: skip
"""Where parameters start, uniformly: those of ncps, but that what acts is drawn there, not what the
softplus is taken of, and that gates of inputs are centred on inputs of mean 0 and deviation 1: with
ncps's ranges 52 % of these start within 2 % of 0 or 1, with these 11 %."""
MUTED = -1e4
"""What the softplus of is 0."""
_CUT: ContextVar[tuple[tuple[Any, Tensor, Tensor], ...]] = ContextVar("cut", default=())
"""Layers whose synapses are cut in this thread or task, and which are kept; see `NCP.cut`."""


class NCP(WiredLayer):
    """A neural circuit policy: neurons of which each synapse has a gate of its own.

    The LTC of the package ncps, right for batches with a time for each sample. Equation and
    sources are in `torchliquid.functional.synaptic`. Synapses that the wiring leaves out cost
    nothing. Outputs are the motors, mapped; `states` gives those of all neurons.

    Args:
        input_size: I, features of one sample.
        wiring: which neuron sends to which (`torchliquid.wirings`); a number: `FullyConnected`.
        num_layers: each but the first runs over the outputs of the one below, with the same wiring.
        bias: must be True: there is no bias to leave out.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own.
        proj_size: must be 0: outputs are motors.
        unfolds: solver steps for one sample.
        implicit: whether a softplus keeps conductances and capacitances positive; else they are cut
            at 0 within the call, with no gradient below.
        input_map: ``"affine"``, a factor and an offset for each input; ``"linear"``, a factor;
            None.
        output_map: the same for each motor.
        epsilon: keeps the denominator above zero.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters, E synapses among H neurons and E_s from inputs: sigma_l0, mu_l0, w_l0, erev_l0
    ``(E,)``, the same with ``sensory_`` ``(E_s,)``, gleak_l0, vleak_l0, cm_l0 ``(H,)``, input_w_l0,
    input_b_l0 ``(I,)``, output_w_l0, output_b_l0 ``(M,)``. Synapses are in the order of
    ``numpy.argwhere`` of the wiring.

    Raises:
        TorchliquidError: a wiring, map or epsilon that is none; a proj_size, or no bias.

    >>> from torchliquid import wirings
    >>> layer = NCP(3, wirings.AutoNCP(16, 2), batch_first=True)
    >>> y, state = layer(torch.zeros(5, 20, 3), dt=torch.rand(5, 20))
    >>> y.shape, state.shape, layer.states(torch.zeros(5, 20, 3)).shape
    (torch.Size([5, 20, 2]), torch.Size([1, 5, 16]), torch.Size([5, 20, 16]))
    """

    weight_names = tuple(
        f"{name}_l0"
        for name in (
            *SYNAPSE, *(f"sensory_{name}" for name in SYNAPSE), "gleak", "vleak", "cm",
            "input_w", "input_b", "output_w", "output_b",
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
        unfolds: int = 6,
        implicit: bool = True,
        input_map: str | None = "affine",
        output_map: str | None = "affine",
        epsilon: float = EPSILON,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.wiring = wiring_of(wiring, proj_size)
        for name, value in (("input_map", input_map), ("output_map", output_map)):
            if not (value is None or isinstance(value, str)) or value not in MAPS:
                raise TorchliquidError(f"{name} is {short_repr(value)}: expected {MAPS}")
        if not check_flag("bias", bias):
            raise TorchliquidError(f"bias is {short_repr(bias)}: an NCP has none, leave it out")
        self.implicit = check_flag("implicit", implicit)
        self.unfolds, self.epsilon = check_unfolds(unfolds), check_positive("epsilon", epsilon)
        self.input_map, self.output_map = input_map, output_map
        super().__init__(
            input_size, self.wiring.units, num_layers, bias, batch_first, dropout, bidirectional,
            dt=dt, device=device, dtype=dtype,
        )  # fmt: skip

    @classmethod
    def from_ncps(cls, source: Any, **options: Any) -> "NCP":
        """Return the layer that a trained ``ncps.torch.LTC`` is; see `torchliquid.nn.from_ncps`."""
        from torchliquid.nn.ncps import converted

        return converted(cls, source, options)

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        edges, sensory = synapses_of(self.wiring, features, torch.device("cpu"))
        found = {name: (len(edges),) for name in SYNAPSE}
        found |= {f"sensory_{name}": (len(sensory),) for name in SYNAPSE}
        found |= dict.fromkeys(("gleak", "vleak", "cm"), (self.hidden_size,))
        for side, kind, size in (
            ("input", self.input_map, features), ("output", self.output_map, self.output_size),
        ):  # fmt: skip
            if kind is not None:
                found[f"{side}_w"] = (size,)
            if kind == "affine":
                found[f"{side}_b"] = (size,)
        return {f"{name}_l0": shape for name, shape in found.items()}

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw` and `RANGES`; polarities are the wiring's."""
        for held, weight in weights.items():
            name = held.removesuffix("_l0")
            if name in RANGES:
                nn.init.uniform_(weight, *RANGES[name])
                if self.implicit and name in POSITIVE:
                    with torch.no_grad():
                        weight.copy_(torch.log(torch.expm1(weight)))  # softplus gives it back
            elif name == "erev":
                _polarities(weight, self.wiring.recurrent)
            elif name == "sensory_erev":
                features = self._features(weights)
                _polarities(weight, self.wiring.sensory(features))
            elif name.endswith("_w"):
                nn.init.ones_(weight)
            else:
                nn.init.zeros_(weight)

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        own = self._acting(weights)
        edges = synapses_of(self.wiring, x.shape[-1], x.device)
        maps = (own.get("input_w"), own.get("input_b"))
        values: Any = [own[name] for name in _ORDER]
        arguments: Any = (x, state, *values, *maps, *edges, dt, self.unfolds)
        return kernels.synaptic(*arguments)

    def behind_memory(
        self, weights: Mapping[str, Tensor], x: Tensor
    ) -> tuple[kernels.Behind, Tensor, tuple[Tensor | None, ...]]:
        """See `LiquidLayer.behind_memory`."""
        own = self._acting(weights)
        edges = synapses_of(self.wiring, x.shape[-1], x.device)
        x = map_input(x, own.get("input_w"), own.get("input_b"))
        return kernels.synaptic_behind(*edges, self.unfolds), x, tuple(own[n] for n in _ORDER)

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: the motors, mapped."""
        outputs = states[..., : self.wiring.outputs]
        return map_input(outputs, weights.get("output_w_l0"), weights.get("output_b_l0"))

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`: conductances of their synapses become 0."""
        source, _ = synapses_of(self.wiring, 1, kept.device)[0].unbind(1)
        muted = MUTED if self.implicit else 0.0
        return {**weights, "w_l0": torch.where(kept[source] > 0, weights["w_l0"], muted)}

    @torch.no_grad()
    def strengths(self) -> tuple[Tensor, Tensor]:
        """Conductance times polarity of every synapse, 0 where there is none.

        Among neurons ``(H, H)`` and from inputs ``(I, H)``, from row to column, of the first layer:
        what ``layer.wiring.plot(inputs, weights=layer)`` draws.
        """
        own = self._acting({n: w for n, w in self.weights().items() if n in self.weight_names})
        sizes = ((self.hidden_size, self.hidden_size), (self.input_size, self.hidden_size))
        edges = synapses_of(self.wiring, self.input_size, own["w"].device)
        tables = []
        for start, size, pairs in zip(("", "sensory_"), sizes, edges, strict=True):
            table = own["w"].new_zeros(size)
            table[pairs[:, 0], pairs[:, 1]] = own[f"{start}w"] * own[f"{start}erev"]
            tables.append(table.cpu())
        return tables[0], tables[1]

    @contextlib.contextmanager
    def cut(
        self, synapses: Iterable[tuple[int, int]] = (), sensory: Iterable[tuple[int, int]] = ()
    ) -> Iterator[None]:
        """Cut synapses within a ``with``, to see what they were good for.

        Nothing is trained or saved differently; contexts may be nested. Other threads, and copies
        of the layer, do not see it. In a stack they are cut in every layer and direction.

        Args:
            synapses: pairs of neurons, from and to.
            sensory: pairs of an input and a neuron.

        Raises:
            TorchliquidError: a synapse that is not there.

        >>> layer = NCP(2, 4, 1)
        >>> with layer.cut([(0, 1), (1, 1)], sensory=[(0, 3)]):
        ...     y, _ = layer(torch.zeros(5, 2))
        """
        masks = [
            _kept(table, wanted, what)
            for what, table, wanted in (
                ("synapses", self.wiring.recurrent, synapses),
                ("sensory", self.wiring.sensory(self.input_size), sensory),
            )
        ]
        before = _CUT.set((*_CUT.get(), (self, masks[0], masks[1])))
        try:
            yield
        finally:
            _CUT.reset(before)

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`: cm / (gleak + the sum of open conductances).

        Gates are those of the state before each sample's steps and of the sample.
        """
        own = self._acting(weights)
        states, _ = self.scan(weights, x, state, dt)
        before = torch.cat([state.unsqueeze(-2), states[..., :-1, :]], -2)
        edges, sensory = synapses_of(self.wiring, x.shape[-1], x.device)
        x = map_input(x, own.get("input_w"), own.get("input_b"))
        values: Any = [own[name].unsqueeze(-2) for name in _ORDER]
        _, open_ = _currents(before, edges, *(*values[:4], self.hidden_size))
        _, sensed = _currents(x, sensory, *(*values[4:8], self.hidden_size))
        gleak, cm = (own[name].unsqueeze(-2).unsqueeze(-2) for name in ("gleak", "cm"))
        return cm / (gleak + open_ + sensed + EPSILON)

    def _acting(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters as they act, by the names of the equation."""
        own = {name.removesuffix("_l0"): weight for name, weight in weights.items()}
        for name in POSITIVE:
            own[name] = softplus(own[name]) if self.implicit else own[name].clamp(min=0)
        for layer, kept, seen in _CUT.get():
            if layer is self:
                own["w"] = own["w"] * kept.to(own["w"])
                if seen.shape[-1] == own["sensory_w"].shape[-1]:
                    own["sensory_w"] = own["sensory_w"] * seen.to(own["sensory_w"])
        if self.epsilon != EPSILON:  # a leak of so much more towards 0
            leak = own["gleak"] + (self.epsilon - EPSILON)
            own["vleak"] = own["gleak"] * own["vleak"] / leak
            own["gleak"] = leak
        return own


_ORDER = (*SYNAPSE, *(f"sensory_{name}" for name in SYNAPSE), "gleak", "vleak", "cm")


def _kept(table: Any, wanted: Iterable[tuple[int, int]], what: str) -> Tensor:
    """0 for synapses that are cut and 1 for others, in the order of parameters."""
    places = {(int(i), int(j)): k for k, (i, j) in enumerate(np.argwhere(table))}
    kept = torch.ones(len(places), device="cpu")  # the template of a layer may have no memory
    for pair in wanted:
        place = places.get(pair) if isinstance(pair, tuple) else None
        if place is None:
            raise TorchliquidError(
                f"{what} has {short_repr(pair)}, where the wiring has no synapse: give pairs "
                "(from, to) of `numpy.argwhere` of its table"
            )
        kept[place] = 0
    return kept


def _polarities(weight: Tensor, table: Any) -> None:
    with torch.no_grad():
        weight.copy_(torch.from_numpy(table[table != 0].astype(np.float64)))


register(
    CellType(
        name="NCP",
        papers=("hasani2021liquid", "lechner2020neural"),
        layer=NCP,
        is_liquid=True,
        takes_dt=True,
        options={name: kind for name, kind in LIQUID_OPTIONS.items() if name != "hidden_size"}
        | {
            "wiring": Wiring,
            "unfolds": int,
            "implicit": bool,
            "input_map": str | None,
            "output_map": str | None,
            "epsilon": float,
        },
        about="a gate for every synapse, over a wiring (the LTC of ncps)",
    )
)
