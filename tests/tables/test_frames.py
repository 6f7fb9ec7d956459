"""Tables in memory are read as the same table in a file is."""

import numpy as np
import pandas as pd
import pytest

from torchliquid.errors import TorchliquidError
from torchliquid.tables import read_table


def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "when": pd.date_range("2020-01-01", periods=90, freq="h"),
            "y": rng.normal(size=90).round(3),
            "wind": ["N", "S", "W"] * 30,
            "id": ["007"] * 45 + ["7"] * 45,
        }
    )


def same(found, wanted):
    assert found.columns == wanted.columns
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.times, wanted.times)
    np.testing.assert_array_equal(found.dates, wanted.dates)
    assert (found.series_names, found.words) == (wanted.series_names, wanted.words)


@pytest.mark.parametrize("kind", ["pandas", "index", "columns", "category", "arrow"])
def test_a_frame_is_the_file(tmp_path, kind):
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    options = {"features": ["wind"], "time": "when", "series": "id"}
    wanted = read_table(tmp_path / "t.csv", "y", **options)
    if kind == "index":
        table = table.set_index("when")
    elif kind == "columns":
        table = table[["id", "wind", "y", "when"]]
    elif kind == "category":
        table = table.astype({"wind": "category", "id": "category"})
    elif kind == "arrow":
        table = pytest.importorskip("pyarrow").Table.from_pandas(table)
    same(read_table(table, "y", **options), wanted)


def test_an_index_of_times_without_a_name_and_periods():
    index = pd.period_range("2020-01", periods=40, freq="M")
    table = pd.DataFrame({"y": np.arange(40.0)}, index=index)
    found = read_table(table, "y", time="index")
    np.testing.assert_array_equal(found.times, np.arange(40))
    assert found.time_unit == "months"
    plain = pd.DataFrame({"y": [1.0, 2.0]}, index=[5, 6])
    assert read_table(plain, "y").columns == ("y",)


def test_an_array_and_what_is_no_table():
    array = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(read_table(array, "x2", ["x0"]).values, array[:, [2, 0]])
    for table, said in (
        (np.arange(5.0), r"array of shape \(5,\)"),
        ([1, 2], "is a list: expected the path of a file, a DataFrame"),
        (pd.DataFrame({"y": []}), "holds no rows"),
    ):
        with pytest.raises(TorchliquidError, match=said):
            read_table(table, "y")
    with pytest.raises(TorchliquidError, match="the table has no column 'z'"):
        read_table(frame(), "z")


def test_a_frame_is_left_as_it_was():
    table = frame()
    before = table.copy(deep=True)
    read_table(table, "y", ["wind"], "when", series="id", missing=["N"])
    pd.testing.assert_frame_equal(table, before)
