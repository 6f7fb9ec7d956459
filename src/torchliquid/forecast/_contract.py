"""What a forecaster knows of its table: how it is read, its columns, times and sizes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.forecast._history import TRAINED, History, Values, on_grid, warn_far
from torchliquid.tables import (
    CsvDialect,
    Grid,
    Rows,
    Series,
    grid_of,
    read_names,
    read_table,
    rows_of,
)

DEFAULT_NAMES = {"target": "y", "time": "ds", "series": "unique_id"}
"""Columns that count as these where they are there and no other is named."""
READING = (
    "missing", "time_format", "time_zone", "time_unit", "clock_change", "sort", "duplicates",
    "every",
)  # fmt: skip
"""Options of `torchliquid.tables.read_table`, as those of `CsvDialect`, that `fit` takes."""
Moments = tuple[float, float]


@dataclass(frozen=True)
class Columns:
    """The columns that were asked for.

    Args:
        target: column to forecast.
        time: column of times, or several with commas between; None: rows count as even.
        series: column that identifies series; None: there is one.
        past: features known up to now.
        known: features known beforehand.
    """

    target: str
    time: str | None
    series: str | None
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


@dataclass
class Contract:
    """What a table must have for a forecaster, and what the one had that it was fitted on.

    Args:
        columns: that are read.
        reading: options of reading.
        shown: what target, time and series are called: they may be asked for by pattern or number.
        names: what was read, the target first; features of text as a column for each word.
        ahead: those of them that are known beforehand.
        words: of each feature of text.
        grid: of the times.
        moments: mean and deviation of each series.
        usual: mean and deviation of a typical series.
        limits: lowest and highest value of the target in the training part.
        past: mean and deviation of each feature known up to now ``(P,)``.
        known: mean and deviation of each feature known beforehand ``(K,)``.
    """

    columns: Columns
    reading: dict[str, Any]
    shown: Columns
    names: tuple[str, ...]
    ahead: tuple[str, ...]
    words: dict[str, list[str]]
    grid: Grid
    moments: dict[str, Moments]
    usual: Moments
    limits: Moments
    past: tuple[Values, Values]
    known: tuple[Values, Values]
    _foreign: dict[str, Moments] = field(default_factory=dict)

    @property
    def is_one(self) -> bool:
        """Whether there is one series."""
        return self.columns.series is None

    def moments_of(self, label: str) -> Moments:
        """Return mean and deviation of a series; of one that is not known those of its table."""
        return self.moments.get(label) or self._foreign.get(label, self.usual)

    def scaled(self, history: History) -> History:
        """Return a series in deviations of its own."""
        mean, scale = self.moments_of(history.label)
        return replace(
            history,
            y=(history.y - mean) / scale,
            held=(history.held - mean) / scale,
            past=(history.past - self.past[0]) / self.past[1],
            known=(history.known - self.known[0]) / self.known[1],
        )

    def read(self, table: Any, *, plan: bool = False) -> list[History]:
        """Return the series of another table, scaled; warn where they are of another size.

        Args:
            table: as `Forecaster.fit` takes it.
            plan: whether the target may be missing.

        Raises:
            TorchliquidError: it has other columns, or other times.
        """
        read = _read(table, self.columns, self.reading, self.words, plan=plan)
        if read.columns != self.names:
            raise TorchliquidError(
                f"{read.name} has the columns {', '.join(read.columns)}: expected "
                f"{', '.join(self.names)}"
            )
        found = on_grid(read, rows_of(read), self.grid, read.name)
        unseen = [one for one in found if one.label not in self.moments]
        if unseen and not plan:
            listed = ", ".join(one.label for one in unseen[:3])
            warnings.warn(
                f"{len(unseen)} series were not there before ({listed}): each is scaled by its own "
                "mean and deviation in this table",
                stacklevel=4,
            )
        self._foreign = {one.label: _moments(one.y, self.usual) for one in unseen}
        for one in found:
            if one.label in self.moments:
                mean, scale = self.moments[one.label]
                low, high = self.limits if self.is_one else (mean - 3 * scale, mean + 3 * scale)
                warn_far(one.label, self.shown.target, one.y, low, high, scale)
        return [self.scaled(one) for one in found]

    def position(self, moment: Any) -> float:
        """Return where a time lies on the grid."""
        import pandas as pd

        grid = self.grid
        if grid.kind in ("rows", "numbers", "seconds"):
            return float((float(moment) - grid.start) / grid.gap)
        stamp = pd.Timestamp(moment)
        if stamp.tz is None:
            stamp = stamp.tz_localize(grid.zone or "UTC")
        at = Rows(np.zeros((1, 1)), None, np.array([stamp.timestamp()]))
        return float(grid.positions(at)[0])


def learn_contract(
    table: Any,
    target: str | None,
    time: str | None,
    series: str | None,
    past: Sequence[str],
    known: Sequence[str],
    reading: Mapping[str, Any],
) -> tuple[Contract, list[History], list[str]]:
    """Read a table, and return what is to be known of it, its series scaled, and notes.

    Raises:
        TorchliquidError: it cannot be read, or holds no value of the target.
    """
    options = _checked(reading)
    names = _column_names(table, options) if time is None or series is None else []
    columns = Columns(
        target or DEFAULT_NAMES["target"],
        time or _index_name(table) or _if_there("time", names),
        series or _if_there("series", names),
        tuple(past),
        tuple(known),
    )
    read = _read(table, columns, options, None)
    parts = rows_of(read)
    grid = grid_of(read, parts, options.get("time_zone"))
    found = [one for one in on_grid(read, parts, grid, read.name) if len(one.y)]
    if not found:
        raise TorchliquidError(f"{read.name} has no value of {columns.target!r}")
    seen = [one.y[: max(int(TRAINED * len(one.y)), 2)] for one in found]
    spreads = [float(np.nanstd(y)) for y in seen if (~np.isnan(y)).any()]
    usual = float(np.median([s for s in spreads if s > 0] or [1.0]))
    moments = {
        one.label: _moments(y if (~np.isnan(y)).any() else one.y, (0.0, usual))
        for one, y in zip(found, seen, strict=True)
    }
    every = np.concatenate([y[~np.isnan(y)] for y in seen] or [np.zeros(1)])
    contract = Contract(
        columns=columns,
        reading=options,
        shown=Columns(read.columns[0], read.time, read.series),
        names=read.columns,
        ahead=read.future,
        words={name: list(words) for name, words in read.words.items()},
        grid=grid,
        moments=moments,
        usual=(float(np.median([mean for mean, _ in moments.values()])), usual),
        limits=(float(every.min()), float(every.max())) if len(every) else (0.0, 0.0),
        past=_of_features([one.past[: int(TRAINED * len(one.y))] for one in found]),
        known=_of_features([one.known[: int(TRAINED * len(one.y))] for one in found]),
    )
    return contract, [contract.scaled(one) for one in found], _notes(read, grid, found)


def _read(
    table: Any,
    columns: Columns,
    reading: Mapping[str, Any],
    words: Mapping[str, Sequence[str]] | None,
    *,
    plan: bool = False,
) -> Series:
    marks = CsvDialect.__dataclass_fields__
    options = {name: value for name, value in reading.items() if name not in marks}
    return read_table(
        table,
        columns.target,
        [*columns.past, *columns.known],
        columns.time,
        series=columns.series,
        future=columns.known,
        words=words,
        needs_target=not plan,
        dialect=_dialect(reading),
        **options,
    )


def _dialect(reading: Mapping[str, Any]) -> CsvDialect:
    """How a file is written, of all options of reading."""
    marks = CsvDialect.__dataclass_fields__
    return CsvDialect(**{name: value for name, value in reading.items() if name in marks})


def _checked(reading: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {*READING, *CsvDialect.__dataclass_fields__}
    for name in reading:
        if name not in allowed:
            raise TorchliquidError(
                f"fit has no option {name!r}: it knows {', '.join(sorted(allowed))}"
            )
    return dict(reading)


def _column_names(table: Any, reading: Mapping[str, Any]) -> list[str]:
    """The columns of a table."""
    if isinstance(table, np.ndarray):
        return []
    if isinstance(table, (str, Path)):
        return read_names(table, _dialect(reading))
    names = getattr(table, "column_names", getattr(table, "columns", []))
    return [name for name in names if isinstance(name, str)]


def _if_there(role: str, names: Sequence[str]) -> str | None:
    name = DEFAULT_NAMES[role]
    return name if name in names else None


def _index_name(table: Any) -> str | None:
    """What an index of times is called."""
    kind = type(getattr(table, "index", None)).__name__
    if kind not in ("DatetimeIndex", "PeriodIndex", "TimedeltaIndex"):
        return None
    return str(table.index.name or "index")


def _moments(y: Values, usual: Moments) -> Moments:
    """Mean and deviation of the values that are there; of a constant the usual deviation."""
    seen = y[~np.isnan(y)]
    if not len(seen):
        return usual
    return float(seen.mean()), float(seen.std()) or usual[1]


def _of_features(parts: Sequence[Values]) -> tuple[Values, Values]:
    """Mean and deviation of each feature; those of 0 and 1 stay as they are."""
    every = np.concatenate(parts)
    mean, scale = np.zeros(every.shape[1]), np.ones(every.shape[1])
    for k in range(every.shape[1]):
        seen = every[~np.isnan(every[:, k]), k]
        if len(seen) and not np.isin(seen, (0, 1)).all():
            mean[k], scale[k] = seen.mean(), seen.std() or 1.0
    return mean, scale


def _notes(read: Series, grid: Grid, histories: Sequence[History]) -> list[str]:
    notes = list(read.notes)
    lacking = sum(int(np.isnan(history.y).sum()) for history in histories)
    rows = sum(len(history.y) for history in histories)
    if lacking:
        notes.append(
            f"Of {rows:,} positions, {grid.words()} apart, {lacking:,} hold no value of "
            f"{read.columns[0]}: they are filled for the lags, and count in no error."
        )
    if not grid.even:
        notes.append(
            "Rows are not evenly spaced: each counts at the nearest position, and several at one "
            "as their mean."
        )
    return notes
