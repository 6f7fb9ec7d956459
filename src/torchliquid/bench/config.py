"""The options of a benchmark, defined once: suite files, the command line and the docs read them.

Each group of options is a frozen dataclass. A field is an option: its name is the key in a suite
file, and with dashes the flag of the command line; its annotation is its type; `option` adds the
help text. A new option is a field here and the line that uses it.
"""

import argparse
import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torchliquid.errors import TorchliquidError

REQUIRED: Any = dataclasses.MISSING
SEVERITIES = (1, 2, 3, 4, 5)
"""Of every shift, from mild to severe."""


def option(
    default: Any,
    help: str,  # noqa: A002 - argparse's word
    *,
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
    flags: Sequence[str] = (),
    separator: str = ",",
    key: bool = True,
) -> Any:
    """Define an option of a dataclass.

    Args:
        default: its value where none is given; `REQUIRED`: it must be given.
        help: one line; ``%(default)s`` stands for the default.
        metavar: what stands for its value in the help.
        choices: the values that it may have.
        flags: names on the command line; none: ``--`` and the field's name. A name without dashes
            is an argument by position.
        separator: what the command line splits a list at; empty: it is given several times instead.
        key: whether suite files have it under this name.
    """
    facts = {"help": help, "metavar": metavar, "choices": choices, "flags": flags}
    return dataclasses.field(default=default, metadata=facts | {"separator": separator, "key": key})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """How a table becomes a task; see `torchliquid.bench.tasks.table_task`."""

    horizon: int | str = option(
        1, "how far ahead to predict: rows, or a time such as 6h (%(default)s)"
    )
    train: float = option(0.6, "share of the rows for training (%(default)s)")
    valid: float = option(0.2, "share of the rows for validation (%(default)s)")
    window: int | None = option(256, "longest training sequence, in steps (%(default)s)")
    predict: str = option(
        "change",
        "what networks and ridge-AR predict: the change from the current value, or its level "
        "(%(default)s)",
        choices=("change", "level"),
    )
    dt: float | None = option(None, "the median time between rows as liquid layers see it (tuned)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeveralSeries(Split):
    """How a table of several series is split."""

    split: str = option(
        "time",
        "how several series are split: each in time, or by whole series (%(default)s)",
        choices=("time", "series"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table file is read; see `torchliquid.tables.read_table`."""

    target: str = option(REQUIRED, "column to predict", metavar="COLUMN")
    features: tuple[str, ...] = option(
        (),
        "further columns to see: names, patterns such as 'temp*', or all; may be repeated",
        metavar="A,B",
    )
    time: str | None = option(
        None, "column of time stamps, even or irregular; two columns: DATE,TIME", metavar="COLUMN"
    )
    time_format: str | None = option(
        None, "how times are written, such as %%d.%%m.%%Y (ISO 8601, or numbers)", metavar="FORMAT"
    )
    time_zone: str | None = option(
        None, "time zone of times without one, such as Europe/Berlin (UTC)", metavar="NAME"
    )
    every: str | None = option(
        None, "resample to the mean of each interval, such as 1h", metavar="WIDTH"
    )
    calendar: tuple[str, ...] = option(
        (), "calendar features of the time that is predicted: hour,weekday,month", metavar="KINDS"
    )
    future: tuple[str, ...] = option(
        (),
        "features whose future value is known in advance, such as a plan",
        metavar="A,B",
    )
    sort: bool = option(False, "sort the rows by time")
    series: str | None = option(
        None, "column that identifies several series in one table", metavar="COLUMN"
    )
    duplicates: str = option(
        "refuse",
        "which of several rows with one time to keep: first, last or mean (%(default)s)",
        metavar="WHICH",
    )
    missing: tuple[str, ...] = option(
        (),
        "a cell that means a missing value, such as -200 or ?; may be repeated",
        metavar="VALUE",
        separator="",
    )
    decimal: str | None = option(None, "decimal mark (detected for each column)", metavar="MARK")
    thousands: str | None = option(None, "mark between groups of digits (none)", metavar="MARK")
    sep: str | None = option(
        None, "mark between cells, such as ';', 'tab' or ' ' (detected)", metavar="MARK"
    )
    comment: str | None = option(None, "mark from which a line is ignored", metavar="MARK")
    skip_rows: int = option(0, "lines to skip above the header", metavar="N")
    skip_footer: int = option(0, "lines to skip below the table", metavar="N")
    encoding: str | None = option(None, "encoding of the text (UTF-8, or UTF-16 with its mark)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """When a generated signal is sampled; see `torchliquid.bench.tasks.signal_task`."""

    sampling: str = option(
        "even", "when samples are taken (%(default)s)", choices=("even", "irregular")
    )
    missing: float = option(0.0, "share of the samples that are missing (%(default)s)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArticleOptions(Drawn):
    """The article's noisy sum of sines."""

    preset: str = option(
        "article",
        "article: nearest to the article's numbers; easy: two slow sines, noisier (%(default)s)",
        choices=("article", "easy"),
    )
    sines: tuple[tuple[float, float], ...] | None = option(
        None, "pairs amplitude:frequency (the preset's)", metavar="A:W,..."
    )
    sigma: float | None = option(None, "standard deviation of the noise (the preset's)")
    steps: int = option(300, "steps of the series (%(default)s)")
    train: int = option(200, "steps to train on (%(default)s)")
    span: float = option(30.0, "time that the series covers (%(default)s)")
    window: int | None = option(
        None,
        "predict from windows of N steps, as the model in the article's part 2 (default: at every "
        "step of the whole series)",
        metavar="N",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttractorOptions(Drawn):
    """A coordinate of a chaotic system."""

    sigma: float = option(0.05, "noise, as a share of the signal's deviation (%(default)s)")
    steps: int = option(600, "steps of the series (%(default)s)")
    train: int = option(400, "steps to train on (%(default)s)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SunspotsOptions(Split):
    """Yearly sunspot numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TracesOptions(SeveralSeries):
    """A folder of arrays, one file for each series."""

    folder: str = option(
        REQUIRED, "holds .npy files of shape (T, C)", metavar="FOLDER", flags=("folder",)
    )
    target: str = option(REQUIRED, "number of the column to predict, from 0", metavar="COLUMN")
    features: tuple[str, ...] = option(
        (), "numbers of further columns to see, or all", metavar="A,B"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions(SeveralSeries, Reading):
    """A table file."""

    file: str = option(
        REQUIRED,
        ".csv, .tsv, .txt, .parquet, .feather, .xlsx, .jsonl or .npy, also packed",
        metavar="FILE",
        flags=("file",),
    )


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every network of a benchmark is trained: Adam, mean squared error, full batch.

    Args:
        lanes: S; lane i has its own initial weights and, where the task draws noise, its own draw.
        epochs: passes over the training stretch.
        learning_rate: Adam's, the same for all networks.
        seed: the initial weights of lane i follow from ``(seed, i)``.
        trials: settings that each network tries on the validation part before; 1: none.
        tuned: what the trials vary, see `torchliquid.bench.run.tuning`.
        schedule: of the learning rate: ``"constant"``, or ``"one-cycle"``, up and down again.
        weight_decay: decoupled, as in AdamW, of all weights.
        cycle: epochs of a whole cycle, where training ends before; None: ``epochs``.
        shifts: what the trained models are tested under, see `torchliquid.bench.tasks.shifts`.
        severities: of them.
    """

    lanes: int = option(24, "seeds of each model (%(default)s)")
    epochs: int = option(1000, "passes over the training data (%(default)s)")
    learning_rate: float = option(
        0.01, "Adam's learning rate (tuned where there are trials)", flags=("--lr",)
    )
    seed: int = option(0, "where the seeds start (%(default)s)")
    trials: int = option(
        1,
        "settings that each network tries before training, on validation data (%(default)s)",
    )
    tuned: tuple[str, ...] = option(
        ("learning_rate", "dt"),
        "what trials vary: learning_rate,dt,schedule,weight_decay; a value that is given is not "
        "varied (learning_rate,dt)",
        metavar="A,B",
    )
    schedule: str = option(
        "constant", "schedule of the learning rate (%(default)s)", choices=("constant", "one-cycle")
    )
    weight_decay: float = option(0.0, "weight decay, as in AdamW (%(default)s)")
    cycle: int | None = option(None, "", flags=("",), key=False)
    shifts: tuple[str, ...] = option(
        (), "test under shifts as well: noise,gaps,... or all (none)", metavar="KINDS", key=False
    )
    severities: tuple[int, ...] = option(
        SEVERITIES, "severities of the shifts, from 1 to 5 (1,2,3,4,5)", metavar="1,3,5", key=False
    )

    def weight_seeds(self) -> list[int]:
        """One seed a lane for the initial weights, unrelated to those of the noise."""
        return [_seed(self.seed, lane, 1) for lane in range(self.lanes)]

    def trial_seeds(self, lanes: int) -> list[int]:
        """One seed a lane of trials for the initial weights: no lane that counts has the same."""
        return [_seed(self.seed, lane, 3) for lane in range(lanes)]


def _seed(*of: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence(of).generate_state(1)[0])


def make_protocol(
    given: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    fixed: Collection[str] = (),
) -> Protocol:
    """Return the protocol of given options: what is given, or ``fixed``, is not tuned."""
    protocol = Protocol(**{**(defaults or {}), **given})
    tuned = tuple(name for name in protocol.tuned if name not in given and name not in fixed)
    if protocol.trials == 1 or not tuned:
        return dataclasses.replace(protocol, trials=1, tuned=())
    return dataclasses.replace(protocol, tuned=tuned)


# reading: a mapping of a suite file, or the arguments of the command line


def fields_of(options: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that suite files may lock_folder, by name."""
    return {f.name: f for f in dataclasses.fields(options) if f.metadata.get("key")}


def read(options: type, given: Any, what: str) -> dict[str, Any]:
    """Return the given values, checked by name and type; lists become tuples.

    Args:
        options: the dataclass.
        given: a table of keys and values.
        what: it, in messages, such as ``"[protocol]"``.

    Raises:
        TorchliquidError: a key is unknown, or a value has another type or is none of the choices.
    """
    check_table(given, what)
    fields, hints = fields_of(options), _hints(options)
    check_known(given, fields, what)
    for name, field in fields.items():
        if field.default is REQUIRED and name not in given:
            raise TorchliquidError(f"{what} has no {name}: give it")
    return {
        name: _read(value, hints[name], f"{name} of {what}", fields[name].metadata["choices"])
        for name, value in given.items()
    }


def _read(value: Any, hint: Any, what: str, choices: Sequence[str] | None) -> Any:
    import msgspec

    try:
        value = msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise TorchliquidError(f"{what} is {value!r}: give {_in_words(hint)}") from error
    if value == () and hint == tuple[str, ...]:
        raise TorchliquidError(f"{what} is []: give a list of names, at least one")
    if choices is not None and value not in choices:
        raise TorchliquidError(f"{what} is {value!r}: give {' or '.join(choices)}")
    return value


def _in_words(hint: Any) -> str:
    """The type of an option, for messages and tables."""
    names = {
        int: "an integer",
        float: "a number",
        str: "a text",
        bool: "true or false",
        tuple[str, ...]: "a list of names",
        tuple[int, ...]: "a list of integers",
        tuple[tuple[float, float], ...]: "a list of pairs of numbers",
    }
    kinds = [kind for kind in _kinds(hint) if kind is not types.NoneType]
    return " or ".join(names[kind] for kind in kinds)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The members of a union; else the type alone."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


@functools.cache
def _hints(options: type) -> dict[str, Any]:
    return typing.get_type_hints(options)


def check_table(given: Any, what: str) -> None:
    """Check that a value is a table of keys and values."""
    if not isinstance(given, dict):
        raise TorchliquidError(f"{what} is {given!r}: give a table of keys and values")


def check_known(given: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """Check that all keys are known."""
    for key in given:
        if key not in known:
            raise TorchliquidError(
                f"{what} has no key {key!r}{nearest(key, known)}: it knows "
                f"{', '.join(sorted(known))}"
            )


def nearest(given: str, known: Collection[str]) -> str:
    """Return a question for the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


# the command line


def flags_of(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """Return the names of an option on the command line; none where it has none."""
    flags = field.metadata["flags"] or (f"--{field.name.replace('_', '-')}",)
    return () if flags == ("",) else tuple(flags)


def add_arguments(
    parser: argparse.ArgumentParser, options: type, title: str, **defaults: Any
) -> None:
    """Add the options of a dataclass to a parser, as a group.

    The namespace holds those alone that are given; ``defaults`` are of this command.
    """
    group = parser.add_argument_group(title)
    hints = _hints(options)
    for field in sorted(dataclasses.fields(options), key=lambda f: f.default is not REQUIRED):
        for_all = defaults.get(field.name, field.default)
        _add_argument(parser, group, field, hints[field.name], for_all)


def _add_argument(
    parser: argparse.ArgumentParser,
    group: Any,
    field: dataclasses.Field[Any],
    hint: Any,
    default: Any,
) -> None:
    flags, facts = flags_of(field), field.metadata
    if not flags:
        return
    text = facts["help"].replace("%(default)s", str(default).replace("%", "%%"))
    if not flags[0].startswith("-"):
        parser.add_argument(*flags, metavar=facts["metavar"], help=text)
        return
    arguments: dict[str, Any] = {"help": text, "dest": field.name, "default": argparse.SUPPRESS}
    kinds = [kind for kind in _kinds(hint) if kind is not types.NoneType]
    if kinds == [bool]:
        group.add_argument(*flags, action="store_true", **arguments)
        return
    arguments |= {"metavar": facts["metavar"], "required": field.default is REQUIRED}
    arguments["choices"] = facts["choices"]
    if typing.get_origin(kinds[0]) is tuple:
        group.add_argument(*flags, action="append", **arguments)
    else:
        one = kinds[0] if kinds in ([int], [float]) else str
        group.add_argument(*flags, type=one, **arguments)


def arguments_of(options: type, namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the options that the command line gave, as a suite file would hold them.

    Raises:
        TorchliquidError: a list cannot be read.
    """
    given: dict[str, Any] = {}
    hints = _hints(options)
    for field in dataclasses.fields(options):
        if not hasattr(namespace, field.name):
            continue
        value = getattr(namespace, field.name)
        kinds = [kind for kind in _kinds(hints[field.name]) if kind is not types.NoneType]
        if typing.get_origin(kinds[0]) is tuple:
            value = _list_of(field, kinds[0], value)
        given[field.name] = value
    return given


def _list_of(field: dataclasses.Field[Any], kind: Any, values: list[str]) -> tuple[Any, ...]:
    """The list that the command line gave, with commas or in several turns."""
    separator = field.metadata["separator"]
    parts = [p.strip() for v in values for p in (v.split(separator) if separator else [v])]
    parts = [part for part in parts if part]
    item = typing.get_args(kind)[0]
    try:
        if item is int:
            return tuple(int(part) for part in parts)
        if item is not str:  # pairs
            pairs = [part.partition(":") for part in parts]
            return tuple((float(first), float(second)) for first, _, second in pairs)
    except ValueError as error:
        shape = "integers such as 1,3,5" if item is int else "pairs such as 1:1,0.5:2.5"
        raise TorchliquidError(f"`{field.name}` is {','.join(values)!r}: give {shape}") from error
    return tuple(parts)


def option_table(options: type) -> str:
    """Return a table of the options for the documentation, in Markdown."""
    hints = _hints(options)
    lines = ["| suite file | command line | type | meaning |", "| --- | --- | --- | --- |"]
    for field in dataclasses.fields(options):
        flags = ", ".join(f"`{flag}`" for flag in flags_of(field)) or "-"
        key = f"`{field.name}`" if field.metadata["key"] else "-"
        text = field.metadata["help"].replace("%(default)s", str(field.default))
        text = text.replace("%%", "%").replace("|", "\\|")
        lines.append(f"| {key} | {flags} | {_in_words(hints[field.name])} | {text} |")
    return "\n".join(lines) + "\n"


def options_page(groups: Mapping[str, type]) -> str:
    """Return the documentation page of all options, in Markdown, by groups."""
    head = (
        "# All options\n\n"
        "Every option of a benchmark, by its name in a suite file and on the command line, where "
        "lists are written with commas. Written from `torchliquid/bench/config.py`.\n"
    )
    parts = [f"## {name}\n\n{option_table(options)}" for name, options in groups.items()]
    return "\n".join([head, *parts])
