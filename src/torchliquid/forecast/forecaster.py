"""`Forecaster`: from a table to forecasts with intervals, and on as rows arrive."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from torchliquid._checks import check_seed, check_size
from torchliquid.errors import TorchliquidError
from torchliquid.forecast._arguments import checked_bounds, checked_levels
from torchliquid.forecast._contract import Contract, learn_contract
from torchliquid.forecast._fitting import MODELS, choose
from torchliquid.forecast._history import TRAINED, History, Values, seasons_of
from torchliquid.forecast._ridge_plus import Steps
from torchliquid.forecast._state import State
from torchliquid.forecast.naive import season
from torchliquid.messages import short_repr

if TYPE_CHECKING:
    import pandas as pd

MOST_AHEAD = 10_000
"""Rows that a horizon has at most."""


class Forecaster:
    """Forecast a column of a table, with intervals.

    What is compared: the last value, the value of a season before, a filter of level and seasons
    that corrects itself, a linear regression of all horizons at once that is shrunk towards simple
    forecasts, and the same with the states of a small LTC among its features. The regression is the
    default, and goes on learning as rows arrive. The best of the others counts for half beside it
    if it is better on the validation part. Where more than 5 % of the values are missing the filter
    fills them. The errors on a test part that chose nothing are in `compared`.

    Args:
        horizon: how many rows ahead, at most.
        model: ``"auto"``; or ``"ridge"``, ``"ltc"``, ``"filter"``, ``"seasonal"``,
            ``"last"`` alone.
        intervals: coverages, above 0 and below 1.
        bounds: lowest and highest value that a forecast may have, each None for none, such as
            ``(0, None)`` for counts; None: there are none.
        seed: of the network's first weights.

    Raises:
        TorchliquidError: an argument is out of its range.

    >>> import numpy as np, pandas as pd
    >>> days = pd.date_range("2020-01-01", periods=300)
    >>> table = pd.DataFrame({"ds": days, "y": 10 + np.sin(2 * np.pi * np.arange(300) / 7)})
    >>> forecaster = Forecaster(horizon=7, intervals=(0.9,)).fit(table)
    >>> forecaster.forecast(steps=2).columns.tolist()
    ['ds', 'y', 'lo-90', 'hi-90']
    """

    def __init__(
        self,
        horizon: int = 24,
        model: str = "auto",
        intervals: Sequence[float] = (0.8, 0.9, 0.95),
        bounds: tuple[float | None, float | None] | None = None,
        seed: int = 0,
    ) -> None:
        self.horizon = check_size("horizon", horizon)
        if self.horizon > MOST_AHEAD:
            raise TorchliquidError(f"horizon is {self.horizon}: expected at most {MOST_AHEAD}")
        if not isinstance(model, str) or model not in MODELS:
            raise TorchliquidError(f"model is {short_repr(model)}: expected {', '.join(MODELS)}")
        self.model = model
        self.levels = checked_levels(intervals)
        self.bounds = checked_bounds(bounds)
        self.seed = check_seed(seed)
        self._contract: Contract | None = None
        self._state: State | None = None

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
        contract, scaled, notes = learn_contract(table, target, time, series, past, known, reading)
        longest = max(scaled, key=lambda history: len(history.y))
        train = int(TRAINED * len(longest.y))
        seasons = seasons_of(contract.grid, train, season(longest.held[:train]))
        fitted = choose(
            self.model, self.horizon, seasons, contract.grid, scaled, self.levels, self.seed
        )
        if not fitted.enough:
            notes.append(
                f"Too few rows for an interval of {self.horizon} rows ahead in some series: the "
                "validation part should hold ten stretches of that length. Intervals there rest on "
                "fewer errors, which overlap."
            )
        kept = fitted.inputs.needs + 2 * self.horizon
        missing = float(np.mean(np.concatenate([np.isnan(one.y) for one in scaled])))
        state = State(
            fitted.chosen,
            fitted.inputs,
            fitted.rows,
            tuple(fitted.coverage.tolist()),
            fitted.sentence,
            notes,
            {one.label: one.last(kept) for one, _ in fitted.followed},
            {one.label: found for one, found in zip(scaled, fitted.intervals, strict=True)},
            {one.label: carried for one, carried in fitted.followed},
            {},
            most_missing=self.horizon * max(0.5, min(1.3 * missing, 0.98)),
        )
        for one, _ in fitted.followed:
            steps = np.arange(max(len(one.y) - self.horizon, 0), len(one.y))
            state.pending[one.label] = fitted.chosen.forecasts(one, contract.grid, steps)
        self._contract, self._state = contract, state
        return self

    # --- forecasting ------------------------------------------------------------------------

    def forecast(
        self,
        steps: int | None = None,
        *,
        until: Any = None,
        at: Sequence[Any] | None = None,
        known: Any = None,
    ) -> Any:
        """Forecast beyond the last row that is known.

        Args:
            steps: how many rows; None: as many as ``until`` asks for, or the horizon. Rows beyond
                the horizon are forecast from forecasts, with a warning and without intervals.
            until: the last time, of the kind that the table's are.
            at: times that are asked for, instead of all up to the last one.
            known: a table with the future of the features that are known beforehand.

        Returns:
            A row for each series and time: the columns of series and time, the forecast under the
            target's name, and lower and upper ends of intervals (``lo-90``, ``hi-90``).

        Raises:
            TorchliquidError: no row is asked for, or too many, or what is known beforehand does not
                reach as far.
        """
        contract, state = self._ready()
        if at is not None:
            return self._at(at, known)
        plans = {} if known is None else self._plans(known)
        frames = []
        for label, history in state.histories.items():
            rows = self._steps(history, steps, until)
            with_plan = self._with_plan(history, plans.get(label), rows)
            forecast = state.path(with_plan, contract.grid, rows)
            widths = np.full((len(self.levels), rows), np.nan)
            near = min(rows, self.horizon)
            widths[:, :near] = state.intervals[label].widths()[:, :near]
            positions = history.end + np.arange(rows)
            frames.append(self._frame(label, positions, forecast, widths))
        return _stacked(frames)

    def _at(self, at: Sequence[Any], known: Any) -> Any:
        """Forecasts at some times alone, for each series those behind its last row."""
        contract, state = self._ready()
        if isinstance(at, str) or not hasattr(at, "__len__") or not len(at):
            raise TorchliquidError(f"at is {short_repr(at)}: expected a list of times")
        wanted = np.array([contract.position(moment) for moment in at])
        off = np.abs(wanted - np.rint(wanted))
        if off.max() > 0.02:
            raise TorchliquidError(
                f"at has {at[int(off.argmax())]}, which lies between rows: expected times "
                f"{contract.grid.words()} apart, as the table's are"
            )
        first = max(history.end for history in state.histories.values())
        if wanted.min() < first - 0.5:
            known_to = contract.grid.times(np.array([first - 1]))[0]
            raise TorchliquidError(
                f"at has {at[int(wanted.argmin())]}: expected times after {known_to}"
            )
        rows = self.forecast(until=at[int(wanted.argmax())], known=known)
        times = contract.grid.times(np.unique(np.rint(wanted).astype(np.int64)))
        return rows[rows[contract.shown.time or "row"].isin(times)].reset_index(drop=True)

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
        contract, state = self._ready()
        ahead = self.horizon if ahead is None else ahead
        if not 1 <= ahead <= self.horizon:
            raise TorchliquidError(f"ahead is {ahead}: expected 1 to {self.horizon}, the horizon")
        frames = []
        for history in self._series_of(table):
            steps = np.arange(max(len(history.y) - ahead, 0))
            forecast = self._forecasts(history, steps)[:, ahead - 1]
            intervals = state.intervals.get(history.label)
            widths = np.full((len(self.levels), len(steps)), np.nan)
            if intervals is not None:
                widths = np.repeat(intervals.widths()[:, ahead - 1 : ahead], len(steps), axis=1)
            frame = self._frame(history.label, history.first + steps + ahead, forecast, widths)
            mean, scale = contract.moments_of(history.label)
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

        contract, _ = self._ready()
        wrong, simple = [], []
        for history in self._series_of(table):
            steps = np.arange(max(len(history.y) - self.horizon, 0))
            after = history.y[steps[:, None] + np.arange(1, self.horizon + 1)]
            scale = contract.moments_of(history.label)[1] if contract.is_one else 1.0
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
        contract, state = self._ready()
        return state.chosen.forecasts(history, contract.grid, steps)

    def _series_of(self, table: Any) -> list[History]:
        """The series of another table, as a forecast needs them."""
        contract, state = self._ready()
        return [state.chosen.prepared(one, contract.grid)[0] for one in contract.read(table)]

    def _frame(self, label: str, positions: Steps, forecast: Values, widths: Values) -> Any:
        """Forecasts of one series ``(N,)`` in the table's unit, with intervals ``(L, N)``."""
        import pandas as pd

        contract, _ = self._ready()
        mean, scale = contract.moments_of(label)
        shown, columns = contract.shown, dict[str, Any]()
        if shown.series is not None:
            columns[shown.series] = [label] * len(positions)
        columns[shown.time or "row"] = contract.grid.times(positions)
        low, high = self.bounds

        def bounded(values: Values) -> Values:
            found = values * scale + mean
            found = found if low is None else np.maximum(found, low)
            return found if high is None else np.minimum(found, high)

        columns[shown.target] = bounded(forecast)
        for level, width in zip(self.levels, widths, strict=True):
            name = f"{100 * level:g}"
            columns[f"lo-{name}"] = bounded(forecast - width)
            columns[f"hi-{name}"] = bounded(forecast + width)
        return pd.DataFrame(columns)

    def _steps(self, history: History, steps: int | None, until: Any) -> int:
        """How many rows are asked for."""
        contract, _ = self._ready()
        if until is not None:
            last = contract.position(until)
            steps = int(np.floor(last + 1e-6)) - history.end + 1
            if steps < 1:
                end = contract.grid.times(np.array([history.end - 1]))[0]
                raise TorchliquidError(f"until is {until}: expected a time after {end}")
        rows = self.horizon if steps is None else steps
        if not 1 <= rows <= MOST_AHEAD:
            raise TorchliquidError(f"{rows} rows are asked for: expected 1 to {MOST_AHEAD}")
        if rows > self.horizon:
            warnings.warn(
                f"{rows} rows are asked for, and the forecaster was fitted for {self.horizon}: "
                "those beyond rest on forecasts, and have no interval. Give fit a longer `horizon`",
                stacklevel=3,
            )
        return rows

    def _plans(self, table: Any) -> dict[str, History]:
        contract, _ = self._ready()
        if not contract.ahead:
            raise TorchliquidError(
                "future values of known features are given, and the forecaster was fitted without "
                "such features: leave them out, or fit anew with known=['COLUMN'] (--known COLUMN)"
            )
        return {one.label: one for one in contract.read(table, plan=True)}

    def _with_plan(self, history: History, plan: History | None, rows: int) -> History:
        """The series with known features as far as they are needed."""
        names = self._ready()[0].ahead
        if not names:
            return history
        history = history if plan is None else history.planned(plan)
        reaches = len(history.known) - len(history.y)
        if reaches < rows:
            raise TorchliquidError(
                f"{', '.join(names)} are known {max(reaches, 0)} of {rows} rows ahead: "
                "give their future, `known`, a table with these columns and times"
            )
        return history

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
        contract, state = self._ready()
        later = contract.read(rows)
        if contract.grid.kind == "rows":  # without times new rows follow the last one
            later = [replace(one, first=state.histories[one.label].end) for one in later]
        for history in later:
            if history.label not in state.histories:
                raise TorchliquidError(
                    f"{history.label!r} is no series of the forecaster: fit it anew"
                )
            end = state.histories[history.label].end
            if history.first < end:
                first, last = contract.grid.times(np.array([history.first, end - 1]))
                raise TorchliquidError(
                    f"the first new row{' of ' + history.label if history.label else ''} is at "
                    f"{first}, and rows are known up to {last}: expected later ones"
                )
        for history in later:
            state.take(history, contract.grid)
        return self

    # --- what it knows ----------------------------------------------------------------------

    @property
    def series(self) -> str | None:
        """The column that identifies series; None where there is one."""
        return self._ready()[0].shown.series

    @property
    def target(self) -> str:
        """The column that is forecast."""
        return self._ready()[0].shown.target

    @property
    def sentence(self) -> str:
        """What was chosen, and what it is worth, in words."""
        return self._ready()[1].sentence

    @property
    def notes(self) -> list[str]:
        """How the table was read, and what is to be known of the intervals."""
        return self._ready()[1].notes

    @property
    def coverage(self) -> dict[float, float]:
        """Share of the errors on the test part that the intervals of each level covered."""
        return dict(zip(self.levels, self._ready()[1].coverage, strict=True))

    @property
    def compared(self) -> pd.DataFrame:
        """What was compared: root mean squared errors over all horizons.

        In the target's unit; of several series in the deviations of each. ``valid`` is what the
        choice rests on, ``test`` has chosen nothing.
        """
        import pandas as pd

        contract, state = self._ready()
        scale = next(iter(contract.moments.values()))[1] if contract.is_one else 1.0
        return pd.DataFrame(
            {
                "model": [row.model for row in state.rows],
                "valid": [scale * row.valid for row in state.rows],
                "test": [scale * row.test for row in state.rows],
                "chosen": [row.model == state.chosen.name for row in state.rows],
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

    def lines(self, rows: Any = None) -> list[str]:
        """Return the last rows of each series and its forecast, drawn in characters.

        Args:
            rows: what `forecast` returned; None: a forecast as far as the horizon.
        """
        from torchliquid.forecast._plotting import lines_of

        return lines_of(self, rows)

    def save(self, folder: str | Path) -> Path:
        """Write it to a folder, and return the file; see `load_forecaster`."""
        from torchliquid.forecast._storing import save_forecaster

        return save_forecaster(self, folder)

    def export_c(
        self, folder: str | Path, *, name: str = "predictor", series: str | None = None
    ) -> Path:
        """Write the forecast in use as C99 (needs jinja2), with what builds and tests it.

        It starts where the forecaster is now, takes a row at a time and forecasts; it does not go
        on learning. Weights of the regression are factored where that adds at most a thousandth to
        the mean squared error. `torchliquid verify` proves it.

        Args:
            folder: to be made.
            name: what functions and files are called, a C identifier.
            series: which one, where there are several.

        Returns:
            The folder.

        Raises:
            TorchliquidError: a name or folder that does not do, or a series that is not known.
        """
        from torchliquid.forecast._export_c import export_c

        return export_c(self, folder, name=name, series=series)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: where it is fitted, what `save` writes."""
        if self._state is None:
            return dict(self.__dict__)
        from torchliquid.forecast._storing import to_bytes

        return {"content": to_bytes(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` gave."""
        if "content" in state:
            from torchliquid.forecast._storing import from_bytes

            state = from_bytes(state["content"], "the pickle").__dict__
        self.__dict__.update(state)

    def _ready(self) -> tuple[Contract, State]:
        """What it knows of its table, and of now."""
        if self._contract is None or self._state is None:
            raise TorchliquidError("the forecaster is not fitted: call fit first")
        return self._contract, self._state

    def __repr__(self) -> str:
        """Return what it forecasts and by what."""
        plain = f"Forecaster(horizon={self.horizon}, model={self.model!r})"
        if self._state is None:
            return plain
        contract, state = self._ready()
        return (
            f"{plain} of {contract.shown.target!r} every {contract.grid.words()}: "
            f"{state.chosen.name}"
        )


def _stacked(frames: Sequence[Any]) -> Any:
    import pandas as pd

    return pd.concat(frames, ignore_index=True)
