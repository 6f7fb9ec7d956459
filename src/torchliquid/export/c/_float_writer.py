"""The C sources of a model in single precision."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from torchliquid.export._text import guard, number, own_names, render
from torchliquid.export.c._arithmetic import sigmoid_table
from torchliquid.export.c._float_model import LARGEST_T, fold, limits, longest_dt
from torchliquid.export.c._float_units import ENTRIES, REACH, unit
from torchliquid.export.cells.base import FloatLayer, Numbers, OwnStep
from torchliquid.export.description import Description
from torchliquid.messages import plural


def float_sources(
    description: Description, name: str, dtype: str, *, variable_dt: bool, loops: str
) -> dict[str, str]:
    """Header and source by their path in the folder."""
    from torchliquid import __version__

    gate_table = dtype == "float32-table"
    folded = fold(
        description,
        gate_table=gate_table,
        variable_dt=variable_dt,
        columns=loops == "columns",
    )
    reach, bounded = limits(description, variable_dt=variable_dt)
    inputs, outputs = description.scaling.inputs, description.scaling.outputs
    offsets = np.array([column.offset for column in inputs])
    scales = np.array([column.scale for column in inputs])
    w_out, b_out = description.w_out, description.b_out
    if w_out is not None and b_out is not None:
        size = np.array([c.scale for c in outputs]) * (description.scaling.change or 1.0)
        w_out, b_out = w_out * size[:, None], b_out * size + [c.offset for c in outputs]
    context = {
        "name": name,
        "guard": guard(name),
        "d": description,
        "version": __version__,
        "type": "float",
        "counts": None,
        "states": [
            f"float {state}[{width}]"
            for layer in folded
            for state, width in zip(layer.states, layer.of.widths, strict=True)
        ],
        "layers": [_layer(layer, gate_table) for layer in folded],
        "gate_table": gate_table,
        "variable_dt": variable_dt,
        "unrolled": loops == "unrolled",
        "bounded": bounded,
        "reach": reach,
        "used": _used(folded, gate_table, bounded),
        "table": sigmoid_table(ENTRIES, REACH / ENTRIES),
        "entries": ENTRIES,
        "w_out": w_out,
        "b_out": b_out,
        "means": offsets if offsets.any() else None,
        "farthest": reach * scales,
        "farthest_output": _farthest_output(description, w_out, b_out, reach * scales),
        "longest_dt": longest_dt(description),
    }
    return {
        f"src/{name}.h": render("model.h.j2", **context),
        f"src/{name}.c": own_names(render("float.c.j2", **context), name),
    }


def _farthest_output(
    description: Description, w_out: Numbers | None, b_out: Numbers | None, farthest: Numbers
) -> float:
    """What the first output cannot pass, whatever is put in; a hundredth more, for rounding."""
    reach = description.layers[-1].state_bound()
    if w_out is None or b_out is None:
        return float(1.01 * reach[0])
    most = float(np.abs(b_out[0]) + np.abs(w_out[0]) @ reach)
    if description.scaling.change is not None:
        most += float(farthest[0])
    return 1.01 * most


def _layer(layer: FloatLayer, gate_table: bool) -> SimpleNamespace:
    of = layer.of
    if layer.source:
        return SimpleNamespace(of=of, index=layer.index, states=layer.states, source=layer.source)
    lines = [
        f"Layer {layer.index}: {of.cell.name}, {plural(of.inputs, 'input')}, {of.hidden} neurons"
    ]
    lines[0] += of.cell.float_about(layer)
    lines += [f"    {line}" for line in of.cell.float_equations[layer.form]]
    if of.cell.is_linear:
        pass
    elif not gate_table:
        double = " (of tanh: -2 log2(e))" if of.cell.tanh_gates else ""
        lines.append(f"Weights and bias are multiplied by -log2(e){double}, for t.")
    else:
        double = f" (of tanh: {2 * unit(True):g})" if of.cell.tanh_gates else ""
        lines.append(f"Weights and bias are multiplied by {unit(True):g}{double}, for t.")
    arrays = [
        {
            "name": array.name,
            "numbers": array.values,
            "indices": array.indices if layer.columns else array.indices.removeprefix("[neuron]"),
            "dims": "".join(f"[{size}]" for size in array.values.shape[not layer.columns :]),
        }
        for array in layer.arrays
    ]
    return SimpleNamespace(
        of=of,
        source="",
        index=layer.index,
        gates=of.gates,
        split=of.cell.split_candidate,
        linear=of.cell.is_linear,
        drive="" if of.cell.is_linear else layer.at("bias", ""),
        before=of.cell.float_before(layer),
        update=of.cell.float_update(layer, *_arguments(layer)),
        arrays=arrays,
        columns=layer.columns,
        states=layer.states,
        about="/* " + "\n * ".join(lines) + "\n */",
    )


def _arguments(layer: FloatLayer) -> tuple[list[str], str]:
    """C for the argument t of each gate of neuron j, and for the state's part of the last one."""
    G, split = layer.of.gates, layer.of.cell.split_candidate
    if layer.of.cell.is_linear:
        return ["drive"], ""
    if layer.columns:
        return (["t[j]"] if G == 1 else [f"t[{k}][j]" for k in range(G)]), "again[j]"
    if G == 1:
        return ["t"], ""
    if not split:
        return [f"t[{k}]" for k in range(G)], ""
    return [*(f"t[{k}] + again[{k}]" for k in range(G - 1)), f"t[{G - 1}]"], f"again[{G - 1}]"


def _used(layers: tuple[FloatLayer, ...], gate_table: bool, bounded: bool) -> dict[str, Any]:
    """Which helpers the file needs, and their constants."""
    used: set[str] = set()
    gated = not all(layer.of.cell.is_linear for layer in layers)
    for layer in layers:
        used |= layer.of.cell.helpers(layer.form, layer.step)
    return {
        "quotient": (gated and not gate_table) or bool(used & {"decay", "quotient"}),
        "gates": gated,
        "decay": "decay" in used,
        "sigmoid": "sigmoid" in used,
        "tanh": "tanh" in used,
        "limited": "limited" in used and not gate_table,
        "index": any(isinstance(layer.of.cell, OwnStep) for layer in layers),
        "largest": number(LARGEST_T),
        "reach": f"{REACH:g}",
        "last": number(np.nextafter(np.float32(ENTRIES), np.float32(0))),
        "unit": f"{unit(gate_table):.6g}",
        "unit2": f"{2 * unit(gate_table):.6g}",
    }
