"""`torchliquid.compare`: the command's results, from a DataFrame, in one call."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import torchliquid as tl
from torchliquid.cli import main

MODELS = ("LTC-2", "LSTM-2", "ridge-AR", "persistence")
SHORT = {"epochs": 3, "lanes": 2, "trials": 1}


def table(rows=300):
    rng = np.random.default_rng(0)
    hours = pd.date_range("2026-01-01", periods=rows, freq="h")
    wave = 20 + 5 * np.sin(np.arange(rows) / 24 * 2 * np.pi) + 0.2 * rng.standard_normal(rows)
    return pd.DataFrame({"when": hours, "degrees": wave, "plan": np.arange(rows) % 24})


@pytest.fixture(scope="module")
def found():
    return tl.compare(table(), "degrees", "when", features="plan", models=MODELS, **SHORT)


def test_it_is_the_commands_benchmark(found, tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    command = ["bench", "csv", str(tmp_path / "t.csv"), "--target", "degrees", "--time", "when"]
    options = ["--features", "plan", "--epochs", "3", "--lanes", "2", "--trials", "1"]
    out = tmp_path / "out"
    assert main([*command, *options, "--models", *MODELS, "--out", str(out)]) == 0
    import json

    by_command = json.loads((out / "summary.json").read_text())["models"]
    assert set(found.table.index) == set(by_command)
    for name, row in found.table.iterrows():
        assert row["test RMSE"] == pytest.approx(by_command[name]["test_rmse_carry"]["median"])
        assert row["parameters"] == by_command[name]["parameters"]
    assert found.table["test RMSE"].is_monotonic_increasing
    assert found.best == found.table.index[0] == "ridge-AR"


def test_what_it_gives(found):
    assert "best: ridge-AR" in repr(found)
    assert "<table" in found._repr_html_()
    assert "&" not in found._repr_html_().replace("&lt;", "").replace("&amp;", "")
    assert isinstance(found.model("LTC-2"), tl.SequenceModel)
    assert found.model().layer.hidden_size == 2
    predicted = found.predict(table().tail(80))
    assert predicted["degrees"].notna().all()
    assert found.report().read_text().count('<script type="module">') == 1
    forecaster = found.forecaster(horizon=6, model="ridge")
    assert len(forecaster.forecast()) == 6


def test_an_array_and_results_that_are_taken_up_again(tmp_path):
    values = table()[["degrees"]].to_numpy()
    options = {"models": ["LTC-2"], "folder": tmp_path / "r", **SHORT}
    first = tl.compare(values, "x0", **options)
    again = tl.compare(values, "x0", **options)
    assert first.folder == again.folder == tmp_path / "r"
    pd.testing.assert_frame_equal(first.table, again.table)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"lanes": "x"}, "give an integer"),
        ({"models": ["LTCC-3"]}, "nearest: LTC"),
        ({"models": "persistence", "features": ["plans"]}, "did you mean 'plan'"),
        ({"time": 3}, "give the name of a column"),
        ({"processes": -1}, "give a number of workers"),
        ({"file": "t.csv"}, "no key 'file'"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(tl.TorchliquidError, match=words):
        tl.compare(table(), "degrees", **options)


def test_a_model_that_is_no_network(found):
    with pytest.raises(tl.TorchliquidError, match="expected a network of these results: "):
        found.model("ridge-AR")


def test_without_the_extra_it_is_said_what_to_install():
    script = (
        "import sys; sys.modules['pandas'] = None; sys.modules['matplotlib'] = None\n"
        "import torchliquid\ntry:\n    torchliquid.compare\n"
        "except torchliquid.TorchliquidError as error:\n    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "compare needs" in run.stdout
    assert "[bench]" in run.stdout
