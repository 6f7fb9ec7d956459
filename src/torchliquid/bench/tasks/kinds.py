"""The kinds of tasks, by name: suite files and the command line make tasks of these.

A new kind is its options in `torchliquid.bench.config`, and an entry here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torchliquid.bench import config
from torchliquid.bench.tasks.attractors import SYSTEMS, Attractor
from torchliquid.bench.tasks.presets import PRESETS
from torchliquid.bench.tasks.signal_task import article_task, attractor_task, sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind, SumOfSines
from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.tables import Series


@dataclasses.dataclass(frozen=True)
class Made:
    """A task, the table that it was made of (if any), and a name for its results."""

    task: Task
    table: Series | None
    name: str


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of task.

    Args:
        about: one line for the reader of a help text.
        options: the dataclass of its options.
        make: makes the task, of its options, the folder that paths are relative to, the number of
            lanes and the seed.
        command: its name on the command line.
        example: arguments of a command that runs as it stands, but for the name of a file.
        defaults: of the command line, where they are not those of the options and the protocol.
        learning_rate: the rate that goes with its options, where trials do not choose one.
    """

    about: str
    options: type
    make: Callable[[Any, Path, int, int], Made]
    command: str
    example: str
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    learning_rate: Callable[[Any], float | None] = lambda options: None


def _article(options: config.ArticleOptions, folder: Path, lanes: int, seed: int) -> Made:
    signal = SumOfSines.of_preset(
        options.preset,
        sines=options.sines,
        sigma=options.sigma,
        steps=options.steps,
        train=options.train,
        span=options.span,
    )
    task = article_task(
        signal,
        lanes,
        seed,
        window=options.window,
        sampling=options.sampling,
        missing=options.missing,
    )
    return Made(task, None, options.preset)


def _sines(options: config.SinesOptions, folder: Path, lanes: int, seed: int) -> Made:
    task = sines_task(
        SinesOfAKind(options.steps, options.train, options.varying),
        lanes,
        seed,
        sampling=options.sampling,
        missing=options.missing,
    )
    return Made(task, None, "sines")


def _attractor(system: str) -> Callable[[config.AttractorOptions, Path, int, int], Made]:
    def make(options: config.AttractorOptions, folder: Path, lanes: int, seed: int) -> Made:
        signal = Attractor(system, options.sigma, options.steps, options.train)
        task = attractor_task(
            signal, lanes, seed, sampling=options.sampling, missing=options.missing
        )
        return Made(task, None, system)

    return make


def _split(options: config.Split) -> dict[str, Any]:
    group = config.SeveralSeries if isinstance(options, config.SeveralSeries) else config.Split
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(group)}


def _sunspots(options: config.SunspotsOptions, folder: Path, lanes: int, seed: int) -> Made:
    return Made(table_task(sunspots(), **_split(options)), None, "sunspots")


def _traces(options: config.TracesOptions, folder: Path, lanes: int, seed: int) -> Made:
    from torchliquid.bench.tasks.traces import read_traces

    series = read_traces(folder / options.folder, options.target, options.features)
    return Made(table_task(series, **_split(options)), series, series.name)


def _table(options: config.TableOptions, folder: Path, lanes: int, seed: int) -> Made:
    return made_of_table(options, folder / options.file)


def made_of_table(options: config.TableOptions, table: Any) -> Made:
    """Return the task of a table: a path, or a table in memory; the name is the option's file's."""
    from torchliquid.tables import CsvDialect, read_table

    if options.split == "series" and options.series is None:
        raise TorchliquidError("`split=series` needs `series`, the column that identifies them")
    reading = {f.name: getattr(options, f.name) for f in dataclasses.fields(config.Reading)}
    dialect = {f.name: reading.pop(f.name) for f in dataclasses.fields(CsvDialect)}
    dialect["sep"] = config.separator(dialect["sep"])
    target, known = reading.pop("target"), reading["future"]
    features = reading.pop("features")
    features = (*features, *(name for name in known if name not in features))
    series = read_table(table, target, features, dialect=CsvDialect(**dialect), **reading)
    words = {name: list(found) for name, found in series.words.items()}
    known_of = {"target": target, "features": features, "dialect": dialect, "words": words}
    task = dataclasses.replace(table_task(series, **_split(options)), reading=reading | known_of)
    return Made(task, series, Path(options.file).stem)


_EQUATIONS = {
    "lorenz": "the Lorenz system",
    "roessler": "the Rössler system",
    "mackey-glass": "the Mackey-Glass equation",
}

KINDS: dict[str, Kind] = {
    "article": Kind(
        "the article's noisy sum of sines",
        config.ArticleOptions,
        _article,
        "article",
        "--lanes 8 --epochs 300",
        learning_rate=lambda options: PRESETS[options.preset].learning_rate,
    ),
    "sines": Kind(
        "sums of sines of the article's kind, another in every lane",
        config.SinesOptions,
        _sines,
        "sines",
        "--lanes 8 --sampling irregular",
    ),
    "table": Kind(
        "your own table: CSV, Parquet, Excel and others",
        config.TableOptions,
        _table,
        "csv",
        "room.csv --target CO2 --time date",
        {"window": 64, "lanes": 8, "trials": 12, "choice": "shared"},
    ),
    "sunspots": Kind(
        "yearly sunspot numbers, 1700 to 2008",
        config.SunspotsOptions,
        _sunspots,
        "sunspots",
        "--lanes 8 --epochs 300",
        {"epochs": 500, "trials": 12},
    ),
    "traces": Kind(
        "a folder of arrays, one file for each series",
        config.TracesOptions,
        _traces,
        "traces",
        "traces/ --target 0 --features all",
        {"window": 64, "lanes": 8, "trials": 12, "choice": "shared"},
    ),
    **{
        system: Kind(
            f"a chaotic series: {_EQUATIONS[system]}",
            config.AttractorOptions,
            _attractor(system),
            system,
            "--lanes 8 --sampling irregular",
        )
        for system in SYSTEMS
    },
}
"""By the name that suite files call them."""
