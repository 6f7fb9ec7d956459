"""The C sources of a model in whole numbers."""

from typing import Any

import numpy as np

from torchliquid.checks import count
from torchliquid.export.integers import C_BITS, C_LAST, LAST, IntLayer, IntModel, table
from torchliquid.export.text import guard, own_names, render

EQUATIONS = {
    "LTC": (
        "g  = sigmoid(z), z = factor (bias + w_in u + w_rec x)",
        "x' = x + g (slope x + pull) - leak x",
    ),
    "CTRNN": ("x' = x + tanh(z) pull - leak x, z = factor (bias + w_in u + w_rec x)",),
    "LSTM": (
        "gates 0 to 3: i, f, g, o = factor (bias + w_in u + w_rec h)",
        "c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')",
    ),
    "GRU": (
        "gates 0 to 2: r, z = sigmoid(factor (bias + w_in u + w_rec h))",
        "n  = tanh(w_in u + bias + r (w_rec h + bias_rec)), h' = h + (n - h) (1 - z)",
    ),
    "DecayGRU": (
        "h~ = h - leak h; gates 0 to 2: r, z = sigmoid(factor (bias + w_in u + w_rec h~))",
        "n  = tanh(w_in u + bias + r (w_rec h~ + bias_rec)), h' = h~ + (n - h~) (1 - z)",
    ),
}


def integer_sources(
    model: IntModel, name: str, *, unrolled: bool, calibrated: bool
) -> dict[str, str]:
    """Header and source by their place in the folder; ``calibrated``: by samples of a user's."""
    from torchliquid import __version__

    d = model.of
    context: dict[str, Any] = {
        "name": name,
        "guard": guard(name),
        "d": d,
        "version": __version__,
        "type": "int16_t",
        "variable_dt": False,
        "calibrated": calibrated,
        "counts": model.lines(),
        "states": [
            f"{kind} {state}[{layer.of.hidden}]"
            for layer in model.layers
            for kind, state in layer.states
        ],
    }
    source: dict[str, Any] = {
        "bits": model.bits,
        "unrolled": unrolled,
        "table": table(),
        "last": LAST,
        "tanh": any(layer.of.cell != "LTC" for layer in model.layers),
        "gated": any(layer.of.w_in.shape[0] > 1 for layer in model.layers),
        "c_bits": C_BITS,
        "c_last": C_LAST << C_BITS,
        "layers": [_layer(layer) for layer in model.layers],
        "w_out": model.w_out,
        "b_out": model.b_out,
        "first": model.w_first.tolist() if d.scaling.change is not None else None,
        "shift": model.shift,
    }
    return {
        f"src/{name}.h": render("model.h.j2", **context),
        f"src/{name}.c": own_names(render("integer.c.j2", **context | source), name),
    }


def _layer(layer: IntLayer) -> dict[str, Any]:
    of = layer.of
    G = of.w_in.shape[0]
    head = f"Layer {layer.index}: {of.cell}, {count(of.inputs, 'input')}, {of.hidden} neurons"
    if of.cell == "LTC":
        head += f", solver {of.solver}, {count(of.unfolds, 'sub-step')} a sample"
    lines = [head, *(f"    {line}" for line in EQUATIONS[of.cell])]
    own = {"LTC": ["pull", "slope", "leak"], "CTRNN": ["pull", "leak"], "DecayGRU": ["leak"]}
    names = own.get(of.cell, [])
    if names:
        lines.append(f"{', '.join(names)} are in units of 2^-{15 + layer.shift}")

    def by_neuron(counts: Any) -> Any:
        return np.moveaxis(counts, 0, 1) if G > 1 else counts[0]

    arrays = [by_neuron(layer.bias)]
    if G == 3:
        arrays.append(layer.bias_rec)
    arrays.append(by_neuron(layer.factor))
    arrays += [getattr(layer, name) for name in names]
    arrays += [by_neuron(layer.w_in), by_neuron(layer.w_rec)]
    return {
        "of": of,
        "index": layer.index,
        "gates": G,
        "states": layer.states,
        "wide": layer.wide,
        "shift": layer.shift,
        "before": layer.before,
        "after": layer.after,
        "fold": layer.fold,
        "own": names,
        "arrays": arrays,
        "about": "/* " + "\n * ".join(lines) + "\n */",
    }
