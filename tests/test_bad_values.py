"""Every argument of every public callable, with thousands of values that it was not made for.

Each call either raises a `TorchliquidError` of one line, or gives a right result; never another
exception, never silence. What is right is said here, by a predicate for each argument, from the
documentation alone: what is refused must be wrong, what is accepted must be right.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torchliquid
from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, functional, kernels
from torchliquid.messages import short_repr

S, B, L, I, H, O = 2, 3, 4, 2, 5, 1


class Sub(torch.Tensor):
    """A tensor by another name."""


class Broken:
    """Whatever one asks of it fails."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __len__(self):
        raise RuntimeError("no length")


def common() -> list[Any]:
    """Values that fit hardly anything."""
    return [
        None, True, False, 0, 1, -1, 3, 2**31, 10**12, 10**30, 10**400, 0.0, 1.5, -2.5, 1e-46,
        1e-320, 1e39, 1e300, math.nan, math.inf, -math.inf, 1j, "", "x", "0.1", "cpu", "\0", b"x",
        [], [0.1], [[0.1]], (), (1, 2), {}, {"a": 1}, set(), object(), Broken(), len, lambda: 1,
        Exception("x"), Decimal("0.5"), Fraction(1, 2), np.float32(0.3), np.float64(-1),
        np.int64(2), np.bool_(True), np.array(0.3), np.array([0.1, 0.2]), np.array(["x"]),
        torch.float32, torch.int32, torch.complex64, torch.float8_e4m3fn, torch.strided,
        torch.Size([2]), Path("nowhere"), range(3), torch.device("cpu"), torch.device("meta"),
        torch.Generator(), nn.Linear(2, 2), nn.Identity(), nn.LSTM(2, 5), inspect, Ellipsis,
        slice(3), memoryview(b"abcd"), iter([1, 2]),
    ]  # fmt: skip


def tensors() -> list[torch.Tensor]:
    """Tensors of every odd kind, whatever is expected."""
    base = torch.full((B, L), 0.1)
    return [
        torch.tensor(0.3), torch.tensor(0.0), torch.tensor(-0.3), torch.tensor(math.nan),
        torch.tensor(2), torch.tensor(True), torch.tensor(1j), torch.tensor(0.3, device="meta"),
        torch.empty(0), torch.empty(0, 0), base, base.int(), base > 0, base.to(torch.complex64),
        base.to_sparse(), base.to("meta"), torch.nested.nested_tensor([base[0], base[1, :2]]),
        torch.ones(1), torch.ones(B), torch.ones(B, L, I, H, 1),
    ]  # fmt: skip


def variants(value: torch.Tensor) -> list[torch.Tensor]:
    """A right tensor, changed in one way."""
    found = [
        value.double(), value.half(), value.bfloat16(), value.long(), value > 0,
        value.to(torch.complex64), value.to("meta"), value.to_sparse(), value.unsqueeze(0),
        value.unsqueeze(-1), value.detach().clone().requires_grad_(), nn.Parameter(value.detach()),
        value.as_subclass(Sub), value.mT.contiguous().mT if value.dim() > 1 else value.clone(),
        value.numpy(), value.tolist(), torch.nested.nested_tensor([value, value]),
    ]  # fmt: skip
    for d in range(value.dim()):
        n = value.shape[d]
        found += [
            value.select(d, 0), value.narrow(d, 0, n - 1), value.narrow(d, 0, 0),
            torch.cat([value, value.narrow(d, 0, 1)], d), torch.cat([value, value], d),
        ]  # fmt: skip
    return found


# Predicates: what is right, from the documentation alone.

Fine = Callable[[Any, Any], bool]
DENSE = torch.strided


def dense(v: Any) -> bool:
    return isinstance(v, torch.Tensor) and not v.is_nested and v.layout == DENSE and v.is_cpu


def any_length(v: Any, base: Any) -> bool:
    """Where no dt goes with x, a sequence may have any length."""
    return (
        dense(v)
        and v.dtype == base.dtype
        and v.dim() == base.dim()
        and bool(v.numel())
        and (v.shape[:-2], v.shape[-1]) == (base.shape[:-2], base.shape[-1])
    )


def any_length_of_pack(v: Any, base: Any) -> bool:
    return any_length(v, base) or any_length(v, base[0])


def same(v: Any, base: Any) -> bool:
    """A dense tensor of the base's shape and dtype."""
    return dense(v) and v.shape == base.shape and v.dtype == base.dtype


def same_or_none(v: Any, base: Any) -> bool:
    return v is None or same(v, base)


def number(v: Any) -> bool:
    return isinstance(v, Real) and not isinstance(v, bool | np.bool_)


def in_float32(v: Any) -> bool:
    """A time: not negative, finite, and neither 0 nor infinite only because of its dtype."""
    try:
        value = float(v)
    except OverflowError:
        return False
    kept = float(np.float32(value)) if abs(value) < 1e38 else math.inf
    return value >= 0 and math.isfinite(kept) and (kept > 0 or value == 0)


def time_of_layer(v: Any, base: Any) -> bool:
    if v is None:
        return True
    if isinstance(v, torch.Tensor):
        if not dense(v) or v.dtype == torch.bool or v.is_complex():
            return False
        right = v.shape in ((), base.shape, (*base.shape, 1))
        return right and bool((v.double() >= 0).all())
    return number(v) and in_float32(v)


def one_time(v: Any, base: Any) -> bool:
    """One for all, or one for each of B streams."""
    if isinstance(v, torch.Tensor) and v.dim() > 1:
        return False
    return time_of_layer(v, torch.empty(B))


def stamps(v: Any, base: Any) -> bool:
    """Times in order, of one sample at least."""
    if isinstance(v, torch.Tensor):
        if not dense(v) or v.dtype == torch.bool or v.is_complex():
            return False
        v = v.detach().double().numpy()
    try:
        array = np.asarray(v)
    except Exception:
        return False
    if array.dtype.kind not in "iuf" or not array.ndim or not array.shape[-1]:
        return False
    return bool(np.isfinite(array).all() and (np.diff(array, axis=-1) >= 0).all())


def no_unit(v: Any, base: Any) -> bool:
    return v is None


def time_or_none(v: Any, base: Any) -> bool:
    return v is None or (number(v) and in_float32(v))


def dimension(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and -2 <= v < 2


def time_of_function(v: Any, base: Any) -> bool:
    if isinstance(v, torch.Tensor):
        return same(v, base)
    return number(v) and in_float32(v)


def size(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and 1 <= v < 2**31


def unfolds(v: Any, base: Any) -> bool:
    return size(v, base) and v <= 10_000


def flag(v: Any, base: Any) -> bool:
    return isinstance(v, bool)


def share(v: Any, base: Any) -> bool:
    return number(v) and 0 <= v <= 1


def projection(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and 0 <= v < H


def solver(v: Any, base: Any) -> bool:
    return isinstance(v, str) and v in functional.SOLVERS


def device(v: Any, base: Any) -> bool:
    return v is None or (isinstance(v, str) and v == "cpu") or isinstance(v, torch.device)


def dtype(v: Any, base: Any) -> bool:
    floats = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    return v is None or (isinstance(v, torch.dtype) and v in floats)


def positive_time(v: Any, base: Any) -> bool:
    try:
        return number(v) and 0 < float(v) < math.inf
    except OverflowError:
        return False


def recurrent(v: Any, base: Any) -> bool:
    return isinstance(v, LTC | nn.LSTM | nn.GRU)


def watched(v: Any, base: Any) -> bool:
    return isinstance(v, LTC)


def neurons(v: Any, base: Any) -> bool:
    """One of H, several, or a mask of them."""
    if isinstance(v, Integral) and not isinstance(v, bool):
        return -H <= v < H
    if isinstance(v, str | bytes | dict | Iterator):
        return isinstance(v, Iterator) or not v
    try:
        array = v.numpy() if isinstance(v, torch.Tensor) and dense(v) else np.asarray(list(v))
    except Exception:
        return False
    if not array.size:
        return True
    if array.dtype.kind == "b":
        return array.shape == (H,)
    fits = array.dtype.kind in "iu" and array.ndim == 1
    return fits and bool(((array >= -H) & (array < H)).all())


def edges(v: Any, base: Any) -> bool:
    if v is None:
        return base is None
    return dense(v) and v.shape == base.shape and v.dtype == torch.int64


def nothing(v: Any, base: Any) -> bool:
    """None alone: it is another name for what is given already."""
    return v is None


def shared_or_own(v: Any, base: Any) -> bool:
    """A pack's input: with lanes, or shared by them."""
    return dense(v) and v.dtype == base.dtype and v.shape in (base.shape, base.shape[1:])


def time_of_pack(v: Any, base: Any) -> bool:
    if dense(v) and v.shape == base.shape[1:]:
        return time_of_layer(v, base[0])
    return time_of_layer(v, base)


def pair(v: Any, base: Any) -> bool:
    return v is None


def seeds(v: Any, base: Any) -> bool:
    return isinstance(v, range | memoryview | tuple | Iterator) and v != ()


def index(v: Any, base: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and -S <= v < S


def gradient_norm(v: Any, base: Any) -> bool:
    return number(v) and 0 < v < 10**300


def never(v: Any, base: Any) -> bool:
    return False


def broadcast_with(*shape: int) -> Fine:
    def fits(v: Any, base: Any) -> bool:
        if not dense(v) or v.dtype != base.dtype:
            return False
        try:
            torch.broadcast_shapes(v.shape, shape)
        except RuntimeError:
            return False
        return True

    return fits


def layer_with_times(v: Any, base: Any) -> bool:
    return False  # another layer would need another x


@dataclass(frozen=True)
class Walk:
    """A callable, right arguments for it, and what else is right for each."""

    call: Callable[..., Any]
    given: Mapping[str, Any]
    fine: Mapping[str, Fine]


def draw(*shape: int) -> torch.Tensor:
    return torch.rand(*shape) + 0.1


def row_lengths(v: Any, base: Any) -> bool:
    """None, or B whole numbers from 1 to L."""
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
    call: Callable[..., Any], lead: tuple[int, ...] = (), dt: bool = True, D: int = 1
) -> Walk:
    """x, h0 and dt, batch first; where it takes them, lengths."""
    given = {"x": draw(*lead, B, L, I), "h0": draw(*lead, D, B, H)}
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
    for prefix, count in (("", H * H), ("sensory_", I * H)):
        given |= {f"{prefix}{name}": draw(count) for name in ("sigma", "mu", "w", "erev")}
    given |= {name: draw(H) for name in ("gleak", "vleak", "cm")}
    given |= {"input_w": draw(I), "input_b": draw(I)}
    every, sensory = functional.synaptic.__globals__["all_pairs"](H, H), None
    given |= {"synapses": every, "sensory": sensory, "dt": draw(B, L), "unfolds": 2}
    fine: dict[str, Fine] = dict.fromkeys(given, same)
    fine |= {"input_w": same_or_none, "input_b": same_or_none, "dt": time_of_function}
    fine |= {"synapses": lambda v, base: v is None or edges(v, base), "unfolds": unfolds}
    fine |= {"sensory": lambda v, base: v is None}
    return Walk(call, given, fine)


def model(layer: nn.Module) -> SequenceModel:
    return SequenceModel(layer, O)


def pack_of(cell: Callable[..., nn.Module]) -> Pack:
    return Pack(lambda seed: model(cell(I, H, batch_first=True)), range(S))


def clipped(max_norm: Any) -> Any:
    pack = pack_of(LTC)
    pack(draw(B, L, I))[0].sum().backward()
    return pack.clip_grad_norm_(max_norm)


def walks(folder: Path) -> dict[str, Walk]:
    ltc, deep = LTC(I, H, batch_first=True), LTC(I, H, 2, batch_first=True)
    both = LTC(I, H, 2, bidirectional=True, batch_first=True)
    lstm, gru = nn.LSTM(I, H, batch_first=True), nn.GRU(I, H, batch_first=True)
    liquid = pack_of(LTC)
    torchliquid.save(ltc, folder / "saved")
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
    step = {
        "u": draw(B, H), "x": draw(B, H), "weight_hh": draw(H, H), "tau": draw(1, H),
        "target": draw(1, H), "dt": draw(B, 1), "solver": "rk4", "unfolds": 2,
    }  # fmt: skip

    def row(v: Any, base: Any) -> bool:
        return same(v, base) or same(v, base[0])

    step_fine: dict[str, Fine] = dict.fromkeys(step, same)
    step_fine |= {"tau": row, "target": row, "dt": time_of_function, "solver": solver}
    step_fine |= {"unfolds": unfolds}
    found = {
        "LTC": Walk(LTC, constructor, makes),
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
            lambda neurons, place: ltc.ablate(neurons, place).__enter__(),
            {"neurons": [1], "place": 0},
            {"neurons": neurons, "place": lambda v, base: index(v, base) and -1 <= v < 1},
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
                "place": 0,
            },
            {
                "layer": layer_with_times, "place": lambda v, base: index(v, base) and -1 <= v < 1,
                **{n: f for n, f in layer_walk(ltc.time_constants).fine.items()
                   if n not in ("lengths", "observed")},
            },
        ),
        "save": Walk(
            torchliquid.save, {"model": ltc, "folder": folder / "new"},
            {"model": recurrent, "folder": lambda v, b: isinstance(v, str | Path) and v != "\0"},
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
        "functional.ctrnn": rate_walk(functional.ctrnn, 1, "tau"),
        "functional.decay_gru": rate_walk(functional.decay_gru, 3, "rate"),
    }  # fmt: skip
    for room, functions in (("functional", functional), ("kernels", kernels)):
        found |= {
            f"{room}.ltc": Walk(functions.ltc, ltc_arguments(), LTC_FINE),
            f"{room}.lstm": gated_walk(functions.lstm, 4),
            f"{room}.gru": gated_walk(functions.gru, 3),
            f"{room}.synaptic": synaptic_walk(functions.synaptic),
        }
    return found


NAMES = (
    *("watch", "LTC.ablate", "LTC.step-deep", "LTC.forward-both", "LTC.time_constants-both"),
    *("LTC", "LTC.step", "LTC.step_many", "LTC.forward", "LTC.time_constants"),
    *("time_constants", "plot_time_constants", "save", "load"),
    *("SequenceModel", "SequenceModel.forward", "dt_from_timestamps", "fill_missing"),
    *("SequenceModel.forward-LSTM", "SequenceModel.forward-GRU"),
    *("Pack", "Pack.forward", "Pack.forward-LSTM", "Pack.states", "Pack.time_constants"),
    *("Pack.lane", "Pack.clip_grad_norm_"),
    *("functional.ltc_step", "functional.ltc_time_constants", "functional.time_constant"),
    *("functional.ctrnn", "functional.decay_gru"),
    *("functional.ltc", "functional.lstm", "functional.gru", "functional.synaptic"),
    *("kernels.ltc", "kernels.lstm", "kernels.gru", "kernels.synaptic"),
)


def outputs(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple):
        return [t for part in value for t in outputs(part)]
    return []


def named(name: str, value: Any) -> str:
    shape = () if getattr(value, "is_nested", False) else getattr(value, "shape", "")
    return (
        f"{name} = {short_repr(value)} {type(value).__name__} {shape} {getattr(value, 'dtype', '')}"
    )


def trial(walk: Walk, name: str, value: Any) -> str:
    """What a call with one other value did: ``"right"``, ``"refused"``, or what was wrong."""
    fine = walk.fine[name](value, walk.given[name])
    try:
        result = walk.call(**{**walk.given, name: value})
    except TorchliquidError as error:
        if fine:
            return f"{named(name, value)}: refused though right: {error}"
        return "refused" if "\n" not in str(error) else f"{named(name, value)}: several lines"
    except Exception as error:
        return f"{named(name, value)}: {error!r}"[:300]
    if not fine:
        return f"{named(name, value)}: accepted though wrong"
    finite = not isinstance(value, torch.Tensor) or value.is_meta or bool(value.isfinite().all())
    for found in outputs(result) if finite else ():
        if not found.is_meta and not bool(found.isfinite().all()):
            return f"{named(name, value)}: the result is not finite"
    return "right"


@pytest.mark.parametrize("name", NAMES)
def test_walk(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    walk = walks(tmp_path)[name]
    counts, wrong = {"right": 0, "refused": 0}, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walk.call(**walk.given)
        for argument, base in walk.given.items():
            values = [*common(), *tensors()]
            if isinstance(base, torch.Tensor) and base.is_floating_point():
                values += variants(base)
            if argument == "make_model":  # what a function raises is its own
                values = [v for v in values if not callable(v) or isinstance(v, Broken)]
            for value in values:
                verdict = trial(walk, argument, value)
                if verdict in counts:
                    counts[verdict] += 1
                else:
                    wrong.append(verdict)
    with capsys.disabled():
        print(f"\n{name}: {counts['refused']} refused, {counts['right']} right")
    assert not wrong, "\n".join([f"{len(wrong)} of {sum(counts.values())}", *wrong[:40]])
    assert counts["refused"] > 40


def test_every_public_callable_is_walked(tmp_path):
    walked = set(walks(tmp_path))
    assert walked == set(NAMES)
    for name in torchliquid.__all__:
        value = getattr(torchliquid, name)
        if (
            inspect.isclass(value)
            and issubclass(value, nn.Module)
            and not inspect.isabstract(value)
        ):
            assert name in walked
            assert f"{name}.forward" in walked
        elif inspect.isfunction(value):
            assert name in walked
    for name in functional.__all__:
        if inspect.isfunction(getattr(functional, name)):
            assert f"functional.{name}" in walked
    for walk in walks(tmp_path).values():
        assert set(walk.given) == set(walk.fine)
        target = walk.call.forward if isinstance(walk.call, nn.Module) else walk.call
        if walk.call is not clipped:
            assert set(inspect.signature(target).parameters) == set(walk.given)
