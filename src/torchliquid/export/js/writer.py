"""Models as JavaScript: an ES module, its types, and a test that runs anywhere."""

import json
from pathlib import Path

from torchliquid.export._samples import Samples, by_torch, made_up, rounding
from torchliquid.export._text import render
from torchliquid.export.c.folder import VECTORS, check_name, new_folder, tolerance, write_files
from torchliquid.export.description import describe
from torchliquid.export.js._program import number
from torchliquid.export.js.source import js_source
from torchliquid.files import check_path
from torchliquid.nn.model import Recurrent, SequenceModel


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
    source = js_source(description, variable_dt=variable_dt, time_constants=time_constants)
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


def _vectors(samples: Samples, variable_dt: bool) -> str:
    """Rows of inputs, dt where it varies, and outputs."""
    lines = []
    for u, dt, y in list(zip(samples.inputs, samples.dt, samples.outputs, strict=True))[:VECTORS]:
        arrays = [f"[{', '.join(map(number, values))}]" for values in (u, y)]
        time = f"{number(dt)}, " if variable_dt else ""
        lines.append(f"  [{arrays[0]}, {time}{arrays[1]}],\n")
    return "[\n" + "".join(lines) + "]"
