"""Paired differences: how many times as large one model's error is as another's, lane by lane."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.judging.schema import Difference
from torchliquid.bench.report.figure_data import STATES, Material, Omitted, Picture
from torchliquid.bench.report.forest import FAR, draw_ratio, is_far
from torchliquid.bench.report.number_format import interval, number
from torchliquid.bench.report.style import INK, NARROW, RULE, SOFT, log_axis, look, new_figure

_TITLE = "Paired differences"


def paired_differences(material: Material) -> Picture | Omitted:
    """Forest plot of error ratios between models, pair by pair."""
    rows = [row for row in material.summary["differences"] if row["ratio"] is not None]
    # A liquid model against each of the others is what was asked; the page's table has every pair.
    rows = [row for row in rows if row["first"] in material.kind("liquid")] or rows
    if not rows:
        return Omitted(_TITLE, "there are no two models to compare")
    panels = {s: [row for row in rows if row["measure"] == f"test_mse_{s}"] for s in STATES}
    panels = {state: state_rows for state, state_rows in panels.items() if state_rows}
    caption = (
        "Median over lanes of the first model's test MSE divided by the second's in the same lane, "
        "with a bootstrap 95 % interval, on a logarithmic scale. Left of 1 the first model is "
        "better. Filled: the interval leaves out 1; hollow: it holds 1, or there are too few lanes "
        "for one, so it is inconclusive."
    )
    if any(is_far(row["ratio"]) for row in rows):
        caption += " Arrowheads at an edge: ratios far outside, because lanes diverged."
    alt = "Forest plots of MSE ratios. " + " ".join(
        f"{STATES[state]}: "
        + ", ".join(f"{r['first']} to {r['second']} {_ratio_words(r)}" for r in state_rows)
        + "."
        for state, state_rows in panels.items()
    )

    def draw(wide: bool) -> Figure:
        heights = [len(state_rows) + 0.6 for state_rows in panels.values()]
        lines = 0 if wide else _lines_above(rows)
        each = 25 + 17 * lines
        figure = new_figure(wide, 30 + 42 * len(heights) + sum(heights) * each)
        axes = figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for panel, (state, state_rows) in zip(axes.flat, panels.items(), strict=True):
            _forest(panel, state_rows, lines)
            panel.set_title(STATES[state])
        last = axes.flat[-1]
        last.set_xlabel("ratio of test MSE; shaded: the first model is better")
        ends = [end for row in rows for end in (row["ratio"], *row["interval"])]
        near = [end for end in ends if end is not None and not is_far(end)]
        low, high = min([*near, 0.8]) / 1.1, max([*near, 1.25]) * 1.1
        last.set_xscale("log")
        last.set_xlim(low, high)
        for panel in axes.flat:
            log_axis(panel.xaxis, low, high)
            panel.axvspan(low, 1, color=RULE, alpha=0.4, linewidth=0, zorder=0)
        return figure

    return Picture("differences", _TITLE, caption, alt, draw)


def _ratio_words(row: Difference) -> str:
    ratio = row["ratio"]
    if ratio is not None and is_far(ratio):
        return f"beyond {FAR:,}" if ratio > 1 else f"below {1 / FAR}"
    return f"{number(row['ratio'])} {interval(row['interval'])}".strip()


def _pair(row: Difference) -> str:
    return f"{row['first']} / {row['second']}"


def _lines_above(rows: list[Difference]) -> int:
    """How many lines the words above a row of the narrow figure need."""
    longest = max(len(_pair(row)) + len(_ratio_words(row)) for row in rows)
    return 1 if longest * 7.1 < NARROW - 10 else 2


def _forest(panel: Axes, rows: list[Difference], lines: int) -> None:
    """Points and intervals; the words beside them, or in so many lines above."""
    panel.axvline(1, color=INK, linewidth=1)
    for height, row in enumerate(reversed(rows)):
        draw_ratio(panel, height, row["ratio"], row["interval"], look(row["first"]), 8)
        if not lines:
            _beside(panel, _pair(row), (0, height), (-8, 0), "right")
            _beside(panel, _ratio_words(row), (1, height), (8, 0), "left")
        else:
            _beside(panel, _pair(row), (0, height), (0, 16 * lines), "left")
            _beside(panel, _ratio_words(row), (1, height), (0, 16), "right", SOFT)
    panel.set_ylim(-0.5, len(rows) - (0.2 if lines else 0.5))
    panel.set_yticks([])
    panel.grid(visible=False, axis="y")
    panel.spines["left"].set_visible(False)


def _beside(
    panel: Axes,
    text: str,
    position: tuple[float, float],
    offset: tuple[float, float],
    align: str,
    colour: str = INK,
) -> None:
    """Words at a row: ``position`` is (share of the panel's width, row), ``offset`` in points."""
    panel.annotate(
        text,
        position,
        xycoords=("axes fraction", "data"),
        xytext=offset,
        textcoords="offset points",
        ha=align,
        va="center",
        color=colour,
    )
