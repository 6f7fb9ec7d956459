"""The runner: resumable, the same with and without workers, and nothing lost on the way."""

import dataclasses
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

import torchliquid as tl
from torchliquid.bench.config import Protocol
from torchliquid.bench.judging.summary import summarise
from torchliquid.bench.run import runner
from torchliquid.bench.run.runner import run
from torchliquid.bench.run.windows import predict
from torchliquid.errors import TorchliquidError

MODELS = ("LTC-2", "LSTM-2", "ridge-AR", "persistence")
PROTOCOL = Protocol(lanes=3, epochs=4)


@pytest.fixture
def jobs(monkeypatch):
    """Names of the models that were run, in order."""
    done, honest = [], runner.job

    def counted(task, model, *rest):
        done.append(model.name)
        return honest(task, model, *rest)

    monkeypatch.setattr(runner, "job", counted)
    return done


MEASURED = ("seconds_per_epoch", "seconds_evaluating", "seconds_alone", "threads", "made")
"""Facts that differ from run to run."""


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "runs").iterdir()}


def rows(store):
    """All arrays of all runs, and the facts but for the time it took."""
    found = {}
    for model in store.models():
        loaded = store.load(model)
        found[model, "facts"] = loaded.facts | dict.fromkeys(MEASURED)
        found |= {(model, name): value for name, value in loaded.arrays.items()}
    return found


def assert_equal_rows(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_equal(other[key], value, err_msg=str(key))


# --- what a run holds -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of all kinds of models, and what it was heard to report."""
    from torchliquid.bench.tasks.signal_task import article_task
    from torchliquid.bench.tasks.sines import SumOfSines

    task = article_task(SumOfSines(steps=60, train=40), lanes=3, seed=0)
    heard = []
    folder = tmp_path_factory.mktemp("whole")
    report = lambda model, epoch: heard.append((model, epoch))  # noqa: E731
    return run(task, MODELS, PROTOCOL, folder, processes=0, report=report), heard


def test_every_model_has_its_rows(whole):
    store, _ = whole
    assert set(store.models()) == set(MODELS)
    for model in MODELS:
        arrays = store.load(model).arrays
        for measure in ("train_mse", "test_mse_reset", "test_mse_carry"):
            assert arrays[measure].shape == arrays[f"{measure}_clean"].shape == (3,)
        assert arrays["prediction_carry"].shape == (3, 60)
        assert arrays["prediction_reset"].shape == (3, 20)
        assert not arrays["diverged"].any()
        assert ("curve_train" in arrays) == (model in ("LTC-2", "LSTM-2"))
        assert ("tau" in arrays) == (model == "LTC-2")


def test_figures_are_those_of_the_predictions(whole):
    store, _ = whole
    task = store.load_task()
    for model in MODELS:
        arrays = store.load(model).arrays
        error = (arrays["prediction_carry"].astype(float) - task.targets) ** 2
        np.testing.assert_allclose(arrays["train_mse"], error[:, :40].mean(axis=1))
        np.testing.assert_allclose(arrays["test_mse_carry"], error[:, 40:].mean(axis=1))
        reset = (arrays["prediction_reset"].astype(float) - task.targets[:, 40:]) ** 2
        np.testing.assert_allclose(arrays["test_mse_reset"], reset.mean(axis=1))


def test_saved_models_make_the_stored_predictions(whole):
    store, _ = whole
    task = store.load_task()
    for model in ("LTC-2", "LSTM-2"):
        stored = store.load(model).arrays["prediction_carry"]
        names = sorted(path.name for path in store.model_folder(model).iterdir())
        assert names == ["lane-000", "lane-001", "lane-002"]
        for lane, name in enumerate(names):
            loaded = tl.load(store.model_folder(model) / name)
            x = torch.from_numpy(task.inputs[lane])
            with torch.no_grad():
                np.testing.assert_allclose(loaded(x)[0][:, 0], stored[lane], atol=1e-6)
    assert not store.model_folder("persistence").exists()


@pytest.mark.parametrize("fed", ["", "-interpolated"])
def test_a_saved_lane_has_the_time_that_it_chose(small, tmp_path, fed):
    task, name = small(lanes=3), f"LTC-2{fed}"
    store = run(task, [name], Protocol(3, 5, trials=4), tmp_path, processes=0)
    arrays = store.load(name).arrays
    assert len(set(arrays["layer_dt"].tolist())) > 1
    for lane in range(3):
        loaded = tl.load(store.model_folder(name) / f"lane-{lane:03d}")
        assert loaded.layer.dt == pytest.approx(arrays["layer_dt"][lane])
        if not fed:
            with torch.no_grad():
                y = loaded(torch.from_numpy(task.inputs[lane]))[0][:, 0].numpy()
            np.testing.assert_allclose(y, arrays["prediction_carry"][lane], atol=1e-5)


def test_the_lane_shown_is_neither_the_best_nor_the_worst(whole):
    for model in ("LTC-2", "LSTM-2"):
        loaded = whole[0].load(model)
        errors = loaded.arrays["test_mse_carry"]
        assert errors[loaded.facts["demo_lane"]] == np.median(errors)


def test_progress_is_reported_for_every_model(whole):
    _, heard = whole
    assert {name for name, _ in heard} == set(MODELS)
    assert [epoch for name, epoch in heard if name == "LTC-2"] == [1, 2, 3, 4]
    for name in MODELS:
        assert max(epoch for model, epoch in heard if model == name) == 4


def test_shared_data_give_every_lane_its_row(tmp_path, table):
    store = run(table(), MODELS, PROTOCOL, tmp_path, processes=0)
    for model in MODELS:
        arrays = store.load(model).arrays
        assert arrays["prediction_carry"].shape == (3, 100)
        assert arrays["test_mse_carry"].shape == arrays["diverged"].shape == (3,)
    assert np.ptp(store.load("ridge-AR").arrays["test_mse_carry"]) == 0
    assert np.ptp(store.load("LTC-2").arrays["test_mse_carry"]) > 0
    assert store.load("LSTM-2").arrays["chosen_epoch"].shape == (3,)


# --- resuming ---------------------------------------------------------------------------------


def test_a_second_call_trains_nothing(tmp_path, small, jobs):
    run(small(), MODELS, PROTOCOL, tmp_path, processes=0)
    assert jobs == list(MODELS)
    before = files(tmp_path)
    heard, said = [], []
    store = run(
        small(), MODELS, PROTOCOL, tmp_path, report=lambda *m: heard.append(m), notify=said.append
    )
    assert jobs == list(MODELS)
    assert said == [
        f"note: finished in {tmp_path} already: {', '.join(MODELS)}; `fresh` starts over"
    ]
    assert files(tmp_path) == before
    assert sorted(heard) == sorted((model, 4) for model in MODELS)  # the bars are full
    assert set(store.models()) == set(MODELS)


def test_a_model_more_trains_that_model_alone(tmp_path, small, jobs):
    run(small(), ("persistence", "LSTM-2"), PROTOCOL, tmp_path, processes=0)
    before = files(tmp_path)
    run(small(), ("LSTM-2", "GRU-2", "persistence"), PROTOCOL, tmp_path, processes=0)
    assert jobs == ["persistence", "LSTM-2", "GRU-2"]
    after = files(tmp_path)
    assert after.pop("GRU-2.safetensors")
    assert after == before


def test_an_interrupt_keeps_what_had_finished(tmp_path, small, jobs):
    def stop(model, epoch):
        if (model, epoch) == ("LSTM-2", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(), MODELS, PROTOCOL, tmp_path, processes=0, report=stop)
    assert list(files(tmp_path)) == ["LTC-2.safetensors"]
    store = run(small(), MODELS, PROTOCOL, tmp_path, processes=0)
    assert jobs == ["LTC-2", "LSTM-2", "LSTM-2", "ridge-AR", "persistence"]
    clean = run(small(), MODELS, PROTOCOL, tmp_path / "clean", processes=0)
    assert_equal_rows(rows(store), rows(clean))


def test_fresh_trains_all_again(tmp_path, small, jobs):
    run(small(), ("persistence", "LSTM-2"), PROTOCOL, tmp_path, processes=0)
    run(small(), ("persistence",), PROTOCOL, tmp_path, processes=0, fresh=True)
    assert jobs == ["persistence", "LSTM-2", "persistence"]
    assert list(files(tmp_path)) == ["persistence.safetensors"]
    assert not (tmp_path / "models" / "LSTM-2").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [({"epochs": 5}, "epochs is 4 there, 5 here"), ({"seed": 1}, "seed is 0 there, 1 here"),
     ({"learning_rate": 0.1}, "learning_rate is 0.01 there, 0.1 here")],
)  # fmt: skip
def test_another_protocol_is_another_benchmark(tmp_path, small, jobs, change, named):
    run(small(), ("persistence",), PROTOCOL, tmp_path, processes=0)
    with pytest.raises(TorchliquidError, match=named):
        run(small(), MODELS, dataclasses.replace(PROTOCOL, **change), tmp_path, processes=0)
    assert jobs == ["persistence"]


def test_damage_is_found_before_the_work(tmp_path, small, jobs):
    run(small(), ("persistence",), PROTOCOL, tmp_path, processes=0)
    file = tmp_path / "runs" / "persistence.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(TorchliquidError, match=r"persistence.safetensors is damaged"):
        run(small(), MODELS, PROTOCOL, tmp_path, processes=0)
    assert jobs == ["persistence"]
    file.unlink()  # as the message says
    run(small(), ("persistence",), PROTOCOL, tmp_path, processes=0)
    assert jobs == ["persistence", "persistence"]


def test_models_of_an_earlier_attempt_are_replaced(tmp_path, small):
    rest = tmp_path / "models" / ".LSTM-2.part" / "lane-000"
    run(small(), ("persistence",), PROTOCOL, tmp_path, processes=0)
    rest.mkdir(parents=True)
    (tmp_path / "models" / "LSTM-2" / "lane-099").mkdir(parents=True)
    run(small(), ("LSTM-2",), PROTOCOL, tmp_path, processes=0)
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["LSTM-2"]
    assert len(list((tmp_path / "models" / "LSTM-2").iterdir())) == 3


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lanes": 0}, "lanes is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": -3}, "epochs is -3"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0.0}, "learning rate is 0.0"),
        ({"learning_rate": -0.1}, "learning rate is -0.1"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"learning_rate": float("inf")}, "learning rate is inf"),
        ({"learning_rate": 1e39}, r"learning rate is 1e\+39"),
    ],
)
def test_protocol_that_cannot_be(tmp_path, small, change, named):
    with pytest.raises(TorchliquidError, match=named):
        run(small(), MODELS, dataclasses.replace(PROTOCOL, **change), tmp_path / "out", processes=0)
    assert not (tmp_path / "out").exists()


def test_fewer_than_no_workers(tmp_path, small):
    with pytest.raises(TorchliquidError, match="processes is -1"):
        run(small(), MODELS, PROTOCOL, tmp_path / "out", processes=-1)
    assert not (tmp_path / "out").exists()


def test_unknown_model_touches_nothing(tmp_path, small):
    with pytest.raises(TorchliquidError, match="'LTM-8' is unknown"):
        run(small(), ("persistence", "LTM-8"), PROTOCOL, tmp_path / "out", fresh=True)
    assert not (tmp_path / "out").exists()


# --- lanes that diverge -----------------------------------------------------------------------


def test_lanes_that_diverge_are_counted_and_kept(tmp_path, small, monkeypatch):
    def astray(task, model, pack):
        carry, reset = predict(task, model, pack)
        carry[1] = np.nan
        return carry, reset

    monkeypatch.setattr(runner, "predict", astray)
    store = run(small(), ("LSTM-2", "persistence"), PROTOCOL, tmp_path, processes=0)
    arrays = store.load("LSTM-2").arrays
    assert arrays["diverged"].tolist() == [False, True, False]
    assert np.isinf(arrays["test_mse_reset"]).tolist() == [False, True, False]
    found = summarise(store)["models"]["LSTM-2"]
    assert (found["lanes"], found["diverged"]) == (3, 1)
    assert found["test_mse_carry"]["q90"] is None
    assert found["test_mse_carry"]["median"] == pytest.approx(
        np.sort(arrays["test_mse_carry"])[1], rel=1e-5
    )


@pytest.mark.parametrize("kind", ["small", "table"])
def test_a_rate_that_explodes_is_seen_with_and_without_validation(tmp_path, request, kind):
    task = request.getfixturevalue(kind)()
    models = ("LTC-2", "LTC-2-euler", "LSTM-2", "persistence")
    protocol = dataclasses.replace(PROTOCOL, learning_rate=1e6)
    store = run(task, models, protocol, tmp_path, processes=0)
    for model in models[:3]:
        assert store.load(model).arrays["diverged"].tolist() == [True] * 3
    assert not store.load("persistence").arrays["diverged"].any()


# --- workers ----------------------------------------------------------------------------------


def test_workers_compute_the_same_bit_for_bit(tmp_path, small, whole):
    heard = []
    report = lambda model, epoch: heard.append((model, epoch))  # noqa: E731
    store = run(small(), MODELS, PROTOCOL, tmp_path, processes=2, report=report)
    assert_equal_rows(rows(whole[0]), rows(store))
    assert {(model, 4) for model in MODELS} <= set(heard)
    assert store.load("LTC-2").facts["threads"] == 1
    assert not multiprocessing.active_children()


def test_a_worker_that_is_killed(tmp_path, small):
    killed = []

    def kill(model, epoch):
        if (model, bool(epoch), killed) == ("GRU-2", True, []):
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)
            killed.append((model, worker.pid))

    protocol = dataclasses.replace(PROTOCOL, epochs=500_000)
    run(small(), ("persistence",), protocol, tmp_path, processes=0)
    with pytest.raises(TorchliquidError, match="a worker process died") as caught:
        run(small(), ("persistence", "GRU-2"), protocol, tmp_path, processes=1, report=kill)
    assert "call again" in str(caught.value)
    assert [model for model, _ in killed] == ["GRU-2"]
    assert list(files(tmp_path)) == ["persistence.safetensors"]
    assert not multiprocessing.active_children()


def test_an_error_in_a_worker_reaches_the_caller(tmp_path, small):
    """Something takes the models' place while the worker trains."""

    def spoil(model, epoch):
        if epoch and not (tmp_path / "models").exists():
            (tmp_path / "models").write_text("a file where the models would go")

    protocol = dataclasses.replace(PROTOCOL, epochs=50_000)
    with pytest.raises(TorchliquidError, match=r"cannot (save to|write) .*models"):
        run(small(), ("GRU-2",), protocol, tmp_path, processes=1, report=spoil)
    assert not files(tmp_path)


def test_little_work_starts_no_workers_and_much_does(small, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(runner, "_in_processes", lambda *given: asked.append(given))
    run(small(), MODELS, PROTOCOL, tmp_path / "little")
    assert not asked
    monkeypatch.setattr(runner, "WORTH_WORKERS", 0.0)
    run(small(), MODELS, PROTOCOL, tmp_path / "much")
    assert len(asked) == 1
