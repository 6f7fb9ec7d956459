"""Whole runs on tables whose answer is known: nobody can be good where there is nothing to know.

Skill is 1 less the test MSE over that of the best forecast there can be.
"""

import dataclasses

import numpy as np
import pytest

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.runner import compute
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.tables.reader import Series

pytestmark = pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
MODELS = ("LTC-4", "LTC-4-euler", "LSTM-4", "GRU-4", "ridge-AR", "seasonal")
ROWS = 1500
LENGTH = 20
NOISE = 0.12
"""Skill that chance gives on 300 test steps: twice its standard error, with room to choose."""


def skill(task, name, best, epochs=60):
    """Against the test MSE of the best forecast there can be, in the target's unit."""
    run, _ = compute(task, find([name])[0], Protocol(2, epochs, trials=4), lambda epoch: None)
    return 1 - np.min(run.arrays["test_mse_carry"]) * task.scale**2 / best


def noise(seed=0, columns=2):
    return np.random.default_rng(seed).standard_normal((ROWS, columns))


@pytest.mark.parametrize("name", MODELS)
def test_a_random_walk_is_not_foretold(name):
    walk = np.cumsum(noise()[:, :1], axis=0)
    task = table_task(Series("walk", ("y",), walk))
    steps = np.diff(walk[:, 0])[task.steps - task.test :]
    assert skill(task, name, np.mean(steps**2)) < NOISE


@pytest.mark.parametrize("name", MODELS)
def test_a_feature_of_the_same_row_comes_too_late(name):
    """f holds the target's own value: known with it, not before."""
    y = noise()[:, :1]
    task = table_task(Series("echo", ("y", "f"), np.hstack([y, y])), predict="level")
    assert skill(task, name, 1.0) < NOISE


@pytest.mark.parametrize("name", ["LTC-4", "LSTM-4", "ridge-AR"])
def test_a_feature_that_is_known_beforehand_is_used(name):
    """The same column, where the user says that it is a plan."""
    y = noise()[:, :1]
    series = Series("plan", ("y", "f"), np.hstack([y, y]), future=("f",))
    assert skill(table_task(series, predict="level"), name, 1.0, epochs=150) > 0.6


@pytest.mark.parametrize("name", MODELS)
def test_the_gap_before_a_row_does_not_tell_that_row(name):
    """Each gap is the target at its end: whoever knew the gap to come would know all."""
    y = noise()[:, :1]
    times = np.cumsum(np.exp(y[:, 0]))
    task = table_task(Series("gaps", ("y",), y, times, time="t"), predict="level")
    assert isinstance(task.dt, np.ndarray)
    assert skill(task, name, 1.0) < NOISE


@pytest.mark.parametrize("name", MODELS)
def test_held_values_come_from_before(name):
    """Of noise with holes nothing is known: a hole filled from behind would tell what comes."""
    y = noise(columns=1)
    holes = np.random.default_rng(1).random(ROWS) < 0.3
    seen = y.copy()
    seen[holes] = np.nan
    task = table_task(Series("holes", ("y", "f"), np.hstack([seen, seen])), predict="level")
    assert skill(task, name, 1.0) < NOISE


@pytest.mark.parametrize("name", MODELS)
def test_a_series_does_not_foretell_the_next_in_the_table(name):
    """Every second series repeats the one before it, a row earlier: only across the border."""
    y = noise(columns=1)[:1440].reshape(-1, LENGTH)
    y[1::2] = np.roll(y[::2], -1, axis=1)
    series = Series(
        "pairs", ("y",), y.reshape(-1, 1), series_id=np.repeat(np.arange(len(y)), LENGTH),
        series_names=tuple(map(str, range(len(y)))), series="id",
    )  # fmt: skip
    task = table_task(series, predict="level", window=64)
    assert skill(task, name, 1.0) < NOISE


def test_no_input_before_a_row_hangs_on_it():
    """Whatever stands in later rows, the inputs of earlier steps are the same numbers."""
    values = noise(columns=3)
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    times = np.cumsum(np.random.default_rng(3).uniform(0.5, 2, ROWS))
    series = Series("s", ("y", "a", "b"), values, times, time="t", future=("b",))
    task = table_task(series, horizon=3)
    for row in (task.train + 7, task.train + task.valid + 40, ROWS - 20):
        later = values.copy()
        later[row:] = 9.0
        changed = table_task(dataclasses.replace(series, values=later), horizon=3)
        np.testing.assert_array_equal(changed.inputs[0, :row, :2], task.inputs[0, :row, :2])
        np.testing.assert_array_equal(changed.inputs[0, : row - 3], task.inputs[0, : row - 3])
        np.testing.assert_array_equal(changed.targets[0, : row - 3], task.targets[0, : row - 3])
