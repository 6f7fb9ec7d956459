"""The echo state network and the harmonic regression, against slow versions and known answers."""

import dataclasses

import numpy as np
import pytest

from torchliquid.bench.models.classical import fit_ridge_ar
from torchliquid.bench.models.harmonics import fit_harmonics
from torchliquid.bench.models.methods import METHODS
from torchliquid.bench.models.reservoir import PENALTIES, UNITS, _rows, _Settings, fit_reservoir
from torchliquid.bench.run.scoring import score
from torchliquid.bench.tasks.attractors import Attractor
from torchliquid.bench.tasks.shifts import shifted
from torchliquid.bench.tasks.signal_task import article_task, attractor_task, sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind, SumOfSines
from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task

SINES = ((1.0, 1.0), (0.5, 2.5))


def test_error(task, forecast):
    return score(task, forecast.carry, forecast.reset)["test_mse_carry"]


test_error.__test__ = False


# --- harmonics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["even", "irregular"])
def test_sines_are_found_and_extrapolated(sampling):
    task = article_task(SumOfSines(SINES, 0.05), 4, 0, sampling=sampling)
    forecast = fit_harmonics(task)(task)
    assert forecast.parameters == 7
    assert "2 sines" in forecast.notes[0]
    clean = np.mean((forecast.carry[:, 200:] - task.clean[:, 200:]) ** 2, axis=1)
    assert (clean < 0.05**2 / 4).all()  # far below the noise, 100 steps beyond the training part


def test_it_never_looks_at_the_test_stretch():
    task = article_task(SumOfSines(SINES, 0.05), 2, 0)
    method = fit_harmonics(task)
    plain = method(task).carry
    noisy = shifted(task, "noise", 5, lanes=2, seed=0, takes_dt=True).task
    np.testing.assert_array_equal(method(noisy).carry, plain)
    gaps, steps = shifted(task, "gaps", 4, lanes=2, seed=0, takes_dt=True)
    np.testing.assert_allclose(method(gaps).carry, plain[:, steps], atol=1e-3)


def test_a_constant_and_noise_have_no_sines():
    rng = np.random.default_rng(0)
    import dataclasses

    task = article_task(SumOfSines(), 2, 0)
    for y in (np.full((2, 300), 3.0), rng.standard_normal((2, 300))):
        flat = dataclasses.replace(task, targets=y.astype(np.float32))
        forecast = fit_harmonics(flat)(flat)
        assert "0 sines" in forecast.notes[0]
        np.testing.assert_allclose(forecast.carry, y[:, :200].mean(axis=1, keepdims=True).repeat(
            300, axis=1), rtol=1e-4)  # fmt: skip


def test_missing_targets_and_a_table():
    task = article_task(SumOfSines(SINES, 0.05), 2, 0, missing=0.3)
    forecast = fit_harmonics(task)(task)
    assert np.nanmean((forecast.carry - task.clean) ** 2) < 0.05**2 / 2
    table = table_task(sunspots())
    assert np.isfinite(fit_harmonics(table)(table).carry).all()


# --- the echo state network ---------------------------------------------------------------------


def test_states_step_by_step():
    rng = np.random.default_rng(3)
    x, line = rng.standard_normal((40, 2)), np.arange(5, 40)
    settings = _Settings.all()
    ((steps, rows),) = list(_rows(x, line, settings))
    np.testing.assert_array_equal(steps, line)
    signs = np.where(np.random.default_rng(0).random((2, UNITS)) < 0.5, -1.0, 1.0)
    for c in (0, 7, len(settings.ring) - 1):
        ring, weight, leak = (float(v[c, 0, 0]) for v in settings)
        s = np.zeros(UNITS)
        for k, step in enumerate(line):
            neighbour = np.array([s[i - 1] for i in range(UNITS)])
            s = (1 - leak) * s + leak * np.tanh(ring * neighbour + weight * (x[step] @ signs))
            np.testing.assert_allclose(rows[c, k], [*s, *x[step], 1.0], rtol=1e-10, atol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    from torchliquid.bench.models import reservoir

    task = attractor_task(Attractor("lorenz", steps=120, train=80), 2, 0)
    whole = fit_reservoir(task)(task)
    monkeypatch.setattr(reservoir, "BLOCK", 24 * 102 * 7)
    np.testing.assert_allclose(fit_reservoir(task)(task).carry, whole.carry, rtol=1e-4, atol=1e-5)


def test_the_readout_is_ridge_regression():
    task = article_task(SumOfSines(steps=120, train=80), 1, 0)
    forecast = fit_reservoir(task)(task)
    best = np.inf
    x = task.inputs[0].astype(float)
    y = task.targets[0].astype(float)
    for c in range(24):
        ((_, rows),) = list(_rows(x, np.arange(120), _Settings.all().of(c)))
        for penalty in PENALTIES:

            def fit(end, rows=rows[0], penalty=penalty):
                shrink = penalty * end * np.eye(rows.shape[1])
                shrink[-1, -1] = 1e-12
                among = rows[:end].T @ rows[:end] + shrink
                return np.linalg.solve(among, rows[:end].T @ y[:end])

            error = np.mean((rows[0][64:80] @ fit(64) - y[64:80]) ** 2)
            if error < best:
                best, wanted = error, rows[0] @ fit(80)
    np.testing.assert_allclose(forecast.carry[0], wanted, rtol=1e-3, atol=1e-4)
    assert forecast.parameters == UNITS + 2 + 3


def test_it_learns_chaos_better_than_a_linear_model():
    task = attractor_task(Attractor("mackey-glass", sigma=0.0), 4, 0)
    ours, linear = (
        test_error(task, fit_reservoir(task)(task)),
        test_error(task, fit_ridge_ar(task)(task)),
    )
    assert np.median(ours / linear) < 0.5


# --- all methods --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_no_test_target_is_looked_at(name, table):
    import dataclasses

    for task in (article_task(SumOfSines(steps=60, train=40), 2, 0), table()):
        targets = task.targets.copy()
        targets[:, task.steps - task.test :] = 9.0
        other = dataclasses.replace(task, targets=targets)
        for one, two in zip(METHODS[name][1](task)(task)[:2], METHODS[name][1](other)(other)[:2],
                            strict=True):  # fmt: skip
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("shift", ["gaps", "rate", "dropped"])
@pytest.mark.parametrize("name", METHODS)
def test_each_lane_of_a_kind_is_fitted_and_forecast_by_itself(name, shift):
    """Signals, times and missing samples are each lane's own."""
    fit = METHODS[name][1]
    task = sines_task(SinesOfAKind(120, 90), 3, 0, sampling="irregular", missing=0.2)
    options = {"lanes": 3, "seed": 0, "takes_dt": True}
    other = shifted(task, shift, 3, **options).task
    together = fit(task)
    for lane in range(3):
        alone = fit(lane_of(task, lane))
        for whole, one in ((task, lane_of(task, lane)), (other, lane_of(other, lane))):
            forecast, expected = together(whole), alone(one)
            np.testing.assert_allclose(forecast.carry[lane], expected.carry[0], atol=1e-5)
            np.testing.assert_allclose(forecast.reset[lane], expected.reset[0], atol=1e-5)


def lane_of(task, lane):
    one = slice(lane, lane + 1)
    return dataclasses.replace(
        task,
        inputs=task.inputs[one],
        targets=task.targets[one],
        observed=task.observed[one],
        dt=task.dt[lane],
    )
