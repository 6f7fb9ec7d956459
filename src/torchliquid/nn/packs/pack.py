"""Packs: many models of one shape trained side by side, one per lane."""

import copy
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr
from torchliquid.nn import _forward as calls
from torchliquid.nn._interface import Interface, State, initial_state
from torchliquid.nn._stack import run_and_read
from torchliquid.nn._torch_cells import TorchCell
from torchliquid.nn.layer import LiquidLayer, Watched
from torchliquid.nn.model import Recurrent, SequenceModel, has_extras
from torchliquid.nn.packs._build import MakeModel, build_lanes, check_seeds
from torchliquid.nn.packs._stacked import StackedWeights


class Pack(Watched, nn.Module):
    """S models of one shape side by side, one per lane; lanes never mix.

    Lane i holds the weights that ``make_model(seeds[i])`` draws after
    ``torch.manual_seed(seeds[i])``, and behaves as that model trained alone: any optimiser that
    works element by element (SGD, Adam, ...) takes ``pack.parameters()``; sum the lanes' losses
    before ``backward()``, so that each lane gets its own gradient. To clip gradients call the
    pack's own `clip_grad_norm_`: torch's takes one norm over all lanes.

    To build it the process's random generators are neither read nor moved, and other threads may
    draw from them meanwhile. Dropout draws from them, for each lane again: there a lane follows the
    distribution of its model trained alone, not its very draws. Frozen weights
    (``requires_grad=False``) stay frozen.

    Args:
        make_model: builds the `SequenceModel` of a seed, a new one in each call (it is called once
            more for the first seed): over a liquid layer, or over an `nn.LSTM` or `nn.GRU` without
            projection.
        seeds: one integer for each lane, all different.

    The parameters are the models', stacked along a new first dimension S, contiguous, under the
    same names and in the same order. They are read as attributes of ``pack.layer`` and
    ``pack.readout``: pruning, parametrisations or tensors set in their place count.

    Raises:
        TorchliquidError: a model holds what a pack does not run: a subclass with a forward of its
            own, hooks, buffers, parametrised, tied or shared weights; the models are not alike, or
            do not follow from their seeds.

    >>> from torchliquid import LTC
    >>> pack = Pack(lambda seed: SequenceModel(LTC(1, 8, batch_first=True), 1), seeds=range(3))
    >>> y, h = pack(torch.zeros(2, 10, 1))
    >>> y.shape, h.shape
    (torch.Size([3, 2, 10, 1]), torch.Size([3, 1, 2, 8]))
    """

    def __init__(self, make_model: MakeModel, seeds: Iterable[int]) -> None:
        super().__init__()
        self.seeds = check_seeds(seeds)
        models = build_lanes(make_model, self.seeds)
        self._template = (models[0],)  # in a tuple, so that its weights are not the pack's
        self._cell = (cell_of(models[0].layer),)
        self.layer = StackedWeights([model.layer for model in models])
        self.readout = StackedWeights([model.readout for model in models])
        self._watchers = {}
        self.train(models[0].training)

    def train(self, mode: bool = True) -> "Pack":
        """As of every module; the model that all lanes share, which is none of them, follows."""
        super().train(mode)
        self.model.train(mode)
        return self

    def __len__(self) -> int:
        """S, the number of lanes."""
        return len(self.seeds)

    @property
    def model(self) -> SequenceModel:
        """The model whose shape and options all lanes share; its weights are not theirs."""
        return self._template[0]

    def interface(self) -> Interface:
        """What calls must look like: the model's interface with lanes."""
        cell = self._cell[0]
        weight: Tensor = getattr(self.layer, cell.weight_names[0])
        return cell.interface().of_pack(len(self), weight)

    def forward(
        self,
        x: Tensor,
        h0: State | None = None,
        dt: float | Tensor | None = None,
        lengths: Any = None,
        observed: Tensor | None = None,
        *,
        hx: State | None = None,
    ) -> tuple[Tensor, State]:
        """Run every lane over its sequences, laid out as the lanes' models take them.

        Args:
            x: input ``(S, L, B, I)``, or ``(L, B, I)`` shared by all lanes; with the models'
                ``batch_first`` ``(S, B, L, I)`` or ``(B, L, I)``.
            h0: state ``(S, D, B, H)``, D being layers times directions, for an LSTM a pair
                ``(h, c)`` of them; zeros if None.
            dt: liquid layers only: a number, ``(S, L, B)``, or ``(L, B)`` shared by all lanes; with
                ``batch_first`` ``(S, B, L)`` or ``(B, L)``.
            lengths: liquid layers only: real samples of each row, ``(B,)``, for all lanes;
                predictions at padded steps are those of a state of zero, and mean nothing.
            observed: liquid layers only: which samples, or features, were observed, booleans for
                all lanes, laid out like x without them.
            hx: h0 by the name that `nn.LSTM` has for it.

        Returns:
            Predictions laid out like ``x``, with lanes and O features, and the last state, shaped
            like ``h0``.
        """
        h0 = initial_state(h0, hx)
        result = self._run(x, h0, dt, lengths, observed)
        self.notify(x, h0, dt, lengths, observed)
        return result

    def _has_extras(self) -> bool:
        return has_extras(self.layer) or has_extras(self.readout)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled: a copy has no watchers, and a cell of its own."""
        return {n: v for n, v in vars(self).items() if n != "_cell"} | {"_watchers": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As of every module."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._cell = (cell_of(self.model.layer),)

    def _run(
        self, x: Tensor, h0: State | None, dt: Any, lengths: Any, observed: Tensor | None
    ) -> tuple[Tensor, State]:
        cell = self._cell[0]
        if not self._has_extras():
            weights, readout_weights = self.layer._parameters, self.readout._parameters
            done = cell.try_fast_forward(weights, readout_weights, x, h0, dt, lengths, observed)
            if done is not None:
                return done
        held = self.readout()
        readout: Any = (held["weight"], held.get("bias"))
        if lengths is not None or observed is not None:
            outputs, last = self._states(x, h0, dt, lengths, observed)
            return kernels.linear(outputs, *readout), last
        interface = self.interface()
        call = interface.to_batch_first(x, h0, dt)
        stack = cell.stack(self.training)
        y, last = run_and_read(cell, stack, self.layer(), call, *readout)
        return interface.restore(y, 4), interface.restore_state(last, 4)

    def states(
        self,
        x: Tensor,
        h0: State | None = None,
        dt: float | Tensor | None = None,
        lengths: Any = None,
        observed: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The layers without their readouts: outputs like the predictions, and the last state.

        Arguments as in the call.
        """
        result = self._states(x, h0, dt, lengths, observed)
        self.notify(x, h0, dt, lengths, observed)
        return result

    def _states(
        self, x: Tensor, h0: State | None, dt: Any, lengths: Any, observed: Tensor | None
    ) -> tuple[Tensor, State]:
        cell, interface = self._cell[0], self.interface()
        mine = {"lengths": lengths, "observed": observed}
        named = [name for name, value in mine.items() if value is not None]
        if named and not isinstance(cell, LiquidLayer):
            raise TorchliquidError(
                f"{named[0]} was given to a pack of {interface.kind}, whose rows are whole: leave "
                "it out"
            )
        if not has_extras(self.layer):
            weights = self.layer._parameters
            done = cell.try_fast_forward(weights, None, x, h0, dt, lengths, observed)
            if done is not None:
                return done
        stack, weights = cell.stack(self.training), self.layer()
        return calls.outputs(cell, interface, stack, weights, x, h0, dt, lengths, observed)

    @torch.no_grad()
    def time_constants(
        self,
        x: Tensor,
        h0: Tensor | None = None,
        dt: float | Tensor | None = None,
        lengths: Any = None,
        observed: Tensor | None = None,
    ) -> Tensor:
        """tau_sys of every lane in the unit of dt, laid out like the states; arguments as above.

        Of several layers or directions, D of them, these follow the lanes: ``(S, D, ...)``.
        """
        layer = self.model.layer
        if not isinstance(layer, LiquidLayer):
            raise TorchliquidError(f"a pack of {type(layer).__name__} has no time constants")
        stack, weights = layer.stack(False), self.layer()
        return calls.time_constants(
            layer, self.interface(), stack, weights, x, h0, dt, lengths, observed
        )

    @torch.no_grad()
    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Scale each lane's gradients down to a norm of at most ``max_norm``, in place.

        What `torch.nn.utils.clip_grad_norm_` does to each model alone.

        Returns:
            The norms ``(S,)`` before.
        """
        number = isinstance(max_norm, Real) and not isinstance(max_norm, bool)
        if not number or not 0 < max_norm < 10**300:
            raise TorchliquidError(
                f"max_norm is {short_repr(max_norm)}: give a positive, finite number"
            )
        limit = float(max_norm)
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        if not grads:
            return torch.zeros(len(self))
        norms: Tensor = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
        factors = (limit / (norms + 1e-6)).clamp(max=1)
        for g in grads:
            g.mul_(factors.to(g.dtype).view(-1, *[1] * (g.dim() - 1)))
        return norms

    def lane(self, index: int) -> SequenceModel:
        """The ordinary model of one lane: a copy, with that lane's weights."""
        if isinstance(index, bool) or not isinstance(index, Integral):
            raise TorchliquidError(f"lane is {short_repr(index)}: give an integer")
        lane_index = int(index)
        if not -len(self) <= lane_index < len(self):
            raise TorchliquidError(f"lane {lane_index} of a pack of {len(self)}: there is none")
        model = copy.deepcopy(self.model)
        for part, held in ((model.layer, self.layer), (model.readout, self.readout)):
            for name, value in held().items():
                parameter = nn.Parameter(value.detach()[lane_index].clone(), value.requires_grad)
                setattr(part, name, parameter)
        return model.train(self.training)


def cell_of(layer: Recurrent) -> LiquidLayer | TorchCell:
    """What runs a layer's cell with weights that it is handed."""
    return layer if isinstance(layer, LiquidLayer) else TorchCell(layer)
