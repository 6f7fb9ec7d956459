"""A table as the inputs of a model that is trained already."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.tables._formats import read_columns
from torchliquid.tables._values import numbers


def read_inputs(
    path: Path, names: Sequence[str], *, dt: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Inputs ``(T, I)`` by the names that the model knows them by, and ``(T,)`` times if asked for.

    Args:
        path: any table file that `read_columns` takes.
        names: the model's inputs. Where the table has none of these names, it must have as many
            columns, in order.
        dt: whether a column ``dt`` holds the time before each row.

    Raises:
        TorchliquidError: a column is missing, or holds no numbers.
    """
    columns = {column.name: column for column in read_columns(path)}
    times = None
    if dt:
        if "dt" not in columns:
            raise TorchliquidError(f"{path} has no column 'dt': add one, the time before each row")
        times = numbers(columns.pop("dt"), "column 'dt'")
    lacking = [name for name in names if name not in columns]
    if lacking and len(lacking) == len(names) == len(columns):
        return np.stack([numbers(c, f"column {n!r}") for n, c in columns.items()], axis=1), times
    if lacking:
        there = ", ".join(list(columns)[:8])
        raise TorchliquidError(
            f"{path} has no column {lacking[0]!r}, which the model needs (it has {there}): name "
            "the columns as in training"
        )
    return np.stack([numbers(columns[n], f"column {n!r}") for n in names], axis=1), times
