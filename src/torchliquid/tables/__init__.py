"""People's tables, read: numbers, times and notes, knowing nothing of models."""

from torchliquid.tables._rows import (
    Rows,
    missing_notes,
    rows_of,
    sentinel_notes,
    still_note,
)
from torchliquid.tables._scaling import check_scale, copies_notes, wild_notes
from torchliquid.tables.dialect import CsvDialect
from torchliquid.tables.grid import Grid, grid_of
from torchliquid.tables.inputs import read_inputs
from torchliquid.tables.reader import Series, read_names, read_table
from torchliquid.tables.recipe import Recipe, learn, open_rows

__all__ = [
    "CsvDialect",
    "Grid",
    "Recipe",
    "Rows",
    "Series",
    "check_scale",
    "copies_notes",
    "grid_of",
    "learn",
    "missing_notes",
    "open_rows",
    "read_inputs",
    "read_names",
    "read_table",
    "rows_of",
    "sentinel_notes",
    "still_note",
    "wild_notes",
]
