"""How rows of a table become scaled inputs: learnt on its training part, applied to any rows.

Scaling. Mean and standard deviation of each column come from the values seen in the training rows.

Missing values. A missing input is the last value seen before it; before the first one, the training
mean. The models get no mark that a value is such a copy: one feature more for every column would
change the models' sizes, and the time since it was seen is best expressed by leaving out the row.

Gaps. Where rows are missing from an even grid (each gap is an integer number of median gaps), and
at most a tenth as many as there are, they are put in: their inputs are missing values. So a lost
hour is an hour without values, and the horizon keeps its length in time.

Spacing. It is regular where no gap of the whole table is off the median training gap by a fiftieth;
then every step takes the same time. Else each step takes the gap before its row, in median training
gaps (the first step, which has none, the median).

Features that are known beforehand (`Series.future`: a plan, the calendar) are those of the row
that is predicted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables._rows import (
    Rows,
    carried_forward,
    filled,
    known_beforehand,
    missing_rows,
    rows_ahead,
    rows_of,
    spacing,
)
from torchliquid.tables._times import Numbers
from torchliquid.tables.reader import Series

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """What turns a table's rows into a model's inputs.

    Args:
        columns: names of the C columns, the target's first.
        mean: of each column, in its unit.
        scale: of each column, in its unit.
        future: columns whose value at the time to be predicted is known beforehand.
        horizon: rows ahead that are predicted.
        time: name of the column of times; None where there is none.
        time_unit: unit of the times, if known.
        gap: median gap between training rows, in that unit; None without times.
        even: whether all gaps are that gap, so that every step takes the same time.
        fills: whether rows that an even grid lacks are put in, without values.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    future: tuple[str, ...] = ()
    horizon: int = 1
    time: str | None = None
    time_unit: str | None = None
    gap: float | None = None
    even: bool = True
    fills: bool = False

    def rows(self, series: Series) -> list[Rows]:
        """Return the rows of each series of a table, as the models see them.

        Raises:
            TorchliquidError: its columns are others than those that the recipe was learnt on, or
                its times are in another unit.
        """
        if series.columns != self.columns or series.future != self.future:
            raise TorchliquidError(
                f"{series.name} has the columns {', '.join(series.columns)}: expected "
                f"{', '.join(self.columns)}, in this order"
            )
        if (series.times is None) != (self.gap is None) or series.time_unit != self.time_unit:
            raise TorchliquidError(
                f"{series.name} has times in {series.time_unit or 'no unit'}: expected "
                f"{'none' if self.gap is None else self.time_unit or 'no unit'}"
            )
        rows = rows_of(series)
        if self.fills and self.gap is not None:
            rows = [missing_rows(part, np.rint(part.gaps() / self.gap)) for part in rows]
        return self.moved(rows)

    def moved(self, rows: Sequence[Rows]) -> list[Rows]:
        """Return the rows with known-beforehand columns taken from the row that is predicted."""
        indices = [self.columns.index(name) for name in self.future]
        return [known_beforehand(part, indices, self.horizon) for part in rows]

    def scaled(self, values: Numbers, column: int | None = None) -> Floats:
        """Scale values ``(N, C)``, or ``(N,)`` of one column; NaN stays NaN.

        Raises:
            TorchliquidError: values are too far apart for single precision.
        """
        pick = slice(None) if column is None else column
        mean, scale = np.array(self.mean)[pick], np.array(self.scale)[pick]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            scaled: Floats = ((values - mean) / scale).astype(np.float32)
        finite = np.all(np.isfinite(mean) & np.isfinite(scale) & (scale > 0))
        if np.isinf(scaled).any() or not finite:
            largest = float(np.nanmax(np.abs(values)))
            raise TorchliquidError(
                f"values are too far apart to scale (up to {largest:g}): leave cells empty where "
                "such a value stands for a missing one, or give another unit"
            )
        return scaled

    def inputs(self, rows: Rows) -> Floats:
        """Return the inputs ``(N, C)`` of the rows of one series: no NaN, scaled."""
        return self.scaled(carried_forward(rows.values, np.array(self.mean)))

    def intervals(self, rows: Rows) -> Numbers | None:
        """Return the time before each row in median gaps, 1 before the first; None: all are 1."""
        if self.even or self.gap is None:
            return None
        return np.concatenate([[1.0], rows.gaps() / self.gap])[: len(rows.values)]

    def to_json(self) -> dict[str, Any]:
        """Return the recipe in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Recipe":
        """Return the recipe that `to_json` wrote."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()
        }
        return cls(**values)


def open_rows(
    series: Series, horizon: int | str, train: float
) -> tuple[list[Rows], int, bool, list[str]]:
    """Return the rows of each series with gaps filled, the horizon in rows, and notes.

    Args:
        series: the table.
        horizon: rows ahead, or, of evenly spaced dates, a time such as ``"6h"``.
        train: share of the rows whose gaps define the median gap.

    Returns:
        The rows, the horizon in rows, whether rows were put in, and notes on them.
    """
    before = rows_of(series)
    rows, notes = filled(series, before, train)
    return rows, rows_ahead(horizon, series, rows), bool(notes), notes


def learn(
    series: Series,
    rows: list[Rows],
    training: list[NDArray[np.bool_]],
    horizon: int,
    *,
    fills: bool,
) -> tuple[Recipe, list[str], list[str]]:
    """Learn a recipe from the training rows of a table.

    Args:
        series: gives the names and units.
        rows: of each series, as `open_rows` returns them.
        training: which steps of each series are for training, at most as many as it has rows.
        horizon: rows ahead that are predicted.
        fills: whether rows were put in.

    Returns:
        The recipe, notes on constant features, and notes on the spacing.

    Raises:
        TorchliquidError: a feature has no value in the training part, or the target is constant.
    """
    indices = [series.columns.index(name) for name in series.future]
    moved = [known_beforehand(part, indices, horizon) for part in rows]
    seen = np.concatenate(
        [part.values[: len(mask)][mask] for part, mask in zip(moved, training, strict=True)]
    )
    mean, scale, constant = _learn_scaling(series, seen)
    gap, even, notes = spacing(series, rows, [int(mask.sum()) for mask in training])
    recipe = Recipe(
        columns=series.columns,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        future=series.future,
        horizon=horizon,
        time=series.time,
        time_unit=series.time_unit,
        gap=gap,
        even=even,
        fills=fills,
    )
    return recipe, constant, notes


def _learn_scaling(series: Series, rows: Numbers) -> tuple[Numbers, Numbers, list[str]]:
    """Mean and scale of each column in the training rows, and notes on constant features."""
    mean, scale, notes = np.zeros(len(series.columns)), np.ones(len(series.columns)), []
    for k, name in enumerate(series.columns):
        seen = rows[:, k]
        seen = seen[~np.isnan(seen)]
        if not len(seen):
            raise TorchliquidError(
                f"feature {name!r} has no value in the training part ({plural(len(rows), 'row')}): "
                "leave it out, or give train a larger fraction"
            )
        if seen.min() < seen.max():
            with np.errstate(over="ignore", invalid="ignore"):
                mean[k], scale[k] = seen.mean(), seen.std()
            continue
        mean[k] = seen[0]
        if k == 0:
            raise TorchliquidError(
                f"target {name!r} is constant ({seen[0]:g}) in the training part ("
                f"{plural(len(rows), 'row')}): nothing to learn; choose another target or a larger "
                "fraction for train"
            )
        notes.append(
            f"Feature {name!r} is constant ({seen[0]:g}) in the training part: it is shifted to 0 "
            "there, not scaled."
        )
    return mean, scale, notes
