"""Text and numbers as dates, in forms that can be read in one way only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.tables._columns import Notify
from torchliquid.tables._zones import Stamps, in_utc, to_local

if TYPE_CHECKING:
    import pandas as pd

_COMPACT = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_CLOCKS = (
    "", "%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p",
    "%I %p", "%H.%M.%S", "%H.%M",
)  # fmt: skip
_SLASHED = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4})(?:[ T,]+(.*))?")
_YEAR_FIRST = re.compile(r"(\d{4})([/.\- ])(\d{1,2})\2(\d{1,2})(?:[ T,]+(.*))?")
_DAY_AND_HOUR = re.compile(r"\d{8}[ T](\d{1,2}|\d{4}|\d{1,2}:\d{2}(?::\d{2})?)")
_QUARTER = r"(\d{4})[ \-]?[Qq]([1-4])"
_QUARTER_FIRST = r"[Qq]([1-4])[ \-/]?(\d{4})"
_WEEK = r"(\d{4})-?W(\d{2})"
_BLANK_DAY = r"\d{4} \d{1,2} \d{1,2}"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_OFFSET = r"(?:Z|[+-]\d{2}:?\d{2})$"
_INTERVALS = (r"^(.*\d{4}.*?) [-\u2013] (.*\d{4}.*)$", r"^(\d{4}-[^/]*)/(\d{4}-[^/]*)$")
_DAY = r"(?:\d{8}|\d{4}[/.\-]\d{1,2}[/.\-]\d{1,2}|\d{1,2}[/.\-]\d{1,2}[/.\-]\d{4})"
_END_OF_DAY = re.compile(rf"({_DAY}[ T])24((?::?00){{0,2}}(?:\.0+)?(?:Z|[+-]\d{{2}}:?\d{{2}})?)")
ZONE_NAME = re.compile(r"\b(?!AM\b|PM\b)[A-Z]{3,5}\b")


def as_dates(
    cells: pd.Series,
    zone: str | None = None,
    clock_change: str = "ask",
    notify: Notify = lambda text: None,
) -> Stamps:
    """Moments in UTC, NaT where a cell is none.

    Forms: dates of pandas and Parquet; integers such as 20201231, also with an hour behind; ISO
    8601; quarters (``1970Q1``, ``Q1 1970``) and weeks (``2019-W02``) by their first day; months by
    name (``Jan 1 2000``, ``1991 Jul``); ``2020/1/31``; ``31/1/2020`` and ``1/31/2020``, where some
    day of the column is above 12; each with a time of day, also by AM and PM. 24:00 is the midnight
    after, a date alone among dates with a time of day is the midnight before, and an interval
    (``2020-01-06/2020-01-12``) counts by its beginning: those are said.

    Args:
        cells: of one column.
        zone: where clocks show the times of cells without a zone of their own; None: UTC.
        clock_change: see `torchliquid.tables._zones.in_utc`.
        notify: gets what was said.

    Raises:
        TorchliquidError: day and month may change places; the zone is unknown, or its clocks
            showed a time never, or twice.
    """
    import pandas as pd

    if pd.api.types.is_float_dtype(cells.dtype):
        return np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return in_utc(cells, zone, clock_change)
    texts = cells.astype(str).str.strip()
    if texts.str.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?").all():
        compact = _compact(texts)
        if compact is None:
            return np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
        return in_utc(pd.Series(compact), zone, clock_change)
    texts, late = _plain(texts, notify)
    if texts.str.fullmatch(r".* (UTC|GMT)").all():
        texts, zone = texts.str.slice(stop=-4), None
    if zone is None or texts.str.contains(_OFFSET, regex=True).any():
        return in_utc(_parsed(texts, utc=True) + late, None)
    return in_utc(_parsed(texts, utc=False) + late, zone, clock_change)


def beginnings(texts: pd.Series, notify: Notify) -> pd.Series:
    """Intervals, as ``2020-01-06/2020-01-12``, by their beginnings; other words as they are."""
    for pattern in _INTERVALS:
        if not len(texts) or not re.match(pattern, texts.iloc[0]):
            continue
        halves = texts.str.extract(pattern)
        if (halves[0].str.len() == halves[1].str.len()).all():
            notify(f"Times are intervals ({texts.iloc[0]!r}): each counts by its beginning.")
            return halves[0]
    return texts


def _plain(texts: pd.Series, notify: Notify) -> tuple[pd.Series, pd.Series]:
    """The words as dates with a time of day that clocks show, and what is to be added to each."""
    import pandas as pd

    texts = beginnings(texts, notify)
    late = texts.str.contains(r"[ T]24", regex=True).astype(bool)
    if late.any():
        late = texts.str.fullmatch(_END_OF_DAY.pattern).astype(bool)
    if late.any():
        notify(f"Times such as {texts[late].iloc[0]!r} are the midnight at the end of that day.")
        texts = texts.str.replace(f"^{_END_OF_DAY.pattern}$", r"\g<1>00\g<2>", regex=True)
    alone = texts.str.fullmatch(_DAY).astype(bool)
    if alone.any() and not alone.all() and not texts[alone].str.fullmatch(r"\d{8}").any():
        reference = texts[~alone].iloc[0]
        behind = re.fullmatch(rf"{_DAY}([ T,]+.*)", reference)
        if behind:
            notify(
                f"Dates without a time of day ({texts[alone].iloc[0]!r}, {int(alone.sum())} rows) "
                "are midnights, as spreadsheets write them."
            )
            clock = re.sub(r"\d", "0", re.sub(r"\d{1,2}(.*[AP]M)", r"12\1", behind[1]))
            clock = clock.replace("PM", "AM").replace("00:", "12:", 1) if "M" in clock else clock
            texts = texts.where(~alone, texts + clock)
    return texts, pd.to_timedelta(late.astype(int), unit="D")


def _parsed(texts: pd.Series, *, utc: bool) -> pd.Series:
    """The words as dates by the first form that reads the first of them; NaT where it fails."""
    import pandas as pd

    first = texts.iloc[0] if len(texts) else ""
    day_and_hour = _DAY_AND_HOUR.fullmatch(first)  # pandas would take the hour for minutes
    if day_and_hour:
        between = first[8]
        return _by_clock(texts, f"%Y%m%d{between}", day_and_hour[1], utc=utc)
    if not pd.isna(pd.to_datetime(first, format="ISO8601", errors="coerce")):
        return pd.to_datetime(texts, format="ISO8601", utc=utc, errors="coerce")
    for quarters, year, quarter in ((_QUARTER, 0, 1), (_QUARTER_FIRST, 1, 0)):
        if re.fullmatch(quarters, first):
            parts = texts.str.extract(f"^{quarters}$")
            months = 3 * pd.to_numeric(parts[quarter], errors="coerce") - 2
            words = months.map(lambda m: "" if np.isnan(m) else f"{int(m):02d}")
            dates = parts[year] + "-" + words
            return pd.to_datetime(dates, format="%Y-%m", utc=utc, errors="coerce")
    if re.fullmatch(_WEEK, first):
        parts = texts.str.extract(f"^{_WEEK}$")
        days = parts[0] + parts[1] + "1"  # its Monday
        return pd.to_datetime(days, format="%G%V%u", utc=utc, errors="coerce")
    for pattern, order in ((_YEAR_FIRST, ("%Y", "%m", "%d")), (_SLASHED, None)):
        match = pattern.fullmatch(first)
        if match:
            mark, clock = match[2], match[5] or ""
            parts_of_day = order or _day_and_month(texts, clock)
            # from the back: what stands between date and clock is one blank or T
            between = first[len(first) - len(clock) - 1] if clock else ""
            return _by_clock(texts, mark.join(parts_of_day) + between, clock, utc=utc)
    if re.search(_MONTHS, first, re.IGNORECASE) and re.search(r"\d{4}", first):
        if ZONE_NAME.search(first):  # pandas would take the clocks of a zone for those of UTC
            return pd.Series(pd.NaT, index=texts.index, dtype="datetime64[s]")
        return pd.to_datetime(texts, format="mixed", utc=utc, errors="coerce")
    return pd.to_datetime(texts, format="ISO8601", utc=utc, errors="coerce")


def _by_clock(texts: pd.Series, day: str, clock: str, *, utc: bool) -> pd.Series:
    """Dates of this form, with a time of day of the form that reads the first."""
    import pandas as pd

    if clock.replace(" ", "").isdigit() and " " in clock:  # hour and minute, apart
        texts = texts.str.replace(rf"^({_BLANK_DAY} \d+) (\d+)", r"\1:\2", regex=True)
        texts = texts.str.replace(r"(:\d+) (\d+)$", r"\1:\2", regex=True)
    elif clock.isdigit() and len(clock) < 3:
        texts = texts.str.replace(r"([ T])(\d)$", r"\g<1>0\2", regex=True)
    forms = _clocks(clock)
    first = texts.iloc[0]
    fits = (f for f in forms if not pd.isna(pd.to_datetime(first, format=day + f, errors="coerce")))
    form = next(fits, forms[0])
    return pd.to_datetime(texts, format=day + form, utc=utc, errors="coerce")


def _fits(clock: str, form: str) -> bool:
    import pandas as pd

    return not pd.isna(pd.to_datetime(clock, format=form, errors="coerce"))


def _clocks(clock: str) -> list[str]:
    """Forms that a time of day like this one may have; of digits alone by their number."""
    if clock.isdigit():
        return [{4: "%H%M", 6: "%H%M%S"}.get(len(clock), "%H")]
    return [form for form in _CLOCKS if bool(form) == bool(clock)]


def _day_and_month(texts: pd.Series, clock: str) -> tuple[str, str, str]:
    """The order of day, month and year, where a number above 12 gives it away."""
    import pandas as pd

    parts = texts.str.extract(_SLASHED.pattern)
    one, other = (pd.to_numeric(parts[k], errors="coerce").max() for k in (0, 2))
    if one > 12 >= other:
        return "%d", "%m", "%Y"
    if other > 12 >= one:
        return "%m", "%d", "%Y"
    first, mark = texts.iloc[0], parts[1].iloc[0]
    forms = _clocks(clock)
    behind = next((f for f in forms if _fits(clock, f)), "") if clock else ""
    behind = f" {behind}" if behind else ""
    raise TorchliquidError(
        f"{first!r} may name the day or the month first: give `time_format`, "
        f"%d{mark}%m{mark}%Y{behind} or %m{mark}%d{mark}%Y{behind}"
    )


def _compact(texts: pd.Series) -> NDArray[Any] | None:
    """Integers such as 202012, 20201231 or 2020123123 as dates, where all of them are.

    In years from 1800 to 2200: other numbers are counters.
    """
    import pandas as pd

    form = _COMPACT.get(len(texts.iloc[0])) if len(texts) else None
    if (
        form is None
        or not texts.str.fullmatch(rf"(1[89]|2[01])\d{{{len(texts.iloc[0]) - 2}}}").all()
    ):
        return None
    stamps = pd.to_datetime(texts, format=form, errors="coerce").to_numpy()
    return None if np.isnat(stamps).any() else stamps


CLOCK_COLUMNS = ("year", "quarter", "month", "day", "hour", "minute", "second")


def of_numbers(columns: dict[str, pd.Series]) -> pd.Series:
    """Dates whose year, month (or quarter), day, hour ... stand in columns of their own.

    >>> import pandas as pd
    >>> of_numbers({"year": pd.Series([1959]), "quarter": pd.Series([2])})[0]
    Timestamp('1959-04-01 00:00:00')
    """
    import pandas as pd

    numbers = {name: pd.to_numeric(cells, errors="coerce") for name, cells in columns.items()}
    if "quarter" in numbers:
        quarter = numbers.pop("quarter")
        numbers["month"] = (3 * quarter - 2).where(quarter.isin([1, 2, 3, 4]))
    parts = pd.DataFrame({"month": 1, "day": 1} | numbers)
    return pd.to_datetime(parts, errors="coerce")


CALENDAR = ("hour", "weekday", "month")


def calendar_columns(
    dates: NDArray[np.float64] | None, kinds: Sequence[str], zone: str | None
) -> dict[str, NDArray[np.float64]]:
    """Where each moment stands in its day, week or year: a sine and a cosine for each kind.

    Args:
        dates: moments in UTC, as seconds since 1970.
        kinds: of `CALENDAR`.
        zone: whose clocks count; None: UTC.

    Raises:
        TorchliquidError: a kind is unknown, or there are no dates.
    """
    import pandas as pd

    for kind in kinds:
        if kind not in CALENDAR:
            raise TorchliquidError(f"calendar is {kind!r}: give some of {', '.join(CALENDAR)}")
    if dates is None:
        raise TorchliquidError(
            "`calendar` needs dates: give the column that holds them, `time`, and, where they are "
            "numbers, their unit, `time_unit`"
        )
    local = to_local(pd.to_datetime(dates, unit="s").to_numpy(), zone)
    hours = local.hour + local.minute / 60 + local.second / 3600
    shares = {
        "hour": hours / 24,
        "weekday": (local.day_of_week + hours / 24) / 7,
        "month": (local.day_of_year - 1 + hours / 24) / 365.25,
    }
    columns: dict[str, NDArray[np.float64]] = {}
    for kind in kinds:
        angle = 2 * np.pi * np.asarray(shares[kind], dtype=np.float64)
        columns |= {f"{kind} sin": np.sin(angle), f"{kind} cos": np.cos(angle)}
    return columns
