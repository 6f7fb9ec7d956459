"""Table files as named columns of cells: CSV, Parquet and NumPy files, nothing interpreted yet."""

from __future__ import annotations

import codecs
import csv
import functools
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from torchliquid.errors import TorchliquidError

if TYPE_CHECKING:
    import pandas as pd

Columns = list[tuple[str, "pd.Series"]]
SUFFIXES = ".csv, .tsv, .txt, .parquet, .pq or .npy, also packed as .gz or .zip"
SAMPLED_ROWS = 20


@dataclass(frozen=True)
class Marks:
    """How numbers are written in a text file, where it can be read in two ways.

    Args:
        decimal: mark before the decimals; None: found column by column.
        thousands: mark between groups of three digits; None: there is none.
        encoding: of the text; None: UTF-8, or UTF-16 where the file begins with its mark.
    """

    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        for name in ("decimal", "thousands"):
            mark = getattr(self, name)
            if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in "+-\n\r"):
                raise TorchliquidError(f"{name} is {mark!r}: give one character, such as ','")
        if self.decimal is not None and self.decimal == self.thousands:
            raise TorchliquidError(f"decimal and thousands are both {self.decimal!r}")


def read_columns(path: Path, marks: Marks | None = None) -> Columns:
    """All columns of a table file, in order, as pairs of name and cells.

    - ``.csv``, ``.tsv``, ``.txt``: text in UTF-8 whose first line names the columns, separated by
      comma, semicolon or tab. Where every row has one cell more than the header, as R writes
      tables, the first cell is the row's name. With semicolons or tabs, a column of numbers may
      have decimal commas; one that can be read in two ways says so in ``attrs["ambiguous"]``.
    - ``.parquet``, ``.pq``.
    - ``.npy``: a two-dimensional array of numbers, one row a step; the columns are x0, x1, ...
    - any of them packed: ``table.csv.gz``, or the one file in a ``.zip``.

    Raises:
        TorchliquidError: the file cannot be read, is empty, or is none of these.
    """
    text = functools.partial(_read_text, marks=marks or Marks())
    readers: dict[str, Callable[[bytes], Columns]] = dict.fromkeys((".csv", ".tsv", ".txt"), text)
    readers |= dict.fromkeys((".parquet", ".pq"), _read_parquet) | {".npy": _read_numpy}
    if not path.exists():
        raise TorchliquidError(f"{path} does not exist: give the path of a table file")
    if path.is_dir():
        raise TorchliquidError(f"{path} is a folder: give one table file in it ({SUFFIXES})")
    try:
        content, suffix = _unpacked(path.read_bytes(), path)
    except OSError as error:
        raise TorchliquidError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from error
    reader = readers.get(suffix)
    if reader is None:
        raise TorchliquidError(
            f"{path} has the suffix {suffix!r}, no known table format: give a file that ends "
            f"in {SUFFIXES}"
        )
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise TorchliquidError(f"{path} is empty: give a table with a header and rows")
    try:
        columns = reader(content)
    except TorchliquidError as error:
        raise TorchliquidError(f"{path} {error}") from error
    except ImportError:
        raise
    except Exception as error:  # a damaged file makes its library fail in any way
        reason = " ".join(str(error).split()).rstrip(".")
        raise TorchliquidError(
            f"{path} cannot be read as {suffix} ({reason}): mend the file or write it anew"
        ) from error
    if not columns or not len(columns[0][1]):
        raise TorchliquidError(f"{path} holds no rows: give a table with at least one row")
    return columns


def _unpacked(content: bytes, path: Path) -> tuple[bytes, str]:
    """A file's content and its suffix, both without the packing."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".gz":
            return gzip.decompress(content), Path(path.stem).suffix.lower()
        if suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/")]
                names = [n for n in names if not n.startswith("__MACOSX/")]
                if len(names) != 1:
                    raise TorchliquidError(
                        f"{path} holds {len(names)} files: give a .zip with one table in it"
                    )
                return archive.read(names[0]), Path(names[0]).suffix.lower()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise TorchliquidError(f"{path} cannot be unpacked ({error}): write it anew") from error
    return content, suffix


def _read_text(content: bytes, marks: Marks) -> Columns:
    import pandas as pd

    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode(marks.encoding or ("utf-16" if wide else "utf-8-sig"))
    except (UnicodeDecodeError, LookupError) as error:
        named = marks.encoding or "UTF-8"
        raise TorchliquidError(
            f"is not text in {named}: save it in UTF-8, or give --encoding, such as latin-1"
        ) from error
    text = text.lstrip("\ufeff \r\n")
    separator = max(",;\t", key=lambda mark: len(_first_rows(text, mark)[0]))
    header, *rows = _first_rows(text, separator)
    names = _fit_names([name.strip() for name in header], rows, separator)
    _check_header(names)
    read: Any = functools.partial(
        pd.read_csv,
        sep=separator,
        header=0,
        # Places instead of names: pandas would rename columns that bear the same name.
        names=list(range(len(names))),
        skipinitialspace=True,
        # Only where there is one column can an empty line be a missing value.
        skip_blank_lines=len(names) > 1,
        low_memory=False,
    )
    given = marks.decimal is not None or marks.thousands is not None
    table = read(io.StringIO(text), decimal=marks.decimal or ".", thousands=marks.thousands)
    filled = np.flatnonzero(table.notna().any(axis=1))
    if len(names) > 1 and len(filled):  # lines of separators alone end many exports
        table = table.iloc[: filled[-1] + 1]
    columns = [table[place] for place in range(len(names))]
    if separator != "," and not given:
        numeric = [cells for cells in columns if pd.api.types.is_float_dtype(cells.dtype)]
        points = any((cells.dropna() % 1 != 0).any() for cells in numeric)
        commas = [_with_decimal_commas(cells, points) for cells in columns]
        if re.search(r"\d\.\d{3}(?!\d)", text):
            written = read(io.StringIO(text), dtype=str).iloc[: len(table)]
            columns = [_or_ambiguous(cells, written[k], ".") for k, cells in enumerate(commas)]
        else:
            columns = commas
    return list(zip(names, columns, strict=True))


_DECIMAL_COMMA = r"[+-]?(\d+|\d*,\d+|\d{1,3}(\.\d{3})+(,\d+)?)([eE][+-]?\d+)?"


def _with_decimal_commas(cells: pd.Series, points: bool) -> pd.Series:
    """The column as numbers, where it is one of numbers with decimal commas; else as it is.

    ``points``: another column has decimal points.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells
    words = cells.dropna().astype(str).str.strip()
    if not words.str.contains(",").any() or not words.str.fullmatch(_DECIMAL_COMMA).all():
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
    words = written.dropna().astype(str).str.strip()
    marked = words.str.contains(mark, regex=False)
    groups = words[marked].str.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(\{mark}\d{{3}})+")
    plain = words[~marked].str.fullmatch(r"[+-]?\d+")
    beside = len(plain) and plain.all()
    if marked.any() and groups.all() and (beside or other_mark):
        cells.attrs["ambiguous"] = (
            f"holds {words[marked].iloc[0]!r} and "
            + (repr(words[~marked].iloc[0]) if beside else "another column decimal points")
            + f": thousands or decimals? Give --thousands {mark} or --decimal {mark}"
        )
    return cells


def _first_rows(text: str, separator: str) -> list[list[str]]:
    # one cell may be a whole line, where another separator is tried
    before = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        return list(islice((row for row in reader if row), SAMPLED_ROWS))
    finally:
        csv.field_size_limit(before)


def _check_header(names: list[str]) -> None:
    """A first line of numbers is a row of values, unless it counts the columns as pandas does."""
    given = [name for name in names if name]
    counted = given == [str(k) for k in range(len(given))]
    if given and not counted and all(map(is_number, given)):
        raise TorchliquidError(
            f"has numbers in its first line ({', '.join(given[:3])}): name the columns there"
        )


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
        f" column in the first line, and quote cells that hold {separator!r}"
    )


def _read_parquet(content: bytes) -> Columns:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    table = pa.parquet.ParquetFile(io.BytesIO(content)).read()
    # Column by column: several may bear the same name, and pandas' index is a column here.
    return [
        (name, column.to_pandas())
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]


def _read_numpy(content: bytes) -> Columns:
    import pandas as pd

    array = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "biuf":
        given = getattr(array, "shape", "several arrays"), getattr(array, "dtype", "any type")
        raise TorchliquidError(
            f"holds {given[0]} of {given[1]}: give a two-dimensional array of real numbers, one "
            "row a step"
        )
    return [(f"x{place}", pd.Series(array[:, place])) for place in range(array.shape[1])]
