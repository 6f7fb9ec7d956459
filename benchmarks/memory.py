"""Peak memory of a training step above its inputs, in a process of its own. Linux only.

Prints megabytes: ``python memory.py native`` or ``python memory.py reference``.
"""

import os
import sys
from pathlib import Path


def resident(field: str) -> float:
    """VmRSS (now) or VmHWM (the highest since it was reset), in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")


def main(backend: str) -> float:
    """Megabytes for L10000 B8 I8 H32, 6 unfolds."""
    os.environ["TORCHLIQUID_BACKEND"] = backend
    import torch

    from torchliquid import LTC

    torch.set_num_threads(1)
    layer = LTC(8, 32, unfolds=6, batch_first=True)
    zero = torch.zeros(())

    def step(x: torch.Tensor) -> None:
        y = layer(x)[0]
        torch.nn.functional.mse_loss(y, zero.expand_as(y)).backward()

    step(torch.randn(8, 10, 8))  # what is loaded once
    x = torch.randn(8, 10_000, 8)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step(x)
    return resident("VmHWM") - before


if __name__ == "__main__":
    print(main(sys.argv[1]))
