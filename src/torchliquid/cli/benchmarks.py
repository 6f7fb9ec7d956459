"""`torchliquid bench article`, `csv` and `sunspots`."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchliquid import TorchliquidError
from torchliquid.cli.options import add_article, add_csv, add_sunspots
from torchliquid.cli.terminal import open_console, progress

if TYPE_CHECKING:
    from rich.console import Console

    from torchliquid.bench.run.training import Protocol
    from torchliquid.bench.tasks.task import Task


def add_benchmarks(tasks: Any) -> None:
    """The commands that run one benchmark."""
    about = {
        "article": ("the article's noisy sum of sines", add_article, _article),
        "csv": ("your own table: CSV, Parquet, Excel and others", add_csv, _csv),
        "sunspots": ("yearly sunspot numbers, 1700 to 2008", add_sunspots, _sunspots),
    }
    for name, (words, add, task) in about.items():
        parser = tasks.add_parser(name, help=words)
        add(parser)
        parser.set_defaults(command=_bench, task=task)


def _article(options: argparse.Namespace) -> "Task":
    from torchliquid.bench.tasks.presets import PRESETS
    from torchliquid.bench.tasks.signal_task import article_task
    from torchliquid.bench.tasks.sines import SumOfSines

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
    from torchliquid.tables import Marks, read_table

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
    from torchliquid.bench.tasks.sunspots import sunspots
    from torchliquid.bench.tasks.table_task import table_task

    options.out = options.out or Path("results/sunspots")
    return table_task(sunspots(), **_split(options))


def _split(options: argparse.Namespace) -> dict[str, Any]:
    names = ("horizon", "train", "valid", "window", "dt", "predict")
    return {name: getattr(options, name) for name in names}


def _bench(options: argparse.Namespace) -> int:
    import json

    from torchliquid.bench.judging.summary import summarise
    from torchliquid.bench.models.registry import DEFAULT, DEFAULT_OF_TABLES
    from torchliquid.bench.report import terminal_tables, write_report
    from torchliquid.bench.report.task_text import gap_words, outline, time_words
    from torchliquid.bench.run.runner import check, run, training_seconds
    from torchliquid.bench.run.store import hold, write_whole
    from torchliquid.bench.run.tuning import passes

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
    console = open_console()
    if table is not None:
        for name, words in (*time_words(task), *gap_words(table)):
            console.print(f"{name}: {words}", soft_wrap=True)
    for note in task.notes:
        console.print(f"note: {note}", soft_wrap=True)
    with hold(options.out):
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


def _protocol(options: argparse.Namespace) -> "Protocol":
    """How to train; what the user gave, and all of it without a validation part, is not tuned."""
    from torchliquid.bench.run.training import Protocol
    from torchliquid.bench.run.tuning import FIRST

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
