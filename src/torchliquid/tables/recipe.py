"""How rows of a table become scaled inputs: learnt on its training part, applied to any rows.

Scaling. Mean and standard deviation of each column come from the values seen in the training rows:
those of all series, or, where series are of unlike size, those of each its own. Where a few wild
cells make a feature's deviation three times as large, they are left out of both, and its inputs are
cut at ten deviations.

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
from torchliquid.tables._scaling import CUT, are_unlike, common_scaling, own_scaling
from torchliquid.tables._values import Numbers
from torchliquid.tables.reader import Series

Floats = NDArray[np.float32]
OWN_NOTE = (
    "Each series is scaled by its own training rows: errors, and what is predicted, are in the "
    "deviations of its series."
)


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
        own: mean and scale of each series by its name, where each is scaled by its own; a series
            that is not there has those of all.
        cut: deviations at which inputs of each column are cut; None: at none.
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
    own: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] | None = None
    cut: tuple[float | None, ...] | None = None

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

    def scaling(self, label: str = "") -> tuple[Numbers, Numbers]:
        """Return mean and scale of each column ``(C,)``, of the series of that name."""
        mean, scale = (self.own or {}).get(label, (self.mean, self.scale))
        return np.array(mean), np.array(scale)

    def scaled(self, values: Numbers, column: int | None = None, label: str = "") -> Floats:
        """Scale values ``(N, C)``, or ``(N,)`` of one column, of a series; NaN stays NaN.

        Raises:
            TorchliquidError: values are too far apart for single precision.
        """
        pick = slice(None) if column is None else column
        mean, scale = (part[pick] for part in self.scaling(label))
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
        mean, _ = self.scaling(rows.label)
        scaled = self.scaled(carried_forward(rows.values, mean), label=rows.label)
        if self.cut is None:
            return scaled
        bounds = np.array([np.inf if bound is None else bound for bound in self.cut])
        return np.clip(scaled, -bounds, bounds).astype(np.float32)

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
        own = values.get("own")
        if own is not None:
            values["own"] = {k: (tuple(mean), tuple(scale)) for k, (mean, scale) in own.items()}
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
    scale: str = "all",
) -> tuple[Recipe, list[str], list[str]]:
    """Learn a recipe from the training rows of a table.

    Args:
        series: gives the names and units.
        rows: of each series, as `open_rows` returns them.
        training: which steps of each series are for training, at most as many as it has rows.
        horizon: rows ahead that are predicted.
        fills: whether rows were put in.
        scale: ``"all"``: by the training rows of all series; ``"series"``: each series by its own;
            ``"auto"``: so where the target of some is ten times that of others, or varies so.

    Returns:
        The recipe, notes on scaling, and notes on the spacing.

    Raises:
        TorchliquidError: a feature has no value in the training part, or the target is constant.
    """
    indices = [series.columns.index(name) for name in series.future]
    moved = [known_beforehand(part, indices, horizon) for part in rows]
    of_each = [part.values[: len(mask)][mask] for part, mask in zip(moved, training, strict=True)]
    found, scale_notes = common_scaling(series, np.concatenate(of_each))
    own = None
    if len(rows) > 1 and (
        scale == "series" or (scale == "auto" and are_unlike([part[:, 0] for part in of_each]))
    ):
        scalings, weak = own_scaling(moved, training, found)
        own = {
            label: (tuple(s.mean for s in each), tuple(s.scale for s in each))
            for label, each in scalings.items()
        }
        scale_notes = [OWN_NOTE, *weak]
    wild = [k > 0 and own is None and bool(one.wild) for k, one in enumerate(found)]
    gap, even, notes = spacing(series, rows, [int(mask.sum()) for mask in training])
    recipe = Recipe(
        columns=series.columns,
        mean=tuple(one.mean for one in found),
        scale=tuple(one.scale for one in found),
        future=series.future,
        horizon=horizon,
        time=series.time,
        time_unit=series.time_unit,
        gap=gap,
        even=even,
        fills=fills,
        own=own,
        cut=tuple(CUT if cut else None for cut in wild) if any(wild) else None,
    )
    return recipe, scale_notes, notes
