"""Table files as named columns of cells: text, Parquet, Excel and others, not yet interpreted."""

from __future__ import annotations

import codecs
import functools
import gzip
import importlib
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.files import read_file
from torchliquid.tables._bounds import check_size
from torchliquid.tables._text_file import Columns, read_text
from torchliquid.tables._values import Notify
from torchliquid.tables.dialect import CsvDialect

LARGEST_FILE = 2**31
"""Bytes that a table may have, unpacked: more does not fit beside what is made of it."""

TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".asc")
SUFFIXES = (
    ".csv, .tsv, .txt, .dat, .data, .parquet, .pq, .feather, .jsonl, .xlsx or .npy, also packed as "
    ".gz or .zip"
)


def read_columns(
    path: Path, dialect: CsvDialect | None = None, notify: Notify = lambda text: None
) -> Columns:
    """All columns of a table file, in order, as pairs of name and cells.

    - ``.csv``, ``.tsv``, ``.txt``, ``.dat``, ``.data``, ``.asc``: text in UTF-8 whose first line
      names the columns, separated by comma, semicolon, tab, ``|`` or blanks. Left out, and said:
      lines above that begin with ``#`` (or ``sep=``), a line of units below the names, a line of
      one word at the end. Where every row has one cell more than the header, as R writes tables,
      the first cell is the row's name. Without commas between cells, a column of numbers may have
      decimal commas; one that can be read in two ways says so in ``attrs["ambiguous"]``.
    - ``.parquet``, ``.pq``, ``.feather``.
    - ``.jsonl``: an object a line. ``.xlsx``: the first sheet (needs ``openpyxl``).
    - ``.npy``: a two-dimensional array of numbers, one row a step; the columns are x0, x1, ...
    - any of them packed: ``table.csv.gz``, or the one file in a ``.zip``.

    Raises:
        TorchliquidError: the file cannot be read, is empty, or is none of these.
    """
    text = functools.partial(read_text, dialect=dialect or CsvDialect(), notify=notify)
    readers: dict[str, Callable[[bytes], Columns]] = dict.fromkeys(TEXT, text)
    readers |= dict.fromkeys((".parquet", ".pq"), _read_parquet) | {".npy": _read_numpy}
    readers |= {".feather": _read_feather, ".jsonl": _read_lines, ".xlsx": _read_excel}
    try:
        if path.is_dir():
            raise TorchliquidError(f"{path} is a folder: give one table file in it ({SUFFIXES})")
        content, suffix = _unpacked(read_file(path, LARGEST_FILE), path)
    except FileNotFoundError as error:
        raise TorchliquidError(f"{path} does not exist: give the path of a table file") from error
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
    except MemoryError as error:
        raise TorchliquidError(
            f"{path} does not fit into memory: give fewer rows or columns of it"
        ) from error
    except Exception as error:  # a damaged file makes its library fail in any way
        reason = " ".join(str(error).split()).rstrip(".")
        raise TorchliquidError(
            f"{path} cannot be read as {suffix} ({reason}): fix the file or write it again"
        ) from error
    if not columns or not len(columns[0][1]):
        raise TorchliquidError(f"{path} holds no rows: give a table with at least one row")
    return columns


def _unpacked(content: bytes, path: Path) -> tuple[bytes, str]:
    """A file's content and its suffix, both without the packing."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".gz":
            size = int.from_bytes(content[-4:], "little")  # what it says of itself, modulo 2^32
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                return _at_most(packed, size, path), Path(path.stem).suffix.lower()
        if suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/")]
                names = [n for n in names if not n.startswith("__MACOSX/")]
                if len(names) != 1:
                    raise TorchliquidError(
                        f"{path} holds {len(names)} files: give a .zip with one table in it"
                    )
                size = archive.getinfo(names[0]).file_size
                with archive.open(names[0]) as series_id:
                    return _at_most(series_id, size, path), Path(names[0]).suffix.lower()
    except MemoryError as error:
        raise TorchliquidError(f"{path} does not fit into memory when it is unpacked") from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise TorchliquidError(f"{path} cannot be unpacked ({error}): write it again") from error
    return content, suffix


def _at_most(packed: Any, size: int, path: Path) -> bytes:
    """What a packed file holds, unless it is, or says that it is, more than a table may be."""
    content: bytes = b"" if size > LARGEST_FILE else packed.read(LARGEST_FILE + 1)
    if max(size, len(content)) > LARGEST_FILE:
        raise TorchliquidError(
            f"{path} unpacks to more than {LARGEST_FILE / 2**30:g} GiB: unpack it, and give a part"
        )
    return content


def _read_parquet(content: bytes) -> Columns:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    file = pa.parquet.ParquetFile(io.BytesIO(content))
    check_size(file.metadata.num_rows, file.metadata.num_columns)
    return _of_arrow(file.read())


def _read_feather(content: bytes) -> Columns:
    import pyarrow as pa
    import pyarrow.feather  # type: ignore[import-untyped]

    if not content.startswith(b"ARROW1"):  # the older format: no batches, and not compressed
        return _of_arrow(pa.feather.read_table(io.BytesIO(content)))
    batches, rows = [], 0
    with pa.ipc.open_file(io.BytesIO(content)) as file:
        for k in range(file.num_record_batches):
            batches.append(file.get_batch(k))
            rows += batches[-1].num_rows
            check_size(rows, len(file.schema))
        return _of_arrow(pa.Table.from_batches(batches, file.schema))


def _of_arrow(table: Any) -> Columns:
    # Column by column: several may bear the same name, and pandas' index is a column here.
    return [
        (name, column.to_pandas())
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]


def _read_lines(content: bytes) -> Columns:
    import pandas as pd

    table = pd.read_json(io.BytesIO(content), lines=True, dtype=False)
    return [(str(name), table[name]) for name in table.columns]


def _read_excel(content: bytes) -> Columns:
    import pandas as pd

    openpyxl = importlib.import_module("openpyxl")  # where it is missing pandas does not name ours
    _check_sheet(openpyxl, content)
    table = pd.read_excel(io.BytesIO(content), header=None, engine="openpyxl")
    names = ["" if pd.isna(name) else str(name).strip() for name in table.iloc[0]]
    cells = table.iloc[1:].reset_index(drop=True).dropna(how="all").infer_objects()
    return [(name, cells[k]) for k, name in enumerate(names)]


def _check_sheet(openpyxl: Any, content: bytes) -> None:
    """That the first sheet can be held; a stray cell at its end makes it 17 thousand million."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > LARGEST_FILE:
        raise TorchliquidError(f"unpacks to {unpacked:,} bytes: give a part of it")
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    try:
        sheet = book.worksheets[0] if book.worksheets else None
        if sheet is None:
            return
        # what a sheet says of its size may be wrong: its rows are walked, each as far as it goes
        sheet.reset_dimensions()
        rows = columns = 0
        for row in sheet.iter_rows(values_only=True):
            rows, columns = rows + 1, max(columns, len(row))
            check_size(rows, columns)
    finally:
        book.close()


def _read_numpy(content: bytes) -> Columns:
    import pandas as pd

    array = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "biuf":
        described = getattr(array, "shape", "several arrays"), getattr(array, "dtype", "any type")
        raise TorchliquidError(
            f"holds {described[0]} of {described[1]}: give a two-dimensional array of "
            "real numbers, one row a step"
        )
    return [(f"x{k}", pd.Series(array[:, k])) for k in range(array.shape[1])]
