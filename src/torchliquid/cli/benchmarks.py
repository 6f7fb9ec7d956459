"""`torchliquid bench article`, `csv`, `sunspots` and the other tasks."""

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchliquid import TorchliquidError
from torchliquid.cli.flags import example, to_flags
from torchliquid.cli.terminal import open_console, progress

if TYPE_CHECKING:
    from rich.console import Console

    from torchliquid.bench.config import Protocol
    from torchliquid.bench.tasks.task import Task


def add_benchmarks(tasks: Any) -> None:
    """Add the commands that run one benchmark: one for each kind of task."""
    from torchliquid.bench.config import Protocol
    from torchliquid.bench.options import add_arguments
    from torchliquid.bench.tasks.kinds import KINDS

    for kind in KINDS.values():
        parser = tasks.add_parser(
            kind.command,
            help=kind.about,
            **example(f"bench {kind.command} {kind.example}"),
        )
        add_arguments(parser, kind.options, "task", **kind.defaults)
        add_arguments(parser, Protocol, "training", **kind.defaults)
        training = parser.add_argument_group("comparison")
        training.add_argument(
            "--models",
            nargs="+",
            metavar="NAME",
            help="such as LTC-8 LTC-32-euler LSTM-16 ridge-AR",
        )
        training.add_argument("--processes", type=int, help="workers (one a core, if worth it)")
        store = parser.add_argument_group("results")
        store.add_argument("--out", type=Path, metavar="DIR", help="(results/NAME)")
        again = store.add_mutually_exclusive_group()
        again.add_argument(
            "--resume", action="store_true", help="continue what DIR holds (default)"
        )
        again.add_argument("--fresh", action="store_true", help="delete what DIR holds")
        store.add_argument("--show-task", action="store_true", help="show the plan, and stop")
        store.add_argument("--json", action="store_true", help="with --show-task: as JSON")
        parser.set_defaults(command=_bench, kind=kind)


def _given(kind: Any, namespace: argparse.Namespace) -> tuple[Any, "Protocol"]:
    """The options of the task, and the protocol, of what was given and the command's defaults."""
    from torchliquid.bench.config import Protocol, make_protocol
    from torchliquid.bench.options import arguments_of
    from torchliquid.bench.run.training import check_optimiser
    from torchliquid.bench.tasks.shifts import SHIFTS, check_shifts

    names = {field.name for field in dataclasses.fields(kind.options)}
    defaults = [
        {k: v for k, v in kind.defaults.items() if (k in names) == of_task} for of_task in (1, 0)
    ]
    options = kind.options(**defaults[0] | arguments_of(kind.options, namespace))
    training = arguments_of(Protocol, namespace)
    if training.get("shifts") == ("all",):
        training["shifts"] = tuple(SHIFTS)
    fixed = ["dt"] if getattr(options, "dt", None) is not None else []
    protocol = make_protocol(training, defaults[1], fixed)
    rate = kind.learning_rate(options)
    if rate is not None and "learning_rate" not in training and protocol.trials == 1:
        protocol = dataclasses.replace(protocol, learning_rate=rate)
    check_shifts(protocol.shifts, protocol.severities)
    check_optimiser(protocol.schedule, protocol.weight_decay)
    return options, protocol


def _bench(options: argparse.Namespace) -> int:
    import json

    from torchliquid.bench.comparing import finish
    from torchliquid.bench.models.registry import DEFAULT, DEFAULT_OF_TABLES
    from torchliquid.bench.report import conclusion, terminal_tables
    from torchliquid.bench.report.task_text import gap_words, outline, time_words
    from torchliquid.bench.run.runner import check, run, training_seconds
    from torchliquid.bench.run.store import lock_folder
    from torchliquid.bench.run.tuning import passes

    wanted, protocol = _given(options.kind, options)
    made = options.kind.make(wanted, Path(), protocol.lanes, protocol.seed)
    notes = tuple(to_flags(note) for note in made.task.notes)
    task, table = dataclasses.replace(made.task, notes=notes), made.table
    options.out = options.out or Path("results") / made.name
    default = DEFAULT if task.is_articles else DEFAULT_OF_TABLES
    models = default if options.models is None else ",".join(options.models).split(",")
    chosen = check(models, protocol, options.processes)
    if options.show_task and options.json:
        print(json.dumps(task.spec, indent=2))
        return 0
    if options.show_task:
        seconds = training_seconds(task, chosen, protocol)
        for name, line in outline(
            task, models, dataclasses.asdict(protocol), options.out, seconds, table
        ):
            print(f"{name:11} {line}")
        return 0
    if options.json:
        raise TorchliquidError("--json is the form of --show-task: give both")
    console = open_console()
    if table is not None:
        for name, line in (*time_words(task), *gap_words(table)):
            console.print(f"{name}: {line}", soft_wrap=True)
    for note in task.notes:
        console.print(f"note: {note}", soft_wrap=True)
    with lock_folder(options.out):
        epochs = {model.name: passes(model, protocol) for model in chosen}
        with progress(epochs) as report:
            store = run(
                task,
                models,
                protocol,
                options.out,
                fresh=options.fresh,
                processes=options.processes,
                report=report,
                notify=lambda text: console.print(to_flags(text), soft_wrap=True),
            )
        summary, page = finish(store)
        for lines in terminal_tables(summary):
            console.print(lines, soft_wrap=isinstance(lines, str))
        console.print(f"report: {page}", soft_wrap=True)
        _say_what_went_wrong(summary["models"], protocol, task, console)
        if not task.is_articles:
            forecast = None if options.kind.command != "csv" else _fit_command(options, task)
            for line in conclusion(summary, options.out, forecast):
                console.print(line, soft_wrap=True, highlight=False)
    return 0


def _fit_command(options: argparse.Namespace, task: "Task") -> str:
    """The command that fits a forecaster to the same table, read in the same way."""
    from torchliquid.bench.config import Reading, TableOptions
    from torchliquid.bench.options import arguments_of

    given = arguments_of(TableOptions, options)
    words = ["torchliquid", "fit", str(given["file"])]
    renamed = {"features": "past", "future": "known"}
    for name in (field.name for field in dataclasses.fields(Reading)):
        if name not in given or name == "calendar":
            continue
        value, flag = given[name], f"--{renamed.get(name, name).replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif name == "missing":
            words += [word for cell in value for word in (flag, cell)]
        else:
            words += [flag, ",".join(value) if isinstance(value, tuple) else str(value)]
    # a day of hours, where there are rows enough for that
    usual = max(1, min(24, task.steps // 20))
    horizon = task.spec["horizon"] if "horizon" in given else usual
    words += ["--horizon", str(horizon)]
    return shlex.join([*words, "--out", str(options.out / "forecaster")])


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

    text = f"Inputs are up to {np.nanmax(np.abs(task.inputs)):.4g} training standard deviations"
    if isinstance(task.dt, np.ndarray):
        text += f", gaps up to {task.dt.max() / np.median(task.dt):.4g} times the median"
    return text + ": look for a missing value's stand-in, or cut the table there"
