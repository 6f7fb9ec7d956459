"""Exports of `torch.nn.GRU`: gates r, z and a candidate n; ``h' = (1 - z) n + z h``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from torchliquid.export.c import _arithmetic as integers
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


@register_export
class GRUExport(CellExport):
    """Gated recurrent unit."""

    name = "GRU"
    gates = 3
    tanh_gates = (2,)
    split_candidate = True
    sigmoids, tanhs, products = 2, 1, 2
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "GRU": (
            "gates 0 to 2: r, z = sigmoid(w_in u + w_rec h + bias)",
            "n  = tanh(w_in u + bias + r (w_rec h + bias_rec)), h' = (1 - z) n + z h",
        )
    }
    int_equations = (
        "gates 0 to 2: r, z = sigmoid(factor (bias + w_in u + w_rec h))",
        "n  = tanh(w_in u + bias + r (w_rec h + bias_rec)), h' = h + (n - h) (1 - z)",
    )
    int_locals = "again = 0, candidate"

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """Return layer k, whose second bias is zeros where it has none."""
        layer = super().read(weights, positive, k, module)
        none = np.zeros((self.gates, module.hidden_size))
        return replace(layer, bias_rec=none) if layer.bias_rec is None else layer

    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """See `CellExport.sample`."""
        again = layer.w_rec @ h + (0.0 if layer.bias_rec is None else layer.bias_rec)
        r, z = sigmoid(drive[:2] + again[:2])
        n = np.tanh(drive[2] + r * again[2])
        return n + z * (h - n), c

    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """See `CellExport.float_update`."""
        h = layer.states[0]
        return (
            f"const float r = sigmoid({t[0]});\n"
            f"const float z = sigmoid({t[1]});\n"
            f"const float n = hyperbolic_tangent({t[2]} + r * {again});\n\n"
            f"{h}[j] = n + z * (before[j] - n);"
        )

    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """See `CellExport.int_step`."""
        name = layer.states[0][1]
        seen = integers.seen(layer, state[name])
        again = layer.w_rec @ seen
        r, z, _ = integers.z_of(layer, drive + again)
        input_part = integers.z_of(layer, drive)[2]
        state_part = integers.z_of(layer, again + layer.bias_rec)[2]
        share = (state_part >> layer.fold) * (integers.sigmoid(r) >> 3)
        n = integers.tangent(input_part + integers.rounded(share, 12 - layer.fold))
        state[name] = state[name] + (n - seen) * (integers.ONE - integers.sigmoid(z))

    def int_update(self, layer: IntLayer) -> str:
        """See `CellExport.int_update`."""
        h, n = layer.states[0][1], layer.index
        folded = f"(z[2] >> {layer.fold})" if layer.fold else "z[2]"
        share = integers.rounded_c("candidate", 12 - layer.fold)
        return (
            f"again = z_{n}(again, HALF(own->factor[2]));\n"
            f"candidate = {folded} * (sigmoid(z[0]) >> 3);\n"
            f"candidate = tangent(again + ({share}));\n"
            f"{h}[j] = added({h}[j], (candidate - before[j]) * (32768 - sigmoid(z[1])));"
        )

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx`."""
        graph = layer.graph
        (state,) = states
        again = layer.recurrent(state)
        if layer.of.bias_rec is not None:
            bias = layer.constant("bias_rec", layer.of.bias_rec.reshape(-1))
            again = graph("Add", again, bias)
        own_r, own_z, own_n = graph.split(layer.drive, 3)
        again_r, again_z, again_n = graph.split(again, 3)
        r = graph("Sigmoid", graph("Add", own_r, again_r))
        z = graph("Sigmoid", graph("Add", own_z, again_z))
        n = graph("Tanh", graph("Add", own_n, graph("Mul", r, again_n)))
        return [graph("Add", n, graph("Mul", z, graph("Sub", state, n)))]
