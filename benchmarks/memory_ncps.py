"""Memory of a training step of the same model as ncps's, over long sequences.

    python benchmarks/memory_ncps.py [LENGTH]

The largest growth of the process's memory in one forward and backward pass, B 32, I 8, H 32, each
in a process of its own. ncps keeps every gate of every sub-step; here the gates are computed again
on the way back.
"""

import resource
import subprocess
import sys

CASES = ("LTC", "CfC")


def growth(kind: str, whose: str, length: int) -> float:
    """Megabytes, in this process."""
    import ncps.torch
    import torch

    import torchliquid as tl

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = getattr(ncps.torch, kind)(8, 32)
    if whose == "ours":
        layer = tl.from_ncps(layer)
    for steps in (2, length):  # what a first call loads is not counted
        x = torch.randn(32, steps, 8)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        layer(x)[0].square().mean().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Print a line for each model."""
    if len(sys.argv) == 4:
        print(growth(sys.argv[1], sys.argv[2], int(sys.argv[3])))
        return
    length = int(sys.argv[1]) if len(sys.argv) == 2 else 1000
    for kind in CASES:
        theirs, ours = (
            float(
                subprocess.run(
                    [sys.executable, __file__, kind, whose, str(length)],
                    check=True, capture_output=True, text=True,
                ).stdout
            )
            for whose in ("theirs", "ours")
        )  # fmt: skip
        times = theirs / ours
        print(f"{kind}, L {length}: ncps {theirs:,.0f} MB, here {ours:,.0f} MB, {times:.0f} times")


if __name__ == "__main__":
    main()
