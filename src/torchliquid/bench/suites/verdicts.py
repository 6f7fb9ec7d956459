"""The planned contrasts of a suite, judged task by task."""

from collections.abc import Mapping
from typing import Any

from torchliquid.bench.suites.suite import Contrast, Suite

LEAST_LANES = 6
"""Below, no verdict: with five pairs a sign-flip test can never reach 0.05."""


def verdicts(suite: Suite, summaries: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each contrast and task that was run: ratio of test MSEs, interval, verdict."""
    rows = []
    for contrast in suite.contrasts:
        for entry in suite.tasks:
            if contrast.tasks is not None and entry.name not in contrast.tasks:
                continue
            summary = summaries.get(entry.name)
            if summary is not None:
                rows.append({"task": entry.name} | _row(contrast, summary))
    return rows


def _row(contrast: Contrast, summary: Mapping[str, Any]) -> dict[str, Any]:
    pair = next(
        row
        for row in summary["differences"]
        if row["measure"] == f"test_mse_{contrast.state}"
        and {row["first"], row["second"]} == {contrast.first, contrast.second}
    )
    ratio, (low, high), lanes = pair["ratio"], pair["interval"], pair["lanes"]
    if pair["first"] != contrast.first:
        ratio = None if not ratio else 1 / ratio
        low, high = (None if not end else 1 / end for end in (high, low))
    return {
        "first": contrast.first,
        "second": contrast.second,
        "state": contrast.state,
        "margin": contrast.margin,
        "ratio": ratio,
        "interval": [low, high],
        "lanes": lanes,
        "verdict": judge(low, high, lanes, contrast.margin),
    }


def judge(low: float | None, high: float | None, lanes: int, margin: float) -> str:
    """What an interval of the ratio first / second says.

    >>> judge(0.5, 0.8, 24, 0.1), judge(1.2, 1.5, 24, 0.1), judge(0.95, 1.05, 24, 0.1)
    ('lower', 'higher', 'as good as')
    >>> judge(0.5, 1.5, 24, 0.1), judge(0.5, 0.6, 5, 0.1)
    ('cannot tell', 'too few lanes')
    """
    if lanes < LEAST_LANES:
        return "too few lanes"
    if low is None or high is None:
        return "cannot tell"
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return "as good as"
    return "lower" if high < 1 else "higher" if low > 1 else "cannot tell"
