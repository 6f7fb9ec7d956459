"""All tasks of a suite at a glance: each model against one that all are measured by.

The statistics follow Agarwal et al., "Deep reinforcement learning at the edge of the statistical
precipice", 2021: interquartile means, probability of improvement, and intervals of bootstraps that
draw lanes again within each task. Such an interval speaks of these tasks; one that draws the tasks
again as well speaks of tasks like them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.judging.statistics import (
    LEVEL,
    finite,
    interquartile_mean,
    median,
    median_interval,
    paired_ratio,
    share_below,
)
from torchliquid.bench.run.store import Run

RESAMPLES = 2_000
MEASURE = "test_mse_carry"

Runs = Mapping[str, Run]
_Values = NDArray[np.float64]


def matrix(runs: Mapping[str, Runs], pivot: str) -> dict[str, dict[str, Any]]:
    """Of each task and model: ``ratio`` of test MSEs to the pivot's, ``interval``, ``mse``.

    ``mse`` is the median, in the task's scaled units; a ratio is the median of the paired ones.
    ``parameters``, ``bytes`` and ``seconds``, which training one model by itself takes, are of the
    runs. ``valid_time``, of chaotic series, is how long it stays near the truth when each
    prediction is its next input, in Lyapunov times, median over lanes, with ``valid_interval``.
    """
    cells: dict[str, dict[str, Any]] = {}
    for task, models in runs.items():
        cells[task] = {}
        for name, run in models.items():
            cell: dict[str, Any] = {
                "mse": finite(median(run.arrays[MEASURE])),
                "parameters": run.facts["parameters"],
                "bytes": run.facts["bytes"],
                "seconds": _seconds(run),
                "diverged": int(run.arrays["diverged"].sum()),
            }
            if "valid_time" in run.arrays:
                valid = median_interval(run.arrays["valid_time"])
                cell["valid_time"] = finite(valid.figure)
                cell["valid_interval"] = [finite(valid.low), finite(valid.high)]
            if pivot in models:
                estimate = median_interval(_ratio(models, name, pivot))
                cell["ratio"] = finite(estimate.figure)
                cell["interval"] = [finite(estimate.low), finite(estimate.high)]
            cells[task][name] = cell
    return cells


def _seconds(run: Run) -> float | None:
    alone, epochs = run.facts.get("seconds_alone"), run.facts.get("epochs")
    return None if alone is None or epochs is None else finite(alone * epochs)


def overall(runs: Mapping[str, Runs], pivot: str) -> list[dict[str, Any]]:
    """Each model that ran on every task, against the pivot, all tasks counting alike.

    ``iqm``: exponential of the interquartile mean of the log ratios of all tasks and lanes;
    ``better``: probability that it has the lower error in a lane, mean over tasks, ties counting
    half; both with intervals, and ``iqm_tasks_interval`` with the tasks drawn again. The lowest iqm
    first.
    """
    everywhere = set.intersection(*(set(models) for models in runs.values())) if runs else set()
    if pivot not in everywhere:
        return []
    rows = []
    for name in sorted(everywhere - {pivot}):
        ratios = [_ratio(models, name, pivot) for models in runs.values()]
        rng = np.random.default_rng(0)
        means, shares, of_tasks = [], [], []
        for _ in range(RESAMPLES):
            drawn = [values[rng.integers(0, len(values), len(values))] for values in ratios]
            means.append(interquartile_mean(np.concatenate(drawn)))
            shares.append(_better(drawn))
            tasks = [drawn[k] for k in rng.integers(0, len(drawn), len(drawn))]
            of_tasks.append(interquartile_mean(np.concatenate(tasks)))
        rows.append(
            {
                "model": name,
                "tasks": len(ratios),
                "iqm": finite(interquartile_mean(np.concatenate(ratios))),
                "iqm_interval": _interval(means),
                "iqm_tasks_interval": _interval(of_tasks),
                "better": finite(_better(ratios)),
                "better_interval": _interval(shares),
            }
        )
    return sorted(rows, key=lambda row: row["iqm"])


def _better(ratios: list[_Values]) -> float:
    return float(np.mean([share_below(values) for values in ratios]))


def _interval(values: list[float]) -> list[float | None]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [finite(float(low)), finite(float(high))]


def shifts(runs: Mapping[str, Runs]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Of each task, shift and model, at each severity, medians over lanes.

    ``error``, ``growth`` (the error over that without the shift), ``worst`` (the error of the worst
    lane), and of liquid models ``tau`` and ``moved``, see `torchliquid.bench.run.shifting`.
    """
    tables: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for task, models in runs.items():
        of_task: dict[str, dict[str, dict[str, Any]]] = {}
        for name, run in models.items():
            for kind, errors in run.shifts().items():
                growth = [paired_ratio(row, run.arrays[MEASURE]) for row in errors]
                cells: dict[str, Any] = {
                    "error": _medians(errors),
                    "growth": _medians(np.stack(growth)),
                    "worst": [finite(float(np.max(row))) for row in errors],
                }
                for more in ("tau", "moved"):
                    if f"shift_{more}_{kind}" in run.arrays:
                        cells[more] = _medians(run.arrays[f"shift_{more}_{kind}"])
                of_task.setdefault(kind, {})[name] = cells
        if of_task:
            tables[task] = of_task
    return tables


def _medians(rows: NDArray[Any]) -> list[float | None]:
    return [finite(median(row)) for row in rows]


def _ratio(models: Runs, name: str, pivot: str) -> _Values:
    return paired_ratio(models[name].arrays[MEASURE], models[pivot].arrays[MEASURE])
