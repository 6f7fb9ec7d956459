"""Persistence and ridge regression, against a referee that solves every choice by plain loops."""

import dataclasses
import itertools

import numpy as np
import pytest

from torchliquid.bench.models.classical import (
    edge_note,
    fit_interpolated_ar,
    fit_ridge_ar,
    mean,
    persistence,
    seasonal,
)
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.bench.tasks.task import Task
from torchliquid.forecast.ridge import ORDERS, PENALTIES
from torchliquid.tables.reader import Series

WEEK = np.array([0.4, -1.2, 0.9, 1.6, -0.3, -1.4, 0.1])


def ridge_ar(task):
    return fit_ridge_ar(task)(task)


def weeks(rows=400):
    noise = np.random.default_rng(0).standard_normal(rows)
    return WEEK[np.arange(rows) % 7] + 0.3 * noise


def autoregressive(steps: int, train: int, sigma: float, seed: int = 0) -> Task:
    """x_t = 1.6 x_{t-1} - 0.8 x_{t-2} + sigma e_t: only the last two values matter."""
    rng = np.random.default_rng(seed)
    x = [1.0, 0.5]
    while len(x) < steps + 51:
        x.append(1.6 * x[-1] - 0.8 * x[-2] + sigma * rng.standard_normal())
    series = np.array(x if not sigma else x[50:], dtype=np.float32)[: steps + 1]
    return Task("ar", {}, series[None, :-1, None], series[None, 1:].copy(), None, 1.0, train)


def change(task: Task, steps: slice, factor: float = 50.0, *, inputs=True, targets=True) -> Task:
    """The same task with other numbers at some steps."""
    x, y = task.inputs.copy(), task.targets.copy()
    if inputs:
        x[:, steps] = factor * x[:, steps] - 3
    if targets:
        y[:, steps] = factor * y[:, steps] + 7
    return dataclasses.replace(task, inputs=x, targets=y)


def referee(x, y, order, penalty, end, rows, first=None):
    """Predictions at ``rows`` of a ridge fit on steps ``first`` to ``end``: stacked equations."""

    def regressors(t):
        return [x[t - lag, feature] for lag in range(order) for feature in range(x.shape[1])]

    start = order - 1 if first is None else first
    fit = [t for t in range(start, end) if not np.isnan(y[t])]
    A = np.array([[*regressors(t), 1.0] for t in fit])
    shrink = np.sqrt(penalty * len(fit)) * np.eye(A.shape[1])[:-1]  # all but the intercept
    stacked = np.concatenate([A, shrink])
    w = np.linalg.lstsq(stacked, np.concatenate([y[fit], np.zeros(len(shrink))]))[0]
    return np.array([np.dot([*regressors(t), 1.0], w) for t in rows])


# --- persistence ------------------------------------------------------------------------------


def test_persistence_is_the_current_value(small, table):
    task = small()
    carry, reset, parameters, _ = persistence(task)
    np.testing.assert_array_equal(carry, task.inputs[:, :, 0])
    np.testing.assert_array_equal(reset, task.inputs[:, 40:, 0])
    assert parameters == 0
    task = table()
    carry, reset, *_ = persistence(task)
    np.testing.assert_array_equal(carry, task.inputs[..., 0])
    np.testing.assert_array_equal(reset, task.inputs[:, 75:, 0])


# --- ridge regression -------------------------------------------------------------------------


def test_recovers_a_process_without_noise(monkeypatch):
    monkeypatch.setattr("torchliquid.forecast.ridge.ORDERS", (1, 2))
    monkeypatch.setattr("torchliquid.forecast.ridge.PENALTIES", (1e-12,))
    task = autoregressive(80, 40, sigma=0.0)
    carry, reset, parameters, _ = ridge_ar(task)
    assert parameters == 3
    np.testing.assert_allclose(carry[0, 1:], task.targets[0, 1:], atol=1e-5)
    np.testing.assert_allclose(reset[0, 1:], task.targets[0, 41:], atol=1e-5)


def test_nearly_as_good_as_the_true_coefficients():
    task = autoregressive(4000, 2000, sigma=0.3)
    carry, _, parameters, _ = ridge_ar(task)
    x, y = task.inputs[0, :, 0], task.targets[0]
    true = 1.6 * x[1:] - 0.8 * x[:-1]
    best = np.mean((true[2000:] - y[2001:]) ** 2)
    found = np.mean((carry[0, 2001:] - y[2001:]) ** 2)
    assert best == pytest.approx(0.09, rel=0.1)
    assert found < 1.03 * best
    assert parameters >= 3
    assert np.mean((x[2001:] - y[2001:]) ** 2) > 2 * best  # persistence is not as good


def test_order_and_penalty_are_the_best_on_validation_steps():
    task = dataclasses.replace(autoregressive(145, 85, sigma=0.5, seed=2), valid=25)
    task.targets[0, [5, 70, 90]] = np.nan
    x, y = task.inputs[0].astype(float), task.targets[0].astype(float)
    orders = [order for order in ORDERS if order <= 32]  # 64 would leave less than half of the rows
    first = orders[-1] - 1  # all orders are fitted to the same rows
    errors = {
        (order, penalty): np.nanmean(
            (referee(x, y, order, penalty, 85, range(85, 110), first) - y[85:110]) ** 2
        )
        for order, penalty in itertools.product(orders, PENALTIES)
    }
    order, penalty = min(errors, key=errors.__getitem__)
    assert 1 < order < orders[-1]  # the case tests a choice
    carry, reset, parameters, _ = ridge_ar(task)
    assert parameters == order + 1
    # fitted again on all its rows; at the start, the orders that the inputs so far allow
    expected = [referee(x, y, k, penalty, 85, [k - 1], order - 1)[0] for k in range(1, order)]
    expected += list(referee(x, y, order, penalty, 85, range(order - 1, 145)))
    np.testing.assert_allclose(carry[0], expected, atol=1e-5)
    # and after a reset as if nothing had been before
    start, T = 110, 145
    test = np.concatenate([x[:85], x[start:]])  # the referee's fit, the test steps behind it
    after = [
        referee(test, y, min(k, order), penalty, 85, [85 + k - 1], order - 1)[0]
        for k in range(1, T - start)
    ]
    np.testing.assert_allclose(reset[0, : len(after)], after, atol=1e-5)


def test_interpolation_is_needed_where_samples_are_missing_or_irregular():
    signal = SumOfSines()
    even = article_task(signal, 4, 3)
    same = fit_interpolated_ar(even)(even)
    np.testing.assert_allclose(same.carry, ridge_ar(even).carry, atol=1e-5)
    for options, least in (({"missing": 0.3}, 0.8), ({"sampling": "irregular"}, 0.3)):
        task = article_task(signal, 4, 3, **options)
        errors = [
            np.nanmean((method(task)(task).carry - task.targets)[:, -task.test :] ** 2)
            for method in (fit_interpolated_ar, fit_ridge_ar)
        ]
        assert errors[0] < least * errors[1]


def test_interpolation_never_sees_the_future():
    task = article_task(SumOfSines(), 2, 3, sampling="irregular", missing=0.3)
    method = fit_interpolated_ar(task)
    carry, reset, *_ = method(task)
    other = method(change(task, slice(250, None)))
    np.testing.assert_array_equal(carry[:, :250], other.carry[:, :250])
    np.testing.assert_array_equal(reset[:, :50], other.reset[:, :50])
    assert np.abs(carry - other.carry)[:, 250:].max() > 1
    np.testing.assert_array_equal(  # samples that were not observed, whatever stands there
        method(dataclasses.replace(
            task, inputs=np.where(task.observed[..., None], task.inputs, 99.0).astype(np.float32)
        )).carry,
        carry,
    )  # fmt: skip


def test_several_features_and_irregular_time_are_used(table):
    task = table()
    _, _, parameters = ridge_ar(task)[:3]
    assert (parameters - 1) % 3 == 0
    steps = np.arange(task.steps)
    told = np.where(steps % 2, 0.1, 0.2).astype(np.float32)  # dt says it all
    clock = dataclasses.replace(
        task, inputs=np.zeros_like(task.inputs), targets=told[None], dt=told, valid=25
    )
    carry, _, _ = ridge_ar(clock)[:3]
    np.testing.assert_allclose(carry[0], told, atol=1e-3)


@pytest.mark.parametrize("valid", [0, 30])
def test_test_data_change_no_weight(valid):
    task = dataclasses.replace(autoregressive(160, 80, sigma=0.5), valid=valid)
    before = slice(0, 80 + valid)
    after = slice(80 + valid, None)
    carry, reset, parameters, _ = ridge_ar(task)
    other, _, same = ridge_ar(change(task, after))[:3]
    np.testing.assert_array_equal(carry[:, before], other[:, before])
    assert parameters == same
    # targets alone: not even the predictions of the test steps move
    blind_carry, blind_reset, _ = ridge_ar(change(task, after, inputs=False))[:3]
    np.testing.assert_array_equal(carry, blind_carry)
    np.testing.assert_array_equal(reset, blind_reset)
    # the same test can see a change of what may be learnt from
    learnt, _, _ = ridge_ar(change(task, slice(60, 80), inputs=False))[:3]
    assert np.abs(learnt - carry).max() > 0.1


def test_validation_targets_choose_but_are_not_fitted(monkeypatch):
    task = dataclasses.replace(autoregressive(160, 80, sigma=0.5), valid=30)
    monkeypatch.setattr("torchliquid.forecast.ridge.ORDERS", (2,))
    monkeypatch.setattr("torchliquid.forecast.ridge.PENALTIES", (1e-3,))
    carry, _, _ = ridge_ar(task)[:3]
    other, _, _ = ridge_ar(change(task, slice(80, 110), inputs=False))[:3]
    np.testing.assert_array_equal(carry, other)


def test_no_prediction_sees_the_future():
    task = autoregressive(160, 80, sigma=0.5)
    carry, reset, _ = ridge_ar(task)[:3]
    other_carry, other_reset, _ = ridge_ar(change(task, slice(120, None), targets=False))[:3]
    np.testing.assert_array_equal(carry[:, :120], other_carry[:, :120])
    np.testing.assert_array_equal(reset[:, :40], other_reset[:, :40])
    assert np.abs(reset - other_reset)[:, 40].max() > 1


def test_each_lane_is_fitted_on_its_own_draw(small):
    task = small(lanes=3, steps=100, train=70)
    carry, reset, parameters, _ = ridge_ar(task)
    assert carry.shape == (3, 100)
    assert reset.shape == (3, 30)
    sizes = []
    for lane in range(3):
        one = slice(lane, lane + 1)
        alone = dataclasses.replace(task, inputs=task.inputs[one], targets=task.targets[one])
        lane_carry, lane_reset, size = ridge_ar(alone)[:3]
        np.testing.assert_array_equal(carry[one], lane_carry)
        np.testing.assert_array_equal(reset[one], lane_reset)
        sizes.append(size)
    assert parameters == sorted(sizes)[1]


def test_shared_data_give_one_row(table):
    task = table()
    carry, reset, _ = ridge_ar(task)[:3]
    assert carry.shape == (1, 100)
    assert reset.shape == (1, 25)
    assert carry.dtype == reset.dtype == np.float32


def test_missing_targets_are_not_fitted():
    task = autoregressive(160, 80, sigma=0.5)
    with_gap = change(task, slice(30, 34), inputs=False)
    with_gap.targets[0, 30:34] = np.nan
    carry, _, _ = ridge_ar(with_gap)[:3]
    assert np.isfinite(carry).all()
    assert np.abs(carry - ridge_ar(task)[0]).max() < 0.5  # NaN, or numbers 50 times too large


def test_no_target_at_all_to_choose_on():
    task = autoregressive(160, 80, sigma=0.5)
    task.targets[0, 64:80] = np.nan
    carry, reset, _ = ridge_ar(task)[:3]
    assert np.isfinite(carry).all()
    assert np.isfinite(reset).all()


def test_the_edge_of_the_penalties_is_said():
    """A walk whose changes nothing foretells beside sixty columns of noise: shrink a lot."""
    rng = np.random.default_rng(4)
    walk = np.cumsum(rng.standard_normal(601))
    values = np.column_stack([walk, rng.standard_normal((601, 60))])
    task = table_task(Series("walk", tuple(f"c{k}" for k in range(61)), values))
    carry = ridge_ar(task).carry
    assert np.abs(carry - task.inputs[..., 0]).max() < 0.15
    note = edge_note([PENALTIES[-1], 1.0])
    assert "in 1 of 2 lanes" in note[0]
    assert edge_note([1.0]) == ()


def test_the_mean_is_that_of_the_training_targets(small):
    task = small()
    carry, reset, parameters, _ = mean(task)
    np.testing.assert_allclose(carry[:, 0], task.targets[:, : task.train].mean(axis=1), rtol=1e-6)
    assert (carry == carry[:, :1]).all()
    assert reset.shape == (3, task.test)
    assert parameters == 1


# --- a season ---------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 3, 7, 9])
def test_the_value_a_season_before_and_none_of_later_rows(horizon):
    series = Series("s", ("y",), weeks()[:, None])
    task = table_task(series, horizon=horizon)
    carry, reset, _, notes = seasonal(task)
    assert notes == ("season of 7 rows, found in the training part",)
    back = 7 * -(-horizon // 7)
    rows = np.arange(back, task.steps)
    of_target = (series.values[rows + horizon - back, 0] - task.offset) / task.scale
    np.testing.assert_allclose(carry[0, rows], of_target, rtol=1e-5, atol=1e-6)
    assert reset.shape == (1, task.test)
    np.testing.assert_array_equal(reset[0, back:], carry[0, task.steps - task.test + back :])
    at = task.steps - 20
    later = seasonal(change(task, slice(at, None)))
    np.testing.assert_array_equal(later.carry[0, :at], carry[0, :at])
    assert later.notes == notes  # the season is the training part's


def test_without_a_season_it_is_persistence():
    walk = np.cumsum(np.random.default_rng(0).standard_normal((300, 1)), axis=0)
    task = table_task(Series("walk", ("y",), walk))
    np.testing.assert_array_equal(seasonal(task).carry, persistence(task).carry)
    assert "no season" in seasonal(task).notes[0]
    times = np.cumsum(np.random.default_rng(1).uniform(0.5, 2, 400))
    task = table_task(Series("w", ("y",), weeks()[:, None], times=times, time="t"))
    assert "no season" in seasonal(task).notes[0]
