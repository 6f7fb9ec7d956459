"""The article's task: what a model sees, what it is judged on, and that all see the same."""

import numpy as np
import pytest
import torch

from torchliquid.bench.models.registry import DEFAULT, find
from torchliquid.bench.run.windows import inputs_for
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines


def test_next_step_from_the_noisy_current_one():
    task = article_task(SumOfSines(), lanes=4, seed=0)
    assert task.inputs.shape == (4, 300, 1)
    assert task.targets.shape == (4, 300)
    assert (task.train, task.valid, task.test) == (200, 0, 100)
    np.testing.assert_array_equal(task.inputs[:, 1:, 0], task.targets[:, :-1])
    assert task.dt == pytest.approx(0.1)


def test_clean_targets_are_the_next_step_without_noise():
    series = SumOfSines(sigma=0.2)
    task = article_task(series, lanes=3, seed=1)
    for lane in range(3):
        np.testing.assert_allclose(task.clean[lane], series.clean()[1:], atol=1e-6)
    assert (task.targets - task.clean).std() == pytest.approx(0.2, rel=0.1)


def test_every_lane_has_its_own_noise():
    noise = article_task(SumOfSines(), lanes=6, seed=0)
    noise = noise.targets - noise.clean
    strangers = np.abs(np.corrcoef(noise)[np.triu_indices(6, 1)])
    assert strangers.max() < 0.25  # of 300 draws, four deviations


def test_draws_follow_seed_and_lane_alone():
    few, many = (article_task(SumOfSines(), lanes, seed=5) for lanes in (2, 6))
    np.testing.assert_array_equal(few.inputs, many.inputs[:2])
    other = article_task(SumOfSines(), lanes=2, seed=6)
    assert np.abs(few.inputs - other.inputs).max(axis=1).min() > 0.05


def test_all_networks_see_the_same_draws(small):
    task = small()
    networks = [model for model in find(DEFAULT) if model.kind != "classical"]
    seen = [inputs_for(task, model) for model in networks]
    assert len(seen) == 5
    for x, dt in seen:
        assert torch.equal(x, torch.from_numpy(task.inputs)[:, None])
        assert dt is None


def test_specification_names_all_that_defines_the_task():
    task = article_task(SumOfSines(((1.5, 0.7),), 0.1, 80, 50, 9.0), lanes=2, seed=3)
    assert task.spec == {
        "task": "article",
        "sines": [[1.5, 0.7]],
        "sigma": 0.1,
        "steps": 80,
        "train": 50,
        "span": 9.0,
    }


def test_irregular_time_reaches_models_without_time_as_a_feature(table):
    dt = np.array([0.1, 0.1, 0.2, 0.05, 0.1] * 20, dtype=np.float32)
    task = table(dt=dt)
    timed = task.timed_inputs()
    assert timed.shape == (1, 100, 3)
    np.testing.assert_array_equal(timed[..., :2], task.inputs)
    np.testing.assert_allclose(timed[0, :5, 2], np.log([1, 1, 2, 0.5, 1]), atol=1e-6)


def test_regular_time_adds_no_feature(small):
    task = small()
    assert task.timed_inputs() is task.inputs


def test_time_feature_learns_nothing_of_the_test_part(table):
    task = table()
    later = task.dt.copy()
    later[task.train :] *= 100
    np.testing.assert_array_equal(
        task.timed_inputs()[:, : task.train], table(dt=later).timed_inputs()[:, : task.train]
    )
