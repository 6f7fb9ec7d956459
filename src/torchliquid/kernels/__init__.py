"""The functions of `torchliquid.functional`, faster: same signatures, same values, same gradients.

Backends, chosen by the environment variable ``TORCHLIQUID_BACKEND`` or, without it, the fastest:

- ``torch``: the forward loop runs without a graph; the backward pass is written by hand. All that
  does not depend on the order of time steps is computed for the whole sequence at once, so that
  only two or three small operations a step remain. Needs nothing but PyTorch.
- ``reference``: `torchliquid.functional` under autograd: slow, and differentiable twice.
"""

import os

from torch import Tensor

from torchliquid import functional
from torchliquid.errors import TorchliquidError
from torchliquid.kernels import torch_gru, torch_lstm, torch_ltc

BACKENDS = ("torch", "reference")
"""Names of the backends, the fastest first."""
VARIABLE = "TORCHLIQUID_BACKEND"


def backend() -> str:
    """The backend in use.

    Raises:
        TorchliquidError: the environment names one that does not exist.
    """
    name = os.environ.get(VARIABLE, BACKENDS[0])
    if name not in BACKENDS:
        raise TorchliquidError(f"{VARIABLE} is {name!r}: expected one of {', '.join(BACKENDS)}")
    return name


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
    """See `torchliquid.functional.ltc`."""
    fast = backend() == "torch" and solver in torch_ltc.SOLVERS
    run = torch_ltc.ltc if fast else functional.ltc
    return run(x, h0, weight_ih, weight_hh, bias, tau, target, dt, solver, unfolds)


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """See `torchliquid.functional.lstm`."""
    run = torch_lstm.lstm if backend() == "torch" else functional.lstm
    return run(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)


def gru(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.gru`."""
    run = torch_gru.gru if backend() == "torch" else functional.gru
    return run(x, h0, weight_ih, weight_hh, bias_ih, bias_hh)
