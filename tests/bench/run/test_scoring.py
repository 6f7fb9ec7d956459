"""Errors by hand, and what counts when something is missing or has exploded."""

import dataclasses

import numpy as np
import pytest

from torchliquid.bench.run.scoring import mse, score

NAN, INF = np.nan, np.inf


def f32(*rows):
    return np.array(rows, dtype=np.float32)


def test_mse_by_hand():
    found = mse(f32([1, 2, 3], [0, 0, 0]), f32([1, 0, 0], [1, 2, -3]))
    np.testing.assert_allclose(found, [(0 + 4 + 9) / 3, (1 + 4 + 9) / 3])


def test_missing_targets_do_not_count():
    found = mse(f32([1, 99, 3]), f32([2, NAN, 3]))
    np.testing.assert_allclose(found, [0.5])
    # nor does what was predicted there
    np.testing.assert_allclose(mse(f32([1, NAN, 3]), f32([2, NAN, 3])), [0.5])
    np.testing.assert_allclose(mse(f32([1, INF, 3]), f32([2, NAN, 3])), [0.5])


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_broken_predictions_are_infinitely_bad(bad):
    assert mse(f32([0, bad, 0], [0, 0, 0]), f32([0, 0, 1])).tolist() == [INF, 1 / 3]


def test_huge_predictions_do_not_overflow():
    np.testing.assert_allclose(mse(f32([1e30]), f32([0])), [1e60], rtol=1e-5)


def test_one_target_for_all_lanes():
    np.testing.assert_allclose(mse(f32([0, 0], [1, 1], [NAN, 0]), f32([0, 1])), [0.5, 0.5, INF])


def test_inputs_are_left_alone():
    prediction, target = f32([1, NAN]), f32([NAN, 2])
    mse(prediction, target)
    np.testing.assert_array_equal(prediction, f32([1, NAN]))
    np.testing.assert_array_equal(target, f32([NAN, 2]))


def test_score_takes_every_error_on_its_own_stretch(small):
    task = small(lanes=2)
    clean, targets = task.clean, task.targets
    carry, reset = targets.copy(), targets[:, 40:].copy()
    carry[:, :40] += 0.5
    carry[:, 40:] += 0.25
    reset += 1
    rows = score(task, carry, reset)
    noise = (targets - clean).astype(np.float64)
    for name, shift, part in (
        ("train_mse", 0.5, slice(0, 40)),
        ("test_mse_carry", 0.25, slice(40, 60)),
        ("test_mse_reset", 1.0, slice(40, 60)),
    ):
        np.testing.assert_allclose(rows[name], shift**2, rtol=1e-4)
        clean_error = ((noise[:, part] + shift) ** 2).mean(axis=1)
        np.testing.assert_allclose(rows[f"{name}_clean"], clean_error, rtol=1e-4)
    assert rows["prediction_carry"] is carry
    assert rows["prediction_reset"] is reset
    assert not rows["diverged"].any()


def test_score_leaves_validation_steps_to_themselves(table):
    task = table()
    carry = np.repeat(np.nan_to_num(task.targets), 2, axis=0)
    carry[1, 50:75] = 1e3
    rows = score(task, carry, carry[:, 75:])
    assert set(rows) == {
        "train_mse", "test_mse_reset", "test_mse_carry",
        "diverged", "prediction_carry", "prediction_reset",
    }  # fmt: skip
    for name in ("train_mse", "test_mse_reset", "test_mse_carry"):
        assert rows[name].tolist() == [0.0, 0.0]


def test_diverged_is_ten_variances_of_the_lanes_own_training_target(small):
    task = small(lanes=4)
    targets = task.targets.copy()
    targets[2] *= 0.1  # a lane with a hundredth of the variance
    targets[:, 40:] = 1e4  # the test part has no say
    task = dataclasses.replace(task, targets=targets)
    error = np.sqrt(10 * targets[:, :40].var(axis=1))[:, None]
    carry = targets + error * np.array([[0.99], [1.01], [1.01], [NAN]], dtype=np.float32)
    rows = score(task, carry, carry[:, 40:])
    assert rows["diverged"].tolist() == [False, True, True, True]


def test_diverged_lanes_count_as_infinitely_bad_everywhere(small):
    task = small(lanes=3)
    carry = task.targets.copy()
    carry[1, :40] += 100  # only while training
    rows = score(task, carry, carry[:, 40:])
    for name in ("train_mse", "test_mse_reset", "test_mse_carry"):
        assert rows[name].tolist() == [0.0, INF, 0.0]
        assert np.isinf(rows[f"{name}_clean"]).tolist() == [False, True, False]


def test_an_earlier_epoch_does_not_hide_a_training_that_went_astray(small):
    task = small(lanes=4)
    carry = task.targets.copy()
    rows = score(task, carry, carry[:, 40:], last=np.array([0.1, 1e6, INF, NAN]))
    assert rows["diverged"].tolist() == [False, True, True, True]
    assert rows["test_mse_carry"].tolist() == [0.0, INF, INF, INF]
