"""Text files as named columns of cells: what separates them, what stands above and below them."""

from __future__ import annotations

import codecs
import csv
import functools
import io
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables._bounds import check_size
from torchliquid.tables._values import MISSING, Notify
from torchliquid.tables.dialect import CsvDialect

if TYPE_CHECKING:
    import pandas as pd

Columns = list[tuple[str, "pd.Series"]]
SEPARATORS = ",;\t|"
BLANKS = r"\s+"
SAMPLED_ROWS = 20


def read_text(content: bytes, dialect: CsvDialect, notify: Notify) -> Columns:
    """All columns of a text file, in order; see `torchliquid.tables._formats.read_columns`.

    Raises:
        TorchliquidError: the text cannot be decoded, or its rows have more cells than its header.
    """
    import pandas as pd

    text, separator = _head(_decoded(content, dialect), dialect, notify)
    separator = separator or _separator(text)
    if separator != BLANKS:
        check_size(1, text.partition("\n")[0].count(separator) + 1)
    header, *rows = _first_rows(text, separator)
    names = _fit_names([name.strip() for name in header], rows, separator)
    _check_header(names)
    if _is_units(rows):
        units = ", ".join(filter(None, (cell.strip() for cell in rows[0])))
        notify(f"The line below the names ({units}) holds no numbers: it was taken as their units.")
        first, _, following = text.partition("\n")
        text = "\n".join([first, following.partition("\n")[2]])
    read: Any = functools.partial(
        pd.read_csv,
        sep=separator,
        header=0,
        # Places instead of names: pandas would rename columns that bear the same name.
        names=list(range(len(names))),
        skipinitialspace=True,
        # Only where there is one column can an empty line be a missing value.
        skip_blank_lines=len(names) > 1,
        comment=dialect.comment,
        low_memory=False,
    )
    has_marks = dialect.decimal is not None or dialect.thousands is not None
    try:
        table = read(io.StringIO(text), decimal=dialect.decimal or ".", thousands=dialect.thousands)
    except pd.errors.ParserError as error:
        raise TorchliquidError(_in_our_words(str(error), separator)) from error
    table = _without_foot(table, notify)
    columns = [table[column] for column in range(len(names))]
    if separator != "," and not has_marks:
        numeric = [cells for cells in columns if pd.api.types.is_float_dtype(cells.dtype)]
        points = any((cells.dropna() % 1 != 0).any() for cells in numeric)
        commas = [_with_decimal_commas(cells, points) for cells in columns]
        if re.search(r"\d\.\d{3}(?!\d)", text):
            written = read(io.StringIO(text), dtype=str).iloc[: len(table)]
            columns = [_or_ambiguous(cells, written[k], ".") for k, cells in enumerate(commas)]
        else:
            columns = commas
    return list(zip(names, columns, strict=True))


def _in_our_words(error: str, separator: str) -> str:
    """What pandas says of a table that it cannot read."""
    cells = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error)
    if cells:
        return (
            f"has {cells[3]} cells in line {cells[2]} (counted from the names), but its header "
            f"names {cells[1]}: quote cells that hold {separator!r}; of lines that are no rows, "
            "see `comment` and `skip_footer`"
        )
    quote = re.search(r"EOF inside string starting at row (\d+)", error)
    if quote:
        return f"has a quotation mark in data row {int(quote[1])} that is never closed: close it"
    return f"cannot be read as a table ({' '.join(error.split())}): fix the file"


def _decoded(content: bytes, dialect: CsvDialect) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode(dialect.encoding or ("utf-16" if wide else "utf-8-sig"))
    except (UnicodeDecodeError, LookupError) as error:
        named = dialect.encoding or "UTF-8"
        raise TorchliquidError(
            f"is not text in {named}: save it in UTF-8, or give `encoding`, such as latin-1"
        ) from error
    if "\0" in text[:1000]:
        raise TorchliquidError(
            "holds NUL characters in its first lines, as UTF-16 does: give `encoding=utf-16-le`"
        )
    text = text.lstrip("\ufeff")
    if "\r" in text:  # every kind of line end
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.lstrip(" \n")


def _head(text: str, dialect: CsvDialect, notify: Notify) -> tuple[str, str | None]:
    """The text from its header on, and the separator that a line above it or the user names."""
    for _ in range(dialect.skip_rows):
        text = text.partition("\n")[2]
    if dialect.skip_footer:
        lines = text.rstrip("\n").rsplit("\n", dialect.skip_footer)
        text = lines[0] + "\n"
    text, separator = text.lstrip(" \n"), dialect.sep
    named = re.match(r"sep=(.)\n", text)
    if named:
        separator, text = separator or named[1], text[named.end() :]
    mark = dialect.comment or "#"
    above: list[str] = []
    while text.startswith(mark):
        line, _, text = text.partition("\n")
        above.append(line.lstrip(mark).strip())
    if above:
        rows = [
            _cells(line, separator or _separator(text))
            for line in (above[-1], text.partition("\n")[0])
        ]
        if len(rows[0]) == len(rows[1]) and all(map(is_number, rows[1])):
            text = f"{above[-1]}\n{text}"  # as numpy.savetxt writes it
        else:
            notify(
                f"The first line or lines begin with {mark!r}: they were left out ({len(above)})."
            )
    return text, BLANKS if separator is not None and not separator.strip(" ") else separator


def _separator(text: str) -> str:
    """What separates the cells of the first line, most of them."""
    best = max(SEPARATORS, key=lambda mark: len(_first_rows(text, mark)[0]))
    rows = _first_rows(text, best)
    if len(rows[0]) > 1:
        return best
    split_lines = [
        line.split() for line in islice(filter(str.strip, io.StringIO(text)), SAMPLED_ROWS)
    ]
    even = (
        len(split_lines) > 1
        and len({len(row) for row in split_lines}) == 1
        and len(split_lines[0]) > 1
    )
    return BLANKS if even else best


def _cells(line: str, separator: str) -> list[str]:
    if separator == BLANKS:
        return line.split()
    return next(csv.reader([line], delimiter=separator), [])


def _first_rows(text: str, separator: str) -> list[list[str]]:
    if separator == BLANKS:
        lines = filter(str.strip, io.StringIO(text))
        return [line.split() for line in islice(lines, SAMPLED_ROWS)]
    # one cell may be a whole line, where another separator is tried
    before = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        return list(islice((row for row in reader if row), SAMPLED_ROWS)) or [[]]
    finally:
        csv.field_size_limit(before)


def _check_header(names: list[str]) -> None:
    """A first line of numbers is a row of values, unless it counts the columns as pandas does."""
    named = [name for name in names if name]
    counted = named == [str(k) for k in range(len(named))]
    if named and not counted and all(map(is_number, named)):
        raise TorchliquidError(
            f"has numbers in its first line ({', '.join(named[:3])}): name the columns there"
        )


def _is_units(rows: list[list[str]]) -> bool:
    """Whether the first row holds words where those below it hold numbers."""
    if len(rows) < 3 or any(map(is_number, rows[0])):
        return False
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    numeric = [
        k
        for k in range(len(first))
        if below and all(is_number(r[k]) for r in below if r[k].strip())
    ]
    cells = [first[k].strip() for k in numeric]
    return any(word and word not in MISSING and word.lower() not in _NA for word in cells)


_NA = frozenset(["na", "nan", "n/a", "null", "none", ""])


def _without_foot(table: pd.DataFrame, notify: Notify) -> pd.DataFrame:
    """The table without lines of separators alone, and a line of one word, at its end."""
    filled = table.notna()
    rows = np.flatnonzero(filled.any(axis=1))
    if table.shape[1] < 2 or not len(rows):
        return table
    table = table.iloc[: rows[-1] + 1]  # lines of separators alone end many exports
    last = table.iloc[-1]
    alone = last.notna().sum() == 1 and isinstance(last.iloc[0], str)
    if alone and len(table) > 1 and filled.iloc[rows[-1] - 1].sum() > 1:
        notify(f"The last line ({last.iloc[0]!r}) holds one word: it was left out.")
        table = table.iloc[:-1]
    return table


_DECIMAL_COMMA = r"[+-]?(\d+|\d*,\d+|\d{1,3}(\.\d{3})+(,\d+)?)([eE][+-]?\d+)?"


def _with_decimal_commas(cells: pd.Series, points: bool) -> pd.Series:
    """The column as numbers, where it is one of numbers with decimal commas; else as it is.

    ``points``: another column has decimal points.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells
    texts = cells.dropna().astype(str).str.strip()
    if not texts.str.contains(",").any() or not texts.str.fullmatch(_DECIMAL_COMMA).all():
        return cells
    plain = cells.astype(str).str.strip().str.replace(".", "").str.replace(",", ".")
    numbers = pd.to_numeric(plain.where(cells.notna()), errors="coerce")
    return _or_ambiguous(numbers, cells, ",", points)


def _or_ambiguous(
    cells: pd.Series, written: pd.Series, mark: str, other_mark: bool = False
) -> pd.Series:
    """The column, marked where ``1,000`` beside ``999`` may be a thousand as well as one.

    So it may where another column has another decimal mark, whatever is beside it.
    """
    texts = written.dropna().astype(str).str.strip()
    marked = texts.str.contains(mark, regex=False)
    groups = texts[marked].str.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(\{mark}\d{{3}})+")
    plain = texts[~marked].str.fullmatch(r"[+-]?\d+")
    beside = len(plain) and plain.all()
    if marked.any() and groups.all() and (beside or other_mark):
        cells.attrs["ambiguous"] = (
            f"holds {texts[marked].iloc[0]!r} and "
            + (repr(texts[~marked].iloc[0]) if beside else "another column decimal points")
            + f": thousands or decimals? Give `thousands={mark}` or `decimal={mark}`"
        )
    return cells


def is_number(word: str) -> bool:
    """Whether Python reads the word as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def _fit_names(header: list[str], rows: list[list[str]], separator: str) -> list[str]:
    """Names for all cells of a row, of which the header may name all but one."""
    widths = {len(row) for row in rows}
    if max(widths, default=0) <= len(header):
        return header
    if widths == {len(header) + 1}:
        if not any(row[-1] for row in rows):  # every row ends in a separator
            return [*header, ""]
        if len(header) > 1:
            return ["", *header]
    number, row = next((i, row) for i, row in enumerate(rows, 1) if len(row) > len(header))
    raise TorchliquidError(
        f"has {len(row)} cells in data row {number}, but its header names {len(header)}: name every"
        f" column in the first line, and quote cells that hold {separator!r}; where the first "
        "lines are no table, give `skip_rows`"
    )
