"""Forecasts without networks: what a sceptic tries first, and what a network has to beat."""

from torchliquid.forecast.naive import season
from torchliquid.forecast.oscillators import Oscillators, fit_oscillators
from torchliquid.forecast.regressors import InterpolatedLags, Lags, Regressors
from torchliquid.forecast.ridge import PENALTIES, Ridge, fit_ridge

__all__ = [
    "PENALTIES",
    "InterpolatedLags",
    "Lags",
    "Oscillators",
    "Regressors",
    "Ridge",
    "fit_oscillators",
    "fit_ridge",
    "season",
]
