"""Models on disk: weights as safetensors, shape and options as JSON. Never pickle."""

import json
import textwrap
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchliquid.errors import TorchliquidError
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.ltc import LTC
from torchliquid.nn.model import Recurrent, SequenceModel

_LAYERS: dict[str, type[Recurrent]] = {"LTC": LTC, "LSTM": nn.LSTM, "GRU": nn.GRU}
_TORCH_OPTIONS = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)
_CONFIG = "config.json"
_WEIGHTS = "weights.safetensors"


def save(model: SequenceModel | Recurrent, folder: str | Path) -> None:
    """Write a model, or a layer alone, to a folder: ``config.json`` and ``weights.safetensors``.

    Args:
        model: a `SequenceModel`, a liquid layer, `nn.LSTM` or `nn.GRU`.
        folder: made if missing; files of an earlier `save` there are replaced.

    >>> import tempfile
    >>> from torchliquid import LTC, SequenceModel, load
    >>> folder = tempfile.mkdtemp()
    >>> save(SequenceModel(LTC(1, 8), 1), folder)
    >>> type(load(folder)).__name__
    'SequenceModel'
    """
    from safetensors.torch import save_file

    layer = model.layer if isinstance(model, SequenceModel) else model
    config: dict[str, Any] = {
        "format": "torchliquid",
        "version": 1,
        "layer": _layer_type(layer),
        "options": _options(layer),
        "dtype": str(next(layer.parameters()).dtype).removeprefix("torch."),
    }
    if isinstance(model, SequenceModel):
        config["output_size"] = model.readout.out_features
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TorchliquidError(
            f"cannot save to {path} ({error.strerror}): give a folder that can be written to"
        ) from error
    weights = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    save_file(weights, path / _WEIGHTS)
    (path / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load(folder: str | Path) -> Any:
    """Read what `save` wrote: a `SequenceModel`, or the layer alone if that was saved.

    Args:
        folder: the folder given to `save`.

    Raises:
        TorchliquidError: a file is missing, damaged, or from a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder)
    try:
        config = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
        weights = load_file(path / _WEIGHTS)
    except FileNotFoundError as error:
        raise TorchliquidError(
            f"{error.filename or path / _WEIGHTS} is missing: {path} holds no whole saved model"
        ) from error
    except (ValueError, SafetensorError, OSError) as error:
        raise TorchliquidError(
            f"the model in {path} is damaged ({error}): save it again"
        ) from error
    try:
        return _rebuild(config, weights)
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...")
        raise TorchliquidError(
            f"{path / _CONFIG} does not describe a model of this version of torchliquid, or not "
            f"the weights beside it ({reason}): save it again"
        ) from error


def _rebuild(config: dict[str, Any], weights: dict[str, torch.Tensor]) -> nn.Module:
    if (config["format"], config["version"]) != ("torchliquid", 1):
        raise TorchliquidError(f"format {config['format']!r} version {config['version']}")
    layer = _LAYERS[config["layer"]](**config["options"])
    model: nn.Module = layer
    if "output_size" in config:
        model = SequenceModel(layer, config["output_size"])
    model.to(getattr(torch, config["dtype"]))
    model.load_state_dict(weights)
    return model


def _layer_type(layer: nn.Module) -> str:
    for name, kind in _LAYERS.items():
        if type(layer) is kind:
            return name
    raise TorchliquidError(
        f"cannot save a {type(layer).__name__}: expected a SequenceModel over, or one of, "
        + ", ".join(_LAYERS)
    )


def _options(layer: Recurrent) -> dict[str, Any]:
    if isinstance(layer, LiquidLayer):
        return layer.config()
    options = {name: getattr(layer, name) for name in _TORCH_OPTIONS}
    if isinstance(layer, nn.LSTM):
        options["proj_size"] = layer.proj_size
    return options
