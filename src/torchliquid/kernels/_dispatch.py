"""Which backend runs a call: checks of the arguments, then native, torch or reference."""

import os

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchliquid import functional
from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import (
    as_time,
    check_gated,
    check_ltc,
    check_shapes,
    check_synaptic,
)
from torchliquid.functional._projection import project
from torchliquid.functional.ltc import check_solver, positive_tau
from torchliquid.kernels import _fast_path as quick
from torchliquid.kernels import _library as library
from torchliquid.kernels import (
    _ltc_operator as _ltc_operator,  # registers what _bindings.ltc calls
)
from torchliquid.kernels._bindings import gated as native_gated
from torchliquid.kernels._bindings import linear as native_linear
from torchliquid.kernels._bindings import ltc as native_ltc
from torchliquid.kernels._bindings import step as native_step
from torchliquid.kernels._bindings import synaptic as native_synaptic
from torchliquid.kernels._torch import gru as torch_gru
from torchliquid.kernels._torch import lstm as torch_lstm
from torchliquid.kernels._torch import ltc as torch_ltc

BACKENDS = ("native", "torch", "reference")
"""Names of the backends, the fastest first."""
VARIABLE = "TORCHLIQUID_BACKEND"


def backend() -> str:
    """The backend in use.

    Raises:
        TorchliquidError: the environment names one that does not exist or is not at hand.
    """
    name = os.environ.get(VARIABLE)
    if name is None:
        return "native" if library.find()[0] else "torch"
    if name not in BACKENDS:
        raise TorchliquidError(f"{VARIABLE} is {name!r}: expected one of {', '.join(BACKENDS)}")
    if name == "native":
        library.loaded()
    return name


def native_build() -> str:
    """Describe the native library: its instruction set, or why there is none."""
    built, why = library.find()
    if built is None:
        return f"none: {why}"
    others = ", ".join(isa for isa in built.isas if isa != built.isa)
    bits = 32 * int(built.width[4])
    return f"{built.isa}, {bits} bits" + (f" (also compiled: {others})" if others else "")


def _forward_mode() -> bool:
    """Whether derivatives are carried along with the values, as hand-written passes do not."""
    return forward_ad._current_level >= 0


def _native(lanes: int, *tensors: Tensor | None) -> bool:
    """Whether the native kernels run these: one dimension of lanes at most, no transforms."""
    transformed = (
        not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is not None
    )
    return lanes < 2 and not transformed and _backend() == "native" and library.accepts(*tensors)


def _exporting() -> bool:
    return bool(torch.jit.is_tracing()) or torch.compiler.is_exporting()  # type: ignore[attr-defined, no-untyped-call]


def _backend() -> str:
    if _forward_mode() or _exporting():
        return "reference"
    return _compiled_backend() if torch.compiler.is_compiling() else backend()


def _compiled_backend() -> str:
    return backend()


# What `torch.compiler.assume_constant_result` sets, which imports the whole compiler to do so.
_compiled_backend._dynamo_marked_constant = True  # type: ignore[attr-defined]


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
    check_ltc(x, h0, weight_ih, weight_hh, bias, tau, target, dt, unfolds)
    check_solver(solver)
    dt = as_time(dt, x.dtype)
    times = dt if isinstance(dt, Tensor) else None
    run = functional.ltc
    if solver in native_ltc.SOLVERS and _native(
        h0.dim() - 2, x, h0, weight_ih, weight_hh, bias, tau, target, times
    ):
        run = native_ltc.ltc
    elif solver in torch_ltc.SOLVERS and _backend() != "reference":
        run = torch_ltc.ltc
    return run(x, h0, weight_ih, weight_hh, bias, tau, target, dt, solver, unfolds)


def ltc_model(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    raw_tau: Tensor,
    target: Tensor,
    dt: float | Tensor,
    solver: str,
    unfolds: int,
    readout: Tensor,
    readout_bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """`ltc` with tau from its raw parameter, and a linear readout of every state: two maps in one.

    Args are those of `ltc`, with ``readout (*S, O, H)`` and ``readout_bias (*S, O)`` or None.

    Returns:
        Readouts ``(*S, B, L, O)`` and the last state ``(*S, B, H)``.
    """
    check_ltc(x, h0, weight_ih, weight_hh, bias, raw_tau, target, dt, unfolds)
    check_solver(solver)
    dt = as_time(dt, x.dtype)
    tensors = (x, h0, weight_ih, weight_hh, bias)
    weights = (readout, readout_bias)
    times = dt if isinstance(dt, Tensor) else None
    every = (*tensors, raw_tau, target, times, *weights)
    whole = solver in native_ltc.SOLVERS and readout_bias is not None
    if whole and _native(h0.dim() - 2, *every) and library.is_plain(*every):
        check_shapes(
            {
                "readout": (readout, (*target.shape[:-1], readout.shape[-2], target.shape[-1])),
                "readout_bias": (readout_bias, readout.shape[:-1]),
            }
        )
        return native_ltc.model(*tensors, raw_tau, target, dt, solver, unfolds, *weights)  # type: ignore[arg-type]
    states, last = ltc(*tensors, positive_tau(raw_tau), target, dt, solver, unfolds)
    return linear(states, *weights), last


try_fast_ltc = quick.ltc
LTCStepper = native_step.Stepper


def ltc_stepper(weights: tuple[Tensor | None, ...], solver: str, unfolds: int) -> LTCStepper | None:
    """What runs single steps of these weights; None where nothing native does.

    ``weights`` are those of an LTC layer in its order: both matrices, bias, raw tau, target.
    """
    weight_ih, weight_hh, _, tau, target = weights
    if any(w is None for w in (weight_ih, weight_hh, tau, target)):
        return None  # computed ones: they may be others at each step
    if solver not in native_ltc.SOLVERS or not (
        _native(0, *weights) and library.is_plain(*weights)
    ):
        return None
    if any(r is not w for r, w in zip(library.readable(*weights), weights, strict=True)):
        return None  # of a copy it would not see the next change
    return LTCStepper(weights, solver, unfolds)


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
    check_gated(4, x, {"h0": h0, "c0": c0}, weight_ih, weight_hh, bias_ih, bias_hh)
    run = functional.lstm if _backend() == "reference" else torch_lstm.lstm
    if _native(h0.dim() - 2, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh):
        run = native_gated.lstm
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
    check_gated(3, x, {"h0": h0}, weight_ih, weight_hh, bias_ih, bias_hh)
    run = functional.gru if _backend() == "reference" else torch_gru.gru
    if _native(h0.dim() - 2, x, h0, weight_ih, weight_hh, bias_ih, bias_hh):
        run = native_gated.gru
    return run(x, h0, weight_ih, weight_hh, bias_ih, bias_hh)


State = Tensor | tuple[Tensor, Tensor]


def gated_model(
    x: Tensor,
    state: State,
    weights: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    readout: Tensor,
    readout_bias: Tensor | None,
) -> tuple[Tensor, State]:
    """`lstm` of a state ``(h, c)`` or `gru` of a state h, and a linear readout of every state.

    ``weights`` are both matrices and both biases; ``readout (*S, O, H)``, ``readout_bias (*S, O)``.

    Returns:
        Readouts ``(*S, B, L, O)`` and the last state.
    """
    states = state if isinstance(state, tuple) else (state,)
    every = (x, *states, *weights, readout, readout_bias)
    if (
        readout_bias is not None
        and _native(states[0].dim() - 2, *every)
        and library.is_plain(*every)
        and library.in_rows("gated", x, weights[1])  # type: ignore[arg-type]
    ):
        named = dict(zip(("h0", "c0"), states, strict=False))
        check_gated(2 + len(states), x, named, *weights)  # type: ignore[arg-type]
        lead, H = readout.shape[:-2], states[0].shape[-1]
        check_shapes(
            {
                "readout": (readout, (*states[0].shape[:-2], readout.shape[-2], H)),
                "readout_bias": (readout_bias, (*lead, readout.shape[-2])),
            }
        )
        return native_gated.model(x, state, weights, readout, readout_bias)
    if isinstance(state, tuple):
        y, last = lstm(x, *state, *weights)  # type: ignore[arg-type]
        return linear(y, readout, readout_bias), last
    y, h = gru(x, state, *weights)  # type: ignore[arg-type]
    return linear(y, readout, readout_bias), h


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear map at every step: ``x (*S, B, L, I)``, ``weight (*S, O, I)``, ``bias (*S, O)``."""
    if weight.dim() == 2:
        return torch.nn.functional.linear(x, weight, bias)
    run = native_linear.linear if _native(weight.dim() - 2, x, weight, bias) else project
    return run(x, weight, bias)


def synaptic(
    x: Tensor,
    h0: Tensor,
    sigma: Tensor,
    mu: Tensor,
    w: Tensor,
    erev: Tensor,
    sensory_sigma: Tensor,
    sensory_mu: Tensor,
    sensory_w: Tensor,
    sensory_erev: Tensor,
    gleak: Tensor,
    vleak: Tensor,
    cm: Tensor,
    input_w: Tensor | None = None,
    input_b: Tensor | None = None,
    synapses: Tensor | None = None,
    sensory: Tensor | None = None,
    dt: float | Tensor = 1.0,
    unfolds: int = 6,
) -> tuple[Tensor, Tensor]:
    """See `torchliquid.functional.synaptic`; native where it can be, else the equations."""
    check_synaptic(
        x,
        h0,
        {"sigma": sigma, "mu": mu, "w": w, "erev": erev},
        {
            "sensory_sigma": sensory_sigma,
            "sensory_mu": sensory_mu,
            "sensory_w": sensory_w,
            "sensory_erev": sensory_erev,
        },
        {"cm": cm, "gleak": gleak, "vleak": vleak},
        {"input_w": input_w, "input_b": input_b},
        synapses,
        sensory,
        dt,
        unfolds,
    )
    recurrent = (sigma, mu, w, erev)
    sensors = (sensory_sigma, sensory_mu, sensory_w, sensory_erev)
    neurons = (gleak, vleak, cm)
    maps = (input_w, input_b)
    dt = as_time(dt, x.dtype)
    times = dt if isinstance(dt, Tensor) else None
    run = functional.synaptic
    if _native(h0.dim() - 2, x, h0, *recurrent, *sensors, *neurons, *maps, times):
        run = native_synaptic.synaptic
    return run(x, h0, *recurrent, *sensors, *neurons, *maps, synapses, sensory, dt, unfolds)
