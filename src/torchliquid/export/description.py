"""What an exporter needs to know of a model: numbers and names, and nothing of torch.

Writers of C read this alone; `describe` makes it. All that is trained is here in double precision,
exactly as the model has it; what is constant at a fixed dt is folded by the writers.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from torchliquid._checks import check_interval
from torchliquid.errors import TorchliquidError
from torchliquid.export.cells import export_of
from torchliquid.export.cells.base import Layer, Numbers
from torchliquid.functional.ltc import positive_tau
from torchliquid.messages import plural
from torchliquid.nn._registry import CELLS
from torchliquid.nn._weights import weights_of
from torchliquid.nn.io.saving import layer_name
from torchliquid.nn.io.scaling import Column, Scaling
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.model import Recurrent, SequenceModel


@dataclass(frozen=True)
class Description:
    """A model: layers in turn, and a linear readout.

    Args:
        layers: the first one sees the input.
        w_out: ``(O, H)``, or None where the outputs are the last layer's states.
        b_out: ``(O,)``.
        dt: time between samples where they are evenly spaced.
        scaling: between the model's numbers and physical ones.
        parameters: how many parameters were trained.
        digest: a hash of all of it.
    """

    layers: tuple[Layer, ...]
    w_out: Numbers | None
    b_out: Numbers | None
    dt: float
    scaling: Scaling
    parameters: int
    digest: str

    @property
    def inputs(self) -> int:
        """I, numbers in a sample."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """O, values output at each sample."""
        return self.layers[-1].width if self.w_out is None else len(self.w_out)

    @property
    def takes_dt(self) -> bool:
        """Whether time between samples plays a part in some layer."""
        return any(layer.takes_dt for layer in self.layers)

    @property
    def title(self) -> str:
        """In a few words, such as ``LTC, 1 input, 8 neurons, 1 output``."""
        sizes = " + ".join(f"{layer.cell.name} of {layer.hidden} neurons" for layer in self.layers)
        return f"{plural(self.inputs, 'input')}, {sizes}, {plural(self.outputs, 'output')}"


def check_times(description: Description, *, variable_dt: bool) -> None:
    """That the model takes a time with each sample, and its export too."""
    if variable_dt and not description.takes_dt:
        raise TorchliquidError(
            "variable_dt is True, but no layer of the model takes a time between samples: leave it "
            "out, or export an LTC"
        )
    for layer in description.layers:
        if variable_dt and layer.cell.is_linear:
            raise TorchliquidError(
                f"a {layer.cell.name} with a dt for each sample cannot be exported yet: leave "
                "variable_dt out"
            )


def describe(model: SequenceModel | Recurrent, dt: float | None = None) -> Description:
    """The description of a model, or of a layer alone.

    Args:
        model: what `torchliquid.save` takes; every layer runs in one direction.
        dt: time between samples; None: the layer's own.

    Raises:
        TorchliquidError: a layer that no exporter knows, or weights that are not finite.
    """
    name = layer_name(model, "export")
    whole = model if isinstance(model, SequenceModel) else None
    layer: Recurrent = model.layer if isinstance(model, SequenceModel) else model
    weights = {
        key.removeprefix("layer."): value.detach().double().cpu().resolve_neg()
        for key, value in weights_of(model).items()
    }
    for key, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise TorchliquidError(
                f"{key} holds values that are not finite: the model has diverged, train it again"
            )
    numbers = {key: np.asarray(value.numpy()) for key, value in weights.items()}
    export_of(name)  # before the layer's options: it may not be exportable at all
    _check_one_way(name, layer)
    layers = _layers(name, layer, weights)
    w_out = numbers["readout.weight"] if whole else None
    b_out = numbers.get("readout.bias", np.zeros(len(w_out))) if w_out is not None else None
    outputs = layers[-1].width if w_out is None else len(w_out)
    if dt is None:
        interval = layer.dt if isinstance(layer, LiquidLayer) else 1.0
    else:
        interval = check_interval(dt)
        if interval == 0:
            raise TorchliquidError("dt is 0: give the time between two samples")
        if not CELLS[name].takes_dt:
            raise TorchliquidError(
                f"dt is {interval:g}, but an {name} knows no time between samples: leave it out"
            )
    scaling = (whole.scaling if whole else None) or Scaling(
        tuple(Column(f"input {i}" if layers[0].inputs > 1 else "input") for i in
              range(layers[0].inputs)),
        tuple(Column(f"output {o}" if outputs > 1 else "output") for o in range(outputs)),
    )  # fmt: skip
    scaling.check(layers[0].inputs, outputs)
    _check_columns(scaling)
    digest = hashlib.sha256(repr((name, interval, scaling, _settings(layer))).encode())
    for key in sorted(numbers):
        digest.update(key.encode() + numbers[key].tobytes())
    parameters = sum(value.size for value in numbers.values())
    return Description(layers, w_out, b_out, interval, scaling, parameters, digest.hexdigest())


def _settings(layer: Recurrent) -> Any:
    return layer.config() if isinstance(layer, LiquidLayer) else repr(layer)


def _check_columns(scaling: Scaling) -> None:
    """That exported code, which takes physical units, can compute with these columns."""
    for column in (*scaling.inputs, *scaling.outputs):
        if not (1e-30 <= column.scale <= 1e30 and abs(column.offset) <= 1e30):
            raise TorchliquidError(
                f"column {column.name!r} has an offset of {column.offset:g} and a scale of "
                f"{column.scale:g}, too far for single precision: give it another unit"
            )


def _layers(name: str, layer: Recurrent, weights: dict[str, torch.Tensor]) -> tuple[Layer, ...]:
    def positive(key: str, raw: torch.Tensor) -> Numbers:
        # as the model has it: in its own precision, which is single at least in what is exported
        precision = getattr(layer, key).dtype
        raw = raw.to(precision if precision == torch.float64 else torch.float32)
        return np.asarray(positive_tau(raw).double().numpy())

    cell = export_of(name)
    values = {key: np.asarray(value.numpy()) for key, value in weights.items()}
    of_raw = {key: positive(key, w) for key, w in weights.items() if key.startswith("raw_")}
    depth = layer.num_layers
    return tuple(cell.read(values, of_raw, k, layer) for k in range(depth))


def _check_one_way(name: str, layer: Recurrent) -> None:
    if layer.bidirectional:
        raise TorchliquidError(
            f"the {name} is bidirectional: a device sees no later samples; train one with "
            "bidirectional=False"
        )
    if layer.proj_size:
        raise TorchliquidError(f"the {name} has proj_size {layer.proj_size}: train one without")
