"""`MixedMemory`: a memory that no time decays, before another layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid.errors import TorchliquidError
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project
from torchliquid.nn._registry import CELLS, CellType, register
from torchliquid.nn.layer import LiquidLayer

MEMORY = ("memory_ih_l0", "memory_hh_l0", "memory_bias_l0")


class MixedMemory(LiquidLayer):
    """A layer whose state before each sample comes out of the memory of an LSTM.

    Of a sample u, a state h and a memory c, with the forget gate's bias 1 higher, as in ncps:

        a, i, f, o = W u + b + V h
        c' = sigmoid(f + 1) c + sigmoid(i) tanh(a)
        h' = the layer after the sample u, from the state sigmoid(o) tanh(c')

    Time passes in the layer alone, so that what the memory holds does not decay. Source: Lechner,
    Hasani, "Learning long-term dependencies in irregularly-sampled time series", arXiv 2006.04418.
    A state is h and c side by side, ``(D, B, 2 H)``. A sample with dt 0 still counts.

    Args:
        layer: a layer whose state is one value for each neuron, such as `NCP` or `CfC`, with as
            many layers and directions as there are to be. Its weights are copied.

    Parameters: the layer's, by its names, and memory_ih_l0 ``(4 H, I)``, memory_hh_l0 ``(4 H, H)``,
    memory_bias_l0 ``(4 H,)``, rows in the order a, i, f, o.

    Raises:
        TorchliquidError: not such a layer.

    >>> from torchliquid.nn import NCP
    >>> from torchliquid import wirings
    >>> layer = MixedMemory(NCP(3, wirings.AutoNCP(16, 2), batch_first=True))
    >>> y, state = layer(torch.zeros(5, 20, 3), dt=torch.rand(5, 20))
    >>> y.shape, state.shape
    (torch.Size([5, 20, 2]), torch.Size([1, 5, 32]))
    """

    def __init__(self, layer: LiquidLayer) -> None:
        _check_layer(layer)
        given = getattr(layer, layer.weight_names[0])
        options = CELLS[type(layer).__name__].options
        own: Any = {name: getattr(layer, name) for name in options}
        # in a tuple, so that its weights are not this layer's
        self._template = (type(layer)(**own, device="meta"),)
        self.weight_names = (*MEMORY, *layer.weight_names)
        self.unfolds = getattr(layer, "unfolds", 1)
        super().__init__(
            layer.input_size, layer.hidden_size, layer.num_layers, layer.bias, layer.batch_first,
            layer.dropout, layer.bidirectional, dt=layer.dt, device=given.device, dtype=given.dtype,
        )  # fmt: skip
        with torch.no_grad():
            for name, weight in layer.named_parameters():
                getattr(self, name).copy_(weight)

    @property
    def layer(self) -> "Template":
        """The layer behind the memory; its weights are not those that act."""
        return Template(self._template[0])

    @property
    def output_size(self) -> int:
        """Features that one direction outputs: the layer's."""
        return self._template[0].output_size

    @property
    def state_size(self) -> int:
        """Values of one direction's state: the layer's state, and the memory."""
        return 2 * self.hidden_size

    @property
    def drops_within(self) -> bool:
        """See `LiquidLayer.drops_within`."""
        return self._template[0].drops_within

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        rows = 4 * self.hidden_size
        shapes = ((rows, features), (rows, self.hidden_size), (rows,))
        own: dict[str, tuple[int, ...]] = dict(zip(MEMORY, shapes, strict=True))
        return own | self._template[0].shapes(features, recurrent_size)

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`: the layer's own; the memory's as in ncps."""
        nn.init.xavier_uniform_(weights["memory_ih_l0"])
        nn.init.orthogonal_(weights["memory_hh_l0"])
        nn.init.uniform_(weights["memory_bias_l0"], -0.1, 0.1)
        self._template[0].draw(_without_memory(weights))

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`: in one native call, or sample by sample."""
        behind = self._template[0].behind_memory(_without_memory(weights), x)
        if behind is not None:
            cell, seen, own = behind
            memory = _torch_order(weights)
            states = kernels.behind_memory(cell, x, seen, state, dt, memory, own)
            if states is not None:
                return states, states[..., -1, :]
        return self._scan(self._template[0].scan, weights, x, state, dt)[0]

    def scan_dropping(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan_dropping`."""
        return self._scan(self._template[0].scan_dropping, weights, x, state, dt)[0]

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: what the layer emits."""
        return self._template[0].emit(_without_memory(weights), states[..., : self.hidden_size])

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`: neither the memory nor the others see a neuron."""
        kept = kept[: self.hidden_size]
        hh = weights["memory_hh_l0"]
        own = {**weights, "memory_hh_l0": hh * kept.to(hh)}
        return own | dict(self._template[0].mute(_without_memory(weights), kept))

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`: the layer's."""
        layer, own = self._template[0], _without_memory(weights)
        _, before = self._scan(layer.scan, weights, x, state, dt)
        B, L = x.shape[-3:-1]
        single = x.reshape(*x.shape[:-3], B * L, 1, x.shape[-1])
        times = dt.reshape(*dt.shape[:-2], B * L, 1) if isinstance(dt, Tensor) else dt
        lead = before.shape[:-3]
        states = before.reshape(*lead, B * L, self.hidden_size)
        tau = layer.scan_time_constants(own, single, states, times)
        return tau.reshape(*lead, B, L, self.hidden_size)

    def _scan(
        self, scan: Any, weights: Mapping[str, Tensor], x: Tensor, state: Tensor,
        dt: float | Tensor,
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:  # fmt: skip
        """States and memory after each sample, the last ones; and states out of the memory."""
        ih, hh, bias = (weights.get(name) for name in MEMORY)
        assert ih is not None  # noqa: S101 - a memory without weights is none
        assert hh is not None  # noqa: S101
        own, recurrent = _without_memory(weights), hh.transpose(-2, -1)

        def sample(state: Tensor, u: Tensor, x: Tensor, time: float | Tensor = dt) -> Tensor:
            h, c, _ = state.split(self.hidden_size, -1)
            a, i, f, o = (u + h @ recurrent).chunk(4, -1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(a)
            before = torch.sigmoid(o) * torch.tanh(c)
            _, h = scan(own, x.unsqueeze(-2), before, time)
            return torch.cat([h, c, before], -1)

        times = (dt.unsqueeze(-1),) if isinstance(dt, Tensor) else ()
        start = torch.cat([state, state[..., : self.hidden_size]], -1)
        states, last = over_samples(sample, start, project(x, ih, bias), x, *times)
        width = 2 * self.hidden_size
        return (states[..., :width], last[..., :width]), states[..., width:]


class Template:
    """A layer's class and options, as `MixedMemory` keeps them in a saved model."""

    def __init__(self, layer: LiquidLayer) -> None:
        self._layer = layer

    @property
    def kind(self) -> type[LiquidLayer]:
        """The layer's class."""
        return type(self._layer)

    def __repr__(self) -> str:
        """As of the layer."""
        return repr(self._layer)

    def to_json(self) -> dict[str, Any]:
        """The cell's name and its options."""
        options = CELLS[type(self._layer).__name__].options
        config = self._layer.config()
        return {"cell": type(self._layer).__name__} | {name: config[name] for name in options}

    @staticmethod
    def from_json(facts: Any) -> LiquidLayer:
        """A layer of these options.

        Raises:
            TorchliquidError: they are something else.
        """
        try:
            options = dict(facts)
            cell = CELLS[options.pop("cell")]
            readers: Any = {n: getattr(kind, "from_json", None) for n, kind in cell.options.items()}
            layer: LiquidLayer = cell.layer(
                **{n: v if readers[n] is None else readers[n](v) for n, v in options.items()}
            )
        except (KeyError, TypeError) as error:
            raise TorchliquidError(f"the layer of a MixedMemory is none: {error}") from error
        return layer


def _torch_order(weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """The memory's weights with gates in torch's order, the forget gate's 1 in its bias."""
    ih, hh, bias = (weights.get(name) for name in MEMORY)
    assert ih is not None  # noqa: S101 - a memory without weights is none
    assert hh is not None  # noqa: S101
    H = hh.shape[-1]
    places = torch.arange(4 * H, device=hh.device).view(4, H)[[1, 2, 0, 3]].flatten()
    one = torch.zeros(4 * H, device=hh.device, dtype=hh.dtype)
    one[H : 2 * H] = 1
    offset = one.expand(hh.shape[:-1]) if bias is None else bias[..., places] + one
    return ih[..., places, :], hh[..., places, :], offset


def _without_memory(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight for name, weight in weights.items() if name not in MEMORY}


def _check_layer(layer: Any) -> None:
    kind = type(layer)
    known = isinstance(layer, LiquidLayer) and getattr(CELLS.get(kind.__name__), "layer", 0) is kind
    if not known or isinstance(layer, MixedMemory):
        raise TorchliquidError(
            f"layer is a {kind.__name__}: expected a layer such as NCP or CfC, not wrapped yet"
        )
    if layer.state_size != layer.hidden_size or layer.proj_size:
        raise TorchliquidError(
            f"layer is a {kind.__name__} with a state of {layer.state_size} values for "
            f"{layer.hidden_size} neurons, proj_size {layer.proj_size}: a memory goes before "
            "layers with one value for each neuron, without projections"
        )


register(
    CellType(
        name="MixedMemory",
        papers=("lechner2020learning",),
        layer=MixedMemory,
        is_liquid=True,
        takes_dt=True,
        options={"layer": Template},
        about="the memory of an LSTM before another layer",
        sized=False,  # it takes a layer
    )
)
