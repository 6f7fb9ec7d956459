"""Closed-form continuous-time cell (CfC): a state that a formula gives at any time.

Maps of the input u and of the state h before the sample give the heads; sigma is the activation:

    z_0 = W u + V h + b,    z_k = W_k sigma(z_(k-1)) + b_k,    heads = z_n

With dt the time since the last sample, the state after it is, in the three modes of ncps:

    default   (1 - s) tanh(f) + s tanh(g),    s = sigmoid(a dt + b)    of heads f, g, a, b
    no_gate   tanh(f) + s tanh(g)
    pure      A - A exp(-dt (|r| + |f|)) f                             of the head f

The gate s moves in time at the rate a, which depends on the input: 1 / |a| is the time in which its
argument moves by 1, and what is called the cell's time constant here. In the pure mode it is
1 / (|r| + |f|). A sample itself takes no time: with dt = 0 the state still changes.

Symbols: f, g of the unit of the state, a and r in the inverse of the unit of dt, A the unit of the
state. States lie within +-1 in the default mode, within +-2 without the gate.

Source: Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl, Rus, "Closed-form
continuous-time neural networks", Nature Machine Intelligence 2022 (arXiv 2106.13898), equations 2
and 3, with the sign of a as in ncps; the activation "lecun_tanh" is 1.7159 tanh(0.666 z), of LeCun,
Bottou, Orr, Mueller, "Efficient BackProp", 1998.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import as_time, check_cfc
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project
from torchliquid.messages import short_repr

MODES = {"default": 4, "no_gate": 4, "pure": 1}
"""The modes, and how many heads each has."""
LECUN_SCALE, LECUN_SLOPE = 1.7159, 0.666
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "lecun_tanh": lambda z: LECUN_SCALE * torch.tanh(LECUN_SLOPE * z),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "silu": F.silu,
    "gelu": F.gelu,
}
Map = tuple[Tensor, Tensor | None]
"""A weight ``(*S, F, G)`` and a bias ``(*S, F)``, or None."""


def cfc(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    maps: Sequence[Map] = (),
    rate: Tensor | None = None,
    target: Tensor | None = None,
    dt: float | Tensor = 1.0,
    mode: str = "default",
    activation: str = "lecun_tanh",
    kept: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """Run the cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state ``(*S, B, H)``.
        weight_ih: the first map's part for the input, ``(*S, U, I)``. Without further maps it
            gives the heads, U = 4 H, or H in the pure mode.
        weight_hh: its part for the state, ``(*S, U, H)``.
        bias: ``(*S, U)``, or None.
        maps: those after the first, each of the activation of the one before. The last gives
            the heads, one block of H rows after the other: f, g, a, b.
        rate: r ``(*S, H)``, of the pure mode.
        target: A ``(*S, H)``, of the pure mode.
        dt: time before each sample, a number or ``(*S, B, L)``.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        activation: one of `ACTIVATIONS`.
        kept: for each of ``maps`` a factor of what it takes, ``(*S, B, L, U)``: 0 where a value
            is dropped. Empty: nothing is.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, an invalid dt, a mode or an
            activation that does not exist.
    """
    check_mode(mode, activation)
    check_cfc(x, h0, weight_ih, weight_hh, bias, maps, rate, target, dt, MODES[mode], kept)
    dt = as_time(dt, x.dtype)
    act, recurrent = ACTIVATIONS[activation], weight_hh.transpose(-2, -1)
    times = (dt.unsqueeze(-1),) if isinstance(dt, Tensor) else ()

    def sample(h: Tensor, u: Tensor, *rest: Tensor) -> Tensor:
        z = u + h @ recurrent
        factors: Sequence[Tensor | None] = rest[len(times) :] or [None] * len(maps)
        for (weight, offset), factor in zip(maps, factors, strict=True):
            z = act(z) if factor is None else act(z) * factor
            z = z @ weight.transpose(-2, -1)
            z = z if offset is None else z + offset.unsqueeze(-2)
        return state_after(z, rest[0] if times else dt, mode, rate, target)

    return over_samples(sample, h0, project(x, weight_ih, bias), *times, *kept)


def state_after(
    heads: Tensor, dt: float | Tensor, mode: str, rate: Tensor | None, target: Tensor | None
) -> Tensor:
    """The state ``(*S, B, H)`` that heads ``(*S, B, heads H)`` give after a time dt."""
    if mode == "pure":
        assert rate is not None  # noqa: S101 - the mode's own weights
        assert target is not None  # noqa: S101
        A, r = target.unsqueeze(-2), rate.unsqueeze(-2)
        return A - A * torch.exp(-dt * (r.abs() + heads.abs())) * heads
    f, g, a, b = heads.chunk(4, -1)
    f, g, s = torch.tanh(f), torch.tanh(g), torch.sigmoid(a * dt + b)
    return f + s * g if mode == "no_gate" else torch.lerp(f, g, s)


def heads_of(
    x: Tensor,
    before: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    maps: Sequence[Map],
    activation: str,
) -> Tensor:
    """Heads at every sample ``(*S, B, L, heads H)``, of the states before them, none dropped."""
    z = project(x, weight_ih, bias) + project(before, weight_hh, None)
    for weight, offset in maps:
        z = project(ACTIVATIONS[activation](z), weight, offset)
    return z


def check_mode(mode: str, activation: str) -> None:
    """That both exist.

    Raises:
        TorchliquidError: one of them does not.
    """
    for name, value, known in (("mode", mode, MODES), ("activation", activation, ACTIVATIONS)):
        if not isinstance(value, str) or value not in known:
            raise TorchliquidError(
                f"{name} is {short_repr(value)}: expected one of {', '.join(map(repr, known))}"
            )
