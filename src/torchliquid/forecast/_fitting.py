"""How a forecast is chosen: simple ones, a regression, both; judged on rows that none has seen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.forecast._history import TRAINED, VALIDATED, History, Seasons, Values
from torchliquid.forecast._intervals import LEAST_STRETCHES, Intervals, by_target
from torchliquid.forecast._models import Chosen, Filter, Model, Regression, Simple
from torchliquid.forecast._ridge_plus import Inputs, RidgePlus, Steps, fit_ridge_plus
from torchliquid.forecast._structural import fit_structural
from torchliquid.tables import Grid

MODELS = ("auto", "ridge", "filter", "seasonal", "last")
LEAST_TRAIN, LEAST_VALID = 30, 10
LOWER, WORSE = 0.99, 1.01
"""A rival counts if its validation error is below this share; updates stop above the other."""
MOST_SOLVES = 100
LEAST_OWN = 30
"""Errors of a series from which its intervals rest on them alone."""
WORTH_FILLING = 0.05
"""Share of missing values from which a filter fills them."""
MOST_STATES = 30_000_000
"""Numbers that a filter's states may be: 240 MB."""
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
        histories: of each series, with what the forecast needs of them.
        rows: of the comparison.
        intervals: of each series.
        coverage: share of test errors within the intervals of each level ``(L,)``; NaN: unknown.
        enough: whether the validation part of each series holds stretches enough for intervals.
        sentence: the outcome in words.
    """

    chosen: Chosen
    inputs: Inputs
    histories: list[History]
    rows: list[Row]
    intervals: list[Intervals]
    coverage: Values
    enough: bool
    sentence: str


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


def targets_of(history: History, *, fills: bool) -> Values:
    """Return the target with missing values filled, to learn from ``(N,)``.

    Args:
        history: a prepared series.
        fills: whether a filter fills them; else they are interpolated.
    """
    if fills:
        return history.held
    there = np.flatnonzero(~np.isnan(history.y))
    return np.interp(np.arange(len(history.y)), there, history.y[there])


def choose(
    model: str,
    horizon: int,
    seasons: Seasons,
    grid: Grid,
    histories: Sequence[History],
    levels: Sequence[float],
) -> Fitted:
    """Fit and compare forecasts, and choose one.

    The regression is the default. The best of the others, a simple forecast or the filter, counts
    for half beside it if it is better on the validation part: choosing by validation alone is
    wrong too often. The regression goes on learning row by row unless that is worse on the
    validation part. Errors on the test part are reported, and choose nothing.

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
    _check_rows(histories, parts, horizon)
    chosen = _with_filter(model, seasons, grid, histories)
    histories = [chosen.prepared(history)[0] for history in histories]
    rivals: list[Model] = [Simple(inputs, period) for period in (0, *seasons.naive)]
    simple = len(rivals)
    if chosen.filter is not None and model in ("auto", "filter"):
        rivals.append(Filter(chosen.filter, horizon))
    found = [errors_of(rival, grid, histories, parts) for rival in rivals]
    judged = [_valid(errors) for errors in found]
    rows = [_row(rival.name, errors) for rival, errors in zip(rivals, found, strict=True)]
    best = int(np.argmin(judged))
    if model in ("auto", "ridge"):
        values = [targets_of(history, fills=chosen.fills) for history in histories]
        train, valid = ([part[k] for part in parts] for k in (0, 1))
        regression = Regression(fit_ridge_plus(inputs, grid, histories, values, train, valid))
        errors = errors_of(regression, grid, histories, parts)
        moving = _streamed_errors(regression.ridge, grid, histories, values, parts)
        rows += [_row("ridge", errors), _row("updated ridge", moving)]
        if _valid(moving) <= WORSE * _valid(errors):
            regression.streamed, errors = True, moving
        chosen.models = [regression]
        if model == "auto" and judged[best] < LOWER * _valid(errors):
            chosen.models = [regression, rivals[best]]
            errors = [_mean(a, b) for a, b in zip(errors, found[best], strict=True)]
            rows.append(_row(chosen.name, errors))
        inputs = regression.ridge.inputs
        _learn_rest(regression.ridge, grid, histories, values, parts)
    else:
        if model != "seasonal":
            best = simple if model == "filter" else 0
        elif seasons.naive:
            best = 1 + int(np.argmin(judged[1:simple]))
        chosen.models, errors = [rivals[best]], found[best]
    if not any(isinstance(one, Filter) for one in chosen.models) and not chosen.fills:
        chosen.filter = None
        histories = [replace(one, states=one.states[:, :0]) for one in histories]
    intervals, coverage = _intervals(errors, levels)
    simple_test = min(_test(errors) for errors in found[:simple])
    return Fitted(
        chosen, inputs, list(histories), rows, intervals, coverage,
        all(_stretches(one.valid) >= LEAST_STRETCHES for one in errors),
        _sentence(chosen, model, _test(errors), simple_test),
    )  # fmt: skip


def _with_filter(model: str, seasons: Seasons, grid: Grid, histories: Sequence[History]) -> Chosen:
    """A filter to forecast and to fill, where the model uses one."""
    rows = [int(TRAINED * len(history.y)) for history in histories]
    missing = np.concatenate([np.isnan(one.y[:k]) for one, k in zip(histories, rows, strict=True)])
    fills = bool(missing.mean() >= WORTH_FILLING)
    if model in ("seasonal", "last") or (model == "ridge" and not fills):
        return Chosen([])
    found = fit_structural(histories, rows, seasons, grid)
    if model != "filter" and sum(rows) / TRAINED * 2 * len(found.frequency) > MOST_STATES:
        return Chosen([])
    return Chosen([], found, fills)


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


def errors_of(
    model: Model, grid: Grid, histories: Sequence[History], parts: Sequence[Parts]
) -> list[_Errors]:
    """Return the errors of a forecast that learns nothing more, for each series."""
    return [
        _Errors(*(_against(one, s, model.forecasts(one, grid, s)) for s in part.judged))
        for one, part in zip(histories, parts, strict=True)
    ]


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


def _test(errors: Sequence[_Errors]) -> float:
    return _mean_square([one.test for one in errors])


def _row(name: str, errors: Sequence[_Errors]) -> Row:
    return Row(name, float(np.sqrt(_valid(errors))), float(np.sqrt(_test(errors))))


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


def _sentence(chosen: Chosen, model: str, error: float, simple: float) -> str:
    if not np.isfinite(error) or not np.isfinite(simple) or simple == 0:
        return f"Chosen: {chosen.name}."
    ratio = np.sqrt(error / simple)
    if model in ("seasonal", "last"):
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
