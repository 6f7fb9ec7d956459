"""Other files of the kinds that were once read wrongly; see `test_files` for the first of each."""

import numpy as np
import pandas as pd
import pytest

from torchliquid.bench.tasks.table_task import table_task
from torchliquid.errors import TorchliquidError
from torchliquid.tables.dialect import CsvDialect
from torchliquid.tables.reader import read_table

NAN = np.nan


@pytest.fixture
def read(tmp_path):
    def call(content, *, name="t.csv", target="y", **options):
        (tmp_path / name).write_text(content)
        names = CsvDialect.__dataclass_fields__
        dialect = {k: options.pop(k) for k in tuple(options) if k in names}
        return read_table(tmp_path / name, target, dialect=CsvDialect(**dialect), **options)

    return call


@pytest.fixture
def sheet(tmp_path):
    def call(**rows):
        with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
            for name, cells in rows.items():
                pd.DataFrame(cells).to_excel(book, sheet_name=name, header=False, index=False)
        return tmp_path / "t.xlsx"

    return call


# --- which column, which row ------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "t;Temp; C;y\n0;20.1;5\n1;20.4;6\n",
        "t\tTemp\t(C)\ty\n0\t20.1\t5\n1\t20.4\t6\n",
        "t Temp (C) y\n0 20.1 5\n1 20.4 6\n",
    ],
)
def test_names_with_the_separator_move_no_column(read, content):
    with pytest.raises(TorchliquidError, match="4 names in its header, but its rows have 3 cells"):
        read(content)
    moved = read(content, target="3", skip_rows=1, no_header=True)
    assert moved.values[:, 0].tolist() == [5, 6]


def test_a_torn_name_is_refused_though_the_rows_are_as_long(read):
    content = "week (first, second),Urgent order,y\n1,223.2,5,8\n2,127.6,6,9\n"
    with pytest.raises(TorchliquidError, match=r"never closed \('week \(first'\)"):
        read(content)
    with pytest.raises(TorchliquidError, match="never closed"):
        read("T [K, at noon,y\n1,2,3\n")
    assert read("y :(,y (C)\n1,2\n3,4\n", target="y (C)").values[:, 0].tolist() == [2, 4]


def test_rows_that_end_early_at_first_are_read(read):
    late = "t,y,x\n" + "".join(f"{k},1\n" for k in range(40)) + "40,2,7\n"
    assert read(late, features=["x"]).values[-1].tolist() == [2, 7]
    trailing = "t,y,,\n0,1\n1,2\n"  # names that are empty are of no column
    assert read(trailing).values[:, 0].tolist() == [1, 2]


def test_a_name_is_a_pattern_or_a_number_where_there_is_none(read):
    content = '"Time","Temp\n(C)"," Flow  rate ","3"\n0,1,2,3\n1,4,5,6\n'
    for name, column in [("Temp*", [1, 4]), ("Temp (C)", [1, 4]), ("Flow rate", [2, 5])]:
        assert read(content, target=name).values[:, 0].tolist() == column
    assert read(content, target="3").values[:, 0].tolist() == [3, 6]  # a name comes first
    by_number = read(content, target="2", time="1")
    assert by_number.values[:, 0].tolist() == [1, 4]
    assert by_number.time == "Time"  # what it is called, not how it was asked for
    with pytest.raises(TorchliquidError, match=r"2 columns named '\*T\*|'Flow  rate', 'Temp"):
        read(content, target="*[e]*")
    twice = "t,y,y\n0,1,2\n1,3,4\n"
    with pytest.raises(TorchliquidError, match=r"give its number, counted from 1 \(2, 3\)"):
        read(twice)
    assert read(twice, target="3").values[:, 0].tolist() == [2, 4]


def test_titles_and_sheets_of_a_workbook(sheet):
    table = [["when", "y"], *[[f"2020-01-{d:02d}", d] for d in range(1, 9)]]
    path = sheet(cover=[["Report", None]], data=[["Plant 7", None], [None, None], *table])
    with pytest.raises(TorchliquidError, match=r"no column 'y'|no rows"):
        read_table(path, "y")
    for named in ("data", "2"):
        with pytest.raises(TorchliquidError, match=r"'Plant 7'.*`skip_rows=2`"):
            read_table(path, "y", dialect=CsvDialect(sheet=named))
        found = read_table(path, "y", time="when", dialect=CsvDialect(sheet=named, skip_rows=2))
        assert found.values[:, 0].tolist() == list(range(1, 9))
    with pytest.raises(TorchliquidError, match="no sheet 'dat': its sheets are 'cover', 'data'"):
        read_table(path, "y", dialect=CsvDialect(sheet="dat"))
    path = sheet(a=table[1:], b=table)
    found = read_table(path, "2", time="1", dialect=CsvDialect(no_header=True, skip_footer=2))
    assert found.values[:, 0].tolist() == list(range(1, 7))
    assert "The first sheet ('a') was read; others are 'b'" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "option"),
    [("t.xlsx", "sep"), ("t.parquet", "skip_rows"), ("t.parquet", "comment"), ("t.csv", "sheet")],
)
def test_an_option_that_a_file_cannot_have_is_refused(tmp_path, name, option):
    frame = pd.DataFrame({"y": [1, 2, 3]})
    write = {"xlsx": frame.to_excel, "parquet": frame.to_parquet, "csv": frame.to_csv}
    write[name.split(".")[1]](tmp_path / name)
    given = {"sep": ";", "skip_rows": 1, "comment": "#", "sheet": "a"}[option]
    with pytest.raises(TorchliquidError, match=f"`{option}` is an option of"):
        read_table(tmp_path / name, "y", dialect=CsvDialect(**{option: given}))


@pytest.mark.parametrize("suffix", ["xlsx", "parquet", "jsonl"])
def test_marks_of_numbers_count_in_every_container(tmp_path, suffix):
    frame = pd.DataFrame({"y": ["1.234,5", "7,25", "-8"], "shop": ["007", "7", "NA"]})
    path = tmp_path / f"t.{suffix}"
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        {"xlsx": frame.to_excel, "parquet": frame.to_parquet}[suffix](path, index=False)
    found = read_table(path, "y", series="shop", dialect=CsvDialect(decimal=",", thousands="."))
    assert found.values[:, 0].tolist() == [1234.5, 7.25, -8]
    assert found.series_names == ("007", "7", "NA")


# --- text is text -----------------------------------------------------------------------------


def rows(cells, *, y="1"):
    return "y,x\n" + "".join(f"{k % 7},{cell}\n" for k, cell in enumerate(cells))


def test_a_holiday_is_not_carried_forward(read):
    cells = ["", "", "Xmas", "", "", "", "Easter", "", "", ""] * 6
    series = read(rows(cells), features=["x"])
    assert series.columns == ("y", "x=Easter", "x=Xmas")
    np.testing.assert_array_equal(series.values[:, 2], [float(c == "Xmas") for c in cells])
    assert "48 empty cells are none of them" in series.notes[0]
    one = read(rows(["", "", "Xmas"] * 10), features=["x"])  # one word, and none
    assert one.values[:, 1].tolist() == [0, 0, 1] * 10


@pytest.mark.parametrize("word", ["NA", "None", "nan", "null", "N/A", "-", "?", "true"])
def test_words_that_elsewhere_mean_nothing_are_words(read, word):
    series = read(rows([word, "EU", "AS"] * 10), features=["x"])
    np.testing.assert_array_equal(
        series.values[:, series.columns.index(f"x={word}")], [1, 0, 0] * 10
    )


def test_comments_and_ids_are_no_categories(read):
    with pytest.raises(TorchliquidError, match="give a column of numbers"):
        read(rows([f"note {k}" for k in range(60)]), features=["x"])
    with pytest.raises(TorchliquidError, match=r"'a' in data row 3 \(2 such cells.*`missing=a`"):
        read(rows(["1", "2", "a", "3", "4", "b", "5"]), features=["x"])


@pytest.mark.parametrize(
    ("first", "second"), [("007", "7"), ("1.0", "1"), ("1e3", "1000"), ("NA", "EU"), ("0", "-0")]
)
def test_names_of_series_are_text(read, first, second):
    lines = [f"{name},{t},{t % 5}" for name in (first, second) for t in range(12)]
    series = read("id,t,y\n" + "\n".join(lines) + "\n", series="id", time="t")
    assert series.series_names == (first, second)


def test_words_of_another_table_keep_their_columns(tmp_path):
    first = pd.DataFrame({"y": range(60), "w": ["a", "b", "c"] * 20})
    learnt = read_table(first, "y", ["w"])
    assert learnt.words == {"w": ("a", "b", "c")}
    later = pd.DataFrame({"w": ["b", "new", None], "y": [1, 2, 3]})
    found = read_table(later, "y", ["w"], words=learnt.words)
    assert found.columns == learnt.columns
    np.testing.assert_array_equal(found.values[:, 1:], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert "not there before (new)" in found.notes[0]
    many = pd.DataFrame({"y": range(150), "w": [f"w{k % 15:02d}" for k in range(150)]})
    learnt = read_table(many, "y", ["w"])
    assert learnt.words["w"][-1] == "other"
    found = read_table(later, "y", ["w"], words=learnt.words)
    np.testing.assert_array_equal(found.values[:, -1], [1, 1, 0])  # unseen words are other ones


# --- numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["\u22121.5", "\u22122", "3"], [-1.5, -2, 3]),
        (["12'345'678.9", "1'000", "5"], [12345678.9, 1000, 5]),
        (["1\u2009000", "2\u2007000.5", "3"], [1000, 2000.5, 3]),
        (["1e999"], "is inf in data row 1"),
        (["1_000", "2"], "holds '1_000' in data row 1"),
        (["1.2.3", "2"], "holds '1.2.3'"),
        (["(5)", "6"], "beside numbers without such a sign"),
        (["5-", "6"], "beside numbers without such a sign"),
        (["20-30", "30-40"], "holds '20-30'"),  # ranges
        (["10:75", "2:00"], "holds '10:75'"),
    ],
)
def test_signs_and_separators(read, cells, wanted):
    content = "y;t\n" + "".join(f"{cell};{k}\n" for k, cell in enumerate(cells))
    if isinstance(wanted, str):
        with pytest.raises(TorchliquidError, match=wanted.replace("(", r"\(")):
            read(content)
    else:
        assert read(content).values[:, 0].tolist() == wanted


def test_a_decimal_mark_that_was_given_leaves_no_other(read):
    with pytest.raises(TorchliquidError, match=r"holds 1\.5 in data row 2"):
        read("y;t\n1,5;0\n1.5;1\n", decimal=",")


# --- times ------------------------------------------------------------------------------------


def stamps(series):
    return pd.to_datetime(series.dates, unit="s").strftime("%Y-%m-%d %H:%M:%S").tolist()


@pytest.mark.parametrize(
    ("times", "options", "wanted"),
    [
        (["20201231 24:00", "20210101 01:00"], {}, ["2021-01-01 00:00:00", "2021-01-01 01:00:00"]),
        (["2020-12-31T24:00:00Z", "2021-01-01T01:00:00Z"], {},
         ["2021-01-01 00:00:00", "2021-01-01 01:00:00"]),
        (["31.12.2020 23:00", "31.12.2020 24:00", "01.01.2021 01:00"], {},
         ["2020-12-31 23:00:00", "2021-01-01 00:00:00", "2021-01-01 01:00:00"]),
        (["31/12/2020", "31/12/2020 01:30:00"], {}, ["2020-12-31 00:00:00", "2020-12-31 01:30:00"]),
        (["12/31/2020 11:00 PM", "1/1/2021", "1/1/2021 1:00 AM"], {},
         ["2020-12-31 23:00:00", "2021-01-01 00:00:00", "2021-01-01 01:00:00"]),
        (["2020-W53", "2021-W01"], {}, ["2020-12-28 00:00:00", "2021-01-04 00:00:00"]),
        (["Q4-2020", "Q1-2021"], {}, ["2020-10-01 00:00:00", "2021-01-01 00:00:00"]),
        (["31.12.2020 - 06.01.2021", "07.01.2021 - 13.01.2021"], {},
         ["2020-12-31 00:00:00", "2021-01-07 00:00:00"]),
        (["2020 12 31", "2021 1 1"], {}, ["2020-12-31 00:00:00", "2021-01-01 00:00:00"]),
        (["2020 12 31 23 59 30", "2021 1 1 0 0 0"], {},
         ["2020-12-31 23:59:30", "2021-01-01 00:00:00"]),
        (["20201231 2359", "20210101 0000"], {}, ["2020-12-31 23:59:00", "2021-01-01 00:00:00"]),
        (["1609459199.5", "1609459200.25"], {"time_unit": "s"},
         ["2020-12-31 23:59:59", "2021-01-01 00:00:00"]),
        (["18627", "18628"], {"time_unit": "D"}, ["2020-12-31 00:00:00", "2021-01-01 00:00:00"]),
        (["99-12-31", "00-01-01"], {"time_format": "%y-%m-%d"},
         ["1999-12-31 00:00:00", "2000-01-01 00:00:00"]),
        (["31.12.39", "01.01.40"], {"time_format": "%d.%m.%y"},
         ["1939-12-31 00:00:00", "1940-01-01 00:00:00"]),
    ],
)  # fmt: skip
def test_forms_of_times(read, times, options, wanted):
    content = "t;y\n" + "".join(f"{t};{k}\n" for k, t in enumerate(times))
    assert stamps(read(content, time="t", **options)) == wanted


def test_times_of_day_that_start_again_at_midnight(read):
    clocks = ["23:58:00", "23:59:00", "00:00:00", "00:01:00"]
    content = "t,y\n" + "".join(f"{t},{k}\n" for k, t in enumerate(clocks))
    series = read(content, time="t")
    assert np.diff(series.times).tolist() == [60, 60, 60]
    assert "start again at midnight 1 times" in series.notes[0]
    with pytest.raises(TorchliquidError, match="goes back from '10:00' in data row 1"):
        read("t,y\n10:00,1\n09:00,2\n11:00,3\n", time="t")  # three hours are no night


def test_the_rule_for_an_hour_that_clocks_showed_twice(read):
    clocks = [f"2020-10-25 0{hour}:00" for hour in (1, 2, 3, 4)]  # one 02:00 of two
    content = "t,y\n" + "".join(f"{t},{k}\n" for k, t in enumerate(clocks))
    zone = {"time": "t", "time_zone": "Europe/Berlin"}
    with pytest.raises(TorchliquidError, match=r"02:00:00 twice.*1 such row.*`clock_change`"):
        read(content, **zone)
    for rule, gaps in (("first", [3600, 7200, 3600]), ("last", [7200, 3600, 3600])):
        assert np.diff(read(content, clock_change=rule, **zone).times).tolist() == gaps
    dropped = read(content, clock_change="drop", **zone)
    assert dropped.values[:, 0].tolist() == [0, 2, 3]
    assert np.diff(dropped.times).tolist() == [10800, 3600]
    with pytest.raises(TorchliquidError, match="clock change is 'both': give ask, first, last"):
        read(content, clock_change="both", **zone)


@pytest.mark.parametrize(
    ("every", "zone"),
    [("1D", "Europe/Berlin"), ("W-MON", "America/New_York"), ("MS", "Asia/Kolkata"), ("6h", None)],
)
def test_intervals_are_those_of_pandas_by_local_clocks(read, every, zone):
    index = pd.date_range("2020-02-20", periods=1200, freq="h", tz=zone)
    values = np.sin(np.arange(1200.0))
    text = index.tz_convert("UTC").tz_localize(None) if zone else index
    content = "t,y\n" + "".join(f"{t}Z,{v!r}\n" for t, v in zip(text, values.tolist(), strict=True))
    series = read(content, time="t", time_zone=zone, every=every)
    wanted = pd.Series(values, index).resample(every, label="left", closed="left").mean()
    np.testing.assert_allclose(series.values[:, 0], wanted, rtol=1e-14)
    moments = wanted.index.tz_convert("UTC").tz_localize(None) if zone else wanted.index
    assert stamps(series) == moments.strftime("%Y-%m-%d %H:%M:%S").tolist()
    assert len(set(np.diff(series.times))) == 1  # a clock that changes makes no uneven day


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["02-Jan-20", "03-Jan-20"], "`time_format`, '%d-%b-%y'$"),
        (["1/31/20 13:00", "1/31/20 14:00"], "`time_format`, '%m/%d/%y %H:%M'$"),
        (["20200101_120000", "20200101_130000"], "'%Y%m%d_%H%M%S'"),
        (["2020-01-01 10:00 CET", "2020-01-01 11:00 CET"], "'%Y-%m-%d %H:%M CET'.*calls CET"),
        (["1.6E+09", "1.6E+09", "1.6E+09", "1.7E+09"], "were rounded when the file was written"),
    ],
)
def test_the_very_form_is_offered(read, times, said):
    content = "t;y\n" + "".join(f"{t};{k}\n" for k, t in enumerate(times))
    with pytest.raises(TorchliquidError, match=said):
        read(content, time="t")


@pytest.mark.parametrize(
    ("text", "unit"), [("1600000000", "s"), ("1600000000000", "ms"), ("44000", "excel")]
)
def test_a_unit_of_times_that_cannot_be(read, text, unit):
    content = f"t,y\n{text},1\n{int(text) + 1},2\n"
    assert read(content, time="t", time_unit=unit).dates is not None
    assert (f"`time_unit={unit}`" in " ".join(read(content, time="t").notes)) == (unit != "excel")
    with pytest.raises(TorchliquidError, match="time unit is 'weeks': give ns, us, ms, s"):
        read(content, time="t", time_unit="weeks")
    with pytest.raises(TorchliquidError, match="'noon' in data row 2: `time_unit` is of times"):
        read("t,y\n1,1\nnoon,2\n", time="t", time_unit="s")


@pytest.mark.parametrize(
    ("mask", "horizon", "rows"),
    [
        ("9-16", "1D", 8), ("9-16", "3h", 3), ("9-16", "7D", 40), ("0-23", "1D", 24),
        ("12-12", "1D", 1), ("12-12", "14D", 10), ("12-12", "2D", None), ("9-16", "36h", None),
    ],
)  # fmt: skip
def test_a_horizon_in_a_calendar_of_working_hours(tmp_path, mask, horizon, rows):
    first, last = map(int, mask.split("-"))
    index = pd.date_range("2020-01-06", periods=24 * 7 * 32, freq="h")
    index = index[(index.day_of_week < 5) & (index.hour >= first) & (index.hour <= last)]
    frame = pd.DataFrame(
        {"t": index.strftime("%Y-%m-%d %H:%M"), "y": np.sin(np.arange(len(index)))}
    )
    frame.drop(frame.index[40:44]).to_csv(tmp_path / "t.csv", index=False)
    series = read_table(tmp_path / "t.csv", "y", time="t")
    if rows is None:
        with pytest.raises(TorchliquidError, match=r"weekly calendar.*\(1D\), whole weeks \(7D\)"):
            table_task(series, horizon=horizon)
        return
    task = table_task(series, horizon=horizon)
    assert task.spec["horizon"] == rows
    assert isinstance(task.dt, float)  # days off count as no time, and a lost row is put in
    assert task.steps == len(frame) - rows
