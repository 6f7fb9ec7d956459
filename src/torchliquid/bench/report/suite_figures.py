"""Figures of a whole suite, drawn from what ``suite.json`` holds."""

import re
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.report.figure_data import Omitted, Picture
from torchliquid.bench.report.forest import draw_ratio
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import INK, RULE, SOFT, legend, log_axis, look, new_figure

Result = Mapping[str, Any]
_RUNG = re.compile(r"([A-Za-z]+)-(\d+)")
FAMILIES = {"LTC": "LTC-8", "LSTM": "LSTM-16", "GRU": "GRU-4"}
"""Cells that are drawn at several sizes, and whose look each has."""


def overall_figure(result: Result) -> Picture | Omitted:
    """Each model that ran everywhere, all tasks counting alike."""
    title = f"All tasks together, against {result['pivot']}"
    rows = result["overall"]
    if not rows:
        return Omitted(title, "no two models ran on every task")
    caption = (
        f"Interquartile mean of the log ratios of test MSEs to {result['pivot']}'s, over the lanes "
        f"of {rows[0]['tasks']} tasks, as a ratio, with its 95 % bootstrap interval: the thick "
        "line draws lanes again and speaks of these tasks, the thin one draws tasks again as well; "
        "filled where the thick one leaves out 1. Tasks of one series count as the others do, "
        "though their lanes differ in their initial weights alone."
    )
    alt = f"Ratios to {result['pivot']}: " + ", ".join(
        f"{row['model']} {number(row['iqm'])}" for row in rows
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 70 + 26 * len(rows))
        panel = figure.subplots()
        panel.axvline(1, color=INK, linewidth=1.2)
        ends = [1.0]
        for height, row in enumerate(reversed(rows)):
            draw_ratio(panel, height, row["iqm"], row["iqm_interval"], look(row["model"]), 9)
            low, high = row["iqm_tasks_interval"]
            if low and high:
                panel.plot([low, high], [height] * 2, color=SOFT, linewidth=0.8, zorder=1)
            ends += [row["iqm"], *(end for end in (*row["iqm_interval"], low, high) if end)]
        low, high = max(min(ends), 1e-3) / 1.2, min(max(ends), 1e3) * 1.2
        panel.set_xscale("log")
        panel.set_xlim(low, high)
        log_axis(panel.xaxis, low, high)
        panel.set_yticks(range(len(rows)), [row["model"] for row in reversed(rows)], color=INK)
        panel.set_ylim(-0.6, len(rows) - 0.4)
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.set_xlabel(f"times {result['pivot']}'s test MSE", color=SOFT)
        return figure

    return Picture("overall", title, caption, alt, draw)


def rungs_of(models: Mapping[str, Any]) -> dict[str, list[str]]:
    """The sizes of each cell that a task has several of, the smallest first."""
    names_of: dict[str, list[str]] = {}
    for name in models:
        match = _RUNG.fullmatch(name)
        if match and match[1] in FAMILIES:
            names_of.setdefault(match[1], []).append(name)
    ordered = {
        c: sorted(names, key=lambda n: models[n]["parameters"]) for c, names in names_of.items()
    }
    return {cell: names for cell, names in ordered.items() if len(names) > 1}


def ladder_figure(result: Result, against: str) -> Picture | Omitted:
    """Error against ``"parameters"``, or against ``"seconds"`` of training."""
    label = {"parameters": "number of parameters", "seconds": "training time"}[against]
    title = f"Test error against the {label}"
    tasks = {
        task: rungs
        for task, models in result["matrix"].items()
        if len(rungs := rungs_of(models)) > 1
    }
    if not tasks:
        return Omitted(title, "no task has two cells at several sizes each")
    caption = (
        f"Median test MSE over lanes against the {label}, of four bytes each. Lines join the "
        "sizes of one cell; single marks are other models of the task. The thin line is the Pareto "
        "front: no model of the figure is both smaller and better than those on it."
        if against == "parameters"
        else "Median test MSE over lanes against the seconds that training one model by itself "
        "takes (epochs taken x seconds an epoch, one thread); lines join the sizes of one cell."
    )
    alt = f"Line plots of test error against {label}. " + " ".join(
        f"{task}: "
        + "; ".join(
            f"{cell} " + ", ".join(f"{n} {number(result['matrix'][task][n]['mse'])}" for n in names)
            for cell, names in rungs.items()
        )
        + "."
        for task, rungs in tasks.items()
    )

    def draw(wide: bool) -> Figure:
        columns = min(3, len(tasks)) if wide else 1
        lines = -(-len(tasks) // columns)
        figure = new_figure(wide, 60 + (290 if wide else 270) * lines)
        axes = figure.subplots(lines, columns, squeeze=False)
        for panel in axes.flat[len(tasks) :]:
            panel.set_visible(False)
        for panel, (task, rungs) in zip(axes.flat, tasks.items(), strict=False):
            panel.set_title(task)
            _draw_ladder(panel, result["matrix"][task], rungs, against)
        for panel in axes[-1]:
            panel.set_xlabel(against)
        for panel in axes[:, 0]:
            panel.set_ylabel("test MSE")
        legend(figure, axes.flat[0])
        return figure

    return Picture(f"ladder-{against}", title, caption, alt, draw)


_SINGLE = ("LTC-8-euler", "CTRNN-8", "DecayGRU-4", "ridge-AR", "ESN-100", "harmonics")


def _draw_ladder(
    panel: Axes, models: Mapping[str, Any], rungs: Mapping[str, list[str]], against: str
) -> None:
    points: list[tuple[float, float]] = []
    for cell, names in rungs.items():
        line = [(models[n][against], models[n]["mse"]) for n in names]
        line = [(x, y) for x, y in line if x and y]
        style = look(FAMILIES[cell])
        panel.plot(*zip(*line, strict=True), **style, markersize=6, label=cell)
        points += line
    for name in _SINGLE:
        point = name in models and (models[name][against], models[name]["mse"])
        if point and all(point):
            panel.plot(*point, **look(name) | {"linestyle": "none"}, markersize=7, label=name)
            points.append(point)
    if against == "parameters":
        front = _front(points)
        panel.step(*zip(*front, strict=True), where="post", color=SOFT, linewidth=0.9, zorder=0)
    xs, ys = zip(*points, strict=True)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis, values, limits in (
        (panel.xaxis, xs, panel.set_xlim),
        (panel.yaxis, ys, panel.set_ylim),
    ):
        low, high = min(values) / 1.3, max(values) * 1.3
        limits(low, high)
        log_axis(axis, low, high)


def _front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is both left of and below.

    >>> _front([(1, 5), (2, 3), (3, 4), (4, 1)])
    [(1, 5), (2, 3), (4, 1)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def shift_figure(result: Result, task: str) -> Picture | Omitted:
    """How the error grows with the severity of each shift."""
    title = f"When the input goes wrong: {task}"
    kinds = result["shifts"].get(task)
    if not kinds:
        return Omitted(title, "it was tested under no shift")
    severities = result["protocol"]["severities"]
    shown = shown_under_shifts(result, task)
    caption = (
        "Test MSE under each shift as a multiple of that without it, median over lanes, against "
        "the severity (1 to 5; what they are stands in the documentation of suites). Both are of "
        "the same trained models: nothing is trained again."
    )
    last = {k: {m: kinds[k][m]["growth"][-1] for m in shown if m in kinds[k]} for k in kinds}
    alt = "At the highest severity errors grow to: " + "; ".join(
        f"{kind} " + ", ".join(f"{m} {number(v)} times" for m, v in rows.items())
        for kind, rows in last.items()
    )

    def draw(wide: bool) -> Figure:
        columns = 5 if wide else 2
        lines = -(-len(kinds) // columns)
        figure = new_figure(wide, 60 + (150 if wide else 130) * lines)
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True)
        for panel in axes.flat[len(kinds) :]:
            panel.set_visible(False)
        for panel, (kind, rows) in zip(axes.flat, kinds.items(), strict=False):
            panel.set_title(kind)
            values = [1.0]
            for model in shown:
                if model in rows:
                    growth = rows[model]["growth"]
                    panel.plot(severities, growth, **look(model), markersize=4, label=model)
                    values += [v for v in growth if v is not None]
            panel.axhline(1, color=INK, linewidth=0.8, zorder=0)
            low, high = min(values) / 1.15, max(values) * 1.15
            panel.set_yscale("log")
            panel.set_ylim(low, high)
            log_axis(panel.yaxis, low, high)
            panel.set_xticks(severities)
            panel.grid(visible=True, color=RULE)
        legend(figure, axes.flat[0])
        figure.supxlabel("severity", fontsize=12, color=SOFT)
        return figure

    return Picture(f"shifts-{task}", title, caption, alt, draw)


def shown_under_shifts(result: Result, task: str) -> list[str]:
    """The models of the planned contrasts under shifts, and a linear one."""
    names = [
        row[key]
        for row in result["contrasts"]
        if row["shift"] is not None and row["task"] == task
        for key in ("first", "second")
    ]
    named = list(dict.fromkeys([*names, result["pivot"], "ridge-AR"]))
    return [name for name in named if name in result["matrix"][task]]
