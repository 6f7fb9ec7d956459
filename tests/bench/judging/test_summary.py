"""The content of summary.json: its keys, its units, and that other programs can read it."""

import dataclasses
import json

import msgspec
import numpy as np
import pytest

from torchliquid import __version__
from torchliquid.bench.config import Protocol
from torchliquid.bench.judging.schema import Summary
from torchliquid.bench.judging.summary import summarise
from torchliquid.bench.models.registry import DEFAULT
from torchliquid.bench.run.runner import run
from torchliquid.bench.run.store import Run, Store

QUANTILES = {"median", "q10", "q90"}
MEASURES = ("train_mse", "test_mse_reset", "test_mse_carry")


def strict(summary):
    """As another program reads it: no NaN, no infinity, nothing lost, and what the schema says."""
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert msgspec.convert(summary, Summary) == summary  # only what the schema names is kept
    return summary


def stored(folder, task, rows, lanes=5):
    """A store with these errors: ``{"LTC-8": {"test_mse_carry": [..]}}``; 1 where none is given."""
    protocol = {"lanes": lanes, "epochs": 7, "learning_rate": 0.01, "seed": 0}
    store = Store(folder, {"task": task.spec, "protocol": protocol})
    store.save_task(task)
    for model, given in rows.items():
        arrays = {name: np.ones(lanes) for name in MEASURES} | {"diverged": np.zeros(lanes, bool)}
        arrays |= {name: np.asarray(value) for name, value in given.items()}
        facts = {"kind": "classical", "description": model, "parameters": 3, "bytes": 12,
                 "lanes": lanes, "seconds_per_epoch": None, "threads": 1}  # fmt: skip
        store.save(Run(model, facts, arrays))
    return store


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The summary of a run of the default models, as small as can be."""
    from torchliquid.bench.tasks.signal_task import article_task
    from torchliquid.bench.tasks.sines import SumOfSines

    task = article_task(SumOfSines(steps=40, train=25), lanes=5, seed=0)
    store = run(task, DEFAULT, Protocol(5, 2), tmp_path_factory.mktemp("real"), processes=0)
    return strict(summarise(store))


# --- the schema -------------------------------------------------------------------------------


def test_keys_of_the_whole(real):
    assert set(real) == {"schema", "created", "task", "models", "differences", "claims", "settled",
                         "series", "reference", "training", "environment", "edge"}  # fmt: skip
    assert real["schema"] == 1
    assert len(real["created"]) == len("2026-11-23T18:00:00Z")


def test_task(real):
    task = real["task"]
    expected = {
        "name": "article", "unit": "signal", "steps": 40, "train": 25, "valid": 0, "test": 15,
        "lanes": 5, "epochs": 2, "learning_rate": 0.01, "seed": 0, "has_clean": True,
        "shared_data": False, "scale": 1.0, "notes": [],
    }  # fmt: skip
    assert {key: task[key] for key in expected} == expected
    assert task["dt"] == pytest.approx(30 / 40)
    assert task["spec"]["sines"] == [[1.0, 1.0], [0.4, 2.5], [0.2, 10.0]]


def test_models(real):
    assert tuple(real["models"]) == DEFAULT
    counts = {name: row["parameters"] for name, row in real["models"].items()}
    assert counts["LTC-8"] == counts["LTC-8-euler"] == 105
    assert (counts["LSTM-16"], counts["LSTM-4"], counts["GRU-4"]) == (1233, 117, 89)
    assert counts["persistence"] == 0
    for name, row in real["models"].items():
        for measure in MEASURES:
            assert set(row[measure]) == set(row[f"{measure}_clean"]) == QUANTILES
        for measure in ("test_rmse_reset", "test_rmse_carry", "skill_reset", "skill_carry"):
            assert set(row[measure]) == QUANTILES
        assert (row["lanes"], row["diverged"]) == (5, 0)
        assert row["bytes"] == 4 * row["parameters"]
        assert row["description"]
        trained = name not in ("ridge-AR", "persistence")
        assert (row["seconds_per_epoch"] is not None) == trained
        if trained:
            assert row["seconds_per_epoch"] > 0


def test_claims_and_differences(real):
    assert len(real["claims"]) == 18
    assert len(real["settled"]) == 5
    for claim in real["claims"]:
        assert {"id", "claim", "verdict", "figure", "interval"} <= set(claim)
        assert len(claim["interval"]) == 2
    assert len(real["differences"]) == 2 * 7 * 6 / 2
    keys = {"first", "second", "measure", "ratio", "interval", "wins", "lanes"}
    assert all(set(row) == keys for row in real["differences"])


def test_environment(real):
    environment = real["environment"]
    assert environment["torchliquid"] == __version__
    assert {"python", "torch", "numpy", "cpu", "cores", "threads", "platform", "backend"} <= set(
        environment
    )


# --- the numbers ------------------------------------------------------------------------------


def test_quantiles_are_over_lanes(tmp_path, small):
    rows = {"LSTM-4": {"test_mse_carry": [5.0, 1.0, 2.0, 3.0, 4.0]}}
    found = strict(summarise(stored(tmp_path, small(), rows)))["models"]["LSTM-4"]
    assert found["test_mse_carry"] == {"median": 3.0, "q10": 1.4, "q90": 4.6}


def test_errors_are_in_the_unit_of_the_target(tmp_path, table):
    errors = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    rows = {"LSTM-4": dict.fromkeys(MEASURES, errors), "persistence": {}}
    found = {}
    for scale in (1.0, 3.0):
        store = stored(tmp_path / str(scale), table(scale=scale), rows)
        found[scale] = strict(summarise(store))["models"]["LSTM-4"]
    assert found[1.0]["train_mse"]["median"] == 4.0
    assert found[3.0]["train_mse"]["median"] == 36.0
    for state in ("reset", "carry"):
        assert found[3.0][f"test_mse_{state}"]["q90"] == pytest.approx(9 * 12.8)
        assert found[1.0][f"test_rmse_{state}"]["median"] == 2.0
        assert found[3.0][f"test_rmse_{state}"]["median"] == 6.0
        assert found[3.0][f"skill_{state}"] == found[1.0][f"skill_{state}"]
    assert "train_mse_clean" not in found[1.0]


def test_skill_against_persistence_lane_by_lane(tmp_path, small):
    rows = {
        "LSTM-4": {"test_mse_reset": [1, 2, 3, 4, 5.0], "test_mse_carry": [2, 4, 6, 8, 10.0]},
        "persistence": {"test_mse_reset": [4, 8, 12, 16, 20.0],
                        "test_mse_carry": [1, 2, 3, 4, 5.0]},
    }  # fmt: skip
    models = strict(summarise(stored(tmp_path, small(), rows)))["models"]
    assert models["LSTM-4"]["skill_reset"] == dict.fromkeys(QUANTILES, 0.75)
    assert models["LSTM-4"]["skill_carry"] == dict.fromkeys(QUANTILES, -1.0)
    assert models["persistence"]["skill_reset"] == dict.fromkeys(QUANTILES, 0.0)
    assert models["persistence"]["skill_carry"] == dict.fromkeys(QUANTILES, 0.0)


def test_skill_is_against_the_better_of_persistence_and_mean(tmp_path, small):
    errors = {"LSTM-4": 1.0, "persistence": 4.0, "mean": 2.0}
    rows = {name: {m: [e] * 5 for m in MEASURES} for name, e in errors.items()}
    found = strict(summarise(stored(tmp_path, small(), rows)))
    assert found["reference"] == "mean"
    assert found["models"]["LSTM-4"]["skill_carry"]["median"] == 0.5
    assert found["models"]["persistence"]["skill_carry"]["median"] == -1.0


def test_no_skill_where_the_test_part_never_changes(tmp_path, small):
    rows = {
        "LSTM-4": {m: [1.0] * 5 for m in MEASURES},
        "persistence": {m: [0.0] * 5 for m in MEASURES},
    }
    found = strict(summarise(stored(tmp_path, small(), rows)))["models"]["LSTM-4"]
    assert found["skill_carry"] == dict.fromkeys(QUANTILES)


def test_low_quantile_of_skill_is_the_low_one(tmp_path, small):
    rows = {"LSTM-4": {"test_mse_carry": [0.1, 0.2, 0.3, 0.4, 0.5]}, "persistence": {}}
    found = strict(summarise(stored(tmp_path, small(), rows)))["models"]["LSTM-4"]["skill_carry"]
    assert found == pytest.approx({"median": 0.7, "q10": 0.54, "q90": 0.86})


def test_no_skill_without_persistence(tmp_path, small):
    found = summarise(stored(tmp_path, small(), {"LSTM-4": {}}))["models"]["LSTM-4"]
    assert "skill_carry" not in found


def test_differences_are_paired(tmp_path, small):
    rows = {
        "LSTM-4": {"test_mse_carry": [1, 20, 300, 4000, 50000.0, 6.0]},
        "GRU-4": {"test_mse_carry": [2, 40, 600, 8000, 25000.0, 12.0]},
    }
    found = strict(summarise(stored(tmp_path, small(), rows)))["differences"]
    (carry,) = [row for row in found if row["measure"] == "test_mse_carry"]
    assert (carry["first"], carry["second"], carry["lanes"]) == ("LSTM-4", "GRU-4", 6)
    assert (carry["ratio"], carry["wins"]) == (0.5, round(5 / 6, 6))
    assert carry["interval"] == [0.5, 2.0]


# --- lanes that diverged ----------------------------------------------------------------------


def test_lanes_that_diverged_are_counted_and_never_dropped(tmp_path, small):
    lost = [np.inf, 1.0, 2.0, 3.0, 4.0]
    rows = {
        "LSTM-4": dict.fromkeys(MEASURES, lost) | {"diverged": np.isinf(lost)},
        "persistence": {},
    }
    found = strict(summarise(stored(tmp_path, small(), rows)))
    row = found["models"]["LSTM-4"]
    assert row["diverged"] == 1
    assert row["test_mse_carry"] == {"median": 3.0, "q10": 1.4, "q90": None}  # of five, not four
    assert row["test_rmse_carry"]["q90"] is None
    assert row["skill_carry"] == {"median": -2.0, "q10": None, "q90": -0.4}


def test_all_lanes_diverged(tmp_path, small):
    lost = {name: np.full(5, np.inf) for name in MEASURES} | {"diverged": np.ones(5, bool)}
    found = strict(summarise(stored(tmp_path, small(), {"LSTM-4": lost, "persistence": {}})))
    row = found["models"]["LSTM-4"]
    assert row["diverged"] == row["lanes"] == 5
    for key in (*MEASURES, "test_rmse_reset", "skill_carry", "skill_reset"):
        assert row[key] == dict.fromkeys(QUANTILES)


# --- order ------------------------------------------------------------------------------------


def test_models_stand_in_the_order_of_a_default_run_and_others_behind(tmp_path, small):
    rows = {name: {} for name in ("GRU-9", "persistence", "LSTM-2", "GRU-4", "LSTM-16")}
    found = summarise(stored(tmp_path, small(), rows))
    assert list(found["models"]) == ["LSTM-16", "GRU-4", "persistence", "GRU-9", "LSTM-2"]


def test_irregular_time_is_said(tmp_path, table):
    task = table(notes=("One rule.", "Another."))
    found = summarise(stored(tmp_path, task, {"LSTM-4": {}}))["task"]
    assert found["dt"] == "irregular"
    assert found["notes"] == ["One rule.", "Another."]
    assert found["shared_data"] is True
    regular = dataclasses.replace(task, dt=0.25)
    assert summarise(stored(tmp_path / "r", regular, {"LSTM-4": {}}))["task"]["dt"] == 0.25
