"""Exports of `torchliquid.nn.DecayGRU`: a GRU whose state fades by ``exp(-dt rate)`` first."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from torchliquid.export.c._arithmetic import rounded, rounded_c, seen
from torchliquid.export.c._float_units import LOG2E
from torchliquid.export.cells import register_export
from torchliquid.export.cells.base import (
    Array,
    CellExport,
    Counts,
    FloatLayer,
    Folded,
    IntLayer,
    Layer,
    Names,
    Numbers,
    OnnxLayer,
    Pair,
    Weights,
    require,
)
from torchliquid.export.cells.gru import GRUExport


@register_export
class DecayGRUExport(GRUExport):
    """A GRU that forgets between samples."""

    name = "DecayGRU"
    takes_dt = True
    products = 3
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "DecayGRU": (
            "h~ = h exp(-rate dt); gates 0 to 2: r, z = sigmoid(w_in u + w_rec h~ + bias)",
            "n  = tanh(w_in u + bias + r (w_rec h~ + bias_rec)), h' = (1 - z) n + z h~",
        )
    }
    int_equations = (
        "h~ = h - leak h; gates 0 to 2: r, z = sigmoid(factor (bias + w_in u + w_rec h~))",
        "n  = tanh(w_in u + bias + r (w_rec h~ + bias_rec)), h' = h~ + (n - h~) (1 - z)",
    )
    int_arrays = ("leak",)

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """See `CellExport.read`."""
        return CellExport.read(self, weights, positive, k, module)

    def log_decay(self, layer: Layer, dt: float) -> Numbers:
        """See `CellExport.log_decay`."""
        return -dt * require(layer.rate)

    def fold(self, layer: Layer, h: float | None, gate_table: bool) -> Folded:
        """See `CellExport.fold`."""
        rate = require(layer.rate)
        if h is None:
            return self.name, [Array("rate", rate * LOG2E, "neuron")], 0.0
        return self.name, [Array("keep", np.exp(-h * rate), "neuron")], 0.0

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        return {"sigmoid", "tanh"} | ({"quotient"} if step is None else set())

    def float_before(self, layer: FloatLayer) -> str:
        """See `CellExport.float_before`."""
        h = layer.states[0]
        if layer.timed:
            body = (
                f"    const float v = AT({layer.at('rate', '')}) * h;\n"
                "    const quotient kept = power_of_two(v < 86.0f ? -v : -86.0f);\n\n"
                f"    before[j] = {h}[j] * kept.up / kept.down;\n"
            )
        else:
            body = f"    before[j] = {h}[j] * AT({layer.at('keep', '')});\n"
        first = (
            f"for (j = 0; j < {layer.of.hidden}; j++) {{ /* what was remembered fades first */\n"
        )
        return f"{first}{body}}}"

    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """See `CellExport.int_step`."""
        name = layer.states[0][1]
        before = seen(layer, state[name])
        state[name] = state[name] - rounded(layer.leak * before, layer.shift)
        super().int_step(layer, drive, state)

    def int_before(self, layer: IntLayer) -> str:
        """See `CellExport.int_before`."""
        h, n, H = layer.states[0][1], layer.index, layer.of.hidden
        faded = rounded_c(f"HALF(layer_{n}_is[j].leak) * now", layer.shift)
        return (
            f"for (j = 0; j < {H}; j++) {{ /* what was remembered fades first */\n"
            f"    const int32_t now = added({h}[j], 16384) >> 15;\n\n"
            f"    {h}[j] = added({h}[j], -({faded}));\n"
            "}\n"
        )

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx`."""
        graph = layer.graph
        (state,) = states
        rate = layer.constant("rate", layer.of.rate)
        faded = graph("Mul", state, graph("Exp", graph("Neg", graph("Mul", rate, layer.h))))
        return super().onnx(layer, [faded])

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """See `CellExport.onnx_time_constants`: the same at every sample."""
        return layer.constant("tau", 1 / require(layer.of.rate))

    def time_constant_range(self, layer: Layer) -> Pair:
        """See `CellExport.time_constant_range`."""
        tau = 1 / require(layer.rate)
        return tau, tau
