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
from torchliquid.forecast._models import Carried, Chosen, Filter, Model, Regression, Simple
from torchliquid.forecast._network import LEAST_ROWS, fit_network
from torchliquid.forecast._ridge_plus import Inputs, RidgePlus, Steps, fit_ridge_plus
from torchliquid.forecast._structural import fit_structural
from torchliquid.tables import Grid

MODELS = ("auto", "ridge", "ltc", "filter", "seasonal", "last")
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
        followed: each series with what the forecast needs of it, and what is known after it.
        rows: of the comparison.
        intervals: of each series.
        coverage: share of test errors within the intervals of each level ``(L,)``; NaN: unknown.
        enough: whether the validation part of each series holds stretches enough for intervals.
        sentence: the outcome in words.
    """

    chosen: Chosen
    inputs: Inputs
    followed: list[tuple[History, Carried]]
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
    seed: int = 0,
) -> Fitted:
    """Fit and compare forecasts, and choose one.

    The regression is the default. Others are joined to it where the mean is better on the
    validation part: choosing one by validation alone is wrong too often. A regression goes on
    learning row by row unless that is worse on the validation part. Errors on the test part are
    reported, and choose nothing.

    Args:
        model: of `MODELS`.
        horizon: H.
        seasons: of the table.
        grid: of the table.
        histories: of each series, scaled.
        levels: coverages of intervals.
        seed: of a network's first weights.

    Raises:
        TorchliquidError: there are too few rows.
    """
    some = histories[0]
    inputs = Inputs(
        horizon, seasons, seasons.most_lags, True, some.past.shape[1], some.known.shape[1]
    )
    parts = [parts_of(history, inputs) for history in histories]
    if model not in ("seasonal", "last"):
        _check_rows(histories, parts, horizon)
    chosen = _with_filter(model, seasons, grid, histories)
    followed = [chosen.prepared(history, grid) for history in histories]
    histories = [history for history, _ in followed]
    rivals = [
        _judged(Simple(inputs, period), grid, histories, parts) for period in (0, *seasons.naive)
    ]
    rows = [rival.row for rival in rivals]
    simple = rivals[:]
    if chosen.filter is not None and model in ("auto", "filter"):
        rivals.append(_judged(Filter(chosen.filter, horizon), grid, histories, parts))
        rows.append(rivals[-1].row)
    if model in ("seasonal", "last", "filter"):
        pool = {"last": simple[:1], "seasonal": simple[1:] or simple, "filter": rivals[-1:]}[model]
        best = min(pool, key=lambda rival: rival.valid)
    else:
        values = [targets_of(history, fills=chosen.fills) for history in histories]
        regression = Regression(fit_ridge_plus(inputs, grid, histories, values, *_split(parts)))
        ridge = _streamed(regression, grid, histories, values, parts, rows)
        network = None
        if model in ("auto", "ltc"):
            network = fit_network(regression.ridge, grid, histories, values, *_split(parts), seed)
        if network is not None:
            chosen.network = network
            followed = [chosen.remembered(one, grid, 0, carried) for one, carried in followed]
            histories = [history for history, _ in followed]
            wider = replace(inputs, memory=network.layer.hidden_size)
            found = fit_ridge_plus(wider, grid, histories, values, *_split(parts))
            with_it = Regression(found, beside=network.name)
            rivals.append(_streamed(with_it, grid, histories, values, parts, rows))
        elif model == "ltc":
            count = sum(len(part.train) for part in parts)
            raise TorchliquidError(
                f"model='ltc' has {count} rows to train on: it needs {LEAST_ROWS}; leave `model` "
                "out"
            )
        best = rivals[-1] if model == "ltc" else ridge
        if model == "auto":
            best = _joined(ridge, rivals, rows)
    chosen.models = best.models
    for one in chosen.regressions:
        _learn_rest(one.ridge, grid, histories, values, parts)
        inputs = replace(one.ridge.inputs, lags=max(one.ridge.inputs.lags, inputs.lags))
    chosen.drop_unused()
    followed = [chosen.without_unused(*pair) for pair in followed]
    intervals, coverage = _intervals(best.errors, levels)
    return Fitted(
        chosen, inputs, followed, rows, intervals, coverage,
        all(_stretches(one.valid) >= LEAST_STRETCHES for one in best.errors),
        _sentence(chosen, model, rows, _test(best.errors), min(_test(r.errors) for r in simple)),
    )  # fmt: skip


def _with_filter(model: str, seasons: Seasons, grid: Grid, histories: Sequence[History]) -> Chosen:
    """A filter to forecast and to fill, where the model uses one."""
    rows = [int(TRAINED * len(history.y)) for history in histories]
    missing = np.concatenate([np.isnan(one.y[:k]) for one, k in zip(histories, rows, strict=True)])
    fills = bool(missing.mean() >= WORTH_FILLING)
    if model in ("seasonal", "last") or (model in ("ridge", "ltc") and not fills):
        return Chosen([])
    found = fit_structural(histories, rows, seasons, grid)
    if model != "filter" and sum(rows) / TRAINED * 2 * len(found.frequency) > MOST_STATES:
        return Chosen([])
    return Chosen([], found, fills)


class _Errors(NamedTuple):
    """Forecast less target, of one series ``(N, H)``; NaN where a target is missing."""

    valid: Values
    test: Values


class _Judged(NamedTuple):
    """Models whose mean is a forecast, and its errors."""

    models: list[Model]
    errors: list[_Errors]

    @property
    def valid(self) -> float:
        """Mean squared error on the validation part."""
        return _valid(self.errors)

    @property
    def row(self) -> Row:
        """Its line of the comparison."""
        return _row(Chosen(self.models).name, self.errors)


def _judged(
    model: Model, grid: Grid, histories: Sequence[History], parts: Sequence[Parts]
) -> _Judged:
    return _Judged([model], errors_of(model, grid, histories, parts))


def _joined(first: _Judged, rivals: Sequence[_Judged], rows: list[Row]) -> _Judged:
    """A forecast and those rivals whose mean with it is better on the validation part.

    One after another, the one that helps most first, as long as it brings the error of the mean
    below `LOWER`. Source: forward selection of an ensemble (Caruana et al., ICML 2004), each member
    counting once.
    """
    best, left = first, list(rivals)
    while left:
        count = len(best.models)
        means = [
            _Judged([*best.models, *rival.models], _mean(best, rival, count)) for rival in left
        ]
        k = int(np.argmin([mean.valid for mean in means]))
        if means[k].valid >= LOWER * best.valid:
            break
        best = means[k]
        left.pop(k)
        rows.append(best.row)
    return best


def _split(parts: Sequence[Parts]) -> tuple[list[Steps], list[Steps]]:
    """Steps of each series to train on, and to validate."""
    return [part.train for part in parts], [part.valid for part in parts]


def _streamed(
    regression: Regression,
    grid: Grid,
    histories: Sequence[History],
    values: Sequence[Values],
    parts: Sequence[Parts],
    rows: list[Row],
) -> _Judged:
    """A regression that learns on or does not, by its validation error; both are shown."""
    still = _judged(regression, grid, histories, parts)
    rows.append(still.row)
    moving = _streamed_errors(regression.ridge, grid, histories, values, parts)
    learning = replace(regression, streamed=True)
    rows.append(_row(learning.name, moving))
    return _Judged([learning], moving) if _valid(moving) <= WORSE * still.valid else still


def _check_rows(histories: Sequence[History], parts: Sequence[Parts], horizon: int) -> None:
    train, valid = (sum(len(part[k]) for part in parts) for k in (0, 1))
    if train >= LEAST_TRAIN and valid >= LEAST_VALID:
        return
    longest = max(len(history.y) for history in histories)
    raise TorchliquidError(
        f"the longest series has {longest} rows, which leave {train} forecasts of {horizon} rows "
        f"to train on ({LEAST_TRAIN} needed) and {valid} to validate ({LEAST_VALID} needed): give "
        f"a longer table, a `horizon` below {horizon}, or the `model` 'last' or 'seasonal'"
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


def _mean(mean: _Judged, other: _Judged, count: int) -> list[_Errors]:
    """Errors of the mean of some models and one more."""
    return [
        _Errors(*((count * a + b) / (count + 1) for a, b in zip(one, two, strict=True)))
        for one, two in zip(mean.errors, other.errors, strict=True)
    ]


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


def _sentence(chosen: Chosen, model: str, rows: Sequence[Row], error: float, simple: float) -> str:
    if model in ("seasonal", "last"):
        return f"Chosen, as asked for: {chosen.name}."
    said = f"Chosen: {chosen.name}."
    if np.isfinite(error) and np.isfinite(simple) and simple > 0:
        ratio = np.sqrt(error / simple)
        if abs(ratio - 1) < 0.005:
            said += " On the test part it is as good as the best simple forecast, and no better."
        elif ratio > 1:
            said += (
                " On the test part no model here was better than a simple forecast "
                f"({100 * (ratio - 1):.0f} % above it)."
            )
        else:
            said += (
                f" Its error on the test part is {100 * (1 - ratio):.0f} % below that of the best "
                "simple forecast."
            )
    if any("LTC" in row.model for row in rows) and "LTC" not in chosen.name:
        said += " A liquid network was tried, and adds nothing here."
    return said
