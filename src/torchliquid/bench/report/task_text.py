"""A task in words: for the page, and for `--show-task`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.bench.tasks.task import Task
from torchliquid.tables import Series

MOST_COLUMNS, FIRST_ROWS = 20, 3
"""Shown of a table."""


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
    task: Task,
    models: Sequence[str],
    protocol: Mapping[str, Any],
    folder: Path,
    seconds: float,
    series: Series | None = None,
) -> list[tuple[str, str]]:
    """What would happen, line by line.

    Args:
        task: what is predicted.
        models: by name.
        protocol: as the store keeps it.
        folder: for the results.
        seconds: how long training takes, about.
        series: the table that the task was made of, where there is one.
    """
    split = f"{task.steps:,}: {task.train:,} to train on, "
    split += f"{task.valid:,} to choose the epoch on, " if task.valid else ""
    kept = sorted(path.stem for path in (folder / "runs").glob("*.safetensors"))
    if task.is_articles:
        lines = list(article_words(task.spec).items())
    else:
        lines = _table_words(task) if "features" in task.spec else _generated_words(task)
    if series is not None:
        lines += _column_words(series)
    return [
        *lines,
        ("steps", f"{split}{task.test:,} to test on"),
        ("models", ", ".join(models)),
        ("training", _training_words(protocol)),
        ("takes", f"about {_roughly(seconds)} of training in one process"),
        ("results", f"{folder}" + (f", which holds {', '.join(kept)}" if kept else "")),
        *(("note", note) for note in task.notes),
    ]  # fmt: skip


def _training_words(protocol: Mapping[str, Any]) -> str:
    text = "{lanes} lanes, {epochs:,} epochs, seed {seed}".format(**protocol)
    rate = "Adam {learning_rate:g}".format(**protocol)
    if protocol["trials"] == 1:
        return f"{text}, {rate}"
    names = {"dt": "dt (models that take it)"}
    tuned = " and ".join(names.get(name, name.replace("_", " ")) for name in protocol["tuned"])
    rate_text = "" if "learning_rate" in protocol["tuned"] else f", {rate}"
    who = "each lane" if protocol["choice"] == "lane" else "each network"
    return (
        f"{text}{rate_text}; before, {who} tries {protocol['trials']} values of {tuned} on steps "
        "before the test part"
    )


def _roughly(seconds: float) -> str:
    """A time to one digit.

    >>> _roughly(0.2), _roughly(44.0), _roughly(320.0), _roughly(30_000.0)
    ('1 s', '40 s', '5 min', '8 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{float(f'{seconds / size:.1g}'):g} {unit}"
    return f"{float(f'{max(seconds, 1):.1g}'):g} s"


def _generated_words(task: Task) -> list[tuple[str, str]]:
    """A signal that a generator draws: what it is, when it is sampled, what is predicted."""
    spec = task.spec
    signal = "two or three sines of the article's kind plus noise, others in every lane"
    if spec["task"] == "attractor":
        signal = f"x of {spec['system']} plus noise of {spec['sigma']:g} standard deviations"
    elif "varying" in spec:
        signal += f"; their {spec['varying']} sways slowly"
    irregular = spec.get("sampling", "even") == "irregular"
    missing = f", {spec['missing']:.0%} of them missing" if "missing" in spec else ""
    ahead = "the value a mean interval later" if irregular else "the next noisy value"
    return [
        ("signal", signal),
        ("samples", f"at {'irregular' if irregular else 'even'} times{missing}"),
        ("prediction", f"{ahead} from the noisy current one"),
    ]


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
    if task.series_names:
        lengths = [len(line) for line in task.timelines()]
        lines.append(("series", f"{len(lengths)} identified by {spec['series']}, of {min(lengths)} "
                      f"to {max(lengths)} steps, split by {spec['split']}"))  # fmt: skip
    lines += time_words(task)
    lines.append(("targets", f"{missing:,} of {task.steps:,} are missing or at a border of parts"))
    return lines


def time_words(task: Task) -> list[tuple[str, str]]:
    """First and last time, and where each part begins; without times, that there are none."""
    if task.times is None:
        return [("time", "no column of time: rows count as evenly spaced")]
    first, last = (_moment(task, float(end(task.times))) for end in (np.min, np.max))
    spacing = "evenly spaced" if isinstance(task.dt, float) else "unevenly spaced"
    lines = [("time", f"{task.spec['time']}, targets from {first} to {last}, {spacing}")]
    if not task.series_names:
        parts = {"train": 0, "validation": task.train, "test": task.train + task.valid}
        starts = ", ".join(
            f"{name} from {_moment(task, float(task.times[start]))}"
            for name, start in parts.items()
            if name != "validation" or task.valid
        )
        lines.append(("split", starts))
    return lines


def gap_words(series: Series) -> list[tuple[str, str]]:
    """The gaps between rows, of series with times."""
    if series.times is None:
        return []
    gaps = np.diff(series.times)
    inside = gaps if series.series_id is None else gaps[np.diff(series.series_id) == 0]
    unit = f" {series.time_unit}" if series.time_unit else ""
    texts = f"{inside.min():g} to {inside.max():g}, median {np.median(inside):g}{unit}"
    return [("gaps", texts)]


def _column_words(series: Series) -> list[tuple[str, str]]:
    """What was read: each column, the gaps, and the first rows."""
    lines = []
    for name, values in list(zip(series.columns, series.values.T, strict=True))[:MOST_COLUMNS]:
        seen = values[~np.isnan(values)]
        missing = len(values) - len(seen)
        lines.append(
            ("column", f"{name}: {seen.min():g} to {seen.max():g}, median {np.median(seen):g}"
             + (f", {missing:,} missing" if missing else "")
             + (", known beforehand" if name in series.future else ""))
        )  # fmt: skip
    if len(series.columns) > MOST_COLUMNS:
        lines.append(("column", f"and {len(series.columns) - MOST_COLUMNS} more"))
    lines += gap_words(series)
    for row in range(min(FIRST_ROWS, len(series.values))):
        cells = ", ".join(
            "missing" if np.isnan(v) else f"{v:g}" for v in series.values[row, :MOST_COLUMNS]
        )
        lines.append((f"row {row + 1}", cells))
    return lines


def _moment(task: Task, time: float) -> str:
    if not task.dated:
        return f"{time:g}"
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
