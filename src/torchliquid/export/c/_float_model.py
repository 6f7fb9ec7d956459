"""What the C of a model in single precision holds: all that is constant at its dt, folded.

A gate is computed from ``t``, a multiple of its argument z, folded into weights and bias:

- *float32*: ``exp(-z) = 2^t`` as a quotient of two numbers, ``t = -z log2(e)``, so that a gate
  costs one division, and an LTC neuron one in all. For tanh, ``t = -2 z log2(e)``.
- *float32-table*: sigmoid between entries of a table, ``t`` in entries, and
  ``tanh(z) = 2 sigmoid(2z) - 1``.

What form a step takes is its cell's to say (`torchliquid.export.cells`).
"""

import math

import numpy as np

from torchliquid.export.c._float_units import LOG2E, unit
from torchliquid.export.cells.base import LINEAR_REACH, Array, FloatLayer, Layer, Numbers, OwnStep
from torchliquid.export.description import Description

LARGEST_T = 94.0
"""Of ``2^t`` in single precision, with room for a factor of 1e9."""
LARGEST_FACTOR = 1e9
"""Of a dt that may be any, times the fastest rate: beyond it a step is one to rest."""
FAR = 8.0
"""Scales that an input may always be from its mean and still count for what it is."""
FARTHEST = 1e6


def fold(
    description: Description, *, gate_table: bool, variable_dt: bool, columns: bool
) -> tuple[FloatLayer, ...]:
    """All layers, folded.

    Raises:
        TorchliquidError: a layer whose step cannot be taken so.
    """
    dt = None if variable_dt else description.dt
    scales = np.array([column.scale for column in description.scaling.inputs])
    layers = []
    for index, layer in enumerate(description.layers):
        divisors = scales if index == 0 else np.ones(layer.inputs)
        layers.append(_fold(layer, index, divisors, dt, gate_table, columns))
    return tuple(layers)


def _fold(
    layer: Layer, index: int, scales: Numbers, dt: float | None, gate_table: bool, columns: bool
) -> FloatLayer:
    h = None if dt is None else dt / layer.unfolds
    if isinstance(layer.cell, OwnStep):
        source = layer.cell.source(layer, index, scales, h, gate_table)
        form = layer.cell.form(layer)
        return FloatLayer(layer, index, (), form, h, columns, gate_table, source)
    w_in = layer.w_in / scales
    factor = np.full((layer.gates, 1), unit(gate_table))
    factor[list(layer.cell.tanh_gates)] *= 2
    form, constants, shift = layer.cell.fold(layer, h, gate_table)
    bias = layer.bias + shift
    arrays = [
        Array("bias", bias * factor, "gate, neuron"),
        Array("w_in", w_in * factor[..., None], "gate, neuron, input"),
        Array("w_rec", layer.w_rec * factor[..., None], "gate, neuron, from"),
    ]
    if layer.cell.is_linear:
        arrays = [Array("w_in", w_in, "gate, neuron, input")]
    if layer.cell.split_candidate:
        bias_rec = np.zeros_like(layer.bias) if layer.bias_rec is None else layer.bias_rec
        # of the other gates both are added: only the candidate's stands alone
        added = bias_rec * np.array([*[[1]] * (layer.gates - 1), [0]])
        arrays[0] = Array("bias", (bias + added) * factor, "gate, neuron")
        constants.append(Array("bias_rec", (bias_rec * factor)[-1], "neuron"))
    ordered = tuple(_ordered(array, columns) for array in (*arrays, *constants))
    return FloatLayer(layer, index, ordered, form, h, columns, gate_table)


def _ordered(array: Array, columns: bool) -> Array:
    """In the order in which the C walks through it."""
    values, names = array.values, array.indices.split(", ")
    order: tuple[int, ...] = (0,)
    if values.ndim == 3:
        order = (2, 0, 1) if columns else (1, 0, 2)  # [from][gate][to] or [to][gate][from]
    elif values.ndim == 2:
        order = (0, 1) if columns else (1, 0)
    values = np.transpose(values, order)
    names = [names[k] for k in order]
    if "gate" in names and values.shape[names.index("gate")] == 1:
        values = values.squeeze(names.index("gate"))
        names.remove("gate")
    return Array(array.name, np.ascontiguousarray(values), "".join(f"[{name}]" for name in names))


def limits(description: Description, *, variable_dt: bool = False) -> tuple[float, bool]:
    """How far inputs may be from their mean, in scales, and whether each t must be kept in bounds.

    ``2^t`` is neither to overflow nor to fall below the least exponent. Weights bound how far t can
    go while inputs are within the limit, as states are bounded; where that leaves too little room
    for inputs, the C bounds each t.
    """
    reach = FARTHEST
    for index, layer in enumerate(description.layers):
        if layer.cell.is_linear:
            return LINEAR_REACH, False  # and the only layer
        if isinstance(layer.cell, OwnStep):
            return FARTHEST, True
        low, high = layer.state_range()
        positive, negative = np.maximum(layer.w_rec, 0), np.minimum(layer.w_rec, 0)
        least = layer.bias + positive @ low + negative @ high
        most = layer.bias + positive @ high + negative @ low
        if layer.bias_rec is not None:
            least, most = least - np.abs(layer.bias_rec), most + np.abs(layer.bias_rec)
        if index:
            below = np.maximum(*map(np.abs, description.layers[index - 1].state_range()))
            spread = np.abs(layer.w_in) @ below
            least, most = least - spread, most + spread
        factor = np.full((len(least), 1), LOG2E)
        factor[list(layer.cell.tanh_gates)] *= 2
        times = LARGEST_FACTOR if variable_dt else layer.cell.largest_factor(layer, description.dt)
        largest = 126 - math.log2(3.4 * times)
        room = np.minimum(124 / factor - most, largest / factor + least)
        width = np.abs(layer.w_in).sum(2) if index == 0 else np.zeros_like(room)
        if room.min() <= 0:
            return FARTHEST, True
        if width.any():
            reach = min(reach, float((room[width > 0] / width[width > 0]).min()))
    return (float(f"{reach:.3g}"), False) if reach >= FAR else (FARTHEST, True)


def longest_dt(description: Description) -> float:
    """Up to which a dt that comes with each sample counts: then even slow neurons are at rest."""
    rates = [1 / layer.tau for layer in description.layers if layer.tau is not None]
    rates += [layer.rate for layer in description.layers if layer.rate is not None]
    return LARGEST_FACTOR / float(np.concatenate([*rates, [1.0]]).max())
