"""`make bench-growth`: how the cost of a training pass grows with every size, beside nn.LSTM.

Forward and backward pass by wall time, contenders interleaved, 1 and 2 threads; writes
docs/_static/growth.svg and benchmarks/growth.json.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pictures import draw
from record import write_record
from timing import Step, interleaved
from torch import nn

from torchliquid import LTC, Pack, SequenceModel
from torchliquid.kernels import VARIABLE

HERE = Path(__file__).parent
PATIENCE = 1_500.0
"""Milliseconds at one point after which a contender's later points are left out."""
SIZES = {"L": 200, "B": 8, "H": 32, "I": 4, "unfolds": 1}
AXES: dict[str, tuple[str, list[int]]] = {
    "L": ("steps L", [10, 100, 1_000, 10_000, 100_000]),
    "B": ("batch B", [1, 4, 16, 64, 256, 1024]),
    "H": ("neurons H", [4, 8, 16, 32, 64, 128, 256, 512]),
    "unfolds": ("unfolds K", [1, 2, 3, 6, 12]),
    "lanes": ("lanes of a pack (LTC-8, B 1, I 1)", [1, 10, 30, 100, 300, 1000, 4000]),
}


def trained(module: nn.Module, x: torch.Tensor, backend: str, threads: int) -> Step:
    """A forward and a backward pass."""

    def step() -> None:
        os.environ[VARIABLE] = backend
        torch.set_num_threads(threads)
        module.zero_grad()
        module(x)[0].sum().backward()

    return step


def contenders(axis: str, value: int) -> dict[str, Step]:
    """What is compared at one point."""
    if axis == "lanes":
        return _packs(value)
    sizes = SIZES | {axis: value}
    x = torch.randn(sizes["B"], sizes["L"], sizes["I"])
    ltc = LTC(sizes["I"], sizes["H"], unfolds=sizes["unfolds"], batch_first=True)
    lstm = nn.LSTM(sizes["I"], sizes["H"], batch_first=True)
    return {
        "LTC native": trained(ltc, x, "native", 1),
        "LTC native, 2 threads": trained(ltc, x, "native", 2),
        "LTC torch": trained(ltc, x, "torch", 1),
        "nn.LSTM": trained(lstm, x, "native", 1),
        "nn.LSTM, 2 threads": trained(lstm, x, "native", 2),
    }


def _packs(lanes: int) -> dict[str, Step]:
    x = torch.randn(1, SIZES["L"], 1)
    found: dict[str, Step] = {}

    def make(seed: int) -> SequenceModel:
        return SequenceModel(LTC(1, 8, batch_first=True), 1)

    for name, backend, threads in (
        ("LTC native", "native", 1),
        ("LTC native, 2 threads", "native", 2),
        ("LTC torch", "torch", 1),
    ):
        os.environ[VARIABLE] = backend
        found[name] = trained(Pack(make, range(lanes)), x, backend, threads)
    lstm = SequenceModel(nn.LSTM(1, 16, batch_first=True), 1)
    return found | {"one nn.LSTM-16": trained(lstm, x, "native", 1)}


def measure(axis: str, values: list[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One point for each value, milliseconds by contender."""
    points: list[dict[str, Any]] = []
    for value in values:
        slow = {name for point in points for name, ms in point.items() if ms > PATIENCE}
        steps = {n: step for n, step in contenders(axis, value).items() if n not in slow}
        costs = interleaved(steps, seconds=1.0, rounds=5)
        points.append({"value": value} | {name: cost.wall for name, cost in costs.items()})
        say(f"{axis} {value}: " + ", ".join(f"{n} {c.wall:.3g} ms" for n, c in costs.items()))
    return points


def main() -> int:
    """Measure all axes, or those named on the command line; all are drawn and written."""
    wanted = sys.argv[1:] or list(AXES)
    torch.manual_seed(0)
    results = {
        axis: measure(axis, values, print) for axis, (_, values) in AXES.items() if axis in wanted
    }
    if list(results) != list(AXES):
        return 0
    write_record(HERE / "growth.json", sizes=SIZES, axes=results)
    draw("growth")
    return 0


if __name__ == "__main__":
    sys.exit(main())
