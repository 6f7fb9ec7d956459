"""What a table may be, by what it says of itself before it is read."""

from torchliquid.errors import TorchliquidError

LARGEST_FILE = 2**31
"""Bytes that a table may have, unpacked: more does not fit beside what is made of it."""
WIDEST = 100_000
"""Columns of a table."""
LARGEST_TABLE = 10**8
"""Cells of a table."""


def check_size(rows: int, columns: int) -> None:
    """That a table can be held.

    Raises:
        TorchliquidError: it has too many columns or cells.
    """
    if columns > WIDEST:
        raise TorchliquidError(
            f"has {columns:,} columns, more than {WIDEST:,}: give a part of them"
        )
    if rows * columns > LARGEST_TABLE:
        raise TorchliquidError(
            f"has {rows:,} rows of {columns:,} columns, more than {LARGEST_TABLE:,} cells: give a "
            "part of it (in Excel: delete what stands far below or right of the table)"
        )
