"""One dictionary with all that a benchmark found: the content of ``summary.json``."""

import datetime
import itertools
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.environment import environment_facts
from torchliquid.bench.judging.analytic_claims import settled_claims
from torchliquid.bench.judging.claims import article_claims
from torchliquid.bench.judging.device_claims import edge
from torchliquid.bench.judging.schema import (
    Difference,
    ModelRow,
    Quantiles,
    SeriesRow,
    Summary,
)
from torchliquid.bench.judging.statistics import (
    BOUND,
    finite,
    median,
    median_interval,
    paired_ratio,
    quantiles,
)
from torchliquid.bench.models.methods import METHODS
from torchliquid.bench.models.registry import DEFAULT_OF_TABLES, REFERENCES
from torchliquid.bench.run.scoring import per_lane, score
from torchliquid.bench.run.store import Run, Store
from torchliquid.bench.tasks.task import Task

SCHEMA = 1
_MEASURES = ("train_mse", "test_mse_reset", "test_mse_carry")


def summarise(store: Store) -> Summary:
    """Compute the summary of a store's finished runs.

    Errors are in the target's unit (squared for an MSE): median, 10 % and 90 % quantile over lanes.
    Everything follows from the rows of the store, and the verdicts from nothing else.
    """
    task, protocol = store.load_task(), store.settings["protocol"]
    finished = store.models()
    order = [name for name in DEFAULT_OF_TABLES if name in finished]
    order += [name for name in finished if name not in order]
    runs = {name: store.load(name) for name in order}
    reference = _reference(task, runs)
    threads = max(run.facts["threads"] for run in runs.values())
    return {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "task": _task(task) | protocol | _by_trials(protocol),
        "models": {name: _model(task, run, reference) for name, run in runs.items()},
        "reference": reference.model if reference else None,
        "differences": _differences(runs),
        "series": _series(task, runs),
        "claims": article_claims(runs) if task.is_articles else [],
        "settled": settled_claims(task, runs),
        "edge": edge(store.folder),
        "training": _training(runs),
        "environment": environment_facts() | {"threads": threads},
    }


def _training(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """When, how and on what the runs were made: an entry for each command and machine."""
    rows: dict[str, dict[str, Any]] = {}
    for run in runs.values():
        made = run.facts.get("made")
        if made is None:  # of a version before it was noted
            continue
        machine = {
            name: made["environment"][name] for name in ("platform", "cpu", "torch", "native")
        }
        same = {"command": made["command"]} | machine
        same |= {name: made["environment"].get(name) for name in ("torchliquid", "commit")}
        entry = rows.setdefault(str(same), {"models": [], "started": made["started"], **same})
        entry["models"].append(run.model)
        entry["started"] = min(entry["started"], made["started"])
        entry["seconds"] = round(entry.get("seconds", 0.0) + made["seconds"], 1)
    return list(rows.values())


def _task(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "is_articles": task.is_articles,
        "unit": task.unit,
        "steps": task.steps,
        "train": task.train,
        "valid": task.valid,
        "test": task.test,
        "dt": _spacing(task),
        "has_clean": task.clean is not None,
        "shared_data": len(task.inputs) == 1,
        "scale": task.scale,
        "notes": list(task.notes),
        "spec": task.spec,
    }


def _series(task: Task, runs: dict[str, Run]) -> list[SeriesRow]:
    """Of several series, the test RMSE of each model on each that has a test stretch."""
    if task.series_id is None:
        return []
    of_test = task.steps - task.test
    rows: list[SeriesRow] = []
    for k, label in enumerate(task.series_names):
        steps = np.flatnonzero(task.series_id[of_test:] == k)
        targets = int(np.isfinite(task.targets[0, of_test:][steps]).sum())
        if not targets:
            continue
        rmse = {
            name: finite(median(np.sqrt(run.arrays["series_mse_carry"][:, k])))
            for name, run in runs.items()
        }
        scaled = {name: None if e is None else e * task.scale for name, e in rmse.items()}
        rows.append({"series": label, "targets": targets, "test_rmse_carry": scaled})
    return rows


def _by_trials(protocol: dict[str, Any]) -> dict[str, str]:
    """What the protocol says of settings that each model found for itself."""
    tuned = protocol.get("trials", 1) > 1 and "learning_rate" in protocol["tuned"]
    return {"learning_rate": "found by trials"} if tuned else {}


def _spacing(task: Task) -> float | str:
    """Dt in a number or a word."""
    if isinstance(task.dt, np.ndarray):
        return "irregular"
    return "found by trials" if task.spec.get("dt", task.dt) is None else task.dt


def _reference(task: Task, runs: dict[str, Run]) -> Run | None:
    """What skill is measured against: the best of the simplest forecasts, by its errors.

    On a table those that were not run are computed; elsewhere those count that were.
    """
    there = [runs[name] for name in REFERENCES if name in runs]
    if not task.is_articles and runs:
        lanes = len(next(iter(runs.values())).arrays["test_mse_carry"])
        for name in REFERENCES:
            if name not in runs:
                forecast = METHODS[name][1](task)(task)
                rows = score(task, per_lane(forecast.carry, lanes), per_lane(forecast.reset, lanes))
                there.append(Run(name, {}, dict(rows)))
    return min(there, key=lambda run: median(run.arrays["test_mse_carry"]), default=None)


def _model(task: Task, run: Run, reference: Run | None) -> ModelRow:
    facts, arrays = run.facts, run.arrays
    shown = ("kind", "description", "parameters", "bytes", "lanes", "seconds_per_epoch")
    row: dict[str, Any] = {key: facts[key] for key in shown}
    for key in ("seconds_alone", "seconds_evaluating", "learning_rate", "dt", "epochs", "choice"):
        row[key] = facts.get(key)
    row["notes"] = facts.get("notes", [])
    row["diverged"] = int(arrays["diverged"].sum())
    row["untrained"] = int((arrays.get("chosen_epoch", np.ones(1)) == 0).sum())
    curve = arrays.get("curve_train")
    row["hopeless"] = 0 if curve is None else int((~np.isfinite(curve[0])).sum())
    square = task.scale**2
    for measure in (m + suffix for suffix in ("", "_clean") for m in _MEASURES):
        if measure in arrays:
            row[measure] = quantiles(arrays[measure] * square)
    row["train_rmse"] = quantiles(np.sqrt(arrays["train_mse"]) * task.scale)
    for state in ("reset", "carry"):
        error = arrays[f"test_mse_{state}"]
        row[f"test_rmse_{state}"] = quantiles(np.sqrt(error) * task.scale)
        if reference is not None:
            simplest = reference.arrays[f"test_mse_{state}"]
            # a test part that never changes leaves nothing to be better than
            nonzero = bool((simplest > 0).all())
            row[f"skill_{state}"] = _skill(paired_ratio(error, simplest)) if nonzero else _NO_SKILL
    return cast(ModelRow, row)  # its measures are made by name


_NO_SKILL: Quantiles = {"median": None, "q10": None, "q90": None}


def _skill(ratio: NDArray[np.float64]) -> Quantiles:
    """Quantiles of 1 - ratio: the lowest skill is that of the highest ratio, maybe infinite."""
    ratios = quantiles(np.where(ratio < BOUND, ratio, np.inf))
    median, low, high = (
        None if value is None else finite(1 - value)
        for value in (ratios["median"], ratios["q90"], ratios["q10"])
    )
    return {"median": median, "q10": low, "q90": high}


def _differences(runs: dict[str, Run]) -> list[Difference]:
    """Every pair of models, both measures; the liquid ones first in a pair."""
    rows: list[Difference] = []
    for (first, a), (second, b) in itertools.combinations(runs.items(), 2):
        for measure in ("test_mse_carry", "test_mse_reset"):
            ratio = paired_ratio(a.arrays[measure], b.arrays[measure])
            estimate = median_interval(ratio)
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "measure": measure,
                    "ratio": finite(estimate.figure),
                    "interval": [finite(estimate.low), finite(estimate.high)],
                    "wins": finite(float(np.mean(ratio < 1))),
                    "lanes": len(ratio),
                }
            )
    return rows
