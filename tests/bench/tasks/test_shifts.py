"""Shifts of the test stretch: what they change, what they leave alone, and who is told."""

import dataclasses

import numpy as np
import pytest

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.runner import compute
from torchliquid.bench.run.scoring import mse
from torchliquid.bench.tasks.shifts import (
    DRAWN_ANEW,
    SHIFTS,
    applies,
    check_shifts,
    shifted,
)
from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.errors import TorchliquidError

VALUES = [name for name, shift in SHIFTS.items() if shift.corrupt is not None]


def shift(task, name, severity=3, lanes=3, takes_dt=False, seed=0):
    return shifted(task, name, severity, lanes=lanes, seed=seed, takes_dt=takes_dt)


# --- laws of all shifts -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("kind", ["article", "table"])
def test_training_stays_targets_stay_draws_repeat(small, table, name, kind):
    task = small() if kind == "article" else table()
    if not applies(name, task):
        assert (name, kind) in {("speed", "table"), ("rate", "table")}
        return
    other, steps = shift(task, name, 5)
    before = task.steps - task.test
    assert (other.train, other.valid) == (task.train, task.valid)
    for had, has in ((task.inputs, other.inputs), (task.targets, other.targets)):
        np.testing.assert_array_equal(has[:1, :before], had[:1, :before])
        np.testing.assert_array_equal(has[-1:, :before], had[-1:, :before])
    np.testing.assert_array_equal(np.broadcast_to(other.dt, other.steps)[:before],
                                  np.broadcast_to(task.dt, task.steps)[:before])  # fmt: skip
    if name not in DRAWN_ANEW:
        np.testing.assert_array_equal(other.targets, task.targets[:, steps])
    assert not np.array_equal(other.inputs, task.inputs)
    assert np.isfinite(other.inputs).all()
    again, _ = shift(task, name, 5)
    np.testing.assert_array_equal(again.inputs, other.inputs)
    assert task.inputs.base is None or not np.shares_memory(task.inputs, other.inputs) or (
        name in ("gaps", *DRAWN_ANEW))  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_worse_with_each_severity(small, name):
    task = small(lanes=40, steps=300, train=200)
    off = [np.abs(shift(task, name, k, 40).task.inputs - task.inputs).mean() for k in range(1, 6)]
    assert all(np.diff(off) > 0)


@pytest.mark.parametrize("name", VALUES)
def test_lanes_that_share_a_series_have_draws_of_their_own(name):
    task = table_task(sunspots())
    inputs = shift(task, name).task.inputs
    assert len(inputs) == 3
    assert np.array_equal(inputs[0], inputs[1]) == (name in ("drift", "gain"))


def test_inputs_known_beforehand_are_no_sensors(table):
    plain = table()
    task = dataclasses.replace(plain, spec=plain.spec | {"features": ["plan"], "future": ["plan"]})
    other = shift(task, "noise").task
    np.testing.assert_array_equal(other.inputs[0, :, 1], task.inputs[0, :, 1])
    assert not np.array_equal(other.inputs[0, :, 0], task.inputs[0, :, 0])
    assert not np.array_equal(shift(plain, "noise").task.inputs[0, :, 1], plain.inputs[0, :, 1])


def test_nothing_runs_from_one_series_into_another():
    from torchliquid.bench.tasks.task import Task

    series_id = np.repeat([0, 1], 60)
    order = np.argsort(np.tile(np.arange(60), 2) >= 30, kind="stable")
    wave = np.where(series_id == 0, 0.0, 100.0) + np.tile(np.arange(60), 2)
    task = Task("two", {}, wave[None, order, None].astype(np.float32),
                wave[None, order].astype(np.float32), None, 1.0, 60,
                series_id=series_id[order], series_names=("a", "b"))  # fmt: skip
    for name in ("dropped", "stuck", "late"):
        z = shift(task, name, 5, 1).task.inputs[0, :, 0]
        assert (z[task.series_id == 0] < 60).all()
        assert (z[task.series_id == 1] >= 100).all()


# --- one by one ---------------------------------------------------------------------------------


def test_sizes(small):
    task = small(lanes=200, steps=600, train=500)
    sd = task.inputs[:, :500].std(axis=1, keepdims=True)
    mean = task.inputs[:, :500].mean(axis=1, keepdims=True)

    def off(name, severity):
        return ((shift(task, name, severity, 200).task.inputs - task.inputs) / sd)[:, 500:, 0]

    assert off("noise", 3).std() == pytest.approx(0.4, rel=0.02)
    spikes = off("spikes", 5)
    assert (np.abs(spikes) > 1).mean() == pytest.approx(0.2, abs=0.01)
    assert np.abs(spikes).max() == pytest.approx(4.0, rel=1e-3)
    assert spikes.mean() == pytest.approx(0.0, abs=0.05)
    np.testing.assert_allclose(
        off("drift", 4), np.tile(np.linspace(0, 1, 100), (200, 1)), atol=1e-5
    )
    gained = shift(task, "gain", 5, 200).task.inputs[:, 500:]
    np.testing.assert_allclose(gained, mean + 2 * (task.inputs[:, 500:] - mean), atol=1e-5)
    held = shift(task, "dropped", 4, 200).task.inputs[:, 500:, 0]
    assert (held[:, 1:] == held[:, :-1]).mean() == pytest.approx(0.4, abs=0.015)
    stuck = shift(task, "stuck", 4, 200).task.inputs[:, 500:, 0]
    assert ((stuck[:, 1:] == stuck[:, :-1]).sum(axis=1) == 39).all()


def test_late_samples_lie_between_the_last_one_and_the_present(small):
    task = small()
    x, late = task.inputs[:, 40:, 0], shift(task, "late", 5).task.inputs[:, 40:, 0]
    low, high = np.minimum(x[:, 1:], x[:, :-1]), np.maximum(x[:, 1:], x[:, :-1])
    assert ((late[:, 1:] >= low - 1e-6) & (late[:, 1:] <= high + 1e-6)).all()


def test_gaps_are_told_to_those_who_take_dt(small, table):
    task = small(lanes=1, steps=300, train=200)
    told, steps = shift(task, "gaps", takes_dt=True)
    clock = np.arange(1, 301) * task.dt
    np.testing.assert_allclose(np.cumsum(told.dt), clock[steps], rtol=1e-4)
    assert told.steps < 300
    assert shift(task, "gaps").task.dt == task.dt
    irregular = table()
    other, steps = shift(irregular, "gaps")  # there the time is a feature of everybody's
    np.testing.assert_allclose(np.cumsum(other.dt), np.cumsum(irregular.dt)[steps], rtol=1e-4)


def test_speed_and_rate_are_one_signal(small):
    task = small(lanes=2, sigma=0.0)
    fast, rate = (shift(task, name, 5, 2, takes_dt=True).task for name in ("speed", "rate"))
    np.testing.assert_array_equal(fast.inputs, rate.inputs)
    np.testing.assert_array_equal(fast.targets, rate.targets)
    assert fast.dt == task.dt
    np.testing.assert_allclose(rate.dt[:41], task.dt, rtol=1e-6)
    np.testing.assert_allclose(rate.dt[41:], 2 * task.dt, rtol=1e-6)
    # twice as fast is every second sample
    np.testing.assert_allclose(fast.inputs[0, 40:50], task.inputs[0, 40:60:2], atol=1e-6)
    np.testing.assert_allclose(fast.targets[0, 40:49], task.inputs[0, 42:60:2, 0], atol=1e-6)


# --- in a run -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["LTC-2", "LTC-2-euler", "GRU-2", "CTRNN-2", "DecayGRU-2", "ridge-AR", "seasonal"]
)
@pytest.mark.parametrize("kind", ["article", "table"])
def test_rows_of_a_run(small, table, name, kind):
    task = small() if kind == "article" else table()
    protocol = Protocol(3, 4, trials=1, tuned=(), shifts=tuple(SHIFTS), severities=(1, 5))
    (model,) = find([name])
    run, pack = compute(task, model, protocol, lambda epoch: None)
    for shift_name in SHIFTS:
        key = f"shift_{shift_name}"
        assert (key in run.arrays) == applies(shift_name, task)
        if key in run.arrays:
            assert run.arrays[key].shape == (2, 3)
            assert np.isfinite(run.arrays[key]).all()
        moved = f"shift_moved_{shift_name}" in run.arrays
        assert moved == (name.startswith("LTC") and key in run.arrays)
    # the same by hand, for one of them
    other, _ = shift(task, "noise", 5, takes_dt=model.takes_dt)
    test = task.steps - task.test
    if pack is not None:
        from torchliquid.bench.run.windows import predict

        carry, _ = predict(other, model, pack)
        error = mse(carry[:, test:], other.targets[:, test:])
        np.testing.assert_allclose(run.arrays["shift_noise"][1], error, rtol=1e-5)


def test_without_a_change_there_is_none(small, monkeypatch):
    """A shift of no size gives the test error itself, and time constants that did not move."""
    monkeypatch.setitem(SHIFTS, "noise", SHIFTS["noise"]._replace(levels=(0.0,) * 5))
    protocol = Protocol(3, 4, trials=1, tuned=(), shifts=("noise",))
    for name in ("LTC-2", "LSTM-2", "ridge-AR"):
        run, _ = compute(small(), find([name])[0], protocol, lambda epoch: None)
        for row in run.arrays["shift_noise"]:
            np.testing.assert_allclose(row, run.arrays["test_mse_carry"], rtol=1e-5)
        if name == "LTC-2":
            np.testing.assert_allclose(run.arrays["shift_tau_noise"], 1.0, rtol=1e-5)
            np.testing.assert_allclose(run.arrays["shift_moved_noise"], 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "severities", "said"),
    [
        (["nois"], [1], "shift is 'nois'"),
        (["noise"], [9], "severity is 9: give integers from 1 to 5"),
        (["noise"], [True], "severity is True"),
        (["noise", "noise"], [1], "names one twice"),
        (["noise"], [1, 1], "names one twice"),
    ],
)
def test_refused(names, severities, said):
    with pytest.raises(TorchliquidError, match=said):
        check_shifts(names, severities)
