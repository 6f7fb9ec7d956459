"""What a suite says, in words: the answers at the top of its page, from its verdicts alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torchliquid.bench.judging.parameter_efficiency import words
from torchliquid.bench.report.number_format import interval, number
from torchliquid.messages import plural

Row = Mapping[str, Any]
VERDICTS = (
    "lower",
    "lower, within the margin",
    "as good as",
    "higher, within the margin",
    "higher",
    "inconclusive",
    "too few lanes",
)
UNFINISHED = " (suite unfinished)"
"""Beside every verdict of a suite whose planned contrasts have not all been run."""


def is_unfinished(contrasts: Sequence[Row]) -> bool:
    """Whether some planned contrasts have not been run."""
    return any(row.get("unfinished") for row in contrasts)


def verdict_words(row: Mapping[str, Any]) -> str:
    """The verdict of a contrast as a reader sees it.

    >>> verdict_words({"verdict": "lower", "unfinished": True})
    'lower (suite unfinished)'
    """
    return str(row["verdict"]) + (UNFINISHED if row.get("unfinished") else "")


def pairs(contrasts: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Contrasts without a shift, by the two models."""
    rows_of: dict[tuple[str, str], list[Row]] = {}
    for row in contrasts:
        if row["shift"] is None:
            rows_of.setdefault((row["first"], row["second"]), []).append(row)
    return rows_of


def under_shifts(contrasts: Sequence[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Contrasts under shifts, by the two models and what is compared."""
    rows_of: dict[tuple[str, str, str], list[Row]] = {}
    for row in contrasts:
        if row["shift"] is not None:
            rows_of.setdefault((row["first"], row["second"], row["of"]), []).append(row)
    return rows_of


def tally(rows: Sequence[Row]) -> str:
    """How many of each verdict.

    >>> tally([{"verdict": "lower"}, {"verdict": "higher"}, {"verdict": "lower"}])
    'lower 2, higher 1'
    """
    counts = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict])


def headlines(result: Mapping[str, Any]) -> list[str]:
    """The first sentences: all tasks together, shifts, sizes."""
    pivot, rows = result["pivot"], result["overall"]
    first = result["contrasts"][0]["first"] if result["contrasts"] else None
    sentences = []
    if is_unfinished(result["contrasts"]):
        sentences.append(
            "This suite is not finished: verdicts are of the contrasts that were run, corrected "
            "for all that were planned, and may change."
        )
    if ladder := next((row for row in rows if row["model"] == first), None):
        sentences.append(
            f"Over {plural(ladder['tasks'], 'task')} together, {first}'s test MSE is "
            f"{number(ladder['iqm'])} times {pivot}'s {_both_intervals(ladder)}; it is lower in "
            f"{100 * ladder['better']:.0f} % of the lanes."
        )
    if rows and rows[0]["model"] != first:
        least = rows[0]
        sentences.append(
            f"The lowest of those that ran everywhere: {least['model']}, {number(least['iqm'])} "
            f"times {pivot}'s {_both_intervals(least)}."
        )
    for (one, two, of), shifted in under_shifts(result["contrasts"]).items():
        what = "growth of its error" if of == "growth" else "error"
        sentences.append(
            f"When the input goes wrong, {one}'s {what}, against {two}'s: {tally(shifted)}, of "
            f"{len(shifted)} pairs of a shift and a task."
        )
    ladders = [row for row in result["ladders"] if row["model"] == first]
    for against in dict.fromkeys(row["against"] for row in ladders):
        each = "; ".join(
            f"{row['task']} {words(row)}" for row in ladders if row["against"] == against
        )
        sentences.append(f"Parameters that {against} needs for the error of {first}: {each}.")
    return sentences


def _both_intervals(row: Row) -> str:
    these = interval(row["iqm_interval"])
    if row["tasks"] == 1:
        return these
    return f"{these} on these tasks, {interval(row['iqm_tasks_interval'])} on tasks like them"


def who_wins(contrasts: Sequence[Row]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Of each two models: their names, and the tasks of each verdict in words."""
    sentences = []
    for (first, second), rows in pairs(contrasts).items():
        named = [
            (verdict, ", ".join(row["task"] for row in rows if row["verdict"] == verdict))
            for verdict in VERDICTS
        ]
        sentences.append((first, second, [(verdict, names) for verdict, names in named if names]))
    return sentences
