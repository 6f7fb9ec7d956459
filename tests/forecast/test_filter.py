"""The filter of level and seasons: against Gaussians written out, and in a forecaster."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from torchliquid.forecast import _structural as structural
from torchliquid.forecast._history import History, Seasons
from torchliquid.forecast._storing import load_forecaster
from torchliquid.forecast.forecaster import Forecaster

pytest.importorskip("pandas")

MODEL = structural.Structural(
    frequency=np.array([0.0, 0.0, 2 * np.pi / 7]),
    decay=np.array([1e-4, 0.2, 0.01]),
    spread=np.array([2.0, 0.5, 1.0]),
    weights=np.array([0.7, -1.2, 0.4]),
    noise=0.3,
)


def series(rows=60, *, missing=0.4, known=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=rows)
    y[rng.random(rows) < missing] = np.nan
    return History("", 0, y, y, np.zeros((rows, 0)), rng.normal(size=(rows + 9, known)))


def covariance(apart):
    parts = zip(MODEL.spread, MODEL.decay, MODEL.frequency, strict=True)
    apart = np.abs(apart)
    return sum(q**2 * np.exp(-r * apart) * np.cos(w * apart) for q, r, w in parts)


def test_forecasts_and_filled_values_are_those_of_the_whole_gaussian():
    one = series()
    states, values, _ = MODEL.follow(one)
    ahead = MODEL.forecasts(replace(one, states=states), np.array([20, 59]), 9)
    about = structural._planned(one, 69) @ MODEL.weights

    def expected(at, until):
        seen = np.flatnonzero(~np.isnan(one.y[: until + 1]))
        among = covariance(seen[:, None] - seen) + 0.09 * np.eye(len(seen))
        return about[at] + covariance(at - seen) @ np.linalg.solve(among, one.y[seen] - about[seen])

    for k, step in enumerate((20, 59)):
        wanted = [expected(step + h, step) for h in range(1, 10)]
        np.testing.assert_allclose(ahead[k], wanted, rtol=1e-8, atol=1e-9)
    for row in np.flatnonzero(np.isnan(one.y)):
        assert values[row] == pytest.approx(expected(row, row), rel=1e-8, abs=1e-9)


def test_weights_are_those_of_generalised_least_squares():
    one = series(200)
    seen = np.flatnonzero(~np.isnan(one.y))
    among = covariance(seen[:, None] - seen) + 0.09 * np.eye(len(seen))
    columns = structural._planned(one, 200)[seen]
    inverse = np.linalg.solve(among, columns)
    wanted = np.linalg.solve(columns.T @ inverse, inverse.T @ one.y[seen])
    np.testing.assert_allclose(structural._weights(MODEL, [one]), wanted, rtol=1e-3)


def test_one_frequency_for_each_harmonic():
    class Hourly:
        seconds = 3600.0

    periods = structural.periods_of(Seasons((24, 168), 168, 168, (("year", 2),)), Hourly())
    found = [period for period, _ in periods]
    assert len(set(np.round(found, 6))) == len(found)
    assert {24.0, 12.0, 168.0, 84.0} <= set(found)
    assert min(found) > 2.2
    assert max(found) == pytest.approx(8766)
    assert structural.periods_of(Seasons((), 24, 24), Hourly()) == []


def hourly(rows=1500, *, missing=0.6, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    y = 5 + np.sin(2 * np.pi * t / 24) + np.sin(2 * np.pi * t / 168) + 0.1 * rng.normal(size=rows)
    table = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=rows, freq="h"), "y": y})
    left = rng.random(rows) >= missing
    left[[0, rows - 1]] = True
    return table[left]


def test_where_rows_are_missing_a_filter_fills_them_and_forecasts_better():
    table = hourly()
    forecaster = Forecaster(24).fit(table, every="1h")
    rows = forecaster.compared.set_index("model")
    assert forecaster._state.chosen.fills
    # what is left is the noise, 0.1
    assert rows.loc[rows.index[rows["chosen"]][0], "test"] < 0.12
    assert rows.loc["filter", "test"] < 0.12


def test_updates_and_a_stored_filter_go_on_as_one_run(tmp_path):
    table = hourly()
    first, rest = table[:480], table[480:]
    for model in ("auto", "filter"):
        forecaster = Forecaster(12, model=model).fit(first, every="1h")
        forecaster.save(tmp_path)
        again = load_forecaster(tmp_path)
        for piece in np.array_split(np.arange(len(rest)), 4):
            forecaster.update(rest.iloc[piece])
        again.update(rest)
        for regression in (*forecaster._state.chosen.regressions, *again._state.chosen.regressions):
            regression.ridge.solve()
        found, wanted = forecaster.forecast(), again.forecast()
        np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-8)
        if model == "filter":  # it learns nothing more: the same as from all rows
            said = forecaster.predict(table, ahead=1)
            one = again.forecast(steps=1)
            assert said["ds"].iloc[-1] < one["ds"].iloc[0]
            history = again._series_of(table)[0]
            whole = again._forecasts(history, np.array([len(history.y) - 1]))[0]
            mean, scale = again._contract.moments[""]
            np.testing.assert_allclose(found["y"], whole * scale + mean, rtol=1e-6)


def test_what_is_known_beforehand_moves_a_filter():
    table = hourly(800, missing=0.2)
    rng = np.random.default_rng(1)
    table["plan"] = rng.integers(0, 2, len(table)).astype(float)
    table["y"] += 2 * table["plan"]
    forecaster = Forecaster(3, model="filter").fit(table, known=["plan"], every="1h")
    after = pd.date_range(table["ds"].iloc[-1], periods=4, freq="h")[1:]
    plans = [pd.DataFrame({"ds": after, "plan": value}) for value in (0.0, 1.0)]
    low, high = (forecaster.forecast(known=plan)["y"].to_numpy() for plan in plans)
    np.testing.assert_allclose(high - low, 2, atol=0.1)
