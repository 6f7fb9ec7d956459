"""A fitted forecaster as one file: numbers as safetensors, the rest as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.files import atomic_write, check_path, read_file
from torchliquid.forecast._fitting import Chosen, Row
from torchliquid.forecast._history import History, Seasons
from torchliquid.forecast._intervals import Intervals
from torchliquid.forecast._ridge_plus import Inputs, from_arrays, to_arrays
from torchliquid.forecast.forecaster import Forecaster
from torchliquid.tables import Grid

FILE = "forecaster.safetensors"
VERSION = 1
LONGEST = 2**31
"""Bytes that a stored forecaster may have."""
_PLAIN = (
    "_target", "_time", "_series", "_reading", "_words", "_usual", "_range", "coverage", "sentence",
    "notes", "_since_solved", "_most_missing",
)  # fmt: skip
_TUPLES = ("_past", "_known", "_names", "_known_names", "_usual", "_range")


def save_forecaster(forecaster: Forecaster, folder: str | Path) -> Path:
    """Write a fitted forecaster to a folder, made if missing, and return the file.

    The file is written whole or not at all.

    Raises:
        TorchliquidError: it is not fitted, or the folder cannot be written.
    """
    from safetensors.numpy import save

    facts, arrays = _state(forecaster)
    path = check_path(folder)
    header = {"torchliquid": json.dumps(facts)}
    content = save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, header)
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
        if facts["version"] != VERSION:
            raise TorchliquidError(
                f"{path} is of version {facts['version']}: expected {VERSION}; fit it anew, or use "
                "the version of torchliquid that wrote it"
            )
        return _rebuilt(facts, arrays)
    except FileNotFoundError as error:
        raise TorchliquidError(f"{path} is missing: {folder} holds no forecaster") from error
    except OSError as error:
        raise TorchliquidError(f"cannot read {path} ({error.strerror or error})") from error
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, TorchliquidError):
            raise
        raise TorchliquidError(f"{path} is damaged, or no forecaster: save it again") from error


def _state(forecaster: Forecaster) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that a forecaster knows: JSON types, and arrays by name."""
    forecaster._check_fitted()
    ridge, inputs = forecaster._chosen.ridge, forecaster._inputs
    facts: dict[str, Any] = {name: getattr(forecaster, name) for name in (*_PLAIN, *_TUPLES)}
    # keys of JSON are text
    facts["coverage"] = list(forecaster.coverage.values())
    facts |= {
        "version": VERSION,
        "arguments": {
            "horizon": forecaster.horizon,
            "model": forecaster.model,
            "intervals": forecaster.levels,
            "bounds": forecaster.bounds,
        },
        "grid": forecaster._grid.to_json(),
        "seasons": [inputs.seasons.naive, inputs.seasons.lags, inputs.seasons.most_lags,
                    inputs.seasons.harmonics],
        "inputs": [inputs.horizon, inputs.lags, inputs.level, inputs.past, inputs.known],
        "period": forecaster._chosen.period,
        "streamed": forecaster._chosen.streamed,
        "has_ridge": ridge is not None,
        "rows": [tuple(row) for row in forecaster._rows],
        "scales": [[label, *scale] for label, scale in forecaster._scales.items()],
        "series": [[label, history.first] for label, history in forecaster._histories.items()],
    }  # fmt: skip
    arrays = {f"ridge.{k}": v for k, v in to_arrays(ridge).items()} if ridge is not None else {}
    for name in ("_past_scale", "_known_scale"):
        arrays[f"{name}.mean"], arrays[f"{name}.scale"] = getattr(forecaster, name)
    for k, (label, history) in enumerate(forecaster._histories.items()):
        intervals = forecaster._intervals[label]
        for name in ("y", "held", "past", "known", "profile"):
            arrays[f"{k}.{name}"] = getattr(history, name)
        for name in ("scores", "misses", "given", "ordered"):
            arrays[f"{k}.{name}"] = getattr(intervals, name)
        arrays[f"{k}.fresh"] = np.array([intervals.fresh])
        arrays[f"{k}.pending"] = forecaster._pending[label]
    return facts, arrays


def _rebuilt(facts: dict[str, Any], arrays: dict[str, Any]) -> Forecaster:
    arguments = facts["arguments"]
    bounds = tuple(arguments.pop("bounds"))
    found = Forecaster(**arguments, bounds=bounds if any(b is not None for b in bounds) else None)
    for name in _PLAIN:
        setattr(found, name, facts[name])
    for name in _TUPLES:
        setattr(found, name, tuple(facts[name]))
    found.coverage = dict(zip(found.levels, facts["coverage"], strict=True))
    found._reading = {
        k: tuple(v) if isinstance(v, list) else v for k, v in facts["_reading"].items()
    }
    found._grid = Grid.from_json(facts["grid"])
    naive, lags, most, harmonics = facts["seasons"]
    seasons = Seasons(tuple(naive), lags, most, tuple((name, k) for name, k in harmonics))
    horizon, lags, level, past, known = facts["inputs"]
    found._inputs = Inputs(horizon, seasons, lags, level, past, known)
    ridge = None
    if facts["has_ridge"]:
        numbers = {k.removeprefix("ridge."): v for k, v in arrays.items() if k[:6] == "ridge."}
        ridge = from_arrays(found._inputs, numbers)
    found._chosen = Chosen(ridge, facts["period"], facts["streamed"])
    found._rows = [Row(*row) for row in facts["rows"]]
    found._scales = {label: (mean, scale) for label, mean, scale in facts["scales"]}
    found._past_scale, found._known_scale = (
        (arrays[f"{name}.mean"], arrays[f"{name}.scale"])
        for name in ("_past_scale", "_known_scale")
    )
    found._histories, found._intervals, found._pending = {}, {}, {}
    levels = np.asarray(found.levels)
    for k, (label, first) in enumerate(facts["series"]):
        parts = {name: arrays[f"{k}.{name}"] for name in ("y", "held", "past", "known", "profile")}
        found._histories[label] = History(label, first, **parts)
        intervals = Intervals(
            levels, arrays[f"{k}.scores"], arrays[f"{k}.misses"], arrays[f"{k}.given"],
            int(arrays[f"{k}.fresh"][0]),
        )  # fmt: skip
        intervals.ordered = arrays[f"{k}.ordered"]
        found._intervals[label] = intervals
        found._pending[label] = arrays[f"{k}.pending"]
    found._fitted = True
    return found
