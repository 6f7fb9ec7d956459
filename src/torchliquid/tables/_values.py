"""Cells of a column as numbers, by rules that are said where they were needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables._times import Numbers, show

if TYPE_CHECKING:
    import pandas as pd

Notify = Callable[[str], None]
MISSING = frozenset(
    ["?", "-", "--", "---", ".", "..", "*", "M", "m", "missing", "Missing", "MISSING", "none"]
)
"""Cells that stand for a missing value, in a column whose other cells are numbers."""
PAIRS = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("on", "off"))
"""Words for 1 and 0, whatever their case."""
MOST_CATEGORIES = 12
_SIGNED = re.compile(
    r"(?P<before>[^\w+\-.,\s]*)\s*(?P<number>[+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*(?P<after>\D{0,6})"
)
_GROUPED = re.compile(r"[+-]?(\d{1,3}( \d{3})*|\d{1,3}(,\d{3})*|\d+)(\.\d+)?")


def numbers(cells: pd.Series, what: str, notify: Notify = lambda text: None) -> Numbers:
    """The cells as numbers, NaN where missing.

    A column that is text to its reader may be read by one of these rules, which ``notify`` gets:
    marks such as ``?`` stand for missing values; yes and no count as 1 and 0; a sign that all cells
    share, such as ``%`` or ``$``, is left out; thousands are grouped by blanks, or by commas beside
    decimal points.

    Raises:
        TorchliquidError: a cell is none of these, or infinite, or there is no value at all.
    """
    values = _read(cells, what, notify)
    if np.isnan(values).all():
        raise TorchliquidError(f"{what} holds no value at all: give a column of numbers")
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise TorchliquidError(
            f"{what} is {values[infinite[0]]} in data row {infinite[0] + 1}: give finite numbers, "
            "with empty cells where a value is missing"
        )
    return values


def _read(cells: pd.Series, what: str, notify: Notify) -> Numbers:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_timedelta64_dtype(cells.dtype):
        return np.asarray(cells.dt.total_seconds(), dtype=np.float64)
    present = cells[cells.notna()]
    # decimals and such through their text; true and false as they are
    plain = [cell if isinstance(cell, bool) else str(cell).strip() for cell in present]
    texts = pd.Series(plain, dtype=object, index=present.index)
    values = pd.to_numeric(texts, errors="coerce")
    wrong = values.isna()
    if wrong.any():
        marks = texts[wrong][texts[wrong].isin(MISSING)]
        others = texts.drop(marks.index)
        read = _by_rule(others, notify, what) if len(others) else values
        if read is None:
            odd = values[wrong].drop(marks.index).index[0]
            first = int(np.flatnonzero(cells.index == odd)[0])
            raise TorchliquidError(
                f"{what} holds {show(cells.iloc[first])} in data row {first + 1}: give a column of "
                "numbers, with empty cells where a value is missing"
            )
        if len(marks):
            listed = ", ".join(map(repr, sorted(set(marks))))
            notify(f"{what}: {listed} counts as a missing value ({plural(len(marks), 'row')}).")
        values = read.reindex(texts.index)
    return values.reindex(cells.index).to_numpy(dtype=np.float64)


def _by_rule(texts: pd.Series, notify: Notify, what: str) -> pd.Series | None:
    """Numbers by the first rule that reads all cells; None by none."""
    import pandas as pd

    values = pd.to_numeric(texts, errors="coerce")
    if not values.isna().any():
        return values
    text = texts.astype(str)
    small = set(text.str.lower())
    for yes, no in PAIRS:
        if small <= {yes, no}:
            notify(f"{what}: {yes} and {no} count as 1 and 0.")
            return (text.str.lower() == yes).astype(float)
    if text.map(lambda word: _GROUPED.fullmatch(word) is not None).all() and _unmistakable(text):
        notify(f"{what}: thousands are in groups, as in {_longest(text)!r}.")
        return pd.to_numeric(text.str.replace("[ ,]", "", regex=True))
    parts = text.str.extract(_SIGNED.pattern)
    whole = text.map(lambda word: _SIGNED.fullmatch(word) is not None)
    if whole.all() and len(parts[["before", "after"]].drop_duplicates()) == 1:
        values = pd.to_numeric(parts["number"], errors="coerce")
        if not values.isna().any():
            sign = (parts["before"].iloc[0] + parts["after"].iloc[0]).strip()
            notify(f"{what}: the sign {sign!r} of every cell is left out.")
            return values
    return None


def _unmistakable(text: pd.Series) -> bool:
    """Whether groups can be nothing but thousands: by blanks, twice, or before a decimal point."""
    return bool(
        text.str.contains(r"\d \d{3}", regex=True).any()
        or text.str.contains(r",\d{3}(?:,\d{3}|\.\d)", regex=True).any()
    )


def _longest(text: pd.Series) -> str:
    return str(text.iloc[int(text.str.len().argmax())])


def categories(cells: pd.Series) -> list[str] | None:
    """The words of a column of few, in alphabetical order; None of any other column."""
    texts = cells.dropna().astype(str)
    levels = sorted(texts.unique())
    return levels if 2 <= len(levels) <= MOST_CATEGORIES and len(texts) >= 5 * len(levels) else None
