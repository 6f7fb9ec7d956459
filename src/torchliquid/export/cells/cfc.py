"""Exports of `torchliquid.nn.CfC`: maps with activations and a formula, in single precision."""

from typing import Any, ClassVar

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.export._text import render
from torchliquid.export.c._float_units import unit
from torchliquid.export.cells import register_export
from torchliquid.export.cells.base import (
    Array,
    Layer,
    Names,
    Numbers,
    OnnxLayer,
    OwnStep,
    Weights,
)
from torchliquid.export.onnx._graph import Graph
from torchliquid.functional.cfc import LECUN_SCALE, LECUN_SLOPE, MODES
from torchliquid.messages import plural

TANHS = ("tanh", "lecun_tanh")


@register_export
class CfCExport(OwnStep):
    """Closed-form continuous time; any backbone but one of gelu, in the pure mode one of tanh."""

    name = "CfC"
    takes_dt = True
    moves = True
    states: ClassVar[tuple[str, ...]] = ("x",)

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """See `CellExport.read`."""
        if module.map_names and module.activation == "gelu":
            raise TorchliquidError(
                "a CfC whose activation is 'gelu' cannot be exported yet: train one with 'silu'"
            )

        if module.mode == "pure" and not (module.map_names and module.activation in TANHS):
            raise TorchliquidError(
                "a CfC of mode 'pure' can be exported with a backbone of 'tanh' or 'lecun_tanh' "
                "alone: nothing bounds its state otherwise"
            )

        def map_of(name: str, rows: int) -> tuple[Numbers, Numbers]:
            bias = weights.get(f"bias_{name}_l{k}" if name else f"bias_l{k}")
            weight = weights[f"weight_{name or 'ih'}_l{k}"]
            return weight, np.zeros(rows) if bias is None else bias

        H = module.hidden_size
        rows = MODES[module.mode] * H
        first = module.backbone_units if module.map_names else rows
        w_in, bias = map_of("", first)
        own = {
            "w_in": w_in,
            "w_rec": weights[f"weight_hh_l{k}"],
            "bias": bias,
            "maps": [map_of(n, rows if n == "heads" else first) for n in module.map_names],
            "mode": module.mode,
            "activation": module.activation if module.map_names else "",
            "rate": np.abs(weights.get(f"rate_l{k}", np.zeros(H))),
            "target": weights.get(f"target_l{k}", np.zeros(H)),
        }
        return self.layer(w_in.shape[1], H, own)

    def state_range(self, layer: Layer) -> tuple[Numbers, Numbers]:
        """See `CellExport.state_range`."""
        own = layer.own
        if own["mode"] != "pure":
            most = np.full(layer.hidden, 1.0 if own["mode"] == "default" else 2.0)
            return -most, most
        weight, bias = own["maps"][-1]
        largest = np.abs(weight).sum(1) * (LECUN_SCALE if own["activation"] != "tanh" else 1.0)
        most = np.abs(own["target"]) * (1 + largest + np.abs(bias))  # |A - A e f|, e up to 1
        return -most, most

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        mode, _, activation = form.partition(" ")
        found = {"quotient"} if mode == "pure" else {"sigmoid", "tanh"}
        return found | {"silu": {"sigmoid"}, "relu": set(), "": set()}.get(activation, {"tanh"})

    def form(self, layer: Layer) -> str:
        """See `OwnStep.form`: mode and activation."""
        return f"{layer.own['mode']} {layer.own['activation']}"

    def source(
        self, layer: Layer, index: int, scales: Numbers, h: float | None, gate_table: bool
    ) -> str:
        """See `OwnStep.source`."""
        own, H, maps = layer.own, layer.hidden, layer.own["maps"]
        one = unit(gate_table)
        # t of tanh is twice a multiple of z; what lecun_tanh multiplies it by, the next map does
        before = {"tanh": 2 * one, "lecun_tanh": 2 * one * LECUN_SLOPE}.get(own["activation"], 1.0)
        after = LECUN_SCALE if own["activation"] == "lecun_tanh" else 1.0
        w_in = own["w_in"] / scales
        arrays: list[Array] = []
        if maps:
            arrays += [
                Array("w_in", w_in * before, "unit, input"),
                Array("w_rec", own["w_rec"] * before, "unit, neuron"),
                Array("bias", own["bias"] * before, "unit"),
            ]
            for k, (weight, bias) in enumerate(maps[:-1], 1):
                arrays.append(Array(f"w_{k}", weight * after * before, "unit, unit before"))
                arrays.append(Array(f"bias_{k}", bias * before, "unit"))
            parts = {"heads": maps[-1][0] * after}
            bias = maps[-1][1]
        else:
            parts, bias = {"heads_in": w_in, "heads": own["w_rec"]}, own["bias"]
        parts["heads_bias"] = bias[:, None]
        for name, rows in parts.items():
            heads = _heads(own["mode"], rows.reshape(-1, H, rows.shape[-1]), h, one)
            values = np.swapaxes(heads, 0, 1)
            if name == "heads_bias":
                values = values[..., 0]
            from_ = "" if name == "heads_bias" else ", from"
            arrays.append(Array(name, np.ascontiguousarray(values), f"neuron, head{from_}"))
        if own["mode"] == "pure":
            arrays += [Array(name, own[name], "neuron") for name in ("rate", "target")]
        G = arrays[-1].values.shape[1] if own["mode"] != "pure" else 1
        return render(
            "cfc.j2", index=index, arrays=arrays, H=H, I=layer.inputs, G=G, maps=len(maps),
            U=len(own["bias"]), mode=own["mode"], activation=own["activation"], timed=h is None,
            h=h, unit=one, about=_about(layer, index, h),
        )  # fmt: skip

    def operations(self, layer: Layer, gate_table: bool, variable_dt: bool) -> tuple[int, int, int]:
        """See `OwnStep.operations`."""
        own, H = layer.own, layer.hidden
        fewer = own["mode"] != "pure" and not variable_dt  # a dt + b is one head
        matrices = [own["w_in"], own["w_rec"], *(weight for weight, _ in own["maps"])]
        products = sum(matrix.size for matrix in matrices)
        heads = matrices[-1:] if own["maps"] else matrices
        products -= sum(matrix.size // 4 for matrix in heads) if fewer else 0
        activated = len(own["maps"]) * len(own["bias"]) if own["activation"] != "relu" else 0
        if own["mode"] == "pure":
            return products + 4 * H, activated + H, (0 if gate_table else activated) + H
        gates = activated + 3 * H
        return products + H * (2 if variable_dt else 1), gates, 0 if gate_table else gates

    def onnx_sample(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx_sample`."""
        own, graph = layer.of.own, layer.graph
        z = self._heads_of(layer, states)
        if own["mode"] == "pure":
            A, rate = layer.constant("target", own["target"]), layer.constant("rate", own["rate"])
            speed = graph("Mul", layer.h, graph("Add", rate, graph("Abs", z)))
            left = graph("Mul", graph("Exp", graph("Neg", speed)), z)
            return [graph("Sub", A, graph("Mul", A, left))]
        f, g, a, b = graph.split(z, 4)
        f, g = graph("Tanh", f), graph("Tanh", g)
        s = graph("Sigmoid", graph("Add", graph("Mul", a, layer.h), b))
        other = graph("Sub", g, f) if own["mode"] == "default" else g
        return [graph("Add", f, graph("Mul", s, other))]

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """See `CellExport.onnx_time_constants`: 1 / |a|, of one head 1 / (|r| + |f|)."""
        own, graph = layer.of.own, layer.graph
        z = self._heads_of(layer, states)
        if own["mode"] == "pure":
            rate = layer.constant("rate", own["rate"])
            return graph("Reciprocal", graph("Add", rate, graph("Abs", z)))
        return graph("Reciprocal", graph("Abs", graph.split(z, 4)[2]))

    @staticmethod
    def _heads_of(layer: OnnxLayer, states: Names) -> str:
        own, graph = layer.of.own, layer.graph

        def mapped(value: str, part: str, weight: Numbers, bias: Numbers | None) -> str:
            z = graph("MatMul", value, layer.constant(part, weight.T))
            if bias is None:
                return z
            return graph("Add", z, layer.constant(f"{part}_bias", bias))

        z = graph("Add", mapped(layer.seen, "w_in", own["w_in"], own["bias"]),
                  mapped(states[0], "w_rec", own["w_rec"], None))  # fmt: skip
        for k, (weight, bias) in enumerate(own["maps"]):
            z = mapped(_activated(graph, z, own["activation"]), f"map{k}", weight, bias)
        return z


def _heads(mode: str, rows: Numbers, h: float | None, one: float) -> Numbers:
    """Rows ``(heads, H, n)`` as the C has them: scaled, and with a fixed dt a and b in one."""
    if mode == "pure":
        return rows
    f, g, a, b = rows
    gate = [a, b] if h is None else [a * h + b]
    return np.stack([2 * one * f, 2 * one * g, *(one * part for part in gate)])


def _activated(graph: Graph, z: str, activation: str) -> str:
    if activation == "lecun_tanh":
        inner = graph("Tanh", graph("Mul", z, graph.number(LECUN_SLOPE)))
        return graph("Mul", inner, graph.number(LECUN_SCALE))
    if activation == "silu":
        return graph("Mul", z, graph("Sigmoid", z))
    return graph("Relu" if activation == "relu" else "Tanh", z)


def _about(layer: Layer, index: int, h: float | None) -> str:
    own, maps = layer.own, len(layer.own["maps"])
    lines = [f"Layer {index}: CfC, {plural(layer.inputs, 'input')}, {layer.hidden} neurons, mode "
             f"{own['mode']}"]  # fmt: skip
    if maps:
        units = len(own["bias"])
        lines.append(
            f"    {plural(maps, 'map')} of {units} units with {own['activation']}, then heads"
        )
    lines.append(
        {
            "default": "    x' = f + s (g - f), f and g tanhs of two heads, s = sigmoid(a dt + b)",
            "no_gate": "    x' = f + s g, f and g tanhs of two heads, s = sigmoid(a dt + b)",
            "pure": "    x' = A - A f exp(-dt (rate + |f|)) of one head f",
        }[own["mode"]]
    )
    if own["mode"] != "pure":
        lines.append("Rows of f, g and s are multiplied for t, as sigmoid and tanh take it"
                     + ("." if h is None else f"; a dt + b is one row, dt = {h:.9g}."))  # fmt: skip
    return "\n * ".join(lines)
