"""Times as people write them: read where there is one way to, asked about where there are two."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from torchliquid.bench.tasks.table_task import table_task
from torchliquid.errors import TorchliquidError
from torchliquid.tables.reader import Series, read_table

NAN = np.nan
HOUR, DAY = 3600, 86_400


@pytest.fixture
def read(tmp_path):
    def call(times, values=None, **options):
        values = range(len(times)) if values is None else values
        lines = "\n".join(f"{t};{v}" for t, v in zip(times, values, strict=True))
        (tmp_path / "t.csv").write_text(f"t;y\n{lines}\n")
        return read_table(tmp_path / "t.csv", "y", time="t", **options)

    return call


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# --- forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "first", "unit", "gaps"),
    [
        (["2020-01-31", "2020-02-01"], "2020-01-31", "seconds", [DAY]),
        (["2020/1/31", "2020/2/1"], "2020-01-31", "seconds", [DAY]),
        (["2020/01/31 10:00", "2020/01/31 11:30"], "2020-01-31 10:00", "seconds", [5400]),
        (["31/01/2020", "01/02/2020"], "2020-01-31", "seconds", [DAY]),
        (["01/31/2020", "02/01/2020"], "2020-01-31", "seconds", [DAY]),
        (["31.01.2020 10:00", "31.01.2020 11:00"], "2020-01-31 10:00", "seconds", [HOUR]),
        (["31-1-2020 18.00.00", "31-1-2020 19.00.00"], "2020-01-31 18:00", "seconds", [HOUR]),
        (["1/31/2020 11:30 AM", "1/31/2020 12:30 PM"], "2020-01-31 11:30", "seconds", [HOUR]),
        (["2020-01-31 11:30 PM", "2020-02-01 12:30 AM"], "2020-01-31 23:30", "seconds", [HOUR]),
        (["Jan 31 2020", "Feb 1 2020"], "2020-01-31", "seconds", [DAY]),
        (["31 January 2020", "1 February 2020"], "2020-01-31", "seconds", [DAY]),
        (["1991 Jul", "1991 Aug", "1991 Sep"], "1991-07-01", "months", [1, 1]),
        (["1970Q1", "1970Q2", "1970Q3"], "1970-01-01", "months", [3, 3]),
        (["1970 Q4", "1971 Q1"], "1970-10-01", "months", [3]),
        (["202012", "202101"], "2020-12-01", "months", [1]),
        (["2021013123", "2021020100"], "2021-01-31 23:00", "seconds", [HOUR]),
        (["2020-01-31 10:00 UTC", "2020-01-31 11:00 UTC"], "2020-01-31 10:00", "seconds", [HOUR]),
        (["2020-01-31T10:00Z", "2020-01-31T11:00Z"], "2020-01-31 10:00", "seconds", [HOUR]),
        (["2020-01-31T10:00+02:00", "2020-01-31T10:00+01:00"], "2020-01-31 08:00", "seconds",
         [HOUR]),
        (["12:30:00", "12:31:30", "25:00:00"], None, "seconds", [90, 44_910]),
        (["9:59", "10:00"], None, "seconds", [60]),
        (["11111111", "11111112"], None, None, [1]),  # a counter
        (["2019", "2020"], None, None, [1]),
    ],
)  # fmt: skip
def test_forms(read, times, first, unit, gaps):
    series = read(times)
    assert series.time_unit == unit
    np.testing.assert_allclose(np.diff(series.times), gaps)
    if first is None:
        assert series.dates is None
    else:
        assert series.dates[0] == moment(first)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["01/02/2020", "02/02/2020"], r"may name the day or the month first.*%d/%m/%Y or %m/%d"),
        (["01.02.2020 10:00", "02.02.2020 11:00"], r"%d.%m.%Y %H:%M or %m.%d.%Y %H:%M"),
        (["31/01/2020", "01/31/2020"], "may name the day or the month first"),
        (["2020-01-01 CET", "2020-01-02 CET"], r"holds '2020-01-01 CET' in data row 1 \(2 such"),
        (["2020-01-01T10:00[Europe/Paris]", "2020-01-02T10:00[Europe/Paris]"], "in data row 1"),
        (["2020-01-01 25:00", "2020-01-02 25:00"], "in data row 1"),
        (["2020-01-01", "Total"], r"'Total' in data row 2 \(1 such"),
        (["1970Q5", "1970Q6"], "'1970Q5' in data row 1"),
        (["30/02/2020", "31/02/2020"], "'30/02/2020' in data row 1"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none(read, times, said):
    with pytest.raises(TorchliquidError, match=said):
        read(times)


def test_parquet_durations(tmp_path):
    table = pd.DataFrame({"t": pd.to_timedelta([0, 90, 180], unit="s"), "y": [1, 2, 3]})
    table.to_parquet(tmp_path / "t.parquet")
    series = read_table(tmp_path / "t.parquet", "y", time="t")
    assert (series.times.tolist(), series.time_unit) == ([0, 90, 180], "seconds")


# --- zones ------------------------------------------------------------------------------------


def test_an_hour_that_comes_twice_is_two_hours_by_the_clocks_of_its_zone(read):
    night = [f"2020-10-25 0{h}:00" for h in (0, 1, 2, 2, 3, 4)]
    with pytest.raises(TorchliquidError, match="give `time_zone`"):
        read(night)
    series = read(night, time_zone="Europe/Berlin")
    assert np.diff(series.times).tolist() == [HOUR] * 5
    assert series.dates[0] == moment("2020-10-24 22:00")
    spring = ["2020-03-29 01:00", "2020-03-29 03:00"]
    assert np.diff(read(spring, time_zone="Europe/Berlin").times).tolist() == [HOUR]


def test_hours_that_no_clock_showed(read):
    with pytest.raises(TorchliquidError, match=r"clocks of .Europe/Berlin. never showed"):
        read(["2020-03-29 01:00", "2020-03-29 02:30"], time_zone="Europe/Berlin")
    with pytest.raises(TorchliquidError, match=r"Europe/Berln.*such as Europe/Berlin"):
        read(["2020-03-29", "2020-03-30"], time_zone="Europe/Berln")
    offset = read(["2020-01-01T10:00+02:00", "2020-01-01T11:00+02:00"], time_zone="America/Lima")
    assert offset.dates[0] == moment("2020-01-01 08:00")  # its own zone counts


# --- resampling -------------------------------------------------------------------------------


def test_resampling_takes_the_mean_of_each_interval_and_leaves_empty_ones_empty(read):
    times = ["2020-01-01 10:05", "2020-01-01 10:55", "2020-01-01 11:00", "2020-01-01 13:59"]
    series = read(times, [1, 3, "", 8], every="1h")
    np.testing.assert_array_equal(series.values[:, 0], [2, NAN, NAN, 8])
    assert series.dates.tolist() == [moment(f"2020-01-01 {h}:00") for h in (10, 11, 12, 13)]
    numbers = read([0.2, 0.7, 1.4, 3.1], [1, 3, 5, 7], every="0.5")
    np.testing.assert_array_equal(numbers.values[:, 0], [1, 3, 5, NAN, NAN, NAN, 7])
    np.testing.assert_allclose(numbers.times, [0, 0.5, 1, 1.5, 2, 2.5, 3])


@pytest.mark.parametrize(
    ("times", "every", "said"),
    [
        (["2020-01-01", "2020-01-02"], "soon", "`every` is 'soon': give such as 15min"),
        (["2020-01-01", "2020-01-02"], "-1h", "above 0"),
        ([1, 2], "1h", "give a number"),
        (["2020-01-01", "2021-01-01"], "1s", "rows of 2, most of them empty"),
    ],
)
def test_intervals_that_cannot_be(read, times, every, said):
    with pytest.raises(TorchliquidError, match=said):
        read(times, every=every)


def test_an_interval_needs_times(tmp_path):
    (tmp_path / "t.csv").write_text("y\n1\n2\n")
    with pytest.raises(TorchliquidError, match="`every=1h` needs `time`"):
        read_table(tmp_path / "t.csv", "y", every="1h")


# --- horizons, calendars, plans -----------------------------------------------------------------


def hourly(rows=200, **fields):
    values = np.stack([np.arange(rows), 1000 + np.arange(rows)], axis=1).astype(float)
    times = HOUR * np.arange(rows, dtype=float)
    return Series("h", ("y", "plan"), values, times, "seconds", "t", 1e9 + times, **fields)


@pytest.mark.parametrize(("horizon", "rows"), [("3h", 3), ("1D", 24), ("5", 5), (2, 2)])
def test_a_horizon_in_time(horizon, rows):
    task = table_task(hourly(), horizon=horizon)
    assert task.steps == 200 - rows
    assert task.spec["horizon"] == rows


@pytest.mark.parametrize(
    ("horizon", "said"),
    [("90min", "1.5 rows of 3600 seconds"), ("soon", "a time such as 6h"), ("0", "horizon is 0")],
)
def test_horizons_that_cannot_be(horizon, said):
    with pytest.raises(TorchliquidError, match=said):
        table_task(hourly(), horizon=horizon)
    uneven = hourly()
    uneven.times[100:] += 700
    with pytest.raises(TorchliquidError, match=r"not evenly spaced dates.*`every`"):
        table_task(uneven, horizon="3h")


def test_what_is_known_beforehand_is_that_of_the_row_predicted():
    task = table_task(hourly(future=("plan",)), horizon=4)
    plain = table_task(hourly(), horizon=4)
    ahead = task.inputs[0, :, 1] - plain.inputs[0, :, 1]
    steps = np.arange(task.steps)
    assert np.corrcoef(task.inputs[0, :, 1], steps)[0, 1] > 0.999
    assert np.ptp(ahead) < 1e-4
    assert task.inputs[0, 0, 0] == plain.inputs[0, 0, 0]  # the target's own value is not moved
    np.testing.assert_array_equal(task.targets, plain.targets)
    assert task.spec["future"] == ["plan"]


def test_a_calendar_is_that_of_the_row_predicted(read):
    times = pd.date_range("2020-01-06", periods=300, freq="h").strftime("%Y-%m-%d %H:%M")
    series = read(times, calendar=["hour", "weekday"], time_zone="Asia/Tokyo")
    assert series.columns == ("y", "hour sin", "hour cos", "weekday sin", "weekday cos")
    assert series.future == series.columns[1:]
    angle = 2 * np.pi * np.arange(300) / 24
    np.testing.assert_allclose(series.values[:, 1], np.sin(angle), atol=1e-9)
    np.testing.assert_allclose(series.values[:, 4], np.cos(angle / 7), atol=1e-9)
    with pytest.raises(TorchliquidError, match="calendar is 'day': give some of hour"):
        read(times, calendar=["day"])
    with pytest.raises(TorchliquidError, match="`calendar` needs dates"):
        read(range(10), calendar=["hour"])


def test_a_plan_must_be_a_feature(read):
    with pytest.raises(TorchliquidError, match="'z' is to be known beforehand, but is no feature"):
        read(range(10), future=["z"])


@pytest.mark.parametrize(
    ("content", "time", "first", "gaps"),
    [
        ("year,quarter,y\n1959,4,1\n1960,1,2\n1960,2,3\n", "year,quarter", "1959-10-01", [3, 3]),
        ("Year,Month,y\n1959.0,12.0,1\n1960.0,1.0,2\n", "Year,Month", "1959-12-01", [1]),
        ("year,month,day,hour,y\n2020,2,29,23,1\n2020,3,1,0,2\n", "year,month,day,hour",
         "2020-02-29 23:00", [HOUR]),
    ],
)  # fmt: skip
def test_dates_in_columns_of_numbers(tmp_path, content, time, first, gaps):
    (tmp_path / "t.csv").write_text(content)
    series = read_table(tmp_path / "t.csv", "y", time=time)
    assert series.dates[0] == moment(first)
    assert np.diff(series.times).tolist() == gaps


def test_numbers_that_are_no_date(tmp_path):
    (tmp_path / "t.csv").write_text("year,quarter,y\n1959,4,1\n1960,5,2\n")
    with pytest.raises(TorchliquidError, match="empty or no date in data row 2"):
        read_table(tmp_path / "t.csv", "y", time="year,quarter")
