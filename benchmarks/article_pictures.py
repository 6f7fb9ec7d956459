"""The pictures of docs/results-article.md, from a finished `torchliquid bench article`.

python benchmarks/article_pictures.py results/article
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pictures import LABEL, STATIC, TICK, new_picture, set_title

from torchliquid.bench.judging.statistics import paired_ratio, quantiles_along
from torchliquid.bench.report.article_numbers import CURVES
from torchliquid.bench.report.style import INK, SOFT, drawing, log_axis, look
from torchliquid.bench.report.svg import themed, to_svg
from torchliquid.bench.run.store import BEFORE, Run, Store
from torchliquid.play import LIGHT

Runs = dict[str, Run]
EULER, LSTM = "LTC-8-euler", "LSTM-16"
"""The networks of the article."""


def answer(runs: Runs) -> Figure:
    """Test errors, state carried over, as multiples of the LSTM's."""
    errors = {name: run.arrays["test_mse_carry"] for name, run in runs.items()}
    ratios = {name: paired_ratio(found, errors[LSTM]) for name, found in errors.items()}
    order = sorted(ratios, key=lambda name: -float(np.median(ratios[name])))
    figure = new_picture(5)
    axes = figure.subplots()
    for row, name in enumerate(order):
        found = np.sort(ratios[name])
        dots = row + np.linspace(-0.25, 0.25, len(found))
        if name != LSTM:
            axes.plot(found, dots, ".", color=look(name)["color"], alpha=0.5)
        axes.plot(np.median(found), row, **look(name) | {"linestyle": "none"}, markersize=13)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xscale("log")
    log_axis(axes.xaxis, *axes.get_xlim())
    axes.set_yticks(range(len(order)), order)
    axes.tick_params(labelsize=TICK)
    axes.set_xlabel("test error as a multiple of LSTM-16's; a dot is a seed", fontsize=LABEL,
                    color=SOFT)  # fmt: skip
    set_title(
        figure,
        "On the article's task a regression wins; the liquid\n"
        "networks have ten to twenty times LSTM-16's error",
    )
    return figure


def tau_sys(runs: Runs) -> Figure:
    """The mean time constant and every neuron's, beside an input with planted events."""
    run = runs[EULER]
    found = run.arrays["demo_tau_sys"].astype(float)
    tau = run.arrays["tau"][run.facts["demo_lane"]].astype(float)
    floor = tau / (1 + tau)
    share = 100 * (found - floor) / (tau - floor)
    time = np.arange(len(found)) * float(run.facts["demo_interval"])
    figure = new_picture(7)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1, 1.2])
    top.plot(time, run.arrays["demo_input"], color=INK)
    for event in run.facts["demo_events"]:
        kind = "a spike" if event["kind"] == "spike" else "a jump"
        for panel in (top, middle):
            panel.axvline(time[event["step"]], color=LIGHT["orange"], linewidth=1)
        top.annotate(kind, (time[event["step"]], 1.0), (4, 2), xycoords=("data", "axes fraction"),
                     textcoords="offset points", fontsize=TICK, color=LIGHT["orange"])  # fmt: skip
    mean = found.mean(1)
    middle.plot(time, 100 * mean / np.median(mean), color=look(EULER)["color"], linewidth=2)
    order = share.std(0).argsort()
    bottom.imshow(
        share[:, order].T, aspect="auto", interpolation="none", origin="lower", vmin=0, vmax=100,
        extent=(time[0], time[-1], -0.5, len(order) - 0.5),
    )  # fmt: skip
    bottom.grid(visible=False)
    bottom.set_yticks([])
    for panel, words in ((top, "input"), (middle, "mean, % of\nits median"), (bottom, "neurons")):
        panel.set_ylabel(words, fontsize=LABEL, color=SOFT)
        panel.tick_params(labelsize=TICK)
    bottom.set_xlabel("time, unit of dt", fontsize=LABEL, color=SOFT)
    set_title(figure, "The mean time constant moves by a tenth,\nsingle neurons by all they can")
    return figure


def tau_plain(runs: Runs) -> Figure:
    """The article's own plot: the mean on the test stretch, nothing planted."""
    found = runs[EULER].arrays["plain_tau_sys"].astype(float)
    time = np.arange(len(found)) * float(runs[EULER].facts["demo_interval"])
    low, high = np.quantile(found, [0.25, 0.75], axis=1)
    figure = new_picture(4.2)
    axes = figure.subplots()
    axes.fill_between(time, low, high, color=look(EULER)["color"], alpha=0.25, linewidth=0)
    axes.plot(time, found.mean(1), color=look(EULER)["color"], linewidth=2.5)
    axes.annotate("half of the neurons", (time[-1], high[-1]), (-4, -18), ha="right",
                  textcoords="offset points", fontsize=LABEL, color=SOFT)  # fmt: skip
    axes.annotate("their mean", (time[-1], found.mean(1)[-1]), (-4, 8), ha="right",
                  textcoords="offset points", fontsize=LABEL, color=INK)  # fmt: skip
    axes.set_ylim(0, None)
    axes.tick_params(labelsize=TICK)
    axes.set_xlabel("time, unit of dt", fontsize=LABEL, color=SOFT)
    axes.set_ylabel("tau_sys", fontsize=LABEL, color=SOFT)
    set_title(figure, "On the article's test stretch the mean moves by a tenth")
    return figure


def jump_average(runs: Runs) -> Figure:
    """The change of tau_sys around events, against a control without them."""
    arrays = runs[EULER].arrays
    figure = new_picture(5)
    panels = figure.subplots(1, 2, sharey=True)
    for panel, kind in zip(panels, ("jump", "spike"), strict=True):
        for way, colour in (("up", LIGHT["orange"]), ("down", LIGHT["blue"])):
            change = 100 * (arrays[f"probe_{kind}_{way}"] / arrays["probe_control"] - 1)
            low, middle, high = quantiles_along(change[np.isfinite(change).all(1)], axis=0)
            samples = np.arange(len(middle)) - BEFORE
            panel.fill_between(samples, low, high, color=colour, alpha=0.18, linewidth=0)
            panel.plot(samples, middle, color=colour, linewidth=2.5)
            if kind == "jump":
                panel.annotate(f"a jump {way}", (samples[-1], middle[-1]), (-4, -24),
                               ha="right", textcoords="offset points", fontsize=LABEL,
                               color=colour)  # fmt: skip
        panel.axhline(0, color=INK, linewidth=1)
        panel.tick_params(labelsize=TICK)
        words = "stays" if kind == "jump" else "of one sample"
        panel.set_title(f"a {kind} {'that ' if kind == 'jump' else ''}{words}", fontsize=LABEL)
        panel.set_xlabel("samples after it", fontsize=LABEL, color=SOFT)
    panels[0].set_ylabel("change of tau_sys, %", fontsize=LABEL, color=SOFT)
    set_title(figure, "The time constant follows the direction of a jump,\nnot its size")
    return figure


def loss_curves(runs: Runs) -> Figure:
    """Training and test errors by epoch of the article's two networks, and the article's own."""
    figure = new_picture(5.2)
    panels = figure.subplots(1, 2, sharey=True)
    keys = {"curve_train": "on the training stretch", "curve_carry": "on the test stretch"}
    for panel, (key, words) in zip(panels, keys.items(), strict=True):
        for name in (EULER, LSTM):
            epochs, found = runs[name].arrays["curve_epoch"], runs[name].arrays[key]
            low, middle, high = quantiles_along(found, axis=1)
            colour = look(name)["color"]
            panel.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
            panel.plot(epochs, middle, color=colour, linewidth=2.5)
            if key == "curve_carry":
                panel.annotate(name, (epochs[-1], high[-1]), (0, 8), fontsize=LABEL, ha="right",
                               textcoords="offset points", color=colour)  # fmt: skip
            else:
                panel.plot(
                    *zip(*CURVES[name].items(), strict=True), "x", color=colour, markersize=9
                )
        panel.set_yscale("log")
        log_axis(panel.yaxis, *panel.get_ylim())
        panel.tick_params(labelsize=TICK)
        panel.set_title(words, fontsize=LABEL)
        panel.set_xlabel("epochs", fontsize=LABEL, color=SOFT)
    panels[0].set_ylabel("error (MSE)", fontsize=LABEL, color=SOFT)
    set_title(
        figure, "After 1,000 epochs the liquid network is still learning;\ncrosses: the article"
    )
    return figure


def main() -> int:
    """Draw all of them."""
    store = Store.existing(Path(sys.argv[1]))
    runs = {name: store.load(name) for name in store.models()}
    with drawing():
        for draw in (answer, tau_sys, tau_plain, jump_average, loss_curves):
            (STATIC / f"{draw.__name__}.svg").write_text(themed(to_svg(draw(runs))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
