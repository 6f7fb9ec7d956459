"""A model in integers, run in integers: the C does the same to the bit, on every core."""

from collections.abc import Sequence

import numpy as np

from torchliquid.export.c._arithmetic import rounded, seen, within
from torchliquid.export.c._quantize import IntModel
from torchliquid.export.cells.base import Counts, IntLayer


def run(model: IntModel, inputs: Counts) -> Counts:
    """Outputs ``(T, O)`` in counts, from inputs ``(T, I)`` in counts and a state of zero."""
    last = states(model.layers, inputs)[-1]
    total = model.b_out + last @ model.w_out.T + inputs[:, :1] * model.w_first
    return rounded(within(total), model.shift)


def states(layers: Sequence[IntLayer], inputs: Counts) -> list[Counts]:
    """What rows see of each layer, ``(T, H)`` a layer, in counts."""
    results, below = [], inputs
    for layer in layers:
        state = {name: np.zeros(layer.of.hidden, np.int64) for _, name in layer.states}
        below = np.array([_layer(layer, sample, state) for sample in below])
        results.append(below)
    return results


def _layer(layer: IntLayer, u: Counts, state: dict[str, Counts]) -> Counts:
    """What the next layer sees."""
    drive = layer.bias + layer.w_in @ u
    for _ in range(layer.of.unfolds):
        layer.of.cell.int_step(layer, drive, state)
    return seen(layer, state[layer.states[0][1]])
