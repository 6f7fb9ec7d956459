"""A filter for rows that are missing: level, memory and seasons, corrected by their own errors.

A series is the sum of a level that drifts, a memory that decays, and oscillators at the harmonics
of its seasons, seen with noise: Harvey's structural model, run by the filter of
`torchliquid.functional._oscillator_filter`. Where a row is missing the state goes on by itself, and
the next row counts for more: the gain grows with the gap. Forecasts are the state, turned on.

How much each harmonic moves at rest is its amplitude in the training rows. A few further numbers
(how fast the level drifts and the seasons change, memory, noise) maximise the likelihood of these
rows; all series share them.

Source: Harvey, "Forecasting, Structural Time Series Models and the Kalman Filter", 1989.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from torchliquid.forecast._history import YEAR, History, Seasons, Values
from torchliquid.forecast._ridge_plus import Steps
from torchliquid.functional._oscillator_filter import Belief, Filtered
from torchliquid.kernels import filter_likelihoods, filter_states
from torchliquid.tables import Grid

MOST_HARMONICS = {"season": 24, "year": 4}
MOST_FITTED = 6_000
"""Rows on which the likelihood rests: the last ones of the training part, of the first series."""
BURN_IN = 0.1
"""Share of them, the first ones, that does not count."""
FIRST_STEP, LAST_STEP = 1.5, 0.2
"""Steps of the search in the logarithm of a number."""
MOST_ROUNDS = 40
FARTHEST = 5.0
"""How far from its start the search goes, in the same unit: no noise of nothing."""
KEPT_LEVEL = 10.0
"""Lengths of the training part in which the level decays e-fold: a random walk, in effect."""
SMALLEST = 1e-4


@dataclass(frozen=True)
class Numbers:
    """What is searched for, each above 0.

    Args:
        drift: deviation of the level's step.
        spread: deviation of the memory at rest.
        memory: rows in which it decays e-fold.
        seasons: lengths of a season in which its shape is forgotten.
        noise: deviation of what no state explains.
    """

    drift: float
    spread: float
    memory: float
    seasons: float
    noise: float


@dataclass(frozen=True)
class Structural:
    """The fitted filter, of series in deviations.

    Args:
        frequency: radians a row of each state ``(K,)``: level, memory, harmonics.
        decay: of each, a row ``(K,)``.
        spread: deviation of each at rest ``(K,)``.
        weights: of features that are known beforehand, and of 1 ``(P + 1,)``.
        noise: deviation of the noise.
    """

    frequency: Values
    decay: Values
    spread: Values
    weights: Values
    noise: float

    def follow(
        self, history: History, start: Belief | None = None
    ) -> tuple[Values, Values, Belief]:
        """Go along a series.

        Args:
            history: in deviations.
            start: what is known before its first row; None: nothing.

        Returns:
            The state after each row ``(N, 2 K)``, real parts first; the target, with what was
            expected where it is missing ``(N,)``; and what is known after the last row.
        """
        about = _planned(history, len(history.y)) @ self.weights
        found = self._filtered(history.y - about, start)
        states = found.states[0].numpy()
        expected = states.real.sum(axis=1) + about
        values = np.where(np.isnan(history.y), expected, history.y)
        return np.concatenate([states.real, states.imag], axis=1), values, found.last

    def forecasts(self, history: History, steps: Steps, horizon: int) -> Values:
        """Return what is expected 1 ... H rows after some steps ``(N, H)``.

        Args:
            history: in deviations, with the states that `follow` gave.
            steps: from which to forecast ``(N,)``.
            horizon: H.
        """
        ahead = np.arange(1, horizon + 1)
        turned = np.exp((1j * self.frequency - self.decay)[:, None] * ahead)
        # the real part of states times turned
        found = history.states[steps] @ np.concatenate([turned.real, -turned.imag])
        planned = _planned(history, int(steps.max(initial=0)) + horizon + 1) @ self.weights
        return np.asarray(found + planned[steps[:, None] + ahead])

    def _filtered(self, y: Values, start: Belief | None = None) -> Filtered:
        frequency, decay, spread = (
            torch.from_numpy(v)[None] for v in (self.frequency, self.decay, self.spread)
        )
        noise = torch.tensor([self.noise], dtype=torch.float64)
        return filter_states(*_given(y), frequency, decay, spread, noise, start)


def _given(y: Values) -> tuple[Tensor, Tensor, Tensor]:
    """Samples, times and which are there, as a filter takes them."""
    values = torch.from_numpy(np.ascontiguousarray(y))[None]
    return values, torch.ones_like(values), ~values.isnan()


def _planned(history: History, rows: int) -> Values:
    """Features known beforehand at the first rows, and 1 ``(N, P + 1)``.

    They are 0 where missing; behind the last row it is repeated.
    """
    columns = np.zeros((rows, history.known.shape[1]))
    if columns.size and len(history.known):
        at = np.minimum(np.arange(rows), len(history.known) - 1)
        columns = np.nan_to_num(history.known[at])
    return np.concatenate([columns, np.ones((rows, 1))], axis=1)


def periods_of(seasons: Seasons, grid: Grid) -> list[tuple[float, float]]:
    """Return period and season of each harmonic, in rows."""
    whole = [(float(period), MOST_HARMONICS["season"]) for period in seasons.naive]
    if grid.seconds is not None and ("year" in dict(seasons.harmonics)):
        year = YEAR / grid.seconds
        if all(abs(period - year) > 0.02 * year for period, _ in whole):
            whole.append((year, MOST_HARMONICS["year"]))
    found: list[tuple[float, float]] = []
    for season, most in whole:
        for k in range(1, most + 1):
            period = season / k
            # one for each frequency, and none that rows hardly resolve
            if period > 2.2 and all(abs(period - other) > 1e-3 * period for other, _ in found):
                found.append((period, season))
    return found


def fit_structural(
    histories: Sequence[History], rows: Sequence[int], seasons: Seasons, grid: Grid
) -> Structural:
    """Fit the filter to the training rows of all series.

    Args:
        histories: of each series, in deviations.
        rows: how many of each, the first ones, are for training.
        seasons: of the table.
        grid: of the table.
    """
    parts = [one.part(0, count) for one, count in zip(histories, rows, strict=True)]
    parts = [one for one in parts if (~np.isnan(one.y)).sum() > 2]
    harmonics = np.array(periods_of(seasons, grid)).reshape(-1, 2)
    sizes, rest = _amplitudes(parts, harmonics[:, 0])
    total = max(len(one.y) for one in parts)
    ys, left = [], MOST_FITTED
    for one in parts:
        if left > 0:
            ys.append(one.y[-left:])
            left -= len(ys[-1])
    shortest = float(seasons.shortest)

    def model(numbers: Numbers, weights: Values) -> Structural:
        level = 1 / (KEPT_LEVEL * total)
        frequency = np.r_[0.0, 0.0, 2 * np.pi / harmonics[:, 0]]
        decay = np.r_[level, 1 / numbers.memory, 1 / (numbers.seasons * harmonics[:, 1])]
        spread = np.r_[numbers.drift / np.sqrt(2 * level), numbers.spread, sizes]
        return Structural(frequency, decay, spread, weights, numbers.noise)

    none = np.zeros(parts[0].known.shape[1] + 1)
    start = Numbers(0.03 * rest, 0.7 * rest, max(shortest / 2, 2.0), 30.0, 0.2 * rest)
    best = _searched(start, lambda numbers: model(numbers, none), ys)
    return model(best, _weights(model(best, none), parts))


def _amplitudes(parts: Sequence[History], periods: Values) -> tuple[Values, float]:
    """Deviation of each harmonic ``(K,)``, and of what is left beside them, over all series."""
    squares, left = np.zeros(len(periods)), []
    for one in parts:
        there = np.flatnonzero(~np.isnan(one.y))
        angle = 2 * np.pi * (one.first + there[:, None]) / periods
        line = np.linspace(-1, 1, len(one.y))[there, None]
        columns = np.concatenate([np.ones_like(line), line, np.cos(angle), np.sin(angle)], axis=1)
        among = columns.T @ columns / len(there) + 1e-3 * np.eye(columns.shape[1])
        solved = np.linalg.solve(among, columns.T @ one.y[there] / len(there))
        cosine, sine = solved[2:].reshape(2, -1)
        squares += (cosine**2 + sine**2) / 2
        left.append(float(np.mean((one.y[there] - columns @ solved) ** 2)))
    sizes = np.sqrt(squares / len(parts))
    return np.maximum(sizes, SMALLEST), max(float(np.sqrt(np.mean(left))), SMALLEST)


def _searched(
    start: Numbers, model: Callable[[Numbers], Structural], ys: Sequence[Values]
) -> Numbers:
    """The numbers of the highest likelihood: steps up and down, all at once, then smaller ones."""
    names = list(Numbers.__dataclass_fields__)
    first = np.log([getattr(start, name) for name in names])
    now = first
    best, step = _surprise([now], model, ys)[0], FIRST_STEP
    for _ in range(MOST_ROUNDS):
        moves = step * np.concatenate([np.eye(len(now)), -np.eye(len(now))])
        moves = np.clip(now + moves, first - FARTHEST, first + FARTHEST) - now
        found = _surprise(list(now + moves), model, ys)
        better = found < best
        if better.any():
            # along all that help at once, where that helps more
            both = now + moves[better].sum(axis=0)
            whole = _surprise([both], model, ys)[0]
            k = int(found.argmin())
            now, best = (both, whole) if whole < found[k] else (now + moves[k], found[k])
        elif (step := step / 2) < LAST_STEP:
            break
    return Numbers(*np.exp(now).tolist())


def _surprise(
    points: Sequence[Values], model: Callable[[Numbers], Structural], ys: Sequence[Values]
) -> Values:
    """Negative log likelihood of each of some logarithms of `Numbers`, over all series."""
    found = np.zeros(len(points))
    models = [model(Numbers(*np.exp(point).tolist())) for point in points]
    stacked = [
        torch.from_numpy(np.stack([getattr(m, name) for m in models]))
        for name in ("frequency", "decay", "spread", "noise")
    ]
    for y in ys:
        rows = [part.expand(len(points), -1).contiguous() for part in _given(y)]
        errors, variances = filter_likelihoods(*rows, *stacked)
        there = rows[2].clone()
        there[:, : int(BURN_IN * len(y))] = False
        terms = variances.log() + errors**2 / variances
        found += torch.where(there, terms, 0.0).sum(1).numpy() / 2
    return np.where(np.isfinite(found), found, np.inf)


def _weights(model: Structural, parts: Sequence[History]) -> Values:
    """Weights of known features by generalised least squares: the filter makes errors white.

    It is linear, so that the errors of ``y - Z w`` are those of y less those of Z's columns.
    """
    count = parts[0].known.shape[1] + 1
    among, right = np.zeros((count, count)), np.zeros(count)
    for one in parts:
        there = ~np.isnan(one.y)
        columns = _planned(one, len(one.y))
        target = model._filtered(one.y)
        scale = 1 / np.sqrt(target.variances[0].numpy()[there])
        rows = [
            model._filtered(np.where(there, column, np.nan)).errors[0].numpy()[there] * scale
            for column in columns.T
        ]
        errors = np.stack(rows, axis=1)
        among += errors.T @ errors
        right += errors.T @ (target.errors[0].numpy()[there] * scale)
    shrink = np.diag(1e-6 * np.diag(among) + 1e-12)
    return np.asarray(np.linalg.solve(among + shrink, right))
