"""The first picture: every model against the LSTM, lane by lane."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.judging.schema import Summary
from torchliquid.bench.judging.statistics import BOUND, paired_ratio
from torchliquid.bench.report.answer import contrast
from torchliquid.bench.report.figure_data import STATES, Floats, Material, Omitted, Picture
from torchliquid.bench.report.forest import FAR, draw_ratio
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import INK, RULE, SOFT, log_axis, look, new_figure

_TITLE = "Every model against {}"


def against(summary: Summary) -> str | None:
    """What the others are measured against: LSTM-16 or its like; on a user's table the simplest."""
    kinds: dict[str, str] = {name: facts["kind"] for name, facts in summary["models"].items()}
    recurrent = [name for name, kind in kinds.items() if kind == "recurrent"]
    order = ["LSTM-16", *recurrent, "persistence"]
    if not summary["task"]["is_articles"]:
        order.insert(0, summary["reference"] or order.pop())
    return next((m for m in order if m in kinds), None)


def ratios_at_a_glance(material: Material) -> Picture | Omitted:
    """Test MSE as a multiple of the LSTM's: a dot a lane, the median and its interval."""
    reference = against(material.summary)
    others = [name for name in material.summary["models"] if name != reference]
    title = _TITLE.format(reference or "an LSTM")
    if reference is None or not others:
        return Omitted(title, "there are no two models to compare")
    ratios = {
        state: {
            name: paired_ratio(
                material.runs[name].arrays[f"test_mse_{state}"],
                material.runs[reference].arrays[f"test_mse_{state}"],
            )
            for name in others
        }
        for state in STATES
    }
    order = sorted(others, key=lambda name: -float(np.median(ratios["carry"][name])))
    caption = (
        f"Test MSE as a multiple of {reference}'s in the same lane, on a logarithmic scale. Small "
        f"dots: {material.all_lanes}. Large marks: the median and its 95 % interval, filled where "
        "that leaves out 1. Carried over: the state is kept from the training stretch; reset: it "
        "starts at zero."
    )
    alt = f"Dot plots of each model's test error as a multiple of {reference}'s. " + " ".join(
        f"{STATES[state]}: "
        + ", ".join(f"{name} {number(float(np.median(rows[name])))}" for name in reversed(order))
        + "."
        for state, rows in ratios.items()
    )

    def draw(wide: bool) -> Figure:
        each = 24 * len(order)
        figure = new_figure(wide, (110 if wide else 190) + each * (1 if wide else 2))
        shape = (1, 2) if wide else (2, 1)
        panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).flat
        low, high = _range(ratios)
        for panel, (state, rows) in zip(panels, ratios.items(), strict=True):
            _panel(panel, material, order, rows, reference, state)
            panel.set_title(STATES[state])
            panel.set_xscale("log")
            panel.set_xlim(low, high)
            log_axis(panel.xaxis, low, high)
            panel.set_yticks(range(len(order)), order, color=INK)
            panel.label_outer()
        parts = ["\N{LEFTWARDS ARROW} better", f"times {reference}'s test MSE"]
        direction = " \N{MIDDLE DOT} ".join([*parts, "worse \N{RIGHTWARDS ARROW}"])
        figure.supxlabel(direction, fontsize=12, color=SOFT)
        return figure

    return Picture("answer", title, caption, alt, draw)


def _range(panels: dict[str, dict[str, Floats]]) -> tuple[float, float]:
    every = np.concatenate([ratio for rows in panels.values() for ratio in rows.values()])
    near = every[(every < FAR) & (every > 1 / FAR)]
    ends = [*near, 0.5, 2.0]
    return float(min(ends)) / 1.2, float(max(ends)) * 1.2


def _panel(
    panel: Axes,
    material: Material,
    order: list[str],
    rows: dict[str, Floats],
    reference: str,
    state: str,
) -> None:
    panel.axvline(1, color=INK, linewidth=1.2)
    rng = np.random.default_rng(0)
    for row, name in enumerate(order):
        ratio, style = rows[name], look(name)
        heights = row + rng.uniform(-0.26, 0.26, len(ratio))
        seen = (ratio > 1 / BOUND) & (ratio < BOUND)
        panel.plot(
            ratio[seen], heights[seen], ".", color=style["color"], markersize=3.5, alpha=0.45
        )
        difference = contrast(material.summary, name, reference, state)
        if difference is not None:
            draw_ratio(
                panel, row, float(np.median(ratio)), (difference.low, difference.high), style, 9
            )
    panel.set_ylim(-0.6, len(order) - 0.4)
    panel.grid(visible=True, axis="x", color=RULE)
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
