"""How a forecast is chosen: simple ones, a regression, both; judged on rows that none has seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.forecast._history import TRAINED, VALIDATED, History, Seasons, Values
from torchliquid.forecast._intervals import LEAST_STRETCHES, Intervals, by_target
from torchliquid.forecast._ridge_plus import Inputs, RidgePlus, Steps, fit_ridge_plus
from torchliquid.tables import Grid

MODELS = ("auto", "ridge", "seasonal", "last")
LEAST_TRAIN, LEAST_VALID = 30, 10
LOWER, WORSE = 0.99, 1.01
"""A rival counts if its validation error is below this share; updates stop above the other."""
MOST_SOLVES = 100
LEAST_OWN = 30
"""Errors of a series from which its intervals rest on them alone."""
MOST_FOLLOWED = 20_000
"""Rows of each series on which coverage is counted, the last ones."""


class Parts(NamedTuple):
    """Steps of a series from which to forecast: to train, validate and test on; and all."""

    train: Steps
    valid: Steps
    test: Steps
    every: Steps

    @property
    def judged(self) -> tuple[Steps, Steps]:
        """Those to validate and those to test on."""
        return self.valid, self.test


@dataclass
class Chosen:
    """A forecast in use.

    Args:
        ridge: the regression; None: the simple forecast alone.
        period: of the simple forecast; 0: the last value. None: the regression alone.
        streamed: whether the regression goes on learning.
    """

    ridge: RidgePlus | None
    period: int | None
    streamed: bool

    @property
    def name(self) -> str:
        """What the comparison calls it."""
        simple = None if self.period is None else simple_name(self.period)
        if self.ridge is None:
            return str(simple)
        ridge = "ridge, updated" if self.streamed else "ridge"
        return ridge if simple is None else f"mean of {ridge} and {simple}"


class Row(NamedTuple):
    """A line of the comparison: root mean squared errors over all horizons, in deviations."""

    model: str
    valid: float
    test: float
    note: str = ""


@dataclass
class Fitted:
    """What `choose` returns.

    Args:
        chosen: the forecast, fitted on all rows.
        inputs: what its features are.
        rows: of the comparison.
        intervals: of each series.
        coverage: share of test errors within the intervals of each level ``(L,)``; NaN: unknown.
        enough: whether the validation part of each series holds stretches enough for intervals.
        sentence: the outcome in words.
    """

    chosen: Chosen
    inputs: Inputs
    rows: list[Row]
    intervals: list[Intervals]
    coverage: Values
    enough: bool
    sentence: str


def simple_name(period: int) -> str:
    """Return what a simple forecast is called."""
    return "last value" if period == 0 else f"value {period} rows before"


def parts_of(history: History, inputs: Inputs) -> Parts:
    """Return the steps of a series: 60 % to train on, 20 % to validate, 20 % to test.

    The targets of a step lie in its own part; steps with few targets are left out.
    """
    rows, horizon = len(history.y), inputs.horizon
    first, second = int(TRAINED * rows), int(VALIDATED * rows)
    start = min(inputs.needs, first // 4)
    missing = np.concatenate([[0], np.cumsum(np.isnan(history.y))])

    def some(begin: int, end: int) -> Steps:
        steps = np.arange(begin, max(end - horizon, begin))
        lacking = missing[np.minimum(steps + horizon + 1, rows)] - missing[steps + 1]
        # as many as are usual where much is missing
        usual = np.quantile(lacking, 0.75) if len(lacking) else 0.0
        return np.asarray(steps[lacking <= max(horizon / 2, usual)])

    valid = some(max(first - 1, start), second)
    return Parts(some(start, first), valid, some(second - 1, rows), some(start, rows))


def filled(history: History) -> Values:
    """Return the target with missing values interpolated, around the series' profile ``(N,)``."""
    season = history.season(len(history.y))
    there = np.flatnonzero(~np.isnan(history.y))
    rest = (history.y - season)[there]
    return np.interp(np.arange(len(history.y)), there, rest) + season


def choose(
    model: str,
    horizon: int,
    seasons: Seasons,
    grid: Grid,
    histories: Sequence[History],
    levels: Sequence[float],
) -> Fitted:
    """Fit and compare forecasts, and choose one.

    The regression is the default. A simple forecast that is better on the validation part counts
    for half beside it: choosing by validation alone is wrong too often. The regression goes on
    learning row by row unless that is worse on the validation part. Errors on the test part are
    reported, and choose nothing.

    Args:
        model: of `MODELS`.
        horizon: H.
        seasons: of the table.
        grid: of the table.
        histories: of each series, scaled.
        levels: coverages of intervals.

    Raises:
        TorchliquidError: there are too few rows.
    """
    some = histories[0]
    inputs = Inputs(
        horizon, seasons, seasons.most_lags, True, some.past.shape[1], some.known.shape[1]
    )
    parts = [parts_of(history, inputs) for history in histories]
    values = [filled(history) for history in histories]
    _check_rows(histories, parts, horizon)
    periods = (0, *seasons.naive)
    simple = {
        period: _errors(histories, parts, partial(inputs.bases, period=period))
        for period in periods
    }
    judged = {p: _mean_square([e.valid for e in errors]) for p, errors in simple.items()}
    best = 0 if model == "last" else min(judged, key=judged.__getitem__)
    if model == "seasonal":
        best = min(seasons.naive, key=judged.__getitem__, default=0)
    rows = [_row(simple_name(p), errors) for p, errors in simple.items()]
    if model in ("seasonal", "last"):
        errors = simple[best]
        chosen = Chosen(None, best, streamed=False)
    else:
        ridge = fit_ridge_plus(
            inputs, grid, histories, values, [p.train for p in parts], [p.valid for p in parts]
        )
        still = errors_of_ridge(ridge, grid, histories, parts)
        moving = _streamed_errors(ridge, grid, histories, values, parts)
        rows += [_row("ridge", still), _row("ridge, updated", moving)]
        streamed = _valid(moving) <= WORSE * _valid(still)
        errors = moving if streamed else still
        rival = best if model == "auto" and judged[best] < LOWER * _valid(errors) else None
        chosen = Chosen(ridge, rival, streamed)
        if rival is not None:
            errors = [_mean(a, b) for a, b in zip(errors, simple[rival], strict=True)]
            rows.append(_row(chosen.name, errors))
        inputs = ridge.inputs
        _learn_rest(ridge, grid, histories, values, parts)
    intervals, coverage = _intervals(errors, levels)
    simple_test = min(_mean_square([e.test for e in found]) for found in simple.values())
    return Fitted(
        chosen, inputs, rows, intervals, coverage,
        all(_stretches(one.valid) >= LEAST_STRETCHES for one in errors),
        _sentence(chosen, _mean_square([e.test for e in errors]), simple_test),
    )  # fmt: skip


class _Errors(NamedTuple):
    """Forecast less target, of one series ``(N, H)``; NaN where a target is missing."""

    valid: Values
    test: Values


def _check_rows(histories: Sequence[History], parts: Sequence[Parts], horizon: int) -> None:
    train, valid = (sum(len(part[k]) for part in parts) for k in (0, 1))
    if train >= LEAST_TRAIN and valid >= LEAST_VALID:
        return
    longest = max(len(history.y) for history in histories)
    raise TorchliquidError(
        f"the longest series has {longest} rows, which leave {train} forecasts of {horizon} rows "
        f"to train on ({LEAST_TRAIN} needed) and {valid} to validate ({LEAST_VALID} needed): give "
        f"a longer table, or a `horizon` below {horizon}"
    )


def _against(history: History, steps: Steps, forecast: Values) -> Values:
    horizon = forecast.shape[1]
    return forecast - history.y[steps[:, None] + np.arange(1, horizon + 1)]


def _errors(
    histories: Sequence[History],
    parts: Sequence[Parts],
    forecast: Callable[[History, Steps], Values],
) -> list[_Errors]:
    return [
        _Errors(*(_against(one, steps, forecast(one, steps)) for steps in part.judged))
        for one, part in zip(histories, parts, strict=True)
    ]


def errors_of_ridge(
    ridge: RidgePlus, grid: Grid, histories: Sequence[History], parts: Sequence[Parts]
) -> list[_Errors]:
    """Return the errors of a regression that learns nothing more."""
    return _errors(histories, parts, lambda one, steps: ridge.predict(one, grid, steps))


def _streamed_errors(
    fitted: RidgePlus,
    grid: Grid,
    histories: Sequence[History],
    values: Sequence[Values],
    parts: Sequence[Parts],
) -> list[_Errors]:
    """Errors of the regression while it learns from every row whose targets are there."""
    ridge = copy.deepcopy(fitted)
    forecasts = [
        tuple(np.full((len(steps), ridge.inputs.horizon), np.nan) for steps in part.judged)
        for part in parts
    ]
    begins = [h.first + p.valid[0] for h, p in zip(histories, parts, strict=True) if len(p.valid)]
    ends = [h.end for h in histories]
    now, end = min(begins), max(ends)
    width = max(ridge.inputs.seasons.shortest, -(-(end - now) // MOST_SOLVES))
    learnt = [p.train[-1] if len(p.train) else -1 for p in parts]
    while now < end:
        for one, part, found in zip(histories, parts, forecasts, strict=True):
            for steps, forecast in zip(part.judged, found, strict=True):
                here = (one.first + steps >= now) & (one.first + steps < now + width)
                if here.any():
                    forecast[here] = ridge.predict(one, grid, steps[here])
        now += width
        for k, (one, part, value) in enumerate(zip(histories, parts, values, strict=True)):
            known = now - one.first - ridge.inputs.horizon
            fresh = part.every[(part.every > learnt[k]) & (part.every < known)]
            if len(fresh):
                ridge.learn(one, grid, value, fresh)
                learnt[k] = int(fresh[-1])
        ridge.solve()
    return [
        _Errors(*(_against(one, steps, f) for steps, f in zip(part.judged, found, strict=True)))
        for one, part, found in zip(histories, parts, forecasts, strict=True)
    ]


def _learn_rest(
    ridge: RidgePlus,
    grid: Grid,
    histories: Sequence[History],
    values: Sequence[Values],
    parts: Sequence[Parts],
) -> None:
    """Learn from all rows behind the training part: the forecast in use has seen them."""
    for one, part, value in zip(histories, parts, values, strict=True):
        last = part.train[-1] if len(part.train) else -1
        ridge.learn(one, grid, value, part.every[part.every > last])
    ridge.solve()


def _mean(one: _Errors, other: _Errors) -> _Errors:
    return _Errors((one.valid + other.valid) / 2, (one.test + other.test) / 2)


def _mean_square(errors: Sequence[Values]) -> float:
    every = np.concatenate([part.ravel() for part in errors])
    every = every[~np.isnan(every)]
    return float(np.mean(every**2)) if len(every) else np.inf


def _valid(errors: Sequence[_Errors]) -> float:
    return _mean_square([one.valid for one in errors])


def _row(name: str, errors: Sequence[_Errors]) -> Row:
    test = _mean_square([one.test for one in errors])
    return Row(name, float(np.sqrt(_valid(errors))), float(np.sqrt(test)))


def _intervals(
    errors: Sequence[_Errors], levels: Sequence[float]
) -> tuple[list[Intervals], Values]:
    """Intervals of each series, and the share of test errors that they covered."""
    found, hits = [], []
    every_valid = [by_target(one.valid) for one in errors]
    pooled = np.concatenate([valid[-LEAST_OWN:] for valid in every_valid])
    for one, valid in zip(errors, every_valid, strict=True):
        # a series with few errors of its own begins with those of all
        own = int((~np.isnan(valid)).sum(axis=0).min(initial=len(valid)))
        intervals = Intervals.start(levels, valid if own >= LEAST_OWN else pooled)
        test = by_target(one.test)[-MOST_FOLLOWED:]
        covered = intervals.follow(test)
        size = covered.shape[0] * covered.shape[2]
        hits.append(np.moveaxis(covered, 1, 0).reshape(len(levels), size))
        found.append(intervals)
    every = np.concatenate(hits, axis=1)
    there = ~np.isnan(every)
    count = there.sum(axis=1)
    share = np.where(there, every, 0).sum(axis=1) / np.maximum(count, 1)
    return found, np.where(count > 0, share, np.nan)


def _stretches(errors: Values) -> float:
    """How many horizons next to each other the errors cover, missing targets left out."""
    there = (~np.isnan(errors)).sum(axis=0)
    return float(there.min() / errors.shape[1])


def _sentence(chosen: Chosen, error: float, simple: float) -> str:
    if not np.isfinite(error) or not np.isfinite(simple) or simple == 0:
        return f"Chosen: {chosen.name}."
    ratio = np.sqrt(error / simple)
    if chosen.ridge is None:
        return f"Chosen, as asked for: {chosen.name}."
    if abs(ratio - 1) < 0.005:
        return (
            f"Chosen: {chosen.name}. On the test part it is as good as the best simple forecast, "
            "and no better."
        )
    if ratio > 1:
        return (
            f"Chosen: {chosen.name}. On the test part no model here was better than a simple "
            f"forecast ({100 * (ratio - 1):.0f} % above it)."
        )
    return (
        f"Chosen: {chosen.name}. Its error on the test part is {100 * (1 - ratio):.0f} % below "
        "that of the best simple forecast."
    )
