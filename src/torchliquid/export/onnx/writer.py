"""Models as ONNX files, and what proves that they are the same."""

from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.export._samples import by_torch, made_up
from torchliquid.export.c.folder import check_name, new_folder
from torchliquid.export.description import Description, check_times, describe
from torchliquid.export.onnx._graph import Graph
from torchliquid.export.onnx._nodes import OPSET, state_names, step
from torchliquid.files import check_path
from torchliquid.install import install_command
from torchliquid.nn.model import Recurrent, SequenceModel

UNFOLDS = 100
LENGTHS = (7, 50)
"""Of sequences that a new file is tried on: two, so that none can be baked in."""


def to_onnx(
    model: SequenceModel | Recurrent,
    folder: str | Path,
    *,
    name: str = "model",
    dt: float | None = None,
    variable_dt: bool = False,
) -> Path:
    """Write a model as two ONNX files, and run both in ONNX Runtime against torch.

    ``NAME.onnx``: ``input (B, L, I)``, with ``variable_dt`` ``dt (B, L)``, and a state for each
    layer to ``output (B, L, O)`` and the states after; B and L are symbolic. ``NAME_step.onnx``:
    the same for one sample, without L. Numbers are physical where the model has a `Scaling`.

    Args:
        model: what `torchliquid.save` takes.
        folder: to be made.
        name: of the files.
        dt: time between samples; None: the layer's own.
        variable_dt: whether every sample comes with its own time.

    Returns:
        The folder.

    Raises:
        TorchliquidError: onnx or onnxruntime is missing; a layer, name or folder that does not do.
    """
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        raise TorchliquidError(
            f"{error.name} is not installed: {install_command('onnx')}"
        ) from error
    target = check_path(folder)
    check_name(name)
    description = describe(model, dt)
    check_times(description, variable_dt=variable_dt)
    most = max(layer.unfolds for layer in description.layers)
    if most > UNFOLDS:
        raise TorchliquidError(
            f"unfolds is {most}: ONNX holds every sub-step as nodes; give at most {UNFOLDS}"
        )
    files = {
        f"{name}.onnx": _sequence(description, variable_dt=variable_dt),
        f"{name}_step.onnx": _step(description, variable_dt=variable_dt),
    }
    for made in files.values():
        onnx.checker.check_model(made, full_check=True)
    contents = {name_in_folder: made.SerializeToString() for name_in_folder, made in files.items()}
    sessions = [
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for content in contents.values()
    ]
    _check(model, description, variable_dt, *sessions)
    with new_folder(target) as part:
        for name_in_folder, content in contents.items():
            (part / name_in_folder).write_bytes(content)
    return target


def _model(graph: Any) -> Any:
    from onnx import helper

    from torchliquid import __version__

    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
        producer_name="torchliquid",
        producer_version=__version__,
    )


def _value(name: str, *shape: int | str) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _step(description: Description, *, variable_dt: bool) -> Any:
    from onnx import helper

    graph, names = Graph(), state_names(description)
    dt = None
    if variable_dt:
        dt = graph("Unsqueeze", "dt", _axis(graph))
    output, after = step(graph, description, "input", [name for name, _ in names], dt)
    graph.named("output", "Identity", output)
    for (name, _), value in zip(names, after, strict=True):
        graph.named(f"{name}_after", "Identity", value)
    inputs = [_value("input", "B", description.inputs)]
    inputs += [_value("dt", "B")] if variable_dt else []
    inputs += [_value(name, "B", width) for name, width in names]
    outputs = [_value("output", "B", description.outputs)]
    outputs += [_value(f"{name}_after", "B", width) for name, width in names]
    return _model(
        helper.make_graph(graph.nodes, "step", inputs, outputs, list(graph.constants.values()))
    )


def _sequence(description: Description, *, variable_dt: bool) -> Any:
    from onnx import helper

    inner, names = Graph("body_"), state_names(description)
    dt = inner("Unsqueeze", "body_dt", _axis(inner)) if variable_dt else None
    states = [f"body_{name}" for name, _ in names]
    output, after = step(inner, description, "body_input", states, dt)
    body_output = inner.named("body_output", "Identity", output)
    ends = [
        inner.named(f"body_{name}_after", "Identity", value)
        for (name, _), value in zip(names, after, strict=True)
    ]
    scanned = ["body_input", *(["body_dt"] if variable_dt else [])]
    body = helper.make_graph(
        inner.nodes,
        "sample",
        [_value(state, "B", width) for state, (_, width) in zip(states, names, strict=True)]
        + [_value("body_input", "B", description.inputs)]
        + ([_value("body_dt", "B")] if variable_dt else []),
        [_value(end, "B", width) for end, (_, width) in zip(ends, names, strict=True)]
        + [_value(body_output, "B", description.outputs)],
    )
    inputs = [_value("input", "B", "L", description.inputs)]
    inputs += [_value("dt", "B", "L")] if variable_dt else []
    inputs += [_value(name, "B", width) for name, width in names]
    outputs = [_value("output", "B", "L", description.outputs)]
    outputs += [_value(f"{name}_after", "B", width) for name, width in names]
    scan = helper.make_node(
        "Scan",
        [*(name for name, _ in names), "input", *(["dt"] if variable_dt else [])],
        [*(f"{name}_after" for name, _ in names), "output"],
        name="sequence",
        num_scan_inputs=len(scanned),
        scan_input_axes=[1] * len(scanned),
        scan_output_axes=[1],
        body=body,
    )
    return _model(
        helper.make_graph([scan], "sequence", inputs, outputs, list(inner.constants.values()))
    )


def _axis(graph: Graph) -> str:
    from onnx import numpy_helper

    graph.constants["axis"] = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
    return "axis"


def _check(
    model: SequenceModel | Recurrent,
    description: Description,
    variable_dt: bool,
    sequence: Any,
    one: Any,
) -> None:
    """Both files against torch, over two lengths."""
    zeros = {name: np.zeros((1, width), np.float32) for name, width in state_names(description)}
    for length in LENGTHS:
        inputs, dt = made_up(description, variable_dt=variable_dt, steps=length)
        expected = by_torch(model, description, inputs, dt).outputs
        times = {"dt": dt[None]} if variable_dt else {}
        whole = sequence.run(["output"], {"input": inputs[None]} | times | zeros)[0][0]
        states, stepped = dict(zeros), []
        after = [f"{name}_after" for name in states]
        for sample, time in zip(inputs, dt, strict=True):
            now = {"dt": time[None]} if variable_dt else {}
            y, *ends = one.run(["output", *after], {"input": sample[None]} | now | states)
            states = dict(zip(states, ends, strict=True))
            stepped.append(y[0])
        size = float(np.abs(expected).max()) + 1e-6
        for outputs in (whole, np.array(stepped)):
            off = float(np.abs(outputs - expected).max()) / size
            if outputs.shape != expected.shape or not off < 1e-4:
                raise TorchliquidError(
                    f"ONNX Runtime is off torch by {off:.3g} of the largest output: please report "
                    "it with the model"
                )
