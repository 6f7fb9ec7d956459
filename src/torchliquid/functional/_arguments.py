"""What the functions of this room refuse: arguments that do not belong together.

The kernels refuse the same: a C function reads whatever address it gets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Size, Tensor

from torchliquid._checks import (
    autocast_type,
    check_device,
    check_interval,
    check_tensor,
    check_unfolds,
    longest_interval,
)
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

Expected = Mapping[str, tuple[Tensor | None, tuple[int, ...]]]


def check_shapes(expected: Expected) -> None:
    """That every tensor that is there has the shape named for it."""
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tensor.shape != shape:
            raise TorchliquidError(
                f"{name} has shape {tuple(tensor.shape)}: expected {tuple(shape)}, to go with the "
                "other arguments"
            )


def check_same_dtype_device(
    needed: Mapping[str, Any], optional: Mapping[str, Any], dt: Any = 1.0
) -> None:
    """That all are dense tensors of real numbers, of one type, on one device; and dt a time.

    Autocast brings types together by itself.
    """
    tensors = {**needed, **{name: t for name, t in optional.items() if t is not None}}
    if isinstance(dt, Tensor):
        tensors["dt"] = dt
    first, *_ = tensors.values()
    for name, tensor in tensors.items():
        check_tensor(name, tensor, "like the other arguments")
        if not tensor.is_floating_point():
            raise TorchliquidError(f"{name} is {tensor.dtype}: expected floating-point numbers")
        check_device(name, tensor, first.device, next(iter(tensors)))
        if tensor.dtype != first.dtype and not autocast_type(first):
            raise TorchliquidError(
                f"{name} is {tensor.dtype}, {next(iter(tensors))} {first.dtype}: give all one dtype"
            )
    if not isinstance(dt, Tensor):
        check_interval(dt, first.dtype)


def as_time(dt: float | Tensor, dtype: torch.dtype) -> float | Tensor:
    """A checked time that ``dtype`` can compute with, whatever type of number it came as."""
    return dt if isinstance(dt, Tensor) else min(float(dt), longest_interval(dtype))


def check_sequence(x: Tensor, lanes: Size, width: int) -> tuple[int, int]:
    """B and L of an input ``(*S, B, L, I)`` or ``(B, L, I)``."""
    if x.dim() < 3 or x.shape[:-3] not in (lanes, Size()) or x.shape[-1] != width:
        raise TorchliquidError(
            f"x has shape {tuple(x.shape)}: expected (*S, B, L, I) with S = {tuple(lanes)} or "
            f"none, I = {width}"
        )
    if x.shape[-2] == 0:
        raise TorchliquidError(f"x has shape {tuple(x.shape)}: it holds no sample")
    return x.shape[-3], x.shape[-2]


def check_times(dt: float | Tensor, lanes: Size, B: int, L: int, unfolds: int) -> None:
    """One time, or one for each sample, and an integer of unfolds."""
    check_unfolds(unfolds)
    if isinstance(dt, Tensor) and dt.shape not in ((*lanes, B, L), (B, L)):
        raise TorchliquidError(
            f"dt has shape {tuple(dt.shape)}: expected a float, {(*lanes, B, L)} or {(B, L)}"
        )


def _last_two(name: str, matrix: Tensor) -> tuple[Size, int, int]:
    if matrix.dim() < 2:
        raise TorchliquidError(f"{name} has shape {tuple(matrix.shape)}: expected a matrix")
    return matrix.shape[:-2], matrix.shape[-2], matrix.shape[-1]


def check_ltc(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    tau: Tensor,
    target: Tensor,
    dt: float | Tensor,
    unfolds: int,
) -> None:
    """Arguments of `functional.ltc`."""
    weights = {"weight_ih": weight_ih, "weight_hh": weight_hh, "tau": tau, "target": target}
    check_same_dtype_device({**weights, "x": x, "h0": h0}, {"bias": bias}, dt)
    S, H, I = _last_two("weight_ih", weight_ih)
    B, L = check_sequence(x, S, I)
    check_shapes(
        {
            "h0": (h0, (*S, B, H)),
            "weight_hh": (weight_hh, (*S, H, H)),
            "bias": (bias, (*S, H)),
            "tau": (tau, (*S, H)),
            "target": (target, (*S, H)),
        }
    )
    check_times(dt, S, B, L, unfolds)


def check_gated(
    gates: int,
    x: Tensor,
    states: dict[str, Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    rates: Mapping[str, Tensor] | None = None,
    dt: float | Tensor = 1.0,
) -> None:
    """Check the arguments of a cell with rows of weights for so many gates.

    ``rates`` are one value for each neuron, of a cell that takes ``dt``.
    """
    biases, rates = {"bias_ih": bias_ih, "bias_hh": bias_hh}, rates or {}
    weights = {"weight_ih": weight_ih, "weight_hh": weight_hh}
    check_same_dtype_device({**weights, "x": x, **states, **rates}, biases, dt)
    S, _, H = _last_two("weight_hh", weight_hh)
    I = _last_two("weight_ih", weight_ih)[2]
    B, L = check_sequence(x, S, I)
    shapes: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "weight_hh": (weight_hh, (*S, gates * H, H)),
        "weight_ih": (weight_ih, (*S, gates * H, I)),
        "bias_ih": (bias_ih, (*S, gates * H)),
        "bias_hh": (bias_hh, (*S, gates * H)),
    }
    shapes |= {name: (state, (*S, B, H)) for name, state in states.items()}
    check_shapes(shapes | {name: (rate, (*S, H)) for name, rate in rates.items()})
    check_times(dt, S, B, L, 1)


def check_cfc(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    maps: Sequence[tuple[Tensor, Tensor | None]],
    rate: Tensor | None,
    target: Tensor | None,
    dt: float | Tensor,
    heads: int,
    kept: Sequence[Tensor],
) -> None:
    """Arguments of `functional.cfc`, of a mode with so many heads."""
    for name, value in (("maps", maps), ("kept", kept)):
        if not isinstance(value, list | tuple):
            raise TorchliquidError(f"{name} is {short_repr(value)}: expected a list")
    for pair in maps:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TorchliquidError(
                f"maps has {short_repr(pair)}: expected a pair of a weight and a bias, or None"
            )
    weights = {"weight_ih": weight_ih, "weight_hh": weight_hh}
    own = {"rate": rate, "target": target}
    if heads > 1 and not (rate is None and target is None):
        raise TorchliquidError("rate and target are those of the pure mode: leave them out")
    own = own if heads == 1 else {}
    later = {f"maps[{k}][0]": weight for k, (weight, _) in enumerate(maps)}
    biases = {f"maps[{k}][1]": offset for k, (_, offset) in enumerate(maps)}
    masks = {f"kept[{k}]": factor for k, factor in enumerate(kept)}
    needed = {**weights, "x": x, "h0": h0, **own, **later, **masks}
    check_same_dtype_device(needed, {"bias": bias, **biases}, dt)
    S, U, H = _last_two("weight_hh", weight_hh)
    I = _last_two("weight_ih", weight_ih)[2]
    B, L = check_sequence(x, S, I)
    if len(kept) not in (0, len(maps)):
        raise TorchliquidError(f"kept has {len(kept)} factors: expected {len(maps)}, or none")
    shapes: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {"h0": (h0, (*S, B, H))}
    width = U
    for k, (weight, offset) in enumerate(maps):
        rows = heads * H if k == len(maps) - 1 else _last_two(f"maps[{k}][0]", weight)[1]
        shapes[f"maps[{k}][0]"] = (weight, (*S, rows, width))
        shapes[f"maps[{k}][1]"] = (offset, (*S, rows))
        if kept:
            shapes[f"kept[{k}]"] = (kept[k], (*S, B, L, width))
        width = rows
    U = U if maps else heads * H
    shapes |= {"weight_ih": (weight_ih, (*S, U, I)), "weight_hh": (weight_hh, (*S, U, H))}
    shapes |= {"bias": (bias, (*S, U))} | {name: (value, (*S, H)) for name, value in own.items()}
    check_shapes(shapes)
    check_times(dt, S, B, L, 1)


def check_synaptic(
    x: Tensor,
    h0: Tensor,
    recurrent: Mapping[str, Tensor],
    sensors: Mapping[str, Tensor],
    neurons: Mapping[str, Tensor],
    maps: Mapping[str, Tensor | None],
    synapses: Tensor | None,
    sensory: Tensor | None,
    dt: float | Tensor,
    unfolds: int,
) -> None:
    """Arguments of `functional.synaptic` and `functional.lrcu`."""
    check_same_dtype_device({**neurons, "x": x, "h0": h0, **recurrent, **sensors}, maps, dt)
    name, one = next(iter(neurons.items()))
    if one.dim() < 1 or x.dim() < 3:
        raise TorchliquidError(
            f"{name} has shape {tuple(one.shape)}, x {tuple(x.shape)}: expected (*S, H), "
            "(*S, B, L, I)"
        )
    S, H, I = one.shape[:-1], one.shape[-1], x.shape[-1]
    B, L = check_sequence(x, S, I)
    shapes: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "h0": (h0, (*S, B, H)),
        **{name: (t, (*S, H)) for name, t in neurons.items()},
        **{name: (t, (*S, I)) for name, t in maps.items()},
    }
    for name, edges, sources, group in (
        ("synapses", synapses, H, recurrent),
        ("sensory", sensory, I, sensors),
    ):
        count = sources * H if edges is None else _check_edges(name, edges, sources, H)
        shapes.update({key: (t, (*S, count)) for key, t in group.items()})
    check_shapes(shapes)
    check_times(dt, S, B, L, unfolds)


def check_step(
    u: Tensor, x: Tensor, weight_hh: Tensor, tau: Tensor, target: Tensor, dt: Any, unfolds: int
) -> None:
    """Arguments of `functional.ltc_step`."""
    needed = {"u": u, "x": x, "weight_hh": weight_hh, "tau": tau, "target": target}
    check_same_dtype_device(needed, {}, dt)
    S, H, _ = _last_two("weight_hh", weight_hh)
    B = x.shape[-2] if x.dim() > 1 else 1
    check_shapes({"x": (x, (*S, B, H)), "u": (u, (*S, B, H)), "weight_hh": (weight_hh, (*S, H, H))})
    for name, vector in (("tau", tau), ("target", target)):
        if vector.shape not in ((H,), (*S, 1, H)):
            check_shapes({name: (vector, (*S, 1, H))})
    if isinstance(dt, Tensor):
        check_shapes({"dt": (dt, (*S, B, 1))})
    check_times(1.0, S, B, 1, unfolds)


def _check_edges(name: str, edges: Any, sources: int, destinations: int) -> int:
    check_tensor(name, edges, "(E, 2) of torch.int64")
    if edges.dtype != torch.int64 or edges.dim() != 2 or edges.shape[1] != 2:
        raise TorchliquidError(
            f"{name} is {tuple(edges.shape)} of {edges.dtype}: expected (E, 2) of torch.int64, a "
            "row [source, destination] for each synapse"
        )
    if not torch.compiler.is_compiling() and not edges.is_meta and edges.numel():
        limits = torch.tensor([sources, destinations], device=edges.device)
        if bool(((edges < 0) | (edges >= limits)).any()):
            raise TorchliquidError(
                f"{name} names neurons that do not exist: there are {sources} sources and "
                f"{destinations} destinations, numbered from 0"
            )
    count: int = edges.shape[0]
    return count
