"""Cells of a column as numbers, by rules that are said where they were needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables._columns import Column, Notify

if TYPE_CHECKING:
    from typing import Any

    import pandas as pd

Numbers = NDArray[np.float64]
NA_WORDS = frozenset(
    ["", "na", "nan", "n/a", "null", "none", "#n/a", "#na", "<na>", "-nan", "1.#ind", "-1.#ind",
     "1.#qnan", "-1.#qnan", "#n/a n/a"]
)  # fmt: skip
"""Words, in small letters, that programs write for a missing number; in a text they are words."""
MISSING = frozenset(
    ["?", "-", "--", "---", ".", "..", "*", "M", "m", "missing", "Missing", "MISSING"]
)
"""Cells that stand for a missing value, in a column whose other cells are numbers."""
PAIRS = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("on", "off"))
"""Words for 1 and 0, whatever their case."""
SHOWN_CHARACTERS = 40
SHOWN_WORDS = 3
_SIGNED = re.compile(
    r"(?P<before>[^\w+\-.,\s()]*)\s*(?P<number>[+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*"
    r"(?P<after>[^\d()\-]{0,6})"
)
_NEGATED = re.compile(r"\(\s*([\d., ']+)\s*\)|([\d., ']+)\s*-")
"""A number in brackets, or with its sign behind it."""
_GROUPED = re.compile(r"[+-]?(\d{1,3}( \d{3})+|\d{1,3}('\d{3})+|\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
_CLOCK = re.compile(r"-?\d{1,3}:[0-5]\d(:[0-5]\d)?(\.\d+)?")
_DECIMAL_COMMA = r"[+-]?(\d+|\d*,\d+|\d{1,3}(\.\d{3})+(,\d+)?)([eE][+-]?\d+)?"
_BLANKS = "\u00a0\u202f\u2007\u2009"
"""Blanks that do not break a line, between groups of digits."""
_TRANSLATED = str.maketrans(dict.fromkeys(_BLANKS, " ") | {"\u2212": "-", "\u2019": "'"})


def numbers(column: Column, what: str, notify: Notify = lambda text: None) -> Numbers:
    """The cells as numbers, NaN where missing.

    A column that is text to its reader may be read by one of these rules, which ``notify`` gets:
    marks such as ``?`` stand for missing values; yes and no count as 1 and 0; a unit that all cells
    share, such as ``%`` or ``$``, is left out; a sign behind every number, or brackets around it,
    are a minus; thousands are grouped by blanks or apostrophes, or by commas beside decimal points;
    ``5:32`` is 332 seconds.

    Raises:
        TorchliquidError: a cell is none of these, or infinite, or there is no value at all.
    """
    values = _read(column, what, notify)
    if np.isnan(values).all():
        raise TorchliquidError(f"{what} holds no value at all: give a column of numbers")
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise TorchliquidError(
            f"{what} is {values[infinite[0]]} in data row {infinite[0] + 1}: give finite numbers, "
            "with empty cells where a value is missing"
        )
    return values


def _read(column: Column, what: str, notify: Notify) -> Numbers:
    import pandas as pd

    cells = column.cells
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_timedelta64_dtype(cells.dtype):
        return np.asarray(cells.dt.total_seconds(), dtype=np.float64)
    marks_given = column.marks.decimal is not None or column.marks.thousands is not None
    is_text = pd.api.types.is_string_dtype(cells.dtype)
    if is_text and not (marks_given or column.marks.commas):
        quick = to_numbers(cells)  # most columns: no rule is needed
        if (quick.isna() == cells.isna()).all():
            return quick.to_numpy()
    texts = _texts(cells)
    plain = _without_marks(texts, column, what)
    values = to_numbers(plain)
    wrong = values.isna()
    if wrong.any():
        marks = plain[wrong][plain[wrong].isin(MISSING) | plain[wrong].str.lower().isin(NA_WORDS)]
        others = plain.drop(marks.index)
        read = _by_rule(others, notify, what) if len(others) else values
        if read is None:
            raise _refused(cells, texts, values, marks.index, what)
        said = sorted({mark for mark in marks if mark in MISSING})
        if said:
            count = int(marks.isin(MISSING).sum())
            listed = ", ".join(map(repr, said))
            notify(f"{what}: {listed} counts as a missing value ({plural(count, 'row')}).")
        values = read.reindex(texts.index)
    return values.reindex(cells.index).to_numpy(dtype=np.float64)


def _texts(cells: pd.Series) -> pd.Series:
    """The cells that are there, as text without blanks around it."""
    import pandas as pd

    present = cells[cells.notna()]
    if pd.api.types.infer_dtype(present) != "string":  # decimals and such, by their text
        present = pd.Series([str(cell) for cell in present], dtype=object, index=present.index)
    return present.astype(object).str.strip()


def to_numbers(texts: pd.Series) -> pd.Series:
    """Words as numbers, to the last bit what Python makes of them; NaN where one is none."""
    import pandas as pd

    words = texts.to_numpy(dtype=object)
    try:
        values = words.astype(np.float64)
    except (ValueError, TypeError):
        values = np.array([float(w) if is_number(w) else np.nan for w in words], dtype=np.float64)
    else:
        if any("_" in word for word in words if isinstance(word, str)):  # to Python 1_000 is one
            values = np.where([is_number(word) for word in words], values, np.nan)
    return pd.Series(values, index=texts.index)


def is_number(word: object) -> bool:
    """Whether Python reads the word as a number."""
    try:
        float(word)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return not isinstance(word, str) or "_" not in word


def _refused(
    cells: pd.Series, texts: pd.Series, values: pd.Series, marks: pd.Index, what: str
) -> TorchliquidError:
    """What a column that is none of numbers holds instead, and what to give."""
    odd = texts[values.isna()].drop(marks)
    first = int(np.flatnonzero(cells.index == odd.index[0])[0])
    holds = f"{what} holds {show(cells.iloc[first])} in data row {first + 1}"
    if is_mostly_numbers(values):
        counts = odd.value_counts()
        if len(counts) <= SHOWN_WORDS:
            count = plural(int(counts.sum()), "such cell")
            given = " ".join(f"`missing={word}`" for word in counts.index)
            return TorchliquidError(
                f"{holds} ({count}, beside numbers): give {given} if it stands for a missing value"
            )
    text = odd.iloc[0]
    if odd.str.fullmatch(_DECIMAL_COMMA).all():
        return TorchliquidError(f"{holds}: give `decimal=,` or `thousands=,`")
    if re.fullmatch(r"[\d.]+\s*[kKmMbBG]", text):
        return TorchliquidError(
            f"{holds}: give a column of numbers (whether {text[-1]} is a unit or a factor, and "
            "which, the file does not say)"
        )
    if _NEGATED.fullmatch(text):
        return TorchliquidError(
            f"{holds}, beside numbers without such a sign: give a column of numbers, with the "
            "minus sign in front"
        )
    return TorchliquidError(
        f"{holds}: give a column of numbers, with empty cells where a value is missing"
    )


def is_mostly_numbers(values: pd.Series) -> bool:
    """Whether a word among these cells is an exception, and no category."""
    return bool(values.notna().mean() > 0.5)


def _without_marks(texts: pd.Series, column: Column, what: str) -> pd.Series:
    """The words with decimal points and no thousands, by what was given or by what they show."""
    decimal, thousands = column.marks.decimal, column.marks.thousands
    plain = texts.map(lambda text: text if text.isascii() else text.translate(_TRANSLATED))
    if decimal is None and thousands is None:
        return _with_points(plain, column, what) if column.marks.commas else plain
    if thousands is not None:
        plain = plain.str.replace(thousands, "", regex=False)
    if decimal is not None and decimal != ".":
        # a point would be neither: such a cell stays a text
        plain = plain.where(~plain.str.contains(".", regex=False), "text " + plain)
        plain = plain.str.replace(decimal, ".", regex=False)
    return plain


def _with_points(texts: pd.Series, column: Column, what: str) -> pd.Series:
    """Decimal commas as points, where all cells can be read so; asked where in two ways."""
    for mark in (",", "."):
        marked = texts.str.contains(mark, regex=False)
        if not marked.any():
            continue
        groups = texts[marked].str.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(\{mark}\d{{3}})+")
        plain = texts[~marked].str.fullmatch(r"[+-]?\d+")
        beside = bool(len(plain)) and bool(plain.all())
        if groups.all() and (beside or (mark == "," and column.marks.points())):
            raise TorchliquidError(
                f"column {column.name!r} holds {texts[marked].iloc[0]!r} and "
                + (repr(texts[~marked].iloc[0]) if beside else "another column decimal points")
                + f": thousands or decimals? Give `thousands={mark}` or `decimal={mark}`"
            )
        if mark == "," and texts.str.fullmatch(_DECIMAL_COMMA).all():
            return texts.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return texts


def _by_rule(texts: pd.Series, notify: Notify, what: str) -> pd.Series | None:
    """Numbers by the first rule that reads all cells; None by none."""
    values = to_numbers(texts)
    if not values.isna().any():
        return values
    small = set(texts.str.lower())
    for yes, no in PAIRS:
        if small <= {yes, no}:
            if yes != "true":
                notify(f"{what}: {yes} and {no} count as 1 and 0.")
            return (texts.str.lower() == yes).astype(float)
    if _all(texts, _GROUPED) and _unmistakable(texts):
        notify(f"{what}: thousands are in groups, as in {_longest(texts)!r}.")
        return to_numbers(texts.str.replace("[ ,']", "", regex=True))
    if _all(texts, _NEGATED):
        inside = texts.str.replace(r"[()\-]", "", regex=True).str.strip()
        positive = _by_rule(inside, lambda text: None, what)
        if positive is not None:
            notify(f"{what}: {texts.iloc[0]!r} is read as a negative number, as all its cells are.")
            return -positive
    if _all(texts, _CLOCK):
        notify(f"{what}: {texts.iloc[0]!r} is read as a duration, in seconds.")
        return texts.map(_seconds).astype(np.float64)
    return _without_unit(texts, notify, what)


def _seconds(clock: str) -> float:
    """Minutes and seconds, or hours, minutes and seconds, in seconds.

    >>> _seconds("5:32"), _seconds("1:00:30"), _seconds("-0:30")
    (332.0, 3630.0, -30.0)
    """
    total = 0.0
    for part in clock.lstrip("-").split(":"):
        total = 60 * total + float(part)
    return -total if clock.startswith("-") else total


def _without_unit(texts: pd.Series, notify: Notify, what: str) -> pd.Series | None:
    """Numbers in front of, or behind, a unit that all of them share."""
    parts = texts.str.extract(_SIGNED.pattern)
    if not _all(texts, _SIGNED) or len(parts[["before", "after"]].drop_duplicates()) != 1:
        return None
    values = to_numbers(parts["number"])
    if values.isna().any():
        return None
    sign = (parts["before"].iloc[0] + parts["after"].iloc[0]).strip()
    notify(f"{what}: the sign {sign!r} of every cell is left out.")
    return values


def _all(texts: pd.Series, pattern: re.Pattern[str]) -> bool:
    return all(pattern.fullmatch(word) for word in texts)


def _unmistakable(texts: pd.Series) -> bool:
    """Whether groups can be nothing but thousands: by blanks, twice, or before a decimal point."""
    return bool(
        texts.str.contains(r"\d[ ']\d{3}", regex=True).any()
        or texts.str.contains(r",\d{3}(?:,\d{3}|\.\d)", regex=True).any()
    )


def _longest(texts: pd.Series) -> str:
    return str(texts.iloc[int(texts.str.len().argmax())])


def show(cell: Any) -> str:
    """A cell as a message shows it: quoted where it is a word, cut where it is long."""
    text = repr(cell) if isinstance(cell, str) and not is_number(cell) else str(cell)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
