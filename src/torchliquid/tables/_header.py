"""The line that names the columns: which one it is, and whether there is one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torchliquid.errors import TorchliquidError
from torchliquid.tables._values import MISSING, NA_WORDS, is_number

_DATE = re.compile(
    r"\d{1,4}([/.\-])\d{1,2}\1\d{1,4}([ T]+\d{1,2}:\d{2}.*)?|\d{4}-\d{2}|\d{1,2}:\d{2}(:\d{2}.*)?"
)
"""What looks like a date or a time of day."""


_WITHOUT_HEADER = (
    "leave the header out with `skip_rows=1` and `no_header`: columns are then called 1, 2, 3 and "
    "so on"
)


def is_date(cell: str) -> bool:
    """Whether a cell looks like a date or a time of day."""
    return _DATE.fullmatch(cell.strip()) is not None


def is_value(cell: str) -> bool:
    """Whether a cell is a number, a date or a mark of a missing value, and so no name."""
    word = cell.strip()
    return is_number(word) or is_date(word) or word in MISSING or word.lower() in NA_WORDS


def check_names(names: Sequence[str]) -> str | None:
    """Refuse a first line that names nothing, and return what is odd about one that does.

    Raises:
        TorchliquidError: the line is one of values.
    """
    present = [name for name in names if name]
    if not present:
        return None
    if present == [str(k) for k in range(len(present))]:
        return (
            f"The columns are called {_listed(present)} in the first line, as pandas counts them: "
            "if it is a row, give `no_header`."
        )
    torn = next((name for name in names if _is_torn(name)), None)
    if torn is not None:
        raise TorchliquidError(
            f"has a name with a bracket that is never closed ({torn!r}), as where a name holds the "
            "mark between cells: all names behind it would belong to a wrong column. Put such "
            f"names in quotes, or {_WITHOUT_HEADER}"
        )
    odd = [name for name in present if is_value(name)]
    if len(odd) == len(present):
        raise TorchliquidError(
            f"has no word in its first line ({_listed(present)}): name the columns there, or give "
            "`no_header`, which calls them 1, 2, 3 and so on"
        )
    dates = [name for name in present if is_date(name)]
    if len(dates) > len(present) / 2:
        return (
            f"The names of the columns are dates ({_listed(dates)}): a model reads one row for "
            "each time. To make rows of them, use pandas.melt, and give `series` where there are "
            "several."
        )
    return (
        f"Names of columns look like values ({_listed(odd)}): if the first line is a row, give "
        "`no_header`."
        if odd and len(odd) > len(present) / 2
        else None
    )


def _is_torn(name: str) -> bool:
    """Whether a name opens a bracket that it does not close.

    >>> _is_torn("week (first"), _is_torn("T (C)"), _is_torn("f(x"), _is_torn("open :(")
    (True, False, False, False)
    """
    return re.search(r"\s(\([^)]+|\[[^\]]+)$", name) is not None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def fit_names(header: list[str], rows: list[list[str]], separator: str) -> list[str]:
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
        f"lines are no table, give `skip_rows={titles([header, *rows]) or number}`"
    )


def titles(rows: list[list[str]]) -> int:
    """How many rows above the names hold fewer cells than the names do; 0: none."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    widest = max(filled, default=0)
    first = next((k for k, cells in enumerate(filled) if cells == widest), 0)
    return first if first and all(cells < widest for cells in filled[:first]) else 0


def check_width(names: list[str], rows: list[list[str]], separator: str) -> None:
    """That some row has a cell for the last name.

    A name that holds the separator, and no quotes, moves all names behind it to a wrong column.
    """
    widest = max((len(row) for row in rows), default=len(names))
    if widest >= len(names) or not any(names[widest:]):
        return
    raise TorchliquidError(
        f"has {len(names)} names in its header, but its rows have {widest} cells: a name that "
        f"holds {separator!r} must stand in quotes (all names behind it would belong to a wrong "
        "column). Mend the header, or "
        f"{_WITHOUT_HEADER}"
    )


def is_units(rows: list[list[str]]) -> bool:
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
    return any(word and word not in MISSING and word.lower() not in NA_WORDS for word in cells)
