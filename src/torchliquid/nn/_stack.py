"""Layers upon layers, both directions of time, projections: around a cell that knows of none.

A cell runs one layer in one direction and knows its weights by the names they have in the first
layer, such as ``weight_ih_l0``. Here it is run in every layer and direction of a
stack, in torch's order: ``l0``, ``l0_reverse``, ``l1``, ... They lead in states
``(*S, D, B, H)``, where D is layers times directions.

Time read backwards: the interval between two samples is the same from either side. Before the last
sample, which comes first in reverse, none is known: it takes the one that the forward direction has
before its own first sample. So a layer that reads a row backwards, with its directions exchanged,
outputs the same as before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from torchliquid import kernels
from torchliquid.nn._interface import BatchFirst, State

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Stack:
    """How many layers there are and what is between them: arguments of `nn.LSTM`.

    Args:
        num_layers: each but the first runs over the outputs of the one below.
        dropout: share of the outputs between two layers that is dropped now: 0 in evaluation.
        bidirectional: whether every layer also runs backwards; outputs stand side by side.
        projected: whether outputs, which also feed back, are ``weight_hr`` times the state.
        kept: ``(D, state_size)``, 0 for muted neurons and 1 for others; None: all are.
        drops: whether cells also drop values within themselves now.
    """

    num_layers: int = 1
    dropout: float = 0.0
    bidirectional: bool = False
    projected: bool = False
    kept: Tensor | None = None
    drops: bool = False

    @property
    def directions(self) -> int:
        """One or two."""
        return 2 if self.bidirectional else 1

    @property
    def depth(self) -> int:
        """D: layers times directions."""
        return self.num_layers * self.directions

    def suffixes(self) -> Iterator[str]:
        """Return the suffix of the weights' names in each layer and direction."""
        return (self.suffix(index) for index in range(self.depth))

    def indices_of(self, layer: int) -> range:
        """Return the indices of one layer's directions."""
        return range(layer * self.directions, (layer + 1) * self.directions)

    def suffix(self, index: int) -> str:
        """Return the suffix of the weights' names of one layer and direction."""
        layer, reverse = divmod(index, self.directions)
        return f"l{layer}_reverse" if reverse else f"l{layer}"


class Cell(Protocol):
    """What a stack is made of; see `torchliquid.nn.layer.LiquidLayer` for what each does."""

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names in the first layer."""

    def scan(self, weights: Weights, x: Tensor, state: Any, dt: float | Tensor) -> Any:
        """States and the last one."""

    def scan_dropping(self, weights: Weights, x: Tensor, state: Any, dt: float | Tensor) -> Any:
        """`scan` where values are dropped within the cell."""

    def emit(self, weights: Weights, states: Tensor) -> Tensor:
        """Outputs of states."""

    def mute(self, weights: Weights, kept: Tensor) -> Weights:
        """Weights with which muted neurons feed nothing back."""

    def scan_and_read(
        self,
        weights: Weights,
        x: Tensor,
        state: Any,
        dt: float | Tensor,
        readout: Tensor,
        readout_bias: Tensor | None,
    ) -> Any:
        """Readouts and the last state."""


class Timed(Cell, Protocol):
    """A cell with time constants."""

    def scan_time_constants(
        self, weights: Weights, x: Tensor, state: Any, dt: float | Tensor
    ) -> Tensor:
        """System time constants."""


def name_at(name: str, suffix: str) -> str:
    """The name that a weight of the first layer has in another layer or direction.

    >>> name_at("weight_ih_l0", "l2_reverse")
    'weight_ih_l2_reverse'
    """
    return name.removesuffix("l0") + suffix


def run(
    cell: Cell, stack: Stack, weights: Weights, call: BatchFirst, ends: Tensor | None = None
) -> tuple[Tensor, State]:
    """Outputs of the top layer, batch first, and the last state of every layer and direction.

    Args:
        cell: what runs in each of them.
        stack: the layers and directions.
        weights: of all layers and directions, by their full names.
        call: x ``(*S, B, L, I)``, state ``(*S, D, B, H)``, dt.
        ends: how many samples of each row are real, ``(B,)``; what the outputs are after them has
            no meaning. None: all are.
    """
    x, lasts = _below(cell, stack, weights, call, ends, stack.num_layers)
    return x, _joined(lasts)


def run_and_read(
    cell: Cell,
    stack: Stack,
    weights: Weights,
    call: BatchFirst,
    readout: Tensor,
    readout_bias: Tensor | None,
) -> tuple[Tensor, State]:
    """`run` and a linear readout of its outputs, by one kernel where there is one."""
    if stack.bidirectional or stack.projected or stack.kept is not None or stack.drops:
        x, last = run(cell, stack, weights, call)
        return kernels.linear(x, readout, readout_bias), last
    x, lasts = _below(cell, stack, weights, call, None, stack.num_layers - 1)
    top = stack.depth - 1
    of_top, state = _weights_at(cell, stack, weights, top), _state_at(call.state, top)
    y, last = cell.scan_and_read(of_top, x, state, call.dt, readout, readout_bias)
    return y, _joined([*lasts, last])


def run_time_constants(
    cell: Timed, stack: Stack, weights: Weights, call: BatchFirst, ends: Tensor | None = None
) -> Tensor:
    """Return the system time constants ``(*S, D, B, L, H)``; arguments as of `run`."""
    taus, x = [], call.x
    for layer in range(stack.num_layers):
        if layer:
            x, _ = _layer(cell, stack, weights, BatchFirst(x, call.state, call.dt), ends, layer - 1)
        for index in stack.indices_of(layer):
            turn = _Direction(index % stack.directions == 1, ends)
            weights_here, state = (
                _weights_at(cell, stack, weights, index),
                _state_at(call.state, index),
            )
            tau = cell.scan_time_constants(
                weights_here, turn.sequence(x), state, turn.times(call.dt)
            )
            taus.append(turn.sequence(tau))
    return torch.stack(taus, dim=-4)


def initial_outputs(cell: Cell, stack: Stack, weights: Weights, call: BatchFirst) -> list[Tensor]:
    """Return what each direction of the top layer outputs before any sample, ``(*S, B, F)``."""
    outputs = []
    for index in stack.indices_of(stack.num_layers - 1):
        state = _state_at(call.state, index)
        assert isinstance(state, Tensor)  # noqa: S101 - samples are skipped by liquid cells alone
        state = _silenced(stack, index, state).unsqueeze(-2)
        weights_here = _weights_at(cell, stack, weights, index)
        outputs.append(_emitted(cell, stack, weights, weights_here, state, index).squeeze(-2))
    return outputs


def _below(
    cell: Cell,
    stack: Stack,
    weights: Weights,
    call: BatchFirst,
    ends: Tensor | None,
    layers: int,
) -> tuple[Tensor, list[State]]:
    """Outputs of the lowest layers, as the next one takes them, and their last states."""
    lasts: list[State] = []
    x = call.x
    for layer in range(layers):
        x, last = _layer(cell, stack, weights, BatchFirst(x, call.state, call.dt), ends, layer)
        lasts += last
        if stack.dropout and layer < stack.num_layers - 1:
            x = torch.nn.functional.dropout(x, stack.dropout)
    return x, lasts


def _layer(
    cell: Cell,
    stack: Stack,
    weights: Weights,
    call: BatchFirst,
    ends: Tensor | None,
    layer: int,
) -> tuple[Tensor, list[State]]:
    """Outputs of one layer, its directions side by side, and their last states."""
    outputs, lasts = [], []
    for index in stack.indices_of(layer):
        turn = _Direction(index % stack.directions == 1, ends)
        weights_here, state = _weights_at(cell, stack, weights, index), _state_at(call.state, index)
        scan = cell.scan_dropping if stack.drops else cell.scan
        states, last = scan(weights_here, turn.sequence(call.x), state, turn.times(call.dt))
        if ends is not None:
            last = _after(states, state, ends)
        states, last = _silenced(stack, index, states), _silenced(stack, index, last)
        lasts.append(last)
        states = _emitted(cell, stack, weights, weights_here, states, index)
        outputs.append(turn.sequence(states))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1), lasts


def _emitted(
    cell: Cell, stack: Stack, weights: Weights, weights_here: Weights, states: Tensor, index: int
) -> Tensor:
    """Return the outputs of the states ``(*S, B, L, H)`` of one layer and direction.

    A projection is of the state itself: cells that emit something else refuse ``proj_size``.
    """
    if not stack.projected:
        return cell.emit(weights_here, states)
    weight = weights[name_at("weight_hr_l0", stack.suffix(index))]
    return kernels.linear(states, weight, None).to(states.dtype)


class _Direction:
    """Rows read in one of the directions; what is read backwards twice is as it was."""

    def __init__(self, reverse: bool, ends: Tensor | None) -> None:
        self.reverse, self.ends = reverse, ends

    def sequence(self, x: Tensor) -> Tensor:
        """``(*S, B, L, F)``."""
        if not self.reverse:
            return x
        if self.ends is None:
            return x.flip(-2)
        steps = torch.arange(x.shape[-2], device=x.device)
        ends = self.ends[:, None]
        order = torch.where(steps < ends, ends - 1 - steps, steps)
        return x.gather(-2, order.unsqueeze(-1).expand(x.shape))

    def times(self, dt: float | Tensor) -> float | Tensor:
        """``(*S, B, L)``: before each sample, as it is read."""
        if not self.reverse or not isinstance(dt, Tensor):
            return dt
        if self.ends is None:
            return dt.flip(-1).roll(1, -1)
        steps = torch.arange(dt.shape[-1], device=dt.device)
        ends = self.ends[:, None]
        order = torch.where((steps > 0) & (steps < ends), ends - steps, steps)
        return dt.gather(-1, order.expand(dt.shape))


def _weights_at(cell: Cell, stack: Stack, weights: Weights, index: int) -> dict[str, Tensor]:
    """Weights of one layer and direction by the names of the first layer."""
    suffix = stack.suffix(index)
    full = {name: name_at(name, suffix) for name in cell.weight_names}
    weights_here = {name: weights[held] for name, held in full.items() if held in weights}
    if stack.projected:
        # what feeds back is weight_hr x, so that weight_hh weight_hr is applied to the state x
        hh = weights_here["weight_hh_l0"]
        weights_here["weight_hh_l0"] = (hh @ weights[name_at("weight_hr_l0", suffix)]).to(hh.dtype)
    return weights_here if stack.kept is None else dict(cell.mute(weights_here, stack.kept[index]))


def _silenced(stack: Stack, index: int, values: Any) -> Any:
    """Values of each neuron ``(..., H)``, 0 for those that are ablated."""
    return values if stack.kept is None else values * stack.kept[index].to(values)


def _state_at(state: State, index: int) -> State:
    if isinstance(state, tuple):
        return state[0].select(-3, index), state[1].select(-3, index)
    return state.select(-3, index)


def _joined(lasts: list[State]) -> State:
    """The states of all layers and directions in one tensor, which owns its memory."""
    pairs = [last for last in lasts if isinstance(last, tuple)]
    if pairs:
        return (
            torch.stack([h for h, _ in pairs], dim=-3),
            torch.stack([c for _, c in pairs], dim=-3),
        )
    return torch.stack([last for last in lasts if isinstance(last, Tensor)], dim=-3)


def _after(states: Tensor, before: State, ends: Tensor) -> Tensor:
    """State after the last real sample of each row; of a row without any, the one before it."""
    assert isinstance(before, Tensor)  # noqa: S101 - rows of unlike lengths are for liquid cells
    index = (ends - 1).clamp(min=0).view(-1, 1, 1)
    last = states.gather(-2, index.expand(*states.shape[:-2], 1, states.shape[-1])).squeeze(-2)
    return torch.where(ends.view(-1, 1) > 0, last, before)
