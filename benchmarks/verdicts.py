"""`make verdicts`: how the verdict moves with noise and learning rate, on both signals.

Paired ratio of test MSE (state carried over), the article's liquid network against LSTM-16, 24
lanes a cell, 1,000 epochs. Writes docs/_static/verdicts.png and benchmarks/verdicts.json.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from record import write_record

from torchliquid.bench.config import Protocol
from torchliquid.bench.judging.statistics import median_interval, paired_ratio
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.scoring import score
from torchliquid.bench.run.training import train
from torchliquid.bench.run.windows import predict
from torchliquid.bench.tasks.presets import PRESETS
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines

HERE = Path(__file__).parent
SIGMAS = (0.0, 0.01, 0.02, 0.05, 0.1)
RATES = (0.002, 0.005, 0.01, 0.02, 0.05)
LANES, EPOCHS = 24, 1000
PAIR = ("LTC-8-euler", "LSTM-16")


def cell(preset: str, sigma: float, rate: float) -> dict[str, Any]:
    """Ratio and interval at one noise and rate."""
    task = article_task(SumOfSines(PRESETS[preset].sines, sigma), LANES, 0)
    errors = []
    for model in find(PAIR):
        trained = train(task, model, Protocol(LANES, EPOCHS, rate, 0))
        rows = score(task, *predict(task, model, trained.pack), trained.curves["curve_train"][-1])
        errors.append(rows["test_mse_carry"])
    found = median_interval(paired_ratio(*errors))
    medians = {name: float(np.median(e)) for name, e in zip(PAIR, errors, strict=True)}
    interval = [found.low, found.high]
    return {"sigma": sigma, "rate": rate, "ratio": found.figure, "interval": interval} | medians


def draw(results: dict[str, list[dict[str, Any]]]) -> None:
    """A map for each signal: colour and number are the ratio, bold where the interval says so."""
    figure = Figure(figsize=(11, 4.9), layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True)
    for panel, (preset, cells) in zip(panels, results.items(), strict=True):
        image = _map(panel, preset, cells)
    panels[0].set_ylabel("noise sigma")
    bar = figure.colorbar(image, ax=list(panels), shrink=0.85)
    bar.set_label("test MSE of LTC-8-euler / LSTM-16, state carried over")
    figure.savefig(HERE.parent / "docs" / "_static" / "verdicts.png", dpi=130)


def _map(panel: Axes, preset: str, cells: list[dict[str, Any]]) -> Any:
    ratio = np.array([c["ratio"] for c in cells]).reshape(len(SIGMAS), len(RATES))
    norm = LogNorm(1 / 30, 30)
    image = panel.imshow(ratio, cmap="RdBu_r", norm=norm, aspect="auto", origin="lower")
    for place, found in enumerate(cells):
        y, x = divmod(place, len(RATES))
        low, high = found["interval"]
        told = "liquid better" if high < 1 else "LSTM better" if low > 1 else "inconclusive"
        dark = abs(np.log(found["ratio"])) > np.log(8)
        words = f"{found['ratio']:.3g}\n[{low:.3g}, {high:.3g}]\n{told}"
        panel.text(
            x, y, words, ha="center", va="center", fontsize=7.5, color="white" if dark else "black"
        )
    panel.set_xticks(range(len(RATES)), [f"{rate:g}" for rate in RATES])
    panel.set_yticks(range(len(SIGMAS)), [f"{sigma:g}" for sigma in SIGMAS])
    panel.set_xlabel("learning rate (Adam)")
    panel.set_title(f"preset {preset}", loc="left", fontweight="bold")
    return image


def main() -> int:
    """All cells of both signals; prints each."""
    results: dict[str, list[dict[str, Any]]] = {}
    for preset in PRESETS:
        results[preset] = []
        for sigma in SIGMAS:
            for rate in RATES:
                start = time.perf_counter()
                found = cell(preset, sigma, rate)
                results[preset].append(found)
                print(preset, found, f"{time.perf_counter() - start:.1f} s", flush=True)
    write_record(HERE / "verdicts.json", lanes=LANES, epochs=EPOCHS, cells=results)
    draw(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
