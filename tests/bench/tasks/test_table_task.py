"""A table as a task: nothing of the future is learnt, and the rules are kept and said."""

import dataclasses
import json

import numpy as np
import pytest

from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.errors import TorchliquidError
from torchliquid.tables.reader import Series, read_table

ROWS = 200


def make_series(rows=ROWS, missing=0.1, irregular=True, seed=0) -> Series:
    rng = np.random.default_rng(seed)
    values = rng.normal([5.0, -300.0, 0.02], [2.0, 40.0, 0.001], size=(rows, 3))
    values[rng.random(values.shape) < missing] = np.nan
    gaps = rng.choice([0.5, 1.0, 1.0, 2.5], rows) if irregular else np.ones(rows)
    return Series("made", ("y", "a", "b"), values, np.cumsum(gaps), "seconds", "clock")


def changed(series: Series, **fields) -> Series:
    return dataclasses.replace(series, **fields)


def error_of(series: Series, **kwargs) -> str:
    with pytest.raises(TorchliquidError) as caught:
        table_task(series, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- steps, split, leaks ----------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("valid", [0, 0.2])
def test_each_counted_target_is_the_value_horizon_rows_on(horizon, valid):
    # Each value is its own row number, so that a target says which row it comes from.
    series = Series("rows", ("y",), np.arange(ROWS, dtype=float)[:, None])
    task = table_task(series, horizon=horizon, valid=valid)
    assert task.inputs.shape == (1, ROWS - horizon, 1)
    assert task.targets.shape == (1, ROWS - horizon)
    rows = np.rint(task.targets[0].astype(np.float64) * task.scale + task.offset)
    seen = np.rint(task.inputs[0, :, 0].astype(np.float64) * task.scale + task.offset)
    counted = ~np.isnan(rows)
    assert seen.tolist() == list(range(ROWS - horizon))
    assert (rows[counted] == seen[counted] + horizon).all()

    # No target of a part lies in a later part; each part loses `horizon` targets, the last none.
    first_valid, first_test = task.train, task.train + task.valid
    assert np.nanmax(rows[:first_valid]) == first_valid - 1
    assert counted[:first_valid].sum() == task.train - horizon
    if valid:
        assert np.nanmax(rows[first_valid:first_test]) == first_test - 1
        assert counted[first_valid:first_test].sum() == task.valid - horizon
    assert counted[first_test:].all()
    assert rows[-1] == ROWS - 1


@pytest.mark.parametrize(
    ("fractions", "parts"),
    [
        ((0.6, 0.2), (60, 20, 20)),
        ((0.7, 0.2), (70, 20, 10)),
        ((0.57, 0.2), (57, 20, 23)),
        ((0.5, 0), (50, 0, 50)),
    ],
)
def test_split_by_fractions_of_the_steps(fractions, parts):
    task = table_task(make_series(101, missing=0), train=fractions[0], valid=fractions[1])
    assert (task.train, task.valid, task.test) == parts


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("first_changed", ["validation", "test"])
def test_the_future_changes_nothing_before_it(horizon, first_changed):
    times = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, ROWS))
    series = changed(make_series(), times=times)
    task = table_task(series, horizon=horizon)
    cut = task.train if first_changed == "validation" else task.train + task.valid
    values, times = series.values.copy(), series.times.copy()
    values[cut:] = 1e4 * values[cut:] ** 2
    values[cut + 1 :: 3] = np.nan
    times[cut:] += 5000 * np.arange(1, ROWS - cut + 1)
    other = table_task(changed(series, values=values, times=times), horizon=horizon)

    assert (other.offset, other.scale) == (task.offset, task.scale)
    assert (other.train, other.valid) == (task.train, task.valid)
    for name in ("inputs", "targets"):
        before, after = getattr(task, name)[:, :cut], getattr(other, name)[:, :cut]
        assert before.tobytes() == after.tobytes(), name
        assert getattr(task, name).tobytes() != getattr(other, name).tobytes()
    assert task.dt[:cut].tobytes() == other.dt[:cut].tobytes()
    assert task.dt[cut] != other.dt[cut]


def test_the_past_does_change_the_scaling():
    # The test above could not fail if nothing were learnt at all.
    series = make_series()
    values = series.values.copy()
    values[0, 0] = 100.0
    task, other = table_task(series), table_task(changed(series, values=values))
    assert other.scale > task.scale


# --- scaling and units ------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0, 0.3])
def test_training_rows_have_mean_0_and_deviation_1(missing):
    series = make_series(missing=missing)
    task = table_task(series)
    for column in range(3):
        seen = ~np.isnan(series.values[: task.train, column])
        scaled = task.inputs[0, : task.train, column][seen].astype(np.float64)
        assert abs(scaled.mean()) < 1e-6
        assert abs(scaled.std() - 1) < 1e-6


def test_round_trip_to_the_targets_unit():
    series = make_series(irregular=False)
    task = table_task(series, horizon=3)
    back = task.targets[0].astype(np.float64) * task.scale + task.offset
    counted = ~np.isnan(back)
    np.testing.assert_allclose(back[counted], series.values[3:, 0][counted], rtol=0, atol=1e-6)
    first = task.inputs[0, :, 0].astype(np.float64) * task.scale + task.offset
    seen = ~np.isnan(series.values[:-3, 0])
    np.testing.assert_allclose(first[seen], series.values[:-3, 0][seen], rtol=0, atol=1e-6)
    assert task.unit == "y"
    assert task.name == "made"
    assert task.inputs.dtype == task.targets.dtype == np.float32


def test_constant_feature_is_shifted_and_said():
    series = make_series(missing=0)
    values = series.values.copy()
    values[:150, 1] = 7.0
    task = table_task(changed(series, values=values))
    assert (task.inputs[0, :150, 1] == 0).all()
    np.testing.assert_allclose(task.inputs[0, 150:, 1], values[150:-1, 1] - 7, rtol=1e-6)
    assert any("'a' is constant (7) in the training part" in note for note in task.notes)


# --- missing values ---------------------------------------------------------------------------


def test_missing_values_by_the_rule():
    values = make_series(missing=0).values
    values[10:13, 0] = np.nan  # the target
    values[:4, 1] = np.nan  # before the first one
    values[50, 2] = np.nan
    values[-5:, 2] = np.nan
    task = table_task(Series("made", ("y", "a", "b"), values))
    inputs, targets = task.inputs[0], task.targets[0]
    assert np.isfinite(inputs).all()
    assert (inputs[10:13, 0] == inputs[9, 0]).all()
    assert inputs[13, 0] != inputs[9, 0]
    assert (inputs[:4, 1] == 0).all()
    assert inputs[4, 1] != 0
    assert inputs[50, 2] == inputs[49, 2]
    assert (inputs[-4:, 2] == inputs[-5, 2]).all()
    expected = {9, 10, 11, task.train - 1, task.train + task.valid - 1}
    assert set(np.flatnonzero(np.isnan(targets)).tolist()) == expected

    (note,) = task.notes
    assert "Of 200 rows, values are missing for y in 3, a in 4, b in 6." in note
    assert "last value seen before it" in note
    assert "no loss or error" in note


def test_carrying_forward_agrees_with_pandas():
    import pandas as pd

    series = make_series(missing=0.6)
    task = table_task(series)
    train = series.values[: task.train]
    mean, deviation = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    filled = pd.DataFrame(series.values).ffill().to_numpy()
    expected = np.nan_to_num((filled - mean) / deviation, nan=0.0)[:-1]
    np.testing.assert_allclose(task.inputs[0], expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_said_where_nothing_was_done():
    assert table_task(make_series(missing=0, irregular=False)).notes == ()


# --- spacing ----------------------------------------------------------------------------------


def test_irregular_gaps_in_medians_before_each_step():
    series = make_series(missing=0)
    task = table_task(series, horizon=2, dt=0.25)
    gaps = np.diff(series.times)
    median = np.median(gaps[: task.train - 1])
    assert task.dt.shape == (task.steps,)
    assert task.dt.dtype == np.float32
    assert task.dt[0] == np.float32(0.25)
    for step in (1, 2, 50, task.steps - 1):
        gap = series.times[step] - series.times[step - 1]
        assert task.dt[step] == np.float32(0.25 * (gap / median))
    assert np.median(task.dt[: task.train]) == np.float32(0.25)
    (note,) = task.notes
    assert "clock" in note
    assert "from 0.5 to 2.5 seconds, median 1 in the training part" in note
    assert "in median gaps" in note


def test_the_unit_of_time_does_not_matter():
    series = make_series()
    one, other = table_task(series), table_task(changed(series, times=3600 * series.times - 1e6))
    np.testing.assert_allclose(one.dt, other.dt, rtol=1e-5)


@pytest.mark.parametrize(
    ("jitter", "regular"), [(0, True), (0.015, True), (0.03, False), (0.1, False)]
)
def test_even_spacing_gives_one_dt(jitter, regular):
    times = 60.0 * np.arange(ROWS)
    times[1::2] += 60 * jitter
    task = table_task(make_series(missing=0), dt=0.3)
    assert isinstance(task.dt, np.ndarray)
    task = table_task(changed(make_series(missing=0), times=times), dt=0.3)
    assert isinstance(task.dt, float) == regular
    assert task.timed_inputs().shape[2] == (3 if regular else 4)
    if regular:
        assert task.dt == 0.3
        assert task.notes == ()


def test_no_times_give_one_dt():
    assert table_task(changed(make_series(), times=None, time=None)).dt == 1.0


@pytest.mark.parametrize("frequency", ["MS", "YE", "BME", "B", "C"])
def test_calendars(tmp_path, frequency):
    import pandas as pd

    # Months and years count as even, and days of business though weekends are between them.
    mondays_to_saturdays = pd.offsets.CustomBusinessDay(weekmask="Mon Tue Wed Thu Fri Sat")
    calendar = mondays_to_saturdays if frequency == "C" else frequency
    days = pd.date_range("1900-01-01", periods=ROWS, freq=calendar)
    frame = pd.DataFrame(
        {"day": days.strftime("%Y-%m-%d"), "y": make_series(missing=0).values[:, 0]}
    )
    frame.to_csv(tmp_path / "calendar.csv", index=False)
    task = table_task(read_table(tmp_path / "calendar.csv", "y", time="day"))
    assert isinstance(task.dt, float)


def test_days_of_business_at_odd_hours_are_uneven(tmp_path):
    import pandas as pd

    days = pd.date_range("2000-01-01", periods=ROWS, freq="B")
    days += pd.to_timedelta(np.random.default_rng(0).uniform(0, 6, ROWS), unit="h")
    frame = pd.DataFrame({"day": days, "y": make_series(missing=0).values[:, 0]})
    frame.to_csv(tmp_path / "uneven.csv", index=False)
    assert not isinstance(
        table_task(read_table(tmp_path / "uneven.csv", "y", time="day")).dt, float
    )


def test_a_very_long_gap_is_named():
    series = make_series(missing=0, irregular=False)
    times = series.times.copy()
    times[120:] += 4999
    task = table_task(changed(series, times=times))
    assert task.dt[120] == np.float32(5000)
    assert "5000 times the median, lies before data row 121" in task.notes[1]
    assert times[120] - times[119] == 5000


# --- rows that an even grid lacks -------------------------------------------------------------


def hourly(lost, rows=ROWS):
    """Each value is its hour's number; the rows of some hours are lost."""
    kept = np.setdiff1d(np.arange(rows), lost)
    values = np.stack([kept, 2.0 * kept], axis=1).astype(float)
    return Series("h", ("y", "a"), values, 3600.0 * kept, "seconds", "t", 1e9 + 3600.0 * kept)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_lost_hour_is_an_hour_without_values(horizon):
    task = table_task(hourly([50, 51, 120, 190]), horizon=horizon)
    whole = table_task(hourly([]), horizon=horizon)
    assert task.dt == 1.0
    assert task.timed_inputs().shape == whole.inputs.shape == (1, ROWS - horizon, 2)
    back = task.targets[0].astype(float) * task.scale + task.offset
    steps = np.arange(task.steps)
    lost = np.isin(steps + horizon, [50, 51, 120, 190]) | np.isnan(whole.targets[0])
    np.testing.assert_array_equal(np.isnan(back), lost)
    np.testing.assert_allclose(back[~lost], steps[~lost] + horizon, atol=1e-3)
    seen = task.inputs[0, :, 0].astype(float) * task.scale + task.offset
    np.testing.assert_allclose(seen[[49, 50, 51, 52]], [49, 49, 49, 52], atol=1e-3)
    np.testing.assert_allclose(task.times, 1e9 + 3600.0 * (steps + horizon))
    note = next(note for note in task.notes if "evenly spaced" in note)
    assert "but for 4 rows that are missing (3 gaps, the longest of 2 before data row 51)" in note


@pytest.mark.parametrize("lost", [np.arange(50, 50 + ROWS // 8), np.arange(3, ROWS, 5)])
def test_many_lost_rows_are_not_put_in(lost):
    task = table_task(hourly(lost))
    assert isinstance(task.dt, np.ndarray)
    assert task.steps == ROWS - len(lost) - 1


def test_gaps_that_are_no_whole_number_of_steps_are_not_filled():
    series = hourly([50])
    times = series.times.copy()
    times[60:] += 1800
    assert isinstance(table_task(changed(series, times=times)).dt, np.ndarray)


def test_the_fingerprint_is_that_of_the_file():
    assert table_task(hourly([50])).spec["sha256"] != table_task(hourly([])).spec["sha256"]


# --- what defines the task --------------------------------------------------------------------


def test_spec_is_json_and_complete():
    task = table_task(make_series(), horizon=np.int64(2), train=0.5, valid=0, window=None)
    assert json.loads(json.dumps(task.spec)) == task.spec
    digest = task.spec.pop("sha256")
    assert len(digest) == 64
    assert task.spec == {
        "task": "table",
        "source": "made",
        "target": "y",
        "features": ["a", "b"],
        "time": "clock",
        "horizon": 2,
        "train": 0.5,
        "valid": 0.0,
        "window": None,
        "dt": None,
        "predict": "change",
    }
    assert (task.window, table_task(make_series()).window) == (None, 256)
    assert json.dumps(table_task(make_series(), window=np.int64(16)).window) == "16"


def test_changes_are_measured_in_the_training_part():
    series = make_series(missing=0)
    task = table_task(series)
    steps = np.diff(series.values[: task.train, 0]) / task.scale
    assert task.change == pytest.approx(steps.std(), rel=1e-5)
    assert table_task(series, predict="level").change is None
    with pytest.raises(TorchliquidError, match="predict is 'up': give 'change' or 'level'"):
        table_task(series, predict="up")


def test_equal_data_have_an_equal_hash_and_others_another():
    series = make_series()

    def digest(**fields):
        return table_task(changed(series, **fields)).spec["sha256"]

    same = series.values.copy()
    same[np.isnan(same)] = -np.nan  # other bits, the same meaning
    assert digest() == digest() == digest(values=same) == digest(name="renamed")
    nudged, shifted, swapped = (array.copy() for array in (series.values, series.times, same))
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], 9)
    shifted[-1] += 1e-6
    swapped[:, [1, 2]] = swapped[:, [2, 1]]
    others = {
        digest(values=nudged),
        digest(values=swapped),
        digest(times=shifted),
        digest(times=None),
        digest(columns=("y", "a", "c")),
    }
    assert len(others - {digest()}) == 5


def test_the_same_table_in_two_formats_is_the_same_task(tmp_path):
    import pandas as pd

    frame = pd.DataFrame(np.round(make_series().values, 3), columns=["y", "a", "b"])
    frame.to_csv(tmp_path / "made.csv", index=False)
    frame.to_parquet(tmp_path / "made.parquet")
    one, other = (
        table_task(read_table(tmp_path / f"made.{suffix}", "y", ["b"]))
        for suffix in ("csv", "parquet")
    )
    assert one.spec == other.spec
    assert one.inputs.tobytes() == other.inputs.tobytes()


def test_sunspots_as_a_task():
    task = table_task(sunspots())
    assert (task.train, task.valid, task.test) == (184, 62, 62)
    assert task.dt == 1.0
    assert task.notes == ()
    assert task.spec["time"] == "year"
    back = task.targets[0] * task.scale + task.offset
    year = 1701 + np.arange(task.steps)
    assert back[year == 1957] == pytest.approx(190.2, abs=1e-4)


# --- mistakes ---------------------------------------------------------------------------------


def constant_target(series):
    values = series.values.copy()
    values[:150, 0] = 3.5
    return changed(series, values=values)


def empty_feature(series):
    values = series.values.copy()
    values[:150, 1] = np.nan
    return changed(series, values=values)


def few_targets(series):
    values = series.values.copy()
    values[10:119, 0] = np.nan
    return changed(series, values=values)


def huge_number(series):
    values = series.values.copy()
    values[190, 2] = 1e300
    return changed(series, values=values)


def huge_training_numbers(series):
    values = series.values.copy()
    values[[3, 5], 2] = 1e308, -1e308
    return changed(series, values=values)


@pytest.mark.parametrize(
    ("change", "kwargs", "said"),
    [
        (None, {"horizon": 0}, ["horizon is 0", "at least 1"]),
        (None, {"horizon": 1.5}, ["horizon is 1.5", "integer"]),
        (None, {"train": 0}, ["train is 0 and valid is 0.2", "train above 0"]),
        (None, {"train": 0.8}, ["train is 0.8 and valid is 0.2", "sum below 1"]),
        (None, {"valid": -0.1}, ["valid is -0.1", "at least 0"]),
        (None, {"train": float("nan")}, ["train is nan", "fractions"]),
        (None, {"window": 7}, ["window is 7", "at least 8"]),
        (None, {"window": 16.5}, ["window is 16.5", "integer"]),
        (None, {"dt": 0}, ["dt is 0", "positive"]),
        (None, {"dt": float("inf")}, ["dt is inf", "finite"]),
        (None, {"horizon": 200}, ["200 rows", "0 targets to train (30 needed)", "below 200"]),
        (None, {"horizon": 10**9}, ["200 rows", "0 targets to train (30 needed)"]),
        (None, {"train": 0.1}, ["18 targets to train (30 needed)", "other than train 0.1"]),
        (None, {"valid": 0.05}, ["9 to validate (10 needed)", "70 to test"]),
        (None, {"train": 0.96, "valid": 0}, ["190 targets to train (30 needed), 8 to test"]),
        (None, {"train": 0.76, "horizon": 5}, ["8 to test (10 needed)", "below 5"]),
        (few_targets, {}, ["9 targets to train (30 needed)", "missing targets, or"]),
        (constant_target, {}, ["target 'y' is constant (3.5)", "nothing to learn", "choose"]),
        (empty_feature, {}, ["feature 'a' has no value", "119 rows", "leave it out"]),
        (huge_number, {}, ["up to 1e+300", "empty"]),
        (huge_training_numbers, {}, ["up to 1e+308", "empty"]),
    ],
)
def test_mistakes(change, kwargs, said):
    series = make_series(missing=0)
    message = error_of(change(series) if change else series, **kwargs)
    for words in said:
        assert words in message


@pytest.mark.parametrize("valid", [0, 0.2])
def test_the_least_table_that_is_enough(valid):
    # 31 training steps (the last target is not counted), 11 for validation, 10 to test.
    parts = [31, 11 if valid else 0, 10]
    steps = sum(parts)
    fractions = {"train": parts[0] / steps, "valid": parts[1] / steps}
    task = table_task(make_series(steps + 1, missing=0), **fractions)
    assert [task.train, task.valid, task.test] == parts
    for place in range(3 if valid else 1):
        fewer = parts.copy()
        fewer[place] -= 1
        steps = sum(fewer)
        fractions = {"train": fewer[0] / steps, "valid": fewer[1] / steps}
        assert "needed" in error_of(make_series(steps + 1, missing=0), **fractions)


def test_a_sentinel_is_said_and_a_peak_or_a_zero_is_not():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 1, (400, 1))
    plain = Series("s", ("y",), values.copy())
    assert table_task(plain).notes == ()
    values[rng.random(400) < 0.05] = -200
    note = " ".join(table_task(Series("s", ("y",), values)).notes)
    assert "y is -200 in" in note
    assert "`missing=-200`" in note
    counts = rng.poisson(0.7, (400, 1)).astype(float)  # zeros are frequent, and next to the others
    assert table_task(Series("s", ("y",), counts)).notes == ()
    peak = rng.normal(10, 1, (400, 1))
    peak[7] = 500  # one cell is no sentinel; that it is wild is said
    (note,) = table_task(Series("s", ("y",), peak)).notes
    assert "y is 500 in 1 cell (data row 8)" in note
    assert "it counts as it is" in note


def test_a_stuck_sensor_is_said():
    values = np.random.default_rng(0).normal(10, 1, (400, 1))
    values[300:] = 3
    assert "constant (3) in the test part" in " ".join(
        table_task(Series("s", ("y",), values)).notes
    )
