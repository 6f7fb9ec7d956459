"""What all figures share: colours, sizes, fonts, axes.

A figure is drawn twice, wide (for a column of about 720 px) and narrow (for a phone), so that its
type is never scaled down to nothing. Lengths are CSS pixels. Every colour below has a name that the
page knows as a CSS variable: on the page it follows the reader's light or dark scheme.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from torchliquid.play import LIGHT

INK, SOFT, RULE, PAPER = LIGHT["ink"], LIGHT["soft"], LIGHT["rule"], LIGHT["paper"]

WIDE, NARROW = 720, 330

_KNOWN: dict[str, tuple[str, Any, str]] = {
    "LTC-8": ("blue", "-", "o"),
    "LTC-8-euler": ("green", (0, (5, 1.5)), "s"),
    "LSTM-16": ("orange", (0, (7, 1.5, 1.5, 1.5)), "^"),
    "LSTM-4": ("gold", (0, (1.5, 1.5)), "v"),
    "GRU-4": ("pink", (0, (3, 1.5, 1, 1.5, 1, 1.5)), "D"),
    "ridge-AR": ("slate", (0, (2, 2)), "P"),
    "persistence": ("grey", (0, (1, 2)), "X"),
    "mean": ("slate", (0, (1, 1)), "_"),
    "seasonal": ("grey", (0, (4, 2)), "*"),
    "CTRNN-8": ("green", (0, (2, 1)), "<"),
    "DecayGRU-4": ("orange", (0, (4, 1, 1, 1)), "d"),
    "ESN-100": ("gold", (0, (9, 2)), "h"),
    "harmonics": ("pink", (0, (6, 2)), "p"),
}
_OTHERS = [
    (colour, line, marker)
    for colour in ("blue", "green", "orange", "gold", "pink", "slate", "grey")
    for marker, line in zip(
        "p<>hd*", ((0, (9, 2)), (0, (4, 1)), (0, (6, 1, 2, 1)), (0, (2, 1)), (0, (1, 1)), "-"),
        strict=True,
    )
]  # fmt: skip
"""Looks of models outside the default ones: markers and lines of their own, chosen by the name."""


def look(model: str) -> dict[str, Any]:
    """Colour, line style and marker of a model: never identified by colour alone.

    >>> look("LTC-8")["color"] == LIGHT["blue"]
    True
    """
    colour, line, marker = _KNOWN.get(model) or _OTHERS[zlib.crc32(model.encode()) % len(_OTHERS)]
    return {"color": LIGHT[colour], "linestyle": line, "marker": marker}


def line_look(model: str) -> dict[str, Any]:
    """Colour and line style of a model, for curves too dense for markers."""
    return {key: value for key, value in look(model).items() if key != "marker"}


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's settings while a figure is drawn or saved; as before afterwards."""
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "mathtext.fontset": "dejavusans",
        "svg.fonttype": "none",  # real text: small, searchable, in the page's own font
        "svg.hashsalt": "torchliquid",
        "text.parse_math": False,  # a column of the user's may be called "$"
        "text.color": INK,
        "axes.labelcolor": SOFT,
        "axes.edgecolor": SOFT,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlecolor": INK,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": RULE,
        "grid.linewidth": 0.7,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT,
        "figure.facecolor": PAPER,
        "figure.autolayout": False,
        "figure.constrained_layout.use": False,
        "savefig.facecolor": PAPER,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        "lines.linewidth": 1.6,
        "lines.dash_capstyle": "butt",
    }
    sizes: dict[Any, Any] = dict.fromkeys(
        [
            "font.size",
            "axes.titlesize",
            "axes.labelsize",
            "xtick.labelsize",
            "ytick.labelsize",
            "legend.fontsize",
        ],
        12,
    )
    with mpl.rc_context(settings | sizes):
        yield


def new_figure(wide: bool, height: float) -> Figure:
    """An empty figure, wide or narrow, ``height`` pixels high."""
    figure = Figure(figsize=((WIDE if wide else NARROW) / 72, height / 72), dpi=72)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=4 / 72, h_pad=4 / 72, hspace=0.02, wspace=0.02)
    return figure


def legend(figure: Figure, axes: Axes) -> None:
    """The legend of one panel above all panels, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    for columns in range(min(len(labels), 6), 0, -1):
        made = figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=columns,
            handlelength=2.4,
            columnspacing=1.4,
            borderaxespad=0.2,
            markerscale=2,
        )
        if columns == 1 or made.get_window_extent().width < figure.bbox.width - 8:
            break
        made.remove()


def whole_ticks(axis: Axis) -> None:
    """Ticks of an axis of counts, such as epochs: integers only."""
    axis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))


def plain(value: float) -> str:
    """A tick's number in plain decimals.

    >>> plain(0.003), plain(3000.0), plain(100_000.0), plain(1e6)
    ('0.003', '3,000', '100k', '1M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10_000 and value >= size:
            return f"{value / size:,.6g}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.6g}"


def settle(figure: Figure) -> None:
    """Fix the layout as it is now: what is measured on it stays true, and drawing is faster."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        # with an engine left, even "none", matplotlib would draw everything twice to save it
        figure.set_layout_engine(None)


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis in plain decimals, enough of them between the two ends."""
    span = high / low
    subs: tuple[float, ...] = (1.0,) if span > 400 else (1.0, 3.0) if span > 30 else (1.0, 2.0, 5.0)
    if span < 4:
        subs = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)
