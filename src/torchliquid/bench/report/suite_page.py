"""One page for a suite: the answers first, then what they rest on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchliquid.bench.judging.parameter_efficiency import words
from torchliquid.bench.report.figure_writer import FigureWriter
from torchliquid.bench.report.page import lines, templates
from torchliquid.bench.report.suite_answers import (
    headlines,
    is_unfinished,
    pairs,
    tally,
    under_shifts,
    who_wins,
)
from torchliquid.bench.report.suite_figures import (
    ladder_figure,
    overall_figure,
    shift_figure,
)
from torchliquid.bench.run.store import write_file
from torchliquid.play import DARK, LIGHT

MOST_FIGURES = 4
"""Tasks whose shifts are drawn, those of planned contrasts first."""


def write_suite_report(out: Path, result: Mapping[str, Any]) -> Path:
    """Draw a suite's figures, and write its page from what ``suite.json`` holds.

    Args:
        out: folder of the suite's results.
        result: see `torchliquid.bench.suites.run_suite.run_suite`.

    Returns:
        The path of ``report.html``; ``figures/`` beside it holds each figure as SVG and PNG.
    """
    gallery = FigureWriter(out / "figures")
    planned = [row["task"] for row in result["contrasts"] if row["shift"] is not None]
    shifted = list(dict.fromkeys([*planned, *result["shifts"]]))[:MOST_FIGURES]
    figures = {
        "overall": [gallery.add(overall_figure(result))],
        "sizes": [gallery.add(ladder_figure(result, a)) for a in ("parameters", "seconds")],
        "shifts": [gallery.add(shift_figure(result, task)) for task in shifted],
    }
    gallery.remove_stale()
    shifts = under_shifts(result["contrasts"])
    page = (
        templates()
        .get_template("suite.html")
        .render(
            result=result,
            headlines=headlines(result),
            who_wins=who_wins(result["contrasts"]),
            unfinished=is_unfinished(result["contrasts"]),
            figures=figures,
            pairs=pairs(result["contrasts"]),
            tally=tally,
            shifts={key: _grid(rows) for key, rows in shifts.items()},
            columns=list(result["matrix"]),
            models=_ordered(result),
            time_constants=_time_constants(result),
            ladders=[row | {"words": words(row)} for row in result["ladders"]],
            free=_running_free(result),
            pages=_pages(out, result),
            failed={name: t for name, t in result["tasks"].items() if t["status"] != "ok"},
            diverged=[
                (task, model, cell["diverged"])
                for task, models in result["matrix"].items()
                for model, cell in models.items()
                if cell["diverged"]
            ],
            protocol=lines(result["protocol"]),
            environment=lines(result["environment"]),
            panel=None,
            light=LIGHT,
            dark=DARK,
        )
    )
    path = out / "report.html"
    write_file(path, page.encode())
    return path


def _ordered(result: Mapping[str, Any]) -> list[str]:
    """Models that ran: those that ran everywhere, the best first; then the others."""
    everywhere = [row["model"] for row in result["overall"]]
    everywhere += [result["pivot"]] if everywhere else []
    ran = [m for m in result["models"] if any(m in cells for cells in result["matrix"].values())]
    return everywhere + [model for model in ran if model not in everywhere]


def _pages(out: Path, result: Mapping[str, Any]) -> dict[str, str]:
    """Pages of single tasks, where they were drawn."""
    links = {
        name: f"{task['folder']}/report.html"
        for name, task in result["tasks"].items()
        if task["folder"] is not None
    }
    return {name: link for name, link in links.items() if (out / link).exists()}


def _running_free(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Valid prediction times: a line a model, a column a chaotic task, the longest first."""
    tasks = [
        task
        for task, cells in result["matrix"].items()
        if any("valid_time" in cell for cell in cells.values())
    ]
    if not tasks:
        return None
    names = [m for m in _ordered(result) if any(m in result["matrix"][task] for task in tasks)]

    def longest(model: str) -> float:
        return sum(result["matrix"][t].get(model, {}).get("valid_time") or 0.0 for t in tasks)

    rows = [
        (model, [result["matrix"][task].get(model) for task in tasks])
        for model in sorted(names, key=longest, reverse=True)
    ]
    return {"tasks": tasks, "rows": rows}


def _grid(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Contrasts under shifts as a table: a line a shift, a column a task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    kinds = list(dict.fromkeys(row["shift"] for row in rows))
    cells = {(row["shift"], row["task"]): row for row in rows}
    return {
        "tasks": tasks,
        "rows": [(kind, [cells.get((kind, task)) for task in tasks]) for kind in kinds],
        "tally": tally(rows),
    }


def _time_constants(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What tau_sys of the first liquid model does under each shift, task by task."""
    lines_of = []
    for task, kinds in result["shifts"].items():
        liquid = [
            m
            for m in result["models"]
            if any("tau" in cells.get(m, {}) for cells in kinds.values())
        ]
        named = next((m for m in ("LTC-8", *liquid) if m in liquid), None)
        if named is not None:
            rows = [
                (kind, cells[named]["tau"], cells[named]["moved"], cells[named]["growth"])
                for kind, cells in kinds.items()
                if "tau" in cells.get(named, {})
            ]
            lines_of.append({"task": task, "model": named, "rows": rows})
    return lines_of
