"""A fitted forecaster as one file: numbers as safetensors, the rest as JSON in its header."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.files import atomic_write, check_path, read_file
from torchliquid.forecast._contract import Columns, Contract
from torchliquid.forecast._fitting import Row
from torchliquid.forecast._history import History, Seasons
from torchliquid.forecast._intervals import Intervals
from torchliquid.forecast._models import Chosen, Filter, Model, Regression, Simple
from torchliquid.forecast._ridge_plus import Inputs, from_arrays, to_arrays
from torchliquid.forecast._structural import Structural
from torchliquid.forecast.forecaster import Forecaster, State
from torchliquid.functional._oscillator_filter import Belief
from torchliquid.tables import Grid

FILE = "forecaster.safetensors"
VERSION = 2
LONGEST = 2**31
"""Bytes that a stored forecaster may have."""
_HISTORY = ("y", "held", "past", "known", "states")
_FILTER = ("frequency", "decay", "spread", "weights")
_BELIEF = ("state", "covariance")
_INTERVALS = ("scores", "misses", "given", "ordered")
Arrays = dict[str, Any]


def save_forecaster(forecaster: Forecaster, folder: str | Path) -> Path:
    """Write a fitted forecaster to a folder, made if missing, and return the file.

    The file is written whole or not at all.

    Raises:
        TorchliquidError: it is not fitted, or the folder cannot be written.
    """
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
        },
        "contract": _contract_to(contract, arrays),
        "state": _state_to(state, arrays),
    }
    path = check_path(folder)
    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        {"torchliquid": json.dumps(facts)},
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
        atomic_write(path / FILE, content)
    except OSError as error:
        raise TorchliquidError(
            f"cannot save to {path} ({error.strerror or error}): give a folder that can be written "
            "to, with room in it"
        ) from error
    return path / FILE


def load_forecaster(folder: str | Path) -> Forecaster:
    """Read what `Forecaster.save` wrote.

    Args:
        folder: the folder.

    Raises:
        TorchliquidError: there is no forecaster in it, or one that is damaged or of another
            version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = check_path(folder) / FILE
    try:
        content = read_file(path, LONGEST)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])["__metadata__"]["torchliquid"]
        facts, arrays = json.loads(header), load(content)
        if facts["version"] == VERSION:
            return _rebuilt(facts, arrays)
    except FileNotFoundError as error:
        raise TorchliquidError(f"{path} is missing: {folder} holds no forecaster") from error
    except OSError as error:
        raise TorchliquidError(f"cannot read {path} ({error.strerror or error})") from error
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise TorchliquidError(f"{path} is damaged, or no forecaster: save it again") from error
    raise TorchliquidError(
        f"{path} is of version {facts['version']}: expected {VERSION}; fit it anew, or use the "
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
        belief = state.beliefs[label]
        if belief is not None:
            for name, t in zip(_BELIEF, belief, strict=True):
                arrays[f"{k}.{name}.real"] = t.real.numpy()
                arrays[f"{k}.{name}.imag"] = t.imag.numpy()
    plain = ("coverage", "sentence", "notes", "since_solved", "most_missing")
    return {name: getattr(state, name) for name in plain} | {
        "inputs": asdict(inputs),
        "chosen": _chosen_to(state.chosen, arrays),
        "rows": [tuple(row) for row in state.rows],
        "series": [[label, one.first] for label, one in state.histories.items()],
    }


def _state_of(facts: dict[str, Any], arrays: Arrays, levels: tuple[float, ...]) -> State:
    given = facts["inputs"]
    seasons = given.pop("seasons")
    naive, harmonics = tuple(seasons.pop("naive")), seasons.pop("harmonics")
    known = Seasons(naive, **seasons, harmonics=tuple((name, k) for name, k in harmonics))
    inputs = Inputs(seasons=known, **given)
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
        state.beliefs[label] = None
        if state.chosen.filter is not None:
            state.beliefs[label] = Belief(*(_complex(arrays, f"{k}.{name}") for name in _BELIEF))
    return state


def _complex(arrays: Arrays, name: str) -> Tensor:
    return torch.complex(*(torch.from_numpy(arrays[f"{name}.{part}"]) for part in ("real", "imag")))


def _chosen_to(chosen: Chosen, arrays: Arrays) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = []
    for model in chosen.models:
        if isinstance(model, Simple):
            kinds.append({"kind": "simple", "period": model.period})
        elif isinstance(model, Filter):
            kinds.append({"kind": "filter"})
        elif isinstance(model, Regression):
            kinds.append({"kind": "ridge", "streamed": model.streamed})
            arrays |= {f"ridge.{name}": array for name, array in to_arrays(model.ridge).items()}
    found = chosen.filter
    if found is not None:
        arrays |= {f"filter.{name}": getattr(found, name) for name in _FILTER}
    noise = None if found is None else found.noise
    return {"models": kinds, "fills": chosen.fills, "noise": noise}


def _chosen_of(facts: dict[str, Any], inputs: Inputs, arrays: Arrays) -> Chosen:
    found = None
    if facts["noise"] is not None:
        numbers = {name: arrays[f"filter.{name}"] for name in _FILTER}
        found = Structural(**numbers, noise=facts["noise"])
    models: list[Model] = []
    for model in facts["models"]:
        if model["kind"] == "simple":
            models.append(Simple(inputs, model["period"]))
        elif model["kind"] == "ridge":
            numbers = {k.removeprefix("ridge."): v for k, v in arrays.items() if k[:6] == "ridge."}
            models.append(Regression(from_arrays(inputs, numbers), model["streamed"]))
        elif found is not None:
            models.append(Filter(found, inputs.horizon))
    return Chosen(models, found, facts["fills"])
