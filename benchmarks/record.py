"""The record that a benchmark script leaves: facts, with when and on what they were measured."""

import importlib.util
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torchliquid.bench import environment


def today() -> str:
    """Return the date in UTC."""
    return datetime.now(UTC).date().isoformat()


def is_installed(package: str, what: str) -> bool:
    """Return whether a rival's package is installed; say what is left out where it is not."""
    if importlib.util.find_spec(package) is not None:
        return True
    print(f"{package} is not installed: {what} is left out")
    return False


def write_record(path: Path, **facts: Any) -> None:
    """Write facts as JSON, with the date, the environment and the load of the machine."""
    head = {
        "schema": 1,
        "date": today(),
        "environment": environment.environment_facts(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
    path.write_text(json.dumps(head | facts, indent=1) + "\n")
