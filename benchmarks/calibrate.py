"""`make calibrate`: the signal, noise and learning rate that come closest to the article's figure.

The article prints neither its sines nor sigma nor the learning rate. It prints four numbers and two
loss curves. Every candidate of a fixed grid is trained as the article does (1,000 epochs of Adam,
liquid layer with its Euler step, dt = 0.1, state reset at the test stretch), and its score is how
far its numbers and curves are from the article's. Nothing else steers the choice. Writes
benchmarks/calibration.json; draws and seeds are none of the benchmark's own.
"""

import itertools
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from record import write_record

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.report.article_numbers import CURVES, NUMBERS
from torchliquid.bench.run.scoring import mse
from torchliquid.bench.run.training import train
from torchliquid.bench.run.windows import predict
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.bench.tasks.task import Task

SECOND = [(a, w) for a in (0.3, 0.4, 0.5, 0.6) for w in (2.0, 2.5, 3.0, 4.0, 5.0)]
THIRD = [(0.0, 0.0)] + [(a, w) for a in (0.1, 0.2, 0.3) for w in (5.0, 7.0, 10.0, 13.0)]
SIGMAS = (0.02, 0.03, 0.05)
RATES = (0.003, 0.005, 0.01)
SEED = 7_000
COARSE, FINE, KEPT = 3, 24, 12
"""Noise draws of a candidate in the first pass and in the second, and how many get there."""


class Candidate(NamedTuple):
    """What the article does not print."""

    sines: tuple[tuple[float, float], ...]
    sigma: float
    rate: float


def candidates() -> list[Candidate]:
    """The grid: sin t, a slower second sine, maybe a faster third, 3 sigmas, 3 rates."""
    found = []
    for second, third, sigma, rate in itertools.product(SECOND, THIRD, SIGMAS, RATES):
        if third[0] and third[1] <= second[1]:
            continue
        sines = ((1.0, 1.0), second) + ((third,) if third[0] else ())
        found.append(Candidate(sines, sigma, rate))
    return found


def trained(chosen: list[Candidate], draws: int, seed: int) -> list[dict[str, Any]]:
    """Numbers and curves of candidates of one rate, medians over draws; all lanes in one pack."""
    tasks = [article_task(SumOfSines(c.sines, c.sigma), draws, seed) for c in chosen]
    first = tasks[0]
    task = Task(
        name="calibration",
        spec={},
        inputs=np.concatenate([t.inputs for t in tasks]),
        targets=np.concatenate([t.targets for t in tasks]),
        clean=None,
        dt=first.dt,
        train=first.train,
    )
    found: list[dict[str, Any]] = [{} for _ in chosen]
    for model in find(list(CURVES)):
        protocol = Protocol(len(chosen) * draws, 1000, chosen[0].rate, seed)
        result = train(task, model, protocol, looks=[0, *CURVES[model.name], 1000])
        _, reset = predict(task, model, result.pack)
        curve = result.curves["curve_train"].reshape(-1, len(chosen), draws)
        test = mse(reset, task.targets[:, task.train :]).reshape(len(chosen), draws)
        for k, row in enumerate(found):
            epochs = result.curves["curve_epoch"].tolist()
            middle = dict(zip(epochs, np.median(curve[:, k], axis=1).tolist(), strict=True))
            row[model.name] = {
                "train_mse": middle[1000],
                "test_mse_reset": float(np.median(test[k])),
                "curve": {epoch: middle[epoch] for epoch in CURVES[model.name]},
            }
    return found


def score(row: dict[str, Any]) -> float:
    """Root mean square of the natural logarithms of (measured / article's): numbers, then curves.

    The four numbers and all points of the curves weigh the same, half each.
    """
    numbers = [math.log(row[m][kind] / value) for (m, kind), value in NUMBERS.items()]
    curves = [
        math.log(row[model]["curve"][epoch] / value)
        for model, points in CURVES.items()
        for epoch, value in points.items()
    ]
    halves = [float(np.mean(np.square(part))) for part in (numbers, curves)]
    return math.sqrt(sum(halves) / 2)


def ranked(chosen: list[Candidate], draws: int, seed: int) -> list[tuple[float, Candidate, Any]]:
    """Candidates with their scores, the nearest first."""
    found = []
    for rate in RATES:
        mine = [c for c in chosen if c.rate == rate]
        together = max(1, 300 // draws)
        for first in range(0, len(mine), together):
            some, start = mine[first : first + together], time.perf_counter()
            rows = trained(some, draws, seed)
            found += [(score(row), c, row) for c, row in zip(some, rows, strict=True)]
            print(f"rate {rate}: {len(some)} candidates, {time.perf_counter() - start:.0f} s")
    return sorted(found, key=lambda entry: entry[0])


def main() -> int:
    """Both passes; prints the nearest and writes them all."""
    grid = candidates()
    print(f"{len(grid)} candidates, {COARSE} draws each")
    coarse = ranked(grid, COARSE, SEED)
    fine = ranked([c for _, c, _ in coarse[:KEPT]], FINE, SEED + 1)
    easy = ranked([Candidate(((1.0, 1.0), (0.5, 2.5)), 0.05, 0.01)], FINE, SEED + 1)
    for value, candidate, row in fine + easy:
        print(f"{value:.3f} {candidate} " + _words(row))
    write_record(
        Path(__file__).parent / "calibration.json",
        article={"numbers": [[*k, v] for k, v in NUMBERS.items()], "curves": CURVES},
        grid=len(grid),
        nearest=[{"score": s} | c._asdict() | row for s, c, row in fine],
        easy=[{"score": s} | c._asdict() | row for s, c, row in easy],
        coarse=[{"score": s} | c._asdict() for s, c, _ in coarse[:100]],
    )
    return 0


def _words(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{m} {row[m]['train_mse']:.4f} / {row[m]['test_mse_reset']:.4f}" for m in CURVES
    )


if __name__ == "__main__":
    sys.exit(main())
