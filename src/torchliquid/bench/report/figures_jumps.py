"""What a jump or a spike in the input does to the system time constants, on average."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.judging.statistics import quantiles_along
from torchliquid.bench.report.figure_data import Floats, Material, Omitted, Picture
from torchliquid.bench.report.figures_tau import TAU_SYS, articles_first
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import INK, legend, new_figure
from torchliquid.bench.run.store import BEFORE
from torchliquid.play import LIGHT

_TITLE = f"Jump-triggered average of {TAU_SYS}"
_UP: dict[str, Any] = {"color": LIGHT["orange"], "linestyle": "-"}
_DOWN: dict[str, Any] = {"color": LIGHT["blue"], "linestyle": (0, (5, 1.5))}


def jump_average(material: Material) -> Picture | Omitted:
    """Change of tau_sys around planted events, relative to the same places left alone."""
    liquid = articles_first(material.kind("liquid"))
    models = [model for model in liquid if "probe_control" in material.runs[model].arrays]
    if not models:
        return Omitted(_TITLE, "only liquid models have time constants, and none was run")
    changes = {
        (model, kind, way): _change(material, model, f"probe_{kind}_{way}")
        for model in models
        for kind in ("jump", "spike")
        for way in ("up", "down")
    }
    caption = (
        f"{TAU_SYS}, averaged over neurons and over random places of the test stretch, in per cent "
        "of what it is at the same places without the event (the control: the line at 0). The "
        "event arrives at sample 0; a jump stays, a spike lasts one sample. Lines: median over "
        f"{material.all_lanes}; bands: 10\N{EN DASH}90 % of the lanes."
    )
    if any(material.summary["models"][model]["diverged"] for model in models):
        caption += f" Lanes that diverged have no {TAU_SYS} to average."
    alt = f"Line charts of the change of {TAU_SYS} around events: " + "; ".join(
        f"{model}, {kind} {way}: {_extreme(change)} %"
        for (model, kind, way), change in changes.items()
    )

    def draw(wide: bool) -> Figure:
        columns = 2 if wide else 1
        rows = 2 * len(models) // columns
        figure = new_figure(wide, 60 + rows * (220 if wide else 195))
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        panels = iter(axes.flat)
        for model in models:
            for kind in ("jump", "spike"):
                panel = next(panels)
                _panel(panel, changes[model, kind, "up"], changes[model, kind, "down"])
                panel.set_title(f"{model}: {kind}")
                panel.label_outer()
        for row in axes:
            row[0].set_ylabel(f"change of {TAU_SYS}, %")
        for panel in axes[-1]:
            panel.set_xlabel("samples after the event")
        legend(figure, axes.flat[0])
        return figure

    return Picture("jump-average", _TITLE, caption, alt + ".", draw)


def _change(material: Material, model: str, key: str) -> Floats:
    """Change in per cent, ``(S, BEFORE + AFTER)``."""
    arrays = material.runs[model].arrays
    with np.errstate(invalid="ignore", divide="ignore"):
        change: Floats = 100 * (np.asarray(arrays[key], float) / arrays["probe_control"] - 1)
    return change[np.isfinite(change).all(axis=1)]


def _extreme(change: Floats) -> str:
    if not len(change):
        return number(None)
    middle = quantiles_along(change, axis=0)[1]
    return number(float(middle[np.argmax(np.abs(middle))]))


def _panel(axes: Axes, up: Floats, down: Floats) -> None:
    axes.axhline(0, color=INK, linewidth=1, label="control")
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    for change, look, label in ((up, _UP, "event upwards"), (down, _DOWN, "event downwards")):
        if not len(change):
            continue
        samples = np.arange(change.shape[1]) - BEFORE
        low, middle, high = quantiles_along(change, axis=0)
        axes.fill_between(samples, low, high, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(samples, middle, label=label, **look)
