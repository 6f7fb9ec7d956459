"""Several series in one table: nothing of one reaches another, whatever the model."""

import dataclasses

import numpy as np
import pytest
import torch

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.methods import METHODS
from torchliquid.bench.models.registry import find
from torchliquid.bench.run import windows
from torchliquid.bench.run.probe import probe
from torchliquid.bench.run.runner import compute
from torchliquid.bench.run.training import train
from torchliquid.bench.run.windows import later_windows, predict, training_windows
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.errors import TorchliquidError
from torchliquid.tables.reader import Series

LENGTHS = (61, 90, 37, 120)
NAMES = ("LTC-2", "LTC-2-euler", "LSTM-2", "GRU-2")
pytestmark = pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")


def network(name):
    return find([name])[0]


def series(lengths=LENGTHS, seed=0, irregular=True):
    rng = np.random.default_rng(seed)
    values, times = [], []
    for k, rows in enumerate(lengths):
        wave = np.sin(0.4 * np.arange(rows) + k) + 0.2 * rng.standard_normal(rows)
        values.append(np.stack([wave, rng.standard_normal(rows)], axis=1))
        gaps = rng.uniform(0.5, 2.0, rows) if irregular else np.ones(rows)
        times.append(100 * k + np.cumsum(gaps))
    return Series(
        "panel",
        ("y", "a"),
        np.concatenate(values),
        np.concatenate(times),
        time="t",
        series_id=np.repeat(np.arange(len(lengths)), lengths),
        series_names=tuple(f"s{k}" for k in range(len(lengths))),
        series="id",
    )


def other(given, k, **changes):
    """The same table with all numbers of one series changed."""
    values = given.values.copy()
    values[given.series_id == k] = values[given.series_id == k] * -3 + 5
    return dataclasses.replace(given, values=values, **changes)


# --- the task ---------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 3])
def test_each_series_is_split_in_time(horizon):
    given = series()
    task = table_task(given, horizon=horizon)
    assert task.steps == sum(LENGTHS) - len(LENGTHS) * horizon
    part = np.repeat([0, 1, 2], [task.train, task.valid, task.test])
    for k, line in enumerate(task.timelines()):
        rows = given.values[given.series_id == k]
        steps = len(rows) - horizon
        assert len(line) == steps
        assert (np.diff(part[line]) >= 0).all()
        first, second = int(0.6 * steps + 1e-9), int(0.8 * steps + 1e-9)
        assert np.bincount(part[line]).tolist() == [first, second - first, steps - second]
        seen = task.inputs[0, line, 0].astype(float) * task.scale + task.offset
        np.testing.assert_allclose(seen, rows[:steps, 0], atol=1e-6)
        wanted = rows[horizon:, 0].copy()
        for end in (first, second):
            wanted[end - horizon : end] = np.nan
        targets = task.targets[0, line].astype(float) * task.scale + task.offset
        np.testing.assert_allclose(targets, wanted, atol=1e-6)
        gaps = np.diff(given.times[given.series_id == k])[: steps - 1]
        known = np.concatenate(
            [np.diff(given.times[given.series_id == j])[: int(0.6 * (n - horizon) + 1e-9) - 1]
             for j, n in enumerate(LENGTHS)])  # fmt: skip
        np.testing.assert_allclose(task.dt[line[1:]], gaps / np.median(known), rtol=1e-6)
        assert task.dt[line[0]] == 1.0
    assert task.spec["series"] == "id"


def test_whole_series_are_drawn_for_each_part():
    given = series(lengths=(40,) * 10)
    task = table_task(given, split="series")
    assert (task.train, task.valid, task.test) == (6 * 39, 2 * 39, 2 * 39)
    part = np.repeat([0, 1, 2], [task.train, task.valid, task.test])
    for line in task.timelines():
        assert len(set(part[line].tolist())) == 1
    assert np.isfinite(task.targets).all()  # no border of parts within a series
    assert table_task(other(given, 3), split="series").train == task.train
    assert any("6 of them are to train on, 2 to validate, 2 to test" in n for n in task.notes)
    with pytest.raises(TorchliquidError, match="split is 'id': give 'time' or 'series'"):
        table_task(given, split="id")


@pytest.mark.parametrize("split", ["time", "series"])
def test_scaling_is_that_of_all_training_rows(split):
    given = series(lengths=(50,) * 8)
    task = table_task(given, split=split)
    raw = task.inputs[0].astype(float)[: task.train]
    np.testing.assert_allclose(raw.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(raw.std(axis=0), 1, atol=1e-6)
    later = task.targets.copy()
    later[:, task.train :] = 1e6
    values = given.values.copy()
    for k, line in enumerate(task.timelines()):
        own = np.flatnonzero(given.series_id == k)[: len(line)]
        values[own[line >= task.train]] = 1e6
    changed = table_task(dataclasses.replace(given, values=values), split=split)
    assert (changed.offset, changed.scale) == (task.offset, task.scale)


def test_a_missing_value_is_not_filled_from_the_series_before():
    given = series()
    values = given.values.copy()
    first = np.flatnonzero(given.series_id == 2)[0]
    values[first : first + 3] = np.nan
    task = table_task(dataclasses.replace(given, values=values))
    line = task.timelines()[2]
    np.testing.assert_allclose(task.inputs[0, line[:3]], 0, atol=1e-6)  # the training mean


def test_a_series_shorter_than_the_horizon_has_no_step():
    given = series(lengths=(100, 2, 90))
    task = table_task(given, horizon=2)
    assert [len(line) for line in task.timelines()] == [98, 0, 88]
    assert any("1 have no row as far on as the horizon" in note for note in task.notes)
    assert predict(task, network("LTC-2"), train(task, network("LTC-2"), Protocol(1, 1)).pack)


# --- windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["time", "series"])
def test_no_window_holds_two_series(split):
    task = table_task(series(lengths=(50, 61, 45, 70, 33)), window=16, split=split)
    model, ends = network("LTC-2"), task.train + task.valid
    by_input = {x.tobytes(): k for k, x in zip(task.series_id, task.inputs[0], strict=True)}
    for found, low, high in (
        (training_windows(task, model), 0, task.train),
        (later_windows(task, model, task.train, ends), task.train, ends),
        (later_windows(task, model, ends, task.steps), ends, task.steps),
    ):
        counted = 0
        for x, target in zip(found.x.numpy(), found.target.numpy(), strict=True):
            assert len({by_input[step.tobytes()] for step in x}) == 1
            counted += int(np.isfinite(target).sum())
        assert counted == int(np.isfinite(task.targets[:, low:high]).sum())


# --- every model ------------------------------------------------------------------------------


@pytest.mark.parametrize("irregular", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_of_each_series_alone(name, irregular, monkeypatch):
    monkeypatch.setattr(windows, "LONGEST", 17)
    task, model = table_task(series(irregular=irregular), window=16), network(name)
    pack = train(task, model, Protocol(2, 3)).pack
    carry, reset = predict(task, model, pack)
    inputs = task.inputs if model.kind == "liquid" else task.timed_inputs()
    timed = irregular and model.kind == "liquid"
    test = task.steps - task.test
    for line in task.timelines():
        for prediction, steps in ((carry, line), (reset, line[line >= test])):
            x = torch.from_numpy(inputs[0, steps])
            dt = torch.from_numpy(task.dt[steps]) if timed else None
            with torch.no_grad():
                y = pack.lane(1)(x, dt=dt)[0][:, 0].numpy()
            wanted = task.inputs[0, steps, 0] + task.change * y
            at = steps if prediction is carry else steps - test
            np.testing.assert_allclose(prediction[1, at], wanted, atol=2e-6)


OF_ALL = ("mean", "harmonics", "filter-6")
"""What repeats the mean of all series."""


@pytest.mark.parametrize("name", [*METHODS, *NAMES])
def test_no_prediction_knows_another_series(name):
    """Trained on one series, asked about others: changing one changes no other's predictions."""
    given = series(lengths=(70,) * 6)
    task, model = table_task(given, split="series", window=16), network(name)
    tested = sorted(set(task.series_id[task.steps - task.test :].tolist()))
    # the numbers of one test series, in the task itself: its file's scaling may not move either
    changed = dataclasses.replace(task, inputs=task.inputs.copy(), targets=task.targets.copy())
    own = task.series_id == tested[0]
    changed.inputs[:, own] *= -9
    changed.targets[:, own] += 100
    one, two = (compute(t, model, Protocol(2, 3), lambda epoch: None)[0] for t in (task, changed))
    for key in ("prediction_carry", "prediction_reset"):
        at = own if key.endswith("carry") else own[task.steps - task.test :]
        np.testing.assert_array_equal(one.arrays[key][:, ~at], two.arrays[key][:, ~at])
        if name not in OF_ALL:
            assert (one.arrays[key][:, at] != two.arrays[key][:, at]).any()


@pytest.mark.parametrize("name", [n for n in METHODS if n not in OF_ALL])
def test_simple_forecasts_start_anew_with_each_series(name):
    """The first prediction of a series hangs on its first row alone."""
    given = series(lengths=(60,) * 5, irregular=False)
    task = table_task(given)
    forecast = METHODS[name][1](task)(task)
    test = task.steps - task.test
    changed = dataclasses.replace(task, inputs=task.inputs.copy())
    for line in task.timelines():
        changed.inputs[:, line[line >= test][1:]] += 3
    other = METHODS[name][1](changed)(changed)
    firsts = [line[line >= test][0] for line in task.timelines()]
    np.testing.assert_array_equal(
        forecast.reset[:, np.array(firsts) - test], other.reset[:, np.array(firsts) - test]
    )


def test_errors_of_each_series(monkeypatch):
    task = table_task(series())
    run, _ = compute(task, network("persistence"), Protocol(3, 1), lambda epoch: None)
    found = run.arrays["series_mse_carry"]
    assert found.shape == (3, len(LENGTHS))
    error = (task.inputs[0, :, 0].astype(float) - task.targets[0]) ** 2
    for k, line in enumerate(task.timelines()):
        own = line[line >= task.steps - task.test]
        np.testing.assert_allclose(found[:, k], np.nanmean(error[own]))


def test_a_probe_plants_within_a_series():
    task = table_task(series(lengths=(80, 75, 90)), window=16)
    model = network("LTC-2")
    pack = train(task, model, Protocol(2, 2)).pack
    arrays, facts = probe(task, model, pack, 0, 1)
    assert facts["probe_places"] > 0
    assert np.isfinite(arrays["lowest_share"]).all()
    short = table_task(series(lengths=(25,) * 12), window=16)
    arrays, facts = probe(short, model, train(short, model, Protocol(2, 2)).pack, 0, 1)
    assert facts["probe_places"] == 0
    assert "probe_control" not in arrays
    assert np.isfinite(arrays["lowest_share"][1])
