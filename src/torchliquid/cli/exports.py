"""`torchliquid export`, `verify` and `bench edge`."""

import argparse
import shutil
import subprocess
from pathlib import Path
from typing import Any

from torchliquid import TorchliquidError
from torchliquid.cli.flags import example
from torchliquid.cli.terminal import open_console
from torchliquid.export import MAX_ERROR
from torchliquid.files import exists


def add_exports(commands: Any) -> None:
    """The commands that write trained models elsewhere, and prove them."""
    export = example("export results/sunspots/models/LTC-8/lane-000 --out firmware --name pump")
    _add_export(
        commands.add_parser(
            "export", help="write a trained model as C, JavaScript or ONNX", **export
        )
    )
    verify = commands.add_parser(
        "verify", help="prove that exported C is the model", **example("verify firmware")
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="what export wrote")
    verify.add_argument(
        "--beside",
        type=Path,
        metavar="DIR",
        action="append",
        default=[],
        help="another one, verified before, for a column in report.md; may be repeated",
    )
    verify.add_argument(
        "--max-error",
        type=float,
        default=MAX_ERROR,
        metavar="SHARE",
        help="q8, q16: RMS error that passes, of the output's deviation (%(default)s)",
    )
    verify.add_argument(
        "--cflags", default="", metavar="FLAGS", help="compile with the product's own flags"
    )
    verify.set_defaults(command=_verify)


def add_edge(tasks: Any) -> None:
    """The command that measures what a finished benchmark's models take on a core."""
    edge = tasks.add_parser(
        "edge",
        help="what the models of a finished benchmark cost on a core",
        **example("bench edge results/article"),
    )
    edge.add_argument("folder", type=Path, metavar="RESULTS", help="such as results/article")
    edge.set_defaults(command=_measure_edge)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="what `save`, a run or `fit` wrote"
    )
    parser.add_argument("--to", choices=("c", "js", "onnx"), default="c", help="(%(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="to be made")
    parser.add_argument("--name", default="model", help="of functions and files (%(default)s)")
    parser.add_argument(
        "--dtype", default="float32", help="float32, float32-table, q8 or q16 (%(default)s)"
    )
    time = parser.add_mutually_exclusive_group()
    time.add_argument("--dt", type=float, help="time between samples (the layer's own)")
    time.add_argument("--variable-dt", action="store_true", help="a time comes with each sample")
    parser.add_argument(
        "--loops", default="rolled", help="rolled: least flash; unrolled; columns (%(default)s)"
    )
    parser.add_argument(
        "--calibrate", type=Path, metavar="TABLE", help="q8, q16: samples as in training"
    )
    parser.add_argument("--test", type=Path, metavar="TABLE", help="samples to verify it on")
    parser.add_argument(
        "--time-constants", action="store_true", help="js: a step tells every neuron's too"
    )
    parser.add_argument("--series", help="of a forecaster of several series: which one")
    parser.set_defaults(command=_export)


def load_one(path: Path) -> Any:
    """Load a model; of a folder of several lanes, say that one is to be given."""
    from torchliquid.nn import load

    lanes = sorted(lane.name for lane in path.glob("lane-*") if lane.is_dir())
    if lanes and not exists(path / "config.json"):
        raise TorchliquidError(
            f"{path} holds {len(lanes)} trained models: give one, such as {path / lanes[0]}"
        )
    return load(path)


def _export(options: argparse.Namespace) -> int:
    from torchliquid.export import describe, to_c
    from torchliquid.forecast import is_forecaster

    if is_forecaster(options.model):
        return _export_forecaster(options)
    model = load_one(options.model)
    if options.to != "js" and options.time_constants:
        raise TorchliquidError("--time-constants is for --to js: leave it out")
    if options.to != "c":
        return _export_text_or_graph(model, options)
    calibrate, test, times = None, None, None
    if options.test is not None or options.calibrate is not None:
        from torchliquid.tables import read_inputs

        names = [column.name for column in describe(model).scaling.inputs]
        if options.calibrate is not None:
            calibrate, _ = read_inputs(options.calibrate, names)
        if options.test is not None:
            test, times = read_inputs(options.test, names, dt=options.variable_dt)
    folder = to_c(
        model,
        options.out,
        name=options.name,
        dtype=options.dtype,
        dt=options.dt,
        variable_dt=options.variable_dt,
        loops=options.loops,
        calibrate=calibrate,
        test=test,
        test_dt=times,
    )
    if options.dtype in ("q8", "q16") and calibrate is None:
        print(
            "note: without --calibrate inputs are assumed to lie within three scales of their "
            f"means, and are cut off there: see the range in {folder / 'src' / options.name}.h"
        )
    print(f"C: {folder / 'src' / options.name}.c and .h")
    return 0


def _export_forecaster(options: argparse.Namespace) -> int:
    """A forecaster's folder; it has a readout, times and samples of its own."""
    from torchliquid import load_forecaster

    given = {
        f"--to {options.to}": options.to != "c",
        "--time-constants": options.time_constants,
        "--dtype": options.dtype != "float32",
        "--dt": options.dt is not None,
        "--variable-dt": options.variable_dt,
        "--loops": options.loops != "rolled",
        "--calibrate": options.calibrate is not None,
        "--test": options.test is not None,
    }
    unfit = [name for name, there in given.items() if there]
    if unfit:
        raise TorchliquidError(
            f"{options.model} is a forecaster, which becomes C in single precision: leave "
            f"{', '.join(unfit)} out"
        )
    forecaster = load_forecaster(options.model)
    forecaster.export_c(options.out, name=options.name, series=options.series)
    print(f"C: {options.out / 'src' / options.name}.c and .h")
    print(f"next command: torchliquid verify {options.out}")
    return 0


def _export_text_or_graph(model: Any, options: argparse.Namespace) -> int:
    """JavaScript or ONNX: what is for C is refused."""
    from torchliquid.export import to_js, to_onnx

    refused = [name for name in ("calibrate", "test") if getattr(options, name) is not None]
    refused += [name for name, usual in (("dtype", "float32"), ("loops", "rolled"))
              if getattr(options, name) != usual]  # fmt: skip
    if refused:
        raise TorchliquidError(f"--{refused[0]} is for --to c: leave it out")
    given: dict[str, Any] = {
        "name": options.name, "dt": options.dt, "variable_dt": options.variable_dt,
    }  # fmt: skip
    if options.to == "onnx":
        folder = to_onnx(model, options.out, **given)
        print(f"ONNX: {folder / options.name}.onnx and {options.name}_step.onnx, "
              "checked against torch")  # fmt: skip
        return 0
    folder = to_js(model, options.out, **given, time_constants=options.time_constants)
    print(f"JavaScript: {folder / options.name}.js and .d.ts")
    test = folder / f"{options.name}_selftest.js"
    node = shutil.which("node")
    if node is None:
        print(f"next command: node {test}")
        return 0
    run = subprocess.run([node, test], capture_output=True, text=True, check=False)  # noqa: S603
    print(f"node: {run.stdout.strip() or run.stderr.strip()}")
    return run.returncode


def _verify(options: argparse.Namespace) -> int:
    from torchliquid.export import verify

    checks = verify(
        options.folder,
        beside=options.beside,
        max_error=options.max_error,
        cflags=options.cflags,
    )
    for check in checks:
        print(f"{check.state:10} {check.name:12} {check.words}")
    print(f"report: {options.folder / 'report.md'}")
    return int(any(check.state in ("failed", "unverified") for check in checks))


def _measure_edge(options: argparse.Namespace) -> int:
    from torchliquid.bench.comparing import finish
    from torchliquid.bench.run.device_costs import measure
    from torchliquid.bench.run.store import Store, lock_folder

    console = open_console()
    store = Store.existing(options.folder)
    with lock_folder(options.folder):
        measure(store, lambda text: console.print(text, soft_wrap=True))
        summary, page = finish(store)
    costs = summary["edge"] or {"rows": [], "claims": []}
    for row in costs["rows"]:
        console.print(
            f"{row['model']:12} {row['dtype']:8} {row['instructions']:>9,.0f} instructions/step "
            f"{row['flash']:>7,} B flash  test MSE {row['test_mse']:.4g}",
            soft_wrap=True,
        )
    for claim in costs["claims"]:
        console.print(f"{claim['verdict']}: {claim['claim']}. {claim['proof']}", soft_wrap=True)
    console.print(f"report: {page}", soft_wrap=True)
    return 0
