"""Figures of README and docs that other benchmarks make, in colours of the reader's scheme.

python benchmarks/figures.py                    # the tutorial's
python benchmarks/figures.py results/tuned      # that of README alone, of suites/tuned.toml
python benchmarks/figures.py benchmarks/forecast_irregular.json     # forecasts, rows missing
"""

import json
import sys
from pathlib import Path

import torch
from pictures import STATIC, new_picture

import torchliquid as tl
from torchliquid.bench.report.style import INK, SOFT, drawing, log_axis, look
from torchliquid.bench.report.svg import themed, to_svg


def tutorial(path: Path) -> None:
    """The tutorial's own picture, of the model that it trains."""
    torch.manual_seed(0)
    t = 0.1 * torch.arange(201)
    series = torch.sin(t) + 0.05 * torch.randn(201)
    x, target = series[None, :-1, None], series[None, 1:, None]
    model = tl.SequenceModel(tl.LTC(1, 8, batch_first=True, dt=0.1), output_size=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        (model(x)[0] - target).square().mean().backward()
        optimiser.step()
    with drawing():
        figure = tl.plot_time_constants(model, x)
        figure.savefig(path, dpi=130)


MISSING = (
    "With nine rows of ten gone the filter's error\nis up a fifth; the others' more than doubles"
)
CONTENDERS = {
    "filter": ("filter", "LTC-8"), "ridge": ("ridge", "ridge-AR"),
    "LTC": ("LTC, dt", "LTC-8-euler"), "DecayGRU": ("GRU, decay", "LSTM-16"),
    "LightGBM": ("LightGBM", "LSTM-4"),
}  # fmt: skip
"""Of `forecast_irregular.py`: what a line is called, and whose look it has."""


def missing_rows(path: Path) -> str:
    """Draw forecast errors against the share of rows that were dropped, over five tables."""
    import numpy as np

    rows = json.loads(path.read_text())["rows"]
    fresh = [t for t in dict.fromkeys(r["table"] for r in rows) if t not in ("elec_vic", "peyton")]
    shares = [s for s in dict.fromkeys(r["dropped"] for r in rows) if s != "outage"]

    def log_errors(table: str, share: str, name: str) -> list[float]:
        return [
            float(np.log(r["errors"][name]))
            for r in rows
            if (r["table"], r["dropped"]) == (table, share)
        ]

    with drawing():
        figure = new_picture(5.4)
        axes = figure.subplots()
        for name, (label, twin) in CONTENDERS.items():
            line = [
                np.exp(np.mean([
                    np.mean(log_errors(t, s, name)) - np.mean(log_errors(t, shares[0], "ridge"))
                    for t in fresh
                ]))
                for s in shares
            ]  # fmt: skip
            x = [100 * float(s) for s in shares]
            axes.plot(x, line, **look(twin), markersize=9, linewidth=2.5)
            below = {"LTC": -2, "DecayGRU": 15, "ridge": -16}.get(name, 0)
            axes.annotate(label, (x[-1], line[-1]), (12, below), textcoords="offset points",
                          color=look(twin)["color"], fontsize=17, va="center")  # fmt: skip
        axes.set_xlim(-3, 112)
        axes.set_xticks([100 * float(s) for s in shares])
        axes.set_yscale("log")
        axes.set_yticks([1, 1.5, 2, 3], ["1", "1.5", "2", "3"])
        axes.minorticks_off()
        axes.tick_params(labelsize=14)
        axes.set_xlabel("% of the rows dropped", fontsize=15, color=SOFT)
        label = "squared error, as a multiple of\nridge's with all rows"
        axes.set_ylabel(label, fontsize=15, color=SOFT)
        axes.set_title(MISSING, fontsize=20)
        return themed(to_svg(figure))


FRONT = "Tuned alike, 105 parameters do what 1,233 do,\nand ridge regression does better"


def front(folder: Path) -> str:
    """Draw test error against parameters on the article's signal, of a suite tuned alike."""
    (path,) = folder.glob("article-*/summary.json")
    models = json.loads(path.read_text())["models"]
    with drawing():
        figure = new_picture(5.4)
        axes = figure.subplots()
        for name in ("LTC-8", "LSTM-16", "LSTM-4", "GRU-4", "ridge-AR"):
            error, size = models[name]["test_mse_carry"], models[name]["parameters"]
            axes.plot([size, size], [error["q10"], error["q90"]], color=look(name)["color"], lw=3)
            axes.plot(size, error["median"], **look(name) | {"linestyle": "none"}, markersize=14)
            text = f"{name}, {size:,} parameters" if name != "ridge-AR" else "ridge regression, 33"
            right = name not in ("GRU-4", "LSTM-16")
            axes.annotate(
                text, (size, error["median"]), (12 if right else -12, -6), color=INK, fontsize=17,
                textcoords="offset points", ha="left" if right else "right",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(15, 2000)
        log_axis(axes.xaxis, 15, 2000)
        log_axis(axes.yaxis, *axes.get_ylim())
        axes.tick_params(labelsize=14)
        axes.set_title(FRONT, fontsize=20)
        axes.set_xlabel("parameters", fontsize=15, color=SOFT)
        axes.set_ylabel("test error (MSE)", fontsize=15, color=SOFT)
        return themed(to_svg(figure))


def main() -> int:
    """Write docs/_static/*.svg."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if source is None:
        tutorial(STATIC / "tutorial_tau_sys.png")
    elif source.suffix == ".json":
        (STATIC / "forecast_missing.svg").write_text(missing_rows(source))
    else:
        (STATIC / "front.svg").write_text(front(source))
    return 0


if __name__ == "__main__":
    sys.exit(main())
