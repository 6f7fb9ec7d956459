"""Inside sktime, darts and skforecast, by their own checks: `make test-hosts`.

They are installed apart (they ask for another pandas); elsewhere these tests are skipped.
"""

import logging
import warnings

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


def hourly(rows=400):
    rng = np.random.default_rng(0)
    index = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.Series(
        np.sin(2 * np.pi * np.arange(rows) / 24) + 0.05 * rng.normal(size=rows), index=index
    )


def test_all_checks_of_sktime():
    pytest.importorskip("sktime")
    from sktime.utils.estimator_checks import check_estimator

    from torchliquid.hosts.sktime import LiquidForecaster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(LiquidForecaster, raise_exceptions=False, verbose=False)
    assert len(found) > 700
    assert {name: result for name, result in found.items() if result != "PASSED"} == {}


def test_sktime_gives_what_a_forecaster_does_and_learns_on():
    pytest.importorskip("sktime")
    from torchliquid.forecast import Forecaster
    from torchliquid.hosts.sktime import LiquidForecaster

    y = hourly()
    host = LiquidForecaster().fit(y[:300], fh=[1, 5, 24])
    table = pd.DataFrame({"ds": y.index, "y": y.to_numpy()})
    alone = Forecaster(24).fit(table[:300])
    np.testing.assert_allclose(host.predict(), alone.forecast()["y"].iloc[[0, 4, 23]])
    host.update(y[300:])
    np.testing.assert_allclose(
        host.predict(), alone.update(table[300:]).forecast()["y"].iloc[[0, 4, 23]]
    )
    interval = host.predict_interval(coverage=[0.5, 0.9])
    assert interval.shape == (3, 4)
    assert host.predict().index[0] == y.index[-1] + pd.Timedelta("1h")


def series_of_darts(y):
    from darts import TimeSeries

    return TimeSeries.from_times_and_values(y.index, y.to_numpy(dtype=np.float32))


def test_darts_backtests_saves_and_loads_a_local_model(tmp_path):
    darts = pytest.importorskip("darts")
    from darts.metrics import rmse

    from torchliquid.hosts.darts import LiquidForecaster

    series = series_of_darts(hourly())
    model = LiquidForecaster(12)
    model.fit(series[:350])
    ahead = model.predict(30)  # beyond the horizon
    assert ahead.time_index.equals(series.time_index[350:380])
    assert rmse(series, ahead) < 0.1
    found = model.historical_forecasts(series, start=0.9, forecast_horizon=6, stride=10)
    assert rmse(series, found) < 0.1
    model.save(tmp_path / "m.pkl")
    again = LiquidForecaster.load(str(tmp_path / "m.pkl"))  # by safe loading
    np.testing.assert_array_equal(again.predict(5).values(), model.predict(5).values())
    covariates = series_of_darts(hourly().shift(1).fillna(0))
    known = LiquidForecaster(6)
    known.fit(series[:350], future_covariates=covariates)
    assert len(known.predict(6)) == 6
    numbered = darts.TimeSeries.from_values(hourly().to_numpy())
    assert LiquidForecaster(6).fit(numbered).predict(2).start_time() == 400


@pytest.mark.parametrize("name", ["LiquidRNN", "ContinuousRNN"])
def test_darts_trains_saves_and_loads_a_layer(tmp_path, name):
    pytest.importorskip("darts")
    pytest.importorskip("pytorch_lightning")
    from darts.models import RNNModel

    from torchliquid.hosts import darts as host

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    series = series_of_darts(hourly())
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False,
             "enable_checkpointing": False, "enable_model_summary": False}  # fmt: skip
    model = RNNModel(24, model=getattr(host, name), hidden_dim=8, training_length=48, n_epochs=2,
                     random_state=0, pl_trainer_kwargs=quiet)  # fmt: skip
    model.fit(series)
    wanted = model.predict(5).values()
    assert np.isfinite(wanted).all()
    model.save(str(tmp_path / "m.pt"))
    again = RNNModel.load(str(tmp_path / "m.pt"))  # by safe loading
    np.testing.assert_allclose(again.predict(5, series=series).values(), wanted, atol=1e-6)


def test_a_window_of_lags_keeps_the_rules_of_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.utils.estimator_checks import check_estimator

    from torchliquid.hosts.sklearn import LagWindowRegressor

    check_estimator(LagWindowRegressor(epochs=60))


def test_skforecast_forecasts_with_a_window_of_lags():
    pytest.importorskip("skforecast")
    from skforecast.recursive import ForecasterRecursive

    from torchliquid.hosts.sklearn import LagWindowRegressor

    y = hourly()
    forecaster = ForecasterRecursive(LagWindowRegressor(), lags=24)
    forecaster.fit(y[:350])
    found = forecaster.predict(steps=24)
    assert np.sqrt(np.mean((found.to_numpy() - y[350:374].to_numpy()) ** 2)) < 0.25
    # the newest lag is the first column
    assert forecaster.lags_names[0] == "lag_1"
