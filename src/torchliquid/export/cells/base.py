"""What an exporter knows of a layer, and what a cell gives the exporters.

A cell is one file in this folder: a subclass of `CellExport` and its registration. It holds all
that differs between cells; the writers of C, integers and ONNX hold what is common.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.export.onnx._graph import Graph

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

Weights = Mapping[str, Numbers]
Pair = tuple[Numbers, Numbers]
Names = Sequence[str]

LINEAR_REACH = 100.0
"""Scales that the input of a cell without a gate may be off: nothing else bounds a state."""

NO_COUNTS: Counts = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Layer:
    """One recurrent layer of H neurons with I inputs and G gates.

    Args:
        cell: what the exporters know of its cell.
        w_in: ``(G, H, I)``.
        w_rec: ``(G, H, H)``.
        bias: ``(G, H)``; zeros where the layer has none.
        bias_rec: ``(G, H)``, added to ``w_rec h`` alone (GRU, whose reset gate scales it).
        tau: ``(H,)`` leak time constants (LTC, CTRNN), or None.
        target: A, ``(H,)`` (LTC), or None.
        rate: ``(H,)`` decay between samples (DecayGRU), or None.
        solver: of a layer that has several.
        unfolds: sub-steps for one sample.
        own: numbers of a cell that writes its step itself (`OwnStep`), by name; w_in, w_rec and
            bias have no gates then.
    """

    cell: "CellExport"
    w_in: Numbers
    w_rec: Numbers
    bias: Numbers
    bias_rec: Numbers | None = None
    tau: Numbers | None = None
    target: Numbers | None = None
    rate: Numbers | None = None
    solver: str = ""
    unfolds: int = 1
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """I."""
        return int(self.w_in.shape[2])

    @property
    def hidden(self) -> int:
        """H."""
        return int(self.w_in.shape[1])

    @property
    def gates(self) -> int:
        """G."""
        return int(self.w_in.shape[0])

    @property
    def takes_dt(self) -> bool:
        """Whether time between samples matters."""
        return self.cell.takes_dt

    @property
    def width(self) -> int:
        """How many values it outputs: those of its first state."""
        return self.widths[0]

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the arrays of its state."""
        return self.cell.widths(self)

    def states(self, index: int) -> tuple[str, ...]:
        """Names of the arrays of its state, the output first; ``index`` numbers the layer."""
        return tuple(f"{name}{index}" for name in self.cell.states)

    def state_range(self) -> tuple[Numbers, Numbers]:
        """The least and the largest output of each neuron, ``(H,)``, from a state of zero."""
        return self.cell.state_range(self)

    def state_bound(self) -> Numbers:
        """The largest ``|state|`` of each neuron, ``(H,)``."""
        return np.maximum(*map(np.abs, self.state_range()))


def require(values: Numbers | None) -> Numbers:
    """Return values that every layer of a cell has."""
    if values is None:
        raise ValueError("the layer has no such values")
    return values


def sigmoid(z: Numbers) -> Numbers:
    """``1 / (1 + exp(-z))``, without a warning where it is 0."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * z))


@dataclass(frozen=True)
class Array:
    """A constant array of the C: its values, and what its indices are."""

    name: str
    values: Numbers
    indices: str


@dataclass(frozen=True)
class FloatLayer:
    """A layer as the template of single precision wants it.

    Args:
        of: the layer it is.
        index: its number, from 0.
        arrays: its constants.
        form: which of the cell's equations the C computes.
        step: time of a sub-step, where it is fixed; else None.
        columns: whether weights are ordered [from][to], which wide registers want.
        gate_table: whether sigmoid comes from a table.
        source: C of its constants and its function, where the cell writes them (`OwnStep`).
    """

    of: Layer
    index: int
    arrays: tuple[Array, ...]
    form: str
    step: float | None
    columns: bool
    gate_table: bool
    source: str = ""

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the arrays of its state, the output first."""
        return self.of.states(self.index)

    @property
    def timed(self) -> bool:
        """Whether the time h of a sub-step is an argument of its function in C."""
        return self.step is None and self.of.takes_dt

    def at(self, name: str, row: str = "own") -> str:
        """Return C that reads neuron j's element of a constant; ``row`` points to the neuron."""
        if self.columns:
            return f"layer_{self.index}_is.{name}[j]"
        return f"{row}->{name}" if row else f"layer_{self.index}_is[j].{name}"


@dataclass(frozen=True)
class IntLayer:
    """A layer in integers.

    Args:
        of: the layer it is.
        index: its number, from 0.
        w_in: ``(G, H, I)``.
        w_rec: ``(G, H, H)``.
        bias: ``(G, H)``, 32 bits.
        bias_rec: ``(H,)``, of a GRU's candidate, 32 bits.
        factor: ``(G, H)``: ``z = ((sum >> before) factor) >> after``.
        before: see there.
        after: see there.
        slope: ``(H,)``, see `Blend`; empty where there is none.
        pull: ``(H,)``.
        leak: ``(H,)``.
        shift: of slope, pull and leak.
        wide: whether 32 bits of the state are kept.
        unit: ``(H,)``, of what rows see of the state.
        fold: bits that a GRU's share of the state gives up before the reset gate scales it, so
            that the product fits whatever the counts are.
    """

    of: Layer
    index: int
    w_in: Counts
    w_rec: Counts
    bias: Counts
    bias_rec: Counts
    factor: Counts
    before: int
    after: int
    slope: Counts
    pull: Counts
    leak: Counts
    shift: int
    wide: bool
    unit: Numbers
    fold: int = 0

    @property
    def states(self) -> tuple[tuple[str, str], ...]:
        """Types and names of the arrays of its state, the output first."""
        kinds = ("int32_t" if self.wide else "int16_t", "int32_t")
        return tuple(zip(kinds, self.of.states(self.index), strict=False))


@dataclass(frozen=True)
class Blend:
    """A sub-step of the form ``x' = keep x + g (slope x + pull)``, all ``(H,)``.

    The gate g is ``sigmoid(z + shift)``, or ``tanh(z)`` where the cell's gate is one.
    """

    keep: Numbers
    slope: Numbers
    pull: Numbers
    shift: Numbers


Folded = tuple[str, list[Array], Numbers | float]
"""The form of a step, the cell's own constants, and what is added to z."""


@dataclass(frozen=True)
class OnnxLayer:
    """A layer in an ONNX graph.

    Args:
        of: the layer it is.
        graph: to add nodes to.
        name: prefix of the layer's constants.
        seen: node of the layer's input ``(B, I)``.
        drive: node of what the input adds, with the bias, ``(B, G H)``; empty without gates.
        h: node of the time of a sub-step; empty where the cell takes none.
        fixed: the same as a number, where it is no input.
    """

    of: Layer
    graph: Graph
    name: str
    seen: str
    drive: str
    h: str
    fixed: float

    def constant(self, name: str, values: Any) -> str:
        """Add a constant of this layer."""
        return self.graph.constant(f"{self.name}.{name}", values)

    def recurrent(self, state: str) -> str:
        """Add the node of what a state ``(B, H)`` adds to all gates, ``(B, G H)``."""
        rows = np.concatenate(list(self.of.w_rec), axis=0).T
        return self.graph("MatMul", state, self.constant("w_rec", rows))


class CellExport(ABC):
    """How one kind of cell is exported. Subclasses are registered by `register_export`."""

    name: ClassVar[str]
    """Of the cell, as in `torchliquid.nn.CELLS`."""
    takes_dt: ClassVar[bool] = False
    """Whether time between samples matters."""
    gates: ClassVar[int]
    """Rows of weights for each neuron, in the order of the equations."""
    tanh_gates: ClassVar[tuple[int, ...]] = ()
    """Gates whose function is tanh; that of the others is sigmoid."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the arrays of its state, the output first."""
    split_candidate: ClassVar[bool] = False
    """Whether another gate scales what the state adds to the last gate, as in a GRU."""
    is_linear: ClassVar[bool] = False
    """Whether there is no gate at all: neurons see the input alone, and t is their drive."""
    moves: ClassVar[bool] = False
    """Whether its time constants move with the input."""
    is_blend: ClassVar[bool] = False
    """Whether a sub-step has the form of `Blend` where its solver has; see `blend`."""
    sigmoids: ClassVar[int]
    """Sigmoids of a neuron in a step."""
    tanhs: ClassVar[int]
    """Tanhs of a neuron in a step."""
    products: ClassVar[int]
    """Products of a neuron in a step besides those of its rows, in single precision."""
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]]
    """Lines for the head of the C in single precision, by form."""
    int_equations: ClassVar[tuple[str, ...]]
    """Lines for the head of the C in integers."""
    int_arrays: ClassVar[tuple[str, ...]] = ()
    """Constants of a neuron in integers, besides bias, factors and weights."""
    int_locals: ClassVar[str] = ""
    """Names of 32-bit variables that `int_update` uses."""

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """Return layer k of a module.

        Args:
            weights: of the module, by name.
            positive: those whose softplus counts, after it.
            k: number of the layer.
            module: its ``solver`` and ``unfolds`` are read where it has them.
        """
        bias = weights.get(f"bias_l{k}", weights.get(f"bias_ih_l{k}"))
        bias_rec = weights.get(f"bias_hh_l{k}")
        return Layer(
            self,
            self.by_gate(weights[f"weight_ih_l{k}"]),
            self.by_gate(weights[f"weight_hh_l{k}"]),
            np.zeros((self.gates, module.hidden_size)) if bias is None else self.by_gate(bias),
            None if bias_rec is None else self.by_gate(bias_rec),
            tau=positive.get(f"raw_tau_l{k}"),
            target=weights.get(f"target_l{k}"),
            rate=positive.get(f"raw_rate_l{k}"),
            solver=getattr(module, "solver", ""),
            unfolds=getattr(module, "unfolds", 1),
        )

    def by_gate(self, values: Numbers) -> Numbers:
        """Reshape rows ``(G H, ...)`` to ``(G, H, ...)``."""
        return values.reshape(self.gates, -1, *values.shape[1:])

    def state_range(self, layer: Layer) -> tuple[Numbers, Numbers]:
        """Return the least and the largest output of each neuron, ``(H,)``, from a zero state."""
        return -np.ones(layer.hidden), np.ones(layer.hidden)

    def widths(self, layer: Layer) -> tuple[int, ...]:
        """Return the widths of the arrays of the state: H each."""
        return (layer.hidden,) * len(self.states)

    def log_decay(self, layer: Layer, dt: float) -> Numbers | None:
        """Return the logarithm of what multiplies the state before a sample, ``(H,)``, or None."""
        return None

    # NumPy, in double precision

    @abstractmethod
    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """Return the state after one sample, as two arrays ``(H,)``; the second may be unused.

        ``drive (G, H)`` is what the input adds to each gate's argument, with the bias; ``h`` is
        after the decay.
        """

    # C in single precision

    def fold(self, layer: Layer, h: float | None, gate_table: bool) -> Folded:
        """Return the form of a step, the cell's own constants, and what is added to z.

        ``h`` is the time of a sub-step where it is fixed, else None.

        Raises:
            TorchliquidError: the layer's step has no such form.
        """
        return self.name, [], 0.0

    def helpers(self, form: str, step: float | None) -> set[str]:
        """Return which functions the C of a form calls: sigmoid, tanh, decay, quotient, limited."""
        return {"sigmoid", "tanh"}

    def float_about(self, layer: FloatLayer) -> str:
        """Return the end of the layer's first line in the C, such as its solver."""
        return ""

    def float_before(self, layer: FloatLayer) -> str:
        """Return C that sets ``before`` from the state."""
        return f"memcpy(before, {layer.states[0]}, sizeof before);"

    @abstractmethod
    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """Return C that sets neuron j's state.

        Args:
            layer: with its form, constants and states.
            t: C for the argument of each gate.
            again: C for what the state adds to the last gate, where it is split.
        """

    def divisions(self, layer: Layer, gate_table: bool, variable_dt: bool) -> int:
        """Return how many divisions a neuron's sub-step has in single precision."""
        return 0 if gate_table else self.sigmoids + self.tanhs

    def largest_factor(self, layer: Layer, dt: float) -> float:
        """Return the largest value that a step of this dt multiplies a power of two by."""
        return 2.0

    # C in integers

    def blend(self, layer: Layer, h: float) -> Blend:
        """Return a sub-step of time h as a `Blend`, for cells that are one.

        Raises:
            TorchliquidError: the solver's step is not of this form, or unstable.
        """
        raise NotImplementedError

    @abstractmethod
    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """Update a state by one sub-step, in integers, as `int_update` does in C."""

    def int_before(self, layer: IntLayer) -> str:
        """Return C that changes the state before a sample; empty where nothing does."""
        return ""

    @abstractmethod
    def int_update(self, layer: IntLayer) -> str:
        """Return C that sets neuron j's state: from ``sum``, or from ``z[k]`` of several gates."""

    # ONNX

    @abstractmethod
    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """Add the nodes of one sub-step; return those of the states after it, ``(B, H)`` each."""

    def onnx_sample(self, layer: OnnxLayer, states: Names) -> Names:
        """Add the nodes of one sample, as `onnx` does those of a sub-step."""
        return layer.graph.repeat(layer.of.unfolds, lambda now: self.onnx(layer, now), states)

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """Add the node of the time constants at a sample, ``(B, H)``, of the states before it.

        Raises:
            TorchliquidError: the cell has none.
        """
        raise TorchliquidError(
            f"time_constants is True, but an {self.name} has no time constants: leave it out"
        )

    def time_constant_range(self, layer: Layer) -> Pair | None:
        """Return the least and the largest time constant of each neuron, ``(H,)``, where proven."""
        return None


class OwnStep(CellExport):
    """A cell whose step is not rows of gates: it writes its own C, in single precision alone."""

    gates = 0
    sigmoids = tanhs = products = 0
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    int_equations: ClassVar[tuple[str, ...]] = ()

    def layer(self, inputs: int, hidden: int, own: Mapping[str, Any], unfolds: int = 1) -> Layer:
        """Return a layer of this cell."""
        none = np.zeros((0, hidden))
        w_in, w_rec = np.zeros((0, hidden, inputs)), np.zeros((0, hidden, hidden))
        return Layer(self, w_in, w_rec, none, unfolds=unfolds, own=own)

    def form(self, layer: Layer) -> str:
        """Return the form of the step, from which `helpers` knows what its C calls."""
        return self.name

    @abstractmethod
    def source(
        self, layer: Layer, index: int, scales: Numbers, h: float | None, gate_table: bool
    ) -> str:
        """Return C of the layer's constants and of its function ``layer_INDEX``.

        Args:
            layer: the layer.
            index: its number.
            scales: what its inputs are divided by first, ``(I,)``.
            h: time of a sub-step where it is fixed; None: the function takes a ``dt``.
            gate_table: whether sigmoid and tanh come from a table.
        """

    @abstractmethod
    def operations(self, layer: Layer, gate_table: bool, variable_dt: bool) -> tuple[int, int, int]:
        """Return multiplications, sigmoids (tanh is one too) and divisions in a sample's step."""

    @abstractmethod
    def onnx_sample(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx_sample`."""

    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """Refuse: what integers are fitted to."""
        raise NotImplementedError

    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """Refuse: see `source`."""
        raise NotImplementedError

    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """Refuse: single precision alone."""
        raise NotImplementedError

    def int_update(self, layer: IntLayer) -> str:
        """Refuse: single precision alone."""
        raise NotImplementedError

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """Refuse: see `onnx_sample`."""
        raise NotImplementedError
