"""`python benchmarks/from_ncps.py`: `NCP` against the LTC of ncps that it was made of.

A training step, forward and backward, in one thread: milliseconds of that thread's CPU, contenders
interleaved, medians of nine; `nn.LSTM` of as many neurons beside them. Writes from_ncps.json.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ncps import wirings
from ncps.torch import LTC
from record import write_record

from torchliquid.nn import NCP

ROUNDS = 9
CASES: dict[str, tuple[int, int, int, Any]] = {
    "full wiring, B 32, L 32, I 8, H 32": (32, 32, 8, lambda: wirings.FullyConnected(32)),
    "AutoNCP(32, 4), B 32, L 32, I 8": (32, 32, 8, lambda: wirings.AutoNCP(32, 4)),
    "full wiring, B 1, L 200, I 1, H 8": (1, 200, 1, lambda: wirings.FullyConnected(8)),
}


def training_step(model: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Return a step without its optimiser."""

    def step() -> None:
        model(x)[0].square().mean().backward()
        model.zero_grad()

    return step


def measured(batch: int, steps: int, inputs: int, wiring: Any) -> dict[str, float]:
    """Milliseconds of each contender."""
    theirs = LTC(inputs, wiring)
    x = torch.rand(batch, steps, inputs)
    models = {
        "ncps": theirs,
        "NCP": NCP.from_ncps(theirs),
        "nn.LSTM": torch.nn.LSTM(inputs, wiring.units, batch_first=True),
    }
    every = {name: training_step(model, x) for name, model in models.items()}
    taken: dict[str, list[float]] = {name: [] for name in every}
    for round_ in range(ROUNDS + 1):
        for name, step in every.items():
            start = time.thread_time()
            step()
            if round_:  # the first one warms up
                taken[name].append(1e3 * (time.thread_time() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Print the table, and write it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| case | ncps, ms | NCP, ms | times faster | nn.LSTM, ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    rows = {}
    for name, (batch, steps, inputs, wiring) in CASES.items():
        row = rows[name] = measured(batch, steps, inputs, wiring())
        times = row["ncps"] / row["NCP"]
        print(f"| {name} | {row['ncps']:.1f} | {row['NCP']:.2f} | {times:.0f} | "
              f"{row['nn.LSTM']:.2f} |", flush=True)  # fmt: skip
    write_record(Path(__file__).with_suffix(".json"), milliseconds=rows)


if __name__ == "__main__":
    main()
