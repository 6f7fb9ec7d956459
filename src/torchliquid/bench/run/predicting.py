"""What a finished benchmark's models say of another table: read, scaled and run as in the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from torchliquid.bench.models.methods import METHODS
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.store import Store
from torchliquid.bench.tasks.task import Array, Task
from torchliquid.errors import TorchliquidError
from torchliquid.nn import load
from torchliquid.tables import CsvDialect, Recipe, Rows, Series, read_table

if TYPE_CHECKING:
    import pandas as pd

OF_ONE_SERIES = ("harmonics", "filter-6")
"""Methods that are fitted to the moments of a series, and know of no other."""


class _Given(NamedTuple):
    """A new table as the models see it.

    Args:
        rows: of each series.
        inputs: of each ``(N, C)``, scaled.
        gaps: time before each row in median gaps ``(N,)``; None: all are 1.
    """

    rows: list[Rows]
    inputs: list[Array]
    gaps: list[NDArray[np.float64] | None]


def predict_table(folder: Path | str, table: Any, model: str | None = None) -> pd.DataFrame:
    """Let a model of a finished benchmark of a table predict the rows of another table.

    Args:
        folder: the benchmark's results.
        table: a file or a DataFrame with the same columns; see `torchliquid.tables.read_table`.
        model: its name; None: the one with the lowest test error. Of a network the lane counts
            whose test error is the median.

    Returns:
        A row for each row of the table, as seen from as many rows before as the horizon has:
        ``series`` if there are several, ``time`` if there are dates, the prediction under the
        target's name, and the target itself under ``actual``. The first rows, and with them those
        before which nothing was seen, are left out; behind the last row ``actual`` and ``time``
        are missing.

    Raises:
        TorchliquidError: the folder holds no benchmark of a table, or not this model, or the table
            has other columns.
    """
    import pandas as pd

    store = Store.existing(Path(folder))
    task = store.load_task()
    if task.recipe is None or task.reading is None:
        raise TorchliquidError(
            f"{folder} holds no results of `bench csv`, or of before it kept how its table was "
            "read: run it again"
        )
    name = model or best_model(store)
    if name not in store.models():
        raise TorchliquidError(
            f"model is {name!r}: {folder} holds {', '.join(store.models())}: give one of these"
        )
    recipe = Recipe.from_json(task.recipe)
    series = _read(table, task.reading)
    rows = recipe.rows(series)
    given = _Given(rows, [recipe.inputs(one) for one in rows], [recipe.intervals(o) for o in rows])
    found = _predictions(store, task, name, given)
    frames = []
    for one, scaled in zip(rows, found, strict=True):
        mean, scale = (part[0] for part in recipe.scaling(one.label))
        columns: dict[str, Any] = {}
        if series.series is not None:
            columns["series"] = one.label
        if one.dates is not None:
            stamps = np.concatenate([one.dates[recipe.horizon :], [np.nan] * recipe.horizon])
            columns["time"] = pd.to_datetime(stamps[: len(scaled)], unit="s")
        actual = np.concatenate([one.values[recipe.horizon :, 0], [np.nan] * recipe.horizon])
        columns[recipe.columns[0]] = scaled.astype(np.float64) * scale + mean
        columns["actual"] = actual[: len(scaled)]
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def best_model(store: Store) -> str:
    """Return the model whose median test error is the lowest."""
    errors = {
        name: float(np.median(store.load(name).arrays["test_mse_carry"])) for name in store.models()
    }
    if not errors:
        raise TorchliquidError(f"{store.folder} holds no finished model: run the benchmark again")
    return min(errors, key=errors.__getitem__)


def _read(table: Any, reading: dict[str, Any]) -> Series:
    options: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in reading.items()}
    dialect = CsvDialect(**options.pop("dialect"))
    target, features = options.pop("target"), options.pop("features")
    return read_table(table, target, features, dialect=dialect, needs_target=False, **options)


def _predictions(store: Store, task: Task, name: str, given: _Given) -> list[Array]:
    """Scaled predictions of each series ``(N,)``."""
    (model,) = find([name])
    if name in METHODS:
        if name in OF_ONE_SERIES:
            raise TorchliquidError(
                f"{name} is fitted to the moments of one series, and knows nothing of another "
                "table: give another `model`"
            )
        forecast = METHODS[name][1](task)(_joined(task, given))
        rest = forecast.carry[0, task.steps :]
        return np.split(rest, np.cumsum([len(x) for x in given.inputs])[:-1])
    run = store.load(name)
    lane = int(run.facts["demo_lane"])
    network = load(store.model_folder(name) / f"lane-{lane:03d}")
    whole = _joined(task, given)
    seen = (whole.inputs if model.takes_dt else whole.timed_inputs())[0, task.steps :]
    scale = run.arrays.get("dt_scale")
    found, begin = [], 0
    for x, gaps in zip(given.inputs, given.gaps, strict=True):
        here = torch.from_numpy(np.ascontiguousarray(seen[begin : begin + len(x)]))[None]
        begin += len(x)
        options: dict[str, Any] = {}
        if gaps is not None and model.takes_dt:
            unit = (task.spec["dt"] or 1.0) * (1.0 if scale is None else float(scale[lane]))
            options["dt"] = torch.from_numpy((unit * gaps).astype(np.float32))[None]
        with torch.no_grad():
            said = network(here, **options)[0][0, :, 0].numpy()
        found.append(said if task.change is None else x[:, 0] + task.change * said)
    return found


def _joined(task: Task, given: _Given) -> Task:
    """The run's task, and behind its last step each new series as one more to test on."""
    counts = [len(x) for x in given.inputs]
    names = task.series_names or ("",)
    old = np.zeros(task.steps, np.int64) if task.series_id is None else task.series_id
    new = np.repeat(len(names) + np.arange(len(counts)), counts)
    dt = task.dt
    if isinstance(dt, np.ndarray):
        unit = task.spec["dt"] or 1.0
        gaps = [np.ones(n) if g is None else g for n, g in zip(counts, given.gaps, strict=True)]
        dt = np.concatenate([dt, unit * np.concatenate(gaps)]).astype(np.float32)
    missing = np.full((1, sum(counts)), np.nan, np.float32)
    return replace(
        task,
        inputs=np.concatenate([task.inputs, np.concatenate(given.inputs)[None]], axis=1),
        targets=np.concatenate([task.targets, missing], axis=1),
        dt=dt,
        times=None,
        observed=None,
        clean=None,
        series_id=np.concatenate([old, new]),
        series_names=(*names, *(f"new {k}" for k in range(len(counts)))),
    )
