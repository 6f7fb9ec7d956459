"""The C sources of a model in integers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from torchliquid.export._text import guard, own_names, render
from torchliquid.export.c._arithmetic import LAST, table
from torchliquid.export.c._quantize import IntModel
from torchliquid.export.cells.base import IntLayer
from torchliquid.messages import plural


def integer_sources(
    model: IntModel, name: str, *, unrolled: bool, calibrated: bool
) -> dict[str, str]:
    """Header and source by their path in the folder; ``calibrated``: by samples of a user's."""
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
        "tanh": any(layer.of.cell.tanh_gates for layer in model.layers),
        "gated": any(layer.of.gates > 1 for layer in model.layers),
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


def _layer(layer: IntLayer) -> SimpleNamespace:
    of = layer.of
    G = of.gates
    head = f"Layer {layer.index}: {of.cell.name}, {plural(of.inputs, 'input')}, {of.hidden} neurons"
    if of.solver:
        head += f", solver {of.solver}, {plural(of.unfolds, 'sub-step')} a sample"
    lines = [head, *(f"    {line}" for line in of.cell.int_equations)]
    names = of.cell.int_arrays
    if names:
        lines.append(f"{', '.join(names)} are in units of 2^-{15 + layer.shift}")

    def by_neuron(counts: Any) -> Any:
        return np.moveaxis(counts, 0, 1) if G > 1 else counts[0]

    arrays = [by_neuron(layer.bias)]
    if of.cell.split_candidate:
        arrays.append(layer.bias_rec)
    arrays.append(by_neuron(layer.factor))
    arrays += [getattr(layer, name) for name in names]
    arrays += [by_neuron(layer.w_in), by_neuron(layer.w_rec)]
    return SimpleNamespace(
        of=of,
        index=layer.index,
        gates=G,
        states=layer.states,
        wide=layer.wide,
        shift=layer.shift,
        before=layer.before,
        after=layer.after,
        own=names,
        split=of.cell.split_candidate,
        locals=of.cell.int_locals,
        first=of.cell.int_before(layer),
        update=of.cell.int_update(layer),
        arrays=arrays,
        about="/* " + "\n * ".join(lines) + "\n */",
    )
