"""Parameters against test error: what a model's size buys."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.judging.schema import measured
from torchliquid.bench.report.figure_data import STATES, Material, Omitted, Picture
from torchliquid.bench.report.labels import freest, place_labels, text_size
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import log_axis, look, new_figure, settle

_TITLE = "Parameters against test error"

Point = tuple[int, Any, Any, Any]
"""Parameters; the error's 10 % quantile, median and 90 % quantile (None if not finite)."""
Box = tuple[float, float, float, float]


def parameters_against_error(material: Material) -> Picture | Omitted:
    """Each model's size and its test error, state carried over and reset."""
    points = {state: _points_of(material, state) for state in STATES}
    points = {state: panel_points for state, panel_points in points.items() if panel_points}
    if not points:
        return Omitted(_TITLE, "no model has a finite median test error")
    free = sorted(
        {m for panel_points in points.values() for m in panel_points if not panel_points[m][0]}
    )
    caption = (
        f"Median test {material.error_name} over {material.all_lanes}, with bars over "
        "10\N{EN DASH}90 % of the lanes, against the number of parameters; both scales are "
        "logarithmic. Models of nearly equal size are set side by side."
    )
    if free:
        caption += f" Dashed: the median of {' and '.join(free)}, without any parameter."
    alt = f"Scatter plots of test {material.error_name} against parameters. " + " ".join(
        f"{STATES[state]}: "
        + ", ".join(f"{m} {number(p[2])} with {p[0]:,} parameters" for m, p in panel_points.items())
        + "."
        for state, panel_points in points.items()
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 380 if wide else 40 + 300 * len(points))
        shape = (1, len(points)) if wide else (len(points), 1)
        axes = figure.subplots(*shape, sharey=True, squeeze=False)
        for panel, state in zip(axes.flat, points, strict=True):
            panel.set_title(STATES[state])
            _frame(
                panel,
                [point for panel_points in points.values() for point in panel_points.values()],
            )
        for panel in axes[-1]:
            panel.set_xlabel("parameters")
        for panel in axes[:, 0]:
            panel.set_ylabel(f"test {material.error_name}")
        settle(figure)
        for panel, panel_points in zip(axes.flat, points.values(), strict=True):
            _draw_points(figure, panel, panel_points)
        return figure

    return Picture("parameters", _TITLE, caption, alt, draw)


def _points_of(material: Material, state: str) -> dict[str, Point]:
    """The models with a finite median error."""
    measure = f"test_{'rmse' if material.in_units else 'mse'}_{state}"
    points = {}
    for model, facts in material.summary["models"].items():
        interval_of = measured(facts, measure)
        if interval_of is not None and interval_of["median"] is not None:
            points[model] = (
                facts["parameters"],
                interval_of["q10"],
                interval_of["median"],
                interval_of["q90"],
            )
    return points


def _frame(panel: Axes, points: list[Point]) -> None:
    """Scales and limits with room for the labels."""
    sizes = [point[0] for point in points if point[0]] or [1]
    errors = [v for point in points for v in (point[1:] if point[0] else point[2:3]) if v]
    panel.set_xscale("log")
    panel.set_yscale("log")
    left, right = min(sizes) / 2.2, max(sizes) * 3
    low, high = min(errors, default=0.1) / 1.3, max(errors, default=1) * 1.3
    panel.set_xlim(left, right)
    panel.set_ylim(low, high)
    log_axis(panel.xaxis, left, right)
    log_axis(panel.yaxis, low, high)


def _draw_points(figure: Figure, panel: Axes, points: dict[str, Point]) -> None:
    sized = {model: point for model, point in points.items() if point[0]}
    taken: list[Box] = []
    positions: list[tuple[float, float]] = []
    beyond = 2 * panel.get_ylim()[1]  # where a bar ends that diverged lanes make endless
    to_data = panel.transData.inverted()
    for (model, point), across in zip(sized.items(), _apart(panel, sized), strict=True):
        x = float(to_data.transform((across, 0))[0])
        low, middle, high = (beyond if value is None else value for value in point[1:])
        panel.plot([x, x], [low, high], color=look(model)["color"], linewidth=1.6)
        panel.plot(x, middle, **look(model) | {"linestyle": "none"}, markersize=8)
        y0, y1, y = (panel.transData.transform((x, value))[1] for value in (low, high, middle))
        taken += [
            (across - 2, y0, across + 2, y1),
            (across - 5, y - 5, across + 5, y + 5),
        ]
        positions.append((x, middle))
    for model, point in points.items():
        if not point[0]:
            taken += _level(figure, panel, model, point[2], taken)
    place_labels(figure, panel, positions, list(sized), np.array(taken).reshape(-1, 4))


def _apart(panel: Axes, points: dict[str, Point], gap: float = 13) -> list[float]:
    """Places across, in display coordinates, with neighbours at least ``gap`` pixels apart."""
    true = {m: float(panel.transData.transform((p[0], 1))[0]) for m, p in points.items()}
    groups: list[list[str]] = []
    centres: list[float] = []
    for model in sorted(true, key=true.__getitem__):
        groups.append([model])
        centres.append(true[model])
        while len(groups) > 1:
            room = gap * (len(groups[-1]) + len(groups[-2])) / 2
            if centres[-1] - centres[-2] >= room:
                break
            groups[-2:] = [groups[-2] + groups[-1]]
            centres[-2:] = [float(np.mean([true[name] for name in groups[-1]]))]
    placed = {
        name: centre + gap * (index - (len(group) - 1) / 2)
        for group, centre in zip(groups, centres, strict=True)
        for index, name in enumerate(group)
    }
    return [placed[model] for model in points]


def _level(figure: Figure, panel: Axes, model: str, error: float, taken: list[Box]) -> list[Box]:
    """A model without parameters: a line across, labelled at its freest end.

    Returned: the room of the line and its label.
    """
    panel.axhline(error, color=look(model)["color"], linestyle=(0, (4, 3)), linewidth=1.3)
    line = float(panel.transData.transform((1, error))[1])
    frame = panel.get_window_extent()
    width, height = text_size(figure, model)
    lefts, bottoms = (frame.x1 - width, frame.x0 + 6), (line + 3, line - 3 - height)
    boxes = [(x, y, x + width, y + height) for y in bottoms for x in lefts]
    best = freest(np.array(boxes), np.array(taken).reshape(-1, 4), np.array(frame.extents))
    left, bottom = boxes[best][:2]
    panel.annotate(model, (left, bottom), xycoords="figure points", ha="left", va="bottom")
    return [(frame.x0, line - 1, frame.x1, line + 1), boxes[best]]
