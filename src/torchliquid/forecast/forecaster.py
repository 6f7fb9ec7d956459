"""`Forecaster`: from a table to forecasts with intervals, and on as rows arrive."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from torchliquid._checks import check_size
from torchliquid.errors import TorchliquidError
from torchliquid.forecast._fitting import MODELS, Fitted, choose, filled
from torchliquid.forecast._history import History, Values, on_grid, seasons_of, warn_far
from torchliquid.forecast._ridge_plus import Steps
from torchliquid.forecast.naive import season
from torchliquid.messages import short_repr
from torchliquid.tables import CsvDialect, Grid, Series, grid_of, read_names, read_table, rows_of

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_NAMES = {"target": "y", "time": "ds", "series": "unique_id"}
"""Columns that count as these where they are there and no other is named."""
LARGEST = 1e300
MOST_AHEAD = 10_000
"""Rows that a horizon has at most."""
READING = (
    "missing", "time_format", "time_zone", "time_unit", "clock_change", "sort", "duplicates",
    "every",
)  # fmt: skip
"""Options of `torchliquid.tables.read_table`, as those of `CsvDialect`, that `fit` takes."""


class Forecaster:
    """Forecast a column of a table, with intervals.

    What is compared: the last value, the value of a season before, and a linear regression of all
    horizons at once that is shrunk towards them. The regression is the default, and goes on
    learning as rows arrive. A simple forecast that is better on the validation part counts for
    half beside it. The errors on a test part that chose nothing are in `compared`.

    Args:
        horizon: how many rows ahead, at most.
        model: ``"auto"``; or ``"ridge"``, ``"seasonal"``, ``"last"`` alone.
        intervals: coverages, above 0 and below 1.
        bounds: lowest and highest value that a forecast may have, each None for none, such as
            ``(0, None)`` for counts; None: there are none.

    Raises:
        TorchliquidError: an argument is out of its range.

    >>> import numpy as np, pandas as pd
    >>> days = pd.date_range("2020-01-01", periods=300)
    >>> table = pd.DataFrame({"ds": days, "y": 10 + np.sin(2 * np.pi * np.arange(300) / 7)})
    >>> forecaster = Forecaster(horizon=7, intervals=(0.9,)).fit(table)
    >>> forecaster.forecast(steps=2).round(2).columns.tolist()
    ['ds', 'y', 'lo-90', 'hi-90']
    """

    def __init__(
        self,
        horizon: int = 24,
        model: str = "auto",
        intervals: Sequence[float] = (0.8, 0.9, 0.95),
        bounds: tuple[float | None, float | None] | None = None,
    ) -> None:
        self.horizon = check_size("horizon", horizon)
        if self.horizon > MOST_AHEAD:
            raise TorchliquidError(f"horizon is {self.horizon}: expected at most {MOST_AHEAD}")
        if not isinstance(model, str) or model not in MODELS:
            raise TorchliquidError(f"model is {short_repr(model)}: expected {', '.join(MODELS)}")
        self.model = model
        self.levels = _checked_levels(intervals)
        self.bounds = _checked_bounds(bounds)
        self._fitted = False
        self._foreign: dict[str, tuple[float, float]] = {}
        self.notes: list[str] = []

    # --- fitting ----------------------------------------------------------------------------

    def fit(
        self,
        table: Any,
        target: str | None = None,
        time: str | None = None,
        series: str | None = None,
        *,
        past: Sequence[str] = (),
        known: Sequence[str] = (),
        **reading: Any,
    ) -> Forecaster:
        """Compare forecasts on a table, choose one, and fit it to all rows.

        Args:
            table: the path of a file, a DataFrame of pandas or polars, an Arrow table or an array;
                see `torchliquid.tables.read_table`. Oldest rows first.
            target: column to forecast; None: ``y``.
            time: column of times; None: ``ds``, or the index of times, or, without either, rows
                count as even.
            series: column that identifies several series; None: ``unique_id`` if there is one.
            past: features whose values are known up to now.
            known: features that are known beforehand, such as a plan; rows behind the last target
                may hold their future.
            reading: options of `torchliquid.tables.read_table` (such as ``time_zone``, ``every``,
                ``missing``) and of `torchliquid.tables.CsvDialect`.

        Returns:
            The forecaster itself.

        Raises:
            TorchliquidError: the table cannot be read, or has too few rows for the horizon.
        """
        self._reading = _reading_options(reading)
        names = _column_names(table, self._reading) if time is None or series is None else []
        self._target = target or DEFAULT_NAMES["target"]
        self._time = time or _index_name(table) or _if_there("time", names)
        self._series = series or _if_there("series", names)
        self._past, self._known = tuple(past), tuple(known)
        read = self._read(table, words=None)
        self._words = {name: list(words) for name, words in read.words.items()}
        self._names = read.columns
        self._known_names = read.future
        parts = rows_of(read)
        self._grid = grid_of(read, parts, self._reading.get("time_zone"))
        histories = [h for h in on_grid(read, parts, self._grid, read.name) if len(h.y)]
        if not histories:
            raise TorchliquidError(f"{read.name} has no value of {self._target!r}")
        self.notes = _notes(read, self._grid, histories)
        self._learn_scales(histories)
        scaled = [self._scaled(history) for history in histories]
        longest = max(scaled, key=lambda history: len(history.y))
        train = int(0.6 * len(longest.y))
        seasons = seasons_of(self._grid, train, season(longest.held[:train]))
        scaled = [one.with_profile(seasons.naive, int(0.6 * len(one.y))) for one in scaled]
        fitted = choose(self.model, self.horizon, seasons, self._grid, scaled, self.levels)
        self._use(fitted, scaled)
        return self

    def _use(self, fitted: Fitted, scaled: Sequence[History]) -> None:
        self._chosen, self._inputs = fitted.chosen, fitted.inputs
        self._rows, self.coverage = (
            fitted.rows,
            dict(zip(self.levels, fitted.coverage, strict=True)),
        )
        self.sentence = fitted.sentence
        kept = self._inputs.needs + 2 * self.horizon
        self._histories = {history.label: history.last(kept) for history in scaled}
        self._intervals = {
            history.label: intervals
            for history, intervals in zip(scaled, fitted.intervals, strict=True)
        }
        self._pending = {}
        for history in scaled:
            steps = np.arange(max(len(history.y) - self.horizon, 0), len(history.y))
            self._pending[history.label] = self._forecasts(history, steps)
        self._since_solved = 0
        missing = float(np.mean(np.concatenate([np.isnan(h.y) for h in scaled])))
        self._most_missing = self.horizon * max(0.5, min(1.3 * missing, 0.98))
        self._fitted = True
        if not fitted.enough:
            self.notes.append(
                f"Too few rows for an interval of {self.horizon} rows ahead in some series: the "
                "validation part should hold ten stretches of that length. Intervals there rest on "
                "fewer errors, which overlap."
            )

    def _read(
        self, table: Any, words: Mapping[str, Sequence[str]] | None, *, plan: bool = False
    ) -> Series:
        options = dict(self._reading)
        marks = {k: options.pop(k) for k in tuple(options) if k in CsvDialect.__dataclass_fields__}
        return read_table(
            table,
            self._target,
            [*self._past, *self._known],
            self._time,
            series=self._series,
            future=self._known,
            words=words,
            needs_target=not plan,
            dialect=CsvDialect(**marks),
            **options,
        )

    def _learn_scales(self, histories: Sequence[History]) -> None:
        """Mean and deviation of each series, and of each feature, in the first 60 % of rows."""
        self._scales: dict[str, tuple[float, float]] = {}
        seen = [history.y[: max(int(0.6 * len(history.y)), 2)] for history in histories]
        spreads = [float(np.nanstd(y)) if (~np.isnan(y)).any() else 0.0 for y in seen]
        usual = float(np.median([s for s in spreads if s > 0] or [1.0]))
        for history, y, spread in zip(histories, seen, spreads, strict=True):
            mean = float(np.nanmean(y)) if (~np.isnan(y)).any() else float(np.nanmean(history.y))
            self._scales[history.label] = (mean, spread if spread > 0 else usual)
        self._usual = (float(np.median([m for m, _ in self._scales.values()])), usual)
        every = np.concatenate([y[~np.isnan(y)] for y in seen])
        self._range = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
        self._past_scale = _feature_scale([h.past[: int(0.6 * len(h.y))] for h in histories])
        self._known_scale = _feature_scale([h.known[: int(0.6 * len(h.y))] for h in histories])

    def _scale(self, label: str) -> tuple[float, float]:
        """Mean and deviation of a series; of one that was not fitted those of its last table."""
        return self._scales.get(label) or self._foreign.get(label, self._usual)

    def _scaled(self, history: History) -> History:
        mean, scale = self._scale(history.label)
        (past_mean, past_scale), (known_mean, known_scale) = self._past_scale, self._known_scale
        return replace(
            history,
            y=(history.y - mean) / scale,
            held=(history.held - mean) / scale,
            past=(history.past - past_mean) / past_scale,
            known=(history.known - known_mean) / known_scale,
        )

    # --- forecasting ------------------------------------------------------------------------

    def forecast(
        self,
        steps: int | None = None,
        *,
        until: Any = None,
        known: Any = None,
    ) -> Any:
        """Forecast beyond the last row that is known.

        Args:
            steps: how many rows; None: as many as ``until`` asks for, or the horizon.
            until: the last time, of the kind that the table's are.
            known: a table with the future of the features that are known beforehand.

        Returns:
            A row for each series and time: the columns of series and time, the forecast under the
            target's name, and lower and upper ends of intervals (``lo-90``, ``hi-90``).

        Raises:
            TorchliquidError: more rows are asked for than the horizon, or what is known beforehand
                does not reach as far.
        """
        self._check_fitted()
        plans = {} if known is None else self._plans(known)
        frames = []
        for label, history in self._histories.items():
            rows = self._steps(history, steps, until)
            with_plan = self._with_plan(history, plans.get(label), rows)
            forecast = self._forecasts(with_plan, np.array([len(history.y) - 1]))[0, :rows]
            widths = self._intervals[label].widths()[:, :rows]
            positions = history.end + np.arange(rows)
            frames.append(self._frame(label, positions, forecast, widths))
        return _stacked(frames)

    def predict(self, table: Any, ahead: int | None = None) -> Any:
        """Forecast the rows of another table, each from the rows before it.

        Args:
            table: as `fit` takes them, with the same columns in any order.
            ahead: how many rows before each row its forecast is made; None: the horizon.

        Returns:
            As `forecast`, and the target itself under ``actual``; rows whose forecast would be
            made before the table begins are left out.

        Raises:
            TorchliquidError: the table has other columns or another spacing.
        """
        self._check_fitted()
        ahead = self.horizon if ahead is None else ahead
        if not 1 <= ahead <= self.horizon:
            raise TorchliquidError(f"ahead is {ahead}: expected 1 to {self.horizon}, the horizon")
        frames = []
        for history in self._new_histories(table):
            steps = np.arange(max(len(history.y) - ahead, 0))
            forecast = self._forecasts(history, steps)[:, ahead - 1]
            intervals = self._intervals.get(history.label)
            widths = np.full((len(self.levels), len(steps)), np.nan)
            if intervals is not None:
                widths = np.repeat(intervals.widths()[:, ahead - 1 : ahead], len(steps), axis=1)
            frame = self._frame(history.label, history.first + steps + ahead, forecast, widths)
            mean, scale = self._scale(history.label)
            frame["actual"] = history.y[steps + ahead] * scale + mean
            frames.append(frame)
        return _stacked(frames)

    def backtest(self, table: Any) -> pd.DataFrame:
        """Return the errors on another table, for each horizon.

        Args:
            table: as `predict` takes it.

        Returns:
            A row for each horizon: ``rmse`` and ``mae`` of the forecast, and ``rmse_last`` of
            repeating the last value, in the target's unit; where there are several series, in the
            deviations of each.
        """
        import pandas as pd

        self._check_fitted()
        wrong, simple = [], []
        for history in self._new_histories(table):
            steps = np.arange(max(len(history.y) - self.horizon, 0))
            after = history.y[steps[:, None] + np.arange(1, self.horizon + 1)]
            scale = self._scale(history.label)[1] if self._is_one else 1.0
            wrong.append(scale * (self._forecasts(history, steps) - after))
            simple.append(scale * (history.held[steps][:, None] - after))
        errors, last = np.concatenate(wrong), np.concatenate(simple)
        if not len(errors):
            raise TorchliquidError(
                f"the table has no {self.horizon + 1} rows in a row: expected more than the horizon"
            )
        return pd.DataFrame(
            {
                "horizon": np.arange(1, self.horizon + 1),
                "rmse": np.sqrt(np.nanmean(errors**2, axis=0)),
                "mae": np.nanmean(np.abs(errors), axis=0),
                "rmse_last": np.sqrt(np.nanmean(last**2, axis=0)),
            }
        )

    def _forecasts(self, history: History, steps: Steps) -> Values:
        """Forecasts ``(N, H)`` in deviations, from some steps of a scaled series."""
        chosen, found = self._chosen, []
        if chosen.ridge is not None:
            found.append(chosen.ridge.predict(history, self._grid, steps))
        if chosen.period is not None:
            found.append(self._inputs.bases(history, steps, chosen.period))
        return np.asarray(np.mean(found, axis=0))

    def _frame(self, label: str, positions: Steps, forecast: Values, widths: Values) -> Any:
        """Forecasts of one series ``(N,)`` in the table's unit, with intervals ``(L, N)``."""
        import pandas as pd

        mean, scale = self._scale(label)
        columns: dict[str, Any] = {}
        if self._series is not None:
            columns[self._series] = [label] * len(positions)
        columns[self._time or "row"] = self._grid.times(positions)
        low, high = (np.nan if bound is None else bound for bound in self.bounds)

        def bounded(values: Values) -> Values:
            return np.fmin(np.fmax(values * scale + mean, low), high)

        columns[self._target] = bounded(forecast)
        for level, width in zip(self.levels, widths, strict=True):
            name = f"{100 * level:g}"
            columns[f"lo-{name}"] = bounded(forecast - width)
            columns[f"hi-{name}"] = bounded(forecast + width)
        return pd.DataFrame(columns)

    def _steps(self, history: History, steps: int | None, until: Any) -> int:
        """How many rows are asked for."""
        if until is not None:
            last = _position_of(self._grid, until)
            steps = int(np.floor(last + 1e-6)) - history.end + 1
            if steps < 1:
                end = self._grid.times(np.array([history.end - 1]))[0]
                raise TorchliquidError(f"until is {until}: expected a time after {end}")
        rows = self.horizon if steps is None else steps
        if not 1 <= rows <= self.horizon:
            raise TorchliquidError(
                f"{rows} rows are asked for: expected 1 to {self.horizon}, the `horizon` that the "
                "forecaster was fitted for"
            )
        return rows

    def _plans(self, table: Any) -> dict[str, History]:
        if not self._known_names:
            raise TorchliquidError("known is given, but the forecaster has no such features")
        return {history.label: history for history in self._new_histories(table, plan=True)}

    def _with_plan(self, history: History, plan: History | None, rows: int) -> History:
        """The series with known features as far as they are needed."""
        if not self._known_names:
            return history
        known = history.known
        if plan is not None:
            skipped = plan.first - history.first
            length = max(skipped + len(plan.known), len(known))
            longer = np.full((length, known.shape[1]), np.nan)
            longer[: len(known)] = known
            begin = max(skipped, 0)
            longer[begin : skipped + len(plan.known)] = plan.known[begin - skipped :]
            known = longer
        reaches = len(known) - len(history.y)
        if reaches < rows:
            raise TorchliquidError(
                f"{', '.join(self._known_names)} are known {max(reaches, 0)} of {rows} rows ahead: "
                "give their future, `known`, a table with these columns and times"
            )
        return replace(history, known=known)

    # --- new rows ---------------------------------------------------------------------------

    def update(self, rows: Any) -> Forecaster:
        """Take new rows in: forecasts go on from them, and the regression learns from them.

        It takes the same time for each row, however many came before, and ends where fitting the
        regression to all rows would, scales and penalties being those that were chosen.

        Args:
            rows: a table as `fit` takes it, that begins behind the last row known.

        Raises:
            TorchliquidError: rows are known already, or of a series that is not.
        """
        self._check_fitted()
        later = self._new_histories(rows)
        if self._grid.kind == "rows":  # without times new rows follow the last one
            later = [replace(one, first=self._histories[one.label].end) for one in later]
        for history in later:
            if history.label not in self._histories:
                raise TorchliquidError(
                    f"{history.label!r} is no series of the forecaster: fit it anew"
                )
            end = self._histories[history.label].end
            if history.first < end:
                known = self._grid.times(np.array([end - 1]))[0]
                raise TorchliquidError(
                    f"the first new row{' of ' + history.label if history.label else ''} is at "
                    f"{self._grid.times(np.array([history.first]))[0]}, and rows are known up to "
                    f"{known}: expected later ones"
                )
        for history in later:
            self._take(history)
        return self

    def _take(self, later: History) -> None:
        """Go through the new rows of a series, a season at a time."""
        seasons = self._inputs.seasons.naive
        width = seasons[0] if seasons else 1
        for start in range(0, len(later.y), width):
            part = slice(start, start + width)
            self._take_block(
                History(
                    later.label, later.first + start, later.y[part], later.held[part],
                    later.past[part], later.known[part],
                )
            )  # fmt: skip

    def _take_block(self, block: History) -> None:
        before, horizon = self._histories[block.label], self.horizon
        whole = before.joined(block)
        new = len(whole.y) - len(before.y)
        steps = np.arange(len(before.y), len(whole.y))
        made = np.concatenate([self._pending[block.label], self._forecasts(whole, steps)])
        # of the forecasts made 1 ... H before each new row, what they were wrong by
        errors = np.full((new, horizon), np.nan)
        for k in range(horizon):
            origin = len(made) - new - 1 - k + np.arange(new)
            there = origin >= 0
            errors[there, k] = made[origin[there], k] - whole.y[steps[there]]
        self._intervals[block.label].follow(errors)
        self._pending[block.label] = made[-horizon:]
        ridge = self._chosen.ridge
        if ridge is not None and self._chosen.streamed:
            known = np.arange(max(len(before.y) - horizon, 0), len(whole.y) - horizon)
            missing = np.isnan(whole.y[known[:, None] + np.arange(1, horizon + 1)]).sum(axis=1)
            ridge.learn(whole, self._grid, filled(whole), known[missing <= self._most_missing])
            self._since_solved += new
            if self._since_solved >= (self._inputs.seasons.naive or (1,))[0]:
                ridge.solve()
                self._since_solved = 0
        self._histories[block.label] = whole.last(self._inputs.needs + 2 * horizon)

    def _new_histories(self, table: Any, *, plan: bool = False) -> list[History]:
        """The series of another table, scaled; warned of where they are of another size."""
        read = self._read(table, words=self._words, plan=plan)
        if read.columns != self._names:
            raise TorchliquidError(
                f"{read.name} has the columns {', '.join(read.columns)}: expected "
                f"{', '.join(self._names)}"
            )
        histories = on_grid(read, rows_of(read), self._grid, read.name)
        unseen = [h.label for h in histories if h.label not in self._scales]
        if unseen and not plan:
            warnings.warn(
                f"{len(unseen)} series were not there before ({', '.join(unseen[:3])}): each is "
                "scaled by its own mean and deviation in this table",
                stacklevel=3,
            )
        self._foreign = {
            h.label: _moments(h.y, self._usual) for h in histories if h.label in unseen
        }
        for history in histories:
            if history.label in unseen:
                continue
            mean, scale = self._scales[history.label]
            low, high = self._range if self._is_one else (mean - 3 * scale, mean + 3 * scale)
            warn_far(history.label, self._target, history.y, low, high, scale)
        return [self._with_known_profile(self._scaled(history)) for history in histories]

    def _with_known_profile(self, history: History) -> History:
        """A new series, its missing values filled by the shape of the season that is known."""
        known = self._histories.get(history.label)
        if known is None or len(known.profile) == 1 or not len(history.y):
            return history
        found = replace(history, profile=known.profile)
        return replace(found, held=found.around(history.y))

    # --- what it knows ----------------------------------------------------------------------

    @property
    def series(self) -> str | None:
        """The column that identifies series; None where there is one."""
        return self._series

    @property
    def _is_one(self) -> bool:
        return self._series is None

    @property
    def compared(self) -> pd.DataFrame:
        """What was compared: root mean squared errors over all horizons.

        In the target's unit; of several series in the deviations of each. ``valid`` is what the
        choice rests on, ``test`` has chosen nothing.
        """
        import pandas as pd

        self._check_fitted()
        scale = next(iter(self._scales.values()))[1] if self._is_one else 1.0
        return pd.DataFrame(
            {
                "model": [row.model for row in self._rows],
                "valid": [scale * row.valid for row in self._rows],
                "test": [scale * row.test for row in self._rows],
                "chosen": [row.model == self._chosen.name for row in self._rows],
            }
        )

    def plot(self, label: str | None = None, *, rows: Any = None, axes: Any = None) -> Any:
        """Draw the last rows of a series and its forecast (needs matplotlib).

        Args:
            label: which series; None: the first one.
            rows: what `forecast` returned; None: a forecast as far as the horizon.
            axes: what to draw on; None: a new figure's.

        Returns:
            The axes.
        """
        from torchliquid.forecast._plotting import plot_forecast

        return plot_forecast(self, label, rows, axes)

    def save(self, folder: str | Path) -> Path:
        """Write it to a folder, and return the file; see `load_forecaster`."""
        from torchliquid.forecast._storing import save_forecaster

        return save_forecaster(self, folder)

    def _check_fitted(self) -> None:
        if not self._fitted:
            raise TorchliquidError("the forecaster is not fitted: call fit first")

    def __repr__(self) -> str:
        """Return what it forecasts and by what."""
        plain = f"Forecaster(horizon={self.horizon}, model={self.model!r})"
        if not self._fitted:
            return plain
        return f"{plain} of {self._target!r} every {self._grid.words()}: {self._chosen.name}"


def _is_number(value: Any) -> bool:
    """Whether a value is a finite real number."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and abs(value) <= LARGEST


def _checked_levels(intervals: Any) -> tuple[float, ...]:
    if isinstance(intervals, (list, tuple)) and all(
        _is_number(level) and 0 < level < 1 for level in intervals
    ):
        return tuple(float(level) for level in intervals)
    raise TorchliquidError(
        f"intervals is {short_repr(intervals)}: expected coverages between 0 and 1, such as (0.9,)"
    )


def _checked_bounds(bounds: Any) -> tuple[float | None, float | None]:
    if bounds is None:
        return None, None
    if isinstance(bounds, (list, tuple)) and len(bounds) == 2:
        low, high = (None if end is None else end for end in bounds)
        if all(end is None or _is_number(end) for end in (low, high)) and (
            low is None or high is None or low < high
        ):
            return (None if low is None else float(low), None if high is None else float(high))
    raise TorchliquidError(
        f"bounds is {short_repr(bounds)}: expected a lower and an upper end, such as (0, None)"
    )


def _reading_options(given: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {*READING, *CsvDialect.__dataclass_fields__}
    for name in given:
        if name not in allowed:
            raise TorchliquidError(
                f"fit has no option {name!r}: it knows {', '.join(sorted(allowed))}"
            )
    return dict(given)


def _column_names(table: Any, reading: Mapping[str, Any]) -> list[str]:
    """The columns of a table."""
    if isinstance(table, np.ndarray):
        return []
    if isinstance(table, (str, Path)):
        marks = {k: v for k, v in reading.items() if k in CsvDialect.__dataclass_fields__}
        return read_names(table, CsvDialect(**marks))
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


def _moments(y: Values, usual: tuple[float, float]) -> tuple[float, float]:
    """Mean and deviation of the values that are there."""
    seen = y[~np.isnan(y)]
    if not len(seen):
        return usual
    return float(seen.mean()), float(seen.std()) or usual[1]


def _feature_scale(parts: Sequence[Values]) -> tuple[Values, Values]:
    """Mean and deviation of each feature; those of 0 and 1 stay as they are."""
    every = np.concatenate(parts) if parts else np.zeros((0, 0))
    mean, scale = np.zeros(every.shape[1]), np.ones(every.shape[1])
    for k in range(every.shape[1]):
        seen = every[~np.isnan(every[:, k]), k]
        if len(seen) and not np.isin(seen, (0, 1)).all():
            mean[k], scale[k] = seen.mean(), seen.std() or 1.0
    return mean, scale


def _position_of(grid: Grid, moment: Any) -> float:
    """Where a time lies on the grid."""
    import pandas as pd

    from torchliquid.tables import Rows

    none = np.zeros((1, 1))
    if grid.kind in ("rows", "numbers", "seconds"):
        return float((float(moment) - grid.start) / grid.gap)
    stamp = pd.Timestamp(moment)
    if stamp.tz is None:
        stamp = stamp.tz_localize(grid.zone or "UTC")
    seconds = stamp.timestamp()
    return float(grid.positions(Rows(none, None, np.array([seconds])))[0])


def _notes(read: Series, grid: Grid, histories: Sequence[History]) -> list[str]:
    notes = list(read.notes)
    lacking = sum(int(np.isnan(history.y).sum()) for history in histories)
    rows = sum(len(history.y) for history in histories)
    if lacking:
        notes.append(
            f"Of {rows:,} positions, {grid.words()} apart, {lacking:,} hold no value of "
            f"{read.columns[0]}: the last one is held for the lags, and they count in no error."
        )
    if not grid.even:
        notes.append(
            "Rows are not evenly spaced: each counts at the nearest position, and several at one "
            "as their mean."
        )
    return notes


def _stacked(frames: Sequence[Any]) -> Any:
    import pandas as pd

    return pd.concat(frames, ignore_index=True)
