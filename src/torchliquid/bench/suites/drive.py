"""Run a suite: every task in a folder named after all that defines it, whatever becomes of others.

    OUT/TASK-HASH/     a store, as of a single benchmark, with its summary and report
    OUT/suite.json     what became of each task, the planned contrasts, and all tasks at a glance
    OUT/rows.csv       every error of every lane

The hash is of task, protocol and version of torchliquid: a finished run is never repeated, and a
changed one never mixed in with it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchliquid.bench.judging.overview import matrix, overall, shifts
from torchliquid.bench.judging.summary import summarise
from torchliquid.bench.running.runner import run, settings_of
from torchliquid.bench.running.store import Store, hold, write_whole
from torchliquid.bench.running.training import Protocol
from torchliquid.bench.suites.planned import planned
from torchliquid.bench.suites.rows import rows, write_csv
from torchliquid.bench.suites.suite import Suite, TaskEntry
from torchliquid.bench.suites.verdicts import ladders, verdicts
from torchliquid.bench.tasks.task import Task
from torchliquid.environment import describe
from torchliquid.errors import TorchliquidError

Say = Callable[[str], None]
Draw = Callable[[Store, dict[str, Any]], Path]


def folder_of(out: Path, entry: TaskEntry, task: Task, protocol: Protocol) -> Path:
    """Where a task's runs go: a name, and a hash of all that defines them."""
    whole = json.dumps(settings_of(task, protocol), sort_keys=True)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return out / f"{entry.name}-{digest[:12]}"


def status(suite: Suite, out: Path) -> list[tuple[str, Path | None, list[str], str]]:
    """Of each task: its name, folder, models that are finished, and what went wrong reading it."""
    found: list[tuple[str, Path | None, list[str], str]] = []
    for entry in suite.tasks:
        try:
            task, protocol = entry.build(suite.protocol)
        except TorchliquidError as error:
            found.append((entry.name, None, [], str(error)))
            continue
        folder = folder_of(out, entry, task, protocol)
        done = {path.stem for path in (folder / "runs").glob("*.safetensors")}
        found.append((entry.name, folder, [m for m in entry.models if m in done], ""))
    return found


def run_suite(
    suite: Suite,
    out: Path,
    *,
    processes: int | None = None,
    say: Say = lambda text: None,
    draw: Draw | None = None,
) -> dict[str, Any]:
    """Run what is not yet finished, and write ``suite.json``.

    A task that fails (a table that cannot be read, a full disk, a worker that dies) is recorded
    with its reason, and the others go on; the next call tries it again.

    Args:
        suite: see `torchliquid.bench.suites.suite.read_suite`.
        out: folder of the suite's results.
        processes: see `torchliquid.bench.running.runner.run`.
        say: hears what is under way.
        draw: writes a task's report from its store and summary.

    Returns:
        What ``suite.json`` holds: ``suite``, ``title``, ``models``, ``tasks`` (for each ``status``,
        ``reason``, ``folder``), ``planned``, ``contrasts``, ``ladders``, ``pivot``, ``overall``,
        ``matrix`` and ``shifts``: see `torchliquid.bench.suites.planned`, `.verdicts` and
        `torchliquid.bench.judging.overview`.
    """
    with hold(out):
        tasks: dict[str, dict[str, Any]] = {}
        stores: dict[str, Store] = {}
        for place, entry in enumerate(suite.tasks, start=1):
            say(f"{place} of {len(suite.tasks)}: {entry.name}")
            try:
                task, protocol = entry.build(suite.protocol)
                folder = folder_of(out, entry, task, protocol)
                store = run(task, entry.models, protocol, folder, processes=processes)
                summary = summarise(store)
                text = json.dumps(summary, indent=2) + "\n"
                write_whole(folder / "summary.json", text.encode())
                if draw is not None:
                    draw(store, summary)
            except TorchliquidError as error:
                say(f"{entry.name} failed: {error}")
                tasks[entry.name] = {"status": "error", "reason": str(error), "folder": None}
                continue
            stores[entry.name] = store
            tasks[entry.name] = {"status": "ok", "reason": "", "folder": folder.name}
        result = _result(suite, out, tasks, stores)
        write_whole(out / "suite.json", (json.dumps(result, indent=2) + "\n").encode())
        return result


def _result(
    suite: Suite, out: Path, tasks: dict[str, dict[str, Any]], stores: dict[str, Store]
) -> dict[str, Any]:
    """All that is said of a suite; see `run_suite`. Its rows are written on the way."""
    runs = {
        entry.name: {name: stores[entry.name].load(name) for name in entry.models}
        for entry in suite.tasks
        if entry.name in stores
    }
    write_csv(out / "rows.csv", rows(runs, suite.protocol.severities))
    starts = [
        run.facts["made"]["started"]
        for models in runs.values()
        for run in models.values()
        if "made" in run.facts
    ]
    return {
        "suite": suite.name,
        "title": suite.title,
        "models": list(suite.models),
        "protocol": json.loads(json.dumps(dataclasses.asdict(suite.protocol))),
        "tasks": tasks,
        "planned": planned(suite.path, min(starts, default=None)),
        "contrasts": verdicts(suite, stores),
        "ladders": ladders(suite, stores),
        "pivot": suite.pivot,
        "overall": overall(runs, suite.pivot),
        "matrix": matrix(runs, suite.pivot),
        "shifts": shifts(runs),
        "environment": describe(),
    }
