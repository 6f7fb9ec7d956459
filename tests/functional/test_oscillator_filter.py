"""The oscillator filter against the Gaussian process that it computes, written out whole."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from torchliquid import TorchliquidError, kernels
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


@pytest.mark.skipif(kernels.backend() != "native", reason="no native kernels")
@pytest.mark.parametrize(("size", "dtype"), [(1, "float64"), (6, "float64"), (6, "float32")])
def test_the_kernel_equals_the_loop_in_values_and_every_gradient(size, dtype):
    rng = np.random.default_rng(1)
    given = case(missing=0.3)
    for name, low, high in (("frequency", 0.1, 5), ("decay", 0.001, 1), ("spread", 0.1, 2)):
        given[name] = torch.from_numpy(rng.uniform(low, high, (B, size)))
    given = {
        n: t if t.dtype == torch.bool else t.to(getattr(torch, dtype)) for n, t in given.items()
    }
    names = ("frequency", "decay", "spread", "noise")
    for name in names:
        given[name].requires_grad_()
    seeds = [torch.from_numpy(rng.standard_normal((B, L))).to(given["x"]) for _ in range(2)]
    loop = oscillator_filter(**given)
    expected = [loop.errors, loop.variances]
    found = list(kernels.filter_likelihoods(**given))
    for values in (expected, found):
        loss = sum((value * seed).sum() for value, seed in zip(values, seeds, strict=True))
        values += torch.autograd.grad(loss, [given[name] for name in names])
    close = {"rtol": 1e-9, "atol": 1e-10} if dtype == "float64" else {"rtol": 2e-3, "atol": 2e-4}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **close)
    with torch.no_grad():
        again = kernels.filter_likelihoods(**given)
    assert all(torch.equal(a, b) for a, b in zip(again, found, strict=False))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [1, 6])
def test_the_kernel_equals_the_loop_in_states_and_goes_on_from_them(size, dtype):
    rng = np.random.default_rng(2)
    given = case(missing=0.3)
    for name, low, high in (("frequency", 0.0, 5), ("decay", 0.001, 1), ("spread", 0.1, 2)):
        given[name] = torch.from_numpy(rng.uniform(low, high, (B, size)))
    given = {n: t if t.dtype == torch.bool else t.to(dtype) for n, t in given.items()}
    given["x"][~given["observed"]] = math.nan
    expected, found = oscillator_filter(**given), kernels.filter_states(**given)
    close = (
        {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 2e-3, "atol": 1e-4}
    )
    torch.testing.assert_close(found.states, expected.states, **close)
    torch.testing.assert_close(found.last, expected.last, **close)
    seen = given["observed"]
    torch.testing.assert_close(found.errors[seen], expected.errors[seen], **close)
    torch.testing.assert_close(found.variances, expected.variances, **close)
    parts, last = [], None
    for some in (slice(0, 1), slice(1, 18), slice(18, L)):
        part = {name: given[name][:, some] for name in ("x", "dt", "observed")}
        run = kernels.filter_states(**given | part, start=last)
        parts, last = [*parts, run.states], run.last
    assert torch.equal(torch.cat(parts, 1), found.states)
    assert all(torch.equal(a, b) for a, b in zip(last, found.last, strict=True))


def test_a_start_of_other_sizes_is_refused():
    given = case()
    last = kernels.filter_states(**given).last
    small = {name: t[:, :2] if t.shape == (B, K) else t for name, t in given.items()}
    with pytest.raises(TorchliquidError, match="start has shapes"):
        kernels.filter_states(**small, start=last)


def test_gradients_of_samples_and_of_second_order_run_the_loop():
    given = {n: t[:1, :6] if n in ("x", "dt", "observed") else t[:1] for n, t in case().items()}
    names = [name for name in given if name != "observed"]

    def run(*values):
        return kernels.filter_likelihoods(**given | dict(zip(names, values, strict=True)))

    values = [given[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(run, values)
    assert torch.autograd.gradgradcheck(run, values)
