"""What the trained models of a benchmark cost on a microcontroller: exported, run, measured.

Each network's typical lane (its median test error) becomes C in single precision and in integers
with weights of 8 bits. Both run over samples on an emulated core, where instructions, flash and
stack are counted, and over the whole series, where the test error is that of the exported model
itself: of the C in single precision, and of the reference model, which the C equals to the bit.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.models.registry import Model, find
from torchliquid.bench.run.store import Store, write_file
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.export import Measurement, check_tools, describe, to_c
from torchliquid.export import measure as export_measure
from torchliquid.nn import load

CORE = "Cortex-M4F"
DTYPES = ("float32", "q8")
STEPS = 50
"""Run on the core."""


def measure(store: Store, notify: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Measure every network of a store, and keep the result as ``edge.json`` beside its rows.

    Args:
        store: of a finished benchmark, with its trained models.
        notify: hears what was left out, and why.

    Raises:
        TorchliquidError: tools are missing, or a trained model is.
    """
    check_tools(CORE)
    task = store.load_task()
    if isinstance(task.dt, np.ndarray) or task.series_id is not None or task.last_only:
        raise TorchliquidError(
            "the task has irregular times, several series or sliding windows: exports are measured "
            "on one evenly sampled series"
        )
    rows: list[dict[str, Any]] = []
    measured: list[Measurement] = []
    for model in find(store.models()):
        if model.kind != "classical":
            lane = int(store.load(model.name).facts["demo_lane"])
            trained = load(store.model_folder(model.name) / f"lane-{lane:03d}")
            for dtype in DTYPES:
                try:
                    cost = _measured(task, model, trained, lane, dtype)
                except TorchliquidError as error:
                    notify(f"note: {model.name} as {dtype} is left out: {error}")
                    continue
                measured.append(cost)
                rows.append(_row(task, model, lane, dtype, cost))
    facts = {
        "schema": 1,
        "core": CORE,
        "compiler": measured[0].compiler if measured else "",
        "flags": measured[0].flags if measured else "",
        "rows": rows,
    }
    write_file(store.folder / "edge.json", (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def _measured(task: Task, model: Model, trained: Any, lane: int, dtype: str) -> Measurement:
    seen = task.inputs if model.takes_dt else task.timed_inputs()
    inputs = seen[lane if len(seen) > 1 else 0]
    columns = describe(trained).scaling.inputs
    offset, scale = np.array([c.offset for c in columns]), np.array([c.scale for c in columns])
    physical = (offset + scale * inputs).astype(np.float32)
    calibrate = physical[: task.train] if dtype == "q8" else None
    with tempfile.TemporaryDirectory() as folder:
        exported = to_c(
            trained, Path(folder) / "c", name="net", dtype=dtype, calibrate=calibrate, test=physical
        )
        return export_measure(exported, CORE, STEPS)


def _row(task: Task, model: Model, lane: int, dtype: str, cost: Measurement) -> dict[str, Any]:
    return {
        "model": model.name,
        "kind": model.kind,
        "dtype": dtype,
        "lane": lane,
        "parameters": cost.parameters,
        "flash": cost.flash,
        "instructions": round(cost.instructions, 1),
        "stack": cost.stack,
        "state": cost.state,
        "test_mse": _test_error(task, cost.outputs[:, 0], lane),
    }


def _test_error(task: Task, predictions: NDArray[Any], lane: int) -> float:
    """Mean squared error over the test stretch, scaled like the task."""
    start = task.steps - task.test
    targets = task.targets[lane if len(task.targets) > 1 else 0, start:]
    scaled = (predictions[start:] - task.offset) / task.scale
    return float(np.nanmean((scaled - targets) ** 2))
