"""What torchliquid runs on: versions, processor, threads and backend."""

import functools
import os
import platform
from pathlib import Path
from typing import Any

from torchliquid.git import git


def describe() -> dict[str, Any]:
    """Facts about this process and machine, JSON types."""
    import numpy as np
    import torch

    from torchliquid import __version__
    from torchliquid.kernels import backend

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
        "native": _native(),
    }


@functools.cache
def _commit() -> str | None:
    """The commit of the sources, "+" behind it if they were changed since; None if installed."""
    folder = Path(__file__).parent
    if folder.parent.name != "src":
        return None
    return git(folder, "describe", "--always", "--abbrev=12", "--dirty=+")


def _native() -> str:
    """The native kernels: which instruction set, or why there are none."""
    from torchliquid.kernels import library

    found, why = library.find()
    if found is None:
        return f"none: {why}"
    rest = ", ".join(isa for isa in found.isas if isa != found.isa)
    return f"{found.isa}, {_register_bits(found)} bits" + (
        f" (also compiled: {rest})" if rest else ""
    )


def _register_bits(found: Any) -> int:
    return 32 * int(found.width[4])


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
