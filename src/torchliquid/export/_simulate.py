"""A description run in double precision by NumPy: what quantising is fitted to."""

import numpy as np

from torchliquid.export.cells.base import Layer, Numbers
from torchliquid.export.description import Description


def states(description: Description, inputs: Numbers) -> list[Numbers]:
    """What each layer outputs at each sample, ``(T, H)`` a layer, at the description's own dt.

    Args:
        description: of the model.
        inputs: ``(T, I)``, scaled as in training.
    """
    results, below = [], inputs
    for layer in description.layers:
        below = run_layer(layer, below, description.dt)
        results.append(below)
    return results


def run_layer(layer: Layer, inputs: Numbers, dt: float) -> Numbers:
    """What a layer outputs ``(T, H)`` of inputs ``(T, I)``, from a state of zero."""
    drive = np.einsum("ghi,ti->tgh", layer.w_in, inputs) + layer.bias
    h, c = (np.zeros(width) for width in (*layer.widths, layer.hidden)[:2])
    fading = layer.cell.log_decay(layer, dt)
    fades = None if fading is None else np.exp(fading)
    outputs = []
    for sample in drive:
        if fades is not None:
            h = h * fades
        h, c = layer.cell.sample(layer, sample, h, c, dt)
        outputs.append(h)
    return np.array(outputs)
