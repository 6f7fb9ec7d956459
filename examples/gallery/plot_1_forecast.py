"""
From a table to a forecast with intervals
=========================================

Eight weeks of hourly load, the last two days of which nobody shows to the
forecaster.
"""

# %%
# A table with a time column and a value column is all that it takes. Seasons, lags and models are
# chosen on a validation part; the intervals are calibrated on the model's own errors.

import numpy as np
import pandas as pd

import torchliquid as tl

rng = np.random.default_rng(0)
hours = pd.date_range("2026-01-05", periods=56 * 24, freq="h")
day, week = np.arange(len(hours)) / 24, hours.dayofweek.to_numpy()
shape = np.sin(2 * np.pi * (day - 0.3)) + 0.4 * np.sin(4 * np.pi * day)
shocks = rng.normal(0, 0.25, len(hours))
noise = np.convolve(shocks, 0.8 ** np.arange(12), "same")
load = 20 + 4 * shape * np.where(week < 5, 1, 0.5) + noise
table = pd.DataFrame({"time": hours, "load": load})

forecaster = tl.Forecaster(horizon=48, intervals=(0.8, 0.95))
forecaster.fit(table[:-48], target="load", time="time")
forecaster.compared.round(2)

# %%
# The forecast of the next two days, and what then came:

axes = forecaster.plot()
axes.plot(hours[-48:], load[-48:], ".", color="#8a5a00", label="what came")
axes.set_title("Two days ahead, with 80 and 95 % intervals")
axes.legend()
axes.figure

# %%
# New rows are taken in without fitting anew:

forecaster.update(table[-48:])
forecaster.forecast(steps=3)
