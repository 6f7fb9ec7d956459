"""From a table to a forecast: what is fitted, what is said, and on as rows arrive."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from torchliquid.errors import TorchliquidError
from torchliquid.forecast._fitting import parts_of
from torchliquid.forecast._ridge_plus import Products
from torchliquid.forecast._storing import FILE, load_forecaster
from torchliquid.forecast.forecaster import Forecaster

pytest.importorskip("pandas")


def daily(rows=400, *, seed=0, first="2020-01-01", noise=0.3):
    """A week's shape, a slow wave, noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    y = 20 + 3 * np.sin(2 * np.pi * t / 7) + 2 * np.sin(t / 50) + noise * rng.normal(size=rows)
    return pd.DataFrame({"ds": pd.date_range(first, periods=rows), "y": y})


def fitted(table=None, **options):
    options = {"horizon": 7} | options
    return Forecaster(**options).fit(daily() if table is None else table)


# --- what is fitted ---------------------------------------------------------------------------


def test_simple_forecasts_have_the_errors_that_one_computes_by_hand():
    table = daily()
    rows = fitted(table, horizon=5).compared.set_index("model")
    y, first, second = table["y"].to_numpy(), 240, 320
    for name, period in (("last value", 0), ("value 7 rows before", 7)):
        wrong = [
            y[t] - y[t - h] if period == 0 else y[t] - y[t - 7]
            for h in range(1, 6)
            for t in range(first - 1 + h, second - 5 + h)
        ]
        assert rows.loc[name, "valid"] == pytest.approx(np.sqrt(np.mean(np.square(wrong))))
    chosen = rows.index[rows["chosen"]]
    assert len(chosen) == 1
    assert rows.loc[chosen[0], "test"] < 0.75 * rows.loc["value 7 rows before", "test"]


def test_weights_solve_the_ridge_equations():
    forecaster = fitted(horizon=4, model="ridge")
    ridge = forecaster._state.chosen.regressions[0].ridge
    whole = forecaster._series_of(daily())[0]
    steps = parts_of(whole, ridge.inputs).every
    x = ridge.rows(whole, forecaster._contract.grid, steps)
    r = whole.y[steps[:, None] + np.arange(1, 5)] - ridge.bases(whole, steps)
    for h in range(4):
        # the penalty as rows of its own: a plain least-squares problem
        root = np.sqrt(ridge.penalties[h] * len(x)) * np.eye(x.shape[1])
        root[-1] = 0
        wanted, *_ = np.linalg.lstsq(
            np.r_[x, root], np.r_[r[:, h], np.zeros(len(root))], rcond=None
        )
        np.testing.assert_allclose(ridge.weights[:, h], wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("pieces", [1, 5, 37])
def test_an_update_equals_solving_again_on_all_rows(pieces):
    table = daily(500)
    forecaster = fitted(table[:400], horizon=4)
    assert forecaster._state.chosen.regressions[0].streamed
    again = copy.deepcopy(forecaster._state.chosen.regressions[0].ridge)
    for piece in np.array_split(np.arange(400, 500), pieces):
        forecaster.update(table.iloc[piece])
    ridge = forecaster._state.chosen.regressions[0].ridge
    ridge.solve()
    whole = forecaster._series_of(table)[0]
    again.products = Products.empty(len(again.scale) + 1, 4, 0)
    steps = np.arange(parts_of(whole, again.inputs).every[0], len(whole.y) - 4)
    start = min(again.inputs.needs, int(0.6 * 400) // 4)
    again.learn(whole, forecaster._contract.grid, whole.y, steps[steps >= start])
    again.solve()
    np.testing.assert_allclose(ridge.products.among, again.products.among, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(ridge.weights, again.weights, rtol=1e-8, atol=1e-8)
    last = forecaster.forecast(steps=1)
    assert last["ds"].iloc[0] == pd.Timestamp("2020-01-01") + pd.Timedelta(500, "D")


@pytest.mark.parametrize("model", ["auto", "filter"])
def test_forecasting_is_predicting_the_next_row(model):
    table = daily(401)
    forecaster = fitted(table[:400], model=model)
    ahead = forecaster.forecast()
    for k in (1, 7):
        said = forecaster.predict(daily(400 + k), ahead=k)
        row = said[said["ds"] == ahead["ds"].iloc[k - 1]]
        assert row["y"].iloc[0] == pytest.approx(ahead["y"].iloc[k - 1], rel=1e-9)


def test_a_forecast_sees_nothing_of_what_comes_later():
    table = daily()
    forecaster = fitted(table)
    changed = table.copy()
    changed.loc[300:, "y"] = 25
    before, after = forecaster.predict(table, ahead=3), forecaster.predict(changed, ahead=3)
    early = before["ds"] < table["ds"][303]
    np.testing.assert_array_equal(before[early]["y"], after[early]["y"])


# --- tables -----------------------------------------------------------------------------------


def test_paths_frames_and_arrow_say_the_same(tmp_path):
    table = daily()
    table.to_csv(tmp_path / "t.csv", index=False)
    wanted = fitted(table).forecast()["y"]
    arrow = pytest.importorskip("pyarrow").Table.from_pandas(table)
    for other in (table[["y", "ds"]], arrow, table.set_index("ds")):
        np.testing.assert_allclose(fitted(other).forecast()["y"], wanted, rtol=1e-12)
    from_file = Forecaster(7).fit(tmp_path / "t.csv", target="y", time="ds").forecast()["y"]
    np.testing.assert_allclose(from_file, wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("freq", "zone"), [("h", "Europe/Berlin"), ("D", "Europe/Berlin"), ("ME", None), ("B", None)]
)
def test_times_go_on_as_their_calendar_does(freq, zone):
    index = pd.date_range("2020-01-31", periods=420, freq=freq, tz=zone)
    table = pd.DataFrame({"y": np.sin(np.arange(415)) + 5}, index=index[:415])
    options = {} if zone is None else {"time_zone": zone}
    ahead = Forecaster(5, intervals=()).fit(table, **options).forecast()
    assert ahead["index"].tolist() == list(index[415:])


def test_several_series_are_scaled_each_by_its_own():
    small, big = daily(seed=1), daily(seed=2)
    big["y"] *= 1e6
    table = pd.concat([small.assign(unique_id="a"), big.assign(unique_id="b")])
    forecaster = fitted(table)
    ahead = forecaster.forecast(steps=2)
    assert ahead["unique_id"].tolist() == ["a", "a", "b", "b"]
    means = ahead.groupby("unique_id")["y"].mean()
    assert 10 < means["a"] < 30
    assert 10e6 < means["b"] < 30e6
    widths = (ahead["hi-90"] - ahead["lo-90"]).groupby(ahead["unique_id"]).mean()
    assert 1e5 < widths["b"] / widths["a"] < 1e7
    with pytest.warns(UserWarning, match=r"1 series were not there before \(c\)"):
        forecaster.predict(small.assign(unique_id="c"))


def test_series_of_any_length_get_forecasts_and_intervals():
    rng = np.random.default_rng(3)
    lengths = {"long": 400, "some": 60, "few": 9, "one": 1}
    frames = [
        daily(rows, seed=k).assign(unique_id=name) for k, (name, rows) in enumerate(lengths.items())
    ]
    forecaster = fitted(pd.concat(frames), bounds=(0, 100))
    ahead = forecaster.forecast()
    assert len(ahead) == 4 * 7
    assert np.isfinite(ahead.select_dtypes("number").to_numpy()).all()
    forecaster.update(
        pd.DataFrame({"unique_id": "one", "ds": ["2020-01-02"], "y": [rng.normal(20)]})
    )
    assert forecaster.forecast(steps=1)["ds"].iloc[-1] == pd.Timestamp("2020-01-03")


def test_sparse_rows_count_as_few_for_intervals():
    table = daily(1000)
    table.loc[np.random.default_rng(0).random(1000) < 0.9, "y"] = np.nan
    forecaster = fitted(table)
    assert any("Too few rows" in note for note in forecaster.notes)
    assert np.isfinite(forecaster.forecast()["y"]).all()


def test_a_forecast_no_better_than_a_simple_one_is_said_so():
    walk = np.cumsum(np.random.default_rng(1).normal(size=3000))
    sentence = fitted(pd.DataFrame({"y": walk}), horizon=3).sentence
    assert "as good as the best simple forecast" in sentence or "no model here" in sentence
    rows = fitted(pd.DataFrame({"y": walk}), horizon=3).forecast()["row"]
    assert rows.tolist() == [3000, 3001, 3002]


def test_known_features_count_where_they_will_be():
    table = daily(noise=0.05)
    plan = (np.random.default_rng(5).random(430) < 0.2).astype(float)
    table["y"] += 10 * plan[:400]
    table["plan"] = plan[:400]
    forecaster = Forecaster(7).fit(table, known=["plan"])
    with pytest.raises(TorchliquidError, match="plan are known 0 of 7 rows ahead"):
        forecaster.forecast()
    days = pd.date_range(table["ds"].iloc[-1], periods=31)[1:]
    future = pd.DataFrame({"ds": days, "plan": plan[400:]})
    ahead = forecaster.forecast(known=future)["y"].to_numpy()
    bare = forecaster.forecast(known=future.assign(plan=0.0))["y"].to_numpy()
    np.testing.assert_allclose(ahead - bare, 10 * plan[400:407], atol=0.5)
    behind = pd.concat([table, future[:7].assign(y=np.nan)])
    np.testing.assert_allclose(Forecaster(7).fit(behind, known=["plan"]).forecast()["y"], ahead)


# --- intervals --------------------------------------------------------------------------------


def test_intervals_cover_what_they_say():
    rng = np.random.default_rng(7)
    y = np.zeros(4000)
    for t in range(1, 4000):
        y[t] = 0.8 * y[t - 1] + rng.normal()
    forecaster = Forecaster(4).fit(pd.DataFrame({"y": y[:3000]}))
    for level, share in forecaster.coverage.items():
        assert share == pytest.approx(level, abs=0.03)
    forecaster.update(pd.DataFrame({"y": y[3000:]}))
    table = forecaster.forecast()
    deviation = np.sqrt(np.cumsum(0.8 ** (2 * np.arange(4))))  # of an AR(1), h rows ahead
    half = (table["hi-90"] - table["lo-90"]) / 2
    np.testing.assert_allclose(half, 1.645 * deviation, rtol=0.15)


def test_bounds_hold_for_forecasts_and_intervals():
    table = daily()
    table["y"] = np.round(np.maximum(table["y"] - 20, 0))
    ahead = fitted(table, bounds=(0, None)).forecast()
    assert (ahead.drop(columns="ds").to_numpy() >= 0).all()
    assert (fitted(table).forecast()["lo-95"] < 0).any()


def test_too_few_rows_for_an_interval_are_noted():
    assert any("Too few rows for an interval" in note for note in fitted(daily(150)).notes)
    assert not any("Too few" in note for note in fitted(daily(1000)).notes)


# --- kept -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["auto", "last", "seasonal"])
def test_a_stored_forecaster_is_the_same(tmp_path, model):
    table = pd.concat([daily(seed=1).assign(unique_id="007"), daily(seed=2).assign(unique_id="7")])
    forecaster = fitted(table, model=model, bounds=(0, None))
    assert forecaster.save(tmp_path / "m").name == FILE
    again = load_forecaster(tmp_path / "m")
    later = pd.concat(
        [
            daily(20, first="2021-02-04", seed=k).assign(unique_id=n)
            for k, n in ((3, "007"), (4, "7"))
        ]
    )
    for _ in range(2):
        pd.testing.assert_frame_equal(again.forecast(), forecaster.forecast())
        pd.testing.assert_frame_equal(again.predict(table), forecaster.predict(table))
        pd.testing.assert_frame_equal(again.compared, forecaster.compared)
        assert (repr(again), again.sentence) == (repr(forecaster), forecaster.sentence)
        if later is not None:
            again.update(later)
            forecaster.update(later)
            later = None


def test_what_is_no_stored_forecaster(tmp_path):
    with pytest.raises(TorchliquidError, match="holds no forecaster"):
        load_forecaster(tmp_path)
    with pytest.raises(TorchliquidError, match="not fitted"):
        Forecaster().save(tmp_path)
    path = fitted().save(tmp_path)
    content = path.read_bytes()
    for damaged in (content[:100], b"", b"\xff" * 99, content[:-50]):
        path.write_bytes(damaged)
        with pytest.raises(TorchliquidError, match="damaged, or no forecaster"):
            load_forecaster(tmp_path)
    path.write_bytes(content.replace(b'\\"version\\": 2', b'\\"version\\": 9'))
    with pytest.raises(TorchliquidError, match="version 9: expected 2"):
        load_forecaster(tmp_path)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "horizon is 0: give an integer of at least 1"),
        ({"horizon": 2.5}, "horizon is 2.5"),
        ({"model": "magic"}, "model is 'magic': expected auto, ridge"),
        ({"intervals": (90,)}, "expected coverages between 0 and 1"),
        ({"bounds": (1, 0)}, "expected a lower and an upper end"),
    ],
)
def test_arguments_that_cannot_be(options, said):
    with pytest.raises(TorchliquidError, match=said):
        Forecaster(**options)


def test_tables_that_cannot_be():
    with pytest.raises(TorchliquidError, match=r"longest series has 20 rows.*`horizon` below 7"):
        fitted(daily(20))
    with pytest.raises(TorchliquidError, match="no column 'z'"):
        Forecaster().fit(daily(), target="z")
    with pytest.raises(TorchliquidError, match="fit has no option 'seperator'"):
        Forecaster().fit(daily(), seperator=";")
    with pytest.raises(TorchliquidError, match="goes back"):
        Forecaster().fit(daily()[::-1])
    with pytest.raises(TorchliquidError, match="no value"):
        fitted(daily().assign(y=np.nan))
    with pytest.raises(TorchliquidError, match="call fit first"):
        Forecaster().forecast()
    assert np.isfinite(fitted(daily().assign(y=3.0)).forecast()["y"]).all()  # constant: no trap


def test_a_pickle_is_what_is_saved():
    forecaster = fitted()
    again = pickle.loads(pickle.dumps(forecaster))  # noqa: S301
    pd.testing.assert_frame_equal(again.forecast(), forecaster.forecast())
    assert b"History" not in pickle.dumps(forecaster)
    assert copy.copy(Forecaster(3, "last")).horizon == 3


@pytest.mark.parametrize("model", ["auto", "filter", "seasonal"])
def test_rows_beyond_the_horizon_are_forecast_from_forecasts(model):
    forecaster = fitted(model=model)
    near = forecaster.forecast()
    with pytest.warns(UserWarning, match="16 rows are asked for, and .* fitted for 7"):
        far = forecaster.forecast(steps=16)
    pd.testing.assert_frame_equal(far[:7], near)
    assert far["lo-90"][7:].isna().all()
    assert far["y"].notna().all()
    if model == "seasonal":
        np.testing.assert_allclose(far["y"], np.resize(near["y"], 16))
    # as if what was forecast had come
    learnt = [one for one in forecaster._state.chosen.regressions if one.streamed]
    for one in learnt:
        one.streamed = False
    later = forecaster.update(near[["ds", "y"]]).forecast()
    np.testing.assert_allclose(far["y"][7:14], later["y"], rtol=1e-9)
    pd.testing.assert_frame_equal(forecaster.forecast(), later)


def test_a_short_table_has_a_simple_forecast():
    table = daily(9)
    with pytest.raises(TorchliquidError, match="the `model` 'last' or 'seasonal'"):
        fitted(table)
    forecaster = fitted(table, model="last")
    assert (forecaster.forecast()["y"] == table["y"].iloc[-1]).all()
    assert "Too few rows for an interval" in " ".join(forecaster.notes)


def test_forecasts_at_some_times_alone():
    forecaster = fitted()
    every = forecaster.forecast()
    found = forecaster.forecast(at=["2021-02-08", pd.Timestamp("2021-02-05")])
    pd.testing.assert_frame_equal(found, every.iloc[[1, 4]].reset_index(drop=True))
    for at, said in (
        ([], "expected a list of times"),
        ("2021-02-08", "expected a list of times"),
        (["2021-02-08 12:00"], "lies between rows: expected times 1 day apart"),
        (["2020-02-08"], "expected times after 2021-02-03"),
    ):
        with pytest.raises(TorchliquidError, match=said):
            forecaster.forecast(at=at)


def test_new_tables_that_cannot_be():
    forecaster = fitted()
    with pytest.raises(TorchliquidError, match="0 rows are asked for: expected 1 to 10000"):
        forecaster.forecast(steps=0)
    with pytest.raises(TorchliquidError, match="expected a time after 2021-02-03"):
        forecaster.forecast(until="2020-05-01")
    assert len(forecaster.forecast(until="2021-02-06")) == 3
    with pytest.raises(TorchliquidError, match="ahead is 9: expected 1 to 7"):
        forecaster.predict(daily(), ahead=9)
    hourly = daily(100)
    hourly["ds"] = pd.date_range("2021-03-01", periods=100, freq="h")
    with pytest.raises(TorchliquidError, match=r"gaps off.*one row every 1 day"):
        forecaster.predict(hourly)
    with pytest.raises(TorchliquidError, match=r"new row is at 2020-01-01.*known up to 2021"):
        forecaster.update(daily(10))
    with pytest.warns(UserWarning, match="in another unit"):
        forecaster.predict(daily().assign(y=lambda f: 1000 * f["y"]))
    with pytest.raises(TorchliquidError, match="without such features: leave them out"):
        forecaster.forecast(known=daily())
    errors = forecaster.backtest(daily(seed=9))
    assert (errors["rmse"] < errors["rmse_last"]).all()
    with pytest.raises(TorchliquidError, match="more than the horizon"):
        forecaster.backtest(daily(5))


@pytest.mark.parametrize("hours", [0.0583, 1, 1.3, 24, 43.6])
def test_dates_below_a_plot_are_found_for_any_span(hours):
    plt = pytest.importorskip("matplotlib.pyplot")
    times = pd.date_range("2026-01-01", periods=120, freq=f"{round(hours * 3600)}s")
    table = pd.DataFrame({"ds": times, "y": np.arange(120.0) % 7})
    axes = Forecaster(30, model="last", intervals=(0.8,)).fit(table).plot()
    axes.figure.canvas.draw()  # a warning is an error
    assert 2 <= len(axes.get_xticks()) <= 9
    plt.close(axes.figure)


def test_a_plot_shows_history_forecast_and_levels():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = fitted().plot()
    assert len(axes.lines) == 2
    assert len(axes.collections) == 3
    with pytest.raises(TorchliquidError, match="label is 'q'"):
        fitted().plot("q")
    plt.close("all")
