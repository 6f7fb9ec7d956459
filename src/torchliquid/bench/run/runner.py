"""Run a benchmark: every model of a comparison on one task, side by side, resumable.

One job is one model: all its lanes, trained as a pack. Jobs run in processes of one torch thread
each; a finished job is in the store before the next one starts, so an interrupt or a kill loses
only what was under way.
"""

import contextlib
import functools
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchliquid import __version__
from torchliquid.bench.config import Protocol
from torchliquid.bench.environment import environment_facts
from torchliquid.bench.models.methods import METHODS
from torchliquid.bench.models.registry import Model, find
from torchliquid.bench.run.free_run import lyapunov_times, of_method, of_pack, runs_free
from torchliquid.bench.run.interpolated import as_windows, predict_ends, predict_windows
from torchliquid.bench.run.probe import probe
from torchliquid.bench.run.processes import NoRoomError, in_slots, start_worker
from torchliquid.bench.run.scoring import per_lane, score
from torchliquid.bench.run.shifting import under_shifts
from torchliquid.bench.run.store import Run, Store, lock_folder
from torchliquid.bench.run.training import Progress, check_optimiser, seconds_alone, train
from torchliquid.bench.run.tuning import Choice, is_tuned, passes, tune
from torchliquid.bench.run.windows import predict, predict_along
from torchliquid.bench.tasks.shifts import check_shifts
from torchliquid.bench.tasks.task import Array, Task
from torchliquid.errors import LongStepWarning, TorchliquidError
from torchliquid.nn import Pack, save

Report = Callable[[str, int], None]
"""Called with a model's name and the number of its finished epochs."""
LARGEST_RATE = 1e30
"""The optimiser computes with 32-bit numbers: not far above this it cannot take a step."""


WORTH_WORKERS = 5.0
"""Seconds of training from which worker processes are worth their start, two seconds each."""
LANE_STEP, EPOCH = 2e-7, 5e-4
"""Seconds that a step of a lane takes, about, and an epoch besides."""


def run(
    task: Task,
    models: Sequence[str],
    protocol: Protocol,
    folder: Path,
    *,
    fresh: bool = False,
    processes: int | None = None,
    report: Report = lambda model, epoch: None,
    notify: Callable[[str], None] = lambda text: None,
) -> Store:
    """Run what is not yet finished, and give the store that holds all.

    Args:
        task: what to predict.
        models: names, see `torchliquid.bench.models.registry`.
        protocol: how networks are trained.
        folder: of the store.
        fresh: throw away what the folder holds.
        processes: workers; 0 runs in this process; None: as many as there are cores and jobs, and
            none where training takes little longer than they take to start.
        report: hears of progress, in this process.
        notify: hears what the user should know, such as which models were finished already.

    Raises:
        TorchliquidError: settings that do not fit, or that the folder's results were not made with.
    """
    chosen = check(models, protocol, processes)
    if len(task.inputs) not in (1, protocol.lanes):
        raise TorchliquidError(
            f"lanes is {protocol.lanes}, but the task has data for {len(task.inputs)}: give both "
            "the same number"
        )
    with lock_folder(folder):
        return _run(task, chosen, protocol, folder, fresh, processes, report, notify)


def _run(
    task: Task,
    chosen: Sequence[Model],
    protocol: Protocol,
    folder: Path,
    fresh: bool,
    processes: int | None,
    report: Report,
    notify: Callable[[str], None],
) -> Store:
    store = Store(folder, settings_of(task, protocol), fresh=fresh)
    store.save_task(task)
    todo, finished = [], []
    for model in chosen:
        if not store.has(model.name):
            todo.append(model)
        # a damaged file is found before hours of work, not after
        elif store.has_models(store.load(model.name)):
            finished.append(model)
            report(model.name, passes(model, protocol))
        else:
            todo.append(model)
            notify(f"note: trained models of {model.name} are damaged or missing: made again")
    if finished:
        names = ", ".join(model.name for model in finished)
        notify(f"note: finished in {folder} already: {names}; `fresh` starts over")
    if processes is None:
        alone = training_seconds(task, todo, protocol) < WORTH_WORKERS
        processes = 0 if alone else min(os.cpu_count() or 1, len(todo))
    if processes and todo:
        try:
            _in_processes(task, todo, protocol, store, processes, report)
        except NoRoomError as error:
            notify(
                f"note: no shared memory for worker processes ({error}): this process does it all, "
                "one model after the other"
            )
        else:
            return store
    for model in todo:
        job(task, model, protocol, store, _named(report, model.name))
    return store


def settings_of(task: Task, protocol: Protocol) -> dict[str, Any]:
    """All that defines the runs of a store, JSON types."""
    facts, default = asdict(protocol), Protocol()
    for name in ("schedule", "weight_decay", "shifts", "warm_up"):
        if getattr(protocol, name) == getattr(default, name):
            del facts[name]  # runs of before these came are the same
    if not protocol.shifts:
        del facts["severities"]
    return {"torchliquid": __version__, "task": task.spec, "protocol": facts}


def training_seconds(task: Task, models: Sequence[Model], protocol: Protocol) -> float:
    """How long training takes in one process, very roughly."""
    trained = [model for model in models if model.kind != "classical"]
    epochs = sum(passes(model, protocol) for model in trained)
    return epochs * (EPOCH + LANE_STEP * protocol.lanes * task.train)


def job(task: Task, model: Model, protocol: Protocol, store: Store, progress: Progress) -> None:
    """One model on a task, from data to rows in the store, its trained lanes first."""
    started = datetime.now(UTC)
    run, pack = compute(task, model, protocol, progress)
    run.facts["made"] = {
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "command": _command(),
        "environment": environment_facts(),
    }
    if pack is not None:
        _save_models(task, model, run, pack, store.model_folder(model.name))
        run.facts["models"] = store.models_digest(model.name)
    store.save(run)


def _command() -> str | None:
    """The command line that asked for the run, if one did; a worker has its parent's."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join([program, *sys.argv[1:]]) if program.startswith("torchliquid") else None


def compute(
    task: Task, model: Model, protocol: Protocol, progress: Progress
) -> tuple[Run, Pack | None]:
    """A model's rows, and its trained lanes."""
    if model.kind == "classical":
        method = METHODS[model.name][1](task)
        carry, reset, parameters, notes = method(task)
        rows = score(task, per_lane(carry, protocol.lanes), per_lane(reset, protocol.lanes))
        rows |= under_shifts(task, model, protocol, rows, lambda other: method(other).carry)
        if runs_free(task):
            rows["valid_time"] = lyapunov_times(task, of_method(task, method, protocol.lanes))
        progress(protocol.epochs)
        facts = _facts(model, parameters, protocol) | {"notes": list(notes)}
        return Run(model.name, facts, dict(rows)), None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LongStepWarning)
        series, is_fed_windows = task, model.input == "interpolated"
        if is_fed_windows:
            task = as_windows(series)
        choice, before = None, passes(model, protocol) - protocol.epochs
        if is_tuned(model, protocol):
            choice = tune(task, model, protocol, progress)
            task = replace(task, dt_scale=choice.dt_scale())
        trained = train(task, model, protocol, lambda epoch: progress(before + epoch),
                        settings=choice.taken if choice else None)  # fmt: skip
        if is_fed_windows:
            predictions = predict_windows(series, model, trained.pack, task)
        else:
            predictions = predict(task, model, trained.pack)
    rows = score(series, *predictions, trained.final_error, protocol.warm_up) | trained.curves
    if np.ndim(task.dt_scale):
        scale = np.asarray(task.dt_scale, dtype=np.float64)
        rows["dt_scale"] = scale
        if isinstance(task.dt, float):
            rows["layer_dt"] = task.dt * scale
    parameters = sum(p.numel() for p in trained.pack.model.parameters())
    facts = _facts(model, parameters, protocol)
    # no warning for a step that trials chose
    facts["notes"] = [text.partition(": give")[0] if choice else text for text in _words_of(caught)]
    facts["seconds_per_epoch"] = trained.seconds_per_epoch
    facts["seconds_evaluating"] = trained.seconds_evaluating
    facts |= _settings_facts(task, model, protocol, choice)
    facts["seconds_alone"] = seconds_alone(task, model, protocol)
    lane = _typical_lane(rows["test_mse_carry"])
    facts["demo_lane"] = lane
    if model.kind == "liquid":
        arrays, more = probe(task, model, trained.pack, protocol.seed, lane)
        rows, facts = rows | arrays, facts | more

    def carried(other: Task) -> Array:
        if is_fed_windows:
            return predict_ends(other, model, trained.pack, task)
        return predict_along(other, model, trained.pack, other.timelines())

    shown = series if is_fed_windows else task
    looked_at = trained.pack if model.kind == "liquid" else None
    rows |= under_shifts(shown, model, protocol, rows, carried, looked_at)
    if runs_free(task):
        rows["valid_time"] = lyapunov_times(task, of_pack(task, model, trained.pack))
    return Run(model.name, facts, dict(rows)), trained.pack


def _settings_facts(
    task: Task, model: Model, protocol: Protocol, choice: Choice | None
) -> dict[str, Any]:
    """What the lanes were trained with; of several choices the medians."""
    facts: dict[str, Any] = {"learning_rate": protocol.learning_rate, "epochs": protocol.epochs}
    if choice:
        facts["learning_rate"] = float(np.median([s.learning_rate for s in choice.taken]))
        if not task.valid:
            facts["epochs"] = int(np.median([s.epochs or protocol.epochs for s in choice.taken]))
        facts["choice"] = choice.facts()
    if model.takes_dt:
        facts["dt"] = float(np.median(task.dt) * np.median(task.dt_scale))
    return facts


def _words_of(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Long steps are facts of the run; whatever else was said goes where it was meant to go."""
    for other in caught:
        if not issubclass(other.category, LongStepWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return [str(w.message) for w in caught if issubclass(w.category, LongStepWarning)]


def _facts(model: Model, parameters: int, protocol: Protocol) -> dict[str, Any]:
    return {
        "kind": model.kind,
        "description": model.description,
        "parameters": parameters,
        "bytes": 4 * parameters,
        "lanes": protocol.lanes,
        "notes": [],
        "models": "",
        "seconds_per_epoch": None,
        "threads": torch.get_num_threads(),
    }


def _typical_lane(errors: Any) -> int:
    """The lane whose error is the (lower) median: neither the best nor the worst to look at."""
    return int(np.argsort(errors)[(len(errors) - 1) // 2])


def _save_models(task: Task, model: Model, run: Run, pack: Pack, folder: Path) -> None:
    scaling = model.scaling(task)
    part = folder.with_name(f".{folder.name}.part")
    try:
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        for old in (part, folder):
            if old.exists():
                shutil.rmtree(old)
        for lane in range(len(pack)):
            trained = pack.lane(lane)
            trained.scaling = scaling
            if "layer_dt" in run.arrays and model.takes_dt:
                trained.layer.dt = float(run.arrays["layer_dt"][lane])
            if model.takes_dt:
                trained.scaling = replace(scaling, dt_unit=_dt_unit(task, run, lane))
            save(trained, part / f"lane-{lane:03d}")
        part.rename(folder)
    except OSError as error:
        raise TorchliquidError(
            f"cannot write {folder} ({error.strerror}): make room, or give another `folder`"
        ) from error


def _dt_unit(task: Task, run: Run, lane: int) -> str | None:
    """How long a dt of 1 is to a lane's layer, where the table's times tell."""
    recipe = task.recipe or {}
    if recipe.get("gap") is None:
        return None
    gap = float(task.spec.get("dt") or 1.0)  # what a median gap counts as
    if "dt_scale" in run.arrays:
        gap *= float(run.arrays["dt_scale"][lane])
    unit = {"s": "seconds", None: f"{recipe.get('time')}"}.get(
        recipe.get("time_unit"), recipe.get("time_unit")
    )
    return f"{recipe['gap'] / gap:.6g} {unit}"


def check(models: Sequence[str], protocol: Protocol, processes: int | None) -> list[Model]:
    """The models of these names, where all settings can be run; an error if not."""
    chosen = find(models)
    for name in ("lanes", "epochs", "trials"):
        value = getattr(protocol, name)
        if value < 1:
            raise TorchliquidError(f"{name} is {value}: give at least 1")
    if not 0 < protocol.learning_rate <= LARGEST_RATE:
        raise TorchliquidError(
            f"learning rate is {protocol.learning_rate}: give a positive number up to "
            f"{LARGEST_RATE:g}; 0.01 is the default"
        )
    check_shifts(protocol.shifts, protocol.severities)
    check_optimiser(protocol.schedule, protocol.weight_decay)
    if protocol.seed < 0:
        raise TorchliquidError(f"seed is {protocol.seed}: give an integer of at least 0")
    if processes is not None and processes < 0:
        raise TorchliquidError(
            f"processes is {processes}: give a number of workers, or 0 for none beside this process"
        )
    return chosen


def _named(report: Report, name: str) -> Progress:
    return lambda epoch: report(name, epoch)


# A worker's view of the board: shared memory without a lock, because a worker that is killed while
# it holds a lock would leave everybody else waiting. Cell i holds the finished epochs of job i. A
# global, because that is how an initialiser hands things on.
_board: Any = None


def _in_processes(
    task: Task,
    todo: Sequence[Model],
    protocol: Protocol,
    store: Store,
    processes: int,
    report: Report,
) -> None:
    """One job a model; the first exception ends them all.

    Raises:
        NoRoomError: the system has no room for processes or what they share.
    """
    try:
        board = get_context("spawn").RawArray("q", len(todo))
    except OSError as error:
        raise NoRoomError(error.strerror) from error
    jobs = {
        model.name: functools.partial(
            _work, index, task, model, protocol, store.folder, store.settings
        )
        for index, model in enumerate(todo)
    }

    def tick() -> None:
        for model, epoch in zip(todo, board, strict=True):
            report(model.name, epoch)

    slots = in_slots(jobs, processes, start=_start_worker, arguments=(board,), tick=tick)
    with contextlib.closing(slots) as ends:
        for _, future in ends:
            try:
                future.result()
            except BrokenProcessPool as error:
                raise TorchliquidError(
                    "a worker process died (out of memory, or killed): what had finished is kept, "
                    "call again to go on"
                ) from error


def _start_worker(board: Any) -> None:
    global _board
    _board = board
    start_worker()


def _work(
    index: int,
    task: Task,
    model: Model,
    protocol: Protocol,
    folder: Path,
    settings: dict[str, Any],
) -> None:
    def progress(epoch: int) -> None:
        _board[index] = epoch

    progress(0)
    job(task, model, protocol, Store.of_worker(folder, settings), progress)
