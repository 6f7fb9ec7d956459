"""`Forecaster` as a forecaster of sktime (needs sktime: ``pip install torchliquid[sktime]``)."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import BaseForecaster

from torchliquid.errors import TorchliquidError
from torchliquid.forecast import Forecaster
from torchliquid.forecast._intervals import _quantiles


class LiquidForecaster(BaseForecaster):  # type: ignore[misc]
    """Forecast by `torchliquid.Forecaster`.

    Columns of X are features that are known beforehand. A series that is too short for what
    ``model`` asks for is forecast by its last value, with a warning. ``update`` with
    ``update_params=True`` learns from new rows, in constant time a row.

    Args:
        model: see `torchliquid.Forecaster`, like the next two.
        bounds: lowest and highest value.
        seed: of a network's first weights.

    Examples:
    --------
    >>> from sktime.datasets import load_airline
    >>> from torchliquid.hosts.sktime import LiquidForecaster
    >>> y = load_airline()
    >>> forecaster = LiquidForecaster().fit(y[:-12], fh=[1, 2, 3])
    >>> forecaster.predict().round().tolist()
    [391.0, 373.0, 442.0]
    """

    _tags = {  # noqa: RUF012  (sktime's own way)
        "authors": ["torchliquid"],
        "python_dependencies": ["torch"],
        "y_inner_mtype": "pd.Series",
        "X_inner_mtype": "pd.DataFrame",
        "scitype:y": "univariate",
        "requires-fh-in-fit": True,
        "capability:exogenous": True,
        "capability:missing_values": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:random_state": False,
        "enforce_index_type": None,
        "X-y-must-have-same-index": True,
    }

    def __init__(
        self, model: str = "auto", bounds: tuple[float | None, float | None] | None = None,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.model, self.bounds, self.seed = model, bounds, seed
        super().__init__()

    def _fit(self, y: Any, X: Any, fh: Any) -> LiquidForecaster:
        horizon = max(1, int(max(fh.to_relative(self.cutoff))))
        features = [] if X is None else [f"x{k}" for k in range(X.shape[1])]
        table = _table(y, X)
        options: dict[str, Any] = {"target": "y", "time": "when", "known": features}
        try:
            self.forecaster_ = Forecaster(horizon, self.model, bounds=self.bounds, seed=self.seed)
            self.forecaster_.fit(table, **options)
        except TorchliquidError as error:
            if "needed" not in str(error):
                raise
            warnings.warn(f"forecast by its last value: {error}", stacklevel=2)
            self.forecaster_ = Forecaster(horizon, "last", bounds=self.bounds)
            self.forecaster_.fit(table, **options)
        self.features_ = features
        return self

    def _update(self, y: Any, X: Any = None, update_params: bool = True) -> LiquidForecaster:
        # rows that are known already come again in `update_predict`
        contract, state = self.forecaster_._ready()
        end = contract.grid.times(np.array([state.histories[""].end]))[0]
        rows = _table(y, X)
        rows = rows[rows["when"] >= end]
        if not len(rows):
            return self
        if not update_params:  # the state goes on, the weights do not
            self.forecaster_ = copy.deepcopy(self.forecaster_)
            for regression in self.forecaster_._ready()[1].chosen.regressions:
                regression.streamed = False
        self.forecaster_.update(rows)
        return self

    def _predict(self, fh: Any, X: Any) -> Any:
        return self._ahead(fh, X)[0]

    def _ahead(self, fh: Any, X: Any) -> tuple[Any, Any]:
        """Forecasts of the rows that are asked for, and how far ahead each is."""
        steps = fh.to_relative(self.cutoff).to_numpy().astype(int)
        if steps.min() < 1:
            raise NotImplementedError(
                "LiquidForecaster forecasts rows that come: in-sample forecasts are those of "
                "`torchliquid.Forecaster.predict`"
            )
        index = fh.to_absolute_index(self.cutoff)
        plan = None if not self.features_ else _plan(X, self.features_, self._y, int(steps.max()))
        rows = self._at_cutoff().forecast(int(steps.max()), known=plan)
        return pd.Series(rows["y"].to_numpy()[steps - 1], index=index, name=self._y.name), steps

    def _at_cutoff(self) -> Forecaster:
        """The forecaster as it is at the cutoff, which may lie before rows that it knows."""
        contract, state = self.forecaster_._ready()
        cutoff = contract.position(_when(pd.Index(self.cutoff))[0])
        if state.histories[""].end - 1 <= cutoff:
            return self.forecaster_
        found = copy.deepcopy(self.forecaster_)
        contract, state = found._ready()
        kept = self._y[self._y.index <= self.cutoff[0]]
        features = None if self._X is None else self._X.loc[kept.index]
        whole = contract.read(_table(kept, features))[0]
        state.histories[""], state.carried[""] = state.chosen.prepared(whole, contract.grid)
        return found

    def _predict_interval(self, fh: Any, X: Any, coverage: Any) -> Any:
        point, steps = self._ahead(fh, X)
        contract, state = self.forecaster_._ready()
        _, scale = contract.moments_of("")
        scores = state.intervals[""].ordered
        widths = scale * _quantiles(scores, 1 - np.asarray(coverage))[:, steps - 1]
        name = self._get_varnames()[0]
        found = {}
        for level, width in zip(coverage, np.nan_to_num(widths), strict=True):
            found[(name, level, "lower")] = point.to_numpy() - width
            found[(name, level, "upper")] = point.to_numpy() + width
        columns = pd.MultiIndex.from_product([[name], coverage, ["lower", "upper"]])
        return pd.DataFrame(found, index=point.index, columns=columns)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return arguments that sktime's own checks try."""
        return [{}, {"model": "filter", "bounds": (0.0, None)}]


def _when(index: Any) -> Any:
    """Times of rows, as a table has them."""
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    return index


def _table(y: Any, X: Any) -> Any:
    columns = {"when": _when(y.index), "y": y.to_numpy(dtype=float)}
    if X is not None:
        columns |= {f"x{k}": X.iloc[:, k].to_numpy(dtype=float) for k in range(X.shape[1])}
    return pd.DataFrame(columns)


def _plan(X: Any, features: list[str], y: Any, rows: int) -> Any:
    """The future of known features, as far as X tells it; its last row is repeated."""
    if X is None:
        raise ValueError("X is missing: it was given to fit, so that its future is needed")
    plan = pd.DataFrame({"when": _when(X.index)})
    for k, name in enumerate(features):
        plan[name] = X.iloc[:, k].to_numpy(dtype=float)
    return plan
