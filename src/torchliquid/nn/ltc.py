"""The liquid time-constant layer."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import functional, kernels
from torchliquid.checks import check_flag, check_unfolds, shown
from torchliquid.errors import LongStepWarning, TorchliquidError
from torchliquid.functional.ltc_cell import RK4_LIMIT, positive_tau
from torchliquid.nn.layer import LiquidLayer, new_parameter

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
        hidden_size: H, neurons.
        solver: ``"semi_implicit"`` (the LTC paper's fused step, stable at any dt), ``"euler"``
            (the article's; needs dt well below tau_sys, longer steps are cut there),
            ``"exponential"`` (exact for a frozen gate) or ``"rk4"``.
        unfolds: K, solver sub-steps for one sample.
        bias: whether the gate has a bias.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dt: time between samples where a call gives none; the unit of tau and tau_sys.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters, with I + 2 of them for each of H neurons, plus H for the bias and H x H:
        weight_ih_l0 ``(H, I)``, weight_hh_l0 ``(H, H)``, bias_l0 ``(H,)``: the gate, initialised
        uniformly within 1 / sqrt(I + H) as one linear map of ``[u, x]``; raw_tau_l0 ``(H,)``: tau
        is its softplus (at least 1e-19 in float32), it starts at 1 (tau 1.313); target_l0
        ``(H,)``: A, standard normal.

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
        solver: str = "semi_implicit",
        unfolds: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dt: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=batch_first, dt=dt)
        self._warned = False
        self._stepper: kernels.LTCStepper | None = None
        self.solver = solver
        self.unfolds = unfolds
        self.bias = check_flag("bias", bias)
        H = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (H, self.input_size),
            "weight_hh_l0": (H, H),
            "bias_l0": (H,),
            "raw_tau_l0": (H,),
            "target_l0": (H,),
        }
        for name, shape in shapes.items():
            wanted = bias or name != "bias_l0"
            parameter = new_parameter(name, shape, device, dtype) if wanted else None
            self.register_parameter(name, parameter)
        self.reset_parameters()

    @property
    def solver(self) -> str:
        """Name of the solver; one of `functional.SOLVERS`."""
        return self._solver

    @solver.setter
    def solver(self, value: str) -> None:
        if not isinstance(value, str) or value not in functional.SOLVERS:
            known = ", ".join(functional.SOLVERS)
            raise TorchliquidError(f"solver is {shown(value)}: expected one of {known}")
        self._solver = value

    @property
    def unfolds(self) -> int:
        """K, solver sub-steps for one sample."""
        return self._unfolds

    @unfolds.setter
    def unfolds(self, value: int) -> None:
        self._unfolds = check_unfolds(value)

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as the class says."""
        if self.raw_tau_l0.is_meta:
            return  # no memory to draw into
        bound = 1 / math.sqrt(self.input_size + self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith(("weight", "bias")):
                nn.init.uniform_(parameter, -bound, bound)
        nn.init.ones_(self.raw_tau_l0)
        nn.init.normal_(self.target_l0)

    @property
    def tau(self) -> Tensor:
        """Leak time constant of every neuron, ``(H,)``, in the unit of dt."""
        return positive_tau(self.raw_tau_l0)

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

    def quick_call(
        self, weights: Mapping[str, Any], readout: Any, x: Any, h0: Any, dt: Any
    ) -> tuple[Tensor, Tensor] | None:
        """See `LiquidLayer.quick_call`."""
        if torch.compiler.is_compiling() or type(self).scan is not LTC.scan:
            return None
        if kernels.backend() != "native":
            return None
        ordered = tuple(map(weights.get, self.weight_names))
        if self.bias and ordered[2] is None:
            return None  # it is somewhere else
        interval = self._dt if dt is None else dt
        options = (self._solver, self._unfolds, self.batch_first)
        head = None if readout is None else (readout.get("weight"), readout.get("bias"))
        return kernels.ltc_quick(x, h0, interval, ordered, *options, head)  # type: ignore[arg-type]

    def _quick_step(
        self, x: Tensor, state: Tensor | None, dt: float, out: Tensor | None
    ) -> Tensor | None:
        weights = tuple(map(self._parameters.get, self.weight_names))
        stepper = self._stepper
        if stepper is None or not stepper.fits(weights, self._solver, self._unfolds):
            if kernels.backend() != "native" or type(self).scan is not LTC.scan:
                return None
            stepper = self._stepper = kernels.ltc_stepper(weights, self._solver, self._unfolds)
            if stepper is None:
                return None
        return stepper(x, state, dt, out)

    def _warn_of_cut_steps(self, dt: float | Tensor, raw_tau: Tensor) -> None:
        """Say once that an explicit step is longer than it can be taken, and how long that is."""
        if self._warned or self.solver not in _STABLE:
            return
        if (
            torch.compiler.is_compiling()
            or torch._C._functorch.peek_interpreter_stack() is not None
        ):
            return  # nobody may look at numbers there
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

    def config(self) -> dict[str, Any]:
        """See `LiquidLayer.config`."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "solver": self.solver,
            "unfolds": self.unfolds,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dt": self.dt,
        }


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
