"""ODE-LSTM: an LSTM whose output moves by a differential equation in the time before a sample.

    h*, c' = an LSTM after the sample u, from (h, c)
    h'     = x(dt) of dx/dt = W_2 tanh(W_1 x + b_1) + b_2, x(0) = h*

solved by K steps of dt / K of a fixed method: Euler's, Heun's or the classical one of Runge and
Kutta. The memory c does not feel time. With dt = 0 the sample itself still counts.

Symbols: h, c, u, x without a unit; W_2 and b_2 in the inverse of the unit of dt. Source: Lechner,
Hasani, "Learning long-term dependencies in irregularly-sampled time series", arXiv 2006.04418,
algorithm 1; 3 steps as in the authors' code, which gives a batch's rows each other's times.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from torchliquid._checks import check_unfolds
from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import (
    as_time,
    check_gated,
    check_same_dtype_device,
    check_shapes,
)
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project
from torchliquid.messages import short_repr

Slope = Callable[[Tensor], Tensor]


def _euler(f: Slope, x: Tensor, h: float | Tensor) -> Tensor:
    return x + h * f(x)


def _heun(f: Slope, x: Tensor, h: float | Tensor) -> Tensor:
    first = f(x)
    return x + 0.5 * h * (first + f(x + h * first))


def _rk4(f: Slope, x: Tensor, h: float | Tensor) -> Tensor:
    a = f(x)
    b = f(x + 0.5 * h * a)
    c = f(x + 0.5 * h * b)
    return x + h / 6 * (a + 2 * b + 2 * c + f(x + h * c))


METHODS = {"euler": _euler, "heun": _heun, "rk4": _rk4}


def ode_lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    weight_in: Tensor,
    bias_in: Tensor | None,
    weight_out: Tensor,
    bias_out: Tensor | None,
    dt: float | Tensor = 1.0,
    method: str = "rk4",
    unfolds: int = 3,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run the cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: output before ``(*S, B, H)``.
        c0: memory before ``(*S, B, H)``.
        weight_ih: of the LSTM ``(*S, 4H, I)``, rows in torch's order.
        weight_hh: ``(*S, 4H, H)``.
        bias: ``(*S, 4H)``, or None.
        weight_in: W_1 ``(*S, U, H)``.
        bias_in: b_1 ``(*S, U)``, or None.
        weight_out: W_2 ``(*S, H, U)``.
        bias_out: b_2 ``(*S, H)``, or None.
        dt: time before each sample, a number or ``(*S, B, L)``.
        method: ``"euler"``, ``"heun"`` or ``"rk4"``.
        unfolds: K, steps for one sample.

    Returns:
        h and c side by side after every sample ``(*S, B, L, 2H)``, and ``(h, c)`` after the last.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, an invalid dt, a method that
            does not exist.
    """
    check_gated(4, x, {"h0": h0, "c0": c0}, weight_ih, weight_hh, bias, None, None, dt)
    if not isinstance(method, str) or method not in METHODS:
        raise TorchliquidError(
            f"method is {short_repr(method)}: expected one of {', '.join(map(repr, METHODS))}"
        )
    unfolds, dt = check_unfolds(unfolds), as_time(dt, x.dtype)
    _check_equation(weight_hh, weight_in, bias_in, weight_out, bias_out)
    slope = slope_of(weight_in, bias_in, weight_out, bias_out)
    recurrent = weight_hh.transpose(-2, -1)

    def sample(state: Tensor, u: Tensor, time: float | Tensor = dt) -> Tensor:
        h, c = state.chunk(2, -1)
        i, f, g, o = (u + h @ recurrent).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        for _ in range(unfolds):
            h = METHODS[method](slope, h, time / unfolds)
        return torch.cat([h, c], -1)

    times = (dt.unsqueeze(-1),) if isinstance(dt, Tensor) else ()
    start = torch.cat([h0, c0], -1)
    states, last = over_samples(sample, start, project(x, weight_ih, bias), *times)
    h, c = last.chunk(2, -1)
    return states, (h, c)


def slope_of(
    weight_in: Tensor, bias_in: Tensor | None, weight_out: Tensor, bias_out: Tensor | None
) -> Slope:
    """The right side of the equation, of ``x (*S, B, H)``."""
    inner, outer = weight_in.transpose(-2, -1), weight_out.transpose(-2, -1)

    def slope(x: Tensor) -> Tensor:
        z = x @ inner
        z = torch.tanh(z if bias_in is None else z + bias_in.unsqueeze(-2)) @ outer
        return z if bias_out is None else z + bias_out.unsqueeze(-2)

    return slope


def _check_equation(
    weight_hh: Tensor, weight_in: Tensor, bias_in: Tensor | None, weight_out: Tensor,
    bias_out: Tensor | None,
) -> None:  # fmt: skip
    needed = {"weight_hh": weight_hh, "weight_in": weight_in, "weight_out": weight_out}
    check_same_dtype_device(needed, {"bias_in": bias_in, "bias_out": bias_out})
    *lead, _, H = weight_hh.shape
    U = weight_in.shape[-2] if weight_in.dim() > 1 else 0
    check_shapes(
        {
            "weight_in": (weight_in, (*lead, U, H)),
            "bias_in": (bias_in, (*lead, U)),
            "weight_out": (weight_out, (*lead, H, U)),
            "bias_out": (bias_out, (*lead, H)),
        }
    )
