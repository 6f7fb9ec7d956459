"""Run a suite: every task in a folder named after all that defines it, whatever becomes of others.

    OUT/TASK-HASH/     a store, as of a single benchmark, with its summary and report
    OUT/suite.json     what became of each task, the planned contrasts, and all tasks at a glance
    OUT/rows.csv       every error of every lane

The hash is of task, protocol and version of torchliquid: a finished run is never repeated, and a
changed one never mixed in with it.
"""

import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torchliquid.bench.config import Protocol
from torchliquid.bench.environment import environment_facts
from torchliquid.bench.judging.aggregate import matrix, overall, shifts
from torchliquid.bench.judging.schema import Summary
from torchliquid.bench.judging.summary import summarise
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.runner import WORTH_WORKERS, job, settings_of, training_seconds
from torchliquid.bench.run.store import Store, lock_folder, write_file
from torchliquid.bench.suites.engine import (
    Key,
    Outcome,
    in_this_process,
    on_cores,
    on_dask,
    shard,
)
from torchliquid.bench.suites.planned import planned
from torchliquid.bench.suites.rows import rows, write_csv
from torchliquid.bench.suites.suite import Suite, TaskEntry
from torchliquid.bench.suites.verdicts import ladders, least_lanes, planned_rows, verdicts
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError

Notify = Callable[[str], None]
Draw = Callable[[Store, Summary], Path]


def folder_of(out: Path, entry: TaskEntry, task: Task, protocol: Protocol) -> Path:
    """Where a task's runs go: a name, and a hash of all that defines them."""
    whole = json.dumps(settings_of(task, protocol), sort_keys=True)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return out / f"{entry.name}-{digest[:12]}"


def status(suite: Suite, out: Path) -> list[tuple[str, Path | None, list[str], str]]:
    """Of each task: its name, folder, models that are finished, and what went wrong reading it."""
    states: list[tuple[str, Path | None, list[str], str]] = []
    for entry in suite.tasks:
        try:
            task = entry.build(suite.protocol)
        except TorchliquidError as error:
            states.append((entry.name, None, [], str(error)))
            continue
        folder = folder_of(out, entry, task, suite.protocol)
        done = {path.stem for path in (folder / "runs").glob("*.safetensors")}
        states.append((entry.name, folder, [m for m in entry.models if m in done], ""))
    return states


@dataclasses.dataclass(frozen=True)
class Execution:
    """On what a suite runs.

    Args:
        processes: workers on this machine; 0 runs in this process; None: as many as there are
            cores, and none where training takes little longer than they take to start.
        scheduler: address of a Dask scheduler, whose workers do the work instead.
        shard: ``"i/N"``: every N-th job alone, for machines that share the work. What they leave is
            merged by copying the folders into one; a last run without it then writes the results.
        limit: seconds that a job may take.
    """

    processes: int | None = None
    scheduler: str | None = None
    shard: str | None = None
    limit: float | None = None


def run_suite(
    suite: Suite,
    out: Path,
    how: Execution = Execution(),
    *,
    notify: Notify = lambda text: None,
    draw: Draw | None = None,
) -> dict[str, Any]:
    """Run what is not yet finished, and write ``suite.json``.

    A job is a model on a task. One that fails (its process dies, it takes too long, its data cannot
    be read, the disk is full) is recorded with its reason, and the others go on; the next call
    tries it again.

    Args:
        suite: see `torchliquid.bench.suites.suite.read_suite`.
        out: folder of the suite's results.
        how: see `Execution`.
        notify: hears what is under way.
        draw: writes a task's report from its store and summary.

    Returns:
        What ``suite.json`` holds: ``suite``, ``title``, ``models``, ``tasks`` (for each ``status``,
        ``reason``, ``folder``, ``models``), ``planned``, ``contrasts``, ``ladders``, ``pivot``,
        ``overall``, ``matrix`` and ``shifts``: see `torchliquid.bench.suites.planned`, `.verdicts`
        and `torchliquid.bench.judging.aggregate`. Of a shard ``tasks`` alone, and nothing is
        written but the runs.

    Raises:
        TorchliquidError: the folder cannot be written, no scheduler answers, a shard that is none.
    """
    out = out.resolve()  # workers elsewhere may have another working directory
    lanes, comparisons = suite.protocol.lanes, planned_rows(suite)
    if lanes < least_lanes(comparisons):
        notify(
            f"note: {comparisons} planned comparisons need {least_lanes(comparisons)} lanes for "
            f"any verdict: with {lanes} there is none"
        )
    with lock_folder(out):
        tasks: dict[str, dict[str, Any]] = {}
        jobs: dict[Key, Callable[[], Outcome]] = {}
        left: set[Key] = set()  # what is not finished
        seconds = 0.0
        for entry in suite.tasks:
            try:
                task = entry.build(suite.protocol)
                folder = folder_of(out, entry, task, suite.protocol)
                store = Store(folder, settings_of(task, suite.protocol))
                store.save_task(task)
            except TorchliquidError as error:
                notify(f"{entry.name} failed: {error}")
                tasks[entry.name] = {"status": "error", "reason": str(error), "folder": None,
                                     "models": {}}  # fmt: skip
                continue
            todo = [m for m in find(entry.models) if not _finished(store, m.name)]
            seconds += training_seconds(task, todo, suite.protocol)
            left |= {(entry.name, model.name) for model in todo}
            for model in entry.models:
                jobs[entry.name, model] = functools.partial(
                    _work, entry, suite.protocol, model, folder, store.settings
                )
            models = {name: {"status": "ok", "reason": ""} for name in entry.models}
            tasks[entry.name] = {"status": "ok", "reason": "", "folder": folder.name,
                                 "models": models}  # fmt: skip
        # of all jobs, finished or not: a shard that is resumed has the share that it had
        mine = shard(_longest_first(jobs), how.shard)
        calls = {key: call for key, call in mine.items() if key in left}
        for (where, who), outcome in _outcomes(calls, how, out, seconds, notify):
            tasks[where]["models"][who] = outcome._asdict()
        for where, who in left - set(calls):
            tasks[where]["models"][who] = {"status": "missing", "reason": "of another shard"}
        for facts in tasks.values():
            lost: dict[str, list[str]] = {}
            for who, end in facts["models"].items():
                if end["status"] not in ("ok", "diverged"):
                    lost.setdefault(f"{end['status']}: {end['reason']}", []).append(who)
            if lost:
                endings = (f"{', '.join(names)} {end}" for end, names in lost.items())
                facts |= {"status": "incomplete", "reason": "; ".join(endings)}
        if how.shard is not None:
            return {"suite": suite.name, "title": suite.title, "tasks": tasks}
        stores = _summarised(suite, out, tasks, draw, notify)
        result = _result(suite, out, tasks, stores)
        write_file(out / "suite.json", (json.dumps(result, indent=2) + "\n").encode())
        return result


def _finished(store: Store, model: str) -> bool:
    """Whether a run is there, whole and with its trained models; one that is damaged is not."""
    try:
        return store.has(model) and store.has_models(store.load(model))
    except TorchliquidError:
        return False


def _longest_first(jobs: dict[Key, Callable[[], Outcome]]) -> dict[Key, Callable[[], Outcome]]:
    """So that no core waits at the end: cells without a kernel, then large ones, then the rest."""

    def weight(key: Key) -> float:
        (model,) = find([key[1]])
        return -(1e6 if model.takes_dt and model.kind == "recurrent" else model.hidden**2)

    return {key: jobs[key] for key in sorted(jobs, key=weight)}


def _outcomes(
    jobs: dict[Key, Callable[[], Outcome]],
    how: Execution,
    out: Path,
    seconds: float,
    notify: Notify,
) -> Iterator[tuple[Key, Outcome]]:
    """How each job ended, said as it ends."""
    processes = how.processes
    if processes is None:
        processes = 0 if seconds < WORTH_WORKERS else os.cpu_count() or 1
    if not jobs:
        return
    if how.scheduler is not None:
        ends = on_dask(jobs, how.scheduler, how.limit, out)
    elif processes == 0:
        ends = in_this_process(jobs)
    else:
        ends = on_cores(jobs, processes, how.limit)
    start = time.monotonic()
    for done, ((task, model), outcome) in enumerate(ends, start=1):
        why = f" ({outcome.reason})" if outcome.reason else ""
        passed = f"{time.monotonic() - start:.0f} s"
        notify(f"{done} of {len(jobs)}, {passed}: {task}, {model}: {outcome.status}{why}")
        yield (task, model), outcome


def _work(
    entry: TaskEntry, protocol: Protocol, name: str, folder: Path, settings: dict[str, Any]
) -> Outcome:
    """One model on one task, in whatever process."""
    task = _built(entry, protocol)
    store = Store.of_worker(folder, settings_of(task, protocol))
    if store.settings != settings:
        raise TorchliquidError(
            "this worker makes another task of the suite than the caller did: give both the same "
            "version of torchliquid and the same files"
        )
    if store.has(name) and not _finished(store, name):
        store.drop(name)
    job(task, find([name])[0], protocol, store, lambda epoch: None)
    diverged = int(store.load(name).arrays["diverged"].sum())
    if diverged:
        return Outcome("diverged", f"{diverged} of {protocol.lanes} lanes")
    return Outcome("ok")


_last: tuple[TaskEntry, Protocol, Task] | None = None


def _built(entry: TaskEntry, protocol: Protocol) -> Task:
    """A task, kept until another one is asked for: reading or drawing it takes seconds."""
    global _last
    if _last is None or _last[:2] != (entry, protocol):
        _last = (entry, protocol, entry.build(protocol))
    return _last[2]


def _summarised(
    suite: Suite, out: Path, tasks: dict[str, dict[str, Any]], draw: Draw | None, notify: Notify
) -> dict[str, Store]:
    """Summary and report of each task that has a run; the stores of those that went well."""
    stores = {}
    for entry in suite.tasks:
        facts = tasks[entry.name]
        if facts["folder"] is None:
            continue
        try:
            store = Store.existing(out / facts["folder"])
            if not store.models():
                continue
            summary = summarise(store)
            text = json.dumps(summary, indent=2) + "\n"
            write_file(store.folder / "summary.json", text.encode())
            if draw is not None:
                draw(store, summary)
        except TorchliquidError as error:
            notify(f"{entry.name} failed: {error}")
            facts |= {"status": "error", "reason": str(error)}
            continue
        stores[entry.name] = store
    return stores


def _result(
    suite: Suite, out: Path, tasks: dict[str, dict[str, Any]], stores: dict[str, Store]
) -> dict[str, Any]:
    """All that is said of a suite; see `run_suite`. Its rows are written on the way."""
    runs = {
        entry.name: {
            name: stores[entry.name].load(name)
            for name in entry.models
            if stores[entry.name].has(name)
        }
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
        "contrasts": verdicts(suite, runs),
        "ladders": ladders(suite, runs),
        "pivot": suite.pivot,
        "overall": overall(runs, suite.pivot),
        "matrix": matrix(runs, suite.pivot),
        "shifts": shifts(runs),
        "environment": environment_facts(),
    }
