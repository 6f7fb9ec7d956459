"""The C sources of a model in single precision."""

from typing import Any

import numpy as np

from torchliquid.checks import count
from torchliquid.export.description import Description, Numbers
from torchliquid.export.floats import (
    ENTRIES,
    LARGEST_T,
    REACH,
    FloatLayer,
    fold,
    limits,
    longest_dt,
    table,
    unit,
)
from torchliquid.export.text import guard, number, own_names, render

EQUATIONS = {
    "quotient": (
        "t  = bias + w_in u + w_rec x, exp(-z) = 2^t",
        "x' = (x + h f A) / (1 + h (1/tau + f)), f = 1 / (1 + exp(-z))",
        "both multiplied by 1 + exp(-z): one division; leak = 1 + h / tau, pull = h A",
    ),
    "blend": (
        "t  = bias + w_in u + w_rec x, g = sigmoid(z)",
        "x' = (1 - g) closed(x) + g open(x): steps with the gate closed and open, straight in x",
        "   = x + g (slope x + pull) - leak x",
    ),
    "fused": (
        "t  = bias + w_in u + w_rec x, f = sigmoid(z)",
        "x' = (x + h f A) / (1 + h (rate + f)), rate = 1/tau, A = target",
    ),
    "euler": (
        "t  = bias + w_in u + w_rec x, f = sigmoid(z)",
        "x' = x + h (f A - (rate + f) x), rate = 1/tau, A = target",
    ),
    "exponential": (
        "t  = bias + w_in u + w_rec x, f = sigmoid(z)",
        "x' = x + (f A - r x) (1 - exp(-h r)) / r, r = rate + f, rate = 1/tau, A = target",
    ),
    "CTRNN": ("x' = (x + h tanh(w_in u + w_rec x + bias)) / (1 + h / tau)",),
    "LSTM": (
        "gates 0 to 3: i, f, g, o = w_in u + w_rec h + bias",
        "c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')",
    ),
    "GRU": (
        "gates 0 to 2: r, z = sigmoid(w_in u + w_rec h + bias)",
        "n  = tanh(w_in u + bias + r (w_rec h + bias_rec)), h' = (1 - z) n + z h",
    ),
    "DecayGRU": (
        "h~ = h exp(-rate dt); gates 0 to 2: r, z = sigmoid(w_in u + w_rec h~ + bias)",
        "n  = tanh(w_in u + bias + r (w_rec h~ + bias_rec)), h' = (1 - z) n + z h~",
    ),
}


def float_sources(
    description: Description, name: str, dtype: str, *, variable_dt: bool, loops: str
) -> dict[str, str]:
    """Header and source by their place in the folder."""
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
            f"float {state}[{layer.of.hidden}]" for layer in folded for state in layer.states
        ],
        "layers": [_layer(layer, gate_table) for layer in folded],
        "gate_table": gate_table,
        "variable_dt": variable_dt,
        "unrolled": loops == "unrolled",
        "bounded": bounded,
        "reach": reach,
        "used": _used(folded, gate_table, bounded),
        "table": table(),
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
    reach = description.layers[-1].bound()
    if w_out is None or b_out is None:
        return float(1.01 * reach[0])
    most = float(np.abs(b_out[0]) + np.abs(w_out[0]) @ reach)
    if description.scaling.change is not None:
        most += float(farthest[0])
    return 1.01 * most


def _layer(layer: FloatLayer, gate_table: bool) -> dict[str, Any]:
    of = layer.of
    lines = [f"Layer {layer.index}: {of.cell}, {count(of.inputs, 'input')}, {of.hidden} neurons"]
    if of.cell == "LTC":
        step = "" if layer.step is None else f", h = {layer.step:.9g}"
        unfolds = f"{of.unfolds} sub-steps of h a sample" if of.unfolds > 1 else "one step a sample"
        lines[0] += f", solver {of.solver}, {unfolds}{step}"
    lines += [f"    {line}" for line in EQUATIONS[layer.form]]
    if not gate_table:
        double = " (of tanh: -2 log2(e))" if of.cell != "LTC" else ""
        lines.append(f"Weights and bias are multiplied by -log2(e){double}, for t.")
    else:
        double = f" (of tanh: {2 * unit(True):g})" if of.cell != "LTC" else ""
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
    return {
        "of": of,
        "index": layer.index,
        "gates": layer.gates,
        "arrays": arrays,
        "form": layer.form,
        "step": layer.step,
        "columns": layer.columns,
        "states": layer.states,
        "tanh_unit": 2 * unit(gate_table),
        "about": "/* " + "\n * ".join(lines) + "\n */",
    }


def _used(layers: tuple[FloatLayer, ...], gate_table: bool, bounded: bool) -> dict[str, Any]:
    """Which helpers the file needs, and their constants."""
    forms = {layer.form for layer in layers}
    cells = {layer.of.cell for layer in layers}
    gated = bool(cells & {"LSTM", "GRU", "DecayGRU"})
    fading = any(layer.form == "DecayGRU" and layer.step is None for layer in layers)
    decay = "exponential" in forms
    plain = bool(forms & {"blend", "euler", "exponential", "fused"})
    sigmoid = plain or gated
    return {
        "quotient": not gate_table or decay or fading,
        "decay": decay,
        "sigmoid": sigmoid,
        "tanh": gated or "CTRNN" in cells,
        "limited": "LSTM" in cells and not gate_table,
        "largest": number(LARGEST_T),
        "reach": f"{REACH:g}",
        "last": number(np.nextafter(np.float32(ENTRIES), np.float32(0))),
        "unit": f"{unit(gate_table):.6g}",
        "unit2": f"{2 * unit(gate_table):.6g}",
    }
