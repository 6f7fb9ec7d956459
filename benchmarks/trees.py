"""Boosted trees on a regression's features, as a rival: LightGBM, where it is installed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchliquid.forecast._fitting import Parts
from torchliquid.forecast._history import History, Values
from torchliquid.forecast._ridge_plus import Inputs
from torchliquid.tables import Grid

MODELS, TREES, PATIENCE = 24, 600, 20
MOST_ROWS = 40_000
"""To train each model on, the last ones."""


def best_simple(inputs: Inputs, histories: Sequence[History], parts: Sequence[Parts]) -> int:
    """Return the period of the simple forecast that is best on the validation part; 0: the last."""
    ahead = np.arange(1, inputs.horizon + 1)

    def error(period: int) -> float:
        wrong = [
            (inputs.bases(one, part.valid, period) - one.y[part.valid[:, None] + ahead]) ** 2
            for one, part in zip(histories, parts, strict=True)
        ]
        return float(np.nanmean(np.concatenate([part.ravel() for part in wrong])))

    return min((0, *inputs.seasons.naive), key=error)


def forecasts(
    inputs: Inputs, grid: Grid, histories: Sequence[History], parts: Sequence[Parts]
) -> list[Values]:
    """Return forecasts from the test steps of each series ``(N, H)``.

    A model for each horizon (of more than 24 for as many, the rest interpolated), of the difference
    from the simple forecast that is best on the validation part; known features are those of the
    row that is forecast; the validation part says when to stop.
    """
    import lightgbm

    some = np.unique(np.round(np.linspace(1, inputs.horizon, MODELS)).astype(int))
    ahead = np.arange(1, inputs.horizon + 1)
    period = best_simple(inputs, histories, parts)
    base = [
        [inputs.bases(one, part[k], period) for one, part in zip(histories, parts, strict=True)]
        for k in range(3)
    ]
    found: list[list[Values]] = [[] for _ in histories]

    def features(one: History, steps: Any, h: int) -> Values:
        rows = inputs.rows(one, grid, steps)
        return np.concatenate([rows, inputs.ahead(one, steps)[:, h - 1]], axis=1)

    for h in some:
        sets = []
        for k in (0, 1):
            x, y = [], []
            for n, (one, part) in enumerate(zip(histories, parts, strict=True)):
                there = ~np.isnan(one.y[part[k] + h])
                steps = part[k][there]
                x.append(features(one, steps, h))
                y.append(one.y[steps + h] - base[k][n][there, h - 1])
            rows = slice(-MOST_ROWS, None)
            sets.append(lightgbm.Dataset(np.concatenate(x)[rows], np.concatenate(y)[rows]))
        options = {"learning_rate": 0.1, "num_leaves": 31, "verbose": -1, "num_threads": 2}
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        model = lightgbm.train(options, sets[0], TREES, valid_sets=[sets[1]], callbacks=[stop])
        for of_one, one, part in zip(found, histories, parts, strict=True):
            if len(part.test):
                of_one.append(np.asarray(model.predict(features(one, part.test, h))))
    return [
        start + np.array([np.interp(ahead, some, row) for row in np.stack(of_one, axis=1)])
        if of_one
        else np.zeros((0, inputs.horizon))
        for of_one, start in zip(found, base[2], strict=True)
    ]
