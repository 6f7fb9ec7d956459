"""Exported models: test error against flash, and against instructions in a step."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from torchliquid.bench.report.figure_data import Material, Omitted, Picture
from torchliquid.bench.report.labels import place_labels
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import log_axis, look, new_figure, settle

_TITLE = "Test error against flash and instructions"
_AXES = (("flash", "bytes of flash"), ("instructions", "instructions a step"))


def edge_costs(material: Material) -> list[Picture | Omitted]:
    """What an exported model costs on a microcontroller, and how far it errs; none, unmeasured."""
    costs = material.summary["edge"]
    if costs is None or not costs["rows"]:
        return []
    rows = [row | {"error": float(material.error(row["test_mse"]))} for row in costs["rows"]]
    caption = (
        f"The lane of median test error of each network as C on an emulated {costs['core']}: "
        "filled, single precision; hollow, integers with weights of 8 bits. Flash is what a "
        "program grows by, libraries included; instructions are counted by QEMU. Both scales are "
        "logarithmic; lower and further left is better."
    )
    alt = f"Scatter plots of test {material.error_name} against flash and instructions a step: "
    alt += "; ".join(
        f"{row['model']} {row['dtype']} {number(row['error'])} with {row['flash']:,} bytes and "
        f"{row['instructions']:,.0f} instructions"
        for row in rows
    )  # fmt: skip

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 380 if wide else 640)
        axes = figure.subplots(*((1, 2) if wide else (2, 1)), sharey=True, squeeze=False)
        errors = [row["error"] for row in rows]
        for panel, (key, label) in zip(axes.flat, _AXES, strict=True):
            sizes = [row[key] for row in rows]
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xlim(min(sizes) / 1.6, max(sizes) * 2.2)
            panel.set_ylim(min(errors) / 1.3, max(errors) * 1.3)
            log_axis(panel.xaxis, *panel.get_xlim())
            log_axis(panel.yaxis, *panel.get_ylim())
            panel.set_xlabel(label)
        for panel in axes[:, 0]:
            panel.set_ylabel(f"test {material.error_name}")
        settle(figure)
        for panel, (key, _) in zip(axes.flat, _AXES, strict=True):
            _draw(figure, panel, rows, key)
        return figure

    return [Picture("edge", _TITLE, caption, alt, draw)]


def _draw(figure: Figure, panel: Any, rows: list[dict[str, Any]], key: str) -> None:
    taken, labelled = [], []
    for row in rows:
        style = look(row["model"]) | {"linestyle": "none", "markersize": 8}
        if row["dtype"] != "float32":
            style |= {"markerfacecolor": "none", "markeredgewidth": 1.5}
        else:
            labelled.append(row)
        panel.plot(row[key], row["error"], **style)
        x, y = panel.transData.transform((row[key], row["error"]))
        taken.append((x - 5, y - 5, x + 5, y + 5))
    for row in labelled:
        other = [o for o in rows if o["model"] == row["model"] and o is not row]
        for one in other:
            panel.plot(
                [row[key], one[key]], [row["error"], one["error"]],
                color=look(row["model"])["color"], linewidth=0.8,
            )  # fmt: skip
    points = [(row[key], row["error"]) for row in labelled]
    names = [row["model"] for row in labelled]
    place_labels(figure, panel, points, names, np.array(taken).reshape(-1, 4))
