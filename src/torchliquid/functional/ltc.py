"""Liquid time-constant cell with one gate per neuron.

The state x of H neurons follows

    f     = sigmoid(W_ih u + W_hh x + b)               gate, in (0, 1)
    dx/dt = -(1/tau + f) x + f A                       liquid time-constant equation

with input u held constant between samples. Written as a leaky integrator, the coefficient of -x is
the inverse of the **system time constant**

    tau_sys = tau / (1 + tau f),      tau / (1 + tau) < tau_sys < tau

Symbols: tau > 0 leak time constant, dt time between samples, both in the same unit; A target, the
state's unit; K unfolds, solver sub-steps of dt/K for one sample, the gate evaluated in each.

Solvers, each for one sub-step of length dt:

    euler          x' = x + min(dt, tau_sys) (-x / tau_sys + f A)
    semi_implicit  x' = (x + dt f A) / (1 + dt (1/tau + f))
    exponential    x' = x_rest + (x - x_rest) exp(-dt / tau_sys),  x_rest = f A tau_sys
                      = x + k (-x / tau_sys + f A),  k = (1 - exp(-dt / tau_sys)) tau_sys
    rk4            the classical Runge-Kutta step of the equation itself; where dt is more than 2.5
                   times the shortest tau_sys that it meets, the exponential step

No time, no change: dt = 0 leaves the state as it is, in every solver. A long gap ends at rest: an
Euler step longer than tau_sys would overshoot the rest state f A tau_sys, and one longer than twice
that would run away from it, so the step stops there.

Sources: Hasani, Lechner, Amini, Rus, Grosu, "Liquid Time-constant Networks", AAAI 2021: equation 1
(the model), equation 3 (the fused, semi-implicit step), theorem 1 (bounds of tau_sys) and theorem 2
(bounds of the state: it stays in [min(0, A), max(0, A)]). The single gate for the leak and the
target and the Euler step are those of the article series "Deconstructing Liquid Neural Networks".
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import (
    as_time,
    check_ltc,
    check_same_dtype_device,
    check_step,
)
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project
from torchliquid.messages import short_repr

Gate = Callable[[Tensor], Tensor]


def time_constant(gate: Tensor, tau: Tensor) -> Tensor:
    """System time constant ``tau / (1 + tau f)`` in the unit of ``tau`` (LTC paper, equation 2).

    Args:
        gate: f, in (0, 1), any shape that broadcasts with ``tau``.
        tau: leak time constant, positive.

    >>> time_constant(torch.tensor([0.0, 1.0]), torch.tensor(1.0))
    tensor([1.0000, 0.5000])
    """
    check_same_dtype_device({"gate": gate, "tau": tau}, {})
    try:
        torch.broadcast_shapes(gate.shape, tau.shape)
    except RuntimeError as error:
        raise TorchliquidError(
            f"gate has shape {tuple(gate.shape)}, tau {tuple(tau.shape)}: they do not broadcast"
        ) from error
    return tau / (1 + tau * gate)


def positive_tau(raw: Tensor) -> Tensor:
    """Softplus, but never so small that the square of 1 / tau, which gradients hold, overflows."""
    return torch.nn.functional.softplus(raw).clamp_min(math.sqrt(torch.finfo(raw.dtype).tiny))


def _shorter(dt: float | Tensor, limit: Tensor) -> Tensor:
    return torch.minimum(dt, limit) if isinstance(dt, Tensor) else limit.clamp(max=dt)


def _euler(gate: Gate, x: Tensor, tau: Tensor, target: Tensor, dt: float | Tensor) -> Tensor:
    f = gate(x)
    rate = 1 / tau + f
    return x + _shorter(dt, 1 / rate) * (f * target - x * rate)


def _semi_implicit(
    gate: Gate, x: Tensor, tau: Tensor, target: Tensor, dt: float | Tensor
) -> Tensor:
    f = gate(x)
    return (x + dt * (f * target)) / (1 + dt * (1 / tau + f))


SMALL = 0.5
COEFFICIENTS = tuple((-1) ** n / math.factorial(n + 1) for n in range(14))
"""Of the series of (1 - exp(-z)) / z; from `SMALL` on, the difference itself is exact enough."""


def decayed(dt: float | Tensor, rate: Tensor) -> Tensor:
    """``(1 - exp(-dt rate)) / rate``: what a decay at unit rate leaves in a time dt, exactly.

    The difference cancels where ``dt rate`` is small, and with it all gradients: a series stands
    in there. Positive ``rate``; the two broadcast.
    """
    z = dt * rate
    few = z.clamp(max=SMALL)  # so that the series overflows nowhere, whichever of the two counts
    series = torch.full_like(few, COEFFICIENTS[-1])
    for coefficient in COEFFICIENTS[-2::-1]:
        series = series * few + coefficient
    return torch.where(z < SMALL, dt * series, (1 - torch.exp(-z)) / rate)


def _exponential(gate: Gate, x: Tensor, tau: Tensor, target: Tensor, dt: float | Tensor) -> Tensor:
    f = gate(x)
    rate = 1 / tau + f
    return x + decayed(dt, rate) * (f * target - x * rate)


RK4_LIMIT = 2.5
"""Largest step times rate of `rk4`, which is stable up to 2.785."""


def _rk4(gate: Gate, x: Tensor, tau: Tensor, target: Tensor, dt: float | Tensor) -> Tensor:
    gates = []

    def slope(x: Tensor) -> Tensor:
        f = gate(x)
        gates.append(f)
        return f * target - x * (1 / tau + f)

    h = _shorter(dt, RK4_LIMIT * tau)  # beyond it the step is not taken, and must not overflow
    k1 = slope(x)
    k2 = slope(x + h / 2 * k1)
    k3 = slope(x + h / 2 * k2)
    k4 = slope(x + h * k3)
    step = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    fastest = 1 / tau + torch.stack(gates).amax(0)
    frozen = x + decayed(dt, 1 / tau + gates[0]) * k1
    return torch.where(dt * fastest > RK4_LIMIT, frozen, step)


_STEPS = {
    "semi_implicit": _semi_implicit,
    "euler": _euler,
    "exponential": _exponential,
    "rk4": _rk4,
}
SOLVERS = tuple(_STEPS)
"""Names of the solvers, the default first."""


def check_solver(solver: str) -> None:
    """That there is a solver of this name."""
    if not isinstance(solver, str) or solver not in _STEPS:
        known = ", ".join(SOLVERS)
        raise TorchliquidError(f"solver is {short_repr(solver)}: expected one of {known}")


def ltc_step(
    u: Tensor,
    x: Tensor,
    weight_hh: Tensor,
    tau: Tensor,
    target: Tensor,
    dt: float | Tensor = 1.0,
    solver: str = "semi_implicit",
    unfolds: int = 1,
) -> Tensor:
    """One input sample: ``unfolds`` solver sub-steps of ``dt / unfolds``.

    Args:
        u: projected input ``W_ih u + b``, ``(*S, B, H)``.
        x: state before the sample, ``(*S, B, H)``.
        weight_hh: ``(*S, H, H)``.
        tau: leak time constants, ``(*S, 1, H)`` or ``(H,)``, positive, in the unit of ``dt``.
        target: A, shaped like ``tau``.
        dt: time since the previous sample, a float or ``(*S, B, 1)``.
        solver: one of `SOLVERS`.
        unfolds: K, at least 1.

    Returns:
        State after the sample, ``(*S, B, H)``.
    """
    check_solver(solver)
    check_step(u, x, weight_hh, tau, target, dt, unfolds)
    return _sample(u, x, weight_hh, tau, target, as_time(dt, x.dtype), solver, unfolds)


def _sample(
    u: Tensor,
    x: Tensor,
    weight_hh: Tensor,
    tau: Tensor,
    target: Tensor,
    dt: float | Tensor,
    solver: str,
    unfolds: int,
) -> Tensor:
    weight = weight_hh.transpose(-2, -1)

    def gate(x: Tensor) -> Tensor:
        return torch.sigmoid(u + x @ weight)

    step = _STEPS[solver]
    for _ in range(unfolds):
        x = step(gate, x, tau, target, dt / unfolds)
    return x


def ltc(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    target: Tensor,
    dt: float | Tensor = 1.0,
    solver: str = "semi_implicit",
    unfolds: int = 1,
) -> tuple[Tensor, Tensor]:
    """The cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state before the first sample, ``(*S, B, H)``.
        weight_ih: ``(*S, H, I)``.
        weight_hh: ``(*S, H, H)``.
        bias: ``(*S, H)``, or None.
        tau: leak time constants, ``(*S, H)``, positive, in the unit of ``dt``.
        target: A, ``(*S, H)``.
        dt: time before each sample, a float or ``(*S, B, L)``.
        solver: one of `SOLVERS`.
        unfolds: solver sub-steps for one sample.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.
    """
    check_ltc(x, h0, weight_ih, weight_hh, bias, tau, target, dt, unfolds)
    check_solver(solver)
    tau, target = tau.unsqueeze(-2), target.unsqueeze(-2)
    time = as_time(dt, x.dtype)
    steps = (time.unsqueeze(-1),) if isinstance(time, Tensor) else ()

    def sample(state: Tensor, u: Tensor, step: "float | Tensor" = 0.0) -> Tensor:
        interval = step if steps else time
        return _sample(u, state, weight_hh, tau, target, interval, solver, unfolds)

    return over_samples(sample, h0, project(x, weight_ih, bias), *steps)


def ltc_time_constants(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    target: Tensor,
    dt: float | Tensor = 1.0,
    solver: str = "semi_implicit",
    unfolds: int = 1,
) -> Tensor:
    """tau_sys of every neuron at each sample, ``(*S, B, L, H)``, in the unit of ``dt``.

    The gate is that of the sample and of the state before it: the one the solver's first sub-step
    sees. Arguments as in `ltc`.
    """
    states, _ = ltc(x, h0, weight_ih, weight_hh, bias, tau, target, dt, solver, unfolds)
    before = torch.cat([h0.unsqueeze(-2), states[..., :-1, :]], dim=-2)
    gate = torch.sigmoid(project(x, weight_ih, bias) + project(before, weight_hh, None))
    return time_constant(gate, tau.unsqueeze(-2).unsqueeze(-2))
