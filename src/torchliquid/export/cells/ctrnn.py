"""Exports of `torchliquid.nn.CTRNN`: ``x' = (x + h tanh(z)) / (1 + h / tau)``."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from torchliquid.export.cells import register_export
from torchliquid.export.cells._blended import BlendedCell
from torchliquid.export.cells.base import (
    Array,
    Blend,
    FloatLayer,
    Folded,
    Layer,
    Names,
    Numbers,
    OnnxLayer,
    Pair,
    require,
)


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

    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """See `CellExport.sample`."""
        gate = np.tanh(drive[0] + layer.w_rec[0] @ h)
        return (h + dt * gate) / (1 + dt / require(layer.tau)), c

    def fold(self, layer: Layer, h: float | None, gate_table: bool) -> Folded:
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

    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """See `CellExport.float_update`."""
        x, at, gate = layer.states[0], layer.at, f"hyperbolic_tangent({t[0]})"
        if layer.timed:
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

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx`."""
        graph = layer.graph
        (x,) = states
        z = graph("Add", layer.drive, layer.recurrent(x))
        rate = layer.constant("rate", 1 / require(layer.of.tau))
        above = graph("Add", x, graph("Mul", layer.h, graph("Tanh", z)))
        return [graph("Div", above, graph("Add", graph.number(1), graph("Mul", layer.h, rate)))]

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """See `CellExport.onnx_time_constants`: the same at every sample."""
        return layer.constant("tau", require(layer.of.tau))

    def time_constant_range(self, layer: Layer) -> Pair:
        """See `CellExport.time_constant_range`."""
        tau = require(layer.tau)
        return tau, tau
