"""Packs: many models of one shape trained side by side, one per lane."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid.errors import TorchliquidError
from torchliquid.nn.layer import LiquidLayer, check_interval, check_intervals
from torchliquid.nn.model import SequenceModel


class Pack(nn.Module):
    """S models of one shape side by side, one per lane; lanes never mix.

    Lane i holds the weights that ``make_model(seeds[i])`` draws with torch's generator seeded by
    ``seeds[i]``, and behaves as that model trained alone: any optimiser that works element by
    element (SGD, Adam, ...) takes ``pack.parameters()``; sum the lanes' losses before
    ``backward()``, so that each lane gets its own gradient.

    Args:
        make_model: builds the `SequenceModel` of a seed: over a liquid layer, or over an `nn.LSTM`
            or `nn.GRU` of one layer and one direction.
        seeds: one integer for each lane.

    The parameters are the models', stacked along a new first dimension S, under the same names.

    >>> from torchliquid import LTC
    >>> pack = Pack(lambda seed: SequenceModel(LTC(1, 8), 1), seeds=range(3))
    >>> y, h = pack(torch.zeros(2, 10, 1))
    >>> y.shape, h.shape
    (torch.Size([3, 2, 10, 1]), torch.Size([3, 1, 2, 8]))
    """

    def __init__(self, make_model: Callable[[int], SequenceModel], seeds: Iterable[int]) -> None:
        super().__init__()
        if isinstance(seeds, int):
            raise TorchliquidError(f"seeds is {seeds}: give one for each lane, e.g. range({seeds})")
        self.seeds = tuple(seeds)
        if not self.seeds:
            raise TorchliquidError("seeds is empty: a pack needs at least one lane")
        models = [_build(make_model, seed) for seed in self.seeds]
        shapes = [
            {name: (p.shape, p.dtype) for name, p in model.named_parameters()} for model in models
        ]
        for seed, model, shape in zip(self.seeds, models, shapes, strict=True):
            if repr(model) != repr(models[0]) or shape != shapes[0]:
                raise TorchliquidError(
                    f"seeds {self.seeds[0]} and {seed} give models of different shape, dtype or "
                    "options: all lanes of a pack must be alike"
                )
        self._template = (models[0],)  # in a tuple, so that its weights are not the pack's
        self.layer = _stack([model.layer for model in models])
        self.readout = _stack([model.readout for model in models])

    def __len__(self) -> int:
        """S, the number of lanes."""
        return len(self.seeds)

    @property
    def model(self) -> SequenceModel:
        """The model whose shape and options all lanes share; its weights are not theirs."""
        return self._template[0]

    def forward(
        self, x: Tensor, h0: Any = None, dt: float | Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Run every lane over its sequences. Always batch first.

        Args:
            x: input ``(S, B, L, I)``, or ``(B, L, I)`` shared by all lanes.
            h0: state ``(S, 1, B, H)``, for an LSTM a pair ``(h, c)`` of them; zeros if None.
            dt: liquid layers only: a float, ``(S, B, L)``, or ``(B, L)`` shared by all lanes.

        Returns:
            Predictions ``(S, B, L, O)`` and the last state, shaped like ``h0``.
        """
        states, h = self.states(x, h0, dt)
        y = torch.matmul(states.flatten(1, 2), self.readout["weight"].mT)
        return (y + self.readout["bias"].unsqueeze(1)).unflatten(1, states.shape[1:3]), h

    def states(
        self, x: Tensor, h0: Any = None, dt: float | Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """The layers without their readouts: states ``(S, B, L, H)`` and the last state.

        Arguments as in the call.
        """
        self._check(x, dt)
        states, h = _scan(self.model.layer, dict(self.layer), x, self._state(h0, x), dt)
        return states, _map(lambda part: part.unsqueeze(1), h)

    def time_constants(
        self, x: Tensor, h0: Tensor | None = None, dt: float | Tensor | None = None
    ) -> Tensor:
        """tau_sys ``(S, B, L, H)`` of every lane, in the unit of dt; arguments as in the call."""
        layer = self.model.layer
        if not isinstance(layer, LiquidLayer):
            raise TorchliquidError(f"a pack of {type(layer).__name__} has no time constants")
        self._check(x, dt)
        step = layer.dt if dt is None else dt
        with torch.no_grad():
            return layer.scan_time_constants(dict(self.layer), x, self._state(h0, x), step)

    def lane(self, index: int) -> SequenceModel:
        """The ordinary model of one lane: a copy, with that lane's weights."""
        model = copy.deepcopy(self.model)
        weights = {name: value.detach()[index] for name, value in self.state_dict().items()}
        model.to(weights["readout.weight"])
        model.load_state_dict(weights)
        return model

    def _check(self, x: Tensor, dt: float | Tensor | None) -> None:
        I, S = self.model.layer.input_size, len(self)
        if not isinstance(x, Tensor):
            raise TorchliquidError(f"x is a {type(x).__name__}: expected a tensor")
        if x.dim() not in (3, 4) or x.shape[-1] != I or (x.dim() == 4 and len(x) != S):
            raise TorchliquidError(
                f"x has shape {tuple(x.shape)}: expected (S, B, L, I) or (B, L, I) "
                f"with S = {S}, I = {I}"
            )
        if not x.numel():
            raise TorchliquidError(f"x has shape {tuple(x.shape)}: it holds no sample")
        dtype = self.readout["weight"].dtype
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise TorchliquidError(f"x is {x.dtype}, the pack {dtype}: convert one")
        B, L = x.shape[-3:-1]
        if isinstance(dt, Tensor):
            if dt.shape not in ((S, B, L), (B, L)):
                raise TorchliquidError(
                    f"dt has shape {tuple(dt.shape)}: expected a float, {(S, B, L)} or {(B, L)}"
                )
            check_intervals(dt)
        elif dt is not None:
            check_interval(dt)

    def _state(self, h0: Any, x: Tensor) -> Any:
        layer = self.model.layer
        expected = (len(self), 1, x.shape[-3], layer.hidden_size)
        if h0 is None:
            zeros = x.new_zeros(expected).squeeze(1)
            return (zeros, zeros) if isinstance(layer, nn.LSTM) else zeros

        def unwrap(part: Tensor) -> Tensor:
            if part.shape != expected or part.dtype != x.dtype:
                raise TorchliquidError(
                    f"h0 is {tuple(part.shape)} of {part.dtype}: expected {expected} of {x.dtype}"
                )
            return part.squeeze(1)

        parts = h0 if isinstance(h0, tuple) else (h0,)
        wanted = 2 if isinstance(layer, nn.LSTM) else 1
        if len(parts) != wanted or not all(isinstance(part, Tensor) for part in parts):
            kind = "a pair (h, c) of tensors" if wanted == 2 else "a tensor"
            raise TorchliquidError(f"h0 is a {type(h0).__name__}: expected {kind} {expected}")
        return _map(unwrap, h0 if wanted == 2 else parts[0])


def _scan(
    layer: nn.Module, weights: Mapping[str, Tensor], x: Tensor, state: Any, dt: Any
) -> tuple[Tensor, Any]:
    if isinstance(layer, LiquidLayer):
        return layer.scan(weights, x, state, layer.dt if dt is None else dt)
    if dt is not None:
        raise TorchliquidError(
            f"dt was given to a pack of nn.{type(layer).__name__}, which has no notion of time: "
            "leave it out, or append it to x as a feature"
        )
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    values = [weights[name] for name in names if name in weights]
    if isinstance(layer, nn.LSTM):
        return kernels.lstm(x, *state, *values)
    return kernels.gru(x, state, *values)


def _build(make_model: Callable[[int], SequenceModel], seed: int) -> SequenceModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(seed)
    _check_supported(model)
    return model


def _check_supported(model: SequenceModel) -> None:
    if not isinstance(model, SequenceModel):
        raise TorchliquidError(
            f"make_model returned a {type(model).__name__}: expected a SequenceModel"
        )
    layer = model.layer
    if not isinstance(layer, LiquidLayer) and (
        layer.num_layers != 1 or layer.bidirectional or layer.proj_size
    ):
        raise TorchliquidError(f"a pack takes one layer in one direction, unprojected: got {layer}")


def _stack(modules: list[nn.Module]) -> nn.ParameterDict:
    """The modules' parameters under their own names, each stacked along a new first dimension."""
    names = [name for name, _ in modules[0].named_parameters()]
    return nn.ParameterDict(
        {
            name: torch.stack([module.get_parameter(name).detach() for module in modules])
            for name in names
        }
    )


def _map(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)
