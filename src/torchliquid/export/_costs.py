"""What a step costs, counted on paper: the same for every compiler and core."""

from torchliquid.export.c._quantize import IntModel
from torchliquid.export.cells.base import Layer, OwnStep
from torchliquid.export.description import Description

INT_DTYPES = ("q8", "q16")


def operations(description: Description, dtype: str, *, variable_dt: bool) -> dict[str, int]:
    """Multiplications, sigmoids (tanh is one too) and divisions in a step.

    Those inside a sigmoid are its own, but for its division: in ``float32`` each has one, in an LTC
    it is the step's.
    """
    total = {"multiplications": 0, "sigmoids": 0, "divisions": 0}
    for layer in description.layers:
        if isinstance(layer.cell, OwnStep):
            own = layer.cell.operations(layer, dtype == "float32-table", variable_dt)
            for name, count in zip(total, own, strict=True):
                total[name] += count
            continue
        updates = layer.hidden * layer.unfolds
        rows = layer.w_in.size + layer.w_rec.size * layer.unfolds
        total["multiplications"] += rows + updates * _products(layer, dtype)
        total["sigmoids"] += updates * (layer.cell.sigmoids + layer.cell.tanhs)
        if dtype not in INT_DTYPES:
            one = layer.cell.divisions(layer, dtype == "float32-table", variable_dt)
            total["divisions"] += updates * one
    if description.w_out is not None:
        total["multiplications"] += description.w_out.size
    return total


def _products(layer: Layer, dtype: str) -> int:
    return layer.cell.products + (layer.gates if dtype in INT_DTYPES else 0)  # a factor for each


def state_bytes(description: Description, counted: IntModel | None) -> int:
    """Bytes of what the network remembers."""
    if counted is None:
        return sum(4 * sum(x.widths) for x in description.layers)
    sizes = {"int16_t": 2, "int32_t": 4}
    return sum(sizes[kind] * x.of.hidden for x in counted.layers for kind, _ in x.states)
