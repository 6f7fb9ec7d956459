"""Loss curves: how the errors fell while the models trained."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.judging.statistics import quantiles_along
from torchliquid.bench.report.article_numbers import CURVES
from torchliquid.bench.report.figure_data import Floats, Material, Omitted, Picture
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import legend, line_look, log_axis, new_figure, whole_ticks

_TITLE = "Loss curves"
_PANELS = {
    "curve_train": "Train",
    "curve_valid": "Validation",
    "curve_carry": "Test, state carried over",
    "curve_reset": "Test, state reset",
}


def loss_curves(material: Material) -> Picture | Omitted:
    """Errors on each stretch by epoch, median and band over lanes."""
    trained = [name for name, run in material.runs.items() if "curve_epoch" in run.arrays]
    if not trained:
        return Omitted(_TITLE, "none of the chosen models is trained by epochs")
    banded = [m for m in trained if m in material.kind("liquid") or m in material.rivals]
    panels = [key for key in _PANELS if any(key in material.runs[m].arrays for m in trained)]
    thin = [model for model in trained if model not in banded]
    caption = (
        f"{material.error_name} by epoch of training, on a logarithmic scale. Thick lines: "
        f"median over {material.all_lanes}; bands: 10\N{EN DASH}90 % of the lanes."
    )
    if material.task.is_articles and set(CURVES) & set(trained):
        caption += " Crosses: the article's own training curves, one run, read by eye."
    if thin:
        caption += f" Thin lines without a band: {' and '.join(thin)}, for comparison."
    if any(material.summary["models"][model]["diverged"] for model in banded):
        caption += " Where lanes diverged, bands end at the top, and lines where half of them did."
    if "curve_valid" in panels:
        caption += " A dot marks the median of the epochs chosen on the validation stretch."
    alt = f"Line charts of {material.error_name} by epoch: " + "; ".join(
        _final_words(material, model) for model in banded
    )

    def draw(wide: bool) -> Figure:
        columns = (2 if len(panels) == 4 else len(panels)) if wide else 1
        rows = -(-len(panels) // columns)
        figure = new_figure(wide, 60 + rows * (290 if wide and rows == 1 else 220))
        # parts of a user's table may differ in their errors by more than training changes them
        shared = not material.in_units
        axes = figure.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False)
        every: list[Floats] = []
        for index, (key, panel) in enumerate(zip(panels, axes.flat, strict=False)):
            shown: list[Floats] = []
            for model in trained:
                shown += _curve(panel, material, model, key, model in banded)
            if key == "curve_train" and material.task.is_articles:
                shown += _articles(panel, trained)
            every += shown
            panel.set_title(_PANELS[key])
            if shared:
                panel.label_outer()
            else:
                _scale([panel], shown)
            whole_ticks(panel.xaxis)
            if index % columns == 0:
                panel.set_ylabel(material.error_name)
            if index // columns == rows - 1:
                panel.set_xlabel("epoch")
        if shared:
            _scale(list(axes.flat), every)
        legend(figure, axes.flat[0])
        return figure

    return Picture("loss-curves", _TITLE, caption, alt + ".", draw)


def _curve(panel: Axes, material: Material, model: str, key: str, banded: bool) -> list[Floats]:
    """Draw one model's curve; what of it should be in sight is returned."""
    arrays = material.runs[model].arrays
    if key not in arrays:
        return []
    epoch = arrays["curve_epoch"]
    low, middle, high = quantiles_along(material.error(arrays[key]), axis=1)
    width = 1.8 if banded else 1.0
    panel.plot(epoch, middle, label=model, linewidth=width, **line_look(model))
    if not banded or not np.isfinite(middle).any():
        return [middle]
    # Lanes that diverged push the upper end out of sight rather than away.
    tops = np.where(
        np.isfinite(high), high, 1e6 * np.nanmax(middle[np.isfinite(middle)], initial=1)
    )
    panel.fill_between(epoch, low, tops, color=line_look(model)["color"], alpha=0.16, linewidth=0)
    if key == "curve_valid" and "chosen_epoch" in arrays:
        chosen = float(np.median(arrays["chosen_epoch"]))
        at = float(np.interp(chosen, epoch, middle))
        panel.plot(chosen, at, marker="o", markersize=6, color=line_look(model)["color"])
    return [low, middle, high]


def _articles(panel: Axes, models: list[str]) -> list[Floats]:
    """The article's own curves, as points."""
    curve_values: list[Floats] = []
    for model in models:
        points = CURVES.get(model, {})
        if points:
            values = np.array(list(points.values()))
            style = {"color": line_look(model)["color"], "markersize": 5, "markeredgewidth": 1.6}
            panel.plot(list(points), values, "x", label=f"article's {model}", **style)
            curve_values.append(values)
    return curve_values


def _scale(panels: list[Axes], shown: list[Floats]) -> None:
    values = np.concatenate(shown)
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        low, high = values.min() / 1.15, values.max() * 1.15
        panels[0].set_yscale("log")
        panels[0].set_ylim(low, high)
        for panel in panels:
            log_axis(panel.yaxis, low, high)


def _final_words(material: Material, model: str) -> str:
    arrays = material.runs[model].arrays
    first, last = (quantiles_along(material.error(arrays["curve_train"][i]), 0)[1] for i in (0, -1))
    return f"{model} falls from {number(float(first))} to {number(float(last))} in training"
