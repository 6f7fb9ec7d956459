"""How contenders are timed: interleaved in one run, medians, one thread unless said."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Step = Callable[[], object]


class Cost(NamedTuple):
    """Median milliseconds of a call: by the clock, and of this thread's processor time."""

    wall: float
    cpu: float


def interleaved(
    contenders: dict[str, Step], seconds: float = 4.0, rounds: int = 12
) -> dict[str, Cost]:
    """What a call of each contender costs.

    Contenders take turns in short rounds, so that a slow spell of the machine meets all of them.
    Each round lasts about as long for every contender, whatever one call costs.
    """
    for step in contenders.values():
        step()
        step()
    once = {name: _timed(step, 1, 1)[0].wall for name, step in contenders.items()}
    share = 1e3 * seconds / rounds / len(contenders)
    calls = {name: max(1, min(200, round(share / cost))) for name, cost in once.items()}
    at_once = {name: max(1, round(LEAST / cost)) for name, cost in once.items()}
    samples: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            gc.collect()
            step()  # back into the caches
            samples[name] += _timed(step, calls[name], at_once[name])
    return {
        name: Cost(*map(statistics.median, zip(*t, strict=True))) for name, t in samples.items()
    }


LEAST = 0.2
"""Milliseconds that are timed at once: reading two clocks takes a third of a microsecond."""


def _timed(step: Step, samples: int, at_once: int) -> list[Cost]:
    costs = []
    for _ in range(samples):
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(at_once):
            step()
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        costs.append(Cost(1e3 * wall / at_once, 1e3 * cpu / at_once))
    return costs
