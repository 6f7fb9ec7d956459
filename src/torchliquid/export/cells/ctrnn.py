"""Exports of `torchliquid.nn.CTRNN`: ``x' = (x + h tanh(z)) / (1 + h / tau)``."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from torchliquid.export.cells import register_export
from torchliquid.export.cells._blended import BlendedCell
from torchliquid.export.cells.base import (
    Array,
    Blend,
    FloatLayer,
    Layer,
    Numbers,
    recurrent,
    require,
)
from torchliquid.export.onnx._graph import Graph


@register_export
class CTRNNExport(BlendedCell):
    """A leaky integrator of tanh."""

    name = "CTRNN"
    tanh_gates = (0,)
    sigmoids, tanhs, products = 0, 1, 2
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "CTRNN": ("x' = (x + h tanh(w_in u + w_rec x + bias)) / (1 + h / tau)",)
    }
    int_equations = ("x' = x + tanh(z) pull - leak x, z = factor (bias + w_in u + w_rec x)",)
    int_arrays = ("pull", "leak")

    def state_range(self, layer: Layer) -> tuple[Numbers, Numbers]:
        """Return -tau and tau."""
        tau = require(layer.tau)
        return -tau, tau

    def sample(
        self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float
    ) -> tuple[Numbers, Numbers]:
        """See `CellExport.sample`."""
        gate = np.tanh(drive[0] + layer.w_rec[0] @ h)
        return (h + dt * gate) / (1 + dt / require(layer.tau)), c

    def fold(
        self, layer: Layer, h: float | None, gate_table: bool
    ) -> tuple[str, list[Array], Numbers | float]:
        """See `CellExport.fold`."""
        tau = require(layer.tau)
        if h is None:
            return self.name, [Array("rate", 1 / tau, "neuron")], 0.0
        c = 1 + h / tau
        leak = Array("leak", h / tau / c, "neuron")
        return self.name, [leak, Array("gain", h / c, "neuron")], 0.0

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        return {"tanh"}

    def float_update(
        self, layer: FloatLayer, gate_table: bool, timed: bool, t: Sequence[str], again: str
    ) -> str:
        """See `CellExport.float_update`."""
        x, at, gate = layer.states[0], layer.at, f"hyperbolic_tangent({t[0]})"
        if timed:
            return f"{x}[j] = (before[j] + h * {gate}) / (1.0f + h * AT({at('rate')}));"
        change = f"AT({at('gain')}) * {gate} - AT({at('leak')}) * before[j]"
        return f"{x}[j] = before[j] + ({change});"

    def divisions(self, layer: Layer, gate_table: bool, variable_dt: bool) -> int:
        """See `CellExport.divisions`."""
        return int(variable_dt) + super().divisions(layer, gate_table, variable_dt)

    def blend(self, layer: Layer, h: float) -> Blend:
        """See `CellExport.blend`."""
        tau = require(layer.tau)
        none = np.zeros_like(tau)
        c = 1 + h / tau
        return Blend(1 / c, none, h / c, none)

    def onnx(
        self, graph: Graph, name: str, layer: Layer, drive: str, states: Sequence[str], h: str
    ) -> list[str]:
        """See `CellExport.onnx`."""
        (x,) = states
        z = graph("Add", drive, recurrent(graph, name, layer, x))
        rate = graph.constant(f"{name}.rate", 1 / require(layer.tau))
        above = graph("Add", x, graph("Mul", h, graph("Tanh", z)))
        return [graph("Div", above, graph("Add", graph.number(1), graph("Mul", h, rate)))]
