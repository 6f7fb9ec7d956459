"""Table files as named columns of cells: text, Parquet, Excel and others, not yet interpreted."""

from __future__ import annotations

import codecs
import functools
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.files import read_file
from torchliquid.tables._bounds import LARGEST_FILE, check_size
from torchliquid.tables._columns import Column, Columns, Marks, Notify
from torchliquid.tables._text_file import read_text
from torchliquid.tables._workbook import read_workbook
from torchliquid.tables.dialect import CsvDialect

TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".asc")
SUFFIXES = (
    ".csv, .tsv, .txt, .dat, .data, .parquet, .pq, .feather, .jsonl, .xlsx or .npy, also packed as "
    ".gz or .zip"
)


def read_columns(
    path: Path, dialect: CsvDialect | None = None, notify: Notify = lambda text: None
) -> Columns:
    """All columns of a table file, in order.

    - ``.csv``, ``.tsv``, ``.txt``, ``.dat``, ``.data``, ``.asc``: text in UTF-8 whose first line
      names the columns, separated by comma, semicolon, tab, ``|`` or blanks. Left out, and said:
      lines above that begin with ``#`` (or ``sep=``; one with a name for every cell of the rows is
      the header), a line of units below the names, a line of one word at the end. Where every row
      has one cell more than the header, as R writes tables, the first cell is the row's name.
      Cells are text. Without commas between cells, a column of numbers may have decimal commas.
    - ``.parquet``, ``.pq``, ``.feather``.
    - ``.jsonl``: an object a line. ``.xlsx``: a sheet of a workbook (needs ``openpyxl``).
    - ``.npy``: a two-dimensional array of numbers, one row a step; the columns are x0, x1, ...
    - any of them packed: ``table.csv.gz``, or the one file in a ``.zip``.

    Raises:
        TorchliquidError: the file cannot be read, is empty, or is none of these.
    """
    dialect = dialect or CsvDialect()
    text = functools.partial(read_text, dialect=dialect, notify=notify)
    workbook = functools.partial(read_workbook, dialect=dialect, notify=notify)
    readers: dict[str, Callable[[bytes], Columns]] = dict.fromkeys(TEXT, text)
    readers |= dict.fromkeys((".parquet", ".pq"), _read_parquet) | {".npy": _read_numpy}
    readers |= {".feather": _read_feather, ".jsonl": _read_lines, ".xlsx": workbook}
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
        dialect.check(suffix, text=suffix in TEXT)
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
    if not columns or not len(columns[0].cells):
        raise TorchliquidError(f"{path} holds no rows: give a table with at least one row")
    marks = Marks(dialect.decimal, dialect.thousands)
    return columns if suffix in TEXT else [column._replace(marks=marks) for column in columns]


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
        Column(name, column.to_pandas())
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]


def _read_lines(content: bytes) -> Columns:
    import pandas as pd

    table = pd.read_json(io.BytesIO(content), lines=True, dtype=False)
    return [Column(str(name), table[name]) for name in table.columns]


def _read_numpy(content: bytes) -> Columns:
    import pandas as pd

    array = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "biuf":
        described = getattr(array, "shape", "several arrays"), getattr(array, "dtype", "any type")
        raise TorchliquidError(
            f"holds {described[0]} of {described[1]}: give a two-dimensional array of "
            "real numbers, one row a step"
        )
    return [Column(f"x{k}", pd.Series(array[:, k])) for k in range(array.shape[1])]
