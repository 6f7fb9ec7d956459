"""Chaotic series against SciPy's solver, and against what is known of them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from torchliquid.bench.tasks.attractors import SYSTEMS, Attractor
from torchliquid.bench.tasks.sampling import drawn_times, even_times
from torchliquid.errors import TorchliquidError


def rngs(count, seed=0):
    return [np.random.default_rng((seed, i)) for i in range(count)]


@pytest.mark.parametrize("name", ["lorenz", "roessler"])
def test_against_scipy(name, monkeypatch):
    system = SYSTEMS[name]
    monkeypatch.setitem(SYSTEMS, name, system._replace(transient=0.0))
    times = np.linspace(0, 5, 101)
    found = Attractor(name).at(times, rngs(2))
    for lane, rng in enumerate(rngs(2)):
        exact = solve_ivp(lambda _, s: system.rate(s), (0, 5), rng.uniform(-1, 1, 3),
                          t_eval=times, rtol=1e-11, atol=1e-12)  # fmt: skip
        wanted = (exact.y[0] - system.mean) / system.scale
        np.testing.assert_allclose(found[lane], wanted, atol=2e-5)


def test_mackey_glass_step_by_step():
    """Within the first delay the past is constant: an ordinary equation, that SciPy solves."""
    system = SYSTEMS["mackey-glass"]
    past = np.random.default_rng((0, 0)).uniform(0.5, 1.5)
    grow = 0.2 * past / (1 + past**10)
    times = np.linspace(0, 17, 35)
    exact = grow / 0.1 + (past - grow / 0.1) * np.exp(-0.1 * times)
    # the second delay: the past is that solution
    later = np.linspace(17, 34, 35)

    def rate(t, x):
        then = grow / 0.1 + (past - grow / 0.1) * np.exp(-0.1 * (t - 17))
        return 0.2 * then / (1 + then**10) - 0.1 * x

    second = solve_ivp(rate, (17, 34), [exact[-1]], t_eval=later, rtol=1e-11, atol=1e-12).y[0]
    wanted = (np.concatenate([exact, second]) - system.mean) / system.scale
    from torchliquid.bench.tasks import attractors

    x, slope = attractors._delayed(system, rngs(1), 340)
    assert x.shape == slope.shape == (341, 1)
    found = np.interp(np.concatenate([times, later]), 0.1 * np.arange(341), x[:, 0])
    np.testing.assert_allclose((found - system.mean) / system.scale, wanted, atol=1e-6)


@pytest.mark.parametrize("name", SYSTEMS)
def test_on_the_attractor_in_standard_deviations(name):
    signal = Attractor(name, steps=3000, train=2000)
    x = signal.at(signal.interval * np.arange(3000.0), rngs(6))
    assert x.mean() == pytest.approx(0.0, abs=0.15)
    assert x.std() == pytest.approx(1.0, abs=0.08)
    assert np.abs(np.corrcoef(x)[np.triu_indices(6, 1)]).max() < 0.95


@pytest.mark.parametrize("name", SYSTEMS)
def test_lanes_do_not_hang_on_one_another(name):
    signal, times = Attractor(name), np.linspace(0, 20, 50)
    np.testing.assert_array_equal(signal.at(times, rngs(3))[:2], signal.at(times, rngs(2)))


def test_refused():
    with pytest.raises(TorchliquidError, match="system is 'lorentz': give one of lorenz"):
        Attractor("lorentz")
    with pytest.raises(TorchliquidError, match="sigma is -1"):
        Attractor("lorenz", sigma=-1)
    with pytest.raises(TorchliquidError, match="train is 599 of 600"):
        Attractor("lorenz", train=599)


def test_times():
    gaps = np.diff(drawn_times(100_000, 99_999, 0.1, np.random.default_rng(0)))
    assert gaps.mean() == pytest.approx(0.1, rel=0.02)
    assert gaps.std() == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    assert (gaps > 0).all()
    plain, fast = (drawn_times(50, 30, 1.0, np.random.default_rng(1), s) for s in (1.0, 3.0))
    np.testing.assert_array_equal(plain[:31], fast[:31])
    np.testing.assert_allclose(np.diff(fast)[30:], 3 * np.diff(plain)[30:])
    np.testing.assert_allclose(np.diff(even_times(5, 3, 0.5, 2.0)), [0.5, 0.5, 0.5, 1.0, 1.0])
