"""Which backend runs a call: checks of the arguments, then native, torch or reference."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchliquid import functional
from torchliquid._checks import check_tensor
from torchliquid.errors import TorchliquidError
from torchliquid.functional._arguments import (
    as_time,
    check_cfc,
    check_gated,
    check_ltc,
    check_same_dtype_device,
    check_shapes,
    check_synaptic,
)
from torchliquid.functional._oscillator_filter import Belief, Filtered, oscillator_filter
from torchliquid.functional._projection import project
from torchliquid.functional.cfc import MODES, Map, check_mode
from torchliquid.functional.ltc import check_solver, positive_tau
from torchliquid.functional.resonator import (
    Scan,
    check_resonator,
    run_over_samples,
    scan_of,
    scan_states,
)
from torchliquid.kernels import _fast_path as fast_path
from torchliquid.kernels import _library as library
from torchliquid.kernels import (
    _ltc_operator as _ltc_operator,  # registers what _bindings.ltc calls
)
from torchliquid.kernels._bindings import cfc as native_cfc
from torchliquid.kernels._bindings import filter as native_filter
from torchliquid.kernels._bindings import gated as native_gated
from torchliquid.kernels._bindings import layers, stages
from torchliquid.kernels._bindings import linear as native_linear
from torchliquid.kernels._bindings import ltc as native_ltc
from torchliquid.kernels._bindings import memory as native_memory
from torchliquid.kernels._bindings import resonator as native_resonator
from torchliquid.kernels._bindings import step as native_step
from torchliquid.kernels._bindings import synaptic as native_synaptic
from torchliquid.kernels._torch import cfc as torch_cfc
from torchliquid.kernels._torch import gru as torch_gru
from torchliquid.kernels._torch import lstm as torch_lstm
from torchliquid.kernels._torch import ltc as torch_ltc
from torchliquid.kernels._torch import recurrence as torch_recurrence
from torchliquid.messages import short_repr

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
    weights = (weight_ih, weight_hh, bias, raw_tau, target)
    head = (readout, readout_bias)

    def slow(x: Tensor, state: tuple[Tensor, ...], dt: float | Tensor, *given: Any) -> Any:
        ih, hh, b, raw, goal, weight, offset = given
        states, last = ltc(x, state[0], ih, hh, b, positive_tau(raw), goal, dt, solver, unfolds)
        return linear(states, weight, offset), (last,)

    if solver not in native_ltc.SOLVERS or readout_bias is None:
        y, last = slow(x, (h0,), dt, *weights, *head)
    else:
        cell = stages.ltc_cell(solver, unfolds)
        y, last = _one_layer(cell, x, (h0,), dt, weights, head, slow)
    return y, last[0]


def _one_layer(
    cell: stages.KernelCell,
    x: Tensor,
    states: tuple[Tensor, ...],
    dt: float | Tensor,
    weights: tuple[Tensor | None, ...],
    readout: tuple[Tensor | None, ...],
    slow: Callable[..., tuple[Tensor, tuple[Tensor, ...]]],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer in one direction by a native kernel, of arguments that are checked.

    ``slow(x, states, dt, *weights, *readout)`` is the same in operations of torch: for what no
    native kernel takes, and for gradients that need a graph.
    """
    times = dt if isinstance(dt, Tensor) else None
    every = (x, *states, times, *weights, *readout)
    if not (_native(states[0].dim() - 2, *every) and library.is_plain(*every)):
        return slow(x, states, dt, *weights, *readout)
    if readout:
        weight, bias = readout
        lead, H = states[0].shape[:-2], states[0].shape[-1]
        shapes = {"readout": (weight, (*lead, weight.shape[-2], H))}  # type: ignore[union-attr]
        check_shapes({**shapes, "readout_bias": (bias, (*lead, weight.shape[-2]))})  # type: ignore[union-attr]

    def with_graph(x: Tensor, h0: Tensor, c0: Any, times: Any, *given: Any) -> Any:
        state = tuple(part.squeeze(-3) for part in (h0, c0) if part is not None)
        y, last = slow(x, state, dt if times is None else times, *given)
        return y, *(part.unsqueeze(-3) for part in last)

    interval = float(as_time(dt, x.dtype)) if times is None else 1.0
    plan = layers.Plan(cell, 1, 1, interval, bool(readout))
    h0, *c0 = (part.unsqueeze(-3) for part in states)
    given = (x, h0, c0[0] if c0 else None, times, None, None)
    y, *last = layers.run(plan, given, (*weights, *readout), with_graph)
    return y, tuple(part.squeeze(-3) for part in last)


try_fast_layers = fast_path.run_layers
Stepper = native_step.Stepper


def stepper(cell: stages.KernelCell, weights: tuple[Tensor | None, ...]) -> Stepper | None:
    """What runs single steps of a layer with these weights; None where nothing native does.

    ``weights`` are parameters in the cell's order.
    """
    optional = (2,) if cell.kernel == "ltc" else (2, 3)
    if any(w is None for k, w in enumerate(weights) if k not in optional):
        return None  # computed ones: they may be others at each step
    if not (_native(0, *weights) and library.is_plain(*weights)):
        return None
    if any(r is not w for r, w in zip(library.readable(*weights), weights, strict=True)):
        return None  # of a copy it would not see the next change
    return Stepper(cell, weights)


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


def rate_cell(
    cell: stages.KernelCell,
    x: Tensor,
    h0: Tensor,
    weights: tuple[Tensor | None, ...],
    dt: float | Tensor,
    equation: Callable[..., tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """A cell whose last weight is a raw rate or time constant, of arguments that are checked.

    Args:
        cell: `stages.CTRNN` or `stages.DECAY_GRU`.
        x: ``(*S, B, L, I)``.
        h0: ``(*S, B, H)``.
        weights: as the cell lists them.
        dt: a float or ``(*S, B, L)``.
        equation: ``equation(x, h0, *weights, dt)`` with the rate itself: what runs where no native
            kernel does.
    """

    def slow(x: Tensor, state: tuple[Tensor, ...], dt: float | Tensor, *given: Any) -> Any:
        *others, raw = given
        y, last = equation(x, *state, *others, positive_tau(raw), dt)
        return y, (last,)

    y, last = _one_layer(cell, x, (h0,), dt, weights, (), slow)
    return y, last[0]


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
    named = dict(zip(("h0", "c0"), states, strict=False))
    check_gated(2 + len(states), x, named, *weights)  # type: ignore[arg-type]

    def slow(x: Tensor, state: tuple[Tensor, ...], _: Any, *given: Any) -> Any:
        matrices, head = given[:4], given[4:]
        y, last = lstm(x, *state, *matrices) if len(state) == 2 else gru(x, *state, *matrices)
        return linear(y, *head), last if isinstance(last, tuple) else (last,)

    head = (readout, readout_bias)
    if readout_bias is None:
        y, last = slow(x, states, 1.0, *weights, *head)
    else:
        cell = stages.LSTM if len(states) == 2 else stages.GRU
        y, last = _one_layer(cell, x, states, 1.0, weights, head, slow)
    return y, last if len(last) == 2 else last[0]


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
    """See `torchliquid.functional.cfc`."""
    check_mode(mode, activation)
    heads = MODES[mode]
    check_cfc(x, h0, weight_ih, weight_hh, bias, maps, rate, target, dt, heads, kept)
    dt = as_time(dt, x.dtype)
    run = functional.cfc if _backend() == "reference" else torch_cfc.cfc
    tensors = (x, h0, weight_ih, weight_hh, bias, *(t for pair in maps for t in pair), rate, target)
    times = dt if isinstance(dt, Tensor) else None
    if not kept and native_cfc.fits(maps, activation) and _native(h0.dim() - 2, *tensors, times):
        run = native_cfc.cfc
    given = (x, h0, weight_ih, weight_hh, bias, maps, rate, target, dt)
    return run(*given, mode, activation, kept)


class Behind(NamedTuple):
    """A cell behind a memory.

    Args:
        kernel: ``"synaptic"`` or ``"cfc"``.
        options: of its binding, by dt where it is one for all.
        equation: ``equation(x, h0, weights, dt)``, the cell in differentiable operations.
    """

    kernel: str
    options: Callable[[float], Any]
    equation: Callable[..., tuple[Tensor, Tensor]]


def behind_memory(
    cell: Behind,
    x: Tensor,
    seen: Tensor,
    state: Tensor,
    dt: float | Tensor,
    memory: tuple[Tensor, Tensor, Tensor | None],
    weights: tuple[Tensor | None, ...],
) -> Tensor | None:
    """States of a cell behind the memory of an LSTM, of arguments that are checked.

    None, and nothing done, where no native kernel runs them.

    Args:
        cell: see there.
        x: ``(*S, B, L, I)``.
        seen: the same as the cell takes it.
        state: h and c side by side, ``(*S, B, 2H)``.
        dt: a float or ``(*S, B, L)``.
        memory: weights for the input ``(*S, 4H, I)`` and the state ``(*S, 4H, H)``, bias, or None;
            gates in torch's order.
        weights: the cell's, as it lists them.

    Returns:
        h and c after every sample, ``(*S, B, L, 2H)``.
    """
    dt = as_time(dt, x.dtype)
    times = dt if isinstance(dt, Tensor) else None
    every = (x, seen, state, times, *memory, *weights)
    if not (_native(state.dim() - 2, *every) and library.is_plain(*every)):
        return None
    interval = 0.0 if isinstance(dt, Tensor) else float(dt)

    def slow(x: Tensor, seen: Tensor, state: Tensor, times: Tensor | None, *given: Any) -> Tensor:
        """The same, for gradients that need a graph."""
        ih, hh, bias, *own = given
        h, c = state.chunk(2, -1)
        states = []
        for t, u in enumerate(project(x, ih, bias).unbind(-2)):
            i, f, g, o = (u + h @ hh.transpose(-2, -1)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            time = interval if times is None else times[..., t : t + 1]
            _, h = cell.equation(seen[..., t : t + 1, :], h, own, time)
            states.append(torch.cat([h, c], -1))
        return torch.stack(states, -2)

    behind = native_memory.Behind(cell.kernel, cell.options(interval))
    return native_memory.run(behind, x, seen, state, times, (*memory, *weights), slow)


def synaptic_behind(synapses: Tensor, sensory: Tensor, unfolds: int) -> Behind:
    """The synaptic cell: weights as `synaptic` lists them, without its maps."""
    edges, seen = synapses.contiguous(), sensory.contiguous()

    def equation(x: Tensor, h0: Tensor, weights: Any, dt: Any) -> tuple[Tensor, Tensor]:
        given: Any = (x, h0, *weights, None, None, edges, seen, dt, unfolds)
        return functional.synaptic(*given)

    return Behind("synaptic", lambda interval: (edges, seen, interval, unfolds), equation)


def cfc_behind(mode: str, activation: str) -> Behind:
    """The CfC: weights of the first map, then of each further one, rate and target."""

    def equation(x: Tensor, h0: Tensor, weights: Any, dt: Any) -> tuple[Tensor, Tensor]:
        ih, hh, bias, *maps, rate, target = weights
        pairs = list(zip(maps[::2], maps[1::2], strict=True))
        return functional.cfc(x, h0, ih, hh, bias, pairs, rate, target, dt, mode, activation)

    return Behind("cfc", lambda interval: native_cfc.Options(mode, activation, interval), equation)


cfc_fits = native_cfc.fits


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
    """See `torchliquid.functional.resonator`."""
    weights = (frequency, rate, weight_ih, weight_gate, bias_gate)
    check_resonator(x, h0, *weights, dt)
    dt = as_time(dt, x.dtype)
    given = scan_of(x, h0, *weights, dt, linear)
    times = dt if isinstance(dt, Tensor) else None
    every = (rate, given.gate, frequency, times, given.drive, h0)
    if _native(h0.dim() - 2, *every) and library.is_plain(*every):
        states = native_resonator.scan(given)
    elif _backend() == "reference":
        states = scan_states(given, run_over_samples)
    else:
        states = scan_states(given, torch_recurrence.run_recurrence)
    return states, states[..., -1, :]


def resonator_step(
    x: Tensor, state: Tensor, weights: tuple[Tensor | None, ...], dt: float
) -> Tensor | None:
    """One sample of B streams, without autograd: the states after it; None where nothing native is.

    Args:
        x: ``(B, I)``.
        state: ``(B, 3 H)``.
        weights: of a layer: logarithms of frequency and rate, then as of `resonator`.
        dt: a valid time.
    """
    log_frequency, log_rate, weight_ih, weight_gate, bias_gate = weights
    if not (_native(0, x, state, *weights) and library.is_plain(x, state, *weights)):
        return None
    if log_frequency is None or log_rate is None:
        return None
    # what `scan_of` does, in fewer operations: with it a step takes a tenth longer
    sample = x.unsqueeze(1)
    if weight_ih is None:
        drive = sample.expand(-1, -1, len(log_rate))
    else:
        drive = torch.nn.functional.linear(sample, weight_ih)
    gate = None
    if weight_gate is not None:
        gate = torch.nn.functional.linear(sample, weight_gate, bias_gate)
    given = Scan(log_rate.exp(), gate, log_frequency.exp(), dt, drive, state)
    return native_resonator.scan(given).squeeze(1)


def filter_likelihoods(
    x: Tensor,
    dt: Tensor,
    observed: Tensor,
    frequency: Tensor,
    decay: Tensor,
    spread: Tensor,
    noise: Tensor,
) -> tuple[Tensor, Tensor]:
    """Errors and their variances ``(B, L)`` of oscillators that correct themselves.

    The likelihood of B series, each with K oscillators of its own.

    Args:
        x: samples ``(B, L)``.
        dt: time before each ``(B, L)``.
        observed: which were observed ``(B, L)``, booleans.
        frequency: ``(B, K)``, like the next two.
        decay: see `torchliquid.functional._oscillator_filter`.
        spread: see there.
        noise: ``(B,)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit.
    """
    given = (x, dt, observed, frequency, decay, spread, noise)
    if _filters_natively(*given):
        return native_filter.likelihoods(x, dt, observed.to(x.dtype), *given[3:])
    run = oscillator_filter(*given)
    return run.errors, run.variances


@torch.no_grad()
def filter_states(
    x: Tensor,
    dt: Tensor,
    observed: Tensor,
    frequency: Tensor,
    decay: Tensor,
    spread: Tensor,
    noise: Tensor,
    start: Belief | None = None,
) -> Filtered:
    """Run oscillators that correct themselves over B series, without gradients.

    Args:
        x: samples ``(B, L)``; the next six as of `filter_likelihoods`.
        dt: time before each.
        observed: which were observed.
        frequency: see there.
        decay: see there.
        spread: see there.
        noise: see there.
        start: what is known before, the ``last`` of an earlier run; None: nothing.

    Returns:
        Estimates, errors and variances at each sample, and what is known after the last one.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit.
    """
    given = (x, dt, observed, frequency, decay, spread, noise)
    native = _filters_natively(*given)
    if start is not None:
        B, K = frequency.shape
        if not isinstance(start, Belief):
            raise TorchliquidError(
                f"start is {short_repr(start)}: expected the `last` of an earlier run, or None"
            )
        shapes = tuple(start.state.shape), tuple(start.covariance.shape)
        if shapes != ((B, K), (2, B, K, K)):
            raise TorchliquidError(
                f"start has shapes {shapes}: expected {((B, K), (2, B, K, K))}, as an earlier run "
                "of as many series and oscillators gives them"
            )
        native = native and start.state.dtype == x.dtype.to_complex()
    if native:
        return native_filter.run((x, dt, observed.to(x.dtype), *given[3:]), start)
    return oscillator_filter(*given, start)


def _filters_natively(
    x: Tensor,
    dt: Tensor,
    observed: Tensor,
    frequency: Tensor,
    decay: Tensor,
    spread: Tensor,
    noise: Tensor,
) -> bool:
    """Check what is given to a filter, and return whether the native kernel takes it."""
    values = (frequency, decay, spread, noise)
    named = {"frequency": frequency, "decay": decay, "spread": spread, "noise": noise}
    check_same_dtype_device({"x": x, "dt": dt, **named}, {})
    check_tensor("observed", observed, "booleans like x")
    if x.dim() != 2 or frequency.dim() != 2 or observed.dtype != torch.bool or not x.numel():
        raise TorchliquidError(
            f"x has shape {tuple(x.shape)}, frequency {tuple(frequency.shape)}, observed is "
            f"{observed.dtype}: expected (B, L), (B, K) and booleans"
        )
    B, K = len(x), frequency.shape[1]
    shapes: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        name: (value, (B,) if name == "noise" else (B, K)) for name, value in named.items()
    }
    check_shapes({**shapes, "dt": (dt, (B, x.shape[1])), "observed": (observed, (B, x.shape[1]))})
    return _native(0, x, dt, *values) and library.is_plain(x, dt, observed, *values)
