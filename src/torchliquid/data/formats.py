"""Table files as named columns of cells: CSV, Parquet and NumPy files, nothing interpreted yet."""

from __future__ import annotations

import codecs
import csv
import io
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from torchliquid.errors import TorchliquidError

if TYPE_CHECKING:
    import pandas as pd

Columns = list[tuple[str, "pd.Series"]]
SUFFIXES = ".csv, .tsv, .txt, .parquet, .pq or .npy"
SAMPLED_ROWS = 20


def read_columns(path: Path) -> Columns:
    """All columns of a table file, in order, as pairs of name and cells.

    - ``.csv``, ``.tsv``, ``.txt``: text in UTF-8 whose first line names the columns, separated by
      comma, semicolon or tab. Where every row has one cell more than the header, as R writes
      tables, the first cell is the row's name. With semicolons or tabs, numbers may have a decimal
      comma.
    - ``.parquet``, ``.pq``.
    - ``.npy``: a two-dimensional array of numbers, one row a step; the columns are x0, x1, ...

    Raises:
        TorchliquidError: the file cannot be read, is empty, or is none of these.
    """
    readers = dict.fromkeys((".csv", ".tsv", ".txt"), _read_text)
    readers |= dict.fromkeys((".parquet", ".pq"), _read_parquet) | {".npy": _read_numpy}
    if not path.exists():
        raise TorchliquidError(f"{path} does not exist: give the path of a table file")
    if path.is_dir():
        raise TorchliquidError(f"{path} is a folder: give one table file in it ({SUFFIXES})")
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise TorchliquidError(
            f"{path} has the suffix {path.suffix!r}, no known table format: give a file that ends "
            f"in {SUFFIXES}"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TorchliquidError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from error
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
            f"{path} cannot be read as {path.suffix} ({reason}): mend the file or write it anew"
        ) from error
    if not columns or not len(columns[0][1]):
        raise TorchliquidError(f"{path} holds no rows: give a table with at least one row")
    return columns


def _read_text(content: bytes) -> Columns:
    import pandas as pd

    try:
        text = content.decode("utf-8-sig").lstrip(" \r\n")
    except UnicodeDecodeError as error:
        raise TorchliquidError("is not text in UTF-8: save it in that encoding") from error
    separator = max(",;\t", key=lambda mark: len(_first_rows(text, mark)[0]))
    header, *rows = _first_rows(text, separator)
    names = _fit_names([name.strip() for name in header], rows, separator)
    comma = separator != "," and re.search(r"\d,\d", text) and not re.search(r"\d\.\d", text)
    table = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        decimal="," if comma else ".",
        header=0,
        # Places instead of names: pandas would rename columns that bear the same name.
        names=list(range(len(names))),
        skipinitialspace=True,
        # Only where there is one column can an empty line be a missing value.
        skip_blank_lines=len(names) > 1,
        low_memory=False,
    )
    return [(name, table[place]) for place, name in enumerate(names)]


def _first_rows(text: str, separator: str) -> list[list[str]]:
    # one cell may be a whole line, where another separator is tried
    before = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        return list(islice((row for row in reader if row), SAMPLED_ROWS))
    finally:
        csv.field_size_limit(before)


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
