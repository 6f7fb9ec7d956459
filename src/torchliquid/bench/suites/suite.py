"""A suite file, read and checked: what is to be compared on which tasks, and how.

::

    title = "Quick look"
    models = ["LTC-8", "LSTM-16", "ridge-AR", "persistence"]

    [protocol]               # see torchliquid.bench.config.Protocol
    lanes = 8
    epochs = 300
    trials = 6
    tuned = ["learning_rate", "dt", "schedule", "weight_decay"]   # the first two, if left out

    [shifts]                 # of the test stretch, see torchliquid.bench.tasks.shifts
    kinds = ["noise", "gaps"]    # or ["all"]
    severities = [1, 3, 5]   # all five, if left out

    [tasks.sunspots]         # kind: article, sines, lorenz, roessler, mackey-glass, sunspots, table
                             # or traces; the name, if it is one of them
    horizon = 1
    models = ["LTC-8", "ridge-AR"]   # those of the suite's that run here; all, if left out

    [tasks.room]
    kind = "table"
    file = "room.csv"        # beside the suite file
    target = "CO2"
    features = ["Light"]

    [[contrasts]]            # planned before the run
    first = "LTC-8"
    second = "LSTM-16"
    state = "carry"          # or "reset"
    tasks = ["sunspots"]     # all, if left out
    margin = 0.1             # ratios within 1 / 1.1 and 1.1 count as equal
    shifts = ["noise"]       # or ["all"]: errors under each, instead of those without
    of = "error"             # or "growth": the error over that without the shift

    [[ladders]]              # how many parameters does one cell need for the errors of another?
    first = "LTC"            # cells, of which the suite has several sizes
    second = "LSTM"
    tasks = ["sunspots"]     # all, if left out
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchliquid.bench.config import SEVERITIES, Protocol, make_protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.options import check_known, check_table, nearest, read
from torchliquid.bench.run.training import check_optimiser
from torchliquid.bench.run.tuning import TUNABLE
from torchliquid.bench.tasks.kinds import KINDS
from torchliquid.bench.tasks.shifts import SHIFTS, check_shifts
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.files import read_file

STATES = ("carry", "reset")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST = 2**24
"""Bytes of a suite file: more is another kind of file."""


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Two models whose test errors are to be compared, as planned.

    Args:
        first: a model of the suite.
        second: another.
        state: ``"carry"`` or ``"reset"``, the state at the start of the test stretch.
        tasks: names; None: all.
        margin: ratios of MSEs from 1 / (1 + margin) to 1 + margin count as equal.
        shift: the errors under it are compared, their geometric mean over severities; None: those
            without a shift.
        of: ``"error"``, or ``"growth"``: the error under the shift over that without.
    """

    first: str
    second: str
    state: str = "carry"
    tasks: tuple[str, ...] | None = None
    margin: float = 0.1
    shift: str | None = None
    of: str = "error"


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Two cells at several sizes each: see `torchliquid.bench.judging.parameter_efficiency`.

    Args:
        first: names of models, whose errors are to be equalled.
        second: names of models of the other cell.
        tasks: names; None: all.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    tasks: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class TaskEntry:
    """A task by name, how it is made, and which models run; tables are read when it is built."""

    name: str
    kind: str
    options: Any
    folder: Path
    models: tuple[str, ...]

    def build(self, protocol: Protocol) -> Task:
        """Return the task for the protocol's lanes and seed."""
        return KINDS[self.kind].make(self.options, self.folder, protocol.lanes, protocol.seed).task


@dataclasses.dataclass(frozen=True)
class Suite:
    """All that a suite file says."""

    name: str
    title: str
    models: tuple[str, ...]
    protocol: Protocol
    tasks: tuple[TaskEntry, ...]
    contrasts: tuple[Contrast, ...]
    ladders: tuple[Ladder, ...]
    path: Path

    @property
    def pivot(self) -> str:
        """What all models are measured by at a glance: the second of the first contrast."""
        return self.contrasts[0].second if self.contrasts else self.models[0]


def read_suite(path: Path | str) -> Suite:
    """Read and check a suite file; nothing is run, and no table is opened.

    Raises:
        TorchliquidError: the file cannot be read, or holds something unknown: a key,
            a model or a task that is unknown, a list that is empty, a value of another type.
    """
    path = Path(path)
    try:
        content = tomllib.loads(read_file(path, _LONGEST).decode())
    except OSError as error:
        raise TorchliquidError(
            f"cannot read {path} ({error.strerror}): give the path of a suite file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TorchliquidError(f"{path} is no TOML ({error}): fix the file") from error
    try:
        return _suite(path, content)
    except TorchliquidError as error:
        raise TorchliquidError(f"{path}: {error}") from error


def _suite(path: Path, content: dict[str, Any]) -> Suite:
    keys = {"title", "models", "protocol", "shifts", "tasks", "contrasts", "ladders"}
    check_known(content, keys, "a suite")
    models = _texts(content.get("models"), "models")
    find(models)
    tables = content.get("tasks", {})
    if not isinstance(tables, dict) or not tables:
        raise TorchliquidError("there is no task: give a table such as [tasks.sunspots]")
    tasks = tuple(_task(name, options, path.parent, models) for name, options in tables.items())
    protocol = _shifts(content.get("shifts"), _protocol(content.get("protocol", {})))
    contrasts = tuple(
        contrast
        for entry in content.get("contrasts", [])
        for contrast in _contrasts(entry, models, tasks, protocol.shifts)
    )
    return Suite(
        name=path.stem,
        title=str(content.get("title", path.stem)),
        models=models,
        protocol=protocol,
        tasks=tasks,
        contrasts=contrasts,
        ladders=tuple(_ladder(entry, models, tasks) for entry in content.get("ladders", [])),
        path=path,
    )


def _protocol(table: Any) -> Protocol:
    table = read(Protocol, table, "[protocol]")
    for name in table.get("tuned", ()):
        if name not in TUNABLE:
            raise TorchliquidError(
                f"tuned of [protocol] has {name!r}{nearest(name, TUNABLE)}: it knows "
                f"{', '.join(TUNABLE)}"
            )
    protocol = make_protocol(table)
    check_optimiser(protocol.schedule, protocol.weight_decay)
    return protocol


def _task(name: str, table: Any, folder: Path, models: tuple[str, ...]) -> TaskEntry:
    what = f"task {name!r}"
    check_table(table, what)
    if not _NAME.fullmatch(name):
        raise TorchliquidError(
            f"{what}: names are of letters, digits, dots and dashes, as of a folder"
        )
    kind = table.get("kind", name)
    if kind not in KINDS:
        raise TorchliquidError(
            f"{what} has kind {kind!r}{nearest(str(kind), KINDS)}: give kind = one of "
            f"{', '.join(KINDS)}"
        )
    values = {key: value for key, value in table.items() if key not in ("kind", "models")}
    if "models" in table:
        chosen = _texts(table["models"], f"models of {what}")
        for model in chosen:
            if model not in models:
                raise TorchliquidError(
                    f"{what} names {model!r}, no model of the suite{nearest(model, models)}"
                )
        models = tuple(model for model in models if model in chosen)
    options = KINDS[kind].options
    return TaskEntry(name, kind, options(**read(options, values, what)), folder, models)


def _shifts(table: Any, protocol: Protocol) -> Protocol:
    if table is None:
        return protocol
    check_table(table, "shifts")
    check_known(table, {"kinds", "severities"}, "[shifts]")
    kinds = _texts(table.get("kinds"), "kinds of [shifts]")
    kinds = tuple(SHIFTS) if kinds == ("all",) else kinds
    severities = table.get("severities", list(SEVERITIES))
    if not isinstance(severities, list) or not severities:
        raise TorchliquidError(f"severities of [shifts] is {severities!r}: give a list, as [1, 3]")
    for kind in kinds:
        if kind not in SHIFTS:
            raise TorchliquidError(
                f"[shifts] has no kind {kind!r}{nearest(kind, SHIFTS)}: it knows "
                f"{', '.join(SHIFTS)}"
            )
    check_shifts(kinds, severities)
    return dataclasses.replace(protocol, shifts=kinds, severities=tuple(severities))


def _contrasts(
    table: Any, models: tuple[str, ...], tasks: tuple[TaskEntry, ...], shifts: tuple[str, ...]
) -> list[Contrast]:
    """What an entry of the file plans: one contrast, or one for each of its shifts."""
    check_table(table, "contrasts")
    fields = {field.name for field in dataclasses.fields(Contrast)} - {"shift"} | {"shifts"}
    check_known(table, fields, "a contrast")
    for key in ("first", "second"):
        if table.get(key) not in models:
            raise TorchliquidError(
                f"a contrast's {key} is {table.get(key)!r}, no model of the suite"
                f"{nearest(str(table.get(key)), models)}"
            )
    if table["first"] == table["second"]:
        raise TorchliquidError(f"a contrast compares {table['first']} with itself")
    if table.get("state", "carry") not in STATES:
        raise TorchliquidError(f"a contrast's state is {table['state']!r}: give carry or reset")
    named = _tasks_of(table, tasks, "a contrast")
    models_of = {task.name: task.models for task in tasks}
    for name in named or ():
        for key in ("first", "second"):
            if table[key] not in models_of[name]:
                raise TorchliquidError(
                    f"a contrast of {table[key]} names task {name!r}, where that does not run"
                )
    margin = table.get("margin", 0.1)
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < 10:
        raise TorchliquidError(
            f"a contrast's margin is {margin!r}: give a number from 0 on, as 0.1"
        )
    if table.get("of", "error") not in ("error", "growth"):
        raise TorchliquidError(f"a contrast is of {table['of']!r}: give error or growth")
    values = {key: value for key, value in table.items() if key != "shifts"} | {"tasks": named}
    if "shifts" not in table:
        if "of" in table:
            raise TorchliquidError(
                "a contrast has 'of' but no shifts: name them, or leave 'of' out"
            )
        return [Contrast(**values)]
    listed = _texts(table["shifts"], "a contrast's shifts")
    for name in () if listed == ("all",) else listed:
        if name not in shifts:
            raise TorchliquidError(
                f"a contrast names shift {name!r}, which [shifts] does not{nearest(name, shifts)}"
            )
    if not shifts:
        raise TorchliquidError("a contrast has shifts, but the suite has no [shifts] with kinds")
    if table.get("state", "carry") != "carry":
        raise TorchliquidError("a contrast has shifts: its state is always carry")
    return [Contrast(**values, shift=name) for name in (shifts if listed == ("all",) else listed)]


def _ladder(table: Any, models: tuple[str, ...], tasks: tuple[TaskEntry, ...]) -> Ladder:
    check_table(table, "ladders")
    check_known(table, {"first", "second", "tasks"}, "a ladder")
    rungs: list[tuple[str, ...]] = []
    for key in ("first", "second"):
        cell = table.get(key)
        sizes = tuple(m.name for m in find(models) if m.cell == cell and m.name.count("-") == 1)
        if len(sizes) < 2:
            raise TorchliquidError(
                f"a ladder's {key} is {cell!r}, of which the suite has no two sizes: give the name "
                "of a cell, as 'LTC', and models as LTC-8 and LTC-16"
            )
        rungs.append(sizes)
    return Ladder(rungs[0], rungs[1], _tasks_of(table, tasks, "a ladder"))


def _tasks_of(
    table: Mapping[str, Any], tasks: tuple[TaskEntry, ...], what: str
) -> tuple[str, ...] | None:
    """The tasks that a contrast or a ladder names; None: all."""
    if "tasks" not in table:
        return None
    named = _texts(table["tasks"], f"{what}'s tasks")
    names = [task.name for task in tasks]
    for name in named:
        if name not in names:
            raise TorchliquidError(
                f"{what} names task {name!r}, which there is none of{nearest(name, names)}"
            )
    return named


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(t, str) for t in value):
        raise TorchliquidError(f"{what} is {value!r}: give a list of names, at least one")
    return tuple(value)
