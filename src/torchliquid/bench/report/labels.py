"""Labels beside points, placed so that none covers another label, a point or a whisker."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from torchliquid.bench.report.style import SOFT

Boxes = NDArray[np.float64]
"""Rectangles as rows (left, bottom, right, top), in display coordinates."""

_NEAR = 9
"""Pixels between a point and a label right beside it."""


def place_labels(
    figure: Figure,
    axes: Axes,
    points: list[tuple[float, float]],
    texts: list[str],
    taken: Boxes,
) -> None:
    """Label points, close to each where there is room, else further off with a thin line to it.

    The figure's layout must be final: sizes are measured on it.

    Args:
        figure: holds the axes.
        axes: where the labels go.
        points: in data coordinates.
        texts: a label a point.
        taken: what labels must not cover.
    """
    inside = np.array(axes.get_window_extent().extents)
    for point, label in sorted(zip(points, texts, strict=True), key=lambda pair: -pair[0][1]):
        x, y = axes.transData.transform(point)
        boxes = _candidates(x, y, *text_size(figure, label))
        cost = _covered(boxes, taken, inside) + _crossed(x, y, boxes, taken)
        box = boxes[int(np.argmin(np.round(cost, 3)))]  # the first of equals is the nearest
        right = box[0] > x
        anchor = (float(box[0] if right else box[2]), float(box[1] + box[3]) / 2)
        axes.annotate(
            label,
            anchor,
            xycoords="figure points",
            ha="left" if right else "right",
            va="center",
        )
        if abs(anchor[0] - x) > _NEAR + 1 or abs(anchor[1] - y) > 1:
            end = axes.transData.inverted().transform((anchor[0] - (3 if right else -3), anchor[1]))
            axes.plot([point[0], end[0]], [point[1], end[1]], color=SOFT, linewidth=0.7, zorder=1)
        taken = np.vstack([taken, box])


def text_size(figure: Figure, label: str) -> tuple[float, float]:
    """Width and height of words in the figure's font."""
    text = figure.text(0, 0, label)
    box = text.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    text.remove()
    return box.width, box.height


def freest(boxes: Boxes, taken: Boxes, inside: Boxes) -> int:
    """Index of the box that overlaps least with the taken ones; the first of equals."""
    return int(np.argmin(np.round(_covered(boxes, taken, inside), 3)))


def _candidates(x: float, y: float, width: float, height: float) -> Boxes:
    """Boxes where a label could go, the nearest first."""
    ups = [0, *itertools.chain(*((d, -d) for d in range(16, 160, 16)))]
    offsets = itertools.product((_NEAR, 22, 36, 50), ups, (True, False))
    boxes = []
    for across, up, right in sorted(offsets, key=lambda offset: offset[0] + abs(offset[1])):
        left = x + across if right else x - across - width
        bottom = y + up - height / 2
        boxes.append((left, bottom, left + width, bottom + height))
    return np.array(boxes)


def _covered(boxes: Boxes, taken: Boxes, inside: Boxes) -> Boxes:
    """Pixels of each box that are taken, or that stick out of the figure, which is worse."""
    wider = boxes + np.array([-1, -1, 1, 1])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    covered: Boxes = _shared(wider, taken).sum(1) + 10 * (
        areas - _shared(boxes, inside[None])[:, 0]
    )
    return covered


def _shared(first: Boxes, second: Boxes) -> Boxes:
    """Area that each box of the first shares with each of the second."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    area: Boxes = np.clip(high - low, 0, None).prod(axis=2)
    return area


def _crossed(x: float, y: float, boxes: Boxes, taken: Boxes, margin: float = 8) -> Boxes:
    """Length of the line from the point to each box that runs over taken boxes."""
    ends = np.stack(
        [np.where(boxes[:, 0] > x, boxes[:, 0], boxes[:, 2]), boxes[:, [1, 3]].mean(1)], axis=1
    )
    start = np.array([x, y])
    length = np.linalg.norm(ends - start, axis=1)
    along = np.clip(margin / length, 0, 1)[:, None] + np.linspace(0, 1, 40) * (
        1 - np.clip(margin / length, 0, 1)[:, None]
    )
    line = start + along[..., None] * (ends - start)[:, None]
    within = (line[:, :, None] > taken[:, :2]) & (line[:, :, None] < taken[:, 2:])
    costs: Boxes = 20.0 * within.all(axis=3).sum(axis=(1, 2))
    return costs
