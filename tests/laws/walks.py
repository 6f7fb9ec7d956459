"""Every public callable with arguments that are right, and what else each argument takes."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import torchliquid
from torchliquid import LTC, Pack, SequenceModel, functional, kernels

from .bad_values import (
    B,
    Fine,
    H,
    I,
    L,
    O,
    S,
    any_length,
    any_length_of_pack,
    broadcast_with,
    count,
    dense,
    device,
    dimension,
    dtype,
    edges,
    finite,
    flag,
    gradient_norm,
    index,
    layer_with_times,
    neurons,
    never,
    new_file,
    no_unit,
    nothing,
    number,
    one,
    one_time,
    pair,
    positive_time,
    projection,
    recurrent,
    same,
    same_or_none,
    seed_number,
    seeds,
    share,
    shared_or_own,
    size,
    solver,
    stamps,
    target,
    time_of_function,
    time_of_layer,
    time_of_pack,
    time_or_none,
    unfolds,
    watched,
    weights,
)


@dataclass(frozen=True)
class Walk:
    """A callable, right arguments for it, and what else is right for each."""

    call: Callable[..., Any]
    given: Mapping[str, Any]
    fine: Mapping[str, Fine]


def draw(*shape: int) -> torch.Tensor:
    return torch.rand(*shape) + 0.1


def row_lengths(v: Any, base: Any) -> bool:
    """None, or B integers from 1 to L."""
    if v is None:
        return True
    try:
        array = v.numpy() if isinstance(v, torch.Tensor) and dense(v) else np.asarray(v)
    except Exception:
        return False
    if array.dtype.kind not in "iu" or array.shape != (B,):
        return False
    return bool(((array >= 1) & (array <= L)).all())


def arrivals(v: Any, base: Any) -> bool:
    """None, or booleans for samples or features."""
    if v is None:
        return True
    return dense(v) and v.dtype == torch.bool and v.shape in ((B, L), (B, L, I))


def layer_walk(
    call: Callable[..., Any],
    lead: tuple[int, ...] = (),
    dt: bool = True,
    D: int = 1,
    width: int = H,
) -> Walk:
    """x, h0 and dt, batch first; where it takes them, lengths."""
    given = {"x": draw(*lead, B, L, I), "h0": draw(*lead, D, B, width)}
    fine: dict[str, Fine] = {"x": shared_or_own if lead else same, "h0": same_or_none}
    if dt:
        given["dt"] = draw(*lead, B, L)
        fine["dt"] = time_of_pack if lead else time_of_layer
    takes = inspect.signature(call.forward if isinstance(call, nn.Module) else call).parameters
    if "lengths" in takes:
        given["lengths"], fine["lengths"] = None, row_lengths
    if "observed" in takes:
        given["observed"], fine["observed"] = None, arrivals
    if "hx" in takes:
        given["hx"], fine["hx"] = None, nothing
    return Walk(call, given, fine)


def fit_walk(trained: nn.Module) -> Walk:
    """Of a model with one output; no file is written."""
    given = {
        "model": trained, "x": draw(B, L, I), "y": draw(B, L, 1), "epochs": 2, "lr": 0.01,
        "dt": draw(B, L), "lengths": None, "observed": None, "weight": draw(B, L).abs(),
        "validation": (draw(B, L, I), draw(B, L, 1)), "patience": 3, "schedule": "one-cycle",
        "weight_decay": 0.1, "clip": 1.0, "batch_size": 2, "loss": "mse", "warm_up": 1,
        "dt_scale": 2.0, "readout": "train", "penalty": 1e-3, "progress": False, "seed": 0,
        "checkpoint": None, "checkpoint_seconds": 1.0,
    }  # fmt: skip
    fine: dict[str, Fine] = {
        "model": lambda v, base: isinstance(v, SequenceModel), "x": finite, "y": target,
        "epochs": lambda v, base: one(v, lambda n: count(n) and n >= 1),
        "lr": lambda v, base: one(v, lambda n: number(n) and 0 <= n <= 1e308),
        "dt": time_of_layer, "lengths": row_lengths, "observed": arrivals,
        "weight": weights, "validation": lambda v, base: v is base,
        "patience": lambda v, base: one(v, lambda n: n is None or (count(n) and n >= 1)),
        "schedule": lambda v, base: one(v, lambda n: n in ("constant", "one-cycle")),
        "weight_decay": lambda v, base: one(v, lambda n: number(n) and 0 <= n <= 10),
        "clip": lambda v, base: one(v, lambda n: n is None or (number(n) and 0 < n <= 1e300)),
        "batch_size": lambda v, base: v is None or (count(v) and v >= 1),
        "loss": lambda v, base: v in ("mse", "cross_entropy") if isinstance(v, str) else False,
        "warm_up": lambda v, base: count(v) and 0 <= v < L,
        "dt_scale": lambda v, base: one(v, lambda n: number(n) and 1e-30 <= n <= 1e30),
        "readout": lambda v, base: isinstance(v, str) and v == "train",
        "penalty": lambda v, base: one(v, lambda n: number(n) and 1e-30 <= n <= 1e30),
        "progress": flag, "seed": seed_number,
        "checkpoint": new_file,
        "checkpoint_seconds": lambda v, base: number(v) and v >= 0,
    }  # fmt: skip
    return Walk(torchliquid.fit, given, fine)


def lstm_walk(call: Callable[..., Any], lead: tuple[int, ...] = ()) -> Walk:
    states = draw(*lead, 1, B, H), draw(*lead, 1, B, H)
    given = {"x": draw(*lead, B, L, I), "h0": states, "dt": None}
    x = any_length_of_pack if lead else any_length
    fine: dict[str, Fine] = {"x": x, "h0": pair, "dt": pair}
    given["lengths"], fine["lengths"] = None, pair
    given["observed"], fine["observed"] = None, pair
    given["hx"], fine["hx"] = None, nothing
    return Walk(call, given, fine)


def gru_walk(call: Callable[..., Any]) -> Walk:
    walk = layer_walk(call, dt=False)
    fine = {**walk.fine, "x": any_length, **dict.fromkeys(("dt", "lengths", "observed"), pair)}
    return Walk(call, {**walk.given, "dt": None}, fine)


def ltc_arguments() -> dict[str, Any]:
    return {
        "x": draw(B, L, I), "h0": draw(B, H), "weight_ih": draw(H, I), "weight_hh": draw(H, H),
        "bias": draw(H), "tau": draw(H), "target": draw(H), "dt": draw(B, L),
        "solver": "semi_implicit", "unfolds": 2,
    }  # fmt: skip


LTC_FINE: dict[str, Fine] = {
    **dict.fromkeys(("x", "h0", "weight_ih", "weight_hh", "tau", "target"), same),
    "bias": same_or_none, "dt": time_of_function, "solver": solver, "unfolds": unfolds,
}  # fmt: skip


def gated_walk(call: Callable[..., Any], gates: int) -> Walk:
    states = {"h0": draw(B, H)} | ({"c0": draw(B, H)} if gates == 4 else {})
    weights = {"weight_ih": draw(gates * H, I), "weight_hh": draw(gates * H, H)}
    biases = {"bias_ih": draw(gates * H), "bias_hh": draw(gates * H)}
    given = {"x": draw(B, L, I)} | states | weights | biases
    fine: dict[str, Fine] = {name: same_or_none if name in biases else same for name in given}
    fine["x"] = any_length
    return Walk(call, given, fine)


def rate_walk(call: Callable[..., Any], gates: int, rate: str) -> Walk:
    """A gated cell that takes dt, and a rate or time constant of each neuron."""
    walk = gated_walk(call, gates)
    given, fine = walk.given | {rate: draw(H).abs(), "dt": draw(B, L)}, dict(walk.fine)
    fine |= {"x": same, rate: same, "dt": time_of_function}
    if gates == 1:
        given["bias"], fine["bias"] = given.pop("bias_ih"), fine.pop("bias_ih")
        del given["bias_hh"], fine["bias_hh"]
    return Walk(call, given, fine)


def synaptic_walk(call: Callable[..., Any]) -> Walk:
    given: dict[str, Any] = {"x": draw(B, L, I), "h0": draw(B, H)}
    for prefix, many in (("", H * H), ("sensory_", I * H)):
        given |= {f"{prefix}{name}": draw(many) for name in ("sigma", "mu", "w", "erev")}
    given |= {name: draw(H) for name in ("gleak", "vleak", "cm")}
    given |= {"input_w": draw(I), "input_b": draw(I)}
    every, sensory = functional.synaptic.__globals__["all_pairs"](H, H), None
    given |= {"synapses": every, "sensory": sensory, "dt": draw(B, L), "unfolds": 2}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine |= {"input_w": same_or_none, "input_b": same_or_none, "dt": time_of_function}
    fine |= {"synapses": lambda v, base: v is None or edges(v, base), "unfolds": unfolds}
    fine |= {"sensory": lambda v, base: v is None}
    return Walk(call, given, fine)


def cfc_walk(call: Callable[..., Any]) -> Walk:
    U = 4
    given: dict[str, Any] = {"x": draw(B, L, I), "h0": draw(B, H)}
    given |= {"weight_ih": draw(U, I), "weight_hh": draw(U, H), "bias": draw(U)}
    given |= {"maps": [(draw(H, U), None)], "rate": draw(H), "target": draw(H)}
    given |= {"dt": draw(B, L), "mode": "pure", "activation": "tanh", "kept": [draw(B, L, U)]}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine |= {"bias": same_or_none, "dt": time_of_function}
    fine |= {name: lambda v, base: False for name in ("maps", "mode", "activation")}
    fine |= {"kept": lambda v, base: isinstance(v, list | tuple) and len(v) == 0}
    return Walk(call, given, fine)


def lrcu_walk() -> Walk:
    walk = synaptic_walk(functional.lrcu)
    given = {k: v for k, v in walk.given.items() if k not in ("cm", "input_w", "input_b")}
    fine = {k: v for k, v in walk.fine.items() if k in given}
    for start in ("", "sensory_"):
        given[f"{start}k"], fine[f"{start}k"] = given.pop(f"{start}erev"), fine.pop(f"{start}erev")
    more = {"weight_ih": draw(H, I), "weight_hh": draw(H, H), "bias": draw(H), "shift": draw(H)}
    fine |= dict.fromkeys(more, same) | {"bias": same_or_none}
    return Walk(functional.lrcu, given | more, fine)


def ode_lstm_walk() -> Walk:
    walk = gated_walk(functional.ode_lstm, 4)
    given = {k: v for k, v in walk.given.items() if not k.startswith("bias_")}
    given |= {"bias": draw(4 * H), "dt": draw(B, L), "method": "euler", "unfolds": 2}
    given |= {"weight_in": draw(O, H), "bias_in": draw(O)}
    given |= {"weight_out": draw(H, O), "bias_out": draw(H)}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine |= {name: same_or_none for name in given if name.startswith("bias")}
    fine |= {"dt": time_of_function, "unfolds": unfolds, "method": lambda v, base: False}
    return Walk(functional.ode_lstm, given, fine)


def gru_d_walk() -> Walk:
    given: dict[str, Any] = {"x": draw(B, L, 2 * I), "h0": draw(B, H + I)}
    given |= {"weight_ih": draw(3 * H, 2 * I), "weight_hh": draw(3 * H, H)}
    given |= {"bias_ih": draw(3 * H), "bias_hh": draw(3 * H)}
    given |= {"input_rate": draw(I), "input_bias": draw(I)}
    given |= {"weight_decay": draw(H, I), "bias_decay": draw(H), "dt": draw(B, L)}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine |= {"bias_ih": same_or_none, "bias_hh": same_or_none, "dt": time_of_function}
    return Walk(functional.gru_d, given, fine)


def cell_walks(constructor: dict[str, Any], makes: dict[str, Fine]) -> dict[str, Walk]:
    """Constructors and calls of the cells that came over from ncps and from papers."""
    common = {n: v for n, v in constructor.items() if n not in ("solver", "unfolds")}
    common |= {"proj_size": 0}
    no_projection: Fine = lambda v, base: projection(v, base) and v == 0  # noqa: E731
    fine = {n: makes[n] for n in common} | {"hidden_size": size, "proj_size": no_projection}

    def of(
        kind: type[nn.Module], more: dict[str, Any], fits: dict[str, Fine], drop: str = ""
    ) -> Walk:
        given = {n: v for n, v in common.items() if n != drop} | more
        right = {n: f for n, f in fine.items() if n != drop} | fits
        return Walk(kind, given, right)

    def one_of(*names: str) -> Fine:
        return lambda v, base: isinstance(v, str) and v in names

    def wiring(v: Any, base: Any) -> bool:
        return size(v, base) and v <= 10_000

    modes = one_of("default", "no_gate", "pure")
    maps = or_none(one_of("linear", "affine"))
    wired = {"wiring": 4}
    ncp = {"unfolds": 2, "implicit": True, "input_map": None, "output_map": "affine"}
    ncp_fits: dict[str, Fine] = {
        "wiring": wiring, "unfolds": unfolds, "implicit": flag, "input_map": maps,
        "output_map": maps, "epsilon": lambda v, base: positive_time(v, base) and v < 1e300,
        "bias": lambda v, base: v is True,
    }  # fmt: skip
    cfc = {"mode": "pure", "backbone_layers": 2, "backbone_units": 3, "backbone_dropout": 0.1}
    cfc_fits: dict[str, Fine] = {
        "mode": modes, "backbone_units": size, "backbone_dropout": share,
        "backbone_layers": lambda v, base: count(v) and 0 <= v <= 100,
        "activation": one_of("lecun_tanh", "tanh", "relu", "silu", "gelu"),
        "proj_size": projection,
    }  # fmt: skip
    even: Fine = lambda v, base: size(v, base) and v % 2 == 0  # noqa: E731
    single: Fine = lambda v, base: size(v, base) and v == 1  # noqa: E731
    found = {
        "NCP": of(torchliquid.NCP, {**wired, **ncp, "epsilon": 1e-8}, ncp_fits, "hidden_size"),
        "CfC": of(torchliquid.CfC, cfc | {"activation": "tanh"}, cfc_fits),
        "WiredCfC": of(
            torchliquid.WiredCfC, wired | {"mode": "default", "masks": "ncps"},
            {"wiring": wiring, "mode": modes, "masks": one_of("ncps", "wiring")}, "hidden_size",
        ),
        "LRCU": of(torchliquid.LRCU, wired | {"unfolds": 2}, {"wiring": wiring, "unfolds": unfolds},
                   "hidden_size"),
        "ODELSTM": of(
            torchliquid.ODELSTM, {"method": "heun", "unfolds": 2},
            {"method": one_of("euler", "heun", "rk4"), "unfolds": unfolds},
        ),
        "GRUD": of(torchliquid.GRUD, {"num_layers": 1, "input_size": 2},
                   {"num_layers": single, "input_size": even}),
        "MixedMemory": Walk(
            torchliquid.MixedMemory, {"layer": torchliquid.NCP(I, H)},
            {"layer": lambda v, base: isinstance(v, LTC)},
        ),
        "from_ncps": Walk(
            torchliquid.from_ncps,
            {"source": _ncps_state(), "mode": "default", "activation": "tanh",
             "backbone_dropout": 0.1, "unfolds": None, "implicit": None, "epsilon": None,
             "outputs": None, "batch_first": False},
            {"source": never, "mode": or_none(one_of("default", "no_gate")),
             "activation": or_none(cfc_fits["activation"]), "backbone_dropout": or_none(share),
             "unfolds": nothing, "implicit": nothing, "epsilon": nothing, "outputs": nothing,
             "batch_first": or_none(flag)},
        ),
    }  # fmt: skip
    layers = {
        "NCP": (torchliquid.NCP(I, H, batch_first=True, unfolds=1), H),
        "CfC": (torchliquid.CfC(I, H, batch_first=True), H),
        "WiredCfC": (torchliquid.WiredCfC(I, H, batch_first=True), H),
        "LRCU": (torchliquid.LRCU(I, H, batch_first=True), H),
        "ODELSTM": (torchliquid.ODELSTM(I, H, batch_first=True, unfolds=1), 2 * H),
        "GRUD": (torchliquid.GRUD(I, H, batch_first=True), H + I // 2),
        "MixedMemory": (
            torchliquid.MixedMemory(torchliquid.CfC(I, H, batch_first=True)), 2 * H
        ),
    }  # fmt: skip
    for name, (layer, width) in layers.items():
        found[f"{name}.forward"] = layer_walk(layer, width=width)
    return found


def _ncps_state() -> dict[str, torch.Tensor]:
    """A state dict as an ``ncps.torch.CfC(2, 3)`` with 4 units of backbone has it."""
    shapes = {"backbone.0": (4, 5), **dict.fromkeys(("ff1", "ff2", "time_a", "time_b"), (3, 4))}
    held = {f"rnn_cell.{name}.weight": draw(*shape) for name, shape in shapes.items()}
    return held | {f"rnn_cell.{name}.bias": draw(shape[0]) for name, shape in shapes.items()}


def or_none(fits: Fine) -> Fine:
    return lambda v, base: v is None or fits(v, base)


def resonator_walk(call: Callable[..., Any]) -> Walk:
    given: dict[str, Any] = {"x": draw(B, L, I), "h0": draw(B, 3 * H)}
    given |= {"frequency": draw(H), "rate": draw(H), "weight_ih": draw(H, I)}
    given |= {"weight_gate": draw(H, I), "bias_gate": draw(H), "dt": draw(B, L)}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine |= {"weight_ih": same_or_none, "bias_gate": same_or_none, "dt": time_of_function}
    return Walk(call, given, fine)


def filter_walk(call: Callable[..., Any]) -> Walk:
    given: dict[str, Any] = {"x": draw(B, L), "dt": draw(B, L)}
    given |= {"observed": torch.rand(B, L) < 0.9}
    given |= {name: draw(B, H) for name in ("frequency", "decay", "spread")} | {"noise": draw(B)}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine["observed"] = lambda v, base: dense(v) and v.dtype == torch.bool and v.shape == (B, L)
    if call is kernels.filter_states:
        given["start"], fine["start"] = None, lambda v, base: v is None
    return Walk(call, given, fine)


def at_most(most: float) -> Fine:
    """None, or a number above 0."""
    return lambda v, base: v is None or (positive_time(v, base) and v <= most)


def model(layer: nn.Module) -> SequenceModel:
    return SequenceModel(layer, O)


def pack_of(cell: Callable[..., nn.Module]) -> Pack:
    return Pack(lambda seed: model(cell(I, H, batch_first=True)), range(S))


def clipped(max_norm: Any) -> Any:
    pack = pack_of(LTC)
    pack(draw(B, L, I))[0].sum().backward()
    return pack.clip_grad_norm_(max_norm)


def is_module(v: Any, base: Any) -> bool:
    """Any module of torch."""
    return isinstance(v, nn.Module)


def compared(table, target, time, features, models, folder, processes):
    """`torchliquid.compare` without the options, which are those of a command."""
    return torchliquid.compare(
        table, target, time, features=features, models=models, folder=folder, processes=processes,
        epochs=1, lanes=1, trials=1,
    )  # fmt: skip


def walks(folder: Path) -> dict[str, Walk]:
    ltc, deep = LTC(I, H, batch_first=True), LTC(I, H, 2, batch_first=True)
    both = LTC(I, H, 2, bidirectional=True, batch_first=True)
    lstm, gru = nn.LSTM(I, H, batch_first=True), nn.GRU(I, H, batch_first=True)
    liquid = pack_of(LTC)
    torchliquid.save(ltc, folder / "saved")
    torchliquid.Forecaster(2).fit(np.arange(100.0)[:, None] % 7, target="x0").save(
        folder / "fitted"
    )
    constructor = {
        "input_size": I, "hidden_size": H, "num_layers": 2, "bias": True, "batch_first": True,
        "dropout": 0.1, "bidirectional": True, "proj_size": 2, "solver": "euler", "unfolds": 1,
        "dt": 0.1, "device": None, "dtype": None,
    }  # fmt: skip
    makes: dict[str, Fine] = {
        "input_size": size, "hidden_size": lambda v, base: size(v, base) and v > 2,
        "num_layers": lambda v, base: size(v, base) and v <= 1000, "bias": flag,
        "batch_first": flag, "dropout": share, "bidirectional": flag, "proj_size": projection,
        "solver": solver, "unfolds": unfolds, "dt": positive_time, "device": device, "dtype": dtype,
    }  # fmt: skip
    resonator = {n: v for n, v in constructor.items() if n not in ("solver", "unfolds")}
    resonator |= {
        "proj_size": 0,
        "gate": "open",
        "slowest": 0.1,
        "fastest": 2.0,
        "initial_tau": 3.0,
    }
    resonates: dict[str, Fine] = {n: makes[n] for n in resonator if n in makes}
    resonates |= {
        "proj_size": lambda v, base: projection(v, base) and v == 0, "hidden_size": size,
        "gate": lambda v, base: v is None or (isinstance(v, str) and v in ("closed", "open")),
        "slowest": at_most(2.0), "initial_tau": at_most(1e299),
        "fastest": lambda v, base: v is None or (at_most(1e299)(v, base) and v >= 0.1),
    }  # fmt: skip
    step = {
        "u": draw(B, H), "x": draw(B, H), "weight_hh": draw(H, H), "tau": draw(1, H),
        "target": draw(1, H), "dt": draw(B, 1), "solver": "rk4", "unfolds": 2,
    }  # fmt: skip

    def row(v: Any, base: Any) -> bool:
        return same(v, base) or same(v, base[0])

    step_fine: dict[str, Fine] = dict.fromkeys(step, same)
    step_fine |= {"tau": row, "target": row, "dt": time_of_function, "solver": solver}
    step_fine |= {"unfolds": unfolds}
    found = cell_walks(constructor, makes) | {
        "LTC": Walk(LTC, constructor, makes),
        "Resonator": Walk(torchliquid.Resonator, resonator, resonates),
        "Resonator.forward": layer_walk(
            torchliquid.Resonator(I, H, batch_first=True), width=3 * H
        ),
        "Resonator.step": Walk(
            torchliquid.Resonator(I, H, batch_first=True).step,
            {"x": draw(B, I), "state": draw(B, 3 * H), "dt": 0.3, "out": torch.empty(B, 3 * H)},
            {"x": same, "state": same_or_none, "dt": one_time, "out": same_or_none},
        ),
        "LTC.forward": layer_walk(ltc),
        "LTC.forward-both": layer_walk(both, D=4),
        "LTC.time_constants": layer_walk(ltc.time_constants),
        "LTC.time_constants-both": layer_walk(both.time_constants, D=4),
        "LTC.step": Walk(
            ltc.step,
            {"x": draw(B, I), "state": draw(B, H), "dt": 0.3, "out": torch.empty(B, H)},
            {"x": same, "state": same_or_none, "dt": one_time, "out": same_or_none},
        ),
        "LTC.ablate": Walk(
            lambda neurons, layer_index: ltc.ablate(neurons, layer_index).__enter__(),
            {"neurons": [1], "layer_index": 0},
            {"neurons": neurons, "layer_index": lambda v, base: index(v, base) and -1 <= v < 1},
        ),
        "LTC.step-deep": Walk(
            deep.step,
            {"x": draw(B, I), "state": draw(2, B, H), "dt": 0.3, "out": torch.empty(2, B, H)},
            {"x": same, "state": same_or_none, "dt": one_time, "out": same_or_none},
        ),
        "LTC.step_many": Walk(
            ltc.step_many, {"x": draw(B, I), "states": draw(B, H), "dt": draw(B)},
            {"x": same, "states": same, "dt": one_time},
        ),
        "SequenceModel": Walk(
            SequenceModel, {"layer": ltc, "output_size": 1},
            {"layer": recurrent, "output_size": size},
        ),
        "SequenceModel.forward": layer_walk(model(ltc)),
        "SequenceModel.forward-LSTM": lstm_walk(model(lstm)),
        "SequenceModel.forward-GRU": gru_walk(model(gru)),
        "Pack": Walk(
            Pack, {"make_model": lambda seed: model(LTC(I, H)), "seeds": range(S)},
            {"make_model": never, "seeds": seeds},
        ),
        "Pack.forward": layer_walk(liquid, (S,)),
        "Pack.states": layer_walk(liquid.states, (S,)),
        "Pack.time_constants": layer_walk(liquid.time_constants, (S,)),
        "Pack.forward-LSTM": lstm_walk(pack_of(nn.LSTM), (S,)),
        "Pack.lane": Walk(liquid.lane, {"index": 0}, {"index": index}),
        "Pack.clip_grad_norm_": Walk(clipped, {"max_norm": 1.0}, {"max_norm": gradient_norm}),
        "dt_from_timestamps": Walk(
            torchliquid.dt_from_timestamps,
            {
                "t": draw(B, L).abs().cumsum(0).cumsum(1), "first": 0.5, "unit": None, "dim": -1,
                "dtype": None,
            },
            {
                "t": stamps, "first": time_or_none, "unit": no_unit, "dim": dimension,
                "dtype": dtype,
            },
        ),
        "fill_missing": Walk(
            torchliquid.fill_missing,
            {"x": draw(B, L, I), "observed": None, "indicator": True, "batch_first": True},
            {
                "x": lambda v, base: (dense(v) or getattr(v, "is_meta", False))
                and v.dim() in (2, 3) and v.is_floating_point(),
                "observed": lambda v, base: v is None or (
                    dense(v) and v.dtype == torch.bool and v.shape == (B, L, I)
                ),
                "indicator": flag, "batch_first": flag,
            },
        ),
        "watch": Walk(
            torchliquid.watch, {"model": ltc, "every": 2}, {"model": watched, "every": size},
        ),
        "time_constants": Walk(
            torchliquid.time_constants,
            {"layer": ltc, **layer_walk(ltc.time_constants).given},
            {"layer": layer_with_times, **layer_walk(ltc.time_constants).fine},
        ),
        "plot_time_constants": Walk(
            torchliquid.plot_time_constants,
            {
                "layer": ltc, "x": draw(1, L, I), "h0": draw(1, 1, H), "dt": draw(1, L).abs(),
                "layer_index": 0,
            },
            {
                "layer": layer_with_times,
                "layer_index": lambda v, base: index(v, base) and -1 <= v < 1,
                **{n: f for n, f in layer_walk(ltc.time_constants).fine.items()
                   if n not in ("lengths", "observed")},
            },
        ),
        "fit": fit_walk(model(LTC(I, H, batch_first=True))),
        "save": Walk(
            torchliquid.save, {"model": ltc, "folder": folder / "new"},
            {"model": recurrent, "folder": lambda v, b: isinstance(v, str | Path) and v != "\0"},
        ),
        "Forecaster": Walk(
            torchliquid.Forecaster,
            {"horizon": 7, "model": "auto", "intervals": (0.9,), "bounds": None, "seed": 0},
            {
                "horizon": lambda v, base: size(v, base) and v <= 10_000,
                "model": lambda v, base: isinstance(v, str)
                and v in ("auto", "ridge", "ltc", "filter", "seasonal", "last"),
                "intervals": lambda v, base: isinstance(v, list | tuple) and all(
                    isinstance(level, int | float) and 0 < level < 1 for level in v
                ),
                "bounds": lambda v, base: v is None or (isinstance(v, tuple) and v == (1, 2)),
                "seed": seed_number,
            },
        ),
        "citations": Walk(torchliquid.citations, {"model": LTC(I, H)}, {"model": is_module}),
        "compare": Walk(
            compared,
            {"table": np.arange(100.0)[:, None] % 7, "target": "x0", "time": None, "features": (),
             "models": ("persistence",), "folder": None, "processes": 0},
            {"table": never, "target": never, "time": nothing,
             "features": lambda v, b: isinstance(v, list | tuple) and not len(v),
             "models": nothing,
             "folder": lambda v, b: v is None or (isinstance(v, str | Path) and v != "\0"),
             "processes": lambda v, b: v is None or (type(v) is int and v >= 0)},
        ),
        "load_forecaster": Walk(
            torchliquid.load_forecaster, {"folder": folder / "fitted"}, {"folder": never}
        ),
        "load": Walk(torchliquid.load, {"folder": folder / "saved"}, {"folder": never}),
        "functional.ltc_step": Walk(functional.ltc_step, step, step_fine),
        "functional.ltc_time_constants": Walk(
            functional.ltc_time_constants, ltc_arguments(), LTC_FINE
        ),
        "functional.time_constant": Walk(
            functional.time_constant, {"gate": draw(B, H), "tau": draw(H)},
            {"gate": broadcast_with(H), "tau": broadcast_with(B, H)},
        ),
        "kernels.filter_likelihoods": filter_walk(kernels.filter_likelihoods),
        "kernels.filter_states": filter_walk(kernels.filter_states),
        "functional.ctrnn": rate_walk(functional.ctrnn, 1, "tau"),
        "functional.decay_gru": rate_walk(functional.decay_gru, 3, "rate"),
        "functional.lrcu": lrcu_walk(),
        "functional.ode_lstm": ode_lstm_walk(),
        "functional.gru_d": gru_d_walk(),
    }  # fmt: skip
    for room, functions in (("functional", functional), ("kernels", kernels)):
        found |= {
            f"{room}.ltc": Walk(functions.ltc, ltc_arguments(), LTC_FINE),
            f"{room}.lstm": gated_walk(functions.lstm, 4),
            f"{room}.gru": gated_walk(functions.gru, 3),
            f"{room}.synaptic": synaptic_walk(functions.synaptic),
            f"{room}.cfc": cfc_walk(functions.cfc),
            f"{room}.resonator": resonator_walk(functions.resonator),
        }
    return found


NAMES = (
    *("watch", "LTC.ablate", "LTC.step-deep", "LTC.forward-both", "LTC.time_constants-both"),
    *("LTC", "LTC.step", "LTC.step_many", "LTC.forward", "LTC.time_constants"),
    *("time_constants", "plot_time_constants", "save", "load", "fit"),
    *("Forecaster", "load_forecaster", "compare", "citations"),
    *("SequenceModel", "SequenceModel.forward", "dt_from_timestamps", "fill_missing"),
    *("SequenceModel.forward-LSTM", "SequenceModel.forward-GRU"),
    *("Pack", "Pack.forward", "Pack.forward-LSTM", "Pack.states", "Pack.time_constants"),
    *("Pack.lane", "Pack.clip_grad_norm_"),
    *("functional.ltc_step", "functional.ltc_time_constants", "functional.time_constant"),
    *("functional.ctrnn", "functional.decay_gru", "Resonator", "Resonator.forward"),
    *("functional.lrcu", "functional.ode_lstm", "functional.gru_d"),
    *("NCP", "CfC", "WiredCfC", "LRCU", "ODELSTM", "GRUD", "MixedMemory", "from_ncps"),
    *("NCP.forward", "CfC.forward", "WiredCfC.forward", "LRCU.forward", "ODELSTM.forward"),
    *("GRUD.forward", "MixedMemory.forward"),
    "Resonator.step",
    *("functional.resonator", "kernels.resonator", "functional.cfc", "kernels.cfc"),
    *("kernels.filter_likelihoods", "kernels.filter_states"),
    *("functional.ltc", "functional.lstm", "functional.gru", "functional.synaptic"),
    *("kernels.ltc", "kernels.lstm", "kernels.gru", "kernels.synaptic"),
)
