"""What torchliquid runs on: versions, processor, threads and backend."""

import functools
import os
import platform
from pathlib import Path
from typing import Any

from torchliquid.bench.git import git


def environment_facts() -> dict[str, Any]:
    """Facts about this process and machine, JSON types."""
    import numpy as np
    import torch

    from torchliquid import __version__
    from torchliquid.kernels import backend, native_build

    return {
        "torchliquid": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "backend": backend(),
        "native": native_build(),
    }


@functools.cache
def _commit() -> str | None:
    """The commit of the sources, "+" behind it if they were changed since; None if installed."""
    folder = Path(__file__).parents[1]
    if folder.parent.name != "src":
        return None
    return git(folder, "describe", "--always", "--abbrev=12", "--dirty=+")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
