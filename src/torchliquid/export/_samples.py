"""What an exported model is tried on: samples in physical units, and what torch makes of them."""

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchliquid.errors import LongStepWarning, TorchliquidError
from torchliquid.export.description import Description
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.model import Recurrent, SequenceModel

Floats = NDArray[np.float32]
STEPS = 1000
MADE_UP_REACH = 3.0
"""Scales from the mean that an input is taken to be at most, where none was seen."""


@dataclass(frozen=True)
class Samples:
    """A sequence from a state of zero, and what the model outputs at each sample.

    Args:
        inputs: ``(T, I)``, physical.
        dt: ``(T,)``, time before each; the same all along where the export has a fixed dt.
        outputs: ``(T, O)``, physical, by torch.
    """

    inputs: Floats
    dt: Floats
    outputs: Floats


def made_up(
    description: Description, *, variable_dt: bool, steps: int = STEPS, slower: float = 1.0
) -> Any:
    """Inputs ``(T, I)`` and dt ``(T,)``: slow waves and noise, as far from the mean as training's.

    Each input lies within three of its column's scales; its wave has a period of 15 to 120 samples,
    or ``slower`` times as many.
    """
    rng = np.random.default_rng(0)
    time = np.arange(steps)[:, None]
    periods = slower * rng.uniform(15, 120, description.inputs)
    waves = np.sin(2 * np.pi * time / periods + rng.uniform(0, 6, description.inputs))
    noise = 0.3 * rng.standard_normal((steps, description.inputs))
    scaled = np.clip(waves + noise, -MADE_UP_REACH, MADE_UP_REACH)
    offset, scale = columns(description.scaling.inputs)
    dt = np.full(steps, description.dt)
    if variable_dt:
        dt = dt * rng.exponential(1.0, steps)
    return (offset + scale * scaled).astype(np.float32), dt.astype(np.float32)


def columns(of: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets and scales of columns."""
    return np.array([c.offset for c in of]), np.array([c.scale for c in of])


def rounding(model: SequenceModel | Recurrent, description: Description, samples: Samples) -> float:
    """How far single precision is from double, in torch itself, over these samples.

    A network that drives itself hard, or steps that are small against its time constants, lose
    digits in whatever computes them.
    """
    single, double = (
        by_torch(copy.deepcopy(model).to(dtype), description, samples.inputs, samples.dt).outputs
        for dtype in (torch.float32, torch.float64)
    )
    return float(np.abs(single - double).max())


def errors(outputs: NDArray[Any], expected: NDArray[Any]) -> dict[str, float]:
    """Largest and RMS error, and the latter as a share of the signal's deviation."""
    outputs, expected = outputs.astype(np.float64), expected.astype(np.float64)
    off = outputs - expected
    rms = float(np.sqrt((off**2).mean()))
    spread = float(expected.std(0).max())
    return {
        "largest": float(np.abs(off).max()),
        "rms": rms,
        "rms_of_deviation": rms / spread if spread else 0.0,
    }


def check_inputs(description: Description, inputs: Any, what: str = "test") -> Floats:
    """Inputs ``(T, I)`` in single precision.

    Raises:
        TorchliquidError: another shape, or values that are missing.
    """
    array = np.asarray(inputs, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != description.inputs or not len(array):
        raise TorchliquidError(
            f"{what} has shape {array.shape}: expected (samples, {description.inputs}), a column "
            "for each input"
        )
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise TorchliquidError(f"{what} has no number in row {row + 1}: fill it, or cut it out")
    return array


@torch.no_grad()
def by_torch(
    model: SequenceModel | Recurrent, description: Description, inputs: Floats, dt: Floats
) -> Samples:
    """What the model itself makes of inputs ``(T, I)``."""
    weight = next(p for p in model.parameters())
    if weight.dtype in (torch.float16, torch.bfloat16):
        # the C computes in single precision, whatever the weights were kept in
        model = copy.deepcopy(model).float()
        weight = next(p for p in model.parameters())
    layer = model.layer if isinstance(model, SequenceModel) else model
    offset, scale = columns(description.scaling.inputs)
    scaled = (inputs - offset) / scale
    x = torch.from_numpy(scaled).to(weight)
    if isinstance(layer, LiquidLayer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LongStepWarning)  # the C cuts steps by the same rule
            y = model(x, dt=torch.from_numpy(np.ascontiguousarray(dt)).to(weight))[0]
    else:
        training, _ = layer.training, layer.eval()  # dropout between layers plays no part
        y = model(x)[0]
        layer.train(training)
    numbers = y.double().cpu().numpy()
    if description.scaling.change is not None:
        numbers = scaled[:, :1] + description.scaling.change * numbers
    offset, scale = columns(description.scaling.outputs)
    return Samples(inputs, dt, (offset + scale * numbers).astype(np.float32))
