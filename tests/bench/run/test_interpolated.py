"""Networks that are fed interpolated samples: the past of each step, and nothing later."""

import dataclasses

import numpy as np
import pytest
import torch

import torchliquid as tl
from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.interpolated import LENGTH, as_windows, predict_windows
from torchliquid.bench.run.runner import compute, run
from torchliquid.bench.run.training import train
from torchliquid.bench.run.tuning import tune
from torchliquid.bench.tasks.signal_task import sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind


def network(name):
    return find([name])[0]


def drawn(lanes=2, **options):
    return sines_task(
        SinesOfAKind(80, 60), lanes, 0, **({"sampling": "irregular", "missing": 0.2} | options)
    )


def test_each_step_is_a_window_of_its_past():
    task = drawn()
    windows = as_windows(task)
    assert (windows.train, windows.steps) == (60 * LENGTH, 80 * LENGTH)
    x = windows.inputs[..., 0].reshape(2, 80, LENGTH)
    np.testing.assert_array_equal(windows.targets.reshape(2, 80, LENGTH)[:, :, -1], task.targets)
    assert np.isnan(windows.targets.reshape(2, 80, LENGTH)[:, :, :-1]).all()
    for lane in range(2):
        clock, spacing = task.clock(lane), task.gaps(lane)[:60].mean()
        for step in (0, 9, 79):
            known = np.flatnonzero(task.observed[lane, : step + 1])
            times = clock[step] - spacing * np.arange(LENGTH)[::-1]
            expected = np.interp(times, clock[known], task.inputs[lane, known, 0])
            np.testing.assert_allclose(x[lane, step], expected, atol=1e-6)
    assert isinstance(windows.dt, float)


@pytest.mark.parametrize("name", ["LTC-2-interpolated", "LSTM-2-solved-interpolated"])
def test_a_prediction_is_the_networks_after_its_window(name):
    task, model, protocol = drawn(), network(name), Protocol(2, 3)
    windows = as_windows(task)
    pack = train(windows, model, protocol).pack
    carry, reset = predict_windows(task, model, pack, windows)
    assert (carry.shape, reset.shape) == ((2, 80), (2, 20))
    x = torch.from_numpy(windows.inputs.reshape(2, 80, LENGTH, 1).copy())
    with torch.no_grad():
        expected = pack(x, dt=windows.dt)[0] if model.takes_dt else pack(x)[0]
    np.testing.assert_allclose(carry, expected[:, :, -1, 0], atol=1e-5)
    assert (carry[:, 60:] != reset).any()


@pytest.mark.parametrize("name", ["LTC-2-interpolated", "GRU-2-interpolated"])
def test_no_prediction_sees_what_is_later_or_was_not_observed(name):
    task, model = drawn(), network(name)
    windows = as_windows(task)
    pack = train(windows, model, Protocol(2, 2)).pack
    carry, reset = predict_windows(task, model, pack, windows)
    inputs = task.inputs.copy()
    inputs[:, 70:] += 50
    inputs[~task.observed] = 99.0
    other = dataclasses.replace(task, inputs=inputs)
    again, again_reset = predict_windows(other, model, pack, windows)
    np.testing.assert_array_equal(again[:, :70], carry[:, :70])
    np.testing.assert_array_equal(again_reset[:, :10], reset[:, :10])
    assert np.abs(again - carry)[:, 70:].max() > 0.1
    inputs = task.inputs.copy()
    inputs[:, :60] += 50  # with the state reset, the past is none
    before = dataclasses.replace(task, inputs=inputs)
    np.testing.assert_array_equal(predict_windows(before, model, pack, windows)[1], reset)


@pytest.mark.parametrize("name", ["LTC-2-interpolated", "LSTM-2-interpolated"])
def test_a_run_is_tuned_on_the_training_stretch_and_has_all_rows(name):
    task, model = drawn(3), network(name)
    protocol = Protocol(3, 4, trials=3, shifts=("noise", "gaps"), severities=(3,))
    rows, pack = compute(task, model, protocol, lambda epoch: None)
    assert len(pack) == 3
    assert rows.arrays["prediction_carry"].shape == (3, 80)
    assert np.isfinite(rows.arrays["test_mse_carry"]).all()
    assert set(rows.shifts()) == {"noise", "gaps"}
    poisoned = task.inputs.copy()
    poisoned[:, 60:] = 1e3
    windows = as_windows(task)
    found = tune(windows, model, protocol)
    again = tune(as_windows(dataclasses.replace(task, inputs=poisoned), windows), model, protocol)
    np.testing.assert_array_equal(found.errors, again.errors)
    assert found.taken == again.taken


@pytest.mark.parametrize("name", ["LTC-2-interpolated", "LSTM-2-interpolated", "LSTM-2"])
def test_trained_lanes_are_kept_with_their_scaling(tmp_path, name):
    store = run(drawn(), [name], Protocol(2, 2), tmp_path, processes=0)
    loaded = tl.load(store.model_folder(name) / "lane-001")
    assert len(loaded.scaling.inputs) == loaded.layer.input_size


def test_names():
    model = network("LTC-8-euler-solved-interpolated")
    assert (model.variant, model.readout, model.input) == ("euler", "solve", "interpolated")
    assert network("LSTM-16").input == "samples"
