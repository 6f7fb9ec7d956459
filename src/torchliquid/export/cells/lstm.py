"""Exports of `torch.nn.LSTM`: gates i, f, g, o; ``c' = f c + i g``, ``h' = o tanh(c')``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from torchliquid.export._text import number
from torchliquid.export.c import _arithmetic as integers
from torchliquid.export.c._float_units import unit
from torchliquid.export.cells import register_export
from torchliquid.export.cells.base import (
    CellExport,
    Counts,
    FloatLayer,
    IntLayer,
    Layer,
    Names,
    Numbers,
    OnnxLayer,
    Pair,
    Weights,
    sigmoid,
)

C_BITS = 26
"""The memory is in units of 2^-26,"""
C_LAST = 30
"""and no larger than this."""


@register_export
class LSTMExport(CellExport):
    """Long short-term memory."""

    name = "LSTM"
    gates = 4
    tanh_gates = (2,)
    states = ("h", "c")
    sigmoids, tanhs, products = 3, 2, 4
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "LSTM": (
            "gates 0 to 3: i, f, g, o = w_in u + w_rec h + bias",
            "c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')",
        )
    }
    int_equations = (
        "gates 0 to 3: i, f, g, o = factor (bias + w_in u + w_rec h)",
        "c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')",
    )
    int_locals = "c, f"

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """Return layer k, whose two biases are one."""
        layer = super().read(weights, positive, k, module)
        if layer.bias_rec is None:
            return layer
        return replace(layer, bias=layer.bias + layer.bias_rec, bias_rec=None)

    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """See `CellExport.sample`."""
        i, f, g, o = drive + layer.w_rec @ h
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        return {"sigmoid", "tanh", "limited"}

    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """See `CellExport.float_update`."""
        h, c = layer.states
        inner = f"{c}[j]" if layer.gate_table else f"limited({c}[j])"
        tanh_unit = number(2 * unit(layer.gate_table))
        new = f"sigmoid({t[0]}) * hyperbolic_tangent({t[2]})"
        return (
            f"{c}[j] = sigmoid({t[1]}) * {c}[j] + {new};\n"
            f"{h}[j] = sigmoid({t[3]}) * hyperbolic_tangent({tanh_unit} * {inner});"
        )

    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """See `CellExport.int_step`."""
        (_, name), (_, memory) = layer.states
        seen = integers.seen(layer, state[name])
        i, f, g, o = integers.z_of(layer, drive + layer.w_rec @ seen)
        c, forget = state[memory], integers.sigmoid(f)
        kept = 2 * (c >> 16) * forget + (((c & 0xFFFF) * forget) >> 15)
        new = integers.sigmoid(i) * integers.tangent(g)
        c = kept + integers.rounded(new, 30 - C_BITS)
        c = np.clip(c, -(C_LAST << C_BITS), C_LAST << C_BITS)
        state[memory] = c
        # 2 c in units of z
        out = integers.sigmoid(o) * integers.tangent(c >> (C_BITS - 13))
        state[name] = integers.rounded(out, 15)

    def int_update(self, layer: IntLayer) -> str:
        """See `CellExport.int_update`."""
        (_, h), (_, memory) = layer.states
        last = C_LAST << C_BITS
        new = f"(sigmoid(z[0]) * tangent(z[2]) + {2 ** (29 - C_BITS)}) >> {30 - C_BITS}"
        out = f"(sigmoid(z[3]) * tangent(c >> {C_BITS - 13}) + 16384) >> 15"
        return (
            f"c = {memory}[j];\n"
            "f = sigmoid(z[1]);\n"
            "/* c f, in two halves so that it stays within 32 bits */\n"
            "c = 2 * (c >> 16) * f + (int32_t)(((uint32_t)(c & 0xFFFF) * (uint32_t)f) >> 15);\n"
            f"c = added(c, {new});\n"
            f"c = c < {last} ? c : {last};\n"
            f"c = c > -{last} ? c : -{last};\n"
            f"{memory}[j] = c;\n"
            f"{h}[j] = (int16_t)({out});"
        )

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx`."""
        graph = layer.graph
        state, c = states
        z = graph("Add", layer.drive, layer.recurrent(state))
        i, f, g, o = graph.split(z, 4)
        kept = graph("Mul", graph("Sigmoid", f), c)
        c = graph("Add", kept, graph("Mul", graph("Sigmoid", i), graph("Tanh", g)))
        return [graph("Mul", graph("Sigmoid", o), graph("Tanh", c)), c]
