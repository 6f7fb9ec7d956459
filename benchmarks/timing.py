"""How contenders are timed: interleaved in one run, medians, one thread unless said."""

import gc
import statistics
import time
from collections.abc import Callable

Step = Callable[[], object]


def interleaved(contenders: dict[str, Step], seconds: float = 4.0) -> dict[str, float]:
    """Median milliseconds of a call of each contender.

    Contenders take turns in short rounds, so that a slow spell of the machine meets all of them.
    Each round lasts about as long for every contender, whatever one call costs.
    """
    for step in contenders.values():
        step()
        step()
    once = {name: _timed(step, 1)[0] for name, step in contenders.items()}
    rounds = 12
    share = seconds / rounds / len(contenders)
    calls = {name: max(1, min(200, round(share / cost))) for name, cost in once.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            gc.collect()
            step()  # back into the caches
            samples[name] += _timed(step, calls[name])
    return {name: 1e3 * statistics.median(times) for name, times in samples.items()}


def _timed(step: Step, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times
