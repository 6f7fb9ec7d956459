"""GRU-D: a gated recurrent unit that knows which values are missing, and for how long.

A sample is values u and a mask m, 1 where a value was observed. With delta the time since each was
last observed, and p the last value that was (u itself, where it holds that):

    u~ = m u + (1 - m) exp(-max(0, w delta + q)) p         decays to 0, the mean of scaled values
    h~ = exp(-max(0, W delta + b)) h
    h' = a GRU after [u~, m], from h~

Where a value was missing, its delta goes on: delta = dt + (1 - m before) delta before. So a state
is h and, for each value, the time that it has been missing, 0 if it was there last. A sample with
dt 0 still counts.

Symbols: w, W in the inverse of the unit of dt, the others without one. Source: Che, Purushotham,
Cho, Sontag, Liu, "Recurrent neural networks for multivariate time series with missing values",
Scientific Reports 2018 (arXiv 1606.01865), equations 9 to 14; decays of inputs are diagonal, the
empirical mean is 0, and the gates see the mask beside the values.
"""

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import (
    as_time,
    check_gated,
    check_same_dtype_device,
    check_shapes,
)
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project


def gru_d(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    input_rate: Tensor,
    input_bias: Tensor,
    weight_decay: Tensor,
    bias_decay: Tensor,
    dt: float | Tensor = 1.0,
) -> tuple[Tensor, Tensor]:
    """Run the cell over a sequence.

    Args:
        x: values, the last ones where they are missing, and masks, side by side:
            ``(*S, B, L, 2 I)``, as `torchliquid.fill_missing` with ``indicator=True`` gives them.
        h0: state ``(*S, B, H + I)``.
        weight_ih: ``(*S, 3H, 2 I)``, rows in torch's order: reset, update, candidate.
        weight_hh: ``(*S, 3H, H)``.
        bias_ih: ``(*S, 3H)``, or None.
        bias_hh: ``(*S, 3H)``, or None.
        input_rate: w ``(*S, I)``.
        input_bias: q ``(*S, I)``.
        weight_decay: W ``(*S, H, I)``.
        bias_decay: b ``(*S, H)``.
        dt: time before each sample, a number or ``(*S, B, L)``.

    Returns:
        States after every sample ``(*S, B, L, H + I)``, and after the last one ``(*S, B, H + I)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, an odd number of features, or
            an invalid dt.
    """
    own = {"bias_decay": bias_decay}
    rates = {"input_rate": input_rate, "input_bias": input_bias, "weight_decay": weight_decay}
    check_same_dtype_device({"x": x, "h0": h0, **own, **rates}, {}, dt)
    H, I = bias_decay.shape[-1] if bias_decay.dim() else 0, x.shape[-1] // 2 if x.dim() else 0
    if h0.dim() < 1 or h0.shape[-1] != H + I or (x.dim() and x.shape[-1] % 2):
        raise TorchliquidError(
            f"x has shape {tuple(x.shape)} and h0 {tuple(h0.shape)}: expected I values and I masks "
            "beside them, (*S, B, L, 2 I), and a state (*S, B, H + I)"
        )
    h, missing = h0.split((H, I), -1)
    check_gated(3, x, {"h0": h}, weight_ih, weight_hh, bias_ih, bias_hh, own, dt)
    *lead, H = bias_decay.shape
    check_shapes(
        {
            "input_rate": (input_rate, (*lead, I)),
            "input_bias": (input_bias, (*lead, I)),
            "weight_decay": (weight_decay, (*lead, H, I)),
        }
    )
    dt = as_time(dt, x.dtype)
    filled, decay, pending = decays(
        x, missing, dt, input_rate, input_bias, weight_decay, bias_decay
    )
    weight = weight_hh.transpose(-2, -1)

    def sample(h: Tensor, u: Tensor, exponent: Tensor) -> Tensor:
        h = h * torch.exp(-exponent)
        v = h @ weight
        if bias_hh is not None:
            v = v + bias_hh.unsqueeze(-2)
        r, z = torch.sigmoid(u[..., : 2 * H] + v[..., : 2 * H]).chunk(2, dim=-1)
        n = torch.tanh(torch.addcmul(u[..., 2 * H :], r, v[..., 2 * H :]))
        return torch.lerp(n, h, z)

    states, last = over_samples(sample, h, project(filled, weight_ih, bias_ih), decay)
    return torch.cat([states, pending], -1), torch.cat([last, pending[..., -1, :]], -1)


def decays(
    x: Tensor,
    missing: Tensor,
    dt: float | Tensor,
    input_rate: Tensor,
    input_bias: Tensor,
    weight_decay: Tensor,
    bias_decay: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs as gates see them ``(*S, B, L, 2 I)``, exponents of a state's decay ``(*S, B, L, H)``.

    And the time that each value has been missing after each sample ``(*S, B, L, I)``; ``missing``
    is that before the first, ``(*S, B, I)``.
    """
    values, mask = x.chunk(2, -1)
    deltas, pending = [], []
    for t, m in enumerate(mask.unbind(-2)):
        delta = missing + (dt[..., t, None] if isinstance(dt, Tensor) else dt)
        missing = (1 - m) * delta
        deltas.append(delta)
        pending.append(missing)
    since = torch.stack(deltas, -2)
    rate, offset = (p.unsqueeze(-2).unsqueeze(-2) for p in (input_rate, input_bias))
    filled = values * (mask + (1 - mask) * torch.exp(-torch.relu(rate * since + offset)))
    filled = torch.cat([filled, mask.expand(filled.shape)], -1)
    return filled, torch.relu(project(since, weight_decay, bias_decay)), torch.stack(pending, -2)
