"""Sheets of a workbook (.xlsx) as named columns of cells."""

from __future__ import annotations

import importlib
import io
import zipfile
from typing import Any

from torchliquid.errors import TorchliquidError
from torchliquid.tables._bounds import LARGEST_FILE, check_size
from torchliquid.tables._columns import Column, Columns, Notify
from torchliquid.tables._header import check_names, titles
from torchliquid.tables.dialect import CsvDialect

SAMPLED_ROWS = 20


def read_workbook(content: bytes, dialect: CsvDialect, notify: Notify) -> Columns:
    """All columns of a sheet, in order; see `torchliquid.tables._formats.read_columns`.

    Raises:
        TorchliquidError: there is no such sheet, it is too large, or its first line names nothing.
    """
    import pandas as pd

    openpyxl = importlib.import_module("openpyxl")  # where it is missing pandas does not name ours
    sheet = _check_sheet(openpyxl, content, dialect.sheet, notify)
    table = pd.read_excel(
        io.BytesIO(content),
        sheet_name=sheet,
        header=None,
        engine="openpyxl",
        keep_default_na=False,  # in a text "NA" is a word
        na_values=[""],
    )
    table = table.iloc[dialect.skip_rows : len(table) - dialect.skip_footer]
    table = table.dropna(how="all")
    if not len(table):
        return []
    if dialect.no_header:
        names = [str(k + 1) for k in range(table.shape[1])]
    else:
        names = _names(table)
        odd = check_names(names)
        if odd:
            notify(odd)
        table = table.iloc[1:]
    cells = table.reset_index(drop=True).infer_objects()
    return [Column(name, cells.iloc[:, k]) for k, name in enumerate(names)]


def _names(table: Any) -> list[str]:
    """The names in the first line that is filled, refused where it is a title above them."""
    first = table.head(SAMPLED_ROWS)
    rows = [["" if cell != cell else str(cell).strip() for cell in row] for row in first.to_numpy()]
    above = titles(rows)
    if above and sum(map(bool, rows[0])) == 1:
        raise TorchliquidError(
            f"has one word in its first line ({next(filter(None, rows[0]))!r}), and "
            f"{sum(map(bool, rows[above]))} cells further down: if it is a title, give "
            f"`skip_rows={int(table.index[above])}`"
        )
    return rows[0]


def _check_sheet(openpyxl: Any, content: bytes, wanted: str | None, notify: Notify) -> str:
    """The sheet's name, if it can be held; a stray cell at its end makes it 17 thousand million."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > LARGEST_FILE:
        raise TorchliquidError(f"unpacks to {unpacked:,} bytes: give a part of it")
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    try:
        names = [sheet.title for sheet in book.worksheets]
        if not names:
            raise TorchliquidError("has no sheet: give a workbook with a table")
        if wanted is None and len(names) > 1:
            listed = ", ".join(map(repr, names[1:6]))
            notify(f"The first sheet ({names[0]!r}) was read; others are {listed} (`sheet`).")
        number = int(wanted) - 1 if wanted is not None and wanted.isdecimal() else 0
        name = wanted if wanted in names else names[number] if 0 <= number < len(names) else None
        if name is None or (wanted is not None and wanted not in names and not wanted.isdecimal()):
            raise TorchliquidError(
                f"has no sheet {wanted!r}: its sheets are {', '.join(map(repr, names))}"
            )
        sheet = book.worksheets[names.index(name)]
        # what a sheet says of its size may be wrong: its rows are walked, each as far as it goes
        sheet.reset_dimensions()
        rows = columns = 0
        for row in sheet.iter_rows(values_only=True):
            rows, columns = rows + 1, max(columns, len(row))
            check_size(rows, columns)
        return str(name)
    finally:
        book.close()
