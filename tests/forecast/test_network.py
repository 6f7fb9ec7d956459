"""A network beside the regression: where it helps, and that it goes on as one run."""

import numpy as np
import pandas as pd
import pytest
import torch

from torchliquid.errors import TorchliquidError
from torchliquid.forecast._storing import load_forecaster
from torchliquid.forecast.forecaster import Forecaster

pytest.importorskip("pandas")


def bent(rows=2500, seed=0):
    """What follows depends on the product of two waves that the series holds: no line sees it."""
    rng = np.random.default_rng(seed)
    y = np.zeros(rows)
    for t in range(1, rows):
        y[t] = 0.9 * np.sin(3 * y[t - 1]) + 0.3 * rng.normal()
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=rows, freq="h"), "y": y})


@pytest.fixture(scope="module")
def table():
    return bent()


@pytest.fixture(scope="module")
def forecaster(table):
    return Forecaster(3, intervals=(0.9,)).fit(table[:2400])


def test_a_network_counts_where_no_line_sees_what_follows(forecaster):
    rows = forecaster.compared.set_index("model")
    assert rows.loc["ridge with LTC-16", "test"] < 0.95 * rows.loc["ridge", "test"]
    assert "LTC-16" in rows.index[rows["chosen"]][0]


def test_forecasting_is_predicting_the_next_row(forecaster, table):
    ahead = forecaster.forecast()
    for k in (1, 3):
        said = forecaster.predict(table[: 2400 + k], ahead=k)
        assert said["ds"].iloc[-1] == ahead["ds"].iloc[k - 1]
        assert said["y"].iloc[-1] == pytest.approx(ahead["y"].iloc[k - 1], abs=1e-5)


def test_a_stored_network_goes_on_as_one_run(forecaster, table, tmp_path):
    forecaster.save(tmp_path)
    again, whole = load_forecaster(tmp_path), load_forecaster(tmp_path)
    pd.testing.assert_frame_equal(again.forecast(), forecaster.forecast(), rtol=1e-12)
    for piece in np.array_split(np.arange(2400, 2500), 3):
        again.update(table.iloc[piece])
    whole.update(table[2400:])
    for one in (*again._state.chosen.regressions, *whole._state.chosen.regressions):
        one.ridge.solve()
    np.testing.assert_allclose(again.forecast()["y"], whole.forecast()["y"], atol=1e-6)
    states = whole._series_of(table)[0].memory[-5:]
    np.testing.assert_allclose(whole._state.histories[""].memory[-5:], states, atol=1e-5)


def test_a_forecast_sees_nothing_of_what_comes_later(forecaster, table):
    changed = table.copy()
    changed.loc[2000:, "y"] = 0.5
    before, after = (forecaster.predict(one, ahead=2)["y"][:1990] for one in (table, changed))
    np.testing.assert_array_equal(before, after)


def test_one_seed_one_forecaster_and_no_other_randomness(table):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    first, again = (Forecaster(2, "ltc", seed=7).fit(table[:2000]) for _ in range(2))
    assert torch.equal(torch.rand(2), wanted)
    pd.testing.assert_frame_equal(first.forecast(), again.forecast())


def test_too_few_rows_for_a_network():
    table = bent(600)
    with pytest.raises(TorchliquidError, match="it needs 1000"):
        Forecaster(2, "ltc").fit(table)
    assert not any("LTC" in name for name in Forecaster(2).fit(table).compared["model"])
    with pytest.raises(TorchliquidError, match="seed is -1"):
        Forecaster(2, seed=-1)
