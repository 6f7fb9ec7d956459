"""The article's series: frozen, checked, and the same whoever draws it."""

import dataclasses
import math

import numpy as np
import pytest

from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.errors import TorchliquidError


def test_default_interval():
    assert SumOfSines().interval == pytest.approx(0.1)
    assert SumOfSines(steps=60, train=40, span=12.0).interval == pytest.approx(0.2)


def test_clean_signal_by_the_formula():
    series = SumOfSines(sines=((2.0, 0.5), (-0.25, 3.0), (0.1, 7.0)), steps=50, train=30, span=10.0)
    expected = [
        2.0 * math.sin(0.5 * t) - 0.25 * math.sin(3.0 * t) + 0.1 * math.sin(7.0 * t)
        for t in (10.0 / 50 * step for step in range(51))
    ]
    np.testing.assert_allclose(series.clean(), expected, atol=1e-12)


def test_one_sample_more_than_steps():
    series = SumOfSines()
    assert series.clean().shape == series.noisy(np.random.default_rng(0)).shape == (301,)


def test_noise_has_the_deviation_asked_for():
    series = SumOfSines(sigma=0.3, steps=40_000, train=100)
    noise = series.noisy(np.random.default_rng(3)) - series.clean()
    # 40,001 draws: the mean of such noise has deviation 0.0015, its deviation 0.0011
    assert abs(noise.mean()) < 0.006
    assert noise.std() == pytest.approx(0.3, abs=0.005)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.02


def test_draws_follow_the_generator_and_leave_the_clean_signal_alone():
    series = SumOfSines()
    clean = series.clean()
    first, again = (series.noisy(np.random.default_rng((0, 4))) for _ in range(2))
    other = series.noisy(np.random.default_rng((0, 5)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
    np.testing.assert_array_equal(series.clean(), clean)


def test_no_noise_is_the_clean_signal():
    series = SumOfSines(sigma=0.0)
    np.testing.assert_array_equal(series.noisy(np.random.default_rng(0)), series.clean())


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SumOfSines().sigma = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sines": ()}, "sines is ()"),
        ({"sines": ((1.0, math.nan),)}, "nan"),
        ({"sines": ((math.inf, 1.0),)}, "inf"),
        ({"sines": ((0.0, 1.0), (0.0, 2.0))}, "constant"),
        ({"sigma": -0.1}, "sigma is -0.1"),
        ({"sigma": math.nan}, "sigma is nan"),
        ({"sigma": math.inf}, "sigma is inf"),
        ({"span": 0.0}, "span is 0.0"),
        ({"span": -3.0}, "span is -3.0"),
        ({"span": math.nan}, "span is nan"),
        ({"span": math.inf}, "span is inf"),
        ({"train": 19}, "train is 19 of 300 steps"),
        ({"train": 291}, "train is 291 of 300 steps"),
        ({"steps": 200}, "train is 200 of 200 steps"),
        ({"steps": -5}, "of -5 steps"),
    ],
)
def test_errors_name_what_was_given(change, named):
    with pytest.raises(TorchliquidError) as caught:
        SumOfSines(**change)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", [{"train": 20}, {"train": 290}, {"train": 20, "steps": 30}])
def test_shortest_stretches_are_allowed(split):
    assert SumOfSines(**split).clean().size


@pytest.mark.parametrize("sines", [((1.0, 0.0),), ((1.0, 2.0), (-1.0, 2.0))])
def test_sines_that_add_up_to_nothing(sines):
    with pytest.raises(TorchliquidError, match="constant"):
        SumOfSines(sines=sines)


@pytest.mark.parametrize("change", [{"sines": ((1e39, 1.0),)}, {"sigma": 1e39}])
def test_numbers_too_large_to_compute_with(change):
    with pytest.raises(TorchliquidError, match=r"1e\+39"):
        SumOfSines(**change)
