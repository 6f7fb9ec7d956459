"""Models on disk: weights as safetensors, shape and options as JSON. Never pickle.

    FOLDER/config.json                     layer, options, and which file holds the weights
    FOLDER/weights-HASH.safetensors        named after the hash of its content

The configuration is written last, in one rename: until then an earlier save in the folder is whole,
from then on this one is.
"""

import contextlib
import hashlib
import json
import re
import textwrap
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from torchliquid._checks import check_flag, check_size
from torchliquid.errors import TorchliquidError
from torchliquid.files import PART, atomic_write, check_path, exists, read_file
from torchliquid.messages import short_repr
from torchliquid.nn._registry import CELLS
from torchliquid.nn._weights import weights_of
from torchliquid.nn.io.scaling import Scaling
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.model import Recurrent, SequenceModel

_KEYS = {"format", "version", "layer", "options", "frozen", "weights", "sha256"}
_MODEL_KEYS = {"output_size", "readout_bias"}
_VERSION = 3
_CONFIG = "config.json"
_LONGEST_CONFIG = 2**20
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def save(model: SequenceModel | Recurrent, folder: str | Path) -> None:
    """Write a model, or a layer alone, to a folder: ``config.json`` and a file of weights.

    The folder holds either all of it or what it held before, whenever the process dies. Weights
    that are computed (pruned, parametrised) are saved as they are now, with a warning: `load` gives
    back a plain model of the same outputs.

    Args:
        model: a `SequenceModel`, a liquid layer, `nn.LSTM` or `nn.GRU`.
        folder: made if missing; an earlier `save` there is replaced.

    Raises:
        TorchliquidError: `load` could not give the model back (a subclass, buffers, tied weights),
            or the folder cannot be written.

    >>> import tempfile
    >>> from torchliquid import LTC, SequenceModel, load
    >>> folder = tempfile.mkdtemp()
    >>> save(SequenceModel(LTC(1, 8), 1), folder)
    >>> type(load(folder)).__name__
    'SequenceModel'
    """
    from safetensors.torch import save as to_bytes

    path, layer_type = check_path(folder), layer_name(model)
    layer = model.layer if isinstance(model, SequenceModel) else model
    weights = weights_of(model)
    plain = dict(model.named_parameters())
    computed = sorted(set(weights) - set(plain))
    if computed:
        warnings.warn(
            f"{', '.join(computed)} of the model are computed (by pruning, a parametrisation or "
            "the like): they are saved as they are now, not how they are computed",
            stacklevel=2,
        )
    content = to_bytes({n: w.detach().cpu().resolve_neg().contiguous() for n, w in weights.items()})
    digest = hashlib.sha256(content).hexdigest()
    config: dict[str, Any] = {
        "format": "torchliquid",
        "version": _VERSION,
        "layer": layer_type,
        "options": _options(layer),
        "frozen": [name for name in weights if name in plain and not plain[name].requires_grad],
        "weights": f"weights-{digest[:16]}.safetensors",
        "sha256": digest,
    }
    if isinstance(model, SequenceModel):
        config["output_size"] = model.readout.out_features
        config["readout_bias"] = model.readout.bias is not None
        if model.scaling is not None:
            model.scaling.check(layer.input_size, model.readout.out_features)
            config["scaling"] = model.scaling.to_json()
    fresh = not exists(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _check_ours(path)
        atomic_write(path / config["weights"], content)
        atomic_write(path / _CONFIG, (json.dumps(config, indent=2) + "\n").encode())
        _sweep(path, config["weights"])
    except OSError as error:
        if fresh:
            with contextlib.suppress(OSError):
                path.rmdir()  # nothing is in it
        reason = error.strerror or error
        raise TorchliquidError(
            f"cannot save to {path} ({reason}): give a folder that can be written to, with "
            "room in it"
        ) from error


def load(folder: str | Path) -> Any:
    """Read what `save` wrote: a `SequenceModel`, or the layer alone if that was saved.

    Nothing is allocated before the header of the weights has agreed with the configuration. The
    model is on the CPU, each weight in the dtype it was saved in.

    Args:
        folder: the folder given to `save`.

    Raises:
        TorchliquidError: a file is missing, damaged, or from another version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    path = check_path(folder)
    try:
        config = _upgraded(json.loads(read_file(path / _CONFIG, _LONGEST_CONFIG)))
        weights = path / _check_config(config)
        content = read_file(weights)
        model = _rebuild(config, _header(content))
        if hashlib.sha256(content).hexdigest() != config["sha256"]:
            raise SafetensorError("its checksum does not fit")
        model.load_state_dict(from_bytes(content), assign=True)
        for name in config["frozen"]:
            model.get_parameter(name).requires_grad_(False)
    except FileNotFoundError as error:
        raise TorchliquidError(
            f"{error.filename} is missing: {path} holds no saved model"
        ) from error
    except _ConfigError as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...")
        raise TorchliquidError(
            f"{path / _CONFIG} does not describe a model of this version of torchliquid, or not "
            f"the weights beside it ({reason}): save it again"
        ) from error
    except (ValueError, SafetensorError, OSError, RecursionError, RuntimeError, KeyError) as error:
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise TorchliquidError(
            f"the model in {path} is damaged ({reason}): save it again"
        ) from error
    return model


class _ConfigError(Exception):
    """The configuration does not describe a model, or not these weights."""


def layer_name(model: Any, verb: str = "save") -> str:
    """The layer's name in the configuration, where `load` can give the model back."""
    whole = isinstance(model, SequenceModel)
    layer = model.layer if whole else model
    kind = type(layer)
    if isinstance(layer, nn.Module) and parametrize.is_parametrized(layer):
        kind = parametrize.type_before_parametrizations(layer)
    name = next((name for name, cell in CELLS.items() if kind is cell.layer), None)
    if name is None or (whole and type(model) is not SequenceModel):
        odd = model if name is not None else layer
        raise TorchliquidError(
            f"cannot {verb} a {type(odd).__name__}: expected a SequenceModel over, or one of, "
            + ", ".join(CELLS)
        )
    if whole and not isinstance(model.readout, nn.Linear):
        raise TorchliquidError(
            f"cannot {verb} a readout that is a {type(model.readout).__name__}: expected nn.Linear"
        )
    if isinstance(layer, LiquidLayer) and layer.is_ablated:
        raise TorchliquidError(
            f"cannot {verb} a layer with ablated neurons: leave the `with` first"
        )
    buffers = [name for name, _ in model.named_buffers() if not name.endswith("_mask")]
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tied = len({id(p) for p in parameters.values()}) < len(parameters)
    if buffers or tied:
        what = f"the buffer {buffers[0]}" if buffers else "weights that are tied to each other"
        raise TorchliquidError(
            f"cannot {verb} {what}: load could not give it back; remove it first"
        )
    if any("forward" in vars(module) for module in model.modules()):
        raise TorchliquidError(
            f"cannot {verb} a forward that was set on an instance: remove it first"
        )
    return name


def _options(layer: Recurrent) -> dict[str, Any]:
    if isinstance(layer, LiquidLayer):
        return layer.config()
    cell = next(cell for cell in CELLS.values() if isinstance(layer, cell.layer))
    return {name: kind(getattr(layer, name)) for name, kind in cell.options.items()}


def _check_ours(path: Path) -> None:
    """Never replace a config.json of another program."""
    try:
        held = json.loads(read_file(path / _CONFIG, _LONGEST_CONFIG))
    except (FileNotFoundError, ValueError, RecursionError):
        return
    if not isinstance(held, dict) or held.get("format") != "torchliquid":
        raise TorchliquidError(
            f"{path / _CONFIG} was not written by torchliquid: give another folder, or move it"
        )


def _sweep(path: Path, weights: str) -> None:
    """Drop the weights of earlier saves, and what writes that were killed left behind."""
    for old in (*path.glob("weights-*.safetensors"), *path.glob(".*.part")):
        ours = re.fullmatch(
            rf"\.?(weights-[0-9a-f]{{16}}\.safetensors|config\.json)({PART})?", old.name
        )
        if ours and old.name != weights:
            with contextlib.suppress(OSError):
                old.unlink()


def _upgraded(config: Any) -> Any:
    """A configuration of version 2 as one of this version: then liquid layers were single."""
    if isinstance(config, dict) and config.get("version") == 2 and "options" in config:
        layer, options = config.get("layer"), config["options"]
        if isinstance(layer, str) and layer in CELLS and isinstance(options, dict):
            single = {"num_layers": 1, "dropout": 0.0, "bidirectional": False, "proj_size": 0}
            known = {name: value for name, value in single.items() if name in CELLS[layer].options}
            return {**config, "version": _VERSION, "options": {**known, **options}}
    return config


def _check_config(config: Any) -> str:
    """The name of the weights' file, where the configuration has its form."""
    if not isinstance(config, dict):
        raise _ConfigError(f"it is a {type(config).__name__}, not an object")
    if (config.get("format"), config.get("version")) != ("torchliquid", _VERSION):
        version = (
            f"format {short_repr(config.get('format'))} version {short_repr(config.get('version'))}"
        )
        raise _ConfigError(f"{version}; this is version {_VERSION}")
    keys = _KEYS | (_MODEL_KEYS if _MODEL_KEYS & set(config) else set())
    keys |= {"scaling"} & set(config) if keys != _KEYS else set()
    _check_keys(config, keys, "it")
    layer, options = config["layer"], config["options"]
    if not isinstance(layer, str) or layer not in CELLS:
        raise _ConfigError(f"layer is {short_repr(layer)}: expected one of {', '.join(CELLS)}")
    if not isinstance(options, dict):
        raise _ConfigError(f"options is {short_repr(options)}, not an object")
    _check_keys(options, set(CELLS[layer].options), "options")
    for name, kind in CELLS[layer].options.items():
        accepted = (int, float) if kind is float else kind
        value = options[name]
        if hasattr(kind, "from_json"):
            continue  # checked where it is made
        if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
            wanted = getattr(kind, "__name__", str(kind))
            raise _ConfigError(f"{name} is {short_repr(value)}, not a {wanted}")
    frozen, name = config["frozen"], config["weights"]
    if not isinstance(frozen, list) or not all(isinstance(n, str) for n in frozen):
        raise _ConfigError(f"frozen is {short_repr(frozen)}, not a list of names")
    if not isinstance(name, str) or not re.fullmatch(r"weights-[0-9a-f]{16}\.safetensors", name):
        raise _ConfigError(f"weights is {short_repr(name)}, not the name of a file of save's")
    return name


def _check_keys(keys: dict[str, Any], expected: set[str], where: str) -> None:
    missing, unknown = sorted(expected - set(keys)), sorted(set(keys) - expected)
    if missing:
        raise _ConfigError(f"{where} has no key {missing[0]!r}")
    if unknown:
        raise _ConfigError(f"{where} has an unknown key {short_repr(unknown[0])}")


Header = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def _header(content: bytes) -> Header:
    """Type and shape of each tensor, from the first bytes of a safetensors file alone."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError("the weights are cut off")
    header = json.loads(content[8 : 8 + length])
    shapes: Header = {}
    for name, facts in header.items():
        if name != "__metadata__":
            if facts["dtype"] not in _DTYPES:
                raise _ConfigError(
                    f"{short_repr(name)} is {short_repr(facts['dtype'])}, not real numbers"
                )
            shapes[name] = _DTYPES[facts["dtype"]], tuple(facts["shape"])
    return shapes


def _rebuild(config: dict[str, Any], header: Header) -> nn.Module:
    """The model without memory for its weights, where it agrees with the header."""
    options = config["options"]
    # before a layer is made: torch makes a parameter object for each layer
    if options.get("num_layers", 1) > max(1, len(header)):
        raise _ConfigError(
            f"num_layers is {short_repr(options['num_layers'])}: too many for the weights"
        )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a dropout that does nothing
            for name in ("input_size", "hidden_size"):
                if name in options:
                    check_size(name, options[name])
            kinds = CELLS[config["layer"]].options
            made = {
                n: kinds[n].from_json(v) if hasattr(kinds[n], "from_json") else v
                for n, v in options.items()
            }
            layer = CELLS[config["layer"]].layer(**made)
            model: nn.Module = layer
            if "output_size" in config:
                model = SequenceModel(layer, config["output_size"])
                if not check_flag("readout_bias", config["readout_bias"]):
                    model.readout.register_parameter("bias", None)
                if "scaling" in config:
                    model.scaling = Scaling.from_json(config["scaling"])
                    model.scaling.check(layer.input_size, model.readout.out_features)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise _ConfigError(str(error)) from error
    expected: dict[str, Tensor] = model.state_dict()
    for name in expected.keys() ^ header.keys():
        raise _ConfigError(
            f"{'missing' if name in expected else 'unknown'} weight {short_repr(name)}"
        )
    for name, weight in expected.items():
        if header[name][1] != weight.shape:
            raise _ConfigError(
                f"{name} has shape {header[name][1]}, not {tuple(weight.shape)}: size mismatch"
            )
    for name in config["frozen"]:
        if name not in expected:
            raise _ConfigError(f"frozen names {short_repr(name)}, which is no weight")
    return model
