"""A ratio and its interval on a logarithmic axis at 1, one row a model or a pair."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from torchliquid.bench.report.style import PAPER

FAR = 1000
"""A ratio beyond this, either way, comes of lanes that diverged."""


def is_far(ratio: float | None) -> bool:
    """Whether a ratio is too far out to be drawn where it is."""
    return ratio is not None and not 1 / FAR < ratio < FAR


def draw_ratio(
    panel: Axes,
    height: float,
    ratio: float | None,
    ends: Sequence[float | None],
    style: dict[str, Any],
    size: float,
) -> None:
    """The ratio's mark, filled where its interval leaves out 1, and the interval as a line.

    A ratio far out is an arrowhead at the panel's edge; without one, nothing is drawn.
    """
    if ratio is None:
        return
    low, high = ends
    finite = False
    if low is not None and high is not None:
        finite = not low <= 1 <= high
        panel.plot([low, high], [height] * 2, color=style["color"], linewidth=size - 6)
    far = is_far(ratio)
    panel.plot(
        (0.99 if ratio > 1 else 0.01) if far else ratio,
        height,
        transform=panel.get_yaxis_transform() if far else panel.transData,
        marker=(">" if ratio > 1 else "<") if far else style["marker"],
        markersize=size,
        color=style["color"],
        markerfacecolor=style["color"] if finite else PAPER,
        markeredgewidth=1.6,
    )
