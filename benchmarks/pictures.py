"""Pictures of the documentation, from the JSON beside this file, in the reader's colours.

    python benchmarks/pictures.py          # all of them

The scripts that measure call the same functions at their end.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from torchliquid.bench.judging.statistics import paired_ratio
from torchliquid.bench.report.style import INK, SOFT, drawing, log_axis, look
from torchliquid.bench.report.svg import themed, to_svg
from torchliquid.play import LIGHT

HERE = Path(__file__).parent
STATIC = HERE.parent / "docs" / "_static"
TITLE, LABEL, TICK = 20, 15, 14
"""Sizes of type, in a picture of 720 px: half as large on a phone."""


def new_picture(height: float) -> Figure:
    """An empty picture, ten of its units wide."""
    return Figure(figsize=(10, height), dpi=72, layout="constrained")


def set_title(figure: Figure, words: str) -> None:
    """Say above a picture what it says."""
    figure.suptitle(words, fontsize=TITLE, fontweight="bold", color=INK, x=0.01, ha="left")


def growth(record: dict[str, Any]) -> str:
    """Draw what a training pass costs as steps, neurons and unfolds grow."""
    lines = {"LTC native": ("LTC", "LTC-8"), "nn.LSTM": ("nn.LSTM", "LSTM-16"),
             "LTC torch": ("LTC without\na compiler", "persistence")}  # fmt: skip
    axes = {"L": "steps", "H": "neurons", "unfolds": "unfolds"}
    with drawing():
        figure = new_picture(5.2)
        panels = figure.subplots(1, 3)
        for panel, (axis, words) in zip(panels, axes.items(), strict=True):
            points = record["axes"][axis]
            for name, (label, twin) in lines.items():
                x = [p["value"] for p in points if name in p]
                y = [p[name] for p in points if name in p]
                panel.plot(x, y, **look(twin), markersize=7, linewidth=2.5)
                if axis == "unfolds":
                    panel.annotate(
                        label, (x[-1], y[-1]), (10, 0), textcoords="offset points",
                        color=look(twin)["color"], fontsize=LABEL, va="center",
                    )  # fmt: skip
            panel.set(xscale="log", yscale="log")
            if axis == "unfolds":
                panel.set_xlim(0.9, 60)
                panel.set_xticks([1, 2, 3, 6, 12], ["1", "2", "3", "6", "12"])
                panel.minorticks_off()
            else:
                log_axis(panel.xaxis, *panel.get_xlim())
            log_axis(panel.yaxis, *panel.get_ylim())
            panel.tick_params(labelsize=TICK)
            panel.set_xlabel(words, fontsize=LABEL, color=SOFT)
        panels[0].set_ylabel("a training pass, ms", fontsize=LABEL, color=SOFT)
        set_title(figure, "With a C compiler an LTC is faster than nn.LSTM,\nup to five unfolds")
        return themed(to_svg(figure))


def verdicts(record: dict[str, Any]) -> str:
    """Draw who wins on the article's signal, by noise and learning rate."""
    names = {"article": "the article's signal", "easy": "an easier one"}
    colours = {"LSTM": LIGHT["orange"], "liquid": LIGHT["blue"], "": LIGHT["rule"]}
    with drawing():
        figure = new_picture(5.6)
        panels = figure.subplots(1, 2, sharey=True)
        for panel, (preset, cells) in zip(panels, record["cells"].items(), strict=True):
            rates, sigmas = (list(dict.fromkeys(c[k] for c in cells)) for k in ("rate", "sigma"))
            for cell in cells:
                x, y = rates.index(cell["rate"]), sigmas.index(cell["sigma"])
                low, high = cell["interval"]
                winner = "liquid" if high < 1 else "LSTM" if low > 1 else ""
                panel.add_patch(_cell(x, y, colours[winner]))
                factor = cell["ratio"] if cell["ratio"] > 1 else 1 / cell["ratio"]
                words = f"{factor:.2g}" if factor < 99.5 else f"{factor:.0f}"
                panel.text(x, y, words if winner else "?", ha="center", va="center", fontsize=LABEL,
                           color=LIGHT["paper"] if winner else INK)  # fmt: skip
            panel.set_xlim(-0.5, len(rates) - 0.5)
            panel.set_ylim(-0.5, len(sigmas) - 0.5)
            panel.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
            panel.set_yticks(range(len(sigmas)), [f"{sigma:g}" for sigma in sigmas])
            panel.tick_params(labelsize=TICK, length=0)
            panel.grid(visible=False)
            panel.spines[:].set_visible(False)
            panel.set_title(names[preset], fontsize=LABEL)
            panel.set_xlabel("learning rate", fontsize=LABEL, color=SOFT)
        panels[0].set_ylabel("noise, sigma", fontsize=LABEL, color=SOFT)
        set_title(
            figure,
            "Noise and a high rate favour the liquid network (blue),\n"
            "else the LSTM has that many times less error",
        )
        return themed(to_svg(figure))


def _cell(x: float, y: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=colour, edgecolor="none")


def irregular(record: dict[str, Any]) -> str:
    """Draw what a time for each sample is worth, on two data sets."""
    words = {
        ("LTC, dt", "LTC, no dt"): "LTC: knowing the time",
        ("LSTM, dt as a feature", "LSTM, no dt"): "LSTM: knowing the time",
        ("LTC, dt", "LTC, dt as a feature"): "LTC: in its equation, not as an input",
        ("LTC, dt", "LSTM, dt as a feature"): "LTC in place of LSTM, both know it",
        ("LTC, dt", "DecayGRU, dt"): "LTC in place of DecayGRU",
        ("LTC, dt", "CTRNN, dt"): "LTC in place of CTRNN",
    }
    titles = {"remifentanil": "blood samples of patients", "cheetah": "a running robot"}
    with drawing():
        figure = new_picture(6.2)
        panels = figure.subplots(1, 2, sharey=True)
        for panel, (name, title) in zip(panels, titles.items(), strict=True):
            found = record["sets"][name]
            by_pair = {(c["first"], c["second"]): c for c in found["contrasts"]}
            for place, pair in enumerate(reversed(words)):
                c = by_pair[pair]
                ratios = np.sort(paired_ratio(*(found["models"][m]["test"] for m in pair)))
                spread = place + np.linspace(-0.2, 0.2, len(ratios))
                panel.scatter(ratios, spread, s=16, color=LIGHT["grey"], zorder=2, linewidths=0)
                panel.plot([c["low"], c["high"]], [place] * 2, color=LIGHT["blue"], lw=5, zorder=3)
                panel.scatter([c["ratio"]], [place], s=90, color=LIGHT["blue"], zorder=4)
            panel.axvline(1, color=INK, lw=1, zorder=1)
            panel.set_xscale("log")
            panel.set_xlim(0.08, 3)
            panel.set_xticks([0.1, 0.25, 0.5, 1, 2], ["0.1", "0.25", "0.5", "1", "2"])
            panel.minorticks_off()
            panel.set_yticks(range(len(words)), list(reversed(words.values())))
            panel.tick_params(labelsize=TICK)
            panel.set_title(title, fontsize=LABEL)
        figure.supxlabel("error with it, as a multiple of that without; a grey dot is a seed",
                         fontsize=LABEL, color=SOFT)  # fmt: skip
        set_title(
            figure,
            "Knowing the time divides the error by four on one data\n"
            "set, by one on the other; the equation adds nothing to it",
        )
        return themed(to_svg(figure))


PICTURES: dict[str, Callable[[dict[str, Any]], str]] = {
    "growth": growth,
    "verdicts": verdicts,
    "irregular": irregular,
}


def draw(name: str) -> None:
    """Draw one of them from its JSON."""
    record = json.loads((HERE / f"{name}.json").read_text())
    (STATIC / f"{name}.svg").write_text(PICTURES[name](record))


def main() -> int:
    """Draw all."""
    for name in PICTURES:
        draw(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
