"""Ridge regression on lags, against plain loops that leave out one row at a time."""

import itertools

import numpy as np
import pytest

from torchliquid.forecast.regressors import InterpolatedLags, Lags
from torchliquid.forecast.ridge import PENALTIES, fit_ridge

WHOLE = [np.arange(120)]


def series(features=1):
    """x_t = 1.6 x_{t-1} - 0.8 x_{t-2} + 0.5 e_t: only the last two values matter."""
    rng = np.random.default_rng(1)
    x = [1.0, 0.5]
    while len(x) < 121:
        x.append(1.6 * x[-1] - 0.8 * x[-2] + 0.5 * rng.standard_normal())
    others = rng.standard_normal((120, features - 1))
    return np.column_stack([x[:-1], others]), np.array(x[1:])


def left_out(rows, y, penalty):
    """The error of each row by a fit to all others, with the penalty of all rows."""
    errors = []
    for k in range(len(rows)):
        others = np.delete(np.arange(len(rows)), k)
        A = np.column_stack([rows[others], np.ones(len(others))])
        shrink = np.sqrt(penalty * len(rows)) * np.eye(A.shape[1])[:-1]
        stacked, aim = np.concatenate([A, shrink]), np.append(y[others], np.zeros(len(shrink)))
        w = np.linalg.lstsq(stacked, aim)[0]
        errors.append(rows[k] @ w[:-1] + w[-1] - y[k])
    return np.mean(np.square(errors))


@pytest.mark.parametrize("features", [1, 2])
def test_the_choice_has_the_lowest_leave_one_out_error(features):
    x, y = series(features)
    y[[11, 60]] = np.nan
    lags = Lags(x, WHOLE)
    orders = (1, 2, 4, 8, 16, 32)  # 64 would leave 35 of 98 rows
    steps = np.array([t for t in range(orders[-1] - 1, 100) if not np.isnan(y[t])])
    errors = {
        (order, penalty): left_out(lags.rows(steps, order), y[steps], penalty)
        for order, penalty in itertools.product(orders, PENALTIES)
    }
    ridge = fit_ridge(lags, y, 100)
    assert (ridge.order, ridge.penalty) == min(errors, key=errors.__getitem__)
    assert 1 < ridge.order < orders[-1]  # the case tests a choice
    assert ridge.parameters == ridge.order * features + 1


def test_several_series_never_mix():
    x, y = series()
    lines = [np.arange(0, 120, 2), np.arange(1, 120, 2)]
    lags = Lags(x, lines)
    np.testing.assert_array_equal(lags.rows(np.array([7, 2]), 3)[:, :],
                                  [[x[7, 0], x[5, 0], x[3, 0]], [x[2, 0], x[0, 0], 0]])  # fmt: skip
    assert lags.available[:6].tolist() == [1, 1, 2, 2, 3, 3]
    np.testing.assert_array_equal(
        lags.rows(np.arange(120), 4),
        InterpolatedLags(x, lines, np.arange(120) / 2, None, 1.0).rows(np.arange(120), 4),
    )
    ridge = fit_ridge(lags, y, 100)
    changed = x.copy()
    changed[1::2] += 5
    np.testing.assert_array_equal(
        ridge.predict(Lags(x, lines))[::2], ridge.predict(Lags(changed, lines))[::2]
    )


def test_interpolated_lags_against_one_step_at_a_time():
    rng = np.random.default_rng(0)
    clock = np.cumsum(rng.gamma(2.0, 0.5, 50))
    x = rng.standard_normal((50, 2))
    observed = rng.random(50) < 0.7
    observed[0] = True
    found = InterpolatedLags(x, [np.arange(50)], clock, observed, 1.0).rows(np.arange(50), 9)
    for t in range(50):
        known = np.flatnonzero(observed[: t + 1])
        times = clock[t] - np.arange(9)
        for k in range(2):
            expected = np.interp(times, clock[known], x[known, k])
            expected[times < clock[0] - 1e-6] = 0
            np.testing.assert_allclose(found[t, k::2], expected, atol=1e-12)


def test_a_series_that_is_too_short_for_a_choice():
    x, y = series()
    y[:] = np.nan
    ridge = fit_ridge(Lags(x, WHOLE), y, 100)
    assert ridge.order == 1
    assert np.isfinite(ridge.predict(Lags(x, WHOLE))).all()
