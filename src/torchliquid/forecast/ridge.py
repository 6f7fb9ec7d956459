"""Linear regression on the past with a ridge penalty; order and penalty are chosen on the data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from torchliquid.forecast.regressors import Regressors, Steps, Values

ORDERS = (1, 2, 4, 8, 16, 32, 64)
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties, in units of the number of rows; the largest all but shrink to a constant."""
BLOCK = 2**22
"""Numbers of regressors that are in memory at a time."""


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    Args:
        order: p, how many lags it takes.
        penalty: one of `PENALTIES`.
        weights: ``(k * I + 1,)`` for each order k from 1 to p, the intercept last: those of the
            smaller ones predict where fewer lags are available.
    """

    order: int
    penalty: float
    weights: Sequence[Values]

    @property
    def parameters(self) -> int:
        """Number of weights at order p."""
        return len(self.weights[-1])

    def predict(self, regressors: Regressors) -> Values:
        """Return a prediction for every step ``(T,)``, 0 at those of no series."""
        prediction = np.zeros(len(regressors.available))
        orders = np.minimum(regressors.available, self.order)
        for order, weights in enumerate(self.weights, start=1):
            for steps in _blocks(np.flatnonzero(orders == order), len(weights)):
                prediction[steps] = regressors.rows(steps, order) @ weights[:-1] + weights[-1]
        return prediction


def fit_ridge(regressors: Regressors, y: Values, train: int, valid: int = 0) -> Ridge:
    """Choose order and penalty, and fit them on the training steps.

    Without validation steps the choice has the lowest leave-one-out error, all orders being judged
    on the same rows; with them, the lowest error there.

    Args:
        regressors: lags at T steps.
        y: what to predict ``(T,)``; NaN where it is missing: that row does not count.
        train: number of training steps, the first ones.
        valid: number of validation steps after them.

    Source: leave-one-out errors of a linear fit from its leverages (Allen's PRESS, 1974).
    """
    order, penalty = _choose(regressors, y, train, valid)
    moments = _moments(regressors, y, _usable(regressors, y, train, order), order)
    weights = [moments.of(k * regressors.features).fit(penalty) for k in range(1, order + 1)]
    return Ridge(order, penalty, weights)


class _Moments(NamedTuple):
    """What a fit needs of its rows: means, and centred products with each other and the target."""

    mean: Values
    mean_y: float
    among: Values
    with_y: Values
    rows: int

    def of(self, columns: int) -> "_Moments":
        """Those of the first columns alone."""
        some = slice(columns)
        return self._replace(
            mean=self.mean[some], among=self.among[some, some], with_y=self.with_y[some]
        )

    def fit(self, penalty: float) -> Values:
        """Weights, and the intercept last, which is not shrunk."""
        shrunk = self.among + penalty * max(self.rows, 1) * np.eye(len(self.mean))
        weights = np.linalg.solve(shrunk, self.with_y)
        return np.append(weights, self.mean_y - self.mean @ weights)


def _moments(regressors: Regressors, y: Values, steps: Steps, order: int) -> _Moments:
    size = order * regressors.features
    total, total_y = np.zeros(size), 0.0
    for block in _blocks(steps, size):
        total += regressors.rows(block, order).sum(axis=0)
        total_y += y[block].sum()
    rows = max(len(steps), 1)
    mean, mean_y = total / rows, total_y / rows
    among, with_y = np.zeros((size, size)), np.zeros(size)
    for block in _blocks(steps, size):
        centred = regressors.rows(block, order) - mean
        among += centred.T @ centred
        with_y += centred.T @ (y[block] - mean_y)
    return _Moments(mean, mean_y, among, with_y, len(steps))


def _choose(regressors: Regressors, y: Values, train: int, valid: int) -> tuple[int, float]:
    orders = _orders(regressors, y, train)
    steps = _usable(regressors, y, train, orders[-1])
    judged = steps if not valid else train + np.flatnonzero(~np.isnan(y[train : train + valid]))
    if not len(steps) or not len(judged):  # nothing to choose on
        return ORDERS[0], PENALTIES[-1]
    moments = _moments(regressors, y, steps, orders[-1])
    fits = [_Path(moments.of(k * regressors.features), left_out=not valid) for k in orders]
    errors = np.zeros((len(orders), len(PENALTIES)))
    for block in _blocks(judged, orders[-1] * regressors.features):
        rows = regressors.rows(block, orders[-1])
        for k, path in enumerate(fits):
            errors[k] += (path.errors(rows, y[block]) ** 2).sum(axis=0)
    k, penalty = divmod(int(np.argmin(errors)), len(PENALTIES))
    return orders[k], PENALTIES[penalty]


class _Path:
    """Errors of one order's fits at all penalties at once, from one eigenvalue decomposition."""

    def __init__(self, moments: _Moments, *, left_out: bool) -> None:
        self.moments, self.left_out = moments, left_out
        values, self.vectors = np.linalg.eigh(moments.among)
        shrunk = np.maximum(values, 0)[:, None] + moments.rows * np.array(PENALTIES)
        self.inverse = 1 / shrunk
        self.weights = self.inverse * (self.vectors.T @ moments.with_y)[:, None]

    def errors(self, rows: Values, y: Values) -> Values:
        """Return the errors ``(N, penalties)``, of each row by a fit without it if ``left_out``."""
        moments = self.moments
        turned = (rows[:, : len(moments.mean)] - moments.mean) @ self.vectors
        wrong = turned @ self.weights + moments.mean_y - y[:, None]
        if not self.left_out:
            return np.asarray(wrong)
        leverage = 1 / moments.rows + turned**2 @ self.inverse
        return np.asarray(wrong / np.maximum(1 - leverage, 1e-9))


def _orders(regressors: Regressors, y: Values, train: int) -> list[int]:
    """The orders to choose from: more rows than weights, and half of all rows left."""
    all_rows, orders = len(_usable(regressors, y, train, 1)), [ORDERS[0]]
    for order in ORDERS[1:]:
        rows = len(_usable(regressors, y, train, order))
        if order * regressors.features >= rows or 2 * rows < all_rows:
            break
        orders.append(order)
    return orders


def _usable(regressors: Regressors, y: Values, train: int, order: int) -> Steps:
    """The training steps whose lags and target are all there."""
    return np.flatnonzero((regressors.available[:train] >= order) & ~np.isnan(y[:train]))


def _blocks(steps: Steps, width: int) -> Iterator[Steps]:
    size = max(1, BLOCK // width)
    for start in range(0, len(steps), size):
        yield steps[start : start + size]
