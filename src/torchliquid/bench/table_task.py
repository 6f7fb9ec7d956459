"""A table as a task: split in time order, scaled by the training part alone, missing values ruled.

Rows and steps. A series of N rows gives T = N - horizon steps. At step t a model sees row t and
predicts the target of row t + horizon.

Split. The first steps are for training, the next for validation, the rest for testing. A target
counts only if its own row lies in the same part as its step, so the last ``horizon`` targets of the
training part, and of the validation part, are NaN: no number of a later part is learnt or chosen
on.

Scaling. Mean and standard deviation of each column come from the values seen in the training rows.

Missing values. A missing input is the last value seen before it; before the first one, the training
mean. The models get no mark that a value is such a copy: one feature more for every column would
change the models' sizes, and the time since it was seen is best told by leaving out the row.
A missing target is NaN, and counts in no loss or error.

Gaps. Where rows are missing from an even grid (each gap is a whole number of median gaps), and at
most a tenth as many as there are, they are put in: their inputs are missing values, their targets
too. So a lost hour is an hour without values, and the horizon keeps its length in time.

Spacing. It is regular where no gap of the whole table is off the median training gap by a
fiftieth; then every step takes ``dt``. Else each step takes the gap before its row, in median
training gaps times ``dt`` (the first step, which has none, the median). The horizon counts rows,
whatever the gaps.
"""

import hashlib
import json
import math
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.task import Array, Task
from torchliquid.checks import count
from torchliquid.data.table import Numbers, Series
from torchliquid.errors import TorchliquidError

LEAST_TRAIN, LEAST_VALID, LEAST_TEST = 30, 10, 10
"""Targets that must be there in each part."""
LEAST_WINDOW = 8
FILLED = 0.1
"""Rows that may be put in where an even grid has gaps, as a share of those that are there."""
REGULAR = 0.02
"""Relative deviation from the median gap up to which spacing counts as regular.

Stamps once a minute that were rounded to the second are off by up to a sixtieth.
"""
SENTINEL = 0.01
"""Share of a column's rows from which one far value is worth a note."""
LONG_GAP = 1000
"""Gaps of so many medians are worth a note."""


def table_task(
    series: Series,
    *,
    horizon: int = 1,
    train: float = 0.6,
    valid: float = 0.2,
    window: int | None = 256,
    dt: float | None = None,
    predict: str = "change",
) -> Task:
    """Predict a column of a table some rows ahead, by the rules at the top of this module.

    Args:
        series: the numbers, the target's column first.
        horizon: how many rows ahead.
        train: fraction of the steps for training.
        valid: fraction of the steps for validation; 0: none, the last epoch counts.
        window: training sequences are at most this long; None: one sequence.
        dt: what liquid layers get as time between two rows one (median) gap apart; None: 1, to be
            tuned (see `torchliquid.bench.tuning`).
        predict: ``"change"``: models predict the change from the current value, in its training
            standard deviations, so that persistence is where they start; ``"level"``: the value.

    Returns:
        The task: inputs ``(1, T, C)``, targets ``(1, T)``.

    Raises:
        TorchliquidError: an argument out of its range, too few targets in a part, a target that is
            constant in the training part, a feature without any value there, or values too large
            to scale.

    >>> from torchliquid.data.sunspots import sunspots
    >>> task = table_task(sunspots())
    >>> task.inputs.shape, task.train, task.valid, task.test, task.dt
    ((1, 308, 1), 184, 62, 62, 1.0)
    """
    _check_arguments(horizon, train, valid, window, dt)
    if predict not in ("change", "level"):
        raise TorchliquidError(f"predict is {predict!r}: give 'change' or 'level'")
    window = None if window is None else int(window)  # JSON knows no NumPy integers
    given = series
    series, filled = _filled(series, train)
    steps = max(len(series.values) - horizon, 0)
    # The tiny addend: 0.6 + 0.2 of 10 steps is 8, whatever the last bit of the product.
    train_steps = math.floor(steps * train + 1e-9)
    valid_steps = math.floor(steps * (train + valid) + 1e-9) - train_steps if valid else 0
    targets = series.values[horizon:, 0].copy()
    for end in {train_steps, train_steps + valid_steps}:
        targets[max(end - horizon, 0) : end] = np.nan
    parts = np.split(targets, [train_steps, train_steps + valid_steps])
    _check_counts(series, parts, train, valid, horizon)

    mean, scale, constant = _learn_scaling(series, train_steps)
    unit = 1.0 if dt is None else float(dt)
    spacing, spacing_notes = _spacing(series, steps, train_steps, unit)
    inputs = _scaled(_carried_forward(series.values, mean), mean, scale, series)[None, :steps]
    scaled = _scaled(targets, mean[0], scale[0], series)[None]
    # never 0, though the target be a copy of the current value throughout the training part
    changes = float(np.nanstd((scaled - inputs[:, :, 0])[:, :train_steps])) or 1.0
    return Task(
        name=series.name,
        spec={
            "task": "table",
            "source": series.name,
            "sha256": _fingerprint(given),
            "target": series.columns[0],
            "features": list(series.columns[1:]),
            "time": series.time,
            "horizon": int(horizon),
            "train": float(train),
            "valid": float(valid),
            "window": window,
            "dt": None if dt is None else float(dt),
            "predict": predict,
        },
        inputs=inputs,
        targets=scaled,
        clean=None,
        dt=spacing,
        train=train_steps,
        valid=valid_steps,
        window=window,
        change=changes if predict == "change" else None,
        offset=float(mean[0]),
        scale=float(scale[0]),
        unit=series.columns[0],
        notes=(
            *series.notes,
            *_missing_notes(given),
            *filled,
            *_sentinels(given),
            *constant,
            *_still(parts[2]),
            *spacing_notes,
        ),
        times=_when(series, horizon),
        dated=series.dates is not None,
    )


def _filled(series: Series, train: float) -> tuple[Series, list[str]]:
    """The series with the rows that an even grid lacks, and a note on them."""
    times = series.times
    if times is None or len(times) < 3:
        return series, []
    gaps = np.diff(times)
    median = float(np.median(gaps[: max(2, math.floor(len(times) * train))]))
    steps = np.rint(gaps / median)
    lacking = int((steps - 1).sum())
    even = np.abs(gaps / median - steps).max() < REGULAR and steps.min() >= 1
    if not (even and 0 < lacking <= FILLED * len(times)):
        return series, []
    rows = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    every = np.arange(rows[-1] + 1)
    values = np.full((len(every), series.values.shape[1]), np.nan)
    values[rows] = series.values
    dates = None if series.dates is None else np.interp(every, rows, series.dates)
    longest = int(steps.argmax())
    note = (
        f"The rows are evenly spaced in {series.time or 'time'} but for {count(lacking, 'row')} "
        f"that {'is' if lacking == 1 else 'are'} missing ({count(int((steps > 1).sum()), 'gap')}, "
        f"the longest of {steps[longest] - 1:.0f} before data row {longest + 2}): they were put "
        "in, as rows without values."
    )
    return replace(series, values=values, times=np.interp(every, rows, times), dates=dates), [note]


def _still(test: Numbers) -> list[str]:
    """A note where the test part never changes."""
    seen = test[~np.isnan(test)]
    if seen.min() < seen.max():
        return []
    return [
        f"The target is constant ({seen[0]:g}) in the test part, as of a sensor that is stuck: "
        "repeating the last value is right there, and skill is not defined."
    ]


def _sentinels(series: Series) -> list[str]:
    """Notes on values that may stand for missing ones: an extreme, frequent, and far off."""
    notes = []
    for place, name in enumerate(series.columns):
        seen = series.values[:, place]
        seen = seen[~np.isnan(seen)]
        for extreme in {seen.min(), seen.max()} if len(seen) else ():
            others = seen[seen != extreme]
            share = 1 - len(others) / len(seen)
            if share < SENTINEL or len(others) < len(seen) / 2:
                continue
            low, high = np.quantile(others, [0.01, 0.99])
            if np.abs(others - extreme).min() > high - low > 0:
                notes.append(
                    f"{name} is {extreme:g} in {100 * share:.1f} % of the rows, further from all "
                    "other values than these lie apart: if it stands for a missing value, give "
                    f"--missing {extreme:g}."
                )
    return notes


def _when(series: Series, horizon: int) -> Numbers | None:
    """The time of each step's target, for axes."""
    times = series.times if series.dates is None else series.dates
    return None if times is None else times[horizon:].astype(np.float64)


def _check_arguments(
    horizon: int, train: float, valid: float, window: int | None, dt: float | None
) -> None:
    if not (isinstance(horizon, Integral) and horizon >= 1):
        raise TorchliquidError(
            f"horizon is {horizon}: give a whole number of rows to look ahead, at least 1"
        )
    if not (train > 0 and valid >= 0 and train + valid < 1):
        raise TorchliquidError(
            f"train is {train} and valid is {valid}: give fractions, train above 0, valid at least "
            "0, their sum below 1 so that steps are left for testing"
        )
    if not (window is None or (isinstance(window, Integral) and window >= LEAST_WINDOW)):
        raise TorchliquidError(
            f"window is {window}: give a whole number of steps, at least {LEAST_WINDOW}, or None "
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


def _learn_scaling(series: Series, train: int) -> tuple[Numbers, Numbers, list[str]]:
    """Mean and scale of each column in the training rows, and notes on constant features."""
    mean, scale, notes = np.zeros(len(series.columns)), np.ones(len(series.columns)), []
    for place, name in enumerate(series.columns):
        seen = series.values[:train, place]
        seen = seen[~np.isnan(seen)]
        if not len(seen):
            raise TorchliquidError(
                f"feature {name!r} has no value in the training part (the first {train} rows): "
                "leave it out, or give train a larger fraction"
            )
        if seen.min() < seen.max():
            with np.errstate(over="ignore", invalid="ignore"):
                mean[place], scale[place] = seen.mean(), seen.std()
            continue
        mean[place] = seen[0]
        if place == 0:
            raise TorchliquidError(
                f"target {name!r} is constant ({seen[0]:g}) in the training part (the first {train}"
                " rows): nothing to learn; choose another target or a larger fraction for train"
            )
        notes.append(
            f"Feature {name!r} is constant ({seen[0]:g}) in the training part: it is shifted to 0 "
            "there, not scaled."
        )
    return mean, scale, notes


def _scaled(values: Numbers, mean: Any, scale: Any, series: Series) -> Array:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scaled: Array = ((values - mean) / scale).astype(np.float32)
    if np.isinf(scaled).any() or not np.all(np.isfinite(mean) & np.isfinite(scale) & (scale > 0)):
        largest = float(np.nanmax(np.abs(series.values)))
        raise TorchliquidError(
            f"{series.name} holds numbers too far apart to scale (up to {largest:g}): leave cells "
            "empty where such a number stands for a missing value, or give another unit"
        )
    return scaled


def _carried_forward(values: Numbers, mean: Numbers) -> Numbers:
    """Values with each missing one replaced by the last seen before it, or else by the mean."""
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), mean)


def _missing_notes(series: Series) -> list[str]:
    counts = np.isnan(series.values).sum(axis=0)
    listed = ", ".join(
        f"{name} in {count}" for name, count in zip(series.columns, counts, strict=True) if count
    )
    if not listed:
        return []
    return [
        f"Of {len(series.values)} rows, values are missing for {listed}. A missing input is the "
        "last value seen before it (before the first one: the training mean); the models get no "
        "mark that it is a copy. A missing target counts in no loss or error."
    ]


def _spacing(series: Series, steps: int, train: int, dt: float) -> tuple[float | Array, list[str]]:
    """The time before each step in units of dt, and what to say about it."""
    if series.times is None:
        return dt, []
    gaps = np.diff(series.times)
    median = float(np.median(gaps[: train - 1]))
    relative = gaps / median
    if np.abs(relative - 1).max() < REGULAR:
        return dt, []
    unit = f" {series.time_unit}" if series.time_unit else ""
    notes = [
        f"The rows are not evenly spaced in {series.time or 'time'}: the gaps go from "
        f"{gaps.min():.6g} to {gaps.max():.6g}{unit}, median {median:.6g} in the training part. "
        "Liquid models get each gap as dt, in median gaps; the other models get it as one more "
        "feature. The horizon counts rows, whatever the gaps."
    ]
    longest = int(relative.argmax())
    if relative[longest] > LONG_GAP:
        notes.append(
            f"The longest gap, {relative[longest]:.6g} times the median, lies before data row "
            f"{longest + 2}: if the rows around it have little to do with each other, give them as "
            "two tables."
        )
    before: NDArray[np.float64] = np.concatenate([[1.0], relative[: steps - 1]])
    return (dt * before).astype(np.float32), notes


def _fingerprint(series: Series) -> str:
    """A hash of all numbers and names; the bits that a NaN carries do not matter."""
    digest = hashlib.sha256(
        json.dumps([series.columns, series.time, series.time_unit, series.values.shape]).encode()
    )
    for array in (series.values, series.times):
        if array is not None:
            digest.update(np.where(np.isnan(array), np.nan, array).astype("<f8").tobytes())
    return digest.hexdigest()
