"""A bank of damped resonators whose decay may follow the input: linear in the state.

    dz/dt = -(1 / tau + f - i w) z + B u,    f = sigmoid(W u + b)

z is complex, one resonator a neuron; without W there is no gate and f is 0. The step is exact: the
gate is that of the sample at the end of the interval, and the input moves on a straight line from
the sample before to this one (first-order hold). With lambda = -(1 / tau + f) + i w:

    z' = exp(lambda dt) z + (I0 - I1) B u_before + I1 B u
    I0 = (exp(lambda dt) - 1) / lambda,    I1 = (I0 - dt) / (lambda dt)

So |exp(lambda dt)| <= 1 for every input and every dt: it is stable by construction. The state holds
``[Re z, Im z, B u_before]``, 3 H values; a state of zeros means that the input before was 0. A
step with dt 0 changes nothing. The system time constant is 1 / (1 / tau + f).

Symbols: w frequency in radians per unit of dt, tau time constant in the unit of dt, both positive.
Sources: diagonal complex state spaces, Gu et al., "On the parameterization and initialization of
diagonal state space models", 2022 (S4D); Orvieto et al., "Resurrecting recurrent neural networks
for long sequences", 2023 (LRU); damped oscillators as states, Boyer et al., "Learning to dissipate
energy in oscillatory state-space models", 2025 (D-LinOSS). The gate in the decay is that of Hasani
et al., "Liquid Time-constant Networks", AAAI 2021. Nothing here is a new cell.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import (
    as_time,
    check_same_dtype_device,
    check_sequence,
    check_shapes,
    check_times,
)
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project

_FORGOTTEN = 128.0
"""After so many time constants nothing of a state is left, in double precision too."""
_SMALL = {torch.float64: (0.5, 14)}
_SMALL_ELSE = (0.25, 6)
"""Below which |lambda dt| the series of I1 is summed, and how many terms."""


Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Pair(NamedTuple):
    """Real and imaginary parts of complex values."""

    real: Tensor
    imag: Tensor


class Recurrence(NamedTuple):
    """``z_t = factor_t z_(t-1) + drive_t``, each ``(*S, B, L, H)``; factors may be expanded."""

    factor: Pair
    drive: Pair


class Scan(NamedTuple):
    """What runs over the samples.

    ``rate`` and ``frequency (*S, H)``; ``gate (*S, B, L, H)``, before its sigmoid, or None;
    ``dt``, a number or ``(*S, B, L)``; ``drive (*S, B, L, H)``; ``h0 (*S, B, 3 H)``.
    """

    rate: Tensor
    gate: Tensor | None
    frequency: Tensor
    dt: float | Tensor
    drive: Tensor
    h0: Tensor


Run = Callable[[Recurrence, Pair], Pair]
"""From a recurrence and the state before it ``(*S, B, H)`` to the states ``(*S, B, L, H)``."""


def resonator(
    x: Tensor,
    h0: Tensor,
    frequency: Tensor,
    rate: Tensor,
    weight_ih: Tensor | None = None,
    weight_gate: Tensor | None = None,
    bias_gate: Tensor | None = None,
    dt: float | Tensor = 1.0,
) -> tuple[Tensor, Tensor]:
    """Run the cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state ``(*S, B, 3 H)``: real parts, imaginary parts, ``B u`` of the sample before.
        frequency: w ``(*S, H)``, positive.
        rate: 1 / tau ``(*S, H)``, positive.
        weight_ih: B ``(*S, H, I)``; None: every resonator takes the sum of the inputs.
        weight_gate: W ``(*S, H, I)``; None: no gate.
        bias_gate: b ``(*S, H)``, or None.
        dt: time before each sample, a number or ``(*S, B, L)``.

    Returns:
        States after every sample ``(*S, B, L, 3 H)``, and after the last one
        ``(*S, B, 3 H)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, or an invalid dt.
    """
    check_resonator(x, h0, frequency, rate, weight_ih, weight_gate, bias_gate, dt)
    dt = as_time(dt, x.dtype)
    given = scan_of(x, h0, frequency, rate, weight_ih, weight_gate, bias_gate, dt)
    states = scan_states(given, run_over_samples)
    return states, states[..., -1, :]


def check_resonator(
    x: Tensor,
    h0: Tensor,
    frequency: Tensor,
    rate: Tensor,
    weight_ih: Tensor | None,
    weight_gate: Tensor | None,
    bias_gate: Tensor | None,
    dt: float | Tensor,
) -> None:
    """Refuse arguments of `resonator` that do not belong together."""
    optional = {"weight_ih": weight_ih, "weight_gate": weight_gate, "bias_gate": bias_gate}
    needed = {"frequency": frequency, "rate": rate, "x": x, "h0": h0}
    check_same_dtype_device(needed, optional, dt)
    if frequency.dim() < 1 or x.dim() < 3:
        raise TorchliquidError(
            f"frequency has shape {tuple(frequency.shape)}, x {tuple(x.shape)}: expected (*S, H), "
            "(*S, B, L, I)"
        )
    if bias_gate is not None and weight_gate is None:
        raise TorchliquidError("bias_gate is given without weight_gate: a gate needs both")
    S, H, I = frequency.shape[:-1], frequency.shape[-1], x.shape[-1]
    B, L = check_sequence(x, S, I)
    check_shapes(
        {
            "h0": (h0, (*S, B, 3 * H)),
            "rate": (rate, (*S, H)),
            "weight_ih": (weight_ih, (*S, H, I)),
            "weight_gate": (weight_gate, (*S, H, I)),
            "bias_gate": (bias_gate, (*S, H)),
        }
    )
    check_times(dt, S, B, L, 1)


def scan_of(
    x: Tensor,
    h0: Tensor,
    frequency: Tensor,
    rate: Tensor,
    weight_ih: Tensor | None,
    weight_gate: Tensor | None,
    bias_gate: Tensor | None,
    dt: float | Tensor,
    linear: Linear = project,
) -> Scan:
    """Gates and drives of checked arguments: all that does not depend on the state.

    ``linear`` maps the input of every step: `torchliquid.functional._projection.project`, or what
    equals it.
    """
    H = frequency.shape[-1]
    x = x.to(frequency.dtype).expand(*frequency.shape[:-1], *x.shape[-3:])
    gate = None if weight_gate is None else linear(x, weight_gate, bias_gate)
    if weight_ih is None:
        drive = x.sum(-1, keepdim=True).expand(*x.shape[:-1], H)
    else:
        drive = linear(x, weight_ih, None)
    return Scan(rate, gate, frequency, dt, drive, h0)


def scan_states(given: Scan, run: Run) -> Tensor:
    """States ``(*S, B, L, 3 H)``, their recurrence run by ``run``."""
    rate, gate, frequency, dt, drive, h0 = given
    H = frequency.shape[-1]
    decay = resonator_decay(rate, gate)
    before, drive = _ends_of_intervals(drive, h0[..., 2 * H :], dt)
    recurrence = _coefficients(decay, frequency[..., None, None, :], dt, before, drive)
    z = run(recurrence, Pair(h0[..., :H], h0[..., H : 2 * H]))
    return torch.cat([z.real, z.imag, drive], dim=-1)


def resonator_decay(rate: Tensor, gate: Tensor | None) -> Tensor:
    """Compute 1 / tau + f, one over the system time constant: ``(*S, B, L, H)``, or 1 for B, L."""
    decay = rate[..., None, None, :]
    return decay if gate is None else decay + torch.sigmoid(gate)


def _ends_of_intervals(drive: Tensor, first: Tensor, dt: float | Tensor) -> tuple[Tensor, Tensor]:
    """Drives at the start and the end of each interval, ``(*S, B, L, H)``.

    In an interval of no time the drive stays what it was, as the state does.
    """
    every = torch.cat([first.unsqueeze(-2), drive], dim=-2)
    if isinstance(dt, Tensor):
        steps = torch.arange(1, drive.shape[-2] + 1, device=drive.device)
        # the last sample before which time has passed; 0: the drive before all of them
        latest = torch.where(dt > 0, steps, 0).cummax(-1).values.unsqueeze(-1)
        drive = every.gather(-2, latest.expand(drive.shape))
        every = torch.cat([first.unsqueeze(-2), drive], dim=-2)
    elif dt == 0:
        every = first.unsqueeze(-2).expand_as(every)
        drive = every[..., 1:, :]
    return every[..., :-1, :], drive


def _coefficients(
    decay: Tensor, frequency: Tensor, dt: float | Tensor, before: Tensor, now: Tensor
) -> Recurrence:
    """Factors and drives of the recurrence, ``(*S, B, L, H)``; factors 1 wide where all agree."""
    time = dt.unsqueeze(-1) if isinstance(dt, Tensor) else decay.new_full((), dt)
    # a state that is forgotten needs no phase, which could overflow
    short = torch.minimum(time, _FORGOTTEN / decay)
    shrunk, angle = torch.expm1(-decay * short), frequency * short
    size, sine = shrunk + 1, torch.sin(angle)
    factor = Pair(size * torch.cos(angle), size * sine)
    # exp(lambda dt) - 1, without its cancellation
    moved = Pair(shrunk * torch.cos(angle) - 2 * torch.sin(angle / 2).square(), factor.imag)
    inverse = _inverse(decay, frequency)
    held = _times(moved, inverse)  # I0
    ramp = _ramp(decay, frequency, time, held, inverse)  # I1
    drive = Pair(
        (held.real - ramp.real) * before + ramp.real * now,
        (held.imag - ramp.imag) * before + ramp.imag * now,
    )
    shape = torch.broadcast_shapes(factor.real.shape, drive.real.shape)
    return Recurrence(
        Pair(factor.real.expand(shape), factor.imag.expand(shape)),
        Pair(drive.real.expand(shape), drive.imag.expand(shape)),
    )


def _ramp(decay: Tensor, frequency: Tensor, time: Tensor, held: Pair, inverse: Pair) -> Pair:
    """Compute I1: by its formula, or by its series where that would cancel."""
    threshold, terms = _SMALL.get(decay.dtype, _SMALL_ELSE)
    reach = torch.maximum(decay, frequency) * time
    small = reach < threshold
    long = torch.where(small, torch.ones_like(time), time)
    formula = _times(Pair(held.real / long - 1, held.imag / long), inverse)
    short = torch.where(small, time, torch.zeros_like(time))
    turn = Pair(-decay * short, frequency * short)
    series = Pair(torch.ones_like(turn.real) / (terms + 1), torch.zeros_like(turn.real))
    for n in range(terms, 1, -1):  # sum of turn^k / (k + 2)!, from its end
        series = _times(series, turn)
        series = Pair((series.real + 1) / n, series.imag / n)
    return Pair(
        torch.where(small, short * series.real, formula.real),
        torch.where(small, short * series.imag, formula.imag),
    )


def _times(one: Pair, other: Pair) -> Pair:
    return Pair(
        one.real * other.real - one.imag * other.imag,
        one.real * other.imag + one.imag * other.real,
    )


def _inverse(decay: Tensor, frequency: Tensor) -> Pair:
    """One over lambda."""
    square = decay.square() + frequency.square()
    return Pair(-decay / square, -frequency / square)


def run_over_samples(recurrence: Recurrence, state: Pair) -> Pair:
    """Run a recurrence sample by sample: the definition."""
    factor, drive = recurrence
    H = state.real.shape[-1]

    def sample(z: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        real, imag = z[..., :H], z[..., H:]
        return torch.cat([a * real - b * imag + c, a * imag + b * real + d], dim=-1)

    states, _ = over_samples(sample, torch.cat(state, dim=-1), *factor, *drive)
    return Pair(states[..., :H], states[..., H:])


def run_by_doubling(recurrence: Recurrence, state: Pair) -> Pair:
    """Run a recurrence in log2 L sweeps over all samples (Hillis and Steele 1986)."""
    (a, b), (c, d) = recurrence
    lead = _times(Pair(a[..., 0, :], b[..., 0, :]), state)
    c = torch.cat([(c[..., 0, :] + lead.real).unsqueeze(-2), c[..., 1:, :]], dim=-2)
    d = torch.cat([(d[..., 0, :] + lead.imag).unsqueeze(-2), d[..., 1:, :]], dim=-2)
    reach, length = 1, c.shape[-2]
    while reach < length:
        late, early = Pair(a[..., reach:, :], b[..., reach:, :]), slice(0, length - reach)
        added = _times(late, Pair(c[..., early, :], d[..., early, :]))
        further = _times(late, Pair(a[..., early, :], b[..., early, :]))
        c = torch.cat([c[..., :reach, :], c[..., reach:, :] + added.real], dim=-2)
        d = torch.cat([d[..., :reach, :], d[..., reach:, :] + added.imag], dim=-2)
        a = torch.cat([a[..., :reach, :], further.real], dim=-2)
        b = torch.cat([b[..., :reach, :], further.imag], dim=-2)
        reach *= 2
    return Pair(c, d)
