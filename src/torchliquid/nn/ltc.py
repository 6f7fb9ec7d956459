"""The liquid time-constant layer."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import functional, kernels
from torchliquid._checks import check_unfolds
from torchliquid.errors import LongStepWarning, TorchliquidError
from torchliquid.functional.ltc import RK4_LIMIT, positive_tau
from torchliquid.messages import short_repr
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, Variant, register
from torchliquid.nn.layer import LiquidLayer

_STABLE = {"euler": 2.0, "rk4": RK4_LIMIT}
"""Step over tau_sys up to which a solver is stable."""


class LTC(LiquidLayer):
    """Liquid time-constant layer with one gate per neuron, used like `torch.nn.LSTM`.

    Every neuron is a leaky integrator whose time constant follows the input and the state:
    ``dx/dt = -x / tau_sys + f A`` with ``tau_sys = tau / (1 + tau f)`` and the gate
    ``f = sigmoid(W_ih u + W_hh x + b)``. The equations and solvers are in
    `torchliquid.functional.ltc`.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons of a layer in one direction.
        num_layers: each but the first runs over the outputs of the one below.
        bias: whether the gate has a bias.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training.
        bidirectional: whether every layer also runs backwards, with weights of its own. Before its
            first sample, the last one, it takes the forward direction's first dt.
        proj_size: P, less than H: outputs are ``weight_hr x`` of the state x, and feed back in its
            place; 0 for none. States stay H wide.
        solver: ``"semi_implicit"`` (the LTC paper's fused step, stable at any dt), ``"euler"``
            (the article's; needs dt well below tau_sys, longer steps are cut there),
            ``"exponential"`` (exact for a frozen gate) or ``"rk4"``.
        unfolds: K, solver sub-steps for one sample.
        dt: time between samples where a call gives none; the unit of tau and tau_sys.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters, with I + 2 of them for each of H neurons, plus H for the bias and H x H:
        weight_ih_l0 ``(H, I)``, weight_hh_l0 ``(H, H)``, bias_l0 ``(H,)``: the gate, initialised
        uniformly within 1 / sqrt(I + H) as one linear map of ``[u, x]``; raw_tau_l0 ``(H,)``: tau
        is its softplus (at least 1e-19 in float32), it starts at 1 (tau 1.313); target_l0
        ``(H,)``: A, standard normal. With proj_size weight_hh_l0 is ``(H, P)``, and weight_hr_l0
        ``(P, H)`` starts uniformly within 1 / sqrt(H). Those of further layers and directions end
        in ``_l0_reverse``, ``_l1``, ... as torch names them; a layer above the first has as many
        features as the one below has outputs.

    In bfloat16 and float16 a state stalls where a step changes it by less than its last bit (with
    dt 1e-3 about halfway): train and run such models under autocast, which keeps states in float32.

    Source: Hasani et al., "Liquid Time-constant Networks", AAAI 2021; the single gate and the
    initialisation are those of the article series "Deconstructing Liquid Neural Networks".

    >>> layer = LTC(4, 8, batch_first=True)
    >>> y, h = layer(torch.zeros(2, 10, 4), dt=0.1)
    >>> y.shape, h.shape
    (torch.Size([2, 10, 8]), torch.Size([1, 2, 8]))
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_l0", "raw_tau_l0", "target_l0")
    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_l0: Tensor | None
    raw_tau_l0: Tensor
    target_l0: Tensor

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
        solver: str = "semi_implicit",
        unfolds: int = 1,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
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
        self._warned = False
        self.solver = solver
        self.unfolds = unfolds

    @property
    def solver(self) -> str:
        """Name of the solver; one of `functional.SOLVERS`."""
        return self._solver

    @solver.setter
    def solver(self, value: str) -> None:
        if not isinstance(value, str) or value not in functional.SOLVERS:
            known = ", ".join(functional.SOLVERS)
            raise TorchliquidError(f"solver is {short_repr(value)}: expected one of {known}")
        self._solver = value

    @property
    def unfolds(self) -> int:
        """K, solver sub-steps for one sample."""
        return self._unfolds

    @unfolds.setter
    def unfolds(self, value: int) -> None:
        self._unfolds = check_unfolds(value)

    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """See `LiquidLayer.shapes`."""
        H = self.hidden_size
        return {
            "weight_ih_l0": (H, features),
            "weight_hh_l0": (H, recurrent_size),
            "bias_l0": (H,),
            "raw_tau_l0": (H,),
            "target_l0": (H,),
        }

    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """See `LiquidLayer.draw`."""
        bound = 1 / math.sqrt(weights["weight_ih_l0"].shape[1] + weights["weight_hh_l0"].shape[1])
        for name, weight in weights.items():
            if name.startswith(("weight", "bias")):
                nn.init.uniform_(weight, -bound, bound)
        nn.init.ones_(weights["raw_tau_l0"])
        nn.init.normal_(weights["target_l0"])

    @property
    def tau(self) -> Tensor:
        """Leak time constants in the unit of dt, ``(H,)``, or ``(D, H)``."""
        return positive_tau(self._by_layer("raw_tau_l0"))

    def leaks(self) -> Tensor:
        """See `LiquidLayer.leaks`."""
        return self.tau

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        self._warn_of_cut_steps(dt, weights["raw_tau_l0"])
        return kernels.ltc(x, state, *_arguments(weights), dt, self.solver, self.unfolds)

    def scan_and_read(
        self,
        weights: Mapping[str, Tensor],
        x: Tensor,
        state: Tensor,
        dt: float | Tensor,
        readout: Tensor,
        readout_bias: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan_and_read`: one kernel does both, where there is one."""
        if type(self).scan is not LTC.scan:  # a subclass that changes what is scanned
            return super().scan_and_read(weights, x, state, dt, readout, readout_bias)
        self._warn_of_cut_steps(dt, weights["raw_tau_l0"])
        return kernels.ltc_model(
            x,
            state,
            weights["weight_ih_l0"],
            weights["weight_hh_l0"],
            weights.get("bias_l0"),
            weights["raw_tau_l0"],
            weights["target_l0"],
            dt,
            self.solver,
            self.unfolds,
            readout,
            readout_bias,
        )

    def kernel_cell(self) -> kernels.KernelCell | None:
        """See `LiquidLayer.kernel_cell`."""
        own = type(self)
        if own.scan is not LTC.scan or own.emit is not LiquidLayer.emit or self._solver == "rk4":
            return None
        return kernels.ltc_cell(self._solver, self._unfolds)

    def try_fast_forward(self, *arguments: Any, **named: Any) -> tuple[Tensor, Tensor] | None:
        """See `LiquidLayer.try_fast_forward`; the slow path warns of long explicit steps."""
        if self._solver == "euler" and not self._warned:
            return None
        return super().try_fast_forward(*arguments, **named)

    def _warn_of_cut_steps(self, dt: float | Tensor, raw_tau: Tensor) -> None:
        """Warn once that an explicit step is longer than it can be taken, and how long that is."""
        if self._warned or self.solver not in _STABLE:
            return
        if (
            torch.compiler.is_compiling()
            or torch._C._functorch.peek_interpreter_stack() is not None
        ):
            return  # values cannot be read there
        if raw_tau.is_meta or (isinstance(dt, Tensor) and not dt.numel()):
            return
        longest = float(dt.detach().max() if isinstance(dt, Tensor) else dt)
        fastest = float(positive_tau(raw_tau.detach().min()))
        bound = _STABLE[self.solver] * self.unfolds * fastest / (1 + fastest)
        if longest > bound:
            self._warned = True
            warnings.warn(
                f"dt is up to {longest:.4g}; solver={self.solver!r} with unfolds={self.unfolds} is "
                f"stable for dt up to {bound:.3g} (by the fastest neuron). Longer steps end where "
                "the state rests (see torchliquid.functional.ltc): give a smaller dt, more unfolds "
                "or solver='semi_implicit'",
                LongStepWarning,
                stacklevel=2,
            )

    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """See `LiquidLayer.scan_time_constants`."""
        return functional.ltc_time_constants(
            x, state, *_arguments(weights), dt, self.solver, self.unfolds
        )


def _arguments(
    weights: Mapping[str, Tensor],
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
    return (
        weights["weight_ih_l0"],
        weights["weight_hh_l0"],
        weights.get("bias_l0"),
        positive_tau(weights["raw_tau_l0"]),
        weights["target_l0"],
    )


register(
    CellType(
        name="LTC",
        papers=("hasani2021liquid",),
        layer=LTC,
        is_liquid=True,
        takes_dt=True,
        options=LIQUID_OPTIONS | {"solver": str, "unfolds": int},
        about="liquid time constants",
        variants={
            "": Variant({"solver": "semi_implicit"}, "the paper's semi-implicit step"),
            "euler": Variant({"solver": "euler"}, "the article's Euler step"),
            "exponential": Variant({"solver": "exponential"}, "exponential step"),
            "rk4": Variant({"solver": "rk4"}, "rk4 step"),
        },
    )
)
