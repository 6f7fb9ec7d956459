"""What a step costs, counted on paper: the same for every compiler and core."""

from torchliquid.export.description import Description, Layer
from torchliquid.export.integers import IntModel

_GATES = {"LTC": (1, 0), "CTRNN": (0, 1), "LSTM": (3, 2), "GRU": (2, 1), "DecayGRU": (2, 1)}
"""Sigmoids and tanhs of a neuron."""
_PRODUCTS = {"LTC": 4, "CTRNN": 2, "LSTM": 4, "GRU": 2, "DecayGRU": 3}
"""Products of a neuron besides those of its rows, in single precision."""


def operations(description: Description, dtype: str, *, variable_dt: bool) -> dict[str, int]:
    """Multiplications, sigmoids (tanh is one too) and divisions in a step.

    Those inside a sigmoid are its own, but for its division: in ``float32`` each has one, in an LTC
    it is the step's.
    """
    total = {"multiplications": 0, "sigmoids": 0, "divisions": 0}
    for layer in description.layers:
        updates = layer.hidden * layer.unfolds
        gates, hidden = layer.w_in.shape[0], layer.hidden
        rows = gates * hidden * layer.inputs + gates * hidden * hidden * layer.unfolds
        total["multiplications"] += rows + updates * _products(layer, dtype)
        total["sigmoids"] += updates * sum(_GATES[layer.cell])
        total["divisions"] += updates * _divisions(layer, dtype, variable_dt)
    if description.w_out is not None:
        total["multiplications"] += description.w_out.size
    return total


def _products(layer: Layer, dtype: str) -> int:
    rows = int(layer.w_in.shape[0])
    return _PRODUCTS[layer.cell] + (rows if dtype in ("q8", "q16") else 0)  # a factor for each


def _divisions(layer: Layer, dtype: str, variable_dt: bool) -> int:
    if dtype in ("q8", "q16"):
        return 0
    own = 0
    if variable_dt and layer.cell in ("LTC", "CTRNN"):
        own = 1
    if layer.solver == "exponential":
        own = 2
    if dtype == "float32-table":
        return own
    if layer.cell == "LTC" and layer.solver == "semi_implicit":
        return 1
    return own + sum(_GATES[layer.cell])


def state_bytes(description: Description, counted: IntModel | None) -> int:
    """Bytes of what the network remembers."""
    if counted is None:
        return sum(4 * x.hidden * (2 if x.cell == "LSTM" else 1) for x in description.layers)
    sizes = {"int16_t": 2, "int32_t": 4}
    return sum(sizes[kind] * x.of.hidden for x in counted.layers for kind, _ in x.states)
