"""ONNX graphs from the description of a model: a step with explicit state, and a whole sequence.

The sequence is one Scan node around the same step, so its length stays symbolic. Nothing of torch
is traced: neither lengths nor paths of this machine can leak into the file.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchliquid.export.description import Description, Layer, Numbers, known
from torchliquid.export.floats import check_solver
from torchliquid.functional.ltc_cell import COEFFICIENTS, SMALL

OPSET = 17


class Graph:
    """Nodes in order, and the constants they use."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._prefix = prefix
        self._count = 0

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; give the name of its output."""
        self._count += 1
        return self.named(f"{self._prefix}{op}_{self._count}", op, *inputs, **attributes)

    def named(self, output: str, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node whose output has this name."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """A constant in single precision."""
        from onnx import numpy_helper

        if name not in self.constants:
            array = np.asarray(values, dtype=np.float32)
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def number(self, value: float) -> str:
        """A constant that is one number."""
        return self.constant(f"number_{np.float32(value)!s}", value)


def state_names(description: Description) -> list[tuple[str, int]]:
    """Names and widths of the state's arrays, as in the C."""
    return [
        (name, layer.hidden)
        for index, layer in enumerate(description.layers)
        for name in layer.states(index)
    ]


def step(
    graph: Graph, description: Description, sample: str, states: Sequence[str], dt: str | None
) -> tuple[str, list[str]]:
    """One sample ``(B, I)``: the output ``(B, O)`` and the states after it, ``(B, H)`` each."""
    scaling = description.scaling
    offset = graph.constant("input_offset", [column.offset for column in scaling.inputs])
    scale = graph.constant("input_scale", [column.scale for column in scaling.inputs])
    scaled = graph("Div", graph("Sub", sample, offset), scale)
    after: list[str] = []
    seen, left = scaled, list(states)
    for k, layer in enumerate(description.layers):
        many = 2 if layer.cell == "LSTM" else 1
        own, left = left[:many], left[many:]
        own = _layer(graph, f"layer{k}", layer, seen, own, dt, description.dt)
        seen, after = own[0], after + own
    y = seen
    if description.w_out is not None and description.b_out is not None:
        w_out = graph.constant("w_out", description.w_out.T)
        y = graph("Add", graph("MatMul", seen, w_out), graph.constant("b_out", description.b_out))
    if scaling.change is not None:
        first = graph("Slice", scaled, *(_whole(graph, n) for n in (0, 1, 1)))
        y = graph("Add", first, graph("Mul", y, graph.number(scaling.change)))
    offset = graph.constant("output_offset", [column.offset for column in scaling.outputs])
    scale = graph.constant("output_scale", [column.scale for column in scaling.outputs])
    return graph("Add", graph("Mul", y, scale), offset), after


def _whole(graph: Graph, value: int) -> str:
    from onnx import numpy_helper

    name = f"whole_{value}"
    graph.constants[name] = numpy_helper.from_array(np.array([value], dtype=np.int64), name)
    return name


def _layer(
    graph: Graph,
    name: str,
    layer: Layer,
    seen: str,
    states: list[str],
    dt: str | None,
    fixed: float,
) -> list[str]:
    def rows(kind: str, numbers: Numbers) -> str:
        return graph.constant(f"{name}.{kind}", np.concatenate(list(numbers), axis=0).T)

    bias = graph.constant(f"{name}.bias", layer.bias.reshape(-1))
    drive = graph("Add", graph("MatMul", seen, rows("w_in", layer.w_in)), bias)
    w_rec = rows("w_rec", layer.w_rec)
    if layer.cell in ("LTC", "CTRNN"):
        parts = layer.unfolds
        h = graph("Div", dt, graph.number(parts)) if dt else graph.number(fixed / parts)
        x = states[0]
        for _ in range(layer.unfolds):
            z = graph("Add", drive, graph("MatMul", x, w_rec))
            x = _liquid(graph, name, layer, z, x, h)
        return [x]
    if layer.cell == "LSTM":
        h, c = states
        z = graph("Add", drive, graph("MatMul", h, w_rec))
        i, f, g, o = _split(graph, z, 4)
        kept = graph("Mul", graph("Sigmoid", f), c)
        c = graph("Add", kept, graph("Mul", graph("Sigmoid", i), graph("Tanh", g)))
        return [graph("Mul", graph("Sigmoid", o), graph("Tanh", c)), c]
    h = states[0]
    if layer.rate is not None:
        rate = graph.constant(f"{name}.rate", layer.rate)
        time = dt or graph.number(fixed)
        h = graph("Mul", h, graph("Exp", graph("Neg", graph("Mul", rate, time))))
    again = graph("MatMul", h, w_rec)
    if layer.bias_rec is not None:
        again = graph("Add", again, graph.constant(f"{name}.bias_rec", layer.bias_rec.reshape(-1)))
    own_r, own_z, own_n = _split(graph, drive, 3)
    again_r, again_z, again_n = _split(graph, again, 3)
    r = graph("Sigmoid", graph("Add", own_r, again_r))
    z = graph("Sigmoid", graph("Add", own_z, again_z))
    n = graph("Tanh", graph("Add", own_n, graph("Mul", r, again_n)))
    return [graph("Add", n, graph("Mul", z, graph("Sub", h, n)))]


def _split(graph: Graph, z: str, parts: int) -> list[str]:
    from onnx import helper

    names = [f"{z}_{k}" for k in range(parts)]
    graph.nodes.append(helper.make_node("Split", [z], names, name=f"{z}_split", axis=-1))
    return names


def _liquid(graph: Graph, name: str, layer: Layer, z: str, x: str, h: str) -> str:
    rate = graph.constant(f"{name}.rate", 1 / known(layer.tau))
    if layer.cell == "CTRNN":
        above = graph("Add", x, graph("Mul", h, graph("Tanh", z)))
        return graph("Div", above, graph("Add", graph.number(1), graph("Mul", h, rate)))
    check_solver(layer)
    target = graph.constant(f"{name}.target", layer.target)
    f = graph("Sigmoid", z)
    whole = graph("Add", rate, f)  # 1 / tau_sys
    if layer.solver == "semi_implicit":
        above = graph("Add", x, graph("Mul", h, graph("Mul", f, target)))
        return graph("Div", above, graph("Add", graph.number(1), graph("Mul", h, whole)))
    slope = graph("Sub", graph("Mul", f, target), graph("Mul", x, whole))
    if layer.solver == "euler":
        length = graph("Min", h, graph("Reciprocal", whole))
    else:
        length = _decayed(graph, h, whole)
    return graph("Add", x, graph("Mul", length, slope))


def _decayed(graph: Graph, h: str, rate: str) -> str:
    """``(1 - exp(-h rate)) / rate``, by a series where that cancels."""
    v = graph("Mul", h, rate)
    few = graph("Min", v, graph.number(SMALL))
    series = graph.number(COEFFICIENTS[7])
    for coefficient in COEFFICIENTS[6::-1]:
        series = graph("Add", graph("Mul", series, few), graph.number(coefficient))
    long = graph("Div", graph("Sub", graph.number(1), graph("Exp", graph("Neg", v))), rate)
    small = graph("Less", v, graph.number(SMALL))
    return graph("Where", small, graph("Mul", h, series), long)
