"""A linear forecast of all horizons at once, shrunk towards the best simple one.

For each horizon h, ``y(t + h) = base(t, h) + W x(t) + V z(t + h)``: the base is the last value, or
the value one of the table's seasons before; x holds the last values less the last one, the calendar
and features up to now, z features that are known beforehand. The base and the penalty of each block
of horizons have the lowest error on validation rows. All that is kept of the rows are their
products with each other and with the targets, so that new rows are added in constant time.

Source: ridge regression (Hoerl and Kennard, 1970) on sufficient statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.forecast._history import History, Seasons, Values
from torchliquid.tables import Grid

PENALTIES = 10.0 ** np.arange(-6, 4.1, 0.5)
"""In units of the number of rows, features being scaled to a deviation of 1."""
MOST_BLOCKS = 8
"""Blocks of horizons that share a base and a penalty."""
ROWS_AT_A_TIME = 4096
WORTH = 0.99
"""A feature that costs something must bring the validation error below this share."""
Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """What a row's features are made of.

    Args:
        horizon: H, how far ahead.
        seasons: of the table.
        lags: how many values it sees, the last one included.
        level: whether the last value itself is a feature.
        past: number of features up to now.
        known: number of features that are known beforehand.
        memory: number of a network's states.
    """

    horizon: int
    seasons: Seasons
    lags: int
    level: bool = True
    past: int = 0
    known: int = 0
    memory: int = 0

    @property
    def needs(self) -> int:
        """Rows of history that a forecast looks at."""
        return int(max(self.lags, *self.seasons.naive, 1))

    @property
    def width(self) -> int:
        """F, the number of features."""
        calendar = 2 * sum(terms for _, terms in self.seasons.harmonics)
        return self.lags - 1 + calendar + self.past + self.memory + self.level + 1

    def rows(self, history: History, grid: Grid, steps: Steps) -> Values:
        """Return the features at some steps of a series ``(N, F)``, the last column being 1."""
        last = history.held[steps]
        back = np.arange(1, self.lags)
        lags = history.held[np.maximum(steps[:, None] - back, 0)] - last[:, None]
        calendar = self.seasons.columns(grid, history.first + steps + 1)
        level = last[:, None] if self.level else np.zeros((len(steps), 0))
        one = np.ones((len(steps), 1))
        memory = history.memory[steps] if self.memory else np.zeros((len(steps), 0))
        rows = [lags, calendar, history.past[steps], memory, level, one]
        return np.asarray(np.concatenate(rows, axis=1), dtype=np.float64)

    def ahead(self, history: History, steps: Steps) -> Values:
        """Return the known features of the rows that are predicted ``(N, H, K)``, 0 where missing.

        Behind the last known row it is repeated.
        """
        at = steps[:, None] + np.arange(1, self.horizon + 1)
        if not self.known or not len(history.known):
            return np.zeros((len(steps), self.horizon, self.known))
        return np.asarray(np.nan_to_num(history.known[np.minimum(at, len(history.known) - 1)]))

    def bases(self, history: History, steps: Steps, period: int) -> Values:
        """Return the simple forecast ``(N, H)``: the last value, or that of a season before."""
        if period == 0:
            return np.repeat(history.held[steps][:, None], self.horizon, axis=1)
        ahead = np.arange(1, self.horizon + 1)
        back = ahead - period * -(-ahead // period)
        return np.asarray(history.held[np.maximum(steps[:, None] + back, 0)])

    def targets(self, filled: Values, steps: Steps) -> Values:
        """Return what followed ``(N, H)``."""
        return np.asarray(filled[steps[:, None] + np.arange(1, self.horizon + 1)])


@dataclass
class Products:
    """Sums over rows: features with each other, with targets, and with known features.

    Args:
        among: ``(F, F)``; target: ``(F, H)``.
        crossed: ``(H, F, K)``; known: ``(H, K, K)``; known_target: ``(H, K)``.
        squares: of the targets ``(H,)``.
        count: number of rows.
    """

    among: Values
    target: Values
    crossed: Values
    known: Values
    known_target: Values
    squares: Values
    count: float = 0.0

    @classmethod
    def empty(cls, features: int, horizon: int, known: int) -> Products:
        """Return sums over no rows."""
        return cls(
            np.zeros((features, features)), np.zeros((features, horizon)),
            np.zeros((horizon, features, known)), np.zeros((horizon, known, known)),
            np.zeros((horizon, known)), np.zeros(horizon),
        )  # fmt: skip

    def add(self, rows: Values, targets: Values, ahead: Values) -> None:
        """Add rows ``(N, F)``, what they are to predict ``(N, H)``, and ``(N, H, K)``."""
        self.among += rows.T @ rows
        self.target += rows.T @ targets
        self.squares += (targets**2).sum(axis=0)
        self.count += len(rows)
        if ahead.shape[2]:
            self.crossed += np.einsum("nf,nhk->hfk", rows, ahead)
            self.known += np.einsum("nhj,nhk->hjk", ahead, ahead)
            self.known_target += np.einsum("nhk,nh->hk", ahead, targets)

    def of(self, columns: Steps) -> Products:
        """Return the sums of some features alone."""
        return replace(
            self,
            among=self.among[np.ix_(columns, columns)],
            target=self.target[columns],
            crossed=self.crossed[:, columns],
        )


@dataclass
class RidgePlus:
    """The fitted forecast.

    Args:
        inputs: what its features are.
        scale: of each feature but the last ``(F - 1,)``.
        periods: base of each horizon ``(H,)``; 0: the last value.
        penalties: of each horizon ``(H,)``.
        products: of all rows so far, features scaled.
        weights: ``(F, H)``; ahead: ``(H, K)``.
    """

    inputs: Inputs
    scale: Values
    periods: Steps
    penalties: Values
    products: Products
    weights: Values = field(default_factory=lambda: np.zeros(0))
    ahead: Values = field(default_factory=lambda: np.zeros(0))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self.weights.size + self.ahead.size)

    def rows(self, history: History, grid: Grid, steps: Steps) -> Values:
        """Return scaled features at some steps of a series ``(N, F)``."""
        rows = self.inputs.rows(history, grid, steps)
        rows[:, :-1] /= self.scale
        return rows

    def bases(self, history: History, steps: Steps) -> Values:
        """Return what the forecast is shrunk towards ``(N, H)``."""
        found = np.empty((len(steps), self.inputs.horizon))
        for period in np.unique(self.periods):
            of_period = self.periods == period
            found[:, of_period] = self.inputs.bases(history, steps, int(period))[:, of_period]
        return found

    def predict(self, history: History, grid: Grid, steps: Steps) -> Values:
        """Return forecasts from some steps of a series ``(N, H)``."""
        found = np.empty((len(steps), self.inputs.horizon))
        for start in range(0, len(steps), ROWS_AT_A_TIME):
            some = steps[start : start + ROWS_AT_A_TIME]
            forecast = self.bases(history, some) + self.rows(history, grid, some) @ self.weights
            if self.inputs.known:
                ahead = self.inputs.ahead(history, some)
                forecast += np.einsum("nhk,hk->nh", ahead, self.ahead)
            found[start : start + ROWS_AT_A_TIME] = forecast
        return found

    def learn(self, history: History, grid: Grid, filled: Values, steps: Steps) -> None:
        """Add rows whose targets are there; `solve` makes them count."""
        for some in _blocks(steps):
            targets = self.inputs.targets(filled, some) - self.bases(history, some)
            ahead = self.inputs.ahead(history, some)
            self.products.add(self.rows(history, grid, some), targets, ahead)

    def solve(self) -> None:
        """Solve for the weights of all rows so far, by the penalties that were chosen."""
        products, features = self.products, len(self.scale) + 1
        count = max(products.count, 1.0)
        shrink = np.r_[np.ones(features - 1), 0.0]
        self.weights = np.zeros((features, self.inputs.horizon))
        self.ahead = np.zeros((self.inputs.horizon, self.inputs.known))
        for penalty in np.unique(self.penalties):
            of = np.flatnonzero(self.penalties == penalty)
            system = products.among / count + np.diag(penalty * shrink + 1e-12)
            if not self.inputs.known:
                self.weights[:, of] = np.linalg.solve(system, products.target[:, of] / count)
                continue
            # the same system with the known features of each horizon: by its Schur complement
            inverse = np.linalg.inv(system)
            for h in of:
                crossed = products.crossed[h] / count
                inner = products.known[h] / count - crossed.T @ inverse @ crossed
                inner += 1e-6 * np.eye(self.inputs.known)
                right = products.target[:, h] / count
                rest = products.known_target[h] / count - crossed.T @ (inverse @ right)
                self.ahead[h] = np.linalg.solve(inner, rest)
                self.weights[:, h] = inverse @ (right - crossed @ self.ahead[h])


def fit_ridge_plus(
    inputs: Inputs,
    grid: Grid,
    histories: Sequence[History],
    filled: Sequence[Values],
    train: Sequence[Steps],
    valid: Sequence[Steps],
) -> RidgePlus:
    """Fit on training rows; base, penalty, lags and level have the lowest validation error.

    Args:
        inputs: what features to make; lags and level are chosen.
        grid: of the table.
        histories: of each series, scaled.
        filled: targets of each series ``(N,)``, no NaN.
        train: training steps of each series.
        valid: validation steps of each series.
    """
    widest = replace(inputs, lags=inputs.seasons.most_lags, level=True)
    scale = _scale(widest, grid, histories, train)
    learnt = _products(widest, grid, histories, filled, train, scale)
    judged = _products(widest, grid, histories, filled, valid, scale)
    blocks = np.array_split(np.arange(inputs.horizon), min(inputs.horizon, MOST_BLOCKS))
    best, found = np.inf, None
    # the fewest features first: more of them must be worth it
    for candidate in _candidates(widest):
        columns = _columns(widest, candidate)
        some = {period: sums.of(columns) for period, sums in learnt.items()}
        choice = _choose(some, {p: sums.of(columns) for p, sums in judged.items()}, blocks)
        if found is None or choice[0] < WORTH * best:
            best, found = choice[0], (candidate, columns, some, *choice[1:])
    inputs, columns, chosen, base, penalties = found  # type: ignore[misc]
    scale = scale[columns[:-1]]
    features, horizon = len(scale) + 1, inputs.horizon
    products = Products.empty(features, horizon, inputs.known)
    for period in np.unique(base):
        of, part = base == period, chosen[int(period)]
        products = replace(
            products, among=part.among, count=part.count, crossed=part.crossed, known=part.known
        )
        products.target[:, of] = part.target[:, of]
        products.squares[of] = part.squares[of]
        products.known_target[of] = part.known_target[of]
    model = RidgePlus(inputs, scale, base, penalties, products)
    model.solve()
    return model


def _candidates(widest: Inputs) -> list[Inputs]:
    """Features to choose from: few lags or many, without the level or with it."""
    lags = sorted({min(widest.seasons.lags, widest.lags), widest.lags})
    return [replace(widest, lags=k, level=level) for k in lags for level in (False, True)]


def _columns(widest: Inputs, inputs: Inputs) -> Steps:
    """Which of the widest features are these."""
    lags = np.arange(inputs.lags - 1)
    rest = np.arange(widest.lags - 1, widest.width)
    if not inputs.level:
        rest = np.delete(rest, len(rest) - 2)
    return np.concatenate([lags, rest])


def _scale(
    inputs: Inputs, grid: Grid, histories: Sequence[History], train: Sequence[Steps]
) -> Values:
    """Deviation of each feature in the training rows, around 0; 1 where it hardly moves."""
    square, count = 0.0, 0
    for history, steps in zip(histories, train, strict=True):
        for some in _blocks(steps):
            square = square + (inputs.rows(history, grid, some)[:, :-1] ** 2).sum(axis=0)
            count += len(some)
    scale = np.sqrt(np.asarray(square) / max(count, 1))
    return np.where(scale > 1e-6, scale, 1.0)


def _products(
    inputs: Inputs,
    grid: Grid,
    histories: Sequence[History],
    filled: Sequence[Values],
    steps: Sequence[Steps],
    scale: Values,
) -> dict[int, Products]:
    """Sums over the steps of all series, for each base that a forecast may have."""
    found = {
        period: Products.empty(len(scale) + 1, inputs.horizon, inputs.known)
        for period in (0, *inputs.seasons.naive)
    }
    for history, values, line in zip(histories, filled, steps, strict=True):
        for some in _blocks(line):
            rows = inputs.rows(history, grid, some)
            rows[:, :-1] /= scale
            targets, ahead = inputs.targets(values, some), inputs.ahead(history, some)
            for period, sums in found.items():
                sums.add(rows, targets - inputs.bases(history, some, period), ahead)
    return found


def _choose(
    train: dict[int, Products], valid: dict[int, Products], blocks: Sequence[Steps]
) -> tuple[float, Steps, Values]:
    """The lowest validation error, and the base and penalty of each horizon that have it.

    An error on rows follows from their products: ``|r - X w|^2 = r'r - 2 w'X'r + w'X'X w``.
    """
    horizon = sum(map(len, blocks))
    best = np.full(len(blocks), np.inf)
    base, penalties = np.zeros(horizon, dtype=np.int64), np.ones(horizon)
    some = next(iter(train.values()))
    count, judged = max(some.count, 1.0), next(iter(valid.values()))
    values, vectors = np.linalg.eigh(some.among / count)
    turned = vectors.T @ judged.among @ vectors
    for period, sums in train.items():
        right = vectors.T @ sums.target / count
        crossed = vectors.T @ valid[period].target
        for penalty in PENALTIES:
            weights = right / (np.maximum(values, 0) + penalty)[:, None]
            errors = valid[period].squares - 2 * (weights * crossed).sum(axis=0)
            errors = errors + (weights * (turned @ weights)).sum(axis=0)
            for k, block in enumerate(blocks):
                error = float(errors[block].sum())
                if error < best[k]:
                    best[k] = error
                    base[block], penalties[block] = period, penalty
    return float(best.sum()), base, penalties


def _blocks(steps: Steps) -> Iterator[Steps]:
    for start in range(0, len(steps), ROWS_AT_A_TIME):
        yield steps[start : start + ROWS_AT_A_TIME]


def to_arrays(model: RidgePlus) -> dict[str, Values]:
    """Return all numbers of a fitted forecast, by name."""
    products = model.products
    return {
        "scale": model.scale, "periods": model.periods.astype(np.float64),
        "penalties": model.penalties, "weights": model.weights, "ahead": model.ahead,
        "among": products.among, "target": products.target, "crossed": products.crossed,
        "known": products.known, "known_target": products.known_target,
        "squares": products.squares, "count": np.array([products.count]),
    }  # fmt: skip


def from_arrays(inputs: Inputs, arrays: dict[str, Any]) -> RidgePlus:
    """Return the forecast that `to_arrays` took apart."""
    products = Products(
        arrays["among"], arrays["target"], arrays["crossed"], arrays["known"],
        arrays["known_target"], arrays["squares"], float(arrays["count"][0]),
    )  # fmt: skip
    return RidgePlus(
        inputs, arrays["scale"], arrays["periods"].astype(np.int64), arrays["penalties"], products,
        arrays["weights"], arrays["ahead"],
    )  # fmt: skip
