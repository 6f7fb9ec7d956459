"""Parameters for an equal error, where the answer is known."""

import numpy as np
import pytest

from torchliquid.bench.judging.parameter_efficiency import equal_error, words
from torchliquid.bench.run.store import Run


def run(name, parameters, error, lanes=30, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    errors = error * np.exp(noise * rng.standard_normal(lanes))
    return Run(name, {"parameters": parameters}, {"test_mse_carry": errors})


def ladder(power=-1.0, noise=0.0, sizes=(100, 400, 1200, 5000)):
    return [run(f"B-{n}", n, n**power, noise=noise, seed=n) for n in sizes]


@pytest.mark.parametrize("needed", [100.5, 250, 400, 3000, 4999])
def test_a_power_law_is_read_off(needed):
    row = equal_error(run("A", 105, 1 / needed), ladder(), "test_mse_carry")
    assert row["needed"] == pytest.approx(needed, abs=1)
    assert row["times"] == pytest.approx(needed / 105, rel=0.01)
    assert row["interval"] == [row["times"], row["times"]]
    assert not row["beyond"]


def test_beyond_the_ends():
    below = equal_error(run("A", 105, 1 / 90), ladder(), "test_mse_carry")
    assert (below["beyond"], below["needed"]) == ("below", None)
    assert words(below) == "< 0.95 times"
    above = equal_error(run("A", 105, 1 / 6000), ladder(), "test_mse_carry")
    assert (above["beyond"], above["needed"]) == ("above", None)
    assert words(above) == "> 48 times"


def test_the_first_rung_that_comes_down_counts():
    rungs = [run("B-1", 100, 3.0), run("B-2", 200, 1.0), run("B-3", 400, 5.0), run("B-4", 800, 1.0)]
    assert equal_error(run("A", 100, 1.0), rungs[::-1], "test_mse_carry")["needed"] == 200


def test_intervals_cover_what_is_true():
    """Of 60 comparisons of noisy ladders, nine in ten intervals at least hold the true factor."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(60):
        noise = 0.4
        rungs = [
            Run(
                f"B-{n}",
                {"parameters": n},
                {"test_mse_carry": np.exp(noise * rng.standard_normal(30)) / n},
            )
            for n in (100, 400, 1200, 5000)
        ]
        own = Run(
            "A",
            {"parameters": 100},
            {"test_mse_carry": np.exp(noise * rng.standard_normal(30)) / 800},
        )
        low, high = equal_error(own, rungs, "test_mse_carry")["interval"]
        held += low <= 8 <= high
    assert held >= 54


def test_lanes_that_diverged_count_as_the_worst():
    bad = run("B-9", 9000, 1.0)
    bad.arrays["test_mse_carry"][:] = np.inf
    row = equal_error(run("A", 105, 1 / 250), [*ladder(), bad], "test_mse_carry")
    assert row["needed"] == pytest.approx(250, abs=1)
