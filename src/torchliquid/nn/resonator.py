"""The resonator layer: damped oscillators in parallel, with or without a liquid time constant."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid._checks import check_positive, check_proj_size, check_size
from torchliquid.errors import TorchliquidError
from torchliquid.functional.resonator import resonator_decay
from torchliquid.messages import short_repr
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, Variant, register
from torchliquid.nn.layer import LiquidLayer

GATES = {"closed": (-3.0, 0.3), "open": (0.0, 1.0)}
"""Bias, and deviation of the weights, with which each kind of gate starts."""
SPAN, FORGET = 200, 20
"""Samples in the longest period, and in a time constant, where nothing else is said."""


class Resonator(LiquidLayer):
    """A bank of damped resonators: what to use for oscillating signals at irregular times.

    Each neuron is ``dz/dt = -(1 / tau + f - i w) z + B u`` with a complex state z, a frequency w
    and a time constant tau of its own; neurons do not act on each other. With a gate ``f =
    sigmoid(W u + b)`` the time constant follows the input: tau_sys = 1 / (1 / tau + f). Steps are
    exact for any dt, with the input on a straight line between samples. Equation and sources are
    in `torchliquid.functional.resonator`.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, resonators of a layer in one direction.
        num_layers: each but the first runs over the outputs of the one below.
        bias: whether the gate has a bias.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own.
        proj_size: 0; resonators feed nothing back that could be projected.
        gate: None; ``"closed"``, a gate that starts closed, with bias -3 and weights of deviation
            0.3 / sqrt(I); or ``"open"``, with bias 0 and 1 / sqrt(I). Sums of sines need none; in
            chaos either is decisive.
        slowest: the lowest frequency to start from, in radians per unit of dt; None: one turn in
            200 samples of ``dt``.
        fastest: the highest one; None: half a turn a sample of ``dt`` (Nyquist).
        initial_tau: the time constant to start from, in the unit of dt; None: 20 samples of ``dt``.
        dt: time between samples where a call gives none.
        device: where the parameters live.
        dtype: the parameters' type.

    Outputs are ``[Re z, Im z]``, 2 H features. A state is 3 H wide: it also holds ``B u`` of the
    sample before.

    Parameters: log_frequency_l0 ``(H,)``, spread evenly from slowest to fastest, with jitter;
    log_rate_l0 ``(H,)``, -log tau, with a deviation of 0.2; weight_ih_l0 ``(H, I)``, B, absent for
    one input, where it is 1 (a readout scales outputs anyway); with a gate weight_gate_l0
    ``(H, I)`` and bias_gate_l0 ``(H,)``.

    Raises:
        TorchliquidError: a gate, frequency or time constant that is none, or a proj_size.

    >>> layer = Resonator(1, 12, dt=0.1, batch_first=True)
    >>> y, state = layer(torch.zeros(2, 50, 1), dt=torch.rand(2, 50))
    >>> y.shape, state.shape
    (torch.Size([2, 50, 24]), torch.Size([1, 2, 36]))
    """

    weight_names = (
        "log_frequency_l0",
        "log_rate_l0",
        "weight_ih_l0",
        "weight_gate_l0",
        "bias_gate_l0",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        gate: str | None = None,
        slowest: float | None = None,
        fastest: float | None = None,
        initial_tau: float | None = None,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        hidden_size = check_size("hidden_size", hidden_size)
        if gate is not None and (not isinstance(gate, str) or gate not in GATES):
            raise TorchliquidError(
                f"gate is {short_repr(gate)}: expected None, {', '.join(map(repr, GATES))}"
            )
        if check_proj_size(proj_size, hidden_size):
            raise TorchliquidError(
                f"proj_size is {short_repr(proj_size)}: resonators feed nothing back; leave it 0 "
                "and read the outputs by a linear layer"
            )
        self.gate = gate
        self.slowest = None if slowest is None else check_positive("slowest", slowest)
        self.fastest = None if fastest is None else check_positive("fastest", fastest)
        self.initial_tau = None
        if initial_tau is not None:
            self.initial_tau = check_positive("initial_tau", initial_tau)
        if self.slowest and self.fastest and self.slowest > self.fastest:
            raise TorchliquidError(
                f"slowest is {self.slowest:g}, fastest {self.fastest:g}: give the lower frequency "
                "as slowest"
            )
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            dt=dt,
            device=device,
            dtype=dtype,
        )

    @property
    def output_size(self) -> int:
        """Features that one direction outputs: real and imaginary part of every resonator."""
        return 2 * self.hidden_size

    @property
    def state_size(self) -> int:
        """Values of one direction's state: real and imaginary parts, and the drive before."""
        return 3 * self.hidden_size

    def indices_in_state(self, neurons: list[int]) -> list[int]:
        """See `LiquidLayer.indices_in_state`."""
        return [block * self.hidden_size + neuron for block in range(3) for neuron in neurons]

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"log_frequency_l0": (H,), "log_rate_l0": (H,)}
        if features > 1:
            shapes["weight_ih_l0"] = (H, features)
        if self.gate is not None:
            shapes |= {"weight_gate_l0": (H, features), "bias_gate_l0": (H,)}
        return shapes

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`."""
        H, dt = self.hidden_size, self.dt
        slowest, fastest, tau = self.slowest, self.fastest, self.initial_tau
        high = math.log(fastest or max(math.pi / dt, slowest or 0.0))
        low = math.log(slowest or min(2 * math.pi / (SPAN * dt), math.exp(high)))
        spread = weights["log_frequency_l0"]
        with torch.no_grad():
            order = torch.arange(H, device=spread.device, dtype=spread.dtype)
            spread.copy_(low + (high - low) / H * (order + torch.rand_like(spread)))
        nn.init.normal_(weights["log_rate_l0"], -math.log(tau or FORGET * dt), 0.2)
        if "weight_ih_l0" in weights:
            nn.init.normal_(weights["weight_ih_l0"], 0.0, weights["weight_ih_l0"].shape[1] ** -0.5)
        if self.gate is not None:
            bias, deviation = GATES[self.gate]
            gate = weights["weight_gate_l0"]
            nn.init.normal_(gate, 0.0, deviation * gate.shape[1] ** -0.5)
            if "bias_gate_l0" in weights:
                nn.init.constant_(weights["bias_gate_l0"], bias)

    @property
    def tau(self) -> Tensor:
        """Time constants without the gate, in the unit of dt, ``(H,)``, or ``(D, H)``."""
        return (-self._by_layer("log_rate_l0")).exp()

    @property
    def frequency(self) -> Tensor:
        """Frequencies in radians per unit of dt, ``(H,)``, or ``(D, H)``."""
        return self._by_layer("log_frequency_l0").exp()

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        return kernels.resonator(
            x,
            state,
            weights["log_frequency_l0"].exp(),
            weights["log_rate_l0"].exp(),
            weights.get("weight_ih_l0"),
            weights.get("weight_gate_l0"),
            weights.get("bias_gate_l0"),
            dt,
        )

    def _try_fast_step(
        self, x: Tensor, state: Tensor | None, dt: Any, out: Tensor | None
    ) -> Tensor | None:
        """`step` by the kernel; None where an argument is not quite what it takes."""
        own = self._parameters
        if not self._is_plain or any(name not in own for name in self.weight_names):
            return None
        for t in (x, state, out):
            dense = isinstance(t, Tensor) and t.is_cpu and t.layout == torch.strided
            if t is not None and (not dense or t.is_nested or t.dtype != x.dtype):
                return None
        if type(dt) is not float or not 1e-30 < dt < 1e30 or x.dim() not in (1, 2):
            return None
        shape = (*x.shape[:-1], self.state_size)
        if x.shape[-1] != self.input_size or not x.numel():
            return None
        if any(t is not None and t.shape != shape for t in (state, out)):
            return None
        with torch.no_grad():
            before = x.new_zeros(shape) if state is None else state
            weights = tuple(map(own.get, self.weight_names))
            rows = (x, before) if x.dim() == 2 else (x.unsqueeze(0), before.unsqueeze(0))
            after = kernels.resonator_step(*rows, weights, dt)
            if after is None:
                return None
            after = after.view(shape)
            return after if out is None else out.copy_(after)

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`: without the drive before."""
        return states[..., : 2 * self.hidden_size]

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`: resonators do not act on each other."""
        return weights

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`."""
        gate = None
        if self.gate is not None:
            gate = kernels.linear(x, weights["weight_gate_l0"], weights.get("bias_gate_l0"))
        tau = 1 / resonator_decay(weights["log_rate_l0"].exp(), gate)
        return tau.expand(*state.shape[:-1], x.shape[-2], self.hidden_size)


register(
    CellType(
        name="Resonator",
        papers=("orvieto2023resurrecting", "boyer2025learning", "hasani2021liquid"),
        layer=Resonator,
        is_liquid=False,
        takes_dt=True,
        options=LIQUID_OPTIONS
        | {"gate": str | None}
        | dict.fromkeys(("slowest", "fastest", "initial_tau"), float | None),
        about="damped resonators",
        variants={
            "": Variant({"gate": None}, "no gate"),
            **{name: Variant({"gate": name}, f"a gate that starts {name}") for name in GATES},
            "fixed": Variant({"gate": None}, "time constants as they start", ("log_rate_l0",)),
        },
        log_frequencies=("log_frequency_l0",),
    )
)
