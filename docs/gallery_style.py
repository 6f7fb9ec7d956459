"""The gallery's figures in the look of all others: as SVG, in the reader's light or dark scheme."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from cycler import cycler
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

from torchliquid.bench.report.style import drawing
from torchliquid.bench.report.svg import themed, to_svg
from torchliquid.play import LIGHT

ORDER = ("blue", "orange", "green", "pink", "gold", "slate")


def begin(conf: dict[str, Any], path: str) -> None:
    """Set what every script begins with: the look, one thread, a size that a phone can show."""
    torch.set_num_threads(1)
    with drawing():
        look = dict(mpl.rcParams)
    look |= {
        "axes.prop_cycle": cycler(color=[LIGHT[name] for name in ORDER]),
        "figure.dpi": 72,
        "font.size": 14,
        "axes.labelsize": 14,
        "axes.titlesize": 17,
        "axes.titlepad": 12,
        "legend.fontsize": 13,
        "xtick.labelsize": 13,
        "ytick.labelsize": 13,
    }
    look.pop("backend", None)
    mpl.rcParams.update(look)


def svg_scraper(block: Any, values: dict[str, Any], conf: dict[str, Any], **_: Any) -> str:
    """Keep the open figures of a block beside its page, and return how the page shows them."""
    kept = []
    # pyplot's, and those that torchliquid's own functions return
    figures = [plt.figure(number) for number in plt.get_fignums()]
    figures += [f for f in values["example_globals"].values() if isinstance(f, Figure)]
    for figure in dict.fromkeys(figures):
        if hasattr(figure, "kept"):
            continue
        figure.kept = True
        path = Path(next(values["image_path_iterator"])).with_suffix(".svg")
        path.write_text(themed(to_svg(figure)))
        title = next((axes.get_title("left") for axes in figure.axes if axes.get_title("left")), "")
        kept.append((str(path), title))
    plt.close("all")
    titles = ", ".join(title for _, title in kept)
    return figure_rst([path for path, _ in kept], conf["src_dir"], titles)
