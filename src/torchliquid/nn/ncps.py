"""Trained models of the package ncps (1.0.1) as layers of this one: their weights, by name.

The package itself is not needed: a module or its ``state_dict()`` is read.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from torchliquid.errors import TorchliquidError
from torchliquid.functional.cfc import check_mode
from torchliquid.functional.synaptic import EPSILON
from torchliquid.messages import short_repr
from torchliquid.nn.cfc import CfC
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.mixed_memory import MixedMemory
from torchliquid.nn.model import SequenceModel
from torchliquid.nn.ncp import NCP, SYNAPSE
from torchliquid.nn.wired_cfc import WiredCfC
from torchliquid.wirings import Wiring, from_adjacency

Weights = dict[str, Tensor]
Layer = TypeVar("Layer", bound=LiquidLayer)
MEMORY = {
    "memory_ih_l0": "lstm.input_map.weight",
    "memory_hh_l0": "lstm.recurrent_map.weight",
    "memory_bias_l0": "lstm.input_map.bias",
}
HEADS = ("ff1", "ff2", "time_a", "time_b")
_ACTIVATIONS = {"LeCun": "lecun_tanh", "Tanh": "tanh", "ReLU": "relu", "SiLU": "silu",
                "GELU": "gelu"}  # fmt: skip


def from_ncps(
    source: nn.Module | Mapping[str, Tensor],
    *,
    mode: str | None = None,
    activation: str | None = None,
    backbone_dropout: float | None = None,
    unfolds: int | None = None,
    implicit: bool | None = None,
    epsilon: float | None = None,
    outputs: int | None = None,
    batch_first: bool | None = None,
) -> Any:
    """Return the layer that a trained model of ncps 1.0.1 is, with the same numbers.

    Also for batches with a time for each sample, which ncps cannot run.

    Args:
        source: an ``ncps.torch.LTC`` or ``CfC``, one of their cells, or the ``state_dict()`` of
            one. What follows is for a state dict, which does not hold it; a module knows it.
        mode: of a CfC that is not ``"pure"``; None: ``"default"``.
        activation: of a CfC with a backbone; None: ``"lecun_tanh"``.
        backbone_dropout: of a CfC with a backbone; None: 0.
        unfolds: ``ode_unfolds`` of an LTC; None: 6.
        implicit: ``implicit_param_constraints`` of an LTC; None: True.
        epsilon: of an LTC; None: 1e-8.
        outputs: motors of an LTC without an output map; None: all neurons.
        batch_first: None: True.

    Returns:
        An `NCP` for an LTC; a `CfC`, or a `WiredCfC` for one with a wiring; a `MixedMemory` around
        it where there is one; a `SequenceModel` of it where there is a ``proj_size``.

    Raises:
        TorchliquidError: something else, or weights that are missing or unexpected.

    >>> import ncps.torch
    >>> type(from_ncps(ncps.torch.CfC(3, 8, proj_size=2)).layer).__name__
    'CfC'
    """
    given = {
        "mode": mode, "activation": activation, "backbone_dropout": backbone_dropout,
        "unfolds": unfolds, "implicit": implicit, "epsilon": epsilon, "outputs": outputs,
        "batch_first": batch_first,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    if isinstance(source, nn.Module):
        if options:
            raise TorchliquidError(
                f"{', '.join(options)} is for a state dict: a module knows it, leave it out"
            )
        options = _options_of(source)
        weights = {name: value.detach() for name, value in source.state_dict().items()}
    elif isinstance(source, Mapping) and all(isinstance(v, Tensor) for v in source.values()):
        weights = {str(name): value.detach() for name, value in source.items()}
    else:
        raise TorchliquidError(
            f"source is {short_repr(source)}: expected a module of ncps.torch, or its state_dict()"
        )
    return _of_weights(weights, options)


def converted(kind: type[Layer], source: Any, options: dict[str, Any]) -> Layer:
    """`from_ncps`, of what becomes a layer of this kind.

    Raises:
        TorchliquidError: it becomes another one.
    """
    found = from_ncps(source, **options)
    if type(found) is not kind:
        raise TorchliquidError(
            f"source becomes a {type(found).__name__}, not a {kind.__name__}: use "
            "torchliquid.nn.from_ncps"
        )
    return found


def _options_of(module: nn.Module) -> dict[str, Any]:
    """What a module of ncps knows and its weights do not tell."""
    cell: Any = getattr(module, "rnn_cell", module)
    found = {"batch_first": getattr(module, "batch_first", True)}
    first = getattr(cell, "layer_0", cell)
    if hasattr(cell, "sparsity_mask") and hasattr(cell, "_ode_unfolds"):
        return found | {
            "unfolds": cell._ode_unfolds,
            "implicit": cell._implicit_param_constraints,
            "epsilon": cell._epsilon,
            "outputs": cell.motor_size,
        }
    if not hasattr(first, "ff1") or not hasattr(first, "mode"):
        raise TorchliquidError(
            f"source is a {type(module).__name__}: expected ncps.torch.LTC, ncps.torch.CfC or one "
            "of their cells"
        )
    found |= {"mode": first.mode, "wiring": getattr(cell, "_wiring", None)}
    for part in getattr(first, "backbone", None) or ():
        name = type(part).__name__
        if name in _ACTIVATIONS:
            found["activation"] = _ACTIVATIONS[name]
        elif name == "Dropout":
            found["backbone_dropout"] = part.p
    return found


def _of_weights(weights: Weights, options: dict[str, Any]) -> Any:
    cell = {n.removeprefix("rnn_cell."): v for n, v in weights.items() if not _is_outer(n)}
    outer = {name: value for name, value in weights.items() if _is_outer(name)}
    if "gleak" in cell:
        _check_options(options, "an LTC", "unfolds", "implicit", "epsilon", "outputs")
        layer: LiquidLayer = _ncp(cell, options)
    elif any(name.startswith("layer_0.") for name in cell):
        _check_options(options, "a CfC with a wiring", "mode", "wiring")
        layer = _wired_cfc(cell, options)
    elif "ff1.weight" in cell:
        _check_options(options, "a CfC", "mode", "activation", "backbone_dropout", "wiring")
        layer = _cfc(cell, options)
    else:
        raise TorchliquidError(
            f"the state dict has the keys {short_repr(sorted(weights)[:6])}: expected those of "
            "ncps.torch.LTC (rnn_cell.gleak, ...) or ncps.torch.CfC (rnn_cell.ff1.weight, ...)"
        )
    _check_keys(outer, [*(MEMORY.values() if _any(outer, "lstm.") else ()),
                        *(("fc.weight", "fc.bias") if _any(outer, "fc.") else ())])  # fmt: skip
    if _any(outer, "lstm."):
        order = _order(cell)
        layer = MixedMemory(layer)
        rows = torch.cat([order + k * len(order) for k in range(4)])
        memory = {name: outer[theirs][rows] for name, theirs in MEMORY.items()}
        memory["memory_hh_l0"] = memory["memory_hh_l0"][:, order]
        _fill(layer, memory)
    if not _any(outer, "fc."):
        return layer
    model = SequenceModel(layer, len(outer["fc.bias"]))
    with torch.no_grad():
        model.readout.weight.copy_(outer["fc.weight"])
        model.readout.bias.copy_(outer["fc.bias"])
    return model


def _ncp(cell: Weights, options: dict[str, Any]) -> NCP:
    masks = ("sparsity_mask", "sensory_sparsity_mask")
    expected = [*SYNAPSE, *(f"sensory_{name}" for name in SYNAPSE), "gleak", "vleak", "cm", *masks]
    maps: dict[str, str | None] = {}
    for side in ("input", "output"):
        kind = "affine" if f"{side}_b" in cell else "linear" if f"{side}_w" in cell else None
        maps[f"{side}_map"] = kind
        expected += [f"{side}_{part}" for part in ("w", "b")[: {"affine": 2, "linear": 1}.get(
            kind or "", 0)]]  # fmt: skip
    _check_keys(cell, expected)
    H = len(cell["gleak"])
    outputs = options.get("outputs", H)
    tables = []
    for start in ("", "sensory_"):
        signs = torch.where(cell[f"{start}erev"] < 0, -1, 1)
        tables.append(torch.where(cell[f"{start}sparsity_mask"] != 0, signs, 0).cpu().numpy())
    if "output_w" in cell:
        outputs = len(cell["output_w"])
    layer = NCP(
        tables[1].shape[0], from_adjacency(tables[0], tables[1], outputs),
        batch_first=options.get("batch_first", True), unfolds=options.get("unfolds", 6),
        implicit=options.get("implicit", True), epsilon=options.get("epsilon", EPSILON),
        input_map=maps["input_map"], output_map=maps["output_map"],
        device=cell["w"].device, dtype=cell["w"].dtype,
    )  # fmt: skip
    there = {"": tables[0] != 0, "sensory_": tables[1] != 0}
    values = {}
    for held in layer.weight_names:
        name = held.removesuffix("_l0")
        if name in cell:
            value = cell[name]
            if value.dim() == 2:
                mask = there["sensory_" if name.startswith("sensory_") else ""]
                value = value[torch.from_numpy(mask).to(value.device)]
            values[held] = value
    _fill(layer, values)
    return layer


def _cfc(cell: Weights, options: dict[str, Any]) -> CfC:
    heads, mode = _heads(cell, "", options)
    # dropout stands between the maps of a deep backbone: by order, not by number
    numbers = {int(m[1]) for n in cell if (m := re.fullmatch(r"backbone\.(\d+)\.weight", n))}
    backbone = [f"backbone.{k}" for k in sorted(numbers)]
    own = ["w_tau", "A"] if mode == "pure" else []
    parts = ("weight", "bias")
    _check_keys(cell, [f"{of}.{part}" for of in (*heads, *backbone) for part in parts] + own)
    weight, bias = (torch.cat([cell[f"{head}.{part}"] for head in heads]) for part in parts)
    maps = [*((cell[f"{of}.weight"], cell[f"{of}.bias"]) for of in backbone), (weight, bias)]
    H = len(cell["ff1.bias"])
    I = maps[0][0].shape[1] - H
    layer = CfC(
        I, H, batch_first=options.get("batch_first", True), mode=mode,
        backbone_layers=len(backbone), backbone_units=len(maps[0][1]) if backbone else 1,
        backbone_dropout=options.get("backbone_dropout", 0.0),
        activation=options.get("activation", "lecun_tanh"),
        device=weight.device, dtype=weight.dtype,
    )  # fmt: skip
    first, offset = maps[0]
    values = {"weight_ih_l0": first[:, :I], "weight_hh_l0": first[:, I:], "bias_l0": offset}
    for name, (later, offset) in zip(layer.map_names, maps[1:], strict=True):
        values |= {f"weight_{name}_l0": later, f"bias_{name}_l0": offset}
    if mode == "pure":
        values |= {"rate_l0": cell["w_tau"][0], "target_l0": cell["A"][0]}
    _fill(layer, values)
    return layer


def _wired_cfc(cell: Weights, options: dict[str, Any]) -> WiredCfC:
    """With ncps's own masks; neurons are numbered as there, the last layer's first."""
    heads, mode = _heads(cell, "layer_0.", options)
    own = ["w_tau", "A"] if mode == "pure" else []
    count = len({name.split(".")[0] for name in cell})
    parts = [*(f"{head}.{part}" for head in heads for part in ("weight", "bias")), *own]
    _check_keys(
        cell, [f"layer_{k}.{part}" for k in range(count) for part in (*parts, "sparsity_mask")]
    )
    sizes = [len(cell[f"layer_{k}.ff1.bias"]) for k in range(count)]
    ends = np.cumsum([0, *sizes[::-1]])[::-1]
    layers = [range(ends[k + 1], ends[k]) for k in range(count)]
    wiring = _wiring(cell, layers, options.get("wiring"))
    first = cell["layer_0.ff1.weight"]
    layer = WiredCfC(
        first.shape[1] - sizes[0], wiring, batch_first=options.get("batch_first", True),
        mode=mode, masks="ncps", device=first.device, dtype=first.dtype,
    )  # fmt: skip
    I, H = layer.input_size, wiring.units
    sensory, among = (first.new_zeros(len(heads), H, n) for n in (I, H))
    values = {"bias_l0": first.new_zeros(len(heads), H)}
    values |= {name: first.new_zeros(H) for name in ("rate_l0", "target_l0") if mode == "pure"}
    for k, units in enumerate(layers):
        to = list(units)
        for head, name in enumerate(heads):
            weight = cell[f"layer_{k}.{name}.weight"]
            inputs = weight.shape[1] - len(to)
            if k:
                among[head, to, layers[k - 1].start : layers[k - 1].stop] = weight[:, :inputs]
            else:
                sensory[head, to] = weight[:, :inputs]
            among[head, to, units.start : units.stop] = weight[:, inputs:]
            values["bias_l0"][head, to] = cell[f"layer_{k}.{name}.bias"]
        if mode == "pure":
            values["rate_l0"][to] = cell[f"layer_{k}.w_tau"][0]
            values["target_l0"][to] = cell[f"layer_{k}.A"][0]
    values["bias_l0"] = values["bias_l0"].flatten()
    values |= dict(zip(("sensory_w_l0", "w_l0"), layer.sparse(sensory, among), strict=True))
    _fill(layer, values)
    return layer


def _order(cell: Weights) -> Tensor:
    """Where ncps has each of our neurons in a state: a wired CfC has its first layer first."""
    sizes = [len(cell[name]) for name in ("gleak", "ff1.bias") if name in cell] or [
        len(cell[f"layer_{k}.ff1.bias"]) for k in range(len(cell)) if f"layer_{k}.ff1.bias" in cell
    ]
    parts = torch.arange(sum(sizes)).split(sizes)
    return torch.cat(parts[::-1])


def _wiring(cell: Weights, layers: list[range], known: Any) -> Wiring:
    """The wiring of a module, or, of weights alone, of their masks: all neurons of a layer meet."""
    units, count = layers[0].stop, len(layers)
    names = {1: ["motor"], 3: ["inter", "command", "motor"]}.get(count)
    if names is None:
        raise TorchliquidError(
            f"the wired CfC has {count} layers: expected 1, or the 3 of inter, command and motor"
        )
    inputs = cell["layer_0.sparsity_mask"].shape[1] - len(layers[0])
    recurrent, sensory = np.zeros((units, units)), np.zeros((inputs, units))
    for k, own in enumerate(layers):
        mask = (cell[f"layer_{k}.sparsity_mask"] != 0).cpu().numpy().T
        recurrent[np.ix_(own, own)] = 1
        table, rows = (recurrent, layers[k - 1]) if k else (sensory, range(inputs))
        table[np.ix_(rows, own)] = mask[: len(rows)]
    if known is not None:  # its polarities, and which neurons of a layer meet
        recurrent, sensory = known.adjacency_matrix, known.sensory_adjacency_matrix
    roles = [name for name, own in zip(names[::-1], layers[::-1], strict=True) for _ in own]
    return from_adjacency(recurrent, sensory, len(layers[-1]), roles)


def _heads(cell: Weights, start: str, options: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """Names of the heads, and the mode."""
    pure = f"{start}w_tau" in cell
    mode = options.get("mode", "pure" if pure else "default")
    check_mode(mode, "tanh")
    if (mode == "pure") != pure:
        raise TorchliquidError(
            f"mode is {short_repr(mode)}: the weights are those of "
            + ("mode 'pure'" if pure else "'default' or 'no_gate'")
        )
    return HEADS[:1] if pure else HEADS, mode


def _fill(layer: LiquidLayer, values: Mapping[str, Tensor]) -> None:
    """Copy weights into a layer.

    Raises:
        TorchliquidError: one has another shape.
    """
    with torch.no_grad():
        for name, value in values.items():
            weight = getattr(layer, name)
            if weight.shape != value.shape:
                raise TorchliquidError(
                    f"the weights for {name} have shape {tuple(value.shape)}: expected "
                    f"{tuple(weight.shape)}, from the sizes of the others"
                )
            weight.copy_(value)


def _check_options(options: dict[str, Any], kind: str, *known: str) -> None:
    unknown = sorted(set(options) - {*known, "batch_first"})
    if unknown:
        raise TorchliquidError(f"{unknown[0]} plays no part in {kind}: leave it out")


def _check_keys(found: Weights, expected: list[str]) -> None:
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unknown:
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has the unexpected {', '.join(unknown)}"] if unknown else []
        raise TorchliquidError(
            f"the state dict {' and '.join(said)}: give that of one LTC or CfC of ncps 1.0.1, whole"
        )


def _is_outer(name: str) -> bool:
    return name.startswith(("lstm.", "fc."))


def _any(weights: Weights, start: str) -> bool:
    return any(name.startswith(start) for name in weights)
