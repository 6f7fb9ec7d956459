"""Forecasts: `Forecaster` for tables, and what a network has to beat."""

from torchliquid.forecast._storing import is_forecaster, load_forecaster
from torchliquid.forecast.forecaster import Forecaster
from torchliquid.forecast.naive import season
from torchliquid.forecast.oscillators import Oscillators, fit_oscillators
from torchliquid.forecast.regressors import InterpolatedLags, Lags, Regressors
from torchliquid.forecast.ridge import PENALTIES, Ridge, fit_ridge

__all__ = [
    "PENALTIES",
    "Forecaster",
    "InterpolatedLags",
    "Lags",
    "Oscillators",
    "Regressors",
    "Ridge",
    "fit_oscillators",
    "fit_ridge",
    "is_forecaster",
    "load_forecaster",
    "season",
]
