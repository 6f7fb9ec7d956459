"""Forms of times in `strptime`'s codes: those that were given, and those to offer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.tables._columns import Notify
from torchliquid.tables._dates import ZONE_NAME

if TYPE_CHECKING:
    import pandas as pd

_GUESSES = (
    "%m/%d/%y %H:%M", "%d/%m/%y %H:%M", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d.%m.%y %H:%M",
    "%d-%b-%y", "%d-%b-%y %H:%M", "%b-%y", "%d %b %y", "%Y%m%d:%H%M", "%Y%m%d-%H%M%S",
    "%Y%m%d_%H%M%S", "%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S {zone} %Y",
    "%Y-%m-%d %H:%M:%S {zone}", "%Y-%m-%d %H:%M {zone}", "%Y-%m-%d {zone}",
    "%m/%d/%Y %H:%M {zone}", "%d.%m.%Y %H:%M {zone}",
)  # fmt: skip


def _reads(texts: pd.Series, form: str) -> bool:
    import pandas as pd

    try:
        return bool(pd.to_datetime(texts, format=form, errors="coerce").notna().all())
    except ValueError:
        return False


def fitting_formats(texts: pd.Series) -> list[str]:
    """Forms, in `strptime`'s codes, that read all these words as dates."""
    from pandas.tseries.api import guess_datetime_format

    first = texts.iloc[0]
    zone = ZONE_NAME.search(first)
    own = [form.replace("{zone}", zone[0] if zone else "?") for form in _GUESSES]
    guesses = [] if zone else [guess_datetime_format(first, dayfirst=day) for day in (False, True)]
    wanted = [form for form in dict.fromkeys([*own, *guesses]) if form]
    return [form for form in wanted if _reads(texts, form)]


def of_format(texts: pd.Series, form: str, notify: Notify) -> pd.Series:
    """Words of a given form as dates, NaT where one is of another; 24 hours are a midnight.

    Years of two digits are those of the hundred years in which the times rise.

    Raises:
        TorchliquidError: the form is none.
    """
    import pandas as pd

    def read(words: pd.Series) -> pd.Series:
        try:
            return pd.to_datetime(words, format=form, errors="coerce")
        except ValueError as error:
            raise TorchliquidError(f"time format {form!r} is none: {error}") from error

    stamps = read(texts)
    wrong = stamps.isna()
    if wrong.any() and "%H" in form:
        midnight = texts[wrong].str.replace(r"(?<!\d)24((?:\D?00){0,2}\D*)$", r"00\1", regex=True)
        found = read(midnight)
        hit = found.notna()
        if hit.any():
            notify(f"Times such as {texts[wrong][hit].iloc[0]!r} are the midnight at the end of "
                   "that day.")  # fmt: skip
            stamps = stamps.where(~wrong, (found + pd.Timedelta(1, "D")).reindex(texts.index))
    if "%y" in form and stamps.dt.tz is None:
        stamps = _of_rising_years(stamps, notify)
    return stamps


def _of_rising_years(stamps: pd.Series, notify: Notify) -> pd.Series:
    """Dates whose century was not written, in the hundred years in which fewest run back."""
    import pandas as pd

    years = stamps.dt.year.to_numpy()
    if not len(years) or stamps.isna().any():
        return stamps
    newest = datetime.now(UTC).year + 10
    within = stamps.dt.day_of_year.to_numpy() / 400

    def of_last(last: int) -> NDArray[Any]:
        return np.asarray(last - (last - years) % 100)

    lasts = sorted(range(newest - 100, newest + 1), reverse=True)
    back = [int((np.diff(of_last(last) + within) < 0).sum()) for last in lasts]
    chosen = of_last(lasts[int(np.argmin(back))])
    if (chosen == years).all():
        return stamps
    notify(f"Years of two digits are those from {chosen.min()} to {chosen.max()}.")
    parts = {
        name: getattr(stamps.dt, name) for name in ("month", "day", "hour", "minute", "second")
    }
    return pd.to_datetime(pd.DataFrame({"year": chosen} | parts), errors="coerce")
