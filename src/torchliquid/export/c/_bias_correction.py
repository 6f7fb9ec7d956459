"""Biases of a layer in integers, set so that its neurons' means are the model's own.

What rounding does to a gate is small; what it does to a neuron that forgets slowly adds up, and
the neurons drive each other. Over the calibration the layer is run in integers, and its biases
are moved until the mean of every neuron is that of the model in double precision: by Newton's
method, with the derivative of the means by the biases from the model itself.
"""

import dataclasses

import numpy as np

from torchliquid.export._simulate import run_layer, states
from torchliquid.export.c import _fixed_point as golden
from torchliquid.export.c._quantize import IntModel, quantise
from torchliquid.export.cells.base import Counts, IntLayer, Layer, Numbers
from torchliquid.export.description import Description

ROUNDS = 3
SAMPLES = 2000
"""Of the calibration, at most."""
NUDGE = 1e-3
"""Of z, for derivatives."""
FARTHEST = 0.5
"""Of z, that a bias may move: it makes up for rounding, not for more."""


def quantised(
    description: Description, inputs: Numbers, bits: int, least_reach: float = 0.0
) -> IntModel:
    """The model in counts, its biases set: see `torchliquid.export.c._quantize.quantise`."""
    model = quantise(description, inputs, bits, least_reach)
    inputs = inputs[-SAMPLES:]
    inputs = np.concatenate([inputs, inputs])
    outputs = states(description, inputs)
    counts, layers = model.of_scaled(inputs), []
    for index, layer in enumerate(model.layers):
        layers.append(
            centred(layer, inputs if index == 0 else outputs[index - 1], counts, description.dt)
        )
        counts = golden.states(layers[-1:], counts)[0]
    return dataclasses.replace(model, layers=tuple(layers))


def centred(layer: IntLayer, inputs: Numbers, counts: Counts, dt: float) -> IntLayer:
    """The layer with biases moved, if that brings its neurons' means nearer to the model's.

    Args:
        layer: one whose step is a `Blend`; others are given back as they are.
        inputs: ``(T, I)``, what the model's layer sees.
        counts: ``(T, I)``, the same in counts.
        dt: time between samples.
    """
    if not layer.of.cell.is_blend:
        return layer
    expected = run_layer(layer.of, inputs, dt)
    nudged = [run_layer(_moved(layer.of, j), inputs, dt) for j in range(layer.of.hidden)]
    half = len(inputs) // 2
    slopes = np.array([(outputs - expected)[half:].mean(0) for outputs in nudged]).T / NUDGE
    best, least = layer, _off(layer, counts, expected)
    at, length = np.zeros(layer.of.hidden), 1.0
    for _ in range(ROUNDS):
        # slopes are of the whole closed loop, and some directions hardly move it
        wanted = np.linalg.lstsq(slopes, -least, rcond=1e-3)[0]
        moved = np.clip(at + length * wanted, -FARTHEST, FARTHEST)
        tried = _with_bias(layer, moved)
        off = _off(tried, counts, expected)
        if off @ off < least @ least:
            best, least, at, length = tried, off, moved, min(1.0, 2 * length)
        else:
            length /= 4
    return best


def _moved(layer: Layer, neuron: int) -> Layer:
    bias = layer.bias.copy()
    bias[0, neuron] += NUDGE
    return dataclasses.replace(layer, bias=bias)


def _off(layer: IntLayer, counts: Counts, expected: Numbers) -> Numbers:
    """How far the mean of each neuron is off, ``(H,)``."""
    outputs = golden.states([layer], counts)[0] * layer.unit
    return np.asarray((outputs - expected)[len(outputs) // 2 :].mean(0))


def _with_bias(layer: IntLayer, moved: Numbers) -> IntLayer:
    counts = np.rint(moved * 2.0 ** (layer.before + layer.after + 12) / layer.factor[0])
    return dataclasses.replace(layer, bias=layer.bias + counts.astype(np.int64)[None])
