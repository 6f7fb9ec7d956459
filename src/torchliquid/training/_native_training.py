"""A training by the native kernels, where every part of the model has one."""

from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid._checks import autocast_type
from torchliquid.nn import LiquidLayer, Pack, SequenceModel
from torchliquid.nn._torch_cells import weight_names_of
from torchliquid.nn.model import has_extras, has_global_hooks
from torchliquid.training._data import Data, single_of


def why_not(model: nn.Module, loss: Any, data: Data, batch_size: int | None) -> str:
    """Why the native kernels cannot train the model, in words; nothing where they can."""
    if kernels.backend() != "native":
        return f"the backend is {kernels.backend()}"
    if not isinstance(loss, str):
        return "the loss is a function"
    if type(model) not in (SequenceModel, Pack):
        return f"{type(model).__name__} has a forward of its own"
    layer, readout = _parts(model)
    kernel = _kernel(layer)
    if kernel is None:
        return f"{type(layer).__name__} has no kernel as it is"
    if layer.dropout and layer.num_layers > 1:
        return "there is dropout between the layers"
    if getattr(layer, "proj_size", 0):
        return "there is a projection"
    modules = [*model.modules(), *([layer] if isinstance(model, Pack) else [])]
    if any(map(has_extras, modules)) or has_global_hooks():
        return "there are hooks"
    if getattr(model, "_watchers", None) or getattr(layer, "_watchers", None):
        return "it is watched"
    if getattr(layer, "is_ablated", False):
        return "neurons are ablated"
    weights = _weights(model)
    if weights is None:
        return "a weight is computed, or missing"
    held = [w for w in weights if w is not None]
    if len({w.data_ptr() for w in held}) < len(held):
        return "parameters are shared"
    if not all(w.requires_grad for w in held) or len(held) < len(list(model.parameters())):
        return "parameters are frozen"
    first = held[0]
    alike = all(w.is_cpu and w.dtype is first.dtype for w in held)
    if not alike or first.dtype not in (torch.float32, torch.float64) or autocast_type(first):
        return "parameters are not all float32, or float64, on the CPU"
    if any(w._backward_hooks for w in held):
        return "there are hooks"
    if not (type(readout) is nn.Linear or isinstance(model, Pack)):
        return "there is no nn.Linear"
    B, L = data.x.shape[-3:-1]
    states = (
        min(batch_size or B, B)
        * L
        * layer.hidden_size
        * layer.num_layers
        * ((2 if layer.bidirectional else 1) * (len(model) if isinstance(model, Pack) else 1))
    )
    if kernels.training_bytes(kernel, states, first.element_size()) > kernels.memory() // 4:
        return "its buffers would take more than a quarter of the memory"
    return ""


def native_training(
    model: Any,
    lanes: kernels.Lanes,
    data: Data,
    validation: Data | None,
    batch_size: int | None,
    loss: str,
    interval: float,
) -> kernels.Training:
    """The training of a model of which `why_not` says nothing."""
    layer, _ = _parts(model)
    weights = _weights(model)
    kernel = _kernel(layer)
    assert weights is not None  # noqa: S101 - for the type checker
    assert kernel is not None  # noqa: S101
    directions = 2 if layer.bidirectional else 1
    plan = kernels.Plan(kernel, layer.num_layers, directions, interval, reads=True)
    rows = _rows(plan, weights, data, loss)
    valid = None if validation is None else _rows(plan, weights, validation, loss)
    return kernels.Training(plan, weights, lanes, rows, valid, batch_size, loss)


def _rows(plan: kernels.Plan, weights: list[Tensor | None], data: Data, loss: str) -> kernels.Rows:
    dt = data.dt
    if isinstance(dt, float) and dt != plan.interval:
        dt = torch.tensor(dt, dtype=data.x.dtype).expand(data.x.shape[-3:-1])
    times = dt if isinstance(dt, Tensor) else None
    x, forwards, back = kernels.read_times(
        plan, weights, data.x, times, data.observed, data.lengths
    )
    target = data.target
    if loss == "cross_entropy":
        classes = weights[-1].shape[-1]  # type: ignore[union-attr]
        target = nn.functional.one_hot(target, classes)
    return kernels.Rows(x, forwards, back, target.to(x.dtype), data.weight)


def _parts(model: Any) -> tuple[Any, Any]:
    return single_of(model).layer, model.readout


def _kernel(layer: Any) -> kernels.KernelCell | None:
    if isinstance(layer, LiquidLayer):
        return layer.kernel_cell() if type(layer).forward is LiquidLayer.forward else None
    if type(layer) is nn.LSTM and layer.bias:
        return kernels.LSTM
    return kernels.GRU if type(layer) is nn.GRU and layer.bias else None


def _weights(model: Any) -> list[Tensor | None] | None:
    """Parameters in the kernels' order; None where one is not a plain parameter."""
    layer, _ = _parts(model)
    liquid = isinstance(layer, LiquidLayer)
    names = layer.every_name if liquid else weight_names_of(layer)
    held = model.layer._parameters
    weights = [held.get(name) for name in names]
    missing = [n for n, w in zip(names, weights, strict=True) if w is None]
    if any(layer.bias or not name.startswith("bias") for name in missing):
        return None
    readout = [model.readout._parameters.get(name) for name in ("weight", "bias")]
    return None if any(r is None for r in readout) else [*weights, *readout]
