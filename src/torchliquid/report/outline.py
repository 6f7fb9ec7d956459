"""A task in words: for the page, and for `--show-task`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.bench.task import Task


def article_words(spec: dict[str, Any]) -> dict[str, str]:
    """The article's task: signal, noise, time and what is predicted."""
    sines = " + ".join(
        f"{amplitude:g} sin {'' if frequency == 1 else f'{frequency:g} '}t"
        for amplitude, frequency in spec["sines"]
    )
    window = spec.get("window")
    return {
        "signal": sines,
        "noise": f"Gaussian, sigma {spec['sigma']:g} (variance {spec['sigma'] ** 2:g})",
        "time": f"t from 0 to {spec['span']:g} in {spec['steps']} steps",
        "prediction": "the next noisy value from the noisy current one"
        + (f", from the last state of a window of {window} steps" if window else ""),
    }


def outline(
    task: Task, models: Sequence[str], protocol: Mapping[str, Any], folder: Path
) -> list[tuple[str, str]]:
    """What would happen, line by line; ``protocol`` as the store keeps it."""
    split = f"{task.steps:,}: {task.train:,} to train on, "
    split += f"{task.valid:,} to choose the epoch on, " if task.valid else ""
    kept = sorted(path.stem for path in (folder / "runs").glob("*.safetensors"))
    own = list(article_words(task.spec).items()) if task.is_articles else _table_words(task)
    return [
        *own,
        ("steps", f"{split}{task.test:,} to test on"),
        ("models", ", ".join(models)),
        ("training", _training_words(protocol)),
        ("results", f"{folder}" + (f", which holds {', '.join(kept)}" if kept else "")),
        *(("note", note) for note in task.notes),
    ]  # fmt: skip


def _training_words(protocol: Mapping[str, Any]) -> str:
    words = "{lanes} lanes, {epochs:,} epochs, seed {seed}".format(**protocol)
    rate = "Adam {learning_rate:g}".format(**protocol)
    if protocol["trials"] == 1:
        return f"{words}, {rate}"
    names = {"learning_rate": "learning rate", "dt": "dt (liquid models)"}
    tuned = " and ".join(names[name] for name in protocol["tuned"])
    given = "" if "learning_rate" in protocol["tuned"] else f", {rate}"
    return (
        f"{words}{given}; before, each network tries {protocol['trials']} values of {tuned} on the "
        "validation part"
    )


def _table_words(task: Task) -> list[tuple[str, str]]:
    spec = task.spec
    features = ", ".join(spec["features"]) or "none"
    ahead = spec["horizon"]
    missing = int(np.isnan(task.targets).sum())
    lines = [
        ("table", f"{spec['source']}"),
        ("target", f"{spec['target']}, {ahead} row{'s' * (ahead > 1)} ahead; features: {features}"),
        ("prediction", {"change": "the change from the current value"}.get(spec["predict"],
                                                                        "the value itself")),
    ]  # fmt: skip
    if task.labels:
        lengths = [len(line) for line in task.timelines()]
        lines.append(("series", f"{len(lengths)} told apart by {spec['series']}, of {min(lengths)} "
                      f"to {max(lengths)} steps, split by {spec['split']}"))  # fmt: skip
    if task.times is not None:
        first, last = (_moment(task, float(end(task.times))) for end in (np.min, np.max))
        spacing = "evenly spaced" if isinstance(task.dt, float) else "unevenly spaced"
        lines.append(("time", f"{spec['time']}, targets from {first} to {last}, {spacing}"))
    else:
        lines.append(("time", "no column of time: rows count as evenly spaced"))
    lines.append(("targets", f"{missing:,} of {task.steps:,} are missing or at a border of parts"))
    return lines


def _moment(task: Task, time: float) -> str:
    if not task.dated:
        return f"{time:g}"
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
