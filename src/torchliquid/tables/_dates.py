"""Text and numbers as dates, in forms that can be read in one way only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError

if TYPE_CHECKING:
    import pandas as pd

Stamps = NDArray[np.datetime64]
_COMPACT = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_CLOCKS = (
    "", "%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p",
    "%I %p", "%H.%M.%S", "%H.%M",
)  # fmt: skip
_SLASHED = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4})(?:[ T,]+(.*))?")
_YEAR_FIRST = re.compile(r"(\d{4})([/.\-])(\d{1,2})\2(\d{1,2})(?:[ T,]+(.*))?")
_QUARTER = r"(\d{4})[ \-]?[Qq]([1-4])"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_OFFSET = r"(?:Z|[+-]\d{2}:?\d{2})$"


def as_dates(cells: pd.Series, zone: str | None = None) -> Stamps:
    """Moments in UTC, NaT where a cell is none.

    Forms: dates of pandas and Parquet; integers such as 20201231; ISO 8601; quarters
    (``1970Q1``); months by name (``Jan 1 2000``, ``1991 Jul``); ``2020/1/31``; ``31/1/2020`` and
    ``1/31/2020``, where some day of the column is above 12; each with a time of day, also by AM and
    PM.

    Args:
        cells: of one column.
        zone: where clocks show the times of cells without a zone of their own; None: UTC.

    Raises:
        TorchliquidError: day and month may change places; the zone is unknown, or its clocks never
            showed such a time.
    """
    import pandas as pd

    none = np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
    if pd.api.types.is_integer_dtype(cells.dtype):
        compact = _compact(cells)
        return none if compact is None else _in_utc(pd.Series(compact), zone)
    if pd.api.types.is_float_dtype(cells.dtype):
        return none
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return _in_utc(cells, zone)
    texts = cells.astype(str).str.strip()
    named = texts.str.fullmatch(r".* (UTC|GMT)").all()
    if named:
        texts, zone = texts.str.slice(stop=-4), None
    if zone is None or texts.str.contains(_OFFSET, regex=True).any():
        return _in_utc(_parsed(texts, utc=True), None)
    return _in_utc(_parsed(texts, utc=False), zone)


def _in_utc(stamps: pd.Series, zone: str | None) -> Stamps:
    import pandas as pd

    if stamps.dt.tz is not None:
        return np.asarray(stamps.dt.tz_convert("UTC").dt.tz_localize(None))
    if zone is None:
        return np.asarray(stamps)
    try:
        local = pd.DatetimeIndex(stamps).tz_localize(zone, ambiguous="infer")
    except (ValueError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TorchliquidError(
            f"times cannot be read by the clocks of {zone!r} ({reason}): give `time_zone` a name "
            "such as Europe/Berlin, or times with their offset"
        ) from error
    return np.asarray(local.tz_convert("UTC").tz_localize(None))


def _parsed(texts: pd.Series, *, utc: bool) -> pd.Series:
    """The words as dates by the first form that reads the first of them; NaT where it fails."""
    import pandas as pd

    first = texts.iloc[0] if len(texts) else ""
    if not pd.isna(pd.to_datetime(first, format="ISO8601", errors="coerce")):
        return pd.to_datetime(texts, format="ISO8601", utc=utc, errors="coerce")
    if re.fullmatch(_QUARTER, first):
        quarter = texts.str.extract(f"^{_QUARTER}$")
        months = 3 * pd.to_numeric(quarter[1], errors="coerce") - 2
        dates = quarter[0] + "-" + months.map(lambda m: "" if np.isnan(m) else f"{int(m):02d}")
        return pd.to_datetime(dates, format="%Y-%m", utc=utc, errors="coerce")
    for pattern, order in ((_YEAR_FIRST, ("%Y", "%m", "%d")), (_SLASHED, None)):
        match = pattern.fullmatch(first)
        if match:
            mark, clock = match[2], match[5] or ""
            parts = order or _day_and_month(texts)
            # from the back: what stands between date and clock is one blank or T
            between = first[len(first) - len(clock) - 1] if clock else ""
            return _by_clock(texts, mark.join(parts) + between, clock, utc=utc)
    if re.search(_MONTHS, first, re.IGNORECASE) and re.search(r"\d{4}", first):
        return pd.to_datetime(texts, format="mixed", utc=utc, errors="coerce")
    return pd.to_datetime(texts, format="ISO8601", utc=utc, errors="coerce")


def _by_clock(texts: pd.Series, day: str, clock: str, *, utc: bool) -> pd.Series:
    """Dates of this form, with a time of day of the form that reads the first."""
    import pandas as pd

    forms = [form for form in _CLOCKS if bool(form) == bool(clock)]
    first = texts.iloc[0]
    fits = (f for f in forms if not pd.isna(pd.to_datetime(first, format=day + f, errors="coerce")))
    form = next(fits, forms[0])
    return pd.to_datetime(texts, format=day + form, utc=utc, errors="coerce")


def _day_and_month(texts: pd.Series) -> tuple[str, str, str]:
    """The order of day, month and year, where a number above 12 gives it away."""
    import pandas as pd

    parts = texts.str.extract(_SLASHED.pattern)
    one, other = (pd.to_numeric(parts[k], errors="coerce").max() for k in (0, 2))
    if one > 12 >= other:
        return "%d", "%m", "%Y"
    if other > 12 >= one:
        return "%m", "%d", "%Y"
    first, mark = texts.iloc[0], parts[1].iloc[0]
    raise TorchliquidError(
        f"{first!r} may name the day or the month first: give `time_format`, beginning with "
        f"%d{mark}%m{mark}%Y or %m{mark}%d{mark}%Y"
    )


def _compact(cells: pd.Series) -> NDArray[Any] | None:
    """Integers such as 202012, 20201231 or 2020123123 as dates, where all of them are.

    In years from 1800 to 2200: other numbers are counters.
    """
    import pandas as pd

    texts = cells.astype(str)
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
        raise TorchliquidError("`calendar` needs dates: give the column that holds them, `time`")
    local = pd.to_datetime(dates, unit="s", utc=True)
    local = local if zone is None else local.tz_convert(zone)
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
