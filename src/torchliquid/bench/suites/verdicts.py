"""The planned contrasts of a suite, judged task by task."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.judging.aggregate import Runs
from torchliquid.bench.judging.parameter_efficiency import equal_error
from torchliquid.bench.judging.statistics import (
    finite,
    holm,
    interquartile_mean,
    median_interval,
    paired_ratio,
    share_below,
    sign_flip,
)
from torchliquid.bench.run.store import Run
from torchliquid.bench.suites.suite import Contrast, Suite, TaskEntry

LEVEL = 0.05


def least_lanes(rows: int) -> int:
    """Return how many lanes a suite of so many planned comparisons needs for any verdict.

    The smallest p of a sign-flip test of n pairs is ``2^(1 - n)``, and Holm's correction multiplies
    it by the number of comparisons.

    >>> least_lanes(1), least_lanes(12), least_lanes(171)
    (6, 9, 13)
    """
    return 1 + math.ceil(math.log2(max(rows, 1) / LEVEL))


def planned_rows(suite: Suite) -> int:
    """Return how many comparisons a suite plans, those under shifts that a task lacks included."""
    return sum(1 for _ in _planned(suite))


def _planned(suite: Suite) -> Iterator[tuple[Contrast, TaskEntry]]:
    for contrast in suite.contrasts:
        for entry in suite.tasks:
            named = contrast.tasks is None or entry.name in contrast.tasks
            if named and {contrast.first, contrast.second} <= set(entry.models):
                yield contrast, entry


def verdicts(suite: Suite, runs: Mapping[str, Runs]) -> list[dict[str, Any]]:
    """A row for each contrast and task that was run; ``runs`` by task and model.

    ``ratio`` of test MSEs (median of the paired ratios), its ``interval``, ``interval_all`` (those
    of all planned rows hold at once), ``iqm`` (interquartile mean, geometric), ``better`` (share of
    lanes where the first has the lower error, ties counting half), ``p`` of a signed-rank test,
    ``p_holm`` corrected for all planned rows, run or not, ``unfinished`` (whether some were not
    run), and the verdict: see `judge`.
    """
    rows, missing = [], 0
    for contrast, entry in _planned(suite):
        models = runs.get(entry.name, {})
        pair = [models[m] for m in (contrast.first, contrast.second) if m in models]
        if len(pair) < 2:
            missing += 1
        elif contrast.shift in (None, *pair[0].shifts()):
            rows.append({"task": entry.name} | _row(contrast, *pair))
    ps = [float("nan") if row["p"] is None else row["p"] for row in rows]
    tests = len(rows) + missing
    for row, p in zip(rows, holm(ps, tests=tests), strict=True):
        row["p_holm"], row["unfinished"] = finite(p), missing > 0
        wide = median_interval(row.pop("ratios"), tests)
        row["interval_all"] = [finite(wide.low), finite(wide.high)]
        enough = row["lanes"] >= least_lanes(tests)
        verdict = judge(row["interval"], (wide.low, wide.high), row["margin"], p)
        row["verdict"] = verdict if enough else "too few lanes"
    return rows


def _row(contrast: Contrast, first: Run, second: Run) -> dict[str, Any]:
    ratio = paired_ratio(_errors(contrast, first), _errors(contrast, second))
    estimate = median_interval(ratio)
    return {
        "first": contrast.first,
        "second": contrast.second,
        "state": contrast.state,
        "shift": contrast.shift,
        "of": contrast.of,
        "margin": contrast.margin,
        "ratio": finite(estimate.figure),
        "interval": [finite(estimate.low), finite(estimate.high)],
        "iqm": finite(interquartile_mean(ratio)),
        "better": finite(share_below(ratio)),
        "lanes": len(ratio),
        "ratios": ratio,
        "p": finite(sign_flip(ratio)) if len(ratio) >= least_lanes(1) else None,
    }


def ladders(suite: Suite, runs: Mapping[str, Runs]) -> list[dict[str, Any]]:
    """A row for each ladder, task and rung that was run, ``runs`` as above; see `equal_error`."""
    rows = []
    for ladder in suite.ladders:
        for entry in suite.tasks:
            if entry.name not in runs or entry.name not in (ladder.tasks or (entry.name,)):
                continue
            models = runs[entry.name]
            first, second = (
                [models[name] for name in names if name in models]
                for names in (ladder.first, ladder.second)
            )
            if len(second) > 1:
                against = second[0].model.partition("-")[0]
                rows += [
                    {"task": entry.name, "against": against}
                    | equal_error(rung, second, "test_mse_carry")
                    for rung in first
                ]
    return rows


def _errors(contrast: Contrast, run: Run) -> NDArray[np.float64]:
    """What the contrast is of, lane by lane."""
    plain = run.arrays[f"test_mse_{contrast.state}"].astype(np.float64)
    if contrast.shift is None:
        return plain
    with np.errstate(divide="ignore", invalid="ignore"):
        under = np.exp(np.log(run.arrays[f"shift_{contrast.shift}"]).mean(axis=0))
        return np.asarray(under if contrast.of == "error" else under / plain)


def judge(
    interval: Sequence[float | None], interval_all: Sequence[float], margin: float, p: float
) -> str:
    """Return what the intervals of the ratio first / second and a corrected p say together.

    A difference needs a corrected p and an interval that holds for all planned rows at once: the
    signed-rank test alone would find one where ratios are skewed, though their median is 1.

    >>> judge((0.5, 0.8), (0.4, 0.9), 0.1, 0.001), judge((1.2, 1.5), (1.1, 1.6), 0.1, 0.001)
    ('lower', 'higher')
    >>> judge((0.95, 1.05), (0.9, 1.1), 0.1, 0.8), judge((0.5, 0.8), (0.4, 0.9), 0.1, 0.2)
    ('as good as', 'inconclusive')
    >>> judge((0.5, 0.8), (0.4, 1.1), 0.1, 0.001)
    'inconclusive'

    A difference that is beyond chance is never called "as good as", however small it is:

    >>> judge((0.93, 0.97), (0.92, 0.98), 0.1, 0.001)
    'lower, within the margin'
    """
    low, high = interval
    if low is None or high is None:
        return "inconclusive"
    small = 1 / (1 + margin) <= low and high <= 1 + margin
    if p >= LEVEL:
        return "as good as" if small else "inconclusive"
    if interval_all[0] <= 1 <= interval_all[1]:
        return "inconclusive"
    return ("lower" if high < 1 else "higher") + (", within the margin" if small else "")
