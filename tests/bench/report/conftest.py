"""Stores with invented but plausible rows: the report must not need a training run to be tested."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from torchliquid.bench.judging.summary import summarise
from torchliquid.bench.models.registry import DEFAULT, find
from torchliquid.bench.report import figure_writer as pictures
from torchliquid.bench.report import write_report
from torchliquid.bench.report.figure_data import Picture
from torchliquid.bench.run.probe import AFTER, BEFORE
from torchliquid.bench.run.store import Run, Store
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.bench.tasks.task import Task

Case = tuple[Store, dict[str, Any]]

PARAMETERS = {"LTC": 105, "LSTM-16": 1233, "LSTM-4": 117, "GRU-4": 89, "ridge-AR": 33}
ERRORS = {  # train, test reset, test carried: excess over the noise, as a variance
    "LTC-8": (0.0020, 0.0044, 0.0017),
    "LTC-8-euler": (0.0024, 0.0046, 0.0023),
    "LSTM-16": (0.0001, 0.0089, 0.0019),
    "LSTM-4": (0.0031, 0.0041, 0.0035),
    "GRU-4": (0.0027, 0.0050, 0.0030),
    "ridge-AR": (0.0004, 0.0010, 0.0009),
    "persistence": (0.0150, 0.0154, 0.0154),
}
DEMO = (
    (0.12, "jump", 1.2),
    (0.27, "jump", -1.2),
    (0.40, "spike", 2.4),
    (0.52, "spike", -2.4),
    (0.65, "jump", -1.2),
    (0.82, "jump", 1.2),
)
NEURONS = 8
EPOCHS = 200


def table_like(unit: str) -> Task:
    """A user's table: one series for all lanes, a unit, validation, irregular time, gaps."""
    rng = np.random.default_rng(5)
    steps = 900
    wave = np.cumsum(rng.standard_normal(steps + 1)) * 0.12 + 2 * np.sin(np.arange(steps + 1) / 37)
    wave = (wave - wave.mean()) / wave.std()
    targets = wave[1:].astype(np.float32)
    targets[100:110] = np.nan
    return Task(
        name="office.csv",
        spec={"task": "table", "source": "office.csv", "sha256": "0123456789abcdef" * 4},
        inputs=wave[None, :-1, None].astype(np.float32),
        targets=targets[None],
        clean=None,
        dt=(0.1 * rng.uniform(0.5, 1.5, steps)).astype(np.float32),
        train=540,
        valid=180,
        window=256,
        offset=606.5,
        scale=314.2,
        unit=unit,
        times=1.424e9 + 60.0 * np.arange(1, steps + 1),
        dated=True,
        notes=("10 missing targets count in no loss or error.", "dt varies from 0.05 to 0.15."),
    )


def invent(task: Task, model: str, lanes: int, diverged: tuple[int, ...], seed: int) -> Run:
    """Rows of one model on a task."""
    entry = find([model])[0]
    rng = np.random.default_rng((seed, sum(map(ord, model))))
    train, reset, carry = ERRORS.get(model, (0.003, 0.004, 0.004))
    size = np.exp(0.35 * rng.standard_normal((3, lanes))).astype(np.float32)
    targets = np.nan_to_num(np.broadcast_to(task.targets, (lanes, task.steps)))
    noise = np.float32(0.0025)
    wobble = rng.standard_normal((lanes, task.steps)).astype(np.float32)
    start = task.train + task.valid
    fade = np.exp(-np.arange(task.test) / 12.0)
    bad = np.isin(np.arange(lanes), diverged)
    arrays: dict[str, Any] = {"diverged": bad}
    for key, excess, spread in zip(
        ("train_mse", "test_mse_reset", "test_mse_carry"), (train, reset, carry), size, strict=True
    ):
        arrays[key] = np.where(bad, np.nan, noise + excess * spread)
        if task.clean is not None:
            arrays[f"{key}_clean"] = np.where(bad, np.nan, excess * spread)
    clean = targets if task.clean is None else task.clean
    arrays["prediction_carry"] = clean + np.sqrt(carry) * wobble
    arrays["prediction_reset"] = arrays["prediction_carry"][:, start:] * (1 - 0.8 * fade)
    facts: dict[str, Any] = {
        "kind": entry.kind,
        "description": entry.description,
        "parameters": PARAMETERS.get(model)
        or PARAMETERS.get(entry.cell, 4_200_000 * (entry.hidden > 0)),
        "lanes": lanes,
        "seconds_per_epoch": None if entry.kind == "classical" else 0.031,
        "threads": 1,
    }
    facts["bytes"] = 4 * facts["parameters"]
    if entry.kind != "classical":
        facts["demo_lane"] = lanes // 2
        epoch = np.arange(0, EPOCHS + 1, 5)
        speed = 18 if entry.kind == "liquid" else 12
        fall = 0.65 * np.exp(-epoch / speed)[:, None] * np.exp(0.2 * rng.standard_normal(lanes))
        arrays["curve_epoch"] = epoch
        for key, end in (("train", "train_mse"), ("reset", "test_mse_reset"),
                         ("carry", "test_mse_carry")):  # fmt: skip
            arrays[f"curve_{key}"] = (
                arrays[end] * (1 + 0.3 * np.sin(epoch / 9)[:, None] ** 2) + fall
            )
        if task.valid:
            arrays["curve_valid"] = arrays["curve_carry"] * 1.1
            arrays["chosen_epoch"] = rng.integers(EPOCHS // 2, EPOCHS, lanes)
    if entry.kind == "liquid":
        _invent_time_constants(arrays, facts, task, lanes, bad, rng)
    for key in arrays:
        if key.startswith(("prediction_", "probe_")):
            arrays[key] = np.where(bad[:, None], np.nan, arrays[key])
    return Run(model, facts, {k: v if v.dtype == bool else v.astype(np.float32)
                              for k, v in arrays.items()})  # fmt: skip


def _invent_time_constants(
    arrays: dict[str, Any],
    facts: dict[str, Any],
    task: Task,
    lanes: int,
    bad: np.ndarray,
    rng: np.random.Generator,
) -> None:
    tau = rng.uniform(0.6, 2.8, (lanes, NEURONS))
    arrays["tau"] = np.where(bad[:, None], np.nan, tau)
    lane, steps = facts["demo_lane"], 300
    demo = task.inputs[lane if len(task.inputs) > 1 else 0, -steps:, 0].astype(float).copy()
    events = []
    for share, kind, size in DEMO:
        step = int(share * len(demo))
        demo[step : None if kind == "jump" else step + 1] += size
        events.append({"step": step, "kind": kind, "size": size})
    gate = 1 / (1 + np.exp(-demo[:, None] * rng.normal(0.3, 1, NEURONS) - rng.normal(size=NEURONS)))
    arrays["demo_input"] = demo
    arrays["plain_tau_sys"] = arrays["tau"][lane] / (1 + tau[lane] * gate[-min(task.test, 300) :])
    arrays["demo_tau_sys"] = tau[lane] / (1 + tau[lane] * gate)
    facts |= {"demo_lane": lane, "demo_events": events, "demo_interval": 0.1, "probe_places": 64}
    samples = np.arange(BEFORE + AFTER) - BEFORE
    control = 0.8 + 0.05 * rng.standard_normal((lanes, 1)) + 0 * samples
    arrays["probe_control"] = control
    for name, height in (("jump_up", -0.09), ("jump_down", 0.06), ("spike_up", -0.15),
                         ("spike_down", 0.1)):  # fmt: skip
        shape = (samples >= 0) * (np.exp(-samples / 2.0) if "spike" in name else 1.0)
        own = height * (1 + 0.4 * rng.standard_normal((lanes, 1)))
        arrays[f"probe_{name}"] = control * (1 + own * shape)
    arrays["lowest_share"] = 1 / (1 + arrays["tau"].max(axis=1))
    arrays["smooth_contrast"] = 0.02 * rng.standard_normal(lanes)


def make(
    folder: Path,
    kind: str = "article",
    lanes: int = 24,
    models: tuple[str, ...] = DEFAULT,
    diverged: dict[str, tuple[int, ...]] | None = None,
    unit: str = "CO2",
) -> Case:
    """A store with a run for each model, and its summary."""
    task = article_task(SumOfSines(), lanes, 0) if kind == "article" else table_like(unit)
    protocol = {"lanes": lanes, "epochs": EPOCHS, "learning_rate": 0.01, "seed": 0}
    store = Store(folder, {"task": task.spec, "protocol": protocol})
    store.save_task(task)
    for model in models:
        store.save(invent(task, model, lanes, (diverged or {}).get(model, ()), seed=1))
    return store, summarise(store)


CASES: dict[str, dict[str, Any]] = {
    "article": {},
    "table": {"kind": "table", "lanes": 8},
    "diverged": {"lanes": 6, "diverged": {"LTC-8-euler": (0, 3, 4, 5), "LSTM-16": (1,)}},
    "classical": {"models": ("ridge-AR", "persistence"), "lanes": 5},
    "one-lane": {"lanes": 1, "models": ("LTC-8", "LSTM-16", "persistence")},
    "one-model": {"models": ("LTC-8-euler",), "lanes": 5},
    "all-diverged": {
        "models": ("LTC-8", "LSTM-16"),
        "lanes": 5,
        "diverged": {"LTC-8": (0, 1, 2, 3, 4)},
    },
    "long-names": {
        "kind": "table",
        "lanes": 1,
        "models": ("LTC-1024-exponential", "LTC-1024-rk4", "LSTM-1024", "GRU-1024", "persistence"),
        "unit": "Relative humidity at the north-eastern gate (per cent)",
    },
}


@dataclasses.dataclass(frozen=True)
class Written:
    """A report that was written, and the figures in it by name and width."""

    page: Path
    store: Store
    summary: dict[str, Any]
    figures: dict[tuple[str, str], Figure]

    @property
    def html(self) -> str:
        return self.page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def written(case: Callable[[str], Case]) -> Callable[[str], Written]:
    """Give the report of a named case; written once."""
    made: dict[str, Written] = {}

    def give(name: str) -> Written:
        if name not in made:
            store, summary = case(name)
            figures: dict[tuple[str, str], Figure] = {}
            drawn = pictures.drawn

            def keep(picture: Picture, folder: Path) -> dict[str, Any]:
                def draw(wide: bool) -> Figure:
                    figure = picture.draw(wide)
                    figures[picture.name, "wide" if wide else "narrow"] = figure
                    return figure

                return drawn(dataclasses.replace(picture, draw=draw), folder)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pictures, "drawn", keep)
                if name not in ("article", "classical"):  # the slowest part, and always the same
                    patch.setattr(pictures, "to_png", lambda figure: b"")
                path = write_report(store, summary)
            made[name] = Written(path, store, summary, figures)
        return made[name]

    return give


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Give the store and the summary of a named case; made once."""
    made: dict[str, Case] = {}

    def give(name: str) -> Case:
        if name not in made:
            made[name] = make(tmp_path_factory.mktemp(name), **CASES[name])
        return made[name]

    return give
