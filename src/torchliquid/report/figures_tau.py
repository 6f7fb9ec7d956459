"""The system time constants beside the input that moves them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.report.material import Floats, Material, Omitted, Picture
from torchliquid.report.numbers import number
from torchliquid.report.style import INK, SOFT, look, new_figure

TAU_SYS = "\N{GREEK SMALL LETTER TAU}_sys"
TAU = "\N{GREEK SMALL LETTER TAU}"
_MARKS = {"jump": "^", "spike": "*"}


def tau_figures(material: Material) -> list[Picture | Omitted]:
    """One figure for each liquid model; the article's first, then the others."""
    title = f"{TAU_SYS} beside the input"
    with_demo = [m for m in material.kind("liquid") if "demo_tau_sys" in material.runs[m].arrays]
    if not with_demo:
        return [Omitted(title, "only liquid models have time constants, and none was run")]
    return [_tau_beside_input(material, model) for model in articles_first(with_demo)]


def articles_first(models: list[str]) -> list[str]:
    """The article's own step before the others, as in the table of claims."""
    return sorted(models, key=lambda model: not model.endswith("-euler"))


def _tau_beside_input(material: Material, model: str) -> Picture | Omitted:
    run = material.runs[model]
    title = f"{TAU_SYS} beside the input: {model}"
    lane = int(run.facts["demo_lane"])
    tau_sys = np.asarray(run.arrays["demo_tau_sys"], dtype=float)
    tau = np.asarray(run.arrays["tau"][lane], dtype=float)
    if not (np.isfinite(tau_sys).all() and np.isfinite(tau).all()):
        return Omitted(title, f"lane {lane} of {model} diverged")
    floor, ceiling = tau / (1 + tau), tau
    events = run.facts["demo_events"]
    interval = float(run.facts["demo_interval"])
    mean = tau_sys.mean(axis=1)
    caption = (
        f"{model}, lane {lane}. Top: the input, with planted jumps (triangles, up or down) and "
        f"spikes (stars). Middle: {TAU_SYS} = {TAU}/(1 + {TAU} f) over the {tau_sys.shape[1]} "
        "neurons: mean (line), quartiles (dark band), lowest to highest (light band). With the "
        f"gate f between 0 and 1, each neuron's {TAU_SYS} must lie between {TAU}/(1 + {TAU}) and "
        f"{TAU}; dashed lines are those two limits for the mean, {number(floor.mean())} and "
        f"{number(ceiling.mean())}. Bottom: every neuron, sorted by its mean. Times are in the "
        f"unit of dt; one step is {number(interval)}."
    )
    alt = (
        f"Three panels that share the time axis: the input of {model} with planted jumps and "
        f"spikes; the mean system time constant, between {number(mean.min())} and "
        f"{number(mean.max())} where {number(floor.mean())} to {number(ceiling.mean())} is "
        "possible; and a heat map of the time constant of every neuron."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 660 if wide else 640)
        signal, band, heat = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.25, 1.15]}
        )
        unit = material.unit
        time = np.arange(len(tau_sys)) * np.float64(interval)
        _input(signal, time, material.unscaled(run.arrays["demo_input"]), events, unit, wide)
        _band(band, time, tau_sys, floor.mean(), ceiling.mean(), look(model)["color"], wide)
        for event in events:
            for panel in (signal, band):
                panel.axvline(time[event["step"]], color=SOFT, linewidth=0.7, linestyle=(0, (1, 2)))
        _heat(heat, time, tau_sys, figure)
        return figure

    return Picture(f"tau-sys-{model.lower()}", title, caption, alt, draw)


def _input(
    axes: Axes, time: Floats, values: Floats, events: list[dict[str, Any]], unit: str, wide: bool
) -> None:
    axes.plot(time, values, color=INK, linewidth=1.1)
    low, high = float(values.min()), float(values.max())
    axes.set_ylim(low - 0.06 * (high - low), high + 0.28 * (high - low))
    for event in events:
        down = event["kind"] == "jump" and event["size"] < 0
        axes.plot(
            time[event["step"]],
            high + 0.15 * (high - low),
            marker="v" if down else _MARKS[event["kind"]],
            markersize=9 if event["kind"] == "spike" else 7,
            color=look("LSTM-16")["color"],
        )
    planted = "Input with planted" if wide else "Input,"
    axes.set_title(f"{planted} jumps (\u25b2\u25bc) and spikes (\u2605)")
    axes.set_ylabel(unit)


def _band(
    axes: Axes, time: Floats, tau_sys: Floats, floor: float, ceiling: float, colour: str, wide: bool
) -> None:
    quarter, three = np.quantile(tau_sys, [0.25, 0.75], axis=1)
    low, high = tau_sys.min(axis=1), tau_sys.max(axis=1)
    axes.fill_between(time, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.fill_between(time, quarter, three, color=colour, alpha=0.3, linewidth=0)
    axes.plot(time, tau_sys.mean(axis=1), color=colour, linewidth=1.8)
    for limit, words, below in (
        (ceiling, f"mean of {TAU}: highest possible mean", False),
        (floor, f"mean of {TAU}/(1+{TAU}): lowest possible mean", True),
    ):
        axes.axhline(limit, color=INK, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            words if wide else words.split(":")[0],
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3 if below else 3),
            textcoords="offset points",
            ha="right",
            va="top" if below else "bottom",
            color=INK,
        )
    least, most = min(float(low.min()), floor), max(float(high.max()), ceiling)
    room = 0.14 * (most - least)
    axes.set_ylim(least - room, most + room)
    axes.set_title(f"{TAU_SYS} over the neurons")
    axes.set_ylabel(f"{TAU_SYS}, unit of dt")


def _heat(axes: Axes, time: Floats, tau_sys: Floats, figure: Figure) -> None:
    order = np.argsort(tau_sys.mean(axis=0))
    neurons = len(order)
    half = (time[1] - time[0]) / 2
    picture = axes.imshow(
        tau_sys[:, order].T,
        aspect="auto",
        interpolation="none",
        origin="lower",
        cmap="viridis",
        extent=(time[0] - half, time[-1] + half, -0.5, neurons - 0.5),
    )
    axes.grid(visible=False)
    if neurons <= 12:
        axes.set_yticks(range(neurons), [str(index + 1) for index in order])
        axes.set_ylabel("neuron")
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{neurons} neurons")
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"{TAU_SYS} of every neuron")
    axes.set_xlabel("time, unit of dt")
    bar = figure.colorbar(picture, ax=axes, location="bottom", aspect=40, pad=0.02, fraction=0.07)
    bar.set_label(f"{TAU_SYS}, unit of dt")
    bar.outline.set_visible(False)
