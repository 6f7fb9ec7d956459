"""ONNX graphs from the description of a model: a step with explicit state, and a whole sequence.

The sequence is one Scan node around the same step, so its length stays symbolic. Nothing of torch
is traced: neither lengths nor paths of this machine can leak into the file.
"""

from collections.abc import Sequence

import numpy as np

from torchliquid.export.cells.base import Layer, OnnxLayer
from torchliquid.export.description import Description
from torchliquid.export.onnx._graph import Graph

OPSET = 17


def state_names(description: Description) -> list[tuple[str, int]]:
    """Names and widths of the state's arrays, as in the C."""
    return [
        (name, width)
        for index, layer in enumerate(description.layers)
        for name, width in zip(layer.states(index), layer.widths, strict=True)
    ]


def step(
    graph: Graph,
    description: Description,
    sample: str,
    states: Sequence[str],
    dt: str | None,
    taus: list[str] | None = None,
) -> tuple[str, list[str]]:
    """One sample ``(B, I)``: the output ``(B, O)`` and the states after it, ``(B, H)`` each.

    Nodes of the layers' time constants ``(B, H)`` are added to ``taus``.
    """
    scaling = description.scaling
    offset = graph.constant("input_offset", [column.offset for column in scaling.inputs])
    scale = graph.constant("input_scale", [column.scale for column in scaling.inputs])
    scaled = graph("Div", graph("Sub", sample, offset), scale)
    after: list[str] = []
    seen, left = scaled, list(states)
    for k, layer in enumerate(description.layers):
        count = len(layer.cell.states)
        before, left = left[:count], left[count:]
        nodes = _nodes(graph, f"layer{k}", layer, seen, dt, description.dt)
        if taus is not None:
            taus.append(layer.cell.onnx_time_constants(nodes, before))
        ends = list(layer.cell.onnx_sample(nodes, before))
        seen, after = ends[0], after + ends
    y = seen
    if description.w_out is not None and description.b_out is not None:
        w_out = graph.constant("w_out", description.w_out.T)
        y = graph("Add", graph("MatMul", seen, w_out), graph.constant("b_out", description.b_out))
    if scaling.change is not None:
        first = graph("Slice", scaled, *graph.integers(0, 1, 1))
        y = graph("Add", first, graph("Mul", y, graph.number(scaling.change)))
    offset = graph.constant("output_offset", [column.offset for column in scaling.outputs])
    scale = graph.constant("output_scale", [column.scale for column in scaling.outputs])
    return graph("Add", graph("Mul", y, scale), offset), after


def _nodes(
    graph: Graph, name: str, layer: Layer, seen: str, dt: str | None, fixed: float
) -> OnnxLayer:
    h = drive = ""
    if layer.takes_dt and not layer.cell.is_linear:
        h = dt or graph.number(fixed / layer.unfolds)
        if dt and layer.unfolds > 1:
            h = graph("Div", dt, graph.number(layer.unfolds))
    if layer.gates:
        bias = graph.constant(f"{name}.bias", layer.bias.reshape(-1))
        w_in = graph.constant(f"{name}.w_in", np.concatenate(list(layer.w_in), axis=0).T)
        drive = graph("Add", graph("MatMul", seen, w_in), bias)
    return OnnxLayer(layer, graph, name, seen, drive, h, fixed / layer.unfolds)
