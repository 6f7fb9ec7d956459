"""The JavaScript of a model, from its description."""

import json
from typing import Any

from torchliquid.export._text import render
from torchliquid.export.description import Description, check_times
from torchliquid.export.js._program import DIGITS, Program, Writer, number
from torchliquid.export.onnx._nodes import state_names, step

_HELPERS = {
    "finite": "const finite = (u, mean) => (Number.isFinite(u) ? u : mean);",
    "sigmoid": "const sigmoid = (z) => 1 / (1 + Math.exp(-z));",
    "tanh": "const tanh = (z) => 1 - 2 / (1 + Math.exp(2 * z));",
    "relu": "const relu = (z) => (z > 0 ? z : 0);",
    "product": """const product = (rows, x) => {
  const sums = new Float64Array(rows.length);
  for (let j = 0; j < rows.length; j++) {
    const row = rows[j];
    let sum = 0;
    for (let k = 0; k < x.length; k++) sum += row[k] * x[k];
    sums[j] = sum;
  }
  return sums;
};""",
}


def js_source(
    description: Description, *, variable_dt: bool, time_constants: bool, digits: int = DIGITS
) -> str:
    """Return the text of an ES module with ``create()`` and ``model``; `to_js` writes it.

    Args:
        description: of the model.
        variable_dt: see `to_js`.
        time_constants: see `to_js`.
        digits: of its numbers.

    Raises:
        TorchliquidError: time for a model that takes none, or time constants of one without.
    """
    from torchliquid import __version__

    check_times(description, variable_dt=variable_dt)
    program, names = Program(), state_names(description)
    sample = program.variables(*(f"u{k}" for k in range(description.inputs)))
    depth = len(description.layers)
    places = [
        [f"{name[:-1]}{k}" if depth == 1 else f"{name}_{k}" for k in range(width)]
        for name, width in names
    ]
    states = [program.variables(*place) for place in places]
    time = program.variables("time") if variable_dt else None
    taus: list[str] | None = [] if time_constants else None
    output, after = step(program, description, sample, states, time, taus)

    before = [place for layer in places for place in layer]
    ends = [value for node in after for value in program.values(node)]
    outputs = program.values(output)
    tau = [value for node in taus or () for value in program.values(node)]
    writer = Writer([*outputs, *ends, *tau], digits)
    writer.helpers.add("finite")
    given = {
        f"u{k}": f"finite(u[{k}], {number(column.offset)})"
        for k, column in enumerate(description.scaling.inputs)
    }
    given |= {"time": "dt > 0 ? Math.min(dt, 1e30) : 0"} if variable_dt else {}
    writer.define("const", given)
    writer.define("const", {place: f"s[{k}]" for k, place in enumerate(before)})
    for k, value in enumerate(tau):
        writer.assign(f"tau[{k}]", value)
    for k, value in enumerate(ends):
        writer.assign(f"s[{k}]", value)
    for k, value in enumerate(outputs):
        writer.assign(f"y[{k}]", value)
    if not description.takes_dt:
        times = "Samples are evenly spaced."
    elif variable_dt:
        times = "Each sample comes with the time since the one before."
    else:
        times = f"Samples are {description.dt:.9g} apart."
    return render(
        "model.js.j2", d=description, version=__version__, times=times, size=len(before),
        helpers=[text for name, text in _HELPERS.items() if name in writer.helpers],
        matrices={name: _rows(matrix) for name, matrix in program.matrices.items()},
        facts=_literal(_facts(description)), tau=time_constants, neurons=len(tau),
        variable_dt=variable_dt, dt=number(description.dt), body="\n".join(writer.lines),
    )  # fmt: skip


def _facts(description: Description) -> dict[str, Any]:
    """What the module tells of its model."""
    columns = {
        kind: [
            {"name": column.name, "mean": column.offset, "scale": column.scale}
            for column in getattr(description.scaling, kind)
        ]
        for kind in ("inputs", "outputs")
    }
    layers = []
    for layer in description.layers:
        ends = layer.cell.time_constant_range(layer)
        tau = None if ends is None else [
            [float(f"{low:.9g}"), float(f"{high:.9g}")] for low, high in zip(*ends, strict=True)
        ]  # fmt: skip
        layers.append({"cell": layer.cell.name, "neurons": layer.hidden, "tau": tau})
    return {
        "title": description.title,
        "hash": description.digest[:16],
        "parameters": description.parameters,
        "dt": description.dt if description.takes_dt else None,
        **columns,
        "layers": layers,
    }


def _literal(value: Any) -> str:
    r"""A value as JavaScript, which may stand in a page: no name in it can end a script.

    >>> _literal({"name": "</script>"})
    '{"name": "\\u003c/script>"}'
    """
    return json.dumps(value).replace("<", "\\u003c")


def _rows(matrix: Any) -> str:
    rows = (", ".join(map(number, row)) for row in matrix)
    return "[\n" + "".join(f"  new Float64Array([{row}]),\n" for row in rows) + "]"
