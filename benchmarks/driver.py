"""What the driver of suites costs: many jobs that do next to nothing, each a file in a store.

    python benchmarks/driver.py [JOBS] [--processes N]

Prints seconds, memory and files, and the seconds that a resumed call needs to see that nothing is
left to do.
"""

import argparse
import functools
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from torchliquid.bench.run.store import Run, Store
from torchliquid.bench.suites.engine import Outcome, on_cores

LANES = 30


def write(folder: Path, name: str) -> Outcome:
    """A run without any training."""
    arrays = {"test_mse_carry": np.zeros(LANES), "test_mse_reset": np.zeros(LANES)}
    Store.of_worker(folder, {}).save(Run(name, {"kind": "classical"}, dict(arrays)))
    return Outcome("ok")


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int, nargs="?", default=20_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        store = Store(folder, {})
        jobs = {
            ("task", f"m-{k}"): functools.partial(write, folder, f"m-{k}")
            for k in range(options.jobs)
        }
        before, start = _memory(), time.perf_counter()
        ends = sum(end.status == "ok" for _, end in on_cores(jobs, options.processes))
        seconds = time.perf_counter() - start
        files = sum(1 for path in folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        start = time.perf_counter()
        left = sum(not store.has(key[1]) for key in jobs)
        again = time.perf_counter() - start
    print(f"{ends:,} of {options.jobs:,} jobs ok, {options.processes} processes")
    print(f"{seconds:.1f} s, {1000 * seconds / options.jobs:.2f} ms a job")
    print(f"{_memory() - before:.0f} MB more in this process")
    print(f"{files:,} files, {size / 1e6:.1f} MB")
    print(f"{again:.2f} s to see that {left} are left")


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
