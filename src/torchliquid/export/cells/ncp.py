"""Exports of `torchliquid.nn.NCP`: loops over lists of synapses, in single precision."""

from typing import Any, ClassVar

import numpy as np

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
    Pair,
    Weights,
)
from torchliquid.messages import plural

Pairs = tuple[str, str]
POSITIVE = ("w", "sensory_w", "gleak", "cm")


@register_export
class NCPExport(OwnStep):
    """A gate for every synapse; its state is the motors, mapped, and all neurons."""

    name = "NCP"
    takes_dt = True
    moves = True
    states: ClassVar[tuple[str, ...]] = ("y", "v")

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """See `CellExport.read`."""
        own: dict[str, Any] = {
            name.removesuffix(f"_l{k}"): value
            for name, value in weights.items()
            if name.endswith(f"_l{k}") and not name.startswith("readout")
        }
        for name in POSITIVE:
            raw = own[name]
            own[name] = np.logaddexp(0, raw) if module.implicit else np.maximum(raw, 0)
        below = module.output_size * (2 if module.bidirectional else 1)
        I = below if k else module.input_size
        wiring, H, M = module.wiring, module.hidden_size, module.output_size
        own["neuron_edges"] = np.argwhere(wiring.recurrent)
        own["sensory_edges"] = np.argwhere(wiring.sensory(I))
        for side, size in (("input", I), ("output", M)):
            own.setdefault(f"{side}_w", np.ones(size))
            own.setdefault(f"{side}_b", np.zeros(size))
        own |= {"epsilon": module.epsilon, "motors": M}
        return self.layer(I, H, own, module.unfolds)

    def widths(self, layer: Layer) -> tuple[int, ...]:
        """See `CellExport.widths`: motors, neurons."""
        return layer.own["motors"], layer.hidden

    def state_range(self, layer: Layer) -> tuple[Numbers, Numbers]:
        """Return the motors' range: a state is a mean of polarities, its leak's goal and 0."""
        own = layer.own
        low, high = np.minimum(own["vleak"], 0), np.maximum(own["vleak"], 0)
        for kind, start in (("neuron", ""), ("sensory", "sensory_")):
            into = own[f"{kind}_edges"][:, 1]
            np.minimum.at(low, into, own[f"{start}erev"])
            np.maximum.at(high, into, own[f"{start}erev"])
        M = own["motors"]
        ends = [own["output_w"] * v[:M] + own["output_b"] for v in (low, high)]
        return np.minimum(*ends), np.maximum(*ends)

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        return {"sigmoid"}

    def source(
        self, layer: Layer, index: int, scales: Numbers, h: float | None, gate_table: bool
    ) -> str:
        """See `OwnStep.source`."""
        own, H = layer.own, layer.hidden
        arrays: list[Array] = []
        for kind, start in (("sensory", "sensory_"), ("neuron", "")):
            edges = own[f"{kind}_edges"]
            if not len(edges):
                continue
            order = np.argsort(edges[:, 1], kind="stable")
            source, into = edges[order].T
            sigma, mu, w, erev = (
                own[f"{start}{name}"][order] for name in ("sigma", "mu", "w", "erev")
            )
            slope, offset = sigma, -sigma * mu
            if kind == "sensory":  # inputs come from their mean, and are mapped
                slope = sigma * own["input_w"][source] / scales[source]
                offset = sigma * (own["input_b"][source] - mu)
            starts = np.searchsorted(into, np.arange(H + 1))
            numbers = {"slope": slope * unit(gate_table), "offset": offset * unit(gate_table),
                       "w": w, "w_erev": w * erev}  # fmt: skip
            arrays += [
                Array(f"{kind}_start", starts.astype(np.int64), "neuron"),
                Array(f"{kind}_from", source.astype(np.int64), "synapse"),
                *(Array(f"{kind}_{name}", values, "synapse") for name, values in numbers.items()),
            ]
        neurons = {
            "leak_top": own["gleak"] * own["vleak"],
            "leak_bottom": own["gleak"] + own["epsilon"],
            "cm": own["cm"] / (1 if h is None else h),
        }
        arrays += [Array(name, values, "neuron") for name, values in neurons.items()]
        arrays += [Array(name, own[name], "motor") for name in ("output_w", "output_b")]
        counts = [len(own[f"{kind}_edges"]) for kind in ("sensory", "neuron")]
        return render(
            "ncp.j2", index=index, arrays=arrays, H=H, I=layer.inputs, M=own["motors"],
            seen=counts[0] > 0, sent=counts[1] > 0, timed=h is None, unfolds=layer.unfolds,
            about=_about(layer, index, h, counts),
        )  # fmt: skip

    def operations(self, layer: Layer, gate_table: bool, variable_dt: bool) -> tuple[int, int, int]:
        """See `OwnStep.operations`."""
        own, K, H = layer.own, layer.unfolds, layer.hidden
        gates = len(own["sensory_edges"]) + K * len(own["neuron_edges"])
        products = 3 * gates + K * H * (3 if variable_dt else 1) + own["motors"]
        return products, gates, K * H + (0 if gate_table else gates)

    def onnx_sample(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx_sample`."""
        own, graph = layer.of.own, layer.graph
        cm, sensed = layer.constant("cm", own["cm"]), _sensed(layer)

        def stepped(now: Names) -> Names:
            top, bottom = _currents(layer, "neuron", now[0], sensed)
            up = graph("Add", graph("Mul", cm, now[0]), graph("Mul", layer.h, top))
            return [graph("Div", up, graph("Add", cm, graph("Mul", layer.h, bottom)))]

        (v,) = graph.repeat(layer.of.unfolds, stepped, states[1:])
        motors = graph("Slice", v, *graph.integers(0, own["motors"], 1))
        y = graph("Mul", motors, layer.constant("output_w", own["output_w"]))
        return [graph("Add", y, layer.constant("output_b", own["output_b"])), v]

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """See `CellExport.onnx_time_constants`: cm / (gleak + the sum of open conductances)."""
        _, bottom = _currents(layer, "neuron", states[1], _sensed(layer))
        return layer.graph("Div", layer.constant("cm", layer.of.own["cm"]), bottom)

    def time_constant_range(self, layer: Layer) -> Pair:
        """See `CellExport.time_constant_range`: all gates open, and all shut."""
        own = layer.own
        least = own["gleak"] + own["epsilon"]
        most = least.copy()
        for kind, start in (("neuron", ""), ("sensory", "sensory_")):
            np.add.at(most, own[f"{kind}_edges"][:, 1], own[f"{start}w"])
        return own["cm"] / most, own["cm"] / least


def _sensed(layer: OnnxLayer) -> Pairs:
    """What the leak and the inputs add above and below, ``(B, H)`` each."""
    own, graph = layer.of.own, layer.graph
    x = graph("Add", graph("Mul", layer.seen, layer.constant("input_w", own["input_w"])),
              layer.constant("input_b", own["input_b"]))  # fmt: skip
    leak = (
        layer.constant("leak_top", own["gleak"] * own["vleak"]),
        layer.constant("leak_bottom", own["gleak"] + own["epsilon"]),
    )
    return _currents(layer, "sensory", x, leak)


def _currents(layer: OnnxLayer, kind: str, values: str, more: Pairs) -> Pairs:
    """What synapses add to that: gates in a row, sums into neurons as products."""
    own, graph, H = layer.of.own, layer.graph, layer.of.hidden
    start, edges = ("" if kind == "neuron" else "sensory_"), own[f"{kind}_edges"]
    if not len(edges):
        return more
    sigma, mu, w, erev = (own[f"{start}{part}"] for part in ("sigma", "mu", "w", "erev"))
    sources = H if kind == "neuron" else layer.of.inputs
    slopes, into = np.zeros((sources, len(edges))), np.zeros((len(edges), H))
    each = np.arange(len(edges))
    slopes[edges[:, 0], each], into[each, edges[:, 1]] = sigma, 1
    z = graph("MatMul", values, layer.constant(f"{kind}_slope", slopes))
    gate = graph("Sigmoid", graph("Sub", z, layer.constant(f"{kind}_offset", sigma * mu)))
    tables = (into * (w * erev)[:, None], into * w[:, None])
    top, bottom = (
        graph("Add", graph("MatMul", gate, layer.constant(f"{kind}_{part}", table)), before)
        for part, table, before in zip(("top", "bottom"), tables, more, strict=True)
    )
    return top, bottom


def _about(layer: Layer, index: int, h: float | None, counts: list[int]) -> str:
    K, M = layer.unfolds, layer.own["motors"]
    lines = [
        f"Layer {index}: NCP, {plural(layer.inputs, 'input')}, {layer.hidden} neurons, the first "
        f"{plural(M, 'neuron')} motors",
        f"    {counts[0]} synapses from inputs, {counts[1]} among neurons, {plural(K, 'sub-step')}"
        + ("" if h is None else f" of {h:.9g}"),
        "    r  = w sigmoid(sigma (v_from - mu)) of each synapse, t = slope v + offset",
        "    v' = (cm v + h (leak_top + sum of r erev)) / (cm + h (leak_bottom + sum of r))",
        "    y  = output_w v + output_b of the motors",
    ]
    if h is not None:
        lines.append("cm is divided by h.")
    return "\n * ".join(lines)
