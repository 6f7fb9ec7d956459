"""What exported models of a benchmark cost, and what that says of the claim."""

import json
import shutil

import numpy as np
import pytest

from torchliquid.bench.judging.device_claims import edge
from torchliquid.bench.run.store import Store
from torchliquid.cli import main

TOOLS = shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")
needs_tools = pytest.mark.skipif(not TOOLS, reason="no compiler or emulator for Cortex-M")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge") / "r"
    command = ["bench", "article", "--lanes", "2", "--epochs", "3", "--processes", "0"]
    models = ["--models", "LTC-8", "LSTM-16", "GRU-2", "ridge-AR"]
    assert main([*command, *models, "--out", str(folder)]) == 0
    return folder


@needs_tools
def test_models_are_measured_and_the_report_tells(results, capsys):
    assert '"edge": null' in (results / "summary.json").read_text()
    assert "On a microcontroller" not in (results / "report.html").read_text()
    assert main(["bench", "edge", str(results)]) == 0
    said = capsys.readouterr().out
    assert "LTC-8 takes less flash and fewer instructions than LSTM-16" in said
    rows = json.loads((results / "edge.json").read_text())["rows"]
    assert {(row["model"], row["dtype"]) for row in rows} == {
        (model, dtype) for model in ("LTC-8", "LSTM-16", "GRU-2") for dtype in ("float32", "q8")
    }
    store = Store.existing(results)
    for row in rows:
        errors = store.load(row["model"]).arrays["test_mse_carry"]
        close = 1e-4 if row["dtype"] == "float32" else 0.05
        assert row["test_mse"] == pytest.approx(errors[row["lane"]], rel=close)
        assert row["flash"] > 500
        assert row["instructions"] > 100
    page = (results / "report.html").read_text()
    assert page.count('id="on-a-microcontroller"') == 1
    assert (results / "figures" / "edge.svg").exists()


def row(model, dtype="float32", flash=1000, instructions=1000, test_mse=1.0):
    return locals() | {"kind": "liquid" if "LTC" in model else "recurrent"}


def judged(tmp_path, *rows):
    (tmp_path / "edge.json").write_text(json.dumps({"rows": rows}))
    return [(claim["verdict"], claim["proof"]) for claim in edge(tmp_path)["claims"]]


def test_the_claim_is_judged_by_both_costs(tmp_path):
    ours = row("LTC-8")
    (verdict, proof), _ = judged(tmp_path, ours, row("LSTM-16", flash=4000, instructions=9000))
    assert verdict == "holds"
    assert "4.0 times the flash and 9.0 times the instructions" in proof
    (verdict, _), _ = judged(tmp_path, ours, row("LSTM-16", flash=900, instructions=9000))
    assert verdict == "does not hold"


def test_the_sceptic_looks_for_one_that_is_better_in_all(tmp_path):
    ours = row("LTC-8")
    ((verdict, proof),) = judged(tmp_path, ours, row("GRU-4", flash=900, test_mse=0.5))
    assert verdict == "does not hold"
    assert "GRU-4 takes the fewest instructions: 1.00 times" in proof
    ((verdict, proof),) = judged(tmp_path, ours, row("GRU-4", flash=1100, test_mse=0.5))
    assert verdict == "holds"
    ((verdict, proof),) = judged(tmp_path, ours, row("GRU-4", flash=900, test_mse=2.0))
    assert (verdict, proof) == ("holds", "None of another kind has as low a test error.")
    assert judged(tmp_path, row("GRU-4")) == []
    (tmp_path / "edge.json").write_text("{")
    assert edge(tmp_path) is None


def test_missing_tools_are_named(results, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert main(["bench", "edge", str(results)]) == 2
    assert "arm-none-eabi-gcc is not installed: install" in capsys.readouterr().err


def test_a_folder_without_results_is_said(tmp_path, capsys):
    assert main(["bench", "edge", str(tmp_path / "none")]) == 2
    assert "no results there" in capsys.readouterr().err


@needs_tools
def test_irregular_times_are_refused(tmp_path, capsys):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.5, 2.0, 80))
    lines = [f"{t:.3f},{np.sin(t):.4f}" for t in times]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["t,y", *lines]) + "\n")
    folder = str(tmp_path / "r")
    command = ["bench", "csv", str(table), "--target", "y", "--time", "t", "--out", folder]
    options = ["--models", "LTC-2", "--lanes", "1", "--epochs", "1", "--trials", "1"]
    assert main([*command, *options, "--processes", "0"]) == 0
    assert main(["bench", "edge", folder]) == 2
    assert "irregular times" in capsys.readouterr().err
