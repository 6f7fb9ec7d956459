"""The oscillator filter against the Gaussian process that it computes, written out whole."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from torchliquid.functional._oscillator_filter import oscillator_filter, oscillator_forecast

B, K, L = 2, 3, 40


def case(seed=0, missing=0.2):
    rng = np.random.default_rng(seed)
    values = {
        "x": rng.standard_normal((B, L)),
        "dt": rng.gamma(2.0, 0.3, (B, L)),
        "frequency": rng.uniform(0.3, 4.0, (B, K)),
        "decay": rng.uniform(0.02, 0.5, (B, K)),
        "spread": rng.uniform(0.3, 1.0, (B, K)),
        "noise": rng.uniform(0.1, 0.4, B),
    }
    values["observed"] = rng.random((B, L)) >= missing
    return {name: torch.from_numpy(value) for name, value in values.items()}


def covariance(given, row, times, others):
    """Of the signal without noise at some times and others: a sum of damped cosines."""
    apart = np.abs(times[:, None] - others[None])
    w, r, q = (given[name][row].numpy() for name in ("frequency", "decay", "spread"))
    return sum(q[k] ** 2 * np.exp(-r[k] * apart) * np.cos(w[k] * apart) for k in range(K))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_likelihood_and_forecasts_are_those_of_the_whole_gaussian(missing):
    given = case(missing=missing)
    found = oscillator_filter(**given)
    horizon = torch.tensor([0.7, 1.9], dtype=torch.float64)
    forecast = oscillator_forecast(found.states, horizon, given["frequency"], given["decay"])
    for row in range(B):
        seen = np.flatnonzero(given["observed"][row])
        times, x = given["dt"][row].cumsum(0).numpy(), given["x"][row].numpy()
        noise = float(given["noise"][row]) ** 2
        whole = covariance(given, row, times[seen], times[seen]) + noise * np.eye(len(seen))
        errors, variances = found.errors[row, seen].numpy(), found.variances[row, seen].numpy()
        log_likelihood = -0.5 * (np.log(2 * math.pi * variances) + errors**2 / variances).sum()
        expected = multivariate_normal(cov=whole).logpdf(x[seen])
        assert log_likelihood == pytest.approx(expected, rel=1e-9)
        for step in (0, 7, L - 1):
            known = seen[seen <= step]
            if not len(known):
                continue
            among = covariance(given, row, times[known], times[known])
            later = np.array([times[step] + float(horizon[row])])
            weights = np.linalg.solve(
                among + noise * np.eye(len(known)), covariance(given, row, times[known], later)
            )
            assert float(forecast[row, step]) == pytest.approx(float(x[known] @ weights[:, 0]))


def test_gradients():
    given = case()
    floats = [name for name, value in given.items() if value.is_floating_point()]

    def likelihood(*values):
        run = oscillator_filter(**{**given, **dict(zip(floats, values, strict=True))})
        return ((run.variances.log() + run.errors**2 / run.variances) * given["observed"]).sum(1)

    small = [given[name][..., :6] if name in ("x", "dt") else given[name] for name in floats]
    given["observed"] = given["observed"][:, :6]
    assert torch.autograd.gradcheck(likelihood, [v.clone().requires_grad_() for v in small])


def test_a_lost_sample_is_a_longer_gap():
    given = case(missing=0.0)
    lost = 11
    given["observed"][:, lost] = False
    whole = oscillator_filter(**given)
    kept = [k for k in range(L) if k != lost]
    dt = given["dt"].clone()
    dt[:, lost + 1] += dt[:, lost]
    short = {name: given[name][:, kept] for name in ("x", "observed")} | {"dt": dt[:, kept]}
    found = oscillator_filter(**{**given, **short})
    torch.testing.assert_close(found.states, whole.states[:, kept], atol=1e-10, rtol=0)
    given["x"][:, lost] = math.nan  # whatever stands there
    again = oscillator_filter(**given)
    torch.testing.assert_close(again.states, whole.states, atol=0, rtol=0)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e6, 1e300])
def test_stays_bounded_for_any_gap(gap):
    given = case()
    given["dt"][:, 9] = gap
    found = oscillator_filter(**given)
    assert found.states.isfinite().all()
    rest = (given["spread"] ** 2).sum(1, keepdim=True) + given["noise"][:, None] ** 2
    assert (found.variances > given["noise"][:, None] ** 2 * (1 - 1e-9)).all()
    assert (found.variances <= rest * (1 + 1e-9)).all()
    if gap >= 1e6:  # the past is forgotten: at rest again
        torch.testing.assert_close(found.variances[:, 9:10], rest)


@pytest.mark.parametrize("size", [1, 7])
def test_steps_and_parts_are_the_whole(size):
    given = case(missing=0.2)
    whole, last, states = oscillator_filter(**given), None, []
    for first in range(0, L, size):
        part = {name: given[name][:, first : first + size] for name in ("x", "dt", "observed")}
        run = oscillator_filter(**{**given, **part}, start=last)
        last = run.last
        states.append(run.states)
    torch.testing.assert_close(torch.cat(states, 1), whole.states, atol=1e-13, rtol=0)
    torch.testing.assert_close(last, whole.last, atol=1e-13, rtol=0)


def test_a_series_does_not_see_the_others():
    given = case()
    whole = oscillator_filter(**given)
    alone = oscillator_filter(**{name: value[1:] for name, value in given.items()})
    torch.testing.assert_close(alone.states, whole.states[1:], atol=1e-12, rtol=0)
