"""Files in the formats of real exporters: read as pandas reads them in careful hands, or refused.

A refusal must lead to the option that works: the case then reads the file with it. The referee for
values is `pandas.read_csv` with everything said to it; times are written out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from torchliquid.bench.tasks.table_task import table_task
from torchliquid.errors import TorchliquidError
from torchliquid.tables.dialect import CsvDialect
from torchliquid.tables.reader import read_table

FILES = Path(__file__).parent / "files"
DIALECT = set(CsvDialect.__dataclass_fields__)
Frame = pd.DataFrame


@dataclass
class Case:
    """One file.

    Args:
        read: options of `read_table` and `CsvDialect`, the target "y" where none is named.
        said: the refusal, where these options are refused.
        then: what works, beside or instead of `read`.
        frame: options of `pandas.read_csv` that read the file.
        want: columns whose values are not the frame's numbers, by name.
        dates: moments in UTC; times: elapsed ones, where they are checked.
        note: words of a note.
    """

    file: str
    read: dict = field(default_factory=dict)
    said: str | None = None
    then: dict | None = None
    frame: dict = field(default_factory=dict)
    want: dict[str, Callable[[Frame], object]] = field(default_factory=dict)
    dates: pd.DatetimeIndex | None = None
    times: list | np.ndarray | None = None
    note: str | None = None


def load(case, options):
    options = {"target": "y"} | options
    dialect = {name: options.pop(name) for name in DIALECT & set(options)}
    return read_table(FILES / case.file, dialect=CsvDialect(**dialect), **options)


def hours(first, rows, freq="h"):
    return pd.date_range(first, periods=rows, freq=freq)


def berlin(first, rows, freq):
    return pd.date_range(first, periods=rows, freq=freq, tz="Europe/Berlin").tz_convert(None)


def is_word(column, word):
    return lambda frame: (frame[column] == word).astype(float)


def words(column, *names):
    return {f"{column}={name}": is_word(column, name) for name in names}


def replaced(column, *pairs):
    def call(frame):
        text = frame[column].astype(str)
        for old, new in pairs:
            text = text.str.replace(old, new, regex=True)
        return text.astype(float)

    return call


def but(column, word):
    return lambda frame: pd.to_numeric(frame[column].where(frame[column] != word))


def seconds(column):
    return lambda frame: pd.to_timedelta("00:0" + frame[column]).dt.total_seconds()


TEXT = {"keep_default_na": False, "dtype": str}
WITHOUT_HEADER = {"skip_rows": 1, "no_header": True}
DAYS = hours("2020-01-01", 120, "D")
MOVED = {"skiprows": 1, "header": None, "names": ["1", "2", "3"]}
PLACES = r"4 names in its header, but its rows have 3 cells.*`skip_rows=1` and `no_header`"
NDBC = {"sep": r"\s+", "skiprows": 2, "header": None}
NDBC["names"] = ["YY", "MM", "DD", "hh", "mm", "WDIR", "WSPD", "GST", "WVHT"]
WINDS = ("E", "ENE", "ESE", "N", "NE", "NNE", "NNW", "S", "SE", "SW", "W")
BERLIN = {"time": "t", "time_zone": "Europe/Berlin"}

CASES = [
    # --- which column, which row
    Case("headercomma.csv", {"time": "t"}, PLACES,
         {"target": "2", "features": ["3"], "time": "1", **WITHOUT_HEADER},
         frame=MOVED, times=np.arange(120)),
    Case("headercomma2.csv", {"time": "t", "target": "C"}, PLACES,
         {"target": "3", "time": "1", **WITHOUT_HEADER}, frame=MOVED),
    Case("headerlonger.csv", {"features": ["x"], "time": "t"}, PLACES,
         {"target": "2", "features": ["3"], "time": "1", **WITHOUT_HEADER}, frame=MOVED),
    Case("shortrows.csv", {"features": ["x"]}),
    Case("ndbc.txt", {"target": "WVHT", "time": "#YY,MM,DD,hh,mm"}, frame=NDBC,
         dates=hours("2020-01-01", 100)),
    Case("ndbc2.txt", {"target": "WVHT"}, frame=NDBC),
    Case("ndbc3.txt", {"target": "degT"}, r"no column 'degT'.*'WDIR'", {"target": "WDIR"},
         frame=NDBC),
    Case("noname.csv", {"time": ""}, dates=hours("2020-01-01", 100)),
    Case("noname2.csv", {"time": "Unnamed: 0"}, dates=hours("2020-01-01", 100)),
    Case("quotednl.csv", {"target": "Temp*", "time": "Zeit (UTC)"}, "give `decimal=,`",
         {"decimal": ","}, frame={"decimal": ","}, dates=hours("2020-01-01", 120)),
    Case("all_id.csv", {"features": ["all"], "time": "t"}, dates=DAYS),
    Case("all_id2.csv", {"features": ["all"], "time": "epoch"},
         times=1577836800 + 60 * np.arange(120), note="`time_unit=s`"),
    Case("jhu.csv", {"target": "1/22/20"}, "a column for each date.*pandas.melt",
         {"target": "Lat"}),
    Case("dwd.txt", {"target": "TT_TU", "time": "MESS_DATUM", "features": ["RF_TU"]},
         frame={"sep": ";"}, dates=hours("2020-01-01", 120)),
    Case("usgs.txt", {"target": "discharge", "time": "datetime"},
         frame={"sep": "\t", "skiprows": [0, 1, 3]}, dates=hours("2020-01-01", 120)),
    Case("usgs_ice.txt", {"target": "discharge", "time": "datetime"},
         r"'Ice' in data row 32 \(9 such cells.*`missing=Ice`", {"missing": ["Ice"]},
         frame={"sep": "\t", "skiprows": [0, 1, 3]}, want={"discharge": but("discharge", "Ice")}),
    # --- text is text
    Case("none.csv", {"features": ["hol"]}, frame=TEXT,
         want={"y": replaced("y")} | words("hol", "Labor", "None", "Xmas")),
    Case("na_cat.csv", {"features": ["region"]}, frame=TEXT,
         want={"y": replaced("y")} | words("region", "AS", "EU", "NA")),
    Case("cat1.csv", {"features": ["c"]}, "'A' in every row: leave it out", {"features": []}),
    Case("cat13.csv", {"features": ["c"]}, note="2 rarer words are one, 'other'",
         want=words("c", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c10", "c11", "c12")
         | {"c=other": lambda f: f["c"].isin(["c8", "c9"]).astype(float)}),
    Case("catM.csv", {"features": ["v"]}, want=words("v", "High", "Low", "M")),
    Case("catmissing.csv", {"features": ["v"]}, want=words("v", "bad", "good", "missing")),
    Case("sml.csv", {"features": ["v"]}, want=words("v", "L", "M", "S")),
    Case("wind16.csv", {"features": ["v"]}, note="5 rarer words",
         want=words("v", *WINDS) | {"v=other": lambda f: (~f["v"].isin(WINDS)).astype(float)}),
    Case("trail_cat.csv", {"features": ["c"]}, note="('Sun', 'sun', 'sun ')",
         want=words("c", "Sun", "sun", "sun ")),
    Case("trail_series.csv", {"series": "shop", "time": "t"}, note="('A', 'A ', 'a')"),
    Case("leading0.csv", {"series": "shop", "time": "t"},
         frame={"sep": ";", "dtype": {"shop": str}}),
    Case("leading0b.csv", {"series": "shop", "time": "t"}, frame={"dtype": {"shop": str}}),
    Case("err_int.csv", {"features": ["x"]}, r"'err' in data row 78 \(1 such cell.*`missing=err`",
         {"missing": ["err"]}, want={"x": but("x", "err")}),
    Case("err_target.csv", {"features": ["x"]}, "`missing=err`", {"missing": ["err"]},
         want={"y": but("y", "err")}),
    Case("nil.csv", {"features": ["x"]}, "`missing=nil`", {"missing": ["nil"]},
         want={"x": but("x", "nil")}),
    # --- numbers keep their sign and size
    Case("trailminus.csv", {"features": ["v"]}, note="read as a negative number",
         want={"v": replaced("v", (r"(\d+)-", r"-\1"))}),
    Case("unicodeminus.csv", {"features": ["v"]}, want={"v": replaced("v", ("\u2212", "-"))}),
    Case("nbsp.csv", {"features": ["v"]}, frame={"sep": ";"},
         want={"v": replaced("v", ("\u00a0", ""))}),
    Case("nnbsp.csv", {"features": ["v"]}, frame={"sep": ";"},
         want={"v": replaced("v", ("\u202f", ""))}),
    Case("swiss.csv", {"features": ["v"]}, frame={"sep": ";"},
         want={"v": replaced("v", ("'", ""))}),
    Case("commaquoted.csv", {"time": "t"}, "give `decimal=,`", {"decimal": ","},
         frame={"decimal": ","}),
    Case("KM.csv", {"features": ["v"]}, "whether M is a unit or a factor", {"features": []}),
    Case("pace.csv", {"features": ["v"]}, want={"v": seconds("v")}, note="in seconds"),
    Case("pace_target.csv", {"target": "v"}, want={"v": seconds("v")}),
    Case("outlier.csv", {"features": ["rain"]}),
    Case("leak.csv", {"features": ["all"]}),
    Case("leakrun.csv", {"features": ["all"]}),
    # --- times
    Case("h24.csv", {"time": "t"}, dates=hours("2020-01-01", 100), note="midnight at the end"),
    Case("h24b.csv", {"time": "year,month,day,hour"}, dates=hours("2020-01-01 01:00", 100)),
    Case("h24c.csv", {"time": "t", "time_format": "%m/%d/%Y %H:%M"},
         dates=hours("2020-01-01", 120), note="midnight at the end"),
    Case("knmi.csv", {"target": "T", "time": "YYYYMMDD,HH"}, dates=hours("2020-01-01 01:00", 100),
         frame={"skiprows": 1, "header": None, "names": ["STN", "YYYYMMDD", "HH", "T"]}),
    Case("knmi2.csv", {"target": "T", "time": "YYYYMMDD,HH", "time_format": "%Y%m%d %H"},
         dates=hours("2020-01-01 01:00", 120)),
    Case("ymdh.csv", {"target": "T", "time": "YYYYMMDD,HH"}, dates=hours("2020-01-01", 100)),
    Case("ymdh2.csv", {"target": "T", "time": "YYYYMMDD,HH", "time_format": "%Y%m%d %H"},
         dates=hours("2020-01-01", 120)),
    Case("cimis.csv", {"target": "T", "time": "Date,Hour"}, r"%d/%m/%Y %H%M or %m/%d/%Y %H%M",
         {"time_format": "%m/%d/%Y %H%M"}, dates=hours("2015-01-01", 100)),
    Case("excel_midnight.csv", {"time": "t"}, frame={"sep": ";"}, dates=hours("2020-01-20", 120),
         note="are midnights"),
    Case("excel_swapped.csv", {"time": "t"}, "rises where day and month change places",
         {"time": None}),
    Case("entsoe.csv", {"time": "t"}, r"%d.%m.%Y %H:%M or %m.%d.%Y %H:%M",
         {"time_format": "%d.%m.%Y %H:%M"}, frame={}, dates=hours("2020-01-01", 100),
         note="counts by its beginning"),
    Case("periodw.csv", {"time": "t"}, dates=hours("2020-01-06", 90, "7D"),
         note="counts by its beginning"),
    Case("isow.csv", {"time": "t"}, dates=hours("2019-01-07", 100, "7D")),
    Case("q1.csv", {"time": "t"}, dates=hours("1990-01-01", 100, "QS"), times=3 * np.arange(100)),
    Case("timedelta.csv", {"time": "t"}, times=np.arange(90)),
    Case("mdyy.csv", {"time": "t"}, r"'%m/%d/%y %H:%M' or '%d/%m/%y %H:%M'",
         {"time_format": "%m/%d/%y %H:%M"}, dates=hours("2020-01-01", 100)),
    Case("dby.csv", {"time": "t"}, "'%d-%b-%y'", {"time_format": "%d-%b-%y"},
         dates=hours("2020-01-02", 100, "B")),
    Case("bby.csv", {"time": "Date", "time_format": "%b-%y"}, dates=hours("1995-01-01", 120, "MS")),
    Case("y2k.csv", {"time": "Date", "time_format": "%d-%b-%y"},
         dates=hours("1960-01-31", 120, "ME"), note="from 1960 to 1969"),
    Case("y2ksort.csv", {"time": "Date", "time_format": "%d-%b-%y", "sort": True},
         dates=hours("1960-01-31", 120, "ME"), times=np.arange(120)),
    Case("apache.csv", {"time": "t"}, "'%d/%b/%Y:%H:%M:%S %z'",
         {"time_format": "%d/%b/%Y:%H:%M:%S %z"}, dates=hours("2019-12-31 23:00", 100)),
    Case("pvgis.csv", {"time": "time"}, "'%Y%m%d:%H%M'", {"time_format": "%Y%m%d:%H%M"},
         dates=hours("2020-01-01 00:11", 100)),
    Case("cet.csv", {"time": "t"}, r"'%a %b %d %H:%M:%S CET %Y', and the `time_zone`.*CET",
         {"time_format": "%a %b %d %H:%M:%S CET %Y", "time_zone": "+01:00"},
         dates=hours("2019-12-31 23:00", 100)),
    Case("est.csv", {"time": "t", "time_zone": "America/New_York"}, "CET|EST %Y'",
         {"time_format": "%a %b %d %H:%M:%S EST %Y"}, dates=hours("2020-01-01 05:00", 100)),
    Case("mixedfmt.csv", {"time": "t"}, r"'01/03/2020' in data row 61 \(60 such rows\)",
         {"time": None}),
    Case("epoch.csv", {"time": "t", "calendar": ["hour"]}, "`time_unit`",
         {"time_unit": "s", "calendar": []}, dates=hours("2020-01-01", 100)),
    Case("epoch6h.csv", {"time": "t", "time_unit": "s"}, dates=hours("2020-01-01", 120)),
    Case("epochms.csv", {"time": "t", "every": "1h"}, "`time_unit`", {"time_unit": "ms"},
         dates=hours("2020-01-01", 120)),
    Case("epoch7g.csv", {"time": "t"}, "rounded when the file was written", {"time": None}),
    Case("epochE.csv", {"time": "t"}, "rounded when the file was written", {"time": None}),
    Case("xlserial.csv", {"time": "t", "calendar": ["hour"]}, "`time_unit`",
         {"time_unit": "excel", "calendar": []}, dates=hours("2020-01-01", 100)),
    Case("thirtyHz.csv", {"time": "t"}, times=np.round(np.arange(120) / 30, 2)),
    Case("ondelta.csv", {"time": "t"}),
    Case("monthend.csv", {"time": "t"}, dates=hours("2000-01-31", 120, "ME"),
         times=np.arange(120)),
    Case("monthend_one_off.csv", {"time": "t"}, times=np.arange(120)),
    Case("month_missing.csv", {"time": "t"}, times=np.delete(np.arange(121), 61)),
    Case("yearend.csv", {"time": "t"}, times=12 * np.arange(120)),
    Case("bhours.csv", {"time": "t"}, times=np.arange(120), note="the same times every week"),
    Case("monsat.csv", {"time": "t"}, times=np.arange(120), note="the same times every week"),
    Case("hor1M.csv", {"time": "t"}, dates=DAYS),
    Case("hor1m.csv", {"time": "t"}, dates=hours("2020-01-01", 120)),
    # --- clocks, intervals
    Case("berlin_daily.csv", BERLIN, dates=berlin("2020-01-01", 120, "D"),
         times=86400 * np.arange(120)),
    Case("autumn30.csv", BERLIN, dates=berlin("2021-10-29", 120, "30min")),
    Case("autumnpanel.csv", BERLIN | {"series": "id"},
         dates=berlin("2021-10-29", 90, "h").append(berlin("2021-10-29", 90, "h"))),
    Case("autumnpanel_interleaved.csv", BERLIN | {"series": "id"},
         dates=berlin("2021-10-29", 90, "h").append(berlin("2021-10-29", 90, "h"))),
    Case("nonexist.csv", BERLIN, r"never showed 2021-03-28 02:00.*`time_zone=\+01:00`",
         {"time_zone": "+01:00"}, dates=hours("2021-03-25 23:00", 120)),
    Case("spring.csv", BERLIN, r"`clock_change=drop`", {"clock_change": "drop"},
         want={"y": lambda f: f["y"].drop(50)}, note="1 row of a change of clocks left out"),
    Case("every_day.csv", BERLIN | {"every": "1D"}, want={"y": lambda f: _by_day(f, "1D")},
         times=86400 * np.arange(101)),
    Case("every7D.csv", {"time": "t", "every": "7D"}, want={"y": lambda f: _by_day(f, "7D")}),
    Case("every1M.csv", {"time": "t", "every": "1M"}, r"MS \(months\)", {"every": "1MS"},
         want={"y": lambda f: _by_day(f, "MS")}),
    Case("every1MS.csv", {"time": "t", "every": "1MS"}, want={"y": lambda f: _by_day(f, "MS")}),
    # --- several series
    *(Case(f"{name}.csv", {"time": time, "series": series}) for name, time, series in [
        ("constpanel", "ds", "id"), ("overlap", "ds", "id"), ("short_panel", "t", "id"),
        ("two_split", "t", "id"), ("unlike", "ds", "id"), ("sf434", "ds", "unique_id")]),
    Case("sf434b.csv", {"time": "ds"}),
]  # fmt: skip


def _by_day(frame, every):
    stamps = pd.to_datetime(frame["t"], utc=True).dt.tz_convert("Europe/Berlin")
    if "+" not in str(frame["t"].iloc[0]):
        stamps = pd.to_datetime(frame["t"])
    return frame["y"].set_axis(stamps).resample(every).mean()


def test_every_file_is_a_case():
    assert sorted(case.file for case in CASES) == sorted(p.name for p in FILES.iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_read_as_pandas_does_or_refused_with_what_works(case):
    if case.said is None:
        series = load(case, case.read)
    else:
        with pytest.raises(TorchliquidError, match=case.said) as refused:
            load(case, case.read)
        assert "\n" not in str(refused.value)
        series = load(case, case.read | case.then)
    frame = pd.read_csv(FILES / case.file, **case.frame)
    frame.columns = [str(name).replace("\n", "\\n").strip() for name in frame.columns]
    if series.series is not None:
        parts = [part for _, part in frame.groupby(series.series, sort=False)]
        frame = pd.concat(parts)
        assert list(series.series_names) == [str(p[series.series].iloc[0]) for p in parts]
    for k, name in enumerate(series.columns):
        wanted = case.want.get(name, lambda f, n=name: pd.to_numeric(f[n]))(frame)
        np.testing.assert_allclose(series.values[:, k], wanted, rtol=1e-15, err_msg=name)
    if case.dates is not None:
        wanted = case.dates.to_numpy().astype("datetime64[ms]").astype(float) / 1000
        np.testing.assert_array_equal(series.dates, wanted)
    if case.times is not None:
        np.testing.assert_array_equal(series.times, case.times)
    if case.note is not None:
        assert case.note in " ".join(series.notes)


# --- as tasks ---------------------------------------------------------------------------------


def task_of(file, read, **options):
    return table_task(load(Case(file), read), **options)


@pytest.mark.parametrize(
    ("file", "read", "options", "said", "works"),
    [
        ("hor1M.csv", {"time": "t"}, {"horizon": "1M"}, "a month has no fixed length",
         {"horizon": "7D"}),
        ("hor1m.csv", {"time": "t"}, {"horizon": "1m"}, "0.0167 rows of 3600 seconds",
         {"horizon": "60m"}),
        ("epoch6h.csv", {"time": "t"}, {"horizon": "6h"}, "`time_unit`", None),
        ("two_split.csv", {"time": "t", "series": "id"}, {"split": "series"},
         "needs at least 3 series", {"split": "time"}),
        ("sf434b.csv", {"time": "ds"}, {}, "constant .0. in the training part", None),
        ("every7D.csv", {"time": "t", "every": "7D"}, {}, "18 rows, which leave", None),
        ("jhu.csv", {"target": "Lat"}, {}, "'Lat' is constant", None),
    ],
)  # fmt: skip
def test_what_a_task_refuses_and_what_it_takes_instead(file, read, options, said, works):
    with pytest.raises(TorchliquidError, match=said):
        task_of(file, read, **options)
    if works is not None:
        assert task_of(file, read, **works).test > 10


@pytest.mark.parametrize(
    ("file", "read", "options", "note"),
    [
        ("unlike.csv", {"time": "ds", "series": "id"}, {}, "scaled by its own training rows"),
        ("constpanel.csv", {"time": "ds", "series": "id"}, {"scale": "series"},
         "1 series with few training rows, or the same value in all of them (b)"),
        ("overlap.csv", {"time": "ds", "series": "id"}, {}, "all are scaled alike"),
        ("short_panel.csv", {"time": "t", "series": "id"}, {"horizon": 12},
         "2 have no row as far on as the horizon"),
        ("outlier.csv", {"features": ["rain"]}, {}, "rain is 9831.3 in 1 cell (data row"),
        ("dwd.txt", {"target": "TT_TU"}, {}, "TT_TU is -999 in 1 cell"),
        ("leak.csv", {"features": ["all"]}, {}, "'y_next' is the target 1 row on"),
        ("leakrun.csv", {"features": ["all"]}, {}, "'y_next' is the target 1 row on"),
        ("month_missing.csv", {"time": "t"}, {}, "1 row that is missing"),
        ("monsat.csv", {"time": "t"}, {"horizon": "1D"}, "the same times every week"),
        ("bhours.csv", {"time": "t"}, {"horizon": "6h"}, "the same times every week"),
        ("berlin_daily.csv", BERLIN, {"horizon": "1D"}, ""),
    ],
)  # fmt: skip
def test_what_a_task_says(file, read, options, note):
    task = task_of(file, read, **options)
    assert note in " ".join(task.notes)
    ahead = {"hor1M.csv": 7, "monsat.csv": 1, "bhours.csv": 6, "berlin_daily.csv": 1}
    assert task.spec["horizon"] == ahead.get(file, options.get("horizon", 1))
