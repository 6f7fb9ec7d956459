"""Forecasters and layers for darts (needs darts: ``pip install torchliquid[darts]``).

`LiquidForecaster` is `torchliquid.Forecaster` as a local model. `LiquidRNN` and its like are given
to darts' own `RNNModel`, which trains and saves them (that needs darts' extra ``torch``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from darts.models.forecasting.forecasting_model import FutureCovariatesLocalForecastingModel
from darts.utils.serialization import add_safe_globals

from torchliquid.forecast import Forecaster


class LiquidForecaster(FutureCovariatesLocalForecastingModel):  # type: ignore[misc]
    """Forecast one series by `torchliquid.Forecaster`; future covariates are known beforehand.

    Args:
        horizon: how many rows ahead it is fitted for; rows beyond are forecast from forecasts.
        model: see `torchliquid.Forecaster`, like the next two.
        bounds: lowest and highest value.
        seed: of a network's first weights.
        add_encoders: see darts.
    """

    def __init__(
        self, horizon: int = 24, model: str = "auto",
        bounds: tuple[float | None, float | None] | None = None, seed: int = 0,
        add_encoders: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(add_encoders=add_encoders)
        self.horizon, self.choice, self.bounds, self.seed = horizon, model, bounds, seed
        self.model: Forecaster | None = None

    def _fit(
        self, series: Any, future_covariates: Any = None, verbose: bool | None = None
    ) -> LiquidForecaster:
        self._assert_univariate(series)
        self.features = 0 if future_covariates is None else future_covariates.n_components
        table = _table(series, future_covariates)
        self.model = Forecaster(self.horizon, self.choice, bounds=self.bounds, seed=self.seed)
        self.model.fit(table, "y", "when", known=list(table.columns[2:]))
        return self

    def _predict(
        self, n: int, future_covariates: Any = None, num_samples: int = 1, **_: Any
    ) -> Any:  # fmt: skip
        assert self.model is not None  # noqa: S101  (darts has checked that it is fitted)
        plan = None if future_covariates is None else _table(None, future_covariates)
        rows = self.model.forecast(n, known=plan)
        return self._build_forecast_series(rows["y"].to_numpy())

    @property
    def supports_multivariate(self) -> bool:
        """No: one column is forecast."""
        return False

    @property
    def min_train_series_length(self) -> int:
        """Rows from which the default compares forecasts at this horizon, about."""
        return 3 if self.choice in ("last", "seasonal") else 5 * (self.horizon + 10)


add_safe_globals([LiquidForecaster, Forecaster])


def _table(series: Any, covariates: Any) -> Any:
    some = series if series is not None else covariates
    index = some.time_index
    columns: dict[str, Any] = {"when": np.asarray(index) if some.has_range_index else index}
    if series is not None:
        columns["y"] = series.values()[:, 0]
    if covariates is not None:
        columns |= {f"x{k}": column for k, column in enumerate(covariates.values().T)}
    return pd.DataFrame(columns)


def __getattr__(name: str) -> Any:
    """Make the modules for `RNNModel`, which need more of darts, when they are asked for."""
    if name not in _LAYERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from darts.models.forecasting.rnn_model import _RNNModule

    from torchliquid import nn

    layer = getattr(nn, _LAYERS[name])

    def start(self: Any, name: str = "RNN", **arguments: Any) -> None:
        _RNNModule.__init__(self, name=name, **arguments)
        self.rnn = layer(
            self.input_size, self.hidden_dim, num_layers=self.num_layers, batch_first=True
        )

    about = f"`torchliquid.{_LAYERS[name]}` for `RNNModel(model={name})`."
    members = {"__init__": start, "__module__": __name__, "__doc__": about}
    module = type(name, (_RNNModule,), members)
    add_safe_globals([module])  # so that darts' safe loading accepts it
    globals()[name] = module
    return module


_LAYERS = {"LiquidRNN": "LTC", "ContinuousRNN": "CTRNN"}
__all__ = ["LiquidForecaster", *_LAYERS]
