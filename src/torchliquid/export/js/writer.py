"""Models as JavaScript: an ES module, its types, and a test that runs anywhere."""

import json
from pathlib import Path
from typing import Any

from torchliquid.export._samples import Samples, by_torch, made_up, rounding
from torchliquid.export._text import render
from torchliquid.export.c.folder import VECTORS, check_name, new_folder, tolerance, write_files
from torchliquid.export.description import Description, check_times, describe
from torchliquid.export.js._program import Program, Writer, number
from torchliquid.export.onnx._nodes import state_names, step
from torchliquid.files import check_path
from torchliquid.nn.model import Recurrent, SequenceModel

HELPERS = {
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


def to_js(
    model: SequenceModel | Recurrent,
    folder: str | Path,
    *,
    name: str = "model",
    dt: float | None = None,
    variable_dt: bool = False,
    time_constants: bool = False,
) -> Path:
    """Write a model as an ES module of JavaScript, without dependencies.

    ``NAME.js`` exports ``create()``, a model at rest with ``step(u)``, and ``model``, what it is;
    ``NAME.d.ts`` holds their types, and ``node NAME_selftest.js`` compares 50 samples with what
    PyTorch made of them. It computes in double precision, and takes and gives physical units where
    the model has a `Scaling`.

    Args:
        model: what `torchliquid.save` takes.
        folder: to be made.
        name: of the files.
        dt: time between samples; None: the layer's own.
        variable_dt: whether every sample comes with its own time: ``step(u, dt)``.
        time_constants: whether a step also tells every neuron's time constant, in ``tau``.

    Returns:
        The folder.

    Raises:
        TorchliquidError: a layer, option, name or folder that does not do.

    >>> import tempfile
    >>> from torchliquid import LTC, SequenceModel
    >>> made = to_js(SequenceModel(LTC(1, 8), 1), tempfile.mkdtemp() + "/pump", name="pump")
    >>> sorted(path.name for path in made.iterdir())
    ['package.json', 'pump.d.ts', 'pump.js', 'pump_selftest.js']
    """
    from torchliquid import __version__

    target = check_path(folder)
    check_name(name)
    description = describe(model, dt)
    source = module(description, variable_dt=variable_dt, time_constants=time_constants)
    inputs, times = made_up(description, variable_dt=variable_dt)
    samples = by_torch(model, description, inputs, times)
    lost = rounding(model, description, samples)
    context = {"d": description, "name": name, "variable_dt": variable_dt, "tau": time_constants,
               "count": VECTORS, "samples": _vectors(samples, variable_dt),
               "tolerance": tolerance(description, samples, "float32", lost)}  # fmt: skip
    package = {"name": name.lower(), "version": "1.0.0", "type": "module", "main": f"{name}.js",
               "types": f"{name}.d.ts", "private": True,
               "description": f"{description.title}, by torchliquid {__version__}"}  # fmt: skip
    files = {
        f"{name}.js": source,
        f"{name}.d.ts": render("model.d.ts.j2", **context),
        f"{name}_selftest.js": render("selftest.js.j2", **context),
        "package.json": json.dumps(package, indent=2) + "\n",
    }
    with new_folder(target) as part:
        write_files(part, files)
    return target


def module(description: Description, *, variable_dt: bool, time_constants: bool) -> str:
    """The text of the module.

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
    writer = Writer([*outputs, *ends, *tau])
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
        helpers=[text for name, text in HELPERS.items() if name in writer.helpers],
        matrices={name: _rows(matrix) for name, matrix in program.matrices.items()},
        facts=literal(facts(description)), tau=time_constants, neurons=len(tau),
        variable_dt=variable_dt, dt=number(description.dt), body="\n".join(writer.lines),
    )  # fmt: skip


def facts(description: Description) -> dict[str, Any]:
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


def literal(value: Any) -> str:
    r"""A value as JavaScript, which may stand in a page: no name in it can end a script.

    >>> literal({"name": "</script>"})
    '{"name": "\\u003c/script>"}'
    """
    return json.dumps(value).replace("<", "\\u003c")


def _rows(matrix: Any) -> str:
    rows = (", ".join(map(number, row)) for row in matrix)
    return "[\n" + "".join(f"  new Float64Array([{row}]),\n" for row in rows) + "]"


def _vectors(samples: Samples, variable_dt: bool) -> str:
    """Rows of inputs, dt where it varies, and outputs."""
    lines = []
    for u, dt, y in list(zip(samples.inputs, samples.dt, samples.outputs, strict=True))[:VECTORS]:
        arrays = [f"[{', '.join(map(number, values))}]" for values in (u, y)]
        time = f"{number(dt)}, " if variable_dt else ""
        lines.append(f"  [{arrays[0]}, {time}{arrays[1]}],\n")
    return "[\n" + "".join(lines) + "]"
