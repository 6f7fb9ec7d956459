"""A model as a folder of C: written whole, or not at all."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.export._costs import operations, state_bytes
from torchliquid.export._markdown_report import report
from torchliquid.export._samples import (
    MADE_UP_REACH,
    Samples,
    by_torch,
    check_inputs,
    columns,
    errors,
    made_up,
    rounding,
)
from torchliquid.export._text import RESERVED, guard, own_names, render
from torchliquid.export.c import _fixed_point as golden
from torchliquid.export.c._arithmetic import ONE
from torchliquid.export.c._bias_correction import quantised
from torchliquid.export.c._float_model import limits
from torchliquid.export.c._float_writer import float_sources
from torchliquid.export.c._int_writer import integer_sources
from torchliquid.export.c._quantize import IntModel
from torchliquid.export.cells.base import OwnStep
from torchliquid.export.description import Description, check_times, describe
from torchliquid.files import check_path, exists
from torchliquid.messages import short_repr
from torchliquid.nn.model import Recurrent, SequenceModel

FLOATS = ("float32", "float32-table")
BITS = {"q8": 8, "q16": 16}
DTYPES = (*FLOATS, *BITS)
LOOPS = ("rolled", "unrolled", "columns")
VECTORS = 50


def to_c(
    model: SequenceModel | Recurrent,
    folder: str | Path,
    *,
    name: str = "model",
    dtype: str = "float32",
    dt: float | None = None,
    variable_dt: bool = False,
    loops: str = "rolled",
    calibrate: Any = None,
    test: Any = None,
    test_dt: Any = None,
) -> Path:
    """Write a model as C99, with what builds, tests and describes it.

    The C takes and gives physical units where the model has a `Scaling`.

    Args:
        model: what `torchliquid.save` takes.
        folder: to be made.
        name: what functions and files are called, a C identifier.
        dtype: ``"float32"``; ``"float32-table"``, whose sigmoid comes from a table; ``"q8"`` or
            ``"q16"``: integers, with weights of 8 or 16 bits.
        dt: time between samples; None: the layer's own.
        variable_dt: whether every sample comes with its own time.
        loops: ``"rolled"`` (least flash), ``"unrolled"`` (fewest instructions on a
            microcontroller) or ``"columns"`` (for wide registers: SSE, AVX, NEON).
        calibrate: ``(T, I)``, physical: samples such as the model was trained on, which set the
            range of inputs in integers and how weights are rounded. None: made up, within
            three scales of each column's mean; the header says what range that is.
        test: ``(T, I)``, physical: samples to verify the C on; None: made up.
        test_dt: ``(T,)``, time before each of them, where dt is variable.

    Returns:
        The folder.

    Raises:
        TorchliquidError: a layer, option, name or folder that does not do.

    >>> import tempfile
    >>> from torchliquid import LTC, SequenceModel
    >>> made = to_c(SequenceModel(LTC(1, 8), 1), tempfile.mkdtemp() + "/pump", name="pump")
    >>> sorted(path.name for path in (made / "src").iterdir())
    ['pump.c', 'pump.h']
    """
    target = check_path(folder)
    check_name(name)
    _check_choice("dtype", dtype, DTYPES)
    _check_choice("loops", loops, LOOPS)
    description = describe(model, dt)
    check_times(description, variable_dt=variable_dt)
    options: dict[str, Any] = {"dtype": dtype, "variable_dt": variable_dt, "loops": loops}
    counted = None
    _check_loops(description, loops)
    if dtype in BITS:
        if any(layer.cell.is_linear for layer in description.layers):
            raise TorchliquidError(
                f"{description.layers[0].cell.name} cannot be exported in integers: its equation "
                "bounds no state; give float32"
            )
        _check_counted(description, variable_dt, loops)
        least = 0.0 if calibrate is not None else MADE_UP_REACH
        samples_seen = _calibration(description, calibrate)
        counted = quantised(description, samples_seen, BITS[dtype], least)
        options["calibrated"] = calibrate is not None
        sources = integer_sources(
            counted, name, unrolled=loops == "unrolled", calibrated=options["calibrated"]
        )
    else:
        if calibrate is not None:
            raise TorchliquidError(f"calibrate is for q8 and q16, not for {dtype}: leave it out")
        sources = float_sources(description, name, dtype, variable_dt=variable_dt, loops=loops)
    samples = _samples(model, description, variable_dt, test, test_dt)
    with new_folder(target) as part:
        lost = rounding(model, description, samples)
        _write(part, name, description, options, sources, samples, counted, lost)
    return target


def _check_loops(description: Description, loops: str) -> None:
    own = [x.cell.name for x in description.layers if isinstance(x.cell, OwnStep)]
    if own and loops != "rolled":
        raise TorchliquidError(
            f"loops is {loops!r}, but an {own[0]} is written in rolled loops alone: leave it out"
        )


def _check_counted(description: Description, variable_dt: bool, loops: str) -> None:
    own = [x.cell.name for x in description.layers if isinstance(x.cell, OwnStep)]
    if own:
        raise TorchliquidError(f"{own[0]} cannot be exported in integers yet: give float32")
    if variable_dt:
        raise TorchliquidError(
            "integers are for a fixed dt: leave variable_dt out, or export float32"
        )
    if loops == "columns":
        raise TorchliquidError("loops 'columns' is for float32: give 'rolled' or 'unrolled'")


def _calibration(description: Description, calibrate: Any) -> Any:
    inputs, _ = made_up(description, variable_dt=False)
    if calibrate is not None:
        inputs = check_inputs(description, calibrate, "calibrate")
    offset, scale = columns(description.scaling.inputs)
    return (inputs - offset) / scale


def _write(
    part: Path,
    name: str,
    description: Description,
    options: dict[str, Any],
    sources: dict[str, str],
    samples: Samples,
    counted: IntModel | None,
    lost: float,
) -> None:
    from torchliquid import __version__

    context: dict[str, Any] = {
        "name": name,
        "guard": guard(name),
        "d": description,
        "version": __version__,
        "samples": samples,
        "count": min(VECTORS, len(samples.inputs)),
        "type": "float" if counted is None else "int16_t",
        "tolerance": tolerance(description, samples, options["dtype"], lost),
        "given": samples.inputs,
        "expected": samples.outputs,
    } | options
    if counted is not None:
        context["given"] = counted.to_counts(samples.inputs)
        context["expected"] = _golden(counted, context["given"])
    files = dict(sources)
    files[f"test/{name}_selftest.c"] = own_names(render("selftest.c.j2", **context), name)
    files["CMakeLists.txt"] = render("CMakeLists.txt.j2", **context)
    files["library.properties"] = render("library.properties.j2", **context)
    files[f"examples/{name}_demo/{name}_demo.ino"] = render("demo.ino.j2", **context)
    for file in ("module.yml", "CMakeLists.txt", "Kconfig"):
        files[f"zephyr/{file}"] = render(f"zephyr_{file}.j2", **context)
    counts = None if counted is None else (context["given"], context["expected"])
    files["test/vectors.csv"] = vectors_table(samples, counts)
    facts = {
        "schema": 1,
        "name": name,
        "model": description.title,
        "parameters": description.parameters,
        "hash": description.digest,
        "dt": description.dt if description.takes_dt else None,
        "options": options,
        "tolerance": context["tolerance"],
        "rounding": lost,
        "bound": bound(description, variable_dt=options["variable_dt"]),
        "state": state_bytes(description, counted),
        "operations": operations(description, options["dtype"], variable_dt=options["variable_dt"]),
        "steps": len(samples.inputs),
        "saturated": _saturated(
            description, samples, context["given"], counted, options["variable_dt"]
        ),
        "error": None
        if counted is None
        else errors(counted.to_numbers(context["expected"]), samples.outputs),
        "counts": None if counted is None else counted.lines(),
        "inputs": [column.name for column in description.scaling.inputs],
        "outputs": [column.name for column in description.scaling.outputs],
    }
    files["report.json"] = json.dumps(facts, indent=2) + "\n"
    files["report.md"] = report(facts)
    write_files(part, files)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts, by their paths in a folder."""
    for path_in_folder, text in files.items():
        path = folder / path_in_folder
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _golden(counted: IntModel, inputs: Any) -> Any:
    try:
        return golden.run(counted, inputs)
    except OverflowError as error:
        raise TorchliquidError(
            f"{error} as the model runs over its samples: its weights are too large for whole "
            "numbers; export float32"
        ) from error


def _saturated(
    description: Description,
    samples: Samples,
    inputs: Any,
    counted: IntModel | None,
    variable_dt: bool,
) -> int:
    """Inputs of the samples that were beyond their range, and read as its end."""
    if counted is not None:
        return int((np.abs(inputs) >= ONE - 1).sum())
    offset, scale = columns(description.scaling.inputs)
    reach, _ = limits(description, variable_dt=variable_dt)
    return int((np.abs((samples.inputs - offset) / scale) > reach).sum())


def bound(description: Description, *, variable_dt: bool) -> float:
    """The largest that an output can be, whatever is put in; of the widest column."""
    reach = description.layers[-1].state_bound()
    outputs = description.scaling.outputs
    scale, offset = (np.array([getattr(c, k) for c in outputs]) for k in ("scale", "offset"))
    if description.w_out is None or description.b_out is None:
        return float((np.abs(offset) + scale * reach).max())
    size = np.abs(description.w_out) @ reach + np.abs(description.b_out)
    if description.scaling.change is not None:
        reach_in, _ = limits(description, variable_dt=variable_dt)
        size = description.scaling.change * size + reach_in
    return float((np.abs(offset) + scale * size).max())


TOLERANCES = {"float32": 1.5e-6, "float32-table": 3e-4, "q8": 3e-2, "q16": 1e-2}
"""How far the C may be from torch, as a share of the largest output that states could make,"""
LOST = {"float32": 4.0, "float32-table": 500.0, "q8": 0.0, "q16": 0.0}
"""and as a multiple of what torch loses in single precision: a table is 500 times coarser."""


def tolerance(description: Description, samples: Samples, dtype: str, lost: float) -> float:
    """The same in units of the output: the widest column's; ``lost`` is `samples.rounding`."""
    reach = description.layers[-1].state_bound()
    if description.w_out is not None:
        reach = np.abs(description.w_out) @ reach * (description.scaling.change or 1.0)
    scales = np.array([column.scale for column in description.scaling.outputs])
    # numbers far from zero have bits of their own to lose
    digits = 4e-7 * float(np.abs(samples.outputs).max())
    share = TOLERANCES[dtype] * float((reach * scales).max())
    return float(f"{share + digits + LOST[dtype] * lost:.3g}")


def vectors_table(samples: Samples, counts: tuple[Any, Any] | None = None) -> str:
    """Inputs, times and torch's outputs, and both in counts where the C is of integers."""
    I, O = samples.inputs.shape[1], samples.outputs.shape[1]
    head = [*(f"input{i}" for i in range(I)), "dt", *(f"output{o}" for o in range(O))]
    columns = [samples.inputs, samples.dt[:, None], samples.outputs]
    if counts is not None:
        head += [f"given{i}" for i in range(I)] + [f"count{o}" for o in range(O)]
        columns += counts
    rows = np.concatenate(columns, axis=1)
    lines = [",".join(f"{value:.9g}" for value in row) for row in rows]
    return "\n".join([",".join(head), *lines]) + "\n"


def _samples(
    model: SequenceModel | Recurrent,
    description: Description,
    variable_dt: bool,
    test: Any,
    test_dt: Any,
) -> Samples:
    inputs, dt = made_up(description, variable_dt=variable_dt)
    if test is not None:
        inputs = check_inputs(description, test)
        if variable_dt and test_dt is None:
            raise TorchliquidError(
                "test has no times, but dt is variable: give test_dt, a time before each sample"
            )
        dt = np.full(len(inputs), description.dt, dtype=np.float32)
    if test_dt is not None:
        dt = np.asarray(test_dt, dtype=np.float32)
        if not variable_dt or dt.shape != (len(inputs),) or not (dt >= 0).all():
            raise TorchliquidError(
                f"test_dt has shape {dt.shape}: give it with variable_dt and test, one time that "
                "is not negative for each row"
            )
    return by_torch(model, description, inputs, dt)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``target`` at the end, and is gone if anything fails.

    Raises:
        TorchliquidError: there is something already, or no place to write to.
    """
    if exists(target):
        raise TorchliquidError(f"{target} exists: give a folder that does not, or remove it")
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        part.chmod(_mode_of_new_folders(part))
        yield part
        part.rename(target)
    except OSError as error:
        raise TorchliquidError(
            f"cannot write {target} ({error.strerror}): give a folder that can be written to"
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _mode_of_new_folders(folder: Path) -> int:
    """Permissions of a folder made just now; to read the umask is to set it, for all threads."""
    probe = folder / "probe"
    probe.mkdir()
    mode = probe.stat().st_mode & 0o777
    probe.rmdir()
    return mode


def check_name(name: Any) -> None:
    """That functions and files may be called so."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise TorchliquidError(
            f"name is {short_repr(name)}: give a C identifier of at most 40 letters, digits and _, "
            "a letter first"
        )
    if name == name.upper():
        raise TorchliquidError(
            f"name is {name!r}: its macros would be those of {name.lower()!r}; give a small letter"
        )
    if name.lower() in RESERVED:
        raise TorchliquidError(
            f"name is {name!r}, which is a word or a header of C, C++, Arduino or another system: "
            "give another"
        )


def _check_choice(option: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise TorchliquidError(f"{option} is {short_repr(value)}: give one of {', '.join(choices)}")
