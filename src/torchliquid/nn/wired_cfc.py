"""`WiredCfC`: closed-form continuous-time neurons over a wiring."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid.errors import TorchliquidError
from torchliquid.functional.cfc import MODES, check_mode, heads_of
from torchliquid.messages import short_repr
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, register
from torchliquid.nn._wired import WiredLayer, wiring_of
from torchliquid.nn.cfc import time_constants_of
from torchliquid.wirings import Wiring

MASKS = ("wiring", "ncps")


class WiredCfC(WiredLayer):
    """A `CfC` without a backbone whose weights are the synapses of a wiring.

    A sample passes from one layer of the wiring to the next, `Wiring.layers`, at once; synapses
    within a layer act on the next sample. Polarities play no part: weights have any sign. The
    equations are in `torchliquid.functional.cfc`. A sample with dt 0 still counts.

    Args:
        input_size: I, features of one sample.
        wiring: which neuron sends to which (`torchliquid.wirings`); a number: `FullyConnected`.
        num_layers: each but the first runs over the outputs of the one below, with the same wiring.
        bias: whether there is one.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own.
        proj_size: must be 0: outputs are motors.
        mode: as of `CfC`.
        masks: ``"wiring"``: all heads have the wiring's synapses, and no others. ``"ncps"``: as in
            ncps 1.0.1, all neurons of a layer of the wiring also act on each other, and the gate's
            heads a and b see every neuron of the layer before, whatever the wiring says.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters: sensory_w_l0, of synapses from inputs, and w_l0, among neurons, each head's one
    after the other, by its neuron and then by its source; bias_l0 ``(G H,)``, G = 4 heads or, in
    the pure mode, 1; there also rate_l0 and target_l0 ``(H,)``.

    Raises:
        TorchliquidError: a wiring, a mode or masks that are none, a wiring with synapses from a
            layer to an earlier one.

    >>> from torchliquid import wirings
    >>> layer = WiredCfC(3, wirings.AutoNCP(16, 2), batch_first=True)
    >>> y, state = layer(torch.zeros(5, 20, 3), dt=torch.rand(5, 20))
    >>> y.shape, state.shape
    (torch.Size([5, 20, 2]), torch.Size([1, 5, 16]))
    """

    weight_names = ("sensory_w_l0", "w_l0", "bias_l0", "rate_l0", "target_l0")

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
        mode: str = "default",
        masks: str = "wiring",
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_mode(mode, "tanh")
        if not isinstance(masks, str) or masks not in MASKS:
            raise TorchliquidError(f"masks is {short_repr(masks)}: expected one of {MASKS}")
        self.mode, self.masks = mode, masks
        self.wiring = wiring_of(wiring, proj_size)
        _check_forward(self.wiring)
        super().__init__(
            input_size, self.wiring.units, num_layers, bias, batch_first, dropout, bidirectional,
            dt=dt, device=device, dtype=dtype,
        )  # fmt: skip

    @classmethod
    def from_ncps(cls, source: Any, **options: Any) -> "WiredCfC":
        """Return the layer that a trained ``ncps.torch.CfC`` is; see `torchliquid.nn.from_ncps`."""
        from torchliquid.nn.ncps import converted

        return converted(cls, source, options)

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H, heads = self.hidden_size, MODES[self.mode]
        places = self._places(features, torch.device("cpu"))
        found: dict[str, tuple[int, ...]] = {
            "sensory_w_l0": (len(places.sensory),),
            "w_l0": (len(places.recurrent),),
            "bias_l0": (heads * H,),
        }
        return found | ({"rate_l0": (H,), "target_l0": (H,)} if self.mode == "pure" else {})

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`: by Glorot's rule, each neuron by the synapses it has."""
        H, features = self.hidden_size, self._features(weights)
        places = self._places(features, weights["w_l0"].device)
        rows = MODES[self.mode] * H
        seen, sent = places.sensory // features, places.recurrent // H
        fan = torch.bincount(torch.cat([seen, sent]), minlength=rows).clamp(min=1)
        sizes = torch.empty(H)
        for units in self.wiring.layers:
            sizes[list(units)] = float(len(units))
        bound = (6 / (fan + sizes.to(fan.device).repeat(MODES[self.mode]))).sqrt()
        with torch.no_grad():
            for name, limit in (
                ("sensory_w_l0", bound[seen]), ("w_l0", bound[sent]), ("bias_l0", fan**-0.5),
            ):  # fmt: skip
                if name in weights:
                    nn.init.uniform_(weights[name], -1, 1).mul_(limit.to(weights[name]))
        if self.mode == "pure":
            nn.init.uniform_(weights["rate_l0"], 0.0, 1.0)
            nn.init.ones_(weights["target_l0"])

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        found = [states for _, _, states in self._by_layer_of_wiring(weights, x, state, dt)]
        order = [unit for units in self.wiring.layers for unit in units]
        back = torch.tensor(np.argsort(order), device=x.device)
        states = torch.cat(found, -1).index_select(-1, back)
        return states, states[..., -1, :]

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: the motors."""
        return states[..., : self.wiring.outputs]

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`: weights of their synapses become 0."""
        source = self._places(1, kept.device).recurrent % self.hidden_size
        return {**weights, "w_l0": weights["w_l0"] * kept[source].to(weights["w_l0"])}

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants` and `CfC`."""
        H, taus = self.hidden_size, []
        for units, given, states in self._by_layer_of_wiring(weights, x, state, dt):
            before = torch.cat([given.state.unsqueeze(-2), states[..., :-1, :]], -2)
            heads = heads_of(given.x, before, given.input, given.recurrent, given.bias, (), "tanh")
            taus.append((units, time_constants_of(heads, self.mode, given.rate)))
        tau = torch.cat([values for _, values in taus], -1)
        back = np.argsort([unit for units, _ in taus for unit in units])
        assert tau.shape[-1] == H  # noqa: S101 - every neuron is in one layer
        return tau.index_select(-1, torch.tensor(back, device=tau.device))

    def _by_layer_of_wiring(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Iterator[tuple[tuple[int, ...], "_Given", Tensor]]:
        """Each layer of the wiring: its neurons, what it is given, and its states."""
        H, heads = self.hidden_size, MODES[self.mode]
        places = self._places(x.shape[-1], x.device)
        sensory = _dense(weights["sensory_w_l0"], places.sensory, heads * H, x.shape[-1])
        recurrent = _dense(weights["w_l0"], places.recurrent, heads * H, H)
        earlier: list[int] = []
        inputs = x
        for units in self.wiring.layers:
            own = list(units)
            rows = [head * H + unit for head in range(heads) for unit in own]
            bias, rate, target = (
                None if (value := weights.get(name)) is None else value[..., chosen]
                for name, chosen in (("bias_l0", rows), ("rate_l0", own), ("target_l0", own))
            )
            given = _Given(
                inputs,
                state[..., own],
                torch.cat([sensory[..., rows, :], recurrent[..., rows, :][..., earlier]], -1),
                recurrent[..., rows, :][..., own],
                bias,
                rate,
            )
            states, _ = kernels.cfc(
                given.x, given.state, given.input, given.recurrent, bias, (), rate, target, dt,
                self.mode,
            )  # fmt: skip
            yield units, given, states
            inputs, earlier = torch.cat([inputs, states], -1), [*earlier, *own]

    def sparse(self, sensory: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        """The weights that dense tables ``(G, H, I)`` from inputs and ``(G, H, H)`` hold."""
        places = self._places(sensory.shape[-1], sensory.device)
        return sensory.flatten()[places.sensory], among.flatten()[places.recurrent]

    def _places(self, features: int, device: torch.device) -> "_Places":
        return _places(self.wiring, features, self.mode, self.masks, device)


class _Given(NamedTuple):
    """What one layer of the wiring runs with."""

    x: Tensor
    state: Tensor
    input: Tensor
    recurrent: Tensor
    bias: Tensor | None
    rate: Tensor | None


class _Places(NamedTuple):
    """Where weights stand in flattened tables ``(G H, I)`` and ``(G H, H)``, rows by neurons."""

    sensory: Tensor
    recurrent: Tensor


@functools.lru_cache(maxsize=256)
def _places(wiring: Wiring, features: int, mode: str, masks: str, device: torch.device) -> _Places:
    sensory, recurrent = wiring.sensory(features).T != 0, wiring.recurrent.T != 0
    tables = [(sensory, recurrent)] * MODES[mode]
    if masks == "ncps":
        recurrent, every_input, every = recurrent.copy(), sensory.copy(), recurrent.copy()
        before: tuple[int, ...] = ()
        for layer in wiring.layers:
            recurrent[np.ix_(layer, layer)] = every[np.ix_(layer, layer)] = True
            every[np.ix_(layer, before)] = True
            every_input[list(layer)] = not before
            before = layer
        tables = [(sensory, recurrent)] * min(2, MODES[mode])
        tables += [(every_input, every)] * (MODES[mode] - len(tables))
    joined = (np.concatenate([table[k] for table in tables]) for k in (0, 1))
    first, second = (torch.from_numpy(np.flatnonzero(table)).to(device) for table in joined)
    return _Places(first, second)


def _dense(values: Tensor, places: Tensor, rows: int, columns: int) -> Tensor:
    """The table ``(*S, rows, columns)`` of values ``(*S, E)`` at their places."""
    table = values.new_zeros(*values.shape[:-1], rows * columns).index_copy(-1, places, values)
    return table.view(*values.shape[:-1], rows, columns)


def _check_forward(wiring: Wiring) -> None:
    level = np.empty(wiring.units, int)
    for k, units in enumerate(wiring.layers):
        level[list(units)] = k
    for source, target in np.argwhere(wiring.recurrent):
        if level[source] > level[target]:
            raise TorchliquidError(
                f"the wiring has a synapse from neuron {source} to {target}, from a layer of it to "
                "an earlier one: a sample passes its layers in turn; leave such synapses out, or "
                "give `from_adjacency` no roles, so that there is one layer"
            )


register(
    CellType(
        name="WiredCfC",
        papers=("hasani2022closed", "lechner2020neural"),
        layer=WiredCfC,
        is_liquid=True,
        takes_dt=True,
        options={name: kind for name, kind in LIQUID_OPTIONS.items() if name != "hidden_size"}
        | {"wiring": Wiring, "mode": str, "masks": str},
        about="CfC over a wiring",
    )
)
