"""A forecaster as C: what it forecasts is what Python does with the same weights."""

import json

import numpy as np
import pandas as pd
import pytest

from torchliquid.cli.main import main
from torchliquid.errors import TorchliquidError
from torchliquid.export.verify import _host as host
from torchliquid.export.verify.verification import _fuzzed, opened, vectors
from torchliquid.forecast.forecaster import Forecaster

pytest.importorskip("pandas")
pytest.importorskip("jinja2")
pytestmark = pytest.mark.skipif(not host.compilers(), reason="no C compiler")
SANITIZED = ("-O1", "-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all")


def hourly(rows=2100, *, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    y = 500 + 40 * np.sin(2 * np.pi * t / 24) + 20 * np.sin(2 * np.pi * t / 168)
    table = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=rows, freq="h"), "y": y})
    table["temp"] = np.cos(t / 30) + 0.1 * rng.normal(size=rows)
    table["plan"] = rng.integers(0, 2, rows).astype(float)
    table["y"] += 10 * table["plan"] + 5 * rng.normal(size=rows)
    left = rng.random(rows) >= missing
    left[[0, rows - 1]] = True
    return table[left]


def written(tmp_path, forecaster, **options):
    folder = forecaster.export_c(tmp_path / "c", **options)
    return opened(folder)


def off(exported, flags=("-O2",)):
    """The largest difference from Python, and what is allowed."""
    samples = vectors(exported)
    found = host.run(exported, samples.given, samples.dt, flags)
    assert np.isfinite(found).all()
    return np.abs(found - samples.torch).max(), exported.facts["tolerance"]


@pytest.mark.parametrize("model", ["seasonal", "ridge", "ltc", "filter", "auto"])
def test_c_forecasts_what_python_does(tmp_path, model):
    missing = {"filter": 0.3, "auto": 0.3}.get(model, 0.0)
    options = {"every": "1h"} if missing else {}
    features = {} if model == "seasonal" else {"past": ["temp"], "known": ["plan"]}
    forecaster = Forecaster(24, model, bounds=(0, None))
    forecaster.fit(hourly(missing=missing), **features, **options)
    exported = written(tmp_path, forecaster, name="load")
    largest, allowed = off(exported)
    assert largest <= allowed
    assert np.isnan(vectors(exported).given[60:, 0]).any()
    # nothing that can be put in traps, or leads out of bounds
    outputs = host.run(exported, *_fuzzed(exported, 500), SANITIZED)
    assert np.isfinite(outputs).all()
    assert outputs.min() >= 0
    assert np.abs(outputs).max() <= exported.facts["bound"]


def test_the_first_forecast_is_the_one_after_the_last_row(tmp_path):
    table = hourly()
    forecaster = Forecaster(6).fit(table[["ds", "y"]][:1700])
    exported = written(tmp_path, forecaster)
    phases = [((1701 + k) % length) / length for k, length in ((0, 24), (0, 168))]
    row = np.array([[table["y"].iloc[1700], *phases]], dtype=np.float32)
    found = host.run(exported, row, np.ones(1, np.float32))[0]
    for regression in forecaster._state.chosen.regressions:
        regression.streamed = False
    wanted = forecaster.update(table[["ds", "y"]][1700:1701]).forecast()["y"]
    # weights are factored: at most a thousandth of the mean squared error more
    assert np.abs(found - wanted).max() < 0.1 * 5
    text = (tmp_path / "c/src/predictor.h").read_text()
    assert "up to 2024-03-11 19:00:00" in text


def test_fewer_combinations_add_at_most_a_thousandth(tmp_path):
    forecaster = Forecaster(48, "ridge").fit(hourly()[["ds", "y"]])
    exported = written(tmp_path, forecaster)
    assert exported.facts["rank"] < 40
    assert 0 < exported.facts["added_error"] <= 1e-3
    ridge = forecaster._state.chosen.regressions[0].ridge
    assert exported.facts["parameters"] < 0.85 * ridge.parameters


def test_one_of_several_series(tmp_path):
    parts = [hourly(600, seed=k)[["ds", "y"]].assign(unique_id=k) for k in "ab" for k in [ord(k)]]
    forecaster = Forecaster(5).fit(pd.concat(parts))
    with pytest.raises(TorchliquidError, match="give one of the 2 that the forecaster has"):
        forecaster.export_c(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    largest, allowed = off(written(tmp_path, forecaster, series="98"))
    assert largest <= allowed


def test_command(tmp_path, capsys):
    forecaster = Forecaster(3).fit(hourly(400)[["ds", "y"]])
    forecaster.save(tmp_path / "model")
    where = ["export", str(tmp_path / "model"), "--out", str(tmp_path / "c")]
    assert main([*where, "--name", "pump"]) == 0
    assert "next command: torchliquid verify" in capsys.readouterr().out
    assert json.loads((tmp_path / "c/report.json").read_text())["name"] == "pump"
    assert main([*where, "--dtype", "q8"]) == 2
    assert "leave --dtype out" in capsys.readouterr().err
