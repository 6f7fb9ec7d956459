"""A fitted forecaster as C: a ring of values, a filter's state, a network, and one readout.

Every forecast here is linear in the last values, the calendar, features, a filter's state and a
network's states, so that the mean of several is one such sum. The regression's weights are
factored: as many combinations of the features as it takes to change the error by a thousandth.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from torchliquid.errors import TorchliquidError
from torchliquid.export import describe
from torchliquid.export._markdown_report import report
from torchliquid.export._samples import Samples
from torchliquid.export._text import guard, own_names, render
from torchliquid.export.c._float_writer import float_sources
from torchliquid.export.c.folder import check_name, new_folder, vectors_table, write_files
from torchliquid.files import check_path
from torchliquid.forecast._contract import Contract
from torchliquid.forecast._history import History, Values
from torchliquid.forecast._models import Chosen, Filter, Regression, Simple
from torchliquid.forecast._network import LARGEST_CHANGE, MOST_FEATURES
from torchliquid.forecast._ridge_plus import RidgePlus
from torchliquid.forecast._state import State
from torchliquid.forecast.forecaster import Forecaster
from torchliquid.nn import SequenceModel

ADDED = 1e-3
"""Share of the mean squared error that fewer combinations may add."""
LIMIT, FARTHEST = 1e3, 1e4
"""Deviations: inputs, and forecasts, are cut there."""
ROWS, COMPLETE = 300, 60
"""Of the samples that it is verified on; and of them the first ones, where none is missing."""
TOLERANCE = 1e-4
"""How far C may be from Python, in deviations."""


@dataclass
class _Readout:
    """All that a forecast sums up, of several models.

    Args:
        inner, outer: factors of the regressions' weights, side by side; features are the values
            from the last one back, the calendar, features up to now, and 1.
        bases: how much the value of each season before counts ``(H,)``, by its period.
        ahead: weights of planned features ``(H, K)``.
        memory: weights of a network's states ``(H, M)``.
        states: what the filter's own forecast counts.
    """

    inner: Values
    outer: Values
    bases: dict[int, Values]
    ahead: Values
    memory: Values
    states: float


def export_c(
    forecaster: Forecaster,
    folder: str | Path,
    *,
    name: str = "predictor",
    series: str | None = None,
) -> Path:
    """Write the forecast in use as C; see `Forecaster.export_c`."""
    target = check_path(folder)
    check_name(name)
    contract, state = forecaster._ready()
    history = _series(contract, state, series)
    mean, scale = contract.moments_of(history.label)
    chosen, added = _reduced(state)
    readout = _readout(chosen, state, contract)
    context = _context(forecaster, history, chosen, readout, name)
    samples = _samples(forecaster, history, chosen)
    sources = _sources(context, chosen, readout, name)
    text = json.dumps(context["names"]) + "".join(sources.values())
    digest = hashlib.sha256(text.encode()).hexdigest()
    largest = float(np.abs(samples.outputs).max())
    bound = abs(mean) + scale * FARTHEST
    facts = {
        "schema": 1,
        "name": name,
        "model": context["d"].title,
        "parameters": context["d"].parameters,
        "hash": digest,
        "dt": None,
        "options": {"dtype": "float32", "variable_dt": False, "loops": "rolled"},
        "tolerance": TOLERANCE * scale + 4e-7 * largest,
        "rounding": 0.0,
        "bound": max([bound, *(abs(end) for end in forecaster.bounds if end is not None)]),
        "state": context["bytes"],
        "operations": {"multiplications": context["multiplications"],
                       "sigmoids": readout.memory.shape[1],
                       "divisions": readout.memory.shape[1] + 2},
        "steps": len(samples.inputs),
        "saturated": 0,
        "error": None,
        "counts": None,
        "inputs": context["names"],
        "outputs": [f"{contract.shown.target}, {h + 1} ahead" for h in range(forecaster.horizon)],
        "rank": len(readout.outer),
        "added_error": added,
    }  # fmt: skip
    context |= {"given": samples.inputs, "expected": samples.outputs, "count": 50, "type": "float",
                "variable_dt": False, "tolerance": facts["tolerance"]}  # fmt: skip
    sources[f"test/{name}_selftest.c"] = own_names(render("selftest.c.j2", **context), name)
    sources["CMakeLists.txt"] = render("CMakeLists.txt.j2", **context)
    sources["test/vectors.csv"] = vectors_table(samples)
    sources["report.json"] = json.dumps(facts, indent=2) + "\n"
    sources["report.md"] = report(facts)
    with new_folder(target) as part:
        write_files(part, sources)
    return target


def _series(contract: Contract, state: State, label: str | None) -> History:
    if label is None and len(state.histories) == 1:
        return next(iter(state.histories.values()))
    if label not in state.histories:
        some = ", ".join(list(state.histories)[:3])
        raise TorchliquidError(
            f"series is {label!r}: give one of the {len(state.histories)} that the forecaster has, "
            f"such as {some}: each is scaled by its own mean and deviation"
        )
    return state.histories[label]


# --- weights ------------------------------------------------------------------------------------


def _reduced(state: State) -> tuple[Chosen, float]:
    """The forecast in use with factored weights, and the share of the error that this adds."""
    row = next(row for row in state.rows if row.model == state.chosen.name)
    models, added = [], 0.0
    for model in state.chosen.models:
        if isinstance(model, Regression):
            weights, more = _factored(model.ridge, row.valid**2)
            added = max(added, more)
            model = replace(model, ridge=replace(model.ridge, weights=weights))
        models.append(model)
    return replace(state.chosen, models=models), added


def _factored(ridge: RidgePlus, error: float) -> tuple[Values, float]:
    """Weights of the lowest rank that adds little, and what it adds, as a share of the error.

    The best factors of ``X W`` are those of ``R W`` with ``R'R = X'X``.
    """
    linear = _linear(ridge)
    products = ridge.products
    among = products.among[np.ix_(linear, linear)] / max(products.count, 1.0)
    values, vectors = np.linalg.eigh(among)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    _, sizes, right = np.linalg.svd(root @ ridge.weights[linear], full_matrices=False)
    horizon = ridge.weights.shape[1]
    # what is lost with the first r alone, a horizon
    lost = np.append(np.cumsum(sizes[::-1] ** 2)[::-1], 0.0) / horizon
    rank = int(np.argmax(lost <= ADDED * error))
    if rank * (len(linear) + horizon) >= len(linear) * horizon:
        return ridge.weights, 0.0
    weights = ridge.weights.copy()
    weights[linear] = weights[linear] @ right[:rank].T @ right[:rank]
    return weights, float(lost[rank] / error)


def _linear(ridge: RidgePlus) -> Any:
    """Features that are not a network's states."""
    inputs = ridge.inputs
    first = inputs.width - 1 - inputs.level - inputs.memory
    return np.delete(np.arange(inputs.width), np.arange(first, first + inputs.memory))


def _readout(chosen: Chosen, state: State, contract: Contract) -> _Readout:
    horizon, share = state.inputs.horizon, 1 / len(chosen.models)
    memory = 0 if chosen.network is None else chosen.network.layer.hidden_size
    known, past = len(contract.ahead), len(contract.names) - 1 - len(contract.ahead)
    waves = 2 * sum(terms for _, terms in state.inputs.seasons.harmonics)
    lags = max([1, *(one.ridge.inputs.lags for one in chosen.regressions)])
    found = _Readout(
        np.zeros((lags + waves + past + 1, 0)), np.zeros((0, horizon)), {},
        np.zeros((horizon, known)), np.zeros((horizon, memory)), 0.0,
    )  # fmt: skip
    for model in chosen.models:
        if isinstance(model, Filter):
            found.states += share
            found.ahead += share * model.structural.weights[:-1]
        elif isinstance(model, Simple):
            _count(found.bases, model.period, np.full(horizon, share))
        elif isinstance(model, Regression):
            ridge = model.ridge
            for period in np.unique(ridge.periods):
                _count(found.bases, int(period), share * (ridge.periods == period))
            if known:
                found.ahead += share * ridge.ahead
            scaled = ridge.weights.copy()
            scaled[:-1] /= ridge.scale[:, None]
            inputs = ridge.inputs
            back, calendar, features, states, level, one = np.split(
                share * scaled,
                np.cumsum([inputs.lags - 1, waves, inputs.past, inputs.memory, int(inputs.level)]),
            )
            found.memory[:, : inputs.memory] += states.T
            dense = np.zeros((len(found.inner), horizon))
            dense[0] = level.sum(axis=0) - back.sum(axis=0)
            dense[1 : inputs.lags] = back
            dense[lags:] = np.concatenate([calendar, features, one])
            inner, outer = _split(dense)
            found.inner = np.concatenate([found.inner, inner], axis=1)
            found.outer = np.concatenate([found.outer, outer])
    return found


def _count(bases: dict[int, Values], period: int, share: Values) -> None:
    bases[period] = bases.get(period, np.zeros(len(share))) + share


def _split(weights: Values) -> tuple[Values, Values]:
    """``weights (F, H)`` as two factors, where they are of a lower rank; else as they are."""
    left, sizes, right = np.linalg.svd(weights, full_matrices=False)
    rank = int((sizes > 1e-9 * max(sizes[0], 1e-300)).sum())
    features, horizon = weights.shape
    if rank * (features + horizon) < features * horizon:
        root = np.sqrt(sizes[:rank])
        return left[:, :rank] * root, root[:, None] * right[:rank]
    return weights, np.eye(horizon)


# --- text -----------------------------------------------------------------------------------------


def _context(
    forecaster: Forecaster, history: History, chosen: Chosen, readout: _Readout, name: str
) -> dict[str, Any]:
    """What the templates are filled with."""
    from torchliquid import __version__

    contract, state = forecaster._ready()
    mean, scale = contract.moments_of(history.label)
    horizon, inputs = forecaster.horizon, state.inputs
    past = len(contract.names) - 1 - len(contract.ahead)
    known = len(contract.ahead)
    waves = 2 * sum(terms for _, terms in inputs.seasons.harmonics)
    lags = len(readout.inner) - waves - past - 1
    ring = int(max([lags, *readout.bases]))
    names = _names(contract, state, horizon)
    row = len(names) - known * horizon
    states = 0 if chosen.filter is None else len(chosen.filter.frequency)
    carried = state.carried[history.label]
    rank = len(readout.outer)
    held = history.held[-ring:]
    parts = [_part("base", "what the value of each season before counts, for each row ahead",
                   np.stack(list(readout.bases.values()) or [np.zeros(horizon)])),
             _part("first_ring", "the last values that were known",
                   np.concatenate([np.full(ring - len(held), held[0]), held]))]  # fmt: skip
    if rank:
        ends = np.cumsum([lags, waves, past])
        lag, wave, feature, one = np.split(readout.inner, ends)
        parts.append(_part("lag", "the values, from the last one back, in what is read out", lag))
        if waves:
            parts.append(_part("wave", "sines and cosines of the calendar in it", wave))
        if past:
            parts.append(_part("feature", "features up to now in it", feature))
        parts.append(_part("constant", "where it starts", one[0]))
        parts.append(_part("out", "what it gives, for each row ahead", readout.outer))
    if past:
        parts.append(_part("first_past", "features that were known", history.past[-1]))
    if known:
        parts.append(_part("ahead", "what is planned, for each row ahead", readout.ahead))
    context: dict[str, Any] = {}
    if chosen.filter is not None and carried.belief is not None:
        found, (estimate, covariance) = chosen.filter, carried.belief
        turn = np.exp(1j * found.frequency - found.decay)
        lower = np.tril_indices(len(found.frequency))
        C, R = (matrix[lower] for matrix in covariance[:, 0].numpy())
        parts += [
            _part("turn", "a state after a row, as a share of it: real and imaginary parts",
                  _both(turn)),
            _part("spread", "how much less sure it is then",
                  2 * found.spread**2 * -np.expm1(-2 * found.decay)),
            _part("first_z", "the filter's estimate", _both(estimate[0].numpy())),
            _part("first_c", "and how sure it is", _both(C)),
            _part("first_r", "and how its errors go together", _both(R)),
        ]  # fmt: skip
        if known:
            parts.append(_part("about", "what planned features count in a row",
                               found.weights[:-1]))  # fmt: skip
        context = {"variance": found.noise**2, "intercept": found.weights[-1]}
    network = chosen.network
    if network is not None and carried.network is not None:
        layer, running, _ = carried.network
        parts.append(_part("first_network", "the network's state", layer[0].numpy()))
        context |= {
            "running": running, "share": -np.expm1(-1 / network.memory), "change": network.change,
            "largest": LARGEST_CHANGE, "seen_past": min(past, MOST_FEATURES),
            "guard_network": guard(f"{name}_network"),
        }  # fmt: skip
    numbers = int(sum(part.values.size for part in parts if not part.name.startswith("first")))
    if network is not None:
        numbers += sum(p.numel() for p in network.layer.parameters()) + readout.memory.size
    widths = state.intervals[history.label].widths()
    title = f"{chosen.name} of {contract.shown.target}, {horizon} rows ahead"
    columns = [SimpleNamespace(name=column) for column in names]
    half = states * (states + 1) // 2
    size = ring + 1 + past + waves + 2 * states + 4 * half
    size += 0 if network is None else network.layer.hidden_size + 1 + horizon
    return context | {
        "name": name, "guard": guard(name), "version": __version__, "target": contract.shown.target,
        "d": SimpleNamespace(inputs=len(names), outputs=horizon, title=title, parameters=numbers,
                             scaling=SimpleNamespace(inputs=columns)),
        "names": names, "inputs": names, "row": row, "known": known, "past": past, "waves": waves,
        "phases": [name for name, _ in inputs.seasons.harmonics],
        "terms": [terms for _, terms in inputs.seasons.harmonics],
        "ring": ring, "lags": lags, "rank": rank, "states": states, "half": half,
        "fills": chosen.fills,
        "counts_states": readout.states > 0, "weight": readout.states,
        "network": network is not None, "periods": list(readout.bases) or [0], "parts": parts,
        "mean": mean, "scale": scale, "past_mean": contract.past[0], "past_scale": contract.past[1],
        "known_mean": contract.known[0], "known_scale": contract.known[1],
        "limit": LIMIT, "farthest": FARTHEST, "low": forecaster.bounds[0],
        "high": forecaster.bounds[1], "gap": contract.grid.words(),
        "last": str(contract.grid.times(np.array([history.end - 1]))[0]),
        "intervals": [(f"{100 * level:g}", scale * width)
                      for level, width in zip(forecaster.levels, widths, strict=True)
                      if np.isfinite(width).all()],
        "bytes": 4 * size, "multiplications": numbers + 20 * half,
    }  # fmt: skip


def _names(contract: Contract, state: State, horizon: int) -> list[str]:
    """Every input, in turn."""
    features = [name for name in contract.names[1:] if name not in contract.ahead]
    names = [f"{contract.shown.target}, NaN where it is missing", *features]
    for name, _ in state.inputs.seasons.harmonics:
        names.append(f"where the NEXT row lies in its {name}, from 0 to 1, by local time")
    names += [f"{name} of this row" for name in contract.ahead]
    names += [f"{name}, {h + 1} ahead" for h in range(horizon) for name in contract.ahead]
    return names


def _both(values: Any) -> Values:
    """Real parts, and behind them imaginary ones."""
    return np.concatenate([values.real, values.imag])


def _part(name: str, words: str, values: Values) -> SimpleNamespace:
    """A constant of the C."""
    shape = "".join(f"[{size}]" for size in values.shape)
    return SimpleNamespace(name=name, words=words, values=np.asarray(values), shape=shape)


def _sources(
    context: dict[str, Any], chosen: Chosen, readout: _Readout, name: str
) -> dict[str, str]:
    """Headers and the source; the network's own come from the exporter of networks."""
    files: dict[str, str] = {}
    network = ""
    if chosen.network is not None:
        layer = chosen.network.layer
        model = SequenceModel(layer, len(readout.memory))
        with torch.no_grad():
            model.readout.weight.copy_(torch.from_numpy(readout.memory))
            model.readout.bias.zero_()
        own = f"{name}_network"
        written = float_sources(
            describe(model, 1.0), own, "float32", variable_dt=False, loops="rolled"
        )
        files[f"src/{own}.h"] = written[f"src/{own}.h"]
        network = written[f"src/{own}.c"]
    context = context | {"network_source": network}
    files[f"src/{name}.h"] = render("forecast.h.j2", **context)
    files[f"src/{name}.c"] = render("forecast.c.j2", **context)
    return files


# --- samples --------------------------------------------------------------------------------------


def _samples(forecaster: Forecaster, history: History, chosen: Chosen) -> Samples:
    """Rows behind the last one, and what Python makes of them: those before it, once more."""
    contract, state = forecaster._ready()
    mean, scale = contract.moments_of(history.label)
    rng = np.random.default_rng(0)
    again = np.resize(np.arange(len(history.y)), ROWS)
    y = history.held[again] + 0.1 * rng.standard_normal(ROWS)
    y[COMPLETE:][rng.random(ROWS - COMPLETE) < 0.2] = np.nan
    past = history.past[again] + 0.1 * rng.standard_normal((ROWS, history.past.shape[1]))
    ahead = ROWS + forecaster.horizon
    known = np.resize(np.nan_to_num(history.known[: len(history.y)]),
                      (ahead, history.known.shape[1]))  # fmt: skip
    block = History(history.label, history.end, y, y, past, known)
    whole, _ = chosen.went_on(history, block, contract.grid, state.carried[history.label])
    steps = len(history.y) + np.arange(ROWS)
    found = chosen.forecasts(whole, contract.grid, steps)
    low, high = forecaster.bounds
    outputs = np.maximum(mean + scale * found, -np.inf if low is None else low)
    outputs = np.minimum(outputs, np.inf if high is None else high)
    columns = [
        (mean + scale * y)[:, None],
        past * contract.past[1] + contract.past[0],
        state.inputs.seasons.phases(contract.grid, history.end + np.arange(1, ROWS + 1)),
        known[:ROWS] * contract.known[1] + contract.known[0],
        np.stack([
            (known[n + 1 : n + 1 + forecaster.horizon] * contract.known[1]
             + contract.known[0]).ravel()
            for n in range(ROWS)
        ]),
    ]  # fmt: skip
    inputs = np.concatenate(columns, axis=1).astype(np.float32)
    return Samples(inputs, np.ones(ROWS, np.float32), outputs.astype(np.float32))
