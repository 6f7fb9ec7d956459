"""Tables that are in memory already: frames of pandas, polars and Arrow, and NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.tables._columns import Column, Columns

INDEX = "index"
"""What an index of times without a name is called."""


def columns_of(table: Any) -> Columns:
    """Return all columns of a table in memory, in order.

    Args:
        table: a pandas DataFrame, whose index counts as a column if it holds times or has a name;
            what gives its columns by Arrow's stream interface, such as polars and pyarrow; or an
            array ``(T, C)``, whose columns are x0, x1, ...

    Raises:
        TorchliquidError: it is none of these, or holds no rows.
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        columns = _of_pandas(table)
    elif isinstance(table, np.ndarray):
        if table.ndim != 2 or table.dtype.kind not in "biuf":
            raise TorchliquidError(
                f"the table is an array of shape {table.shape} and type {table.dtype}: expected "
                "real numbers (T, C), one row a step"
            )
        columns = [Column(f"x{k}", pd.Series(table[:, k])) for k in range(table.shape[1])]
    elif hasattr(table, "__arrow_c_stream__"):
        import pyarrow as pa  # type: ignore[import-untyped]

        arrow = pa.table(table)
        columns = [
            Column(name, column.to_pandas())
            for name, column in zip(arrow.column_names, arrow.columns, strict=True)
        ]
    else:
        raise TorchliquidError(
            f"the table is a {type(table).__name__}: expected the path of a file, a DataFrame of "
            "pandas or polars, an Arrow table or an array (T, C)"
        )
    if not columns or not len(columns[0].cells):
        raise TorchliquidError("the table holds no rows: expected at least one")
    return columns


def _of_pandas(table: Any) -> Columns:
    import pandas as pd

    plain = table.reset_index(drop=True)
    columns = [Column(str(name), plain.iloc[:, k]) for k, name in enumerate(table.columns)]
    index = table.index
    if isinstance(index, pd.MultiIndex):
        levels = [index.get_level_values(k) for k in range(index.nlevels)]
    else:
        levels = [index] if index.name is not None or _holds_times(index) else []
    before = []
    for level in levels:
        stamps = level.to_timestamp() if isinstance(level, pd.PeriodIndex) else level
        before.append(Column(str(level.name or INDEX), pd.Series(stamps)))
    return before + columns


def _holds_times(index: Any) -> bool:
    import pandas as pd

    return isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex, pd.TimedeltaIndex))
