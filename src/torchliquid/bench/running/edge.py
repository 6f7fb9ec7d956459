"""What the trained models of a benchmark cost on a microcontroller: exported, run, measured.

Each network's typical lane (its median test error) becomes C in single precision and in whole
numbers with weights of 8 bits. Both run over samples on an emulated core, where instructions, flash
and stack are counted, and over the whole series, where the test error is that of the exported model
itself: of the C in single precision, and of the golden model, which the C equals to the bit.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.bench.running.models import Model, find
from torchliquid.bench.running.store import Store, write_whole
from torchliquid.bench.tasks.task import Array, Task
from torchliquid.errors import TorchliquidError
from torchliquid.export import boards, describe, host, to_c
from torchliquid.export.samples import columns
from torchliquid.export.verify import opened, physical, vectors
from torchliquid.nn import load

CORE = "Cortex-M4F"
DTYPES = ("float32", "q8")
STEPS = 50
"""Run on the core."""


def measure(store: Store, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Measure every network of a store, and keep the result as ``edge.json`` beside its rows.

    Args:
        store: of a finished benchmark, with its trained models.
        say: hears what was left out, and why.

    Raises:
        TorchliquidError: tools are missing, or a trained model is.
    """
    board = boards.BOARDS[CORE]
    lacking = board.lacking()
    if lacking is None and not host.compilers():
        lacking = "gcc"
    if lacking is not None:
        raise TorchliquidError(
            f"{lacking} is not there: install the packages gcc, gcc-arm-none-eabi, "
            "libnewlib-arm-none-eabi and qemu-system-arm, or what they are called here"
        )
    task = store.load_task()
    if isinstance(task.dt, np.ndarray) or task.member is not None or task.last_only:
        raise TorchliquidError(
            "the task has irregular times, several series or sliding windows: exports are measured "
            "on one evenly sampled series"
        )
    rows: list[dict[str, Any]] = []
    for model in find(store.models()):
        if model.kind != "classical":
            lane = int(store.load(model.name).facts["demo_lane"])
            trained = load(store.model_folder(model.name) / f"lane-{lane:03d}")
            for dtype in DTYPES:
                try:
                    rows.append(_row(task, model, trained, lane, dtype))
                except TorchliquidError as error:
                    say(f"note: {model.name} as {dtype} is left out: {error}")
    flags = " ".join((*board.target, "-Os"))
    facts = {
        "schema": 1,
        "core": CORE,
        "compiler": boards.compiler_version(board.prefix),
        "flags": flags,
        "rows": rows,
    }
    write_whole(store.folder / "edge.json", (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def _row(task: Task, model: Model, trained: Any, lane: int, dtype: str) -> dict[str, Any]:
    seen = task.inputs if model.takes_dt else task.timed_inputs()
    inputs = seen[lane if len(seen) > 1 else 0]
    offset, scale = columns(describe(trained).scaling.inputs)
    given = (offset + scale * inputs).astype(np.float32)
    calibrate = given[: task.train] if dtype == "q8" else None
    with tempfile.TemporaryDirectory() as place:
        exported = opened(
            to_c(
                trained, Path(place) / "c", name="net", dtype=dtype, calibrate=calibrate,
                test=given,
            )
        )  # fmt: skip
        samples = vectors(exported)
        told = boards.run(boards.BOARDS[CORE], exported, samples.given[:STEPS], samples.dt[:STEPS])
        sizes = boards.sizes(boards.BOARDS[CORE], exported)
        if samples.counts is None:
            predictions = host.run(exported, samples.given, samples.dt)[:, 0]
        else:
            if not (told.outputs == samples.counts[:STEPS]).all():
                raise TorchliquidError("the core does not tell the golden model's outputs")
            predictions = physical(exported, samples.counts)[:, 0]
    return {
        "model": model.name,
        "kind": model.kind,
        "dtype": dtype,
        "lane": lane,
        "parameters": exported.facts["parameters"],
        "flash": sizes.linked,
        "instructions": round(told.instructions, 1),
        "stack": told.stack,
        "state": exported.facts["state"],
        "test_mse": _test_error(task, predictions, lane),
    }


def _test_error(task: Task, predictions: Array, lane: int) -> float:
    """Mean squared error over the test stretch, scaled like the task."""
    start = task.steps - task.test
    targets = task.targets[lane if len(task.targets) > 1 else 0, start:]
    scaled = (predictions[start:] - task.offset) / task.scale
    return float(np.nanmean((scaled - targets) ** 2))
