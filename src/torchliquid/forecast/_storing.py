"""A fitted forecaster as one file: numbers as safetensors, the rest as JSON in its header."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchliquid.errors import TorchliquidError
from torchliquid.files import atomic_write, check_path, exists, read_file
from torchliquid.forecast._contract import Columns, Contract
from torchliquid.forecast._fitting import Row
from torchliquid.forecast._history import History, Seasons
from torchliquid.forecast._intervals import Intervals
from torchliquid.forecast._models import Carried, Chosen, Filter, Model, Regression, Simple
from torchliquid.forecast._network import Network, NetworkState
from torchliquid.forecast._ridge_plus import Inputs, from_arrays, to_arrays
from torchliquid.forecast._state import State
from torchliquid.forecast._structural import Structural
from torchliquid.forecast.forecaster import Forecaster
from torchliquid.functional._oscillator_filter import Belief
from torchliquid.nn import LTC
from torchliquid.tables import Grid

FILE = "forecaster.safetensors"
VERSION = 2
LONGEST = 2**31
"""Bytes that a stored forecaster may have."""
_HISTORY = ("y", "held", "past", "known", "states", "memory")
_FILTER = ("frequency", "decay", "spread", "weights")
_BELIEF, _PARTS = ("state", "covariance"), ("real", "imag")
_INTERVALS = ("scores", "misses", "given", "ordered")
Arrays = dict[str, Any]


def save_forecaster(forecaster: Forecaster, folder: str | Path) -> Path:
    """Write a fitted forecaster to a folder, made if missing, and return the file.

    The file is written whole or not at all.

    Raises:
        TorchliquidError: it is not fitted, or the folder cannot be written.
    """
    content = to_bytes(forecaster)
    path = check_path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        atomic_write(path / FILE, content)
    except OSError as error:
        raise TorchliquidError(
            f"cannot save to {path} ({error.strerror or error}): give a folder that can be written "
            "to, with room in it"
        ) from error
    return path / FILE


def to_bytes(forecaster: Forecaster) -> bytes:
    """Return a fitted forecaster as the content of its file."""
    from safetensors.numpy import save

    contract, state = forecaster._ready()
    arrays: Arrays = {}
    facts = {
        "version": VERSION,
        "arguments": {
            "horizon": forecaster.horizon,
            "model": forecaster.model,
            "intervals": forecaster.levels,
            "bounds": forecaster.bounds,
            "seed": forecaster.seed,
        },
        "contract": _contract_to(contract, arrays),
        "state": _state_to(state, arrays),
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(save(contiguous, {"torchliquid": json.dumps(facts)}))


def is_forecaster(folder: str | Path) -> bool:
    """Return whether a folder holds what `Forecaster.save` wrote, by its name."""
    return exists(check_path(folder) / FILE)


def load_forecaster(folder: str | Path) -> Forecaster:
    """Read what `Forecaster.save` wrote.

    Args:
        folder: the folder.

    Raises:
        TorchliquidError: there is no forecaster in it, or one that is damaged or of another
            version.
    """
    path = check_path(folder) / FILE
    try:
        return from_bytes(read_file(path, LONGEST), str(path))
    except FileNotFoundError as error:
        raise TorchliquidError(f"{path} is missing: {folder} holds no forecaster") from error
    except OSError as error:
        raise TorchliquidError(f"cannot read {path} ({error.strerror or error})") from error


def from_bytes(content: bytes, what: str) -> Forecaster:
    """Return the forecaster that `to_bytes` made into the content of a file.

    Raises:
        TorchliquidError: the content of ``what`` is none, or of another version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])["__metadata__"]["torchliquid"]
        facts, arrays = json.loads(header), load(content)
        if facts["version"] == VERSION:
            return _rebuilt(facts, arrays)
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise TorchliquidError(f"{what} is damaged, or no forecaster: save it again") from error
    raise TorchliquidError(
        f"{what} is of version {facts['version']}: expected {VERSION}; fit it anew, or use the "
        "version of torchliquid that wrote it"
    )


def _rebuilt(facts: dict[str, Any], arrays: Arrays) -> Forecaster:
    arguments = facts["arguments"]
    bounds = tuple(arguments.pop("bounds"))
    found = Forecaster(**arguments, bounds=bounds)
    found._contract = _contract_of(facts["contract"], arrays)
    found._state = _state_of(facts["state"], arrays, found.levels)
    return found


def _contract_to(contract: Contract, arrays: Arrays) -> dict[str, Any]:
    for name in ("past", "known"):
        arrays[f"{name}.mean"], arrays[f"{name}.scale"] = getattr(contract, name)
    plain = ("reading", "names", "ahead", "words", "usual", "limits")
    return {name: getattr(contract, name) for name in plain} | {
        "columns": asdict(contract.columns),
        "shown": asdict(contract.shown),
        "grid": contract.grid.to_json(),
        "moments": [[label, *pair] for label, pair in contract.moments.items()],
    }


def _contract_of(facts: dict[str, Any], arrays: Arrays) -> Contract:
    def columns(given: dict[str, Any]) -> Columns:
        lists = {name: tuple(given[name]) for name in ("past", "known")}
        return Columns(**given | lists)

    reading = {k: tuple(v) if isinstance(v, list) else v for k, v in facts["reading"].items()}
    return Contract(
        columns=columns(facts["columns"]),
        reading=reading,
        shown=columns(facts["shown"]),
        names=tuple(facts["names"]),
        ahead=tuple(facts["ahead"]),
        words=facts["words"],
        grid=Grid.from_json(facts["grid"]),
        moments={label: (mean, scale) for label, mean, scale in facts["moments"]},
        usual=tuple(facts["usual"]),
        limits=tuple(facts["limits"]),
        past=(arrays["past.mean"], arrays["past.scale"]),
        known=(arrays["known.mean"], arrays["known.scale"]),
    )


def _state_to(state: State, arrays: Arrays) -> dict[str, Any]:
    inputs = state.inputs
    for k, (label, history) in enumerate(state.histories.items()):
        intervals = state.intervals[label]
        arrays |= {f"{k}.{name}": getattr(history, name) for name in _HISTORY}
        arrays |= {f"{k}.{name}": getattr(intervals, name) for name in _INTERVALS}
        arrays[f"{k}.fresh"] = np.array([intervals.fresh])
        arrays[f"{k}.pending"] = state.pending[label]
        _carried_to(state.carried[label], f"{k}.", arrays)
    plain = ("coverage", "sentence", "notes", "since_solved", "most_missing")
    return {name: getattr(state, name) for name in plain} | {
        "inputs": asdict(inputs),
        "chosen": _chosen_to(state.chosen, arrays),
        "rows": [tuple(row) for row in state.rows],
        "series": [[label, one.first] for label, one in state.histories.items()],
    }


def _state_of(facts: dict[str, Any], arrays: Arrays, levels: tuple[float, ...]) -> State:
    inputs = _inputs_of(facts["inputs"])
    state = State(
        _chosen_of(facts["chosen"], inputs, arrays),
        inputs,
        [Row(*row) for row in facts["rows"]],
        tuple(facts["coverage"]),
        facts["sentence"],
        facts["notes"],
        {},
        {},
        {},
        {},
        facts["since_solved"],
        facts["most_missing"],
    )
    for k, (label, first) in enumerate(facts["series"]):
        parts = {name: arrays[f"{k}.{name}"] for name in _HISTORY}
        state.histories[label] = History(label, first, **parts)
        scores, misses, given_widths, ordered = (arrays[f"{k}.{name}"] for name in _INTERVALS)
        fresh = int(arrays[f"{k}.fresh"][0])
        intervals = Intervals(np.asarray(levels), scores, misses, given_widths, fresh)
        intervals.ordered = ordered
        state.intervals[label] = intervals
        state.pending[label] = arrays[f"{k}.pending"]
        state.carried[label] = _carried_of(f"{k}.", arrays)
    return state


def _carried_to(carried: Carried, start: str, arrays: Arrays) -> None:
    if carried.belief is not None:
        for name, t in zip(_BELIEF, carried.belief, strict=True):
            arrays |= {f"{start}{name}.{part}": getattr(t, part).numpy() for part in _PARTS}
    if carried.network is not None:
        layer, *rest = carried.network
        arrays |= {f"{start}layer": layer.numpy(), f"{start}running": np.array(rest)}


def _carried_of(start: str, arrays: Arrays) -> Carried:
    belief, network = None, None
    if f"{start}state.real" in arrays:
        tensors = [[torch.from_numpy(arrays[f"{start}{name}.{part}"]) for part in _PARTS]
                   for name in _BELIEF]  # fmt: skip
        belief = Belief(*(torch.complex(*pair) for pair in tensors))
    if f"{start}layer" in arrays:
        layer = torch.from_numpy(arrays[f"{start}layer"])
        network = NetworkState(layer, *arrays[f"{start}running"].tolist())
    return Carried(belief, network)


def _chosen_to(chosen: Chosen, arrays: Arrays) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = []
    for k, model in enumerate(chosen.models):
        if isinstance(model, Simple):
            kinds.append({"kind": "simple", "period": model.period})
        elif isinstance(model, Filter):
            kinds.append({"kind": "filter"})
        elif isinstance(model, Regression):
            ridge = model.ridge
            facts = {"streamed": model.streamed, "beside": model.beside}
            kinds.append({"kind": "ridge", "inputs": asdict(ridge.inputs)} | facts)
            arrays |= {f"ridge{k}.{name}": array for name, array in to_arrays(ridge).items()}
    found, network = chosen.filter, chosen.network
    facts = {"models": kinds, "fills": chosen.fills, "noise": None, "network": None}
    if found is not None:
        arrays |= {f"filter.{name}": getattr(found, name) for name in _FILTER}
        facts["noise"] = found.noise
    if network is not None:
        layer = network.layer
        arrays |= {f"network.{k}": v.numpy() for k, v in layer.state_dict().items()}
        facts["network"] = {
            "sizes": [layer.input_size, layer.hidden_size],
            "change": network.change,
            "memory": network.memory,
        }
    return facts


def _chosen_of(facts: dict[str, Any], inputs: Inputs, arrays: Arrays) -> Chosen:
    chosen = Chosen([], fills=facts["fills"])
    if facts["noise"] is not None:
        chosen.filter = Structural(**_numbers("filter.", arrays), noise=facts["noise"])
    if facts["network"] is not None:
        given = facts["network"]
        sees, neurons = given["sizes"]
        layer = LTC(sees, neurons, batch_first=True)
        weights = _numbers("network.", arrays)
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        chosen.network = Network(layer, given["change"], given["memory"], inputs.seasons)
    models: list[Model] = []
    for k, model in enumerate(facts["models"]):
        if model["kind"] == "simple":
            models.append(Simple(inputs, model["period"]))
        elif model["kind"] == "ridge":
            ridge = from_arrays(_inputs_of(model["inputs"]), _numbers(f"ridge{k}.", arrays))
            models.append(Regression(ridge, model["streamed"], model["beside"]))
        elif chosen.filter is not None:
            models.append(Filter(chosen.filter, inputs.horizon))
    chosen.models = models
    return chosen


def _numbers(start: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin so, by the rest of their names."""
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def _inputs_of(given: dict[str, Any]) -> Inputs:
    seasons = dict(given["seasons"])
    naive, harmonics = tuple(seasons.pop("naive")), seasons.pop("harmonics")
    known = Seasons(naive, **seasons, harmonics=tuple((name, k) for name, k in harmonics))
    return Inputs(**given | {"seasons": known})
