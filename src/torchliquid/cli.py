"""The command line: parses, calls, prints. All else is imported inside its commands."""

import argparse
import contextlib
import errno
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from torchliquid import TorchliquidError, __version__
from torchliquid.checks import visible

if TYPE_CHECKING:
    from rich.console import Console

    from torchliquid.bench.running.training import Protocol
    from torchliquid.bench.tasks.task import Task

BAD_INPUT = 2
"""Exit codes besides 0."""
SECONDS_A_LINE = 10.0
"""How often progress is said where there is no terminal."""
TRIALS = 12
"""Settings that each network tries on the validation part of a table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give its exit code: 0, 2 for bad input, 128 + the signal that ended it."""
    try:
        options = _parser().parse_args(arguments)
        with _signals():
            code = options.command(options)
            sys.stdout.flush()
    except TorchliquidError as error:
        text = visible(" ".join(str(error).splitlines()))
        print(f"torchliquid: error: {text}", file=sys.stderr)
        return BAD_INPUT
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "torchliquid":
            raise
        print(
            f"torchliquid: error: {package} is not installed: pip install 'torchliquid[bench]'",
            file=sys.stderr,
        )
        return BAD_INPUT
    except OSError as error:  # everything else that writes has said so itself
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
        sys.stdout = None  # or the interpreter fails again at its end
        print(f"torchliquid: error: cannot write the output ({error.strerror})", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, _EndedError) else signal.SIGINT
        word = "interrupted" if number == signal.SIGINT else "terminated"
        print(f"torchliquid: {word}; what had finished is kept: call again", file=sys.stderr)
        return 128 + number
    return int(code)


class _EndedError(KeyboardInterrupt):
    """Somebody asked the program to end; it ends as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Take SIGTERM and SIGHUP like Ctrl-C: workers are told, locks and semaphores given back."""

    def end(number: int, _: object) -> NoReturn:
        raise _EndedError(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TorchliquidError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="torchliquid", description="Liquid neural networks, measured honestly.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    info = commands.add_parser("info", help="versions, backends, threads")
    info.set_defaults(command=_info)

    bench = commands.add_parser("bench", help="compare liquid networks with other models")
    tasks = bench.add_subparsers(required=True, metavar="TASK", parser_class=_Parser)
    _add_article(tasks.add_parser("article", help="the article's noisy sum of sines"))
    _add_csv(tasks.add_parser("csv", help="your own table: CSV or Parquet"))
    _add_sunspots(tasks.add_parser("sunspots", help="yearly sunspot numbers, 1700 to 2008"))
    _add_suites(tasks)
    _add_export(commands.add_parser("export", help="write a trained model as C"))
    verify = commands.add_parser("verify", help="prove that exported C is the model")
    verify.add_argument("folder", type=Path, metavar="DIR", help="what export wrote")
    verify.add_argument(
        "--beside",
        type=Path,
        metavar="DIR",
        action="append",
        default=[],
        help="another one, verified before, for a column in report.md; may be repeated",
    )
    verify.set_defaults(command=_verify)
    return parser


def _add_protocol(
    parser: argparse.ArgumentParser,
    out: str,
    lanes: int,
    epochs: int,
    *,
    tuned: bool,
) -> None:
    """Options of every benchmark; ``out`` names the default folder, settled with the task."""
    group = parser.add_argument_group("training")
    group.add_argument("--lanes", type=int, default=lanes, help="seeds a model (%(default)s)")
    group.add_argument("--epochs", type=int, default=epochs, help="(%(default)s)")
    default = "found by trials" if tuned else "the preset's; with --trials, found by them"
    group.add_argument("--lr", type=float, help=f"Adam's learning rate ({default})")
    where = "on the validation part; 1: 0.01, and dt 1" if tuned else "on draws of their own"
    group.add_argument(
        "--trials",
        type=int,
        default=TRIALS if tuned else 1,
        help=f"learning rates (for liquid models: and dt) that each network tries {where} "
        "(%(default)s)",
    )
    group.add_argument(
        "--models", nargs="+", metavar="NAME", help="such as LTC-8 LTC-32-euler LSTM-16 ridge-AR"
    )
    group.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    group.add_argument("--processes", type=int, help="workers (one a core, if worth it)")
    store = parser.add_argument_group("results")
    store.add_argument("--out", type=Path, metavar="DIR", help=f"({out})")
    again = store.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with what DIR holds (default)")
    again.add_argument("--fresh", action="store_true", help="throw away what DIR holds")
    store.add_argument("--show-task", action="store_true", help="say what would happen, and stop")
    store.add_argument("--json", action="store_true", help="with --show-task: its specification")


def _add_article(parser: argparse.ArgumentParser) -> None:
    from torchliquid.data.presets import ARTICLE, PRESETS

    group = parser.add_argument_group("task")
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    group.add_argument(
        "--preset", choices=PRESETS, default=ARTICLE, help=f"{presets} (%(default)s)"
    )
    of = "(the preset's)"
    group.add_argument("--sines", metavar="A:W,...", help=f"amplitude:frequency {of}")
    group.add_argument("--sigma", type=float, help=f"noise {of}")
    group.add_argument("--steps", type=int, default=300, help="(%(default)s)")
    group.add_argument("--train", type=int, default=200, help="steps to train on (%(default)s)")
    group.add_argument("--span", type=float, default=30.0, help="time covered (%(default)s)")
    group.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="one prediction from the last state of N steps, as the model printed in the article's "
        "part 2 (default: a prediction at every step of the stretch)",
    )
    _add_protocol(parser, "results/PRESET", lanes=24, epochs=1000, tuned=False)
    parser.set_defaults(command=_bench, task=_article)


def _add_split(parser: argparse.ArgumentParser, window: int) -> None:
    group = parser.add_argument_group("split and time")
    group.add_argument(
        "--horizon", default="1", help="rows ahead, or, of even dates, a time: 6h (%(default)s)"
    )
    group.add_argument("--train", type=float, default=0.6, help="share of rows (%(default)s)")
    group.add_argument("--valid", type=float, default=0.2, help="share of rows (%(default)s)")
    group.add_argument(
        "--window", type=int, default=window, help="longest training sequence (%(default)s)"
    )
    group.add_argument(
        "--predict",
        choices=("change", "level"),
        default="change",
        help="what networks and ridge-AR predict: the change from the current value, or the value "
        "itself (%(default)s)",
    )
    group.add_argument(
        "--dt",
        type=float,
        help="the median spacing as liquid layers see it (found by trials)",
    )


def _add_csv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV or Parquet")
    group = parser.add_argument_group("columns")
    group.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    group.add_argument(
        "--features",
        metavar="A,B",
        action="append",
        default=[],
        help="what to see besides it: names, patterns such as 'temp*', or all; may be repeated",
    )
    group.add_argument(
        "--time", metavar="COLUMN", help="time stamps; may be irregular; two columns: DATE,TIME"
    )
    group.add_argument(
        "--time-format", metavar="FORMAT", help="such as %%d.%%m.%%Y (ISO 8601, or numbers)"
    )
    group.add_argument(
        "--time-zone", metavar="NAME", help="of times that name none, such as Europe/Berlin (UTC)"
    )
    group.add_argument(
        "--every", metavar="WIDTH", help="resample to the mean of each interval, such as 1h"
    )
    group.add_argument(
        "--calendar", metavar="KINDS", help="features of the time predicted: hour,weekday,month"
    )
    group.add_argument(
        "--future",
        metavar="A,B",
        help="features whose value at the time predicted is known beforehand, as of a plan",
    )
    group.add_argument(
        "--decimal", metavar="MARK", help="mark before decimals (found column by column)"
    )
    group.add_argument("--sort", action="store_true", help="put the rows in order of time")
    group.add_argument(
        "--series", metavar="COLUMN", help="tells several series apart, wherever their rows are"
    )
    group.add_argument(
        "--split",
        choices=("time", "series"),
        default="time",
        help="of several series: each in time, or some to train on, others to test (%(default)s)",
    )
    group.add_argument(
        "--duplicates",
        metavar="WHICH",
        default="refuse",
        help="of rows with the same time keep the first, the last or their mean (%(default)s)",
    )
    group.add_argument("--sep", metavar="MARK", help="between cells; 'tab', ' ' (found)")
    group.add_argument("--comment", metavar="MARK", help="lines from here on are left out")
    group.add_argument(
        "--skip-rows", type=int, default=0, metavar="N", help="lines above the names"
    )
    group.add_argument(
        "--skip-footer", type=int, default=0, metavar="N", help="lines below the table"
    )
    group.add_argument("--encoding", help="of the text (UTF-8, or UTF-16 by its mark)")
    group.add_argument("--thousands", metavar="MARK", help="mark between groups of digits (none)")
    group.add_argument(
        "--missing",
        metavar="VALUE",
        action="append",
        default=[],
        help="a cell that stands for a missing value, such as -200 or ?; may be repeated",
    )
    _add_split(parser, window=64)
    _add_protocol(parser, "results/FILE", lanes=8, epochs=1000, tuned=True)
    parser.set_defaults(command=_bench, task=_csv)


def _add_sunspots(parser: argparse.ArgumentParser) -> None:
    _add_split(parser, window=256)
    _add_protocol(parser, "results/sunspots", lanes=24, epochs=500, tuned=True)
    parser.set_defaults(command=_bench, task=_sunspots)


def _add_suites(tasks: Any) -> None:
    """Commands on suite files; see `torchliquid.bench.suites.suite` for what they may say."""
    about = {
        "run": ("run a suite file: tasks, models, planned contrasts", _run_suite),
        "status": ("what of a suite is finished", _suite_status),
        "list": ("the suite files of a folder", _list_suites),
        "compare": ("what has changed between two results of a suite", _compare_suites),
        "export": ("every error of every lane as one table", _export_suite),
    }
    edge = tasks.add_parser("edge", help="what the models of a finished benchmark cost on a core")
    edge.add_argument("folder", type=Path, metavar="RESULTS", help="such as results/article")
    edge.set_defaults(command=_measure_edge)
    for name, (words, command) in about.items():
        parser = tasks.add_parser(name, help=words)
        parser.set_defaults(command=command)
        if name == "list":
            parser.add_argument(
                "folder", type=Path, nargs="?", default=Path("suites"), help="(%(default)s)"
            )
            continue
        if name == "compare":
            parser.add_argument("first", type=Path, metavar="A", help="a folder of results")
            parser.add_argument("second", type=Path, metavar="B", help="another")
            continue
        parser.add_argument("suite", type=Path, metavar="FILE.toml")
        parser.add_argument("--out", type=Path, metavar="DIR", help="(results/NAME)")
        if name == "export":
            parser.add_argument("--parquet", type=Path, metavar="FILE", required=True)
        if name == "run":
            parser.add_argument("--processes", type=int, help="workers (one a core, if worth it)")
            parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of a job")
            parser.add_argument(
                "--shard", metavar="I/N", help="every N-th job alone, from the I-th"
            )
            parser.add_argument(
                "--engine", choices=("local", "dask"), default="local", help="(%(default)s)"
            )
            parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster")
            parser.add_argument(
                "--no-reports", action="store_true", help="no page for each task, only the suite's"
            )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="what `save` or a run wrote")
    parser.add_argument("--to", choices=("c", "onnx"), default="c", help="(%(default)s)")
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
    parser.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    from torchliquid.export import describe, to_c
    from torchliquid.nn import load

    lanes = sorted(path.name for path in options.model.glob("lane-*") if path.is_dir())
    if lanes and not (options.model / "config.json").exists():
        raise TorchliquidError(
            f"{options.model} holds {len(lanes)} trained models: give one, such as "
            f"{options.model / lanes[0]}"
        )
    model = load(options.model)
    if options.to == "onnx":
        return _export_onnx(model, options)
    calibrate, test, times = None, None, None
    if options.test is not None or options.calibrate is not None:
        from torchliquid.data.inputs import read_inputs

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
    print(f"C: {folder / 'src' / options.name}.c and .h")
    return 0


def _export_onnx(model: Any, options: argparse.Namespace) -> int:
    from torchliquid.export import to_onnx

    given = [name for name in ("calibrate", "test") if getattr(options, name) is not None]
    given += [name for name, usual in (("dtype", "float32"), ("loops", "rolled"))
              if getattr(options, name) != usual]  # fmt: skip
    if given:
        raise TorchliquidError(f"--{given[0]} is for --to c: leave it out")
    folder = to_onnx(
        model, options.out, name=options.name, dt=options.dt, variable_dt=options.variable_dt
    )
    print(f"ONNX: {folder / options.name}.onnx and {options.name}_step.onnx, checked against torch")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from torchliquid.export import verify

    rungs = verify(options.folder, beside=options.beside)
    for rung in rungs:
        print(f"{rung.state:8} {rung.name:12} {rung.words}")
    print(f"report: {options.folder / 'report.md'}")
    return int(any(rung.state == "failed" for rung in rungs))


def _measure_edge(options: argparse.Namespace) -> int:
    import json

    from torchliquid.bench.judging.summary import summarise
    from torchliquid.bench.running.edge import measure
    from torchliquid.bench.running.store import Store, hold, write_whole
    from torchliquid.report import write_report

    console = _console()
    store = Store.existing(options.folder)
    with hold(options.folder):
        measure(store, lambda text: console.print(text, soft_wrap=True))
        summary = summarise(store)
        text = json.dumps(summary, indent=2) + "\n"
        write_whole(options.folder / "summary.json", text.encode())
        page = write_report(store, summary)
    for row in summary["edge"]["rows"]:
        console.print(
            f"{row['model']:12} {row['dtype']:8} {row['instructions']:>9,.0f} instructions/step "
            f"{row['flash']:>7,} B flash  test MSE {row['test_mse']:.4g}",
            soft_wrap=True,
        )
    for claim in summary["edge"]["claims"]:
        console.print(f"{claim['verdict']}: {claim['claim']}. {claim['proof']}", soft_wrap=True)
    console.print(f"report: {page}", soft_wrap=True)
    return 0


def _run_suite(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.drive import How, run_suite
    from torchliquid.bench.suites.suite import read_suite
    from torchliquid.report import write_report, write_suite_report
    from torchliquid.report.suite_answers import headlines
    from torchliquid.report.tables import suite_tables

    suite = read_suite(options.suite)
    out = options.out or Path("results") / suite.name
    console = _console()
    how = How(options.processes, options.scheduler, options.shard, options.time_limit)
    if (options.engine == "dask") != (options.scheduler is not None):
        raise TorchliquidError("--engine dask and --scheduler ADDRESS go together: give both")
    result = run_suite(
        suite,
        out,
        how,
        say=lambda text: console.print(text, soft_wrap=True),
        draw=None if options.no_reports else write_report,
    )
    if options.shard is not None:
        console.print(
            f"shard {options.shard} is done, in {out}: copy the folders of all shards into one, "
            "and call again there without --shard",
            soft_wrap=True,
        )
        return 0
    for table in suite_tables(result):
        console.print(table)
    for line in headlines(result):
        console.print(line)
    failed = [name for name, task in result["tasks"].items() if task["status"] != "ok"]
    for name in failed:
        console.print(f"note: {name}: {result['tasks'][name]['reason']}", soft_wrap=True)
    console.print(f"report: {write_suite_report(out, result)}", soft_wrap=True)
    console.print(f"results: {out / 'suite.json'}", soft_wrap=True)
    if failed:
        raise TorchliquidError(
            f"{len(failed)} of {len(suite.tasks)} tasks failed ({', '.join(failed)}): mend them "
            "and call again; what had finished is kept"
        )
    return 0


def _suite_status(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.drive import status
    from torchliquid.bench.suites.suite import read_suite

    suite = read_suite(options.suite)
    out = options.out or Path("results") / suite.name
    print(f"{suite.title}: {len(suite.tasks)} tasks, {len(suite.models)} models")
    for entry, (name, folder, done, reason) in zip(suite.tasks, status(suite, out), strict=True):
        where = f", {folder}" if folder is not None and done else ""
        words = reason or f"{len(done)} of {len(entry.models)} models finished{where}"
        print(f"{name:16} {words}")
    return 0


def _compare_suites(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.compare import compare
    from torchliquid.report.tables import compared_table

    rows = compare(options.first, options.second)
    console = _console()
    if any(not row["same"] for row in rows):
        console.print(compared_table(rows))
    same = sum(row["same"] for row in rows)
    console.print(f"{same} of {len(rows)} pairs of a task and a model are equal in every lane")
    return 0


def _export_suite(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.rows import write_parquet
    from torchliquid.bench.suites.suite import read_suite

    out = options.out or Path("results") / read_suite(options.suite).name
    many = write_parquet(out / "rows.csv", options.parquet)
    print(f"{many:,} rows: {options.parquet}")
    return 0


def _list_suites(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.suite import read_suite

    files = sorted(options.folder.glob("*.toml"))
    if not files:
        raise TorchliquidError(f"{options.folder} holds no suite file (*.toml): give a folder")
    for path in files:
        suite = read_suite(path)
        print(f"{path}: {suite.title} ({len(suite.tasks)} tasks, {len(suite.models)} models)")
    return 0


def _article(options: argparse.Namespace) -> "Task":
    from torchliquid.bench.tasks.signal_task import article_task
    from torchliquid.data.presets import PRESETS
    from torchliquid.data.sines import SumOfSines

    preset = PRESETS[options.preset]
    if options.lr is None and options.trials == 1:
        options.lr = preset.learning_rate
    options.out = options.out or Path("results") / options.preset
    series = SumOfSines.of_preset(
        options.preset,
        sines=None if options.sines is None else _pairs(options.sines),
        sigma=options.sigma,
        steps=options.steps,
        train=options.train,
        span=options.span,
    )
    if options.lanes < 1 or options.seed < 0:
        raise TorchliquidError("--lanes must be at least 1 and --seed at least 0")
    return article_task(series, options.lanes, options.seed, window=options.window)


def _pairs(sines: str) -> tuple[tuple[float, float], ...]:
    try:
        return tuple(
            (float(amplitude), float(frequency))
            for amplitude, _, frequency in (pair.partition(":") for pair in sines.split(","))
        )
    except ValueError as error:
        raise TorchliquidError(
            f"--sines is {sines!r}: give amplitude:frequency pairs such as 1:1,0.5:2.5"
        ) from error


def _csv(options: argparse.Namespace) -> "Task":
    from torchliquid.bench.tasks.table_task import table_task
    from torchliquid.data.marks import Marks
    from torchliquid.data.table import read_table

    features = tuple(
        name for given in options.features for name in given.split(",") if name.strip()
    )
    future = [name.strip() for name in (options.future or "").split(",") if name.strip()]
    series = read_table(
        options.file,
        options.target,
        (*features, *(name for name in future if name not in features)),
        options.time,
        missing=options.missing,
        marks=Marks(
            options.decimal,
            options.thousands,
            options.encoding,
            {"tab": "\t", "\\t": "\t"}.get(options.sep, options.sep),
            options.comment,
            options.skip_rows,
            options.skip_footer,
        ),
        time_format=options.time_format,
        sort=options.sort,
        duplicates=options.duplicates,
        series=options.series,
        zone=options.time_zone,
        every=options.every,
        future=future,
        calendar=[kind for kind in (options.calendar or "").split(",") if kind],
    )
    options.out, options.table = options.out or Path("results") / options.file.stem, series
    if options.split == "series" and options.series is None:
        raise TorchliquidError("--split series needs --series COLUMN, which tells them apart")
    return table_task(series, split=options.split, **_split(options))


def _sunspots(options: argparse.Namespace) -> "Task":
    from torchliquid.bench.tasks.table_task import table_task
    from torchliquid.data.sunspots import sunspots

    options.out = options.out or Path("results/sunspots")
    return table_task(sunspots(), **_split(options))


def _split(options: argparse.Namespace) -> dict[str, Any]:
    names = ("horizon", "train", "valid", "window", "dt", "predict")
    return {name: getattr(options, name) for name in names}


def _bench(options: argparse.Namespace) -> int:
    import json

    from torchliquid.bench.judging.summary import summarise
    from torchliquid.bench.running.models import DEFAULT, DEFAULT_OF_TABLES
    from torchliquid.bench.running.runner import check, run, training_seconds
    from torchliquid.bench.running.store import hold, write_whole
    from torchliquid.bench.running.tuning import passes
    from torchliquid.report import terminal_tables, write_report
    from torchliquid.report.outline import gap_words, outline, time_words

    task: Task = options.task(options)
    default = DEFAULT if task.is_articles else DEFAULT_OF_TABLES
    models = default if options.models is None else ",".join(options.models).split(",")
    protocol = _protocol(options)
    chosen = check(models, protocol, options.processes)
    if options.show_task and options.json:
        print(json.dumps(task.spec, indent=2))
        return 0
    table = getattr(options, "table", None)
    if options.show_task:
        seconds = training_seconds(task, chosen, protocol)
        for name, words in outline(task, models, asdict(protocol), options.out, seconds, table):
            print(f"{name:11} {words}")
        return 0
    if options.json:
        raise TorchliquidError("--json is the form of --show-task: give both")
    console = _console()
    if table is not None:
        for name, words in (*time_words(task), *gap_words(table)):
            console.print(f"{name}: {words}", soft_wrap=True)
    for note in task.notes:
        console.print(f"note: {note}", soft_wrap=True)
    with hold(options.out):
        epochs = {model.name: passes(model, protocol) for model in chosen}
        with _progress(epochs) as report:
            store = run(
                task,
                models,
                protocol,
                options.out,
                fresh=options.fresh,
                processes=options.processes,
                report=report,
                notify=lambda text: console.print(text, soft_wrap=True),
            )
        summary = summarise(store)
        write_whole(options.out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        page = write_report(store, summary)
        for table in terminal_tables(summary):
            console.print(table, soft_wrap=isinstance(table, str))
        console.print(f"report: {page}", soft_wrap=True)
        _say_what_went_wrong(summary["models"], protocol, task, console)
    return 0


def _console() -> "Console":
    from rich.console import Console

    # a pipe has no width of its own: what the tables need; no markup: columns may be named "[b]"
    width = None if sys.stdout.isatty() else 100
    return Console(width=width, markup=False, highlight=False)


def _protocol(options: argparse.Namespace) -> "Protocol":
    """How to train; what the user gave, and all of it without a validation part, is not tuned."""
    from torchliquid.bench.running.training import Protocol
    from torchliquid.bench.running.tuning import FIRST

    rate = FIRST.learning_rate if options.lr is None else options.lr
    protocol = Protocol(options.lanes, options.epochs, rate, options.seed, trials=1, tuned=())
    names = (("learning_rate", options.lr), ("dt", getattr(options, "dt", None)))
    open_ = tuple(name for name, given in names if given is None)
    if options.trials != 1 and getattr(options, "valid", True) and open_:
        return replace(protocol, trials=options.trials, tuned=open_)
    return protocol


def _say_what_went_wrong(
    rows: dict[str, Any], protocol: "Protocol", task: "Task", console: "Console"
) -> None:
    for name, row in rows.items():
        for note in row["notes"]:
            console.print(f"note: {name}: {note}", soft_wrap=True)
        if row["untrained"]:
            console.print(
                f"note: {row['untrained']} of {row['lanes']} lanes of {name} kept their "
                "untrained weights: no later epoch was better on the validation part",
                soft_wrap=True,
            )
    lost = [name for name, row in rows.items() if row["diverged"] == row["lanes"]]
    hopeless = [name for name in lost if rows[name]["hopeless"] == rows[name]["lanes"]]
    if hopeless:
        raise TorchliquidError(
            f"all {protocol.lanes} lanes of {', '.join(hopeless)} give no finite number before "
            f"any training: it is the data, not the learning rate. {_extremes(task)}"
        )
    if lost:
        raise TorchliquidError(
            f"all {protocol.lanes} lanes of {', '.join(lost)} diverged at --lr "
            f"{protocol.learning_rate}: give a smaller one (0.01 is the default) and another "
            "--out, or --fresh"
        )


def _extremes(task: "Task") -> str:
    """What in the data may be too much for a model."""
    import numpy as np

    words = f"Inputs are up to {np.nanmax(np.abs(task.inputs)):.4g} training standard deviations"
    if isinstance(task.dt, np.ndarray):
        words += f", gaps up to {task.dt.max() / np.median(task.dt):.4g} times the median"
    return words + ": look for a missing value's stand-in, or cut the table there"


class _progress:  # noqa: N801 - used like a function
    """A bar a model with the time left, on a terminal; elsewhere a line now and then."""

    def __init__(self, epochs: Mapping[str, int]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._epochs, self._done = epochs, dict.fromkeys(epochs, 0)
        self._tasks = {name: self._bars.add_task(name, total=n) for name, n in epochs.items()}
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Callable[[str, int], None]:
        self._bars.start()
        return self._report

    def _report(self, model: str, epoch: int) -> None:
        self._bars.update(self._tasks[model], completed=epoch)
        self._done[model] = epoch
        now = time.monotonic()
        if self._bars.disable and now - self._said >= SECONDS_A_LINE:
            self._said = now
            under_way = ", ".join(
                f"{name} {done}/{self._epochs[name]}"
                for name, done in self._done.items()
                if 0 < done < self._epochs[name]
            )
            words = f"epochs: {under_way}" if under_way else "between two models"
            print(f"{now - self._start:.0f} s, {words}", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def _info(_: argparse.Namespace) -> int:
    from torchliquid.environment import describe

    for name, value in describe().items():
        print(f"{name:12} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
