"""The solvers against SciPy: measured orders, exactness, long irregular sequences."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import expit

from torchliquid.functional import SOLVERS, ltc, ltc_step

ORDERS = {"semi_implicit": 1, "euler": 1, "exponential": 1, "rk4": 4}
INPUTS, NEURONS = 2, 5


def draw(rng: np.random.Generator, batch: int, length: int) -> dict[str, np.ndarray]:
    """Weights large enough that the gate moves and every solver has an error to show."""
    return {
        "x": rng.normal(size=(batch, length, INPUTS)),
        "h0": rng.normal(size=(batch, NEURONS)),
        "weight_ih": 1.5 * rng.normal(size=(NEURONS, INPUTS)),
        "weight_hh": 1.5 * rng.normal(size=(NEURONS, NEURONS)),
        "bias": rng.normal(size=NEURONS),
        "tau": rng.uniform(0.3, 3.0, size=NEURONS),
        "target": 2 * rng.normal(size=NEURONS),
    }


def referee(p: dict[str, np.ndarray], dt: np.ndarray) -> np.ndarray:
    """The liquid time-constant equation by DOP853, the input constant until the next sample."""

    def slope(_, state, u):
        f = expit(p["weight_ih"] @ u + p["weight_hh"] @ state + p["bias"])
        return -(1 / p["tau"] + f) * state + f * p["target"]

    states = np.empty((*p["x"].shape[:2], NEURONS))
    for b, row in enumerate(p["x"]):
        state = p["h0"][b]
        for t, u in enumerate(row):
            solved = solve_ivp(
                slope, (0, dt[b, t]), state, "DOP853", args=(u,), rtol=1e-13, atol=1e-14
            )
            states[b, t] = state = solved.y[:, -1]
    return states


def run(p: dict[str, np.ndarray], dt: np.ndarray, solver: str, unfolds: int) -> np.ndarray:
    tensors = {name: torch.from_numpy(value) for name, value in p.items()}
    states, _ = ltc(**tensors, dt=torch.from_numpy(dt), solver=solver, unfolds=unfolds)
    return states.numpy()


def test_every_solver_has_a_known_order():
    assert set(SOLVERS) == set(ORDERS)
    assert SOLVERS[0] == "semi_implicit"


@pytest.mark.parametrize("halve", ["dt", "unfolds"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_error_falls_at_the_solvers_order(solver, halve):
    """Halve the sub-step, by more samples or by more unfolds, and fit the slope of the error."""
    p = draw(np.random.default_rng(1), batch=2, length=2)
    dt = np.full((2, 2), 0.4)
    exact = referee(p, dt)[:, -1]
    steps = 2 ** (np.arange(3, 8) if solver == "rk4" else np.arange(5, 10))
    errors = []
    for n in steps:
        if halve == "unfolds":
            states = run(p, dt, solver, unfolds=int(n))
        else:
            finer = p | {"x": p["x"].repeat(n, axis=1)}
            states = run(finer, dt.repeat(n, axis=1) / n, solver, unfolds=1)
        errors.append(np.linalg.norm(states[:, -1] - exact))
    slope = -np.polyfit(np.log2(steps), np.log2(errors), 1)[0]
    assert slope == pytest.approx(ORDERS[solver], abs=0.1), errors


@pytest.mark.parametrize("solver", SOLVERS)
def test_trajectory_meets_scipy_over_an_irregular_sequence(solver):
    rng = np.random.default_rng(2)
    p = draw(rng, batch=3, length=12)
    dt = rng.uniform(0.01, 0.6, size=(3, 12))
    expected = referee(p, dt)
    unfolds, tolerance = (64, 1e-9) if solver == "rk4" else (1000, 3e-4)
    states = run(p, dt, solver, unfolds)
    assert np.abs(states - expected).max() < tolerance
    if solver != "rk4":  # two first-order runs extrapolate to second order
        extrapolated = 2 * states - run(p, dt, solver, unfolds // 2)
        assert np.abs(extrapolated - expected).max() < 5e-7


@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("dt", [1e-3, 0.1, 1.0, 30.0])
def test_exponential_is_exact_for_a_frozen_gate(dt, unfolds):
    p = draw(np.random.default_rng(3), batch=2, length=4)
    p["weight_hh"] = np.zeros((NEURONS, NEURONS))
    states = run(p, np.full((2, 4), dt), "exponential", unfolds)
    state = p["h0"]
    for t in range(4):  # the linear equation's closed solution
        f = expit(p["x"][:, t] @ p["weight_ih"].T + p["bias"])
        rate = 1 / p["tau"] + f
        rest = f * p["target"] / rate
        state = rest + (state - rest) * np.exp(-rate * dt)
        np.testing.assert_allclose(states[:, t], state, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_frozen_gate_at_rest_stays_there(solver):
    """At x = f A tau_sys nothing pulls; every solver must know it, at any dt."""
    p = draw(np.random.default_rng(4), batch=1, length=1)
    f = expit(p["x"][:, 0] @ p["weight_ih"].T + p["bias"])
    rest = f * p["target"] * p["tau"] / (1 + p["tau"] * f)
    p |= {"weight_hh": np.zeros((NEURONS, NEURONS)), "h0": rest}
    for dt in (1e-3, 0.1, 10.0):
        states = run(p, np.full((1, 1), dt), solver, 1)
        np.testing.assert_allclose(states[:, 0], rest, rtol=1e-12, atol=1e-12 * dt**4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_unfolds_are_sub_steps_of_dt(solver):
    """K unfolds of dt are K samples of dt / K with the same input."""
    p = draw(np.random.default_rng(5), batch=2, length=3)
    dt = np.full((2, 3), 0.6)
    once = run(p, dt, solver, unfolds=3)
    finer = run(p | {"x": p["x"].repeat(3, axis=1)}, dt.repeat(3, axis=1) / 3, solver, unfolds=1)
    np.testing.assert_allclose(once, finer[:, 2::3], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("solver", SOLVERS)
def test_steps_one_by_one_equal_the_sequence(solver):
    p = {k: torch.from_numpy(v) for k, v in draw(np.random.default_rng(6), 2, 5).items()}
    states, last = ltc(**p, dt=0.3, solver=solver, unfolds=2)
    state = p["h0"]
    for t in range(5):
        u = p["x"][:, t] @ p["weight_ih"].T + p["bias"]
        state = ltc_step(u, state, p["weight_hh"], p["tau"], p["target"], 0.3, solver, 2)
        torch.testing.assert_close(states[:, t], state, rtol=1e-13, atol=1e-14)
    assert torch.equal(last, states[:, -1])


@pytest.mark.parametrize("solver", SOLVERS)
def test_time_scales_with_tau_and_the_gate(solver):
    """Measured in another unit, the leak alone (gate shut) gives the same numbers."""
    p = draw(np.random.default_rng(7), batch=2, length=6)
    p["bias"] = np.full(NEURONS, -1e4)  # f = 0: x decays with tau alone
    dt = np.full((2, 6), 0.2)
    seconds = run(p, dt, solver, 1)
    milliseconds = run(p | {"tau": 1000 * p["tau"]}, 1000 * dt, solver, 1)
    np.testing.assert_allclose(seconds, milliseconds, rtol=1e-12)
    if solver == "exponential":
        exact = p["h0"] * np.exp(-1.2 / p["tau"])
        np.testing.assert_allclose(seconds[:, -1], exact, rtol=1e-12)
