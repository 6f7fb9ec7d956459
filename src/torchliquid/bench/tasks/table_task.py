"""A table as a task: split in time order, scaled by the training part alone, missing values ruled.

How rows become scaled inputs is the recipe's to say (`torchliquid.tables.Recipe`).

Rows and steps. A series of N rows gives T = N - horizon steps. At step t a model sees row t and
predicts the target of row t + horizon.

Split. The first steps are for training, the next for validation, the rest for testing. A target
counts only if its own row lies in the same part as its step, so the last ``horizon`` targets of the
training part, and of the validation part, are NaN: no value of a later part is learnt or chosen
on. A missing target is NaN too, and counts in no loss or error.

Several series. Each is cut into its steps by itself; split in time, each has all three parts.
With ``split="series"`` whole series are drawn for each part, so that the test asks about series
that no model has met. The median gap is that of all training rows together, and so are mean and
scale, unless targets are of unlike size: then each series has its own, and errors count in it.
"""

import hashlib
import json
import math
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.task import Array, Task
from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables import (
    Recipe,
    Rows,
    Series,
    check_scale,
    copies_notes,
    learn,
    missing_notes,
    open_rows,
    sentinel_notes,
    still_note,
    wild_notes,
)

Numbers = NDArray[np.float64]

LEAST_TRAIN, LEAST_VALID, LEAST_TEST = 30, 10, 10
"""Targets that must be there in each part."""
LEAST_WINDOW = 8
SPLITS = ("time", "series")


def table_task(
    series: Series,
    *,
    horizon: int | str = 1,
    train: float = 0.6,
    valid: float = 0.2,
    window: int | None = 256,
    dt: float | None = None,
    predict: str = "change",
    split: str = "time",
    scale: str = "auto",
) -> Task:
    """Predict a column of a table some rows ahead, by the rules at the top of this module.

    Args:
        series: the numbers, the target's column first.
        horizon: how many rows ahead; or, of evenly spaced dates, how far, such as ``"6h"``.
        train: fraction of the steps for training.
        valid: fraction of the steps for validation; 0: none, the last epoch counts.
        window: training sequences are at most this long; None: one sequence.
        dt: what liquid layers get as time between two rows one (median) gap apart; None: 1, to be
            tuned (see `torchliquid.bench.run.tuning`).
        predict: ``"change"``: models predict the change from the current value, in its training
            standard deviations, so that persistence is where they start; ``"level"``: the value.
        split: of several series: ``"time"``: each is split in time; ``"series"``: whole series are
            drawn to train on, to validate and to test, by the same shares.
        scale: of several series: ``"series"``: each is scaled by its own training rows, and errors
            are in its own deviations; ``"all"``: by those of all; ``"auto"``: by its own where
            targets are of unlike size (one ten times another) and the split is in time.

    Returns:
        The task: inputs ``(1, T, C)``, targets ``(1, T)``.

    Raises:
        TorchliquidError: an argument out of its range, too few targets in a part, a target that is
            constant in the training part, a feature without any value there, or values too large
            to scale.

    >>> from torchliquid.bench.tasks.sunspots import sunspots
    >>> task = table_task(sunspots())
    >>> task.inputs.shape, task.train, task.valid, task.test, task.dt
    ((1, 308, 1), 184, 62, 62, 1.0)
    """
    _check_arguments(train, valid, window, dt)
    if predict not in ("change", "level"):
        raise TorchliquidError(f"predict is {predict!r}: give 'change' or 'level'")
    if split not in SPLITS:
        raise TorchliquidError(f"split is {split!r}: give 'time' or 'series'")
    check_scale(scale, split)
    window = None if window is None else int(window)  # JSON knows no NumPy integers
    rows, horizon, fills, filled_notes = open_rows(series, horizon, train)
    # a step needs the row that it predicts: the last rows of each series have no step
    lengths = [max(len(one.values) - horizon, 0) for one in rows]
    if split == "time":
        parts = [_parts_in_time(steps, train, valid) for steps in lengths]
    else:
        parts = _parts_by_series(lengths, train, valid)
    several = series.series_id is not None
    targets = [_targets(one, part, horizon) for one, part in zip(rows, parts, strict=True)]
    # Steps are ordered by part, in each one series after another, so that every slice by part is a
    # slice of arrays; `Task.timelines` gives each series in time order again.
    every_part = np.concatenate(parts)
    order = np.argsort(every_part, kind="stable")
    in_train, in_valid, _ = sizes = [int((every_part == k).sum()) for k in range(3)]
    target = np.concatenate(targets)[order]
    _check_counts(series, np.split(target, np.cumsum(sizes)[:-1]), train, valid, horizon)

    # what is learnt of the table, mean and scale and gap, is learnt on training steps alone
    training = [part == 0 for part in parts]
    by = "all" if split == "series" else scale
    recipe, scale_notes, gap_notes = learn(series, rows, training, horizon, fills=fills, scale=by)
    seen = [one.first(n) for one, n in zip(recipe.moved(rows), lengths, strict=True)]
    inputs = np.concatenate([recipe.inputs(one) for one in seen])[order][None]
    each = [recipe.scaled(t, 0, one.label) for t, one in zip(targets, rows, strict=True)]
    scaled = np.concatenate(each)[order][None]
    # never 0, though the target be a copy of the current value throughout the training part
    changes = float(np.nanstd((scaled - inputs[:, :, 0])[:, :in_train])) or 1.0
    unit = 1.0 if dt is None else float(dt)
    before: float | Array = unit
    if not recipe.even:
        gaps = [gap for one in seen if (gap := recipe.intervals(one)) is not None]
        before = (unit * np.concatenate(gaps)[order]).astype(np.float32)
    return Task(
        name=series.name,
        spec={
            "task": "table",
            "source": series.name,
            "sha256": _fingerprint(series),
            "target": series.columns[0],
            "features": list(series.columns[1:]),
            "time": series.time,
            "horizon": int(horizon),
            "train": float(train),
            "valid": float(valid),
            "window": window,
            "dt": None if dt is None else float(dt),
            "predict": predict,
        }
        | ({"series": series.series, "split": split} if several else {})
        | ({} if recipe.own is None else {"scale": "series"})
        | ({"future": list(series.future)} if series.future else {}),
        inputs=inputs,
        targets=scaled,
        clean=None,
        dt=before,
        train=in_train,
        valid=in_valid,
        window=window,
        change=changes if predict == "change" else None,
        **_units(recipe),
        recipe=recipe.to_json(),
        notes=(
            *series.notes,
            *missing_notes(series),
            *filled_notes,
            *sentinel_notes(series),
            *scale_notes,
            *wild_notes(series),
            *copies_notes(series, horizon),
            *still_note(target[in_train + in_valid :]),
            *gap_notes,
            *_series_notes(rows, parts, split, own=recipe.own is not None),
        ),
        times=_when(rows, horizon, order),
        dated=series.dates is not None,
        series_id=None
        if series.series_id is None
        else np.repeat(np.arange(len(rows)), lengths)[order],
        series_names=series.series_names,
    )


def _units(recipe: Recipe) -> dict[str, Any]:
    """What scaled values are in the table's unit, for `Task`; where each series has its own, none.

    Then the unit of errors is a deviation of the series.
    """
    if recipe.own is not None:
        return {
            "unit": f"{recipe.columns[0]} in deviations of its series",
            "columns": tuple((name, 0.0, 1.0) for name in recipe.columns),
        }
    return {
        "offset": recipe.mean[0],
        "scale": recipe.scale[0],
        "unit": recipe.columns[0],
        "columns": tuple(zip(recipe.columns, recipe.mean, recipe.scale, strict=True)),
    }


def _parts_in_time(steps: int, train: float, valid: float) -> NDArray[np.int8]:
    """Of each step of a series: 0 to train on, 1 to validate, 2 to test."""
    # The tiny addend: 0.6 + 0.2 of 10 steps is 8, whatever the last bit of the product.
    first = math.floor(steps * train + 1e-9)
    second = math.floor(steps * (train + valid) + 1e-9) if valid else first
    return (np.arange(steps) >= first).astype(np.int8) + (np.arange(steps) >= second)


def _parts_by_series(lengths: list[int], train: float, valid: float) -> list[NDArray[np.int8]]:
    """Whole series drawn for each part, always the same ones."""
    count = len(lengths)
    needed = 3 if valid else 2
    if count < needed:
        raise TorchliquidError(
            f"`split=series` needs at least {needed} series, some to train on"
            + (", some to validate" if valid else "")
            + f" and some to test: there are {count}. Give `split=time`, which cuts each in time"
        )
    of_each = np.sort(_parts_in_time(count, train, valid))
    drawn = np.random.default_rng(0).permutation(count)
    parts: list[NDArray[np.int8]] = [np.zeros(0, dtype=np.int8)] * count
    for position, k in enumerate(drawn):
        parts[k] = np.full(lengths[k], of_each[position], dtype=np.int8)
    return parts


def _targets(rows: Rows, part: NDArray[np.int8], horizon: int) -> Numbers:
    """The target's value some rows on, where that row is in the same part as the step."""
    targets = rows.values[horizon:, 0].copy()
    for end in np.flatnonzero(np.diff(part)) + 1:
        targets[max(end - horizon, 0) : end] = np.nan
    return targets


def _series_notes(
    rows: list[Rows], parts: list[NDArray[np.int8]], split: str, *, own: bool
) -> list[str]:
    """How many series there are, and where they went."""
    if len(rows) == 1:
        return []
    lengths = [len(part) for part in parts]
    note = (
        f"{plural(len(rows), 'series').removesuffix('s')} of {min(lengths):,} to {max(lengths):,} "
        "steps: no state, window or lag runs from one into another"
        + ("." if own else "; all are scaled alike.")
    )
    if split == "series":
        of = [sum(bool(len(p)) and p[0] == k for p in parts) for k in range(3)]
        note += f" {of[0]} of them are to train on, {of[1]} to validate, {of[2]} to test, drawn "
        note += "once and for all."
    short = sum(not n for n in lengths)
    if short:
        note += f" {short} have no row as far on as the horizon, and so no step."
    return [note]


def _when(rows: list[Rows], horizon: int, order: NDArray[np.int64]) -> Numbers | None:
    """The time of each step's target, for axes."""
    times = [one.times if one.dates is None else one.dates for one in rows]
    if any(moments is None for moments in times):
        return None
    each = [moments[horizon:] for moments in times if moments is not None]
    return np.concatenate(each)[order].astype(np.float64)


def _check_arguments(train: float, valid: float, window: int | None, dt: float | None) -> None:
    if not (train > 0 and valid >= 0 and train + valid < 1):
        raise TorchliquidError(
            f"train is {train} and valid is {valid}: give fractions, train above 0, valid at least "
            "0, their sum below 1 so that steps are left for testing"
        )
    if not (window is None or (isinstance(window, Integral) and window >= LEAST_WINDOW)):
        raise TorchliquidError(
            f"window is {window}: give an integer of steps, at least {LEAST_WINDOW}, or None "
            "for one sequence"
        )
    if dt is not None and not (dt > 0 and math.isfinite(dt)):
        raise TorchliquidError(f"dt is {dt}: give a positive, finite number")


def _check_counts(
    series: Series, parts: list[Numbers], train: float, valid: float, horizon: int
) -> None:
    counts = [int(np.isfinite(part).sum()) for part in parts]
    if np.all(np.array(counts) >= [LEAST_TRAIN, LEAST_VALID if valid else 0, LEAST_TEST]):
        return
    validation = f"{counts[1]} to validate ({LEAST_VALID} needed), " if valid else ""
    nearer = f"a horizon below {horizon}, " if horizon > 1 else ""
    raise TorchliquidError(
        f"{series.name} has {len(series.values)} rows, which leave {counts[0]} targets to train "
        f"({LEAST_TRAIN} needed), {validation}{counts[2]} to test ({LEAST_TEST} needed): give a "
        f"table with more rows or fewer missing targets, {nearer}or fractions other than train "
        f"{train:g} and valid {valid:g}"
    )


def _fingerprint(series: Series) -> str:
    """A hash of all numbers and names; the bits that a NaN carries do not matter."""
    digest = hashlib.sha256(
        json.dumps([series.columns, series.time, series.time_unit, series.values.shape]).encode()
    )
    for array in (series.values, series.times, series.series_id):
        if array is not None:
            digest.update(np.where(np.isnan(array), np.nan, array).astype("<f8").tobytes())
    return digest.hexdigest()
