"""Prediction against truth over the split."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from torchliquid.bench.report.figure_data import Floats, Material, Omitted, Picture
from torchliquid.bench.report.style import (
    INK,
    PAPER,
    SOFT,
    legend,
    line_look,
    new_figure,
    whole_ticks,
)

_TITLE = "Prediction against truth"
_DOTS = 600
_ZOOM = 150
_COLD = 20


def prediction(material: Material) -> Picture | Omitted:
    """The series of one lane with what the rivals predicted, and its test stretch in full."""
    shown = material.rivals or material.kind("classical")[:2]
    if not shown:
        return Omitted(_TITLE, "no model was run")
    lane, fine = _lane(material, shown)
    if not fine:
        return Omitted(_TITLE, f"{' and '.join(shown)} diverged in every lane")
    gone = [model for model in shown if model not in fine]
    material, series = material.of_one_series()
    task = material.task
    of = f", of series {series}, which has the longest test stretch" if series else ""
    stretches = (
        f"{task.train:,} steps of training, "
        + (f"{task.valid:,} of validation, " if task.valid else "")
        + f"{task.test:,} of testing"
    )
    zoom = min(task.test, _ZOOM)
    part = "the test stretch" if zoom == task.test else f"the first {zoom} test steps"
    truth = "the target without its noise" if task.clean is not None else "the target"
    caption = (
        f"Lane {lane} of {material.all_lanes}{of}: {stretches}. Top: the whole series, state "
        f"carried over; vertical lines are the split. Middle: prediction less {truth} on {part}, "
        f"state carried over. Bottom: the first {_COLD} test steps after the state was reset to "
        f"zero, where models differ. Unit: {task.unit}. "
        + ("Dots" if task.steps <= _DOTS else "Grey line, below dots")
        + ": the target, with its noise. " * (task.clean is not None)
        + ": the target." * (task.clean is None)
        + "Thin line: the target without its noise." * (task.clean is not None)
    )
    if gone:
        caption += f" {' and '.join(gone)} diverged in this lane and is left out."
    alt = (
        f"Line charts of the target and the one-step predictions of {' and '.join(fine)} over the "
        f"split after step {task.train}; their errors on the test stretch; and the first steps "
        "after the state was reset."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 640 if wide else 660)
        top, carried, reset = figure.subplots(3, 1, gridspec_kw={"height_ratios": [1.1, 1, 1]})
        start = task.train + task.valid
        _panel(top, material, lane, fine, 0, task.steps, wide)
        _split(top, material, wide)
        _residuals(carried, material, lane, fine, start, start + zoom)
        _panel(reset, material, lane, fine, start, start + min(_COLD, zoom), wide, reset=True)
        top.set_title("Whole series, state carried over", pad=22)
        carried.set_title("Errors on the test stretch")
        reset.set_title("The first steps after a reset")
        reset.set_xlabel(material.when_name)
        legend(figure, top)
        return figure

    return Picture("prediction", _TITLE, caption, alt, draw)


def _lane(material: Material, models: list[str]) -> tuple[int, list[str]]:
    """The lane that the liquid model's demonstration uses, or one where more models are finite."""
    finite = {
        model: np.asarray(np.isfinite(material.runs[model].arrays["prediction_carry"]).all(axis=1))
        for model in models
    }
    lane = int(material.runs[models[0]].facts.get("demo_lane", 0))
    number = np.sum(list(finite.values()), axis=0)
    if number[lane] < len(models):
        lane = int(np.argmax(number))
    return lane, [model for model in models if finite[model][lane]]


def _panel(
    axes: Axes,
    material: Material,
    lane: int,
    models: list[str],
    start: int,
    stop: int,
    wide: bool,
    *,
    reset: bool = False,
) -> None:
    task = material.task
    steps = material.when[start:stop]
    target = material.unscaled(_of(task.targets, lane))[start:stop]
    if len(steps) <= _DOTS:
        size = (4 if wide else 3) if len(steps) <= _ZOOM else (2.6 if wide else 1.8)
        axes.plot(
            steps, target, "o", color=SOFT, markersize=size, markeredgewidth=0, label="target"
        )
    else:
        axes.plot(*thin(steps, target), color=SOFT, linewidth=1, label="target")
    if task.clean is not None:
        clean = material.unscaled(_of(task.clean, lane))[start:stop]
        axes.plot(*thin(steps, clean), color=INK, linewidth=0.8, label="target without noise")
    for model in models:
        arrays = material.runs[model].arrays
        values = material.unscaled(
            arrays["prediction_reset" if reset else "prediction_carry"][lane]
        )
        values = values[: stop - start] if reset else values[start:stop]
        axes.plot(*thin(steps, values), label=model, **line_look(model))
    _along(axes, material, steps)


def _residuals(
    axes: Axes, material: Material, lane: int, models: list[str], start: int, stop: int
) -> None:
    task = material.task
    truth = material.unscaled(_of(task.targets if task.clean is None else task.clean, lane))
    steps = material.when[start:stop]
    axes.axhline(0, color=INK, linewidth=0.8)
    for model in models:
        values = material.unscaled(material.runs[model].arrays["prediction_carry"][lane])
        axes.plot(*thin(steps, (values - truth)[start:stop]), **line_look(model))
    _along(axes, material, steps)


def _along(axes: Axes, material: Material, steps: Floats) -> None:
    """The ends of the axis of time, its ticks, and the unit beside it."""
    edge = 0.01 * (steps[-1] - steps[0])
    axes.set_xlim(steps[0] - edge, steps[-1] + edge)
    axes.set_ylabel(material.unit)
    if material.task.dated:
        locator = AutoDateLocator(minticks=2, maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
    elif material.task.times is None:
        whole_ticks(axes.xaxis)


def _split(axes: Axes, material: Material, wide: bool) -> None:
    """Vertical lines between the stretches, and their names above the panel where they fit."""
    task, when = material.task, material.when
    ends = [0, task.train, task.train + task.valid, task.steps]
    for edge in sorted({task.train, task.train + task.valid} - {0}):
        axes.axvline(
            (when[edge - 1] + when[edge]) / 2, color=INK, linewidth=1.2, linestyle=(0, (4, 2))
        )
    for name, start, stop in zip(("train", "validation", "test"), ends, ends[1:], strict=False):
        pixels = (stop - start) / task.steps * (620 if wide else 260)
        if pixels > 8 * len(name):
            axes.annotate(
                name,
                (when[start : max(stop, start + 1)].mean(), 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=SOFT,
                backgroundcolor=PAPER,
            )


def _of(values: NDArray[Any], lane: int) -> Floats:
    """The lane's row; all lanes may share one."""
    row: Floats = np.asarray(values[lane if len(values) > 1 else 0], dtype=float)
    return row


def thin(steps: NDArray[Any], values: Floats, most: int = 1200) -> tuple[Floats, Floats]:
    """A long line with no more points than can be seen: the ends of its range, bin by bin.

    >>> x, y = thin(np.arange(10_000), np.sin(np.arange(10_000.0)), most=100)
    >>> len(x), bool(y.max() > 0.999)
    (100, True)
    """
    x = np.asarray(steps, dtype=float)
    if len(x) <= most:
        return x, values
    bins = np.array_split(np.arange(len(x)), most // 2)
    kept: list[int] = []
    for indices in bins:
        part = values[indices]
        if np.isfinite(part).any():
            kept += sorted((int(indices[np.nanargmin(part)]), int(indices[np.nanargmax(part)])))
        else:
            kept += [int(indices[0]), int(indices[-1])]
    return x[kept], values[kept]
