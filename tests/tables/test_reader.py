"""Tables from files: every format gives the same series, every mistake one line that helps."""

import gzip
import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from torchliquid.errors import TorchliquidError
from torchliquid.tables.dialect import CsvDialect
from torchliquid.tables.reader import read_table

NAN = np.nan
BASE = "t,y,a,b\n1,10,0.1,7\n2,11,,8\n4,12.5,0.3,9\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def error_of(path, *args, **kwargs) -> str:
    with pytest.raises(TorchliquidError) as caught:
        read_table(path, *args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert 20 < len(message) < 1000
    return message


# --- what is read -----------------------------------------------------------------------------


def test_columns_in_the_order_asked_for(write):
    series = read_table(write(BASE), "y", ["b", "a"], "t")
    assert series.name == "table"
    assert series.columns == ("y", "b", "a")
    assert (series.time, series.time_unit) == ("t", None)
    np.testing.assert_array_equal(series.values, [[10, 7, 0.1], [11, 8, NAN], [12.5, 9, 0.3]])
    np.testing.assert_array_equal(series.times, [1, 2, 4])
    assert series.values.dtype == series.times.dtype == np.float64


def test_target_alone_without_times(write):
    series = read_table(str(write(BASE)), "y")
    assert series.values.tolist() == [[10], [11], [12.5]]
    assert (series.times, series.time_unit, series.time) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("semicolons.csv", BASE.replace(",", ";")),
        ("decimal-comma.csv", BASE.replace(",", ";").replace(".", ",")),
        ("tabs.tsv", BASE.replace(",", "\t")),
        ("tabs-decimal-comma.txt", BASE.replace(",", "\t").replace(".", ",")),
        ("spaces.csv", BASE.replace(",", ", ")),
        ("windows.csv", ("\ufeff" + BASE).replace("\n", "\r\n")),
        ("words-for-missing.csv", BASE.replace(",,", ",NA,")),
        ("nan.csv", BASE.replace(",,", ",NaN,")),
        ("empty-lines.csv", "\n\n" + BASE.replace("\n", "\n\n")),
        ("many-empty-lines.csv", BASE.replace("\n", "\n" * 30)),
        ("both.csv", BASE.replace("\n", "," + "\n" * 30).replace("b,", "b", 1)),
        ("trailing-separator.csv", BASE.replace("\n", ",\n").replace("b,", "b", 1)),
        ("upper.CSV", BASE),
        (
            "r-style.txt",
            '"t","y","a","b"\n"r1",1,10,0.1,7\n"r2",2,11,,8\n"r3",4,12.5,0.3,9\n',
        ),
        ("pandas-index.csv", ",t,y,a,b\n0,1,10,0.1,7\n1,2,11,,8\n2,4,12.5,0.3,9\n"),
        ("quoted-separator.csv", BASE.replace("a,b", '"a",b').replace("\n1,", '\n"1",')),
    ],
)
def test_dialects_say_the_same(write, name, content):
    plain = read_table(write(BASE), "y", ["b", "a"], "t")
    other = read_table(write(content, name), "y", ["b", "a"], "t")
    np.testing.assert_array_equal(other.values, plain.values)
    np.testing.assert_array_equal(other.times, plain.times)


def test_table_like_the_occupancy_files(write):
    header = '"date","Temperature","Light","CO2","Occupancy"\n'
    rows = [
        '"140","2015-02-02 14:19:00",23.7,585.2,749.2,1',
        '"141","2015-02-02 14:19:59",23.718,578.4,760.4,1',
        '"142","2015-02-02 14:21:00",23.73,572.666666666667,769.666666666667,0',
    ]
    path = write(header + "\n".join(rows) + "\n", "datatest.txt")
    series = read_table(path, "CO2", ["Temperature", "Occupancy"], "date")
    assert series.values.tolist() == [
        [749.2, 23.7, 1],
        [760.4, 23.718, 1],
        [769.666666666667, 23.73, 0],
    ]
    assert series.times.tolist() == [0, 59, 120]
    assert series.time_unit == "seconds"


def test_missing_values_in_a_single_column_are_not_skipped(write):
    for content in ("y\n1\n\n3\n", "\n \ny\n1\n\n3"):
        values = read_table(write(content), "y").values
        np.testing.assert_array_equal(values, [[1], [NAN], [3]])


def test_true_and_false_are_numbers(write):
    values = read_table(write("y,a\n1,True\n2,\n3,False\n4,True\n"), "y", ["a"]).values
    np.testing.assert_array_equal(values[:, 1], [1, NAN, 0, 1])


def test_unrelated_columns_may_hold_anything(write):
    path = write("y,note,note\n1,good,inf\n2,bad,x\n")
    assert read_table(path, "y").values.tolist() == [[1], [2]]


def test_text_far_down_a_long_table(write):
    path = write("y\n" + "1.5\n" * 600_000 + "wet\n")
    assert "'wet' in data row 600001" in error_of(path, "y")


def test_parquet_equals_csv(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2020-01-01", periods=40, freq="37min"),
            "y": rng.normal(size=40),
            "a": np.where(rng.random(40) < 0.3, NAN, rng.normal(size=40)),
            "on": rng.random(40) < 0.5,
            "count": pd.array([None, *range(39)], dtype="Int64"),
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.set_index("when").to_parquet(tmp_path / "indexed.pq")
    csv, *others = (
        read_table(tmp_path / name, "y", ["a", "on", "count"], "when")
        for name in ("x.csv", "x.parquet", "indexed.pq")
    )
    assert np.isnan(csv.values).any()
    for other in others:
        # The last bit of a decimal number is its reader's business.
        np.testing.assert_allclose(other.values, csv.values, rtol=1e-15)
        np.testing.assert_array_equal(other.times, csv.times)
        assert other.time_unit == csv.time_unit == "seconds"
    np.testing.assert_array_equal(others[0].values[:, 0], frame["y"])


def test_parquet_types_that_text_does_not_have(tmp_path):
    days = [date(2020, 1, 1) + timedelta(days=i) for i in (0, 1, 3)]
    frame = pd.DataFrame(
        {"day": days, "y": [Decimal("1.5"), None, Decimal("2")], "c": ["1", "2", "3"]}
    )
    frame["c"] = frame["c"].astype("category")
    frame.to_parquet(tmp_path / "x.parquet")
    series = read_table(tmp_path / "x.parquet", "y", ["c"], "day")
    np.testing.assert_array_equal(series.values, [[1.5, 1], [NAN, 2], [2, 3]])
    assert series.times.tolist() == [0, 86400, 3 * 86400]


def test_numpy_array(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.save(tmp_path / "trace.npy", array)
    series = read_table(tmp_path / "trace.npy", "x2", ["x0"])
    assert series.columns == ("x2", "x0")
    np.testing.assert_array_equal(series.values, array[:, [2, 0]])


# --- times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["2020-03-01", "2020-03-02", "2020-03-02T12:00"], [0, 86400, 129600]),
        (["20200301", "20200302", "20200304"], [0, 86400, 3 * 86400]),
        (["20200228", "20200229", "20200301"], [0, 86400, 2 * 86400]),
        (["2020-03-01 00:00:00.25", "2020-03-01 00:00:01", "2020-03-01 00:01"], [0, 0.75, 59.75]),
        (["2020-03-01T00:00Z", "2020-03-01T02:00+01:00", "2020-03-01T02:00Z"], [0, 3600, 7200]),
        # Clocks go back: 02:30 summer time is before 02:30 winter time.
        (
            ["2020-10-25T02:00+02:00", "2020-10-25T02:30+02:00", "2020-10-25T02:30+01:00"],
            [0, 1800, 5400],
        ),
    ],
)
def test_dates_in_any_iso_form(write, cells, seconds):
    series = read_table(write("t,y\n" + "\n".join(f"{c},1" for c in cells)), "y", time="t")
    assert series.times.tolist() == seconds
    assert series.time_unit == "seconds"


def test_times_are_exact_far_from_the_epoch(write):
    stamps = [datetime(2400, 1, 1, tzinfo=UTC) + timedelta(microseconds=100 * i) for i in range(50)]
    rows = "\n".join(f"{stamp.isoformat()},1" for stamp in stamps)
    if pd.__version__ < "3":
        assert "need pandas 3" in error_of(write("t,y\n" + rows), "y", time="t")
        return
    times = read_table(write("t,y\n" + rows), "y", time="t").times
    np.testing.assert_allclose(times, 1e-4 * np.arange(50), rtol=1e-12)


@pytest.mark.parametrize(
    ("cells", "months"),
    [
        (["2019-12", "2020-01", "2020-02", "2020-04"], [0, 1, 2, 4]),
        (["2020-01-31", "2020-02-29", "2020-03-31", "2020-06-30"], [0, 1, 2, 5]),
        (["1999-07-01", "2000-07-01", "2002-07-01"], [0, 12, 36]),
        (["2020-01-15T06:00Z", "2020-02-15T06:00Z", "2020-05-15T06:00Z"], [0, 1, 4]),
    ],
)
def test_same_moment_of_the_month_is_counted_in_months(write, cells, months):
    series = read_table(write("t,y\n" + "\n".join(f"{c},1" for c in cells)), "y", time="t")
    assert series.times.tolist() == months
    assert series.time_unit == "months"


@pytest.mark.parametrize(
    "cells",
    [
        ["1700", "1701", "1703"],
        ["-1.5", "0", "0.25"],
        ["99", "10000000", "10000002"],
        ["20150201", "20150230", "20150399"],
    ],
)
def test_numbers_stay_numbers(write, cells):
    series = read_table(write("t,y\n" + "\n".join(f"{c},1" for c in cells)), "y", time="t")
    assert series.times.tolist() == [float(cell) for cell in cells]
    assert series.time_unit is None


# --- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kwargs", "said"),
    [
        (BASE, {"target": "Y"}, ["no column 'Y'", "did you mean 'y'", "'t', 'y', 'a', 'b'"]),
        ("CO2,Light\n1,2", {"target": "CO3"}, ["'CO3'", "did you mean 'CO2'", "'CO2', 'Light'"]),
        (BASE, {"target": "y", "features": ["zzzz"]}, ["'zzzz'", "columns are 't', 'y', 'a', 'b'"]),
        (BASE, {"target": "y", "time": "date"}, ["'date'", "columns are 't', 'y', 'a', 'b'"]),
        (
            ",".join(f"c{i}" for i in range(50)) + "\n" + ",".join("1" * 50),
            {"target": "zzzz"},
            ["'c19' and 30 more"],
        ),
        (BASE, {"target": "y", "features": ["a", "y"]}, ["'y'", "target and feature", "leave it"]),
        (BASE, {"target": "y", "features": ["a", "a"]}, ["'a'", "twice", "once"]),
        (BASE, {"target": "y", "features": ["t"], "time": "t"}, ["'t'", "one role"]),
        (BASE, {"target": "t", "time": "t"}, ["'t'", "target and the time column", "one role"]),
        ("y,y,a\n1,2,3", {"target": "y"}, ["2 columns named 'y'", "rename"]),
        (
            "y,a\n1,2\n,3\nwet,4\ndry,5",
            {"target": "y"},
            ["target 'y'", "'wet' in data row 3", "numbers", "empty"],
        ),
        ("y,a\n1,2\n1,x", {"target": "y", "features": ["a"]}, ["feature 'a'", "'x' in data row 2"]),
        (f"y\n{'long ' * 99}", {"target": "y"}, ["'long long", "...", "data row 1"]),
        ("y\n1\ninf", {"target": "y"}, ["target 'y'", "inf in data row 2", "finite"]),
        ("y\n1\n2\n-1e999", {"target": "y"}, ["-inf in data row 3", "finite"]),
        ("y,a\n1,\n2,", {"target": "y", "features": ["a"]}, ["feature 'a'", "no value at all"]),
        ("t,y\n1,1\n,2", {"target": "y", "time": "t"}, ["'t'", "no date in data row 2", "fill"]),
        (
            "t,y\n2020-01-01,1\n01/02/2020,2",
            {"target": "y", "time": "t"},
            ["'t'", "'01/02/2020' in data row 2", "2015-02-04T17:51:00"],
        ),
        ("t,y\n12:0,1\n12:1,2", {"target": "y", "time": "t"}, ["'12:0' in data row 1", "like"]),
        ("t,y\n1.5,1\nnoon,2\n3,3", {"target": "y", "time": "t"}, ["'noon' in data row 2"]),
        ("t,y\n1,1\ninf,2", {"target": "y", "time": "t"}, ["inf in data row 2", "finite"]),
        (
            "t,y\n1,1\n3,2\n2,3",
            {"target": "y", "time": "t"},
            ["from 3 in data row 2", "to 2 in data row 3", "sort"],
        ),
        (
            "t,y\n2020-01-02,1\n2020-01-01,2",
            {"target": "y", "time": "t"},
            ["'2020-01-02' in data row 1", "'2020-01-01' in data row 2", "sort the table"],
        ),
        (
            "t,y\n2020-01-01T01:00+01:00,1\n2020-01-01T00:00Z,2",
            {"target": "y", "time": "t"},
            ["01:00+01:00' in data row 1", "00:00Z' in data row 2", "same time", "`duplicates`"],
        ),
        # The comma may stand for thousands here.
        ("y;a\n1,234;0.5\n", {"target": "y"}, ["holds '1,234'", "`thousands=,`"]),
        ("y,a\n1,2\n1,2,3\n", {"target": "y"}, ["3 cells in data row 2", "names 2", "quote"]),
        ("y\n1,5\n2,5\n", {"target": "y"}, ["2 cells in data row 1", "names 1"]),
        ("y,a\n" + "1,2\n" * 50 + "1,2,3\n", {"target": "y"}, ["3 cells in line 52", "names 2"]),
        ("y,a\n", {"target": "y"}, ["no rows"]),
        (" \n\n", {"target": "y"}, ["is empty"]),
        ("", {"target": "y"}, ["is empty"]),
        ("\ufeff\n", {"target": "y"}, ["is empty"]),
        ("y\n1\n°".encode("latin-1"), {"target": "y"}, ["UTF-8", "save"]),
    ],
)
def test_mistakes_in_a_text_table(write, content, kwargs, said):
    message = error_of(write(content), **kwargs)
    for words in said:
        assert words in message


def test_no_such_file(tmp_path):
    assert "no.csv does not exist: give" in error_of(tmp_path / "no.csv", "y")


def test_a_folder(tmp_path):
    assert "is a folder: give one table file" in error_of(tmp_path, "y")


@pytest.mark.parametrize("name", ["table.xls", "table"])
def test_unknown_suffix(write, name):
    message = error_of(write(BASE, name), "y")
    assert repr(Path(name).suffix) in message
    assert ".parquet, .pq, .feather, .jsonl, .xlsx or .npy" in message


def test_file_that_may_not_be_read(write, monkeypatch):
    path = write(BASE)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert f"cannot read {path} (Permission denied)" in error_of(path, "y")


@pytest.mark.parametrize("name", ["x.parquet", "x.npy"])
@pytest.mark.parametrize("keep", [0.5, 0.02])
def test_damaged_binary_file(tmp_path, write, name, keep):
    whole = tmp_path / name
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(99, 3)), columns=["x0", "x1", "x2"])
    np.save(whole, frame.to_numpy()) if name.endswith("npy") else frame.to_parquet(whole)
    content = whole.read_bytes()
    assert "fix the file" in error_of(write(content[: int(keep * len(content))], name), "x0")
    assert "fix the file" in error_of(write("x0\n1\n", name), "x0")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(5), ["(5,)", "two-dimensional"]),
        (np.zeros((2, 3, 4)), ["(2, 3, 4)", "two-dimensional"]),
        (np.zeros((2, 2), dtype=complex), ["complex128", "real numbers"]),
        (np.array([["a", "b"]]), ["<U1", "real numbers"]),
        (np.zeros((0, 3)), ["no rows"]),
        (np.zeros((3, 0)), ["no rows"]),
        (np.array([[{}]], dtype=object), ["allow_pickle"]),
        (np.array([[1.0, np.inf]]), ["'x1' is inf in data row 1"]),
    ],
)
def test_mistakes_in_a_numpy_file(tmp_path, array, said):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    message = error_of(tmp_path / "x.npy", "x0", ["x1"])
    for words in said:
        assert words in message


def test_numpy_file_with_a_damaged_header(write):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 2)))
    content = buffer.getvalue().replace(b"(2, 2), }", b"(2, 2), (")
    assert "fix the file" in error_of(write(content, "x.npy"), "x0")


def test_npz_under_a_false_name(write):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((2, 2)))
    assert "two-dimensional" in error_of(write(buffer.getvalue(), "x.npy"), "x0")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pd.date_range("2020", periods=2), "2020-01-01 00:00:00 in data row 1"),
        ([[1, 2], [3]], "in data row 1"),
        (["1", "x"], "'x' in data row 2"),
    ],
)
def test_parquet_columns_that_are_no_numbers(tmp_path, column, said):
    pd.DataFrame({"y": column}).to_parquet(tmp_path / "x.parquet")
    assert said in error_of(tmp_path / "x.parquet", "y")


def test_parquet_with_two_columns_of_one_name(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["y", "y"])
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    assert "2 columns named 'y'" in error_of(tmp_path / "x.parquet", "y")


# --- numbers that can be read in two ways -------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "cell"),
    [
        ("t;y\n0;1,000\n1;1,002\n2;999\n", "'1,000' and '999'"),
        ("t;y\n0;1.000\n1;1.002\n2;999\n", "'1.000' and '999'"),
        ("t\ty\n0\t12,345\n1\t7\n", "'12,345' and '7'"),
    ],
)
def test_thousands_or_decimals_is_asked(write, content, cell):
    mark = cell[2] if cell[2] in ",." else cell[3]
    path = write(content)
    message = error_of(path, "y")
    assert f"column 'y' holds {cell}" in message
    assert f"`thousands={mark}` or `decimal={mark}`" in message
    other = ",.".replace(mark, "")
    as_thousands = read_table(path, "y", dialect=CsvDialect(decimal=other, thousands=mark))
    as_decimals = read_table(path, "y", dialect=CsvDialect(decimal=mark))
    np.testing.assert_allclose(as_thousands.values[0], 1000 * as_decimals.values[0])
    assert as_thousands.values[-1] == as_decimals.values[-1]
    assert read_table(path, "t").values.shape[1] == 1  # a column that nobody asked for


@pytest.mark.parametrize(
    ("content", "want"),
    [
        ("t;y\n30.01.2012 10:00;1,5\n30.01.2012 11:00;2\n", [1.5, 2]),  # dots in another column
        ("t.1;y\n0;1,5\n1;-,25\n", [1.5, -0.25]),  # and in a header
        ("t;y\n0;1.234,56\n1;1,20\n", [1234.56, 1.2]),
        ("t;y\n0;1,234\n1;5,678\n", [1.234, 5.678]),  # three decimals each: nothing else is there
        ("t;y\n0;0,125\n1;3\n", [0.125, 3]),  # no thousand begins with 0
        ("t;y\n0;1.5\n1;2\n", [1.5, 2]),
        ("t;y\n0;-9999,0\n1;1,5e3\n", [-9999, 1500]),
        ("t,y\n0,1.000\n1,999\n", [1, 999]),  # beside commas a dot is a decimal point
    ],
)
def test_decimal_commas_are_found_column_by_column(write, content, want):
    np.testing.assert_array_equal(read_table(write(content), "y").values[:, 0], want)


def test_marks_that_cannot_be(write):
    path = write("t;y\n0;1\n1;2\n")
    for given, said in (
        ({"decimal": "::"}, "decimal is '::': give one character"),
        ({"decimal": ",", "thousands": ","}, "both ','"),
        ({"sep": "ab"}, "sep is 'ab': give one character"),
        ({"comment": "x"}, "comment is 'x'"),
        ({"skip_rows": -1}, "skip_rows is -1: give at least 0"),
    ):
        with pytest.raises(TorchliquidError, match=said):
            read_table(path, "y", dialect=CsvDialect(**given))


def test_cells_that_stand_for_missing_values(write):
    path = write("y,a\n1,?\n-200,2\n-200.0,-\n4,-200\n")
    series = read_table(path, "y", ["a"], missing=["-200", "?", "-"])
    np.testing.assert_array_equal(series.values, [[1, NAN], [NAN, 2], [NAN, NAN], [4, NAN]])
    series = read_table(path, "a", missing=["-200"])
    np.testing.assert_array_equal(series.values[:, 0], [NAN, 2, NAN, NAN])
    assert series.notes == ("target 'a': '-', '?' counts as a missing value (2 rows).",)


# --- packed, in other encodings, without a header, several series -------------------------------


def test_packed_tables(tmp_path):
    want = [[10], [11], [12.5]]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(BASE.encode()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("folder/b.csv", BASE)
    for name in ("a.csv.gz", "b.zip"):
        assert read_table(tmp_path / name, "y").values.tolist() == want
    assert read_table(tmp_path / "a.csv.gz", "y").name == "a"
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", BASE)
        archive.writestr("b.csv", BASE)
    assert "holds 2 files" in error_of(tmp_path / "two.zip", "y")
    for name in ("c.csv.gz", "c.zip"):
        (tmp_path / name).write_bytes(b"no archive")
        assert "cannot be unpacked" in error_of(tmp_path / name, "y")
    (tmp_path / "d.gz").write_bytes(gzip.compress(BASE.encode()))
    assert "no known table format" in error_of(tmp_path / "d.gz", "y")


def test_encodings(write):
    text = BASE.replace("y", "größe")
    assert read_table(write(text.encode("utf-16")), "größe").values[0] == 10
    path = write(text.encode("latin-1"))
    assert "`encoding`, such as latin-1" in error_of(path, "größe")
    assert read_table(path, "größe", dialect=CsvDialect(encoding="latin-1")).values[0] == 10
    assert "not text in nonsense" in error_of(
        path, "größe", dialect=CsvDialect(encoding="nonsense")
    )


@pytest.mark.parametrize(
    "line", ["1,10", "0.5,3", "-1,1e5", "1/13/1998,0.8", "2020-01-01 10:00,?", "12:30,NA", "nan,3"]
)
def test_a_first_line_of_numbers_is_no_header(write, line):
    assert "no word in its first line" in error_of(write(f"{line}\n2,11\n3,12\n"), "1")


def test_a_table_without_a_header(write):
    path = write("1/13/1998,0.8,1.8\n1/14/1998,2.8,3.2\n1/15/1998,2.9,?\n")
    series = read_table(path, "2", ["3"], "1", dialect=CsvDialect(no_header=True))
    np.testing.assert_array_equal(series.values, [[0.8, 1.8], [2.8, 3.2], [2.9, NAN]])
    assert series.columns == ("2", "3")
    assert np.diff(series.times).tolist() == [86400, 86400]
    mixed = write("IBM,2020-01-01,1.5\nIBM,2020-01-02,1.6\n", "named.csv")
    assert "Names of columns look like values" in read_table(mixed, "1.5").notes[0]


def test_columns_counted_by_pandas_are_a_header(write):
    assert read_table(write("0,1\n5,6\n7,8\n"), "1").values.tolist() == [[6], [8]]
    assert read_table(write(",0,1\n0,5,6\n1,7,8\n"), "0").values.tolist() == [[5], [7]]


def test_several_series_in_one_table_are_said(write):
    rows = [f"{symbol},{k}" for symbol in ("MSFT", "IBM", "AAPL") for k in range(30)]
    series = read_table(write("symbol,y\n" + "\n".join(rows)), "y")
    assert "'symbol' is constant in 3 runs" in series.notes[0]
    mixed = rows[::2] + rows[1::2]  # a category that comes back is no series
    assert read_table(write("symbol,y\n" + "\n".join(mixed)), "y").notes == ()
    days = [f"2020-01-0{1 + k // 24},{k}" for k in range(96)]  # the day beside each hour
    assert read_table(write("day,y\n" + "\n".join(days)), "y").notes == ()
    unique = [f"row{k},{k}" for k in range(30)]
    assert read_table(write("name,y\n" + "\n".join(unique)), "y").notes == ()


def test_dates_that_run_back_are_said_where_nobody_named_them(write):
    days = [f"2020-01-{day:02d},{day}" for day in range(28, 0, -1)]
    path = write("day,y\n" + "\n".join(days))
    assert "run back in 27 rows" in read_table(path, "y").notes[0]
    path = write("day,y\n" + "\n".join(days[::-1]))
    assert read_table(path, "y").notes == ()


# --- compact times, order, duplicates -----------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "unit", "gaps"),
    [
        ((202012, 202101, 202102), "months", [1, 1]),
        ((2021013123, 2021020100, 2021020101), "seconds", [3600, 3600]),
        ((202101312359, 202102010000, 202102010001), "seconds", [60, 60]),
        ((20210131235959, 20210201000000, 20210201000001), "seconds", [1, 1]),
        ((20201231, 20210101, 20210102), "seconds", [86400, 86400]),
        ((202011, 202012, 202013), None, [1, 1]),  # there is no month 13: a counter
        ((11111111, 11111112, 11111113), None, [1, 1]),  # nor do tables begin in the year 1111
        ((1422749999, 1422750000, 1422750001), None, [1, 1]),
    ],
)
def test_compact_times(write, cells, unit, gaps):
    series = read_table(write("t,y\n" + "".join(f"{c},1\n" for c in cells)), "y", time="t")
    assert series.time_unit == unit
    assert np.diff(series.times).tolist() == gaps


OUT_OF_ORDER = "t,y\n3,30\n1,10\n1,12\n1,\n2,20\n"


def test_how_many_rows_repeat_or_run_back(write):
    message = error_of(write(OUT_OF_ORDER), "y", time="t")
    assert (
        "goes back from 3 in data row 1 to 1 in data row 2 (1 such row, 2 repeat a time)" in message
    )
    assert "`sort`" in message
    message = error_of(write(OUT_OF_ORDER), "y", time="t", sort=True)
    assert "(2 such rows)" in message
    assert "`duplicates`: first, last or mean" in message
    assert "give `sort` as well" in error_of(write(OUT_OF_ORDER), "y", time="t", duplicates="mean")
    assert "give refuse, first" in error_of(write(OUT_OF_ORDER), "y", time="t", duplicates="drop")


@pytest.mark.parametrize(("keep", "one"), [("first", 10), ("last", NAN), ("mean", 11)])
def test_sorted_with_one_row_a_time(write, keep, one):
    series = read_table(write(OUT_OF_ORDER), "y", time="t", sort=True, duplicates=keep)
    assert series.times.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(series.values[:, 0], [one, 20, 30])


# --- times in a form of their own, in several columns -------------------------------------------

AIR = "Date;Time;CO(GT);T;;\n10/03/2004;18.00.00;2,6;13,6;;\n10/03/2004;19.00.00;-200;13,3;;\n"
AIR += "10/03/2004;20.00.00;2,2;11,9;;\n;;;;;\n;;;;;\n"


def test_an_export_with_date_and_time_decimal_commas_sentinels_and_empty_lines(write):
    series = read_table(
        write(AIR), "CO(GT)", ["T"], "Date,Time", time_format="%d/%m/%Y %H.%M.%S", missing=["-200"]
    )
    np.testing.assert_array_equal(series.values, [[2.6, 13.6], [NAN, 13.3], [2.2, 11.9]])
    assert (series.times.tolist(), series.time_unit) == ([0, 3600, 7200], "seconds")
    assert datetime.fromtimestamp(series.dates[0], UTC) == datetime(2004, 3, 10, 18, tzinfo=UTC)


def test_times_that_are_not_of_the_form(write):
    message = error_of(write(AIR), "T", time="Date,Time")
    assert "'10/03/2004 18.00.00' may name the day or the month first" in message
    assert "`time_format`" in message
    message = error_of(write(AIR), "T", time="Date", time_format="%Y")
    assert "not of the form '%Y' (3 such rows)" in message
    assert "no column 'Hour'" in error_of(write(AIR), "T", time="Date,Hour")


def test_a_time_in_a_column_whose_name_has_a_comma(write):
    path = write('"day, local",y\n2020-01-01,1\n2020-01-02,2\n')
    assert read_table(path, "y", time="day, local").time_unit == "seconds"


def test_an_empty_line_within_a_table_stays_a_missing_row(write):
    series = read_table(write("t;y\n0;1\n;\n2;3\n;\n"), "y")
    np.testing.assert_array_equal(series.values[:, 0], [1, NAN, 3])


# --- features by pattern ------------------------------------------------------------------------

WIDE = "t,y,temp in,temp out,light,name,y2\n1,1,2,3,4,a,5\n2,6,7,8,9,b,10\n"


@pytest.mark.parametrize(
    ("features", "names"),
    [
        (["all"], ("temp in", "temp out", "light", "y2")),  # neither target, time nor text
        (["temp*"], ("temp in", "temp out")),
        (["light", "temp ?n"], ("light", "temp in")),
        ([" light", "temp out "], ("light", "temp out")),
        (["light", "all"], ("light", "temp in", "temp out", "y2")),
    ],
)
def test_features_by_pattern(write, features, names):
    assert read_table(write(WIDE), "y", features, "t").columns == ("y", *names)


def test_patterns_that_fit_nothing(write):
    assert "named like 'press*'" in error_of(write(WIDE), "y", ["press*"])
    path = write("y,all,b\n1,2,3\n4,5,6\n")  # a column of that name is that column
    assert read_table(path, "y", ["all"]).columns == ("y", "all")


# --- several series ---------------------------------------------------------------------------


def panel(tmp_path, lines, head="id,t,y"):
    (tmp_path / "p.csv").write_text("\n".join([head, *lines]) + "\n")
    return tmp_path / "p.csv"


def test_series_are_put_together_wherever_their_rows_are(tmp_path):
    lines = ["b,1,10", "a,5,1", "b,2,11", "a,6,2", "c,1,7", "b,3,12", "a,7,3"]
    found = read_table(panel(tmp_path, lines), "y", time="t", series="id")
    assert found.series_names == ("b", "a", "c")
    assert found.series_id.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert found.values[:, 0].tolist() == [10, 11, 12, 1, 2, 3, 7]
    assert found.times.tolist() == [1, 2, 3, 5, 6, 7, 1]
    assert found.series == "id"


def test_order_and_repeats_are_those_within_a_series(tmp_path):
    lines = ["b,2,11", "a,6,2", "b,1,10", "a,5,1", "b,2,13"]
    given = panel(tmp_path, lines)
    with pytest.raises(TorchliquidError, match=r"'t' of id 'b' goes back from 2 .* to 1"):
        read_table(given, "y", time="t", series="id")
    found = read_table(given, "y", time="t", series="id", sort=True, duplicates="mean")
    assert found.series_id.tolist() == [0, 0, 1, 1]
    assert found.values[:, 0].tolist() == [10, 12, 1, 2]
    assert found.times.tolist() == [1, 2, 5, 6]


@pytest.mark.parametrize("ids", [("7", "8", "9"), ("x", "y", "z")])
def test_where_times_run_back_the_column_that_changes_there_is_proposed(tmp_path, ids):
    lines = [f"{i},{k},{t},{t % 7}" for k, i in enumerate(ids) for t in range(12)]
    given = panel(tmp_path, lines, "id,same,t,y")
    with pytest.raises(TorchliquidError, match="one for each 'id': give `series='id'`"):
        read_table(given, "y", time="t")
    with pytest.raises(TorchliquidError, match="cannot be target, feature or time"):
        read_table(given, "y", time="t", series="y")


def test_series_must_have_a_name_in_every_row(tmp_path):
    given = panel(tmp_path, ["a,1,1", ",2,3"])
    with pytest.raises(
        TorchliquidError, match="'id' identifies series, and is empty in data row 2"
    ):
        read_table(given, "y", time="t", series="id")
    with pytest.raises(TorchliquidError, match=r"no column 'ids'.*did you mean 'id'"):
        read_table(given, "y", series="ids")
    with pytest.raises(TorchliquidError, match="cannot be target, feature or time"):
        read_table(given, "y", series="t", time="t")


def test_dates_of_several_series(tmp_path):
    lines = ["a,2020-01-02,1", "a,2020-01-03,2", "b,2020-01-01,5", "b,2020-01-02,6"]
    found = read_table(panel(tmp_path, lines), "y", time="t", series="id")
    assert np.diff(found.dates).tolist() == [86400, -2 * 86400, 86400]
    assert np.diff(found.times).tolist() == [86400, -2 * 86400, 86400]
