"""A description run in double precision by NumPy: what quantising is fitted to."""

from collections.abc import Callable

import numpy as np

from torchliquid.export.description import Description, Layer, Numbers, known

Step = Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]


def sigmoid(z: Numbers) -> Numbers:
    """``1 / (1 + exp(-z))``, without a warning where it is 0."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * z))


def states(description: Description, inputs: Numbers) -> list[Numbers]:
    """What each layer tells at each sample, ``(T, H)`` a layer, at the description's own dt.

    Args:
        description: of the model.
        inputs: ``(T, I)``, scaled as in training.
    """
    found, below = [], inputs
    for layer in description.layers:
        below = run_layer(layer, below, description.dt)
        found.append(below)
    return found


def run_layer(layer: Layer, inputs: Numbers, dt: float) -> Numbers:
    """What a layer tells ``(T, H)`` of inputs ``(T, I)``, from a state of zero."""
    drive = np.einsum("ghi,ti->tgh", layer.w_in, inputs) + layer.bias
    h, c = np.zeros(layer.hidden), np.zeros(layer.hidden)
    told = []
    for own in drive:
        h, c = _sample(layer, own, h, c, dt)
        told.append(h)
    return np.array(told)


def _sample(layer: Layer, own: Numbers, h: Numbers, c: Numbers, dt: float) -> tuple[Numbers, ...]:
    if layer.cell == "LTC":
        for _ in range(layer.unfolds):
            h = _ltc(layer, sigmoid(own[0] + layer.w_rec[0] @ h), h, dt / layer.unfolds)
        return h, c
    if layer.cell == "CTRNN":
        return (h + dt * np.tanh(own[0] + layer.w_rec[0] @ h)) / (1 + dt / known(layer.tau)), c
    if layer.cell == "LSTM":
        i, f, g, o = own + layer.w_rec @ h
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if layer.rate is not None:
        h = h * np.exp(-dt * layer.rate)
    again = layer.w_rec @ h + (0.0 if layer.bias_rec is None else layer.bias_rec)
    r, z = sigmoid(own[:2] + again[:2])
    n = np.tanh(own[2] + r * again[2])
    return n + z * (h - n), c


def _ltc(layer: Layer, f: Numbers, x: Numbers, h: float) -> Numbers:
    rate = 1 / known(layer.tau) + f
    slope = f * known(layer.target) - x * rate
    if layer.solver == "euler":
        return x + np.minimum(h, 1 / rate) * slope
    if layer.solver == "exponential":
        return x - np.expm1(-h * rate) / rate * slope
    return x + h * slope / (1 + h * rate)
