"""`make verdicts`: how the verdict moves with noise and learning rate, on both signals.

Paired ratio of test MSE (state carried over), the article's liquid network against LSTM-16, 24
lanes a cell, 1,000 epochs. Writes docs/_static/verdicts.svg and benchmarks/verdicts.json.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pictures import draw
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
    draw("verdicts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
