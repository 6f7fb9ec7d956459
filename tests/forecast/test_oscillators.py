"""Oscillators fitted by likelihood: frequencies found, nothing of the future seen."""

import numpy as np
import pytest

from torchliquid.forecast import fit_oscillators

GAP, STEPS, TRAIN = 0.5, 200, 140


def sampled(noise=0.1, seed=0, missing=0.2):
    """Two rows of a sine of frequency 1.3 around 5, at irregular times."""
    rng = np.random.default_rng(seed)
    gaps = rng.gamma(2.0, GAP / 2, (2, STEPS))
    times = gaps.cumsum(axis=1)
    x = 5 + 3 * np.sin(1.3 * times) + noise * rng.standard_normal((2, STEPS))
    return x, gaps, rng.random((2, STEPS)) >= missing, times


def fitted(x, gaps, observed, **options):
    part = slice(TRAIN)
    return fit_oscillators(x[:, part], gaps[:, part], observed[:, part], **options)


def test_finds_a_sine_and_forecasts_it():
    x, gaps, observed, times = sampled()
    found = fitted(x, gaps, observed, oscillators=2, epochs=200)
    strongest = found.logs[2].argmax(1, keepdim=True)
    frequency = found.logs[0].exp().gather(1, strongest)[:, 0].numpy() / found.gap
    np.testing.assert_allclose(frequency, 1.3, rtol=0.01)
    ahead = found.predict(x, gaps, observed, np.full(2, 0.8))
    truth = 5 + 3 * np.sin(1.3 * (times + 0.8))
    assert np.sqrt(np.mean((ahead - truth)[:, TRAIN:] ** 2)) < 0.1  # that of the noise
    assert found.parameters == 3 * 2 + 2


def test_forecasts_see_nothing_later():
    x, gaps, observed, _ = sampled()
    found = fitted(x, gaps, observed, epochs=5)
    forecast = found.predict(x, gaps, observed, np.full(2, 0.8))
    x[:, 150:], gaps[:, 150:] = 1e3, 9.0
    later = found.predict(x, gaps, observed, np.full(2, 0.8))
    np.testing.assert_array_equal(later[:, :150], forecast[:, :150])
    assert np.abs(later - forecast)[:, 150:].max() > 1


def test_a_series_is_fitted_as_if_alone():
    x, gaps, observed, _ = sampled()
    both = fitted(x, gaps, observed, epochs=20, starts=1)
    first = fitted(x[:1], gaps[:1], observed[:1], epochs=20, starts=1)
    for whole, one in zip(both.logs, first.logs, strict=True):
        np.testing.assert_allclose(whole[:1], one, atol=1e-6)


def test_the_unit_of_the_values_and_of_time_does_not_matter():
    x, gaps, observed, _ = sampled()
    options = {"oscillators": 2, "epochs": 20}
    one = fitted(x, gaps, observed, **options)
    other = fitted(1e3 * x - 7, 60 * gaps, observed, **options)
    np.testing.assert_allclose(
        other.predict(1e3 * x - 7, 60 * gaps, observed, np.full(2, 48.0)),
        1e3 * one.predict(x, gaps, observed, np.full(2, 0.8)) - 7,
        rtol=1e-6,
    )


@pytest.mark.parametrize("constant", [0.0, 4.0])
def test_a_constant_series(constant):
    gaps = np.ones((1, 60))
    found = fit_oscillators(np.full((1, 60), constant), gaps, gaps > 0, epochs=10)
    ahead = found.predict(np.full((1, 60), constant), gaps, gaps > 0, np.ones(1))
    np.testing.assert_allclose(ahead, constant, atol=1e-6)
