"""The system time constants beside the input that moves them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchliquid.bench.report.figure_data import Floats, Material, Omitted, Picture
from torchliquid.bench.report.number_format import number
from torchliquid.bench.report.style import INK, SOFT, look, new_figure

TAU_SYS = "\N{GREEK SMALL LETTER TAU}_sys"
TAU = "\N{GREEK SMALL LETTER TAU}"
_MARKS = {"jump": "^", "spike": "*"}


def tau_figures(material: Material) -> list[Picture | Omitted]:
    """One figure for each liquid model, the article's first, and its plain plot of that one."""
    title = f"{TAU_SYS} beside the input"
    with_demo = [m for m in material.kind("liquid") if "demo_tau_sys" in material.runs[m].arrays]
    if not with_demo:
        return [Omitted(title, "only liquid models have time constants, and none was run")]
    models = articles_first(with_demo)
    plain = [m for m in models if "plain_tau_sys" in material.runs[m].arrays][:1]
    return [
        *(_tau_beside_input(material, model) for model in models),
        *(_plain(material, model) for model in plain),
    ]


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
    floor = tau / (1 + tau)
    share = 100 * (tau_sys - floor) / (tau - floor)
    relative = 100 * tau_sys.mean(axis=1) / np.median(tau_sys.mean(axis=1))
    events = run.facts["demo_events"]
    interval = float(run.facts["demo_interval"])
    caption = (
        f"{model}, lane {lane}. Top: the input, with planted jumps (triangles, up or down) and "
        f"spikes (stars). Middle: the mean of {TAU_SYS} = {TAU}/(1 + {TAU} f) over the "
        f"{tau_sys.shape[1]} neurons, in per cent of its median; what an event alone does to it, "
        "against a control without it, is in the figure of averages. Bottom: every neuron in its "
        f"own range, which the gate f in (0, 1) sets: 0 % is {TAU}/(1 + {TAU}), 100 % is {TAU}. "
        "The one that moves most is on top. Time is in the unit of dt; a step is "
        f"{number(interval)}."
    )
    alt = (
        f"Three panels that share the time axis: the input of {model} with planted jumps and "
        f"spikes; the mean system time constant, from {relative.min():.0f} to "
        f"{relative.max():.0f} % of its median; "
        "and a heat map of every neuron's place in its own range."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 660 if wide else 640)
        signal, mean, heat = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.1, 1.15]}
        )
        time = np.arange(len(tau_sys)) * np.float64(interval)
        values = material.unscaled(run.arrays["demo_input"])
        _input(signal, time, values, events, material.unit, wide)
        colour = look(model)["color"]
        mean.axhline(100, color=SOFT, linewidth=0.8)
        mean.plot(time, relative, color=colour, linewidth=1.8)
        mean.set_title(f"Mean {TAU_SYS}")
        mean.set_ylabel("% of its median")
        for event in events:
            for panel in (signal, mean):
                panel.axvline(time[event["step"]], color=SOFT, linewidth=0.7, linestyle=(0, (1, 2)))
        _heat(heat, time, share, figure)
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


def _heat(axes: Axes, time: Floats, share: Floats, figure: Figure) -> None:
    order = np.argsort(share.std(axis=0))
    neurons = len(order)
    half = (time[1] - time[0]) / 2
    picture = axes.imshow(
        share[:, order].T,
        aspect="auto",
        interpolation="none",
        origin="lower",
        cmap="viridis",
        vmin=0,
        vmax=100,
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
    axes.set_title(f"{TAU_SYS} of every neuron in its own range")
    axes.set_xlabel("time, unit of dt")
    bar = figure.colorbar(picture, ax=axes, location="bottom", aspect=40, pad=0.02, fraction=0.07)
    bar.set_label(f"0 %: {TAU}/(1+{TAU}), 100 %: {TAU}")
    bar.outline.set_visible(False)


def _plain(material: Material, model: str) -> Picture | Omitted:
    """The article's plot: the test stretch as it is, and the mean time constant below it."""
    run, task = material.runs[model], material.task
    title = f"{TAU_SYS} on the test stretch, nothing planted: {model}"
    lane = int(run.facts["demo_lane"])
    tau_sys = np.asarray(run.arrays["plain_tau_sys"], dtype=float)
    if not np.isfinite(tau_sys).all():
        return Omitted(title, f"lane {lane} of {model} diverged")
    mean = tau_sys.mean(axis=1)
    test = task.steps - task.test
    inputs = task.inputs[lane if len(task.inputs) > 1 else 0, test : test + len(mean), 0]
    caption = (
        f"{model}, lane {lane}, the plot that the article shows. Top: the first {len(mean)} test "
        f"steps. Bottom: {TAU_SYS}, mean over the neurons (line) and their quartiles (band); the "
        "state is carried over from the training stretch. Unit: that of dt."
    )
    alt = (
        f"Two panels: the test stretch's input, and the mean system time constant of {model}, "
        f"between {number(float(mean.min()))} and {number(float(mean.max()))}."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 400)
        signal, below = figure.subplots(2, 1, sharex=True)
        time = np.arange(len(mean)) * np.float64(run.facts["demo_interval"])
        signal.plot(time, material.unscaled(inputs), color=INK, linewidth=1.1)
        signal.set_title("Input, test stretch")
        signal.set_ylabel(material.unit)
        low, high = np.quantile(tau_sys, [0.25, 0.75], axis=1)
        colour = look(model)["color"]
        below.fill_between(time, low, high, color=colour, alpha=0.25, linewidth=0)
        below.plot(time, mean, color=colour, linewidth=1.8)
        below.set_title(f"{TAU_SYS} over the neurons")
        below.set_ylabel(TAU_SYS)
        below.set_xlabel("time, unit of dt")
        return figure

    return Picture("tau-plain", title, caption, alt, draw)
