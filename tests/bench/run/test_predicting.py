"""A finished benchmark's models on another table: they say what they said in the run."""

import numpy as np
import pandas as pd
import pytest

from torchliquid.bench.config import Protocol, TableOptions
from torchliquid.bench.run.predicting import predict_table
from torchliquid.bench.run.runner import run
from torchliquid.bench.run.store import Store
from torchliquid.bench.tasks.kinds import KINDS
from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.cli.main import main
from torchliquid.errors import TorchliquidError
from torchliquid.export import to_c
from torchliquid.nn import load

MODELS = ["LTC-4", "LSTM-3", "ridge-AR", "interpolated-AR", "persistence", "mean", "seasonal"]


def written(path, *, even, rows=400, shops=("a",), start=0):
    rng = np.random.default_rng(0)
    t = np.arange(start, start + rows)
    parts = []
    for k, shop in enumerate(shops):
        minutes = 60 * t + (0 if even else rng.integers(0, 30, rows))
        y = 5 + k + np.sin(2 * np.pi * t / 12) + 0.1 * rng.normal(size=rows)
        frame = pd.DataFrame({"when": pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, "min")})
        frame["y"], frame["sky"] = y, np.where(rng.random(rows) < 0.5, "clear", "rain")
        parts.append(frame.assign(shop=shop))
    pd.concat(parts).to_csv(path, sep=";", index=False)
    return path


def run_on(tmp_path, table, **options):
    """What `bench csv` does, without its report."""
    given = TableOptions(file=table, target="y", time="when", features=("sky",), sep=";",
                         horizon=2, **options)  # fmt: skip
    task = KINDS["table"].make(given, tmp_path, 2, 0).task
    protocol = Protocol(lanes=2, epochs=3)
    run(task, MODELS, protocol, tmp_path / "out", processes=0)
    return tmp_path / "out"


@pytest.mark.parametrize("even", [True, False])
def test_models_say_of_the_runs_table_what_they_said_in_the_run(tmp_path, even):
    table = written(tmp_path / "t.csv", even=even)
    out = run_on(tmp_path, table)
    store = Store.existing(out)
    task = store.load_task()
    for name in MODELS:
        found = predict_table(out, table, name)
        assert len(found) == 400
        kept = store.load(name)
        lane = kept.facts.get("demo_lane", 0)
        wanted = kept.arrays["prediction_carry"][lane] * task.scale + task.offset
        np.testing.assert_allclose(found["y"][:398], wanted, atol=2e-5, err_msg=name)
    frame = pd.read_csv(table, sep=";", parse_dates=["when"])
    np.testing.assert_allclose(found["actual"][:398], frame["y"][2:])
    assert found["time"][:398].tolist() == frame["when"][2:].tolist()
    assert found["actual"][398:].isna().all()
    # a DataFrame, columns in another order, the target missing at the end
    frame.loc[399, "y"] = np.nan
    again = predict_table(out, frame[["sky", "y", "when"]], name)
    np.testing.assert_allclose(again["y"][:398], found["y"][:398], atol=1e-6)


@pytest.mark.parametrize("even", [True, False])
def test_a_saved_network_says_how_long_a_dt_of_1_is(tmp_path, even):
    out = run_on(tmp_path, written(tmp_path / "t.csv", even=even))
    store = Store.existing(out)
    model = load(out / "models/LTC-4/lane-001")
    arrays = store.load("LTC-4").arrays
    scale = float(arrays["dt_scale"][1]) if "dt_scale" in arrays else 1.0
    number, unit = model.scaling.dt_unit.split(" ", 1)
    assert unit == "seconds"
    assert float(number) * scale == pytest.approx(store.load_task().recipe["gap"], rel=1e-5)
    if even:
        assert float(number) * model.layer.dt == pytest.approx(3600, rel=1e-5)
    assert f"dt in units of {number} seconds" in repr(model)
    header = to_c(model, tmp_path / "c") / "src/model.h"
    assert f"in units of {number} seconds" in header.read_text()
    assert load(out / "models/LSTM-3/lane-000").scaling.dt_unit is None


def test_several_series_and_the_command(tmp_path, capsys):
    table = written(tmp_path / "t.csv", even=True, shops=("a", "b"))
    out = run_on(tmp_path, table, series="shop")
    new = written(tmp_path / "new.csv", even=True, rows=60, shops=("b", "c"), start=400)
    to = tmp_path / "p.csv"
    assert main(["predict", str(out), str(new), "--model", "LTC-4", "--out", str(to)]) == 0
    rows = pd.read_csv(to)
    assert rows.groupby("series").size().tolist() == [60, 60]
    assert (rows["y"] - rows["actual"]).abs().mean() < 1
    assert main(["predict", str(out), str(new), "--out", str(to)]) == 0
    assert "the lowest test error" in capsys.readouterr().out
    assert main(["predict", str(out), str(new), "--model", "GRU-4"]) == 2
    assert "model is 'GRU-4'" in capsys.readouterr().err
    assert main(["predict", str(out), str(new), "--ahead", "3"]) == 2


def test_results_of_another_task_are_refused(tmp_path):
    run(table_task(sunspots()), ["mean"], Protocol(lanes=1), tmp_path / "out", processes=0)
    with pytest.raises(TorchliquidError, match="holds no results of `bench csv`"):
        predict_table(tmp_path / "out", tmp_path / "t.csv")
