"""Text files as named columns of text: what separates cells, what stands above and below them."""

from __future__ import annotations

import codecs
import csv
import functools
import io
import re
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables._bounds import check_size
from torchliquid.tables._columns import Column, Columns, Marks, Notify
from torchliquid.tables._header import (
    check_names,
    check_width,
    fit_names,
    is_units,
    is_value,
)
from torchliquid.tables.dialect import CsvDialect

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
BLANKS = r"\s+"
SAMPLED_ROWS = 20


def read_text(content: bytes, dialect: CsvDialect, notify: Notify) -> Columns:
    """All columns of a text file, in order; see `torchliquid.tables._formats.read_columns`.

    Raises:
        TorchliquidError: the text cannot be decoded, has no header, or its rows have more or fewer
            cells than its header.
    """
    text, separator = _head(_decoded(content, dialect), dialect, notify)
    separator = separator or _separator(text)
    if separator != BLANKS:
        check_size(1, text.partition("\n")[0].count(separator) + 1)
    header, *rows = _first_rows(text, separator)
    if dialect.no_header:
        rows = [header, *rows]
        names = [str(k + 1) for k in range(max(map(len, rows)))]
    else:
        names = fit_names([name.strip() for name in header], rows, separator)
        odd = check_names(names)
        if odd:
            notify(odd)
        if is_units(rows):
            units = ", ".join(filter(None, (cell.strip() for cell in rows[0])))
            notify(
                f"The line below the names ({units}) holds no numbers: it was taken as their units."
            )
            text = "\n".join([text.partition("\n")[0], text.split("\n", 2)[2]])
            rows = rows[1:]
    cells = _cells_of(text, names, separator, dialect)
    if names and len(cells) and cells[cells.columns[-1]].isna().all():
        check_width(names, rows, separator)
    cells = _without_foot(cells, notify)
    marks = Marks(
        dialect.decimal,
        dialect.thousands,
        commas=separator != ",",
        points=functools.cache(lambda: _has_points(cells)),
    )
    return [Column(name, cells[k], marks) for k, name in enumerate(names)]


def _cells_of(text: str, names: list[str], separator: str, dialect: CsvDialect) -> pd.DataFrame:
    """All cells as text, in columns called 0, 1, ...; NaN where a cell is empty.

    Text, for what it means depends on the column: ``007`` is a name or a number, ``None`` a word
    or a missing value.
    """
    import pandas as pd

    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None if dialect.no_header else 0,
            # Places instead of names: pandas would rename columns that bear the same name.
            names=list(range(len(names))),
            index_col=False,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            skipinitialspace=True,
            # Only where there is one column can an empty line be a missing value.
            skip_blank_lines=len(names) > 1,
            comment=dialect.comment,
        )
    except pd.errors.ParserError as error:
        raise TorchliquidError(_in_our_words(str(error), separator)) from error


def _has_points(cells: pd.DataFrame) -> bool:
    """Whether some column is one of numbers with decimal points."""
    for column in cells:
        texts = cells[column].dropna()
        pointed = texts.str.contains(".", regex=False)
        if pointed.any() and texts.str.fullmatch(r"[+-]?(\d+|\d*\.\d+)([eE][+-]?\d+)?").all():
            return True
    return False


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
    if separator is not None and not separator.strip(" "):
        separator = BLANKS
    mark = dialect.comment or "#"
    above: list[str] = []
    while text.startswith(mark):
        line, _, text = text.partition("\n")
        above.append(line.lstrip(mark).strip())
    if above:
        header = None if dialect.no_header else _header_above(above, text, separator)
        left = len(above) - (header is not None)
        if header is not None:
            text = f"{header}\n{text}"
        if left:
            notify(f"Lines above the table that begin with {mark!r} were left out ({left}).")
    return text, separator


def _header_above(above: list[str], text: str, separator: str | None) -> str | None:
    """The comment that names the columns: the first with as many cells as the first row.

    So numpy.savetxt and buoys (NDBC) write them; where the first line that is no comment holds
    words alone, it is the header.
    """
    mark = separator or _separator(text)
    row = [cell for cell in _cells(text.partition("\n")[0], mark) if cell.strip()]
    if not any(map(is_value, row)):
        return None
    fitting = [line for line in above if len(_cells(line, mark)) == len(row)]
    return next((line for line in fitting if not any(map(is_value, _cells(line, mark)))), None)


def _separator(text: str) -> str:
    """What separates the cells of the first line, most of them."""
    best = max(SEPARATORS, key=lambda mark: len(_first_rows(text, mark)[0]))
    rows = _first_rows(text, best)
    if len(rows[0]) > 1:
        return best
    split_lines = [
        line.split() for line in islice(filter(str.strip, io.StringIO(text)), SAMPLED_ROWS)
    ]
    # a header with a blank in a name is longer than the rows, and refused later
    widths = [len(row) for row in split_lines]
    even = len(widths) > 1 and len(set(widths[1:])) == 1 and widths[0] >= widths[1] > 1
    return BLANKS if even else best


def _cells(line: str, separator: str) -> list[str]:
    if separator == BLANKS:
        return line.split()
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


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


def _without_foot(table: pd.DataFrame, notify: Notify) -> pd.DataFrame:
    """The table without lines of separators alone, and a line of one word, at its end."""
    filled = table.notna()
    rows = np.flatnonzero(filled.any(axis=1))
    if table.shape[1] < 2 or not len(rows):
        return table
    table = table.iloc[: rows[-1] + 1]  # lines of separators alone end many exports
    last = table.iloc[-1]
    alone = last.notna().sum() == 1 and isinstance(last.iloc[0], str) and not is_value(last.iloc[0])
    if alone and len(table) > 1 and filled.iloc[rows[-1] - 1].sum() > 1:
        notify(f"The last line ({last.iloc[0]!r}) holds one word: it was left out.")
        table = table.iloc[:-1]
    return table
