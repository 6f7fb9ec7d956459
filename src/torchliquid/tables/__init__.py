"""People's tables, read: numbers, times and notes, knowing nothing of models."""

from torchliquid.tables._rows import Rows, missing_notes, sentinel_notes, still_note
from torchliquid.tables._scaling import check_scale, copies_notes, wild_notes
from torchliquid.tables.dialect import CsvDialect
from torchliquid.tables.inputs import read_inputs
from torchliquid.tables.reader import Series, read_table
from torchliquid.tables.recipe import Recipe, learn, open_rows

__all__ = [
    "CsvDialect",
    "Recipe",
    "Rows",
    "Series",
    "check_scale",
    "copies_notes",
    "learn",
    "missing_notes",
    "open_rows",
    "read_inputs",
    "read_table",
    "sentinel_notes",
    "still_note",
    "wild_notes",
]
