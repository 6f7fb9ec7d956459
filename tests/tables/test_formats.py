"""Files as people have them: what stands above and below a table, and how its cells are written."""

import numpy as np
import pandas as pd
import pytest

from torchliquid.errors import TorchliquidError
from torchliquid.tables.dialect import CsvDialect
from torchliquid.tables.reader import read_table

NAN = np.nan


@pytest.fixture
def write(tmp_path):
    def call(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return call


def column(series, k=0):
    return series.values[:, k]


# --- above and below --------------------------------------------------------------------------

ROWS = "t,y\n0,1.5\n1,2\n2,3.5\n"


@pytest.mark.parametrize(
    ("content", "marks", "note"),
    [
        (ROWS, {}, None),
        (f"# made by a logger\n# at noon, in May\n{ROWS}", {}, "begin with '#'"),
        (f"sep=,\n{ROWS}", {}, None),
        (ROWS.replace(",", ";") + ";\n;\n", {}, None),
        ("sep=;\n" + ROWS.replace(",", ";"), {}, None),
        (ROWS.replace(",", "|"), {}, None),
        (ROWS.replace(",", "  "), {}, None),
        (ROWS.replace(",", "\t"), {}, None),
        (ROWS.replace("\n", "\r\n"), {}, None),
        (ROWS.replace("\n", "\r"), {}, None),
        (ROWS.replace(",", ":"), {"sep": ":"}, None),
        (ROWS.replace(",", "   "), {"sep": " "}, None),
        (f"Station;Foo\nheight: 3 m\n\n{ROWS}", {"skip_rows": 3}, None),
        (f"{ROWS}sum,7\nmean,2.3\n", {"skip_footer": 2}, None),
        ("t,y\n0,1.5 % first\n1,2\n% a pause\n2,3.5\n", {"comment": "%"}, None),
        ("t,y\ns,degC\n0,1.5\n1,2\n2,3.5\n", {}, "(s, degC) holds no numbers"),
        (f"{ROWS}end of file\n", {}, "'end of file'"),
        ("# t y\n0 1.5\n1 2\n2 3.5\n", {}, None),  # as numpy.savetxt writes a header
    ],
)
def test_what_surrounds_a_table(write, content, marks, note):
    series = read_table(write(content), "y", time="t", dialect=CsvDialect(**marks))
    assert column(series).tolist() == [1.5, 2, 3.5]
    assert series.times.tolist() == [0, 1, 2]
    assert (len(series.notes) == 1 and note in series.notes[0]) if note else series.notes == ()


def test_a_row_of_missing_marks_is_no_line_of_units(write):
    series = read_table(write("t,y\n?,NA\n1,2\n2,3\n3,4\n"), "y")
    np.testing.assert_array_equal(column(series), [NAN, 2, 3, 4])
    series = read_table(write("y,name\n1,x\n2,y\n3,z\n"), "y")
    assert column(series).tolist() == [1, 2, 3]
    with pytest.raises(TorchliquidError, match="'b' in data row 2"):
        read_table(write("t,y\n0,1\na,b\n2,3\n"), "y")


@pytest.mark.parametrize("name", ["t.xlsx", "t.feather", "t.jsonl", "t.parquet", "t.dat", "t.data"])
def test_every_container_says_the_same(tmp_path, name):
    days = pd.date_range("2020-01-30", periods=6, freq="D")
    table = pd.DataFrame(
        {"day": days.strftime("%Y-%m-%d"), "y": [1.5, 2, NAN, 4, 5, 6], "on": [True, False] * 3}
    )
    path = tmp_path / name
    if name.endswith(".xlsx"):
        table.to_excel(path, index=False)
    elif name.endswith(".jsonl"):
        table.to_json(path, orient="records", lines=True)
    elif name.endswith("feather"):
        table.to_feather(path)
    elif name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t")
    series = read_table(path, "y", ["on"], "day")
    np.testing.assert_array_equal(column(series), table["y"])
    np.testing.assert_array_equal(column(series, 1), [1, 0] * 3)
    assert np.diff(series.times).tolist() == [86400] * 5


def test_dates_in_excel(tmp_path):
    days = pd.date_range("2020-01-30", periods=6, freq="h")
    pd.DataFrame({"when": days, "y": range(6)}).to_excel(tmp_path / "t.xlsx", index=False)
    series = read_table(tmp_path / "t.xlsx", "y", time="when")
    assert np.diff(series.times).tolist() == [3600] * 5


# --- cells ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "wanted", "note"),
    [
        (["1", "?", "3"], [1, NAN, 3], "'?' counts as a missing value (1 row)"),
        (["1", "-", "--", "."], [1, NAN, NAN, NAN], "'-', '--', '.'"),
        (["yes", "No", ""], [1, 0, NAN], "yes and no count as 1 and 0"),
        (["on", "off", "?"], [1, 0, NAN], "on and off"),
        (["T", "F", "T"], [1, 0, 1], "t and f"),
        (["1.5%", "2 %", "-3%"], [1.5, 2, -3], "the sign '%' of every cell"),
        (["$1.5", "$2", "$30"], [1.5, 2, 30], "the sign '$'"),
        (["1.5 kW", "2 kW", "1e3 kW"], [1.5, 2, 1000], "the sign 'kW'"),
        (["-3°C", "2°C", "?"], [-3, 2, NAN], "the sign '°C'"),
        (["1 000", "2 500.5", "7"], [1000, 2500.5, 7], "thousands are in groups, as in '2 500.5'"),
        (['"1,000.5"', "7", '"2,000,000"'], [1000.5, 7, 2e6], "thousands are in groups"),
        (["1'000", "2\u2019500.5", "7"], [1000, 2500.5, 7], "thousands are in groups"),
        (["1\u00a0000", "\u22122\u202f500.5", "7"], [1000, -2500.5, 7], "thousands are in groups"),
        (["20-", "1.5-", "3 -"], [-20, -1.5, -3], "'20-' is read as a negative number"),
        (["(20)", "( 1.5 )", "(3)"], [-20, -1.5, -3], "'(20)' is read as a negative number"),
        (["5:32", "0:30", "1:00:00"], [332, 30, 3600], "'5:32' is read as a duration, in seconds"),
    ],
)
def test_cells_by_a_rule_that_is_said(write, cells, wanted, note):
    lines = "\n".join(f"{k},{cell}" for k, cell in enumerate(cells))
    series = read_table(write(f"t,y\n{lines}\n"), "y")
    np.testing.assert_array_equal(column(series), wanted)
    assert any(note in said for said in series.notes)


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["1%", "2", "3%"], "'1%'"),  # a share and a number
        (["$1", "€2", "$3"], "'$1'"),
        (["room 1", "room 2", "room 3"], "'room 1'"),
        (["1.2.3", "1.2.4", "1.2.5"], "'1.2.3'"),
        (["12:30", "12:61", "12:32"], "'12:30'"),
        (["(1)", "2", "(3)"], "'(1)'"),  # a sign, or a mark of doubt
        (["1-", "2", "3-"], "'1-'"),
        (["1.5K", "1.2M", "3K"], "'1.5K'"),
        (["1'00", "2'500", "7"], '"1\'00"'),
        (['"1,000"', '"2,000"', "7"], "'1,000'"),  # thousands or decimals
        (["1 00", "2 500", "7"], "'1 00'"),
        (["yes", "maybe", "no"], "'yes'"),
    ],
)
def test_cells_that_no_rule_reads(write, cells, shown):
    lines = "\n".join(f"{k},{cell}" for k, cell in enumerate(cells))
    with pytest.raises(TorchliquidError, match="target 'y' holds") as caught:
        read_table(write(f"t,y\n{lines}\n"), "y")
    assert f"holds {shown} in data row 1" in str(caught.value)


def test_a_feature_of_few_words_is_a_column_for_each(write):
    winds = ["N", "S", "", "N", "NE", "S", "S", "N", "NE", "N", "NE", "S", "NE", "NE", "N", "S"]
    lines = "\n".join(f"{k},{k % 3},{wind}" for k, wind in enumerate(winds))
    series = read_table(write(f"t,y,wind\n{lines}\n"), "y", ["wind"])
    assert series.columns == ("y", "wind=N", "wind=NE", "wind=S")
    for k, word in enumerate(("N", "NE", "S"), start=1):
        wanted = [float(wind == word) for wind in winds]  # an empty cell is none of the words
        np.testing.assert_array_equal(column(series, k), wanted)
    assert "counts as 3 columns" in series.notes[0]
    with pytest.raises(TorchliquidError, match="target 'wind' holds 'N'"):
        read_table(write(f"t,y,wind\n{lines}\n"), "wind")


def test_a_parquet_category_is_text_of_few_words(tmp_path):
    table = pd.DataFrame({"y": range(20), "c": pd.Categorical(["a", "b"] * 10)})
    table.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", "y", ["c"]).columns == ("y", "c=a", "c=b")


def test_all_features_are_those_that_can_be_read_as_numbers(write):
    content = "t,y,a,b,c,d\n0,1,?,yes,x,5%\n1,2,3,no,z,6%\n2,3,4,no,w,7%\n"
    series = read_table(write(content), "y", ["all"], "t")
    assert series.columns == ("y", "a", "b", "d")


# --- odd files, in our words --------------------------------------------------------------------

LONG = "t,y\n" + "".join(f"{k},{k % 7}\n" for k in range(60))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LONG.replace("40,5\n", "40,5,9\n"), "has 3 cells in line 42 .* its header names 2"),
        (LONG.replace("40,5\n", '40,"5\n'), "a quotation mark in data row 41 that is never closed"),
        (LONG.encode("utf-16-le"), "give `encoding=utf-16-le`"),
        (
            "Station;Foo\nHeight;3\nt;y;z\n1;2;3\n",
            "the first lines are no table, give `skip_rows=2`",
        ),
        (bytes(range(256)) * 20, "is not text in UTF-8"),
    ],
)
def test_odd_files(write, content, said):
    with pytest.raises(TorchliquidError, match=said):
        read_table(write(content), "y")
