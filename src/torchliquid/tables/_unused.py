"""What columns that nobody asked for say of a table: that it holds several series, or runs back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from torchliquid.tables._columns import Columns
from torchliquid.tables._dates import as_dates
from torchliquid.tables._header import is_date
from torchliquid.tables._values import is_number

if TYPE_CHECKING:
    import pandas as pd

LEAST_RUN = 10
"""Rows that a series in a table of several has at least, on average."""


def apart_hint(unused: Columns, late: NDArray[np.int64], series: str | None) -> str:
    """How to identify series where times run back: by a column that changes wherever they do."""
    if series is not None:
        return "or these are several series as well"
    for name, cells, _ in unused:
        starts = _starts_of_runs(cells)
        if starts is not None and np.isin(late, starts).all():
            return f"if these are several series, one for each {name!r}: give `series={name!r}`"
    return "if the table holds several series, give the column that identifies them: `series`"


def several_series(unused: Columns) -> list[str]:
    """A note where a column of text identifies several series, one after the other."""
    for name, cells, _ in unused:
        first = str(cells.iloc[0])
        # a number counts, and a date is the day of each row, beside its time
        if cells.dtype.kind in "biufcM" or is_number(first) or is_date(first) or cells.isna().any():
            continue
        starts = _starts_of_runs(cells)
        if starts is not None:
            return [
                f"Column {name!r} is constant in {len(starts)} runs, as where a table holds "
                "several series one after the other: they were read as one. If they are several, "
                "give "
                f"`series={name!r}`."
            ]
    return []


def backwards(unused: Columns) -> list[str]:
    """A note where a column that was not named as the time is one, and runs back."""
    for name, cells, _ in unused:
        if cells.dtype.kind in "biufc" or is_number(str(cells.iloc[0])) or cells.isna().any():
            continue
        try:
            stamps = as_dates(cells)
        except (ValueError, TypeError):
            continue
        if np.isnat(stamps).any() or len(stamps) < 2:
            continue
        back = int((np.diff(stamps) < np.timedelta64(0)).sum())
        if back:
            return [
                f"Column {name!r} holds dates that run back in {back} rows, and rows count as time "
                f"here, the first as the oldest: sort the table, or give `time={name!r}`."
            ]
    return []


def _starts_of_runs(cells: pd.Series) -> NDArray[np.int64] | None:
    """Where each run of a value begins, if every value has one run, and runs are long."""
    texts = cells.astype(str)
    starts = np.flatnonzero((texts != texts.shift()).to_numpy())
    return starts if 1 < len(starts) == texts.nunique() <= len(texts) / LEAST_RUN else None
