"""`make bench-irregular DATA=folder`: what a time for each sample is worth, on two data sets.

DATA holds ``half_cheetah/*.npy`` (simulated traces of the LTC paper's repository) and
``remifentanil/remifentanil.csv`` (65 patients, R's package nlme, Minto et al. 1997); neither is
shipped here.

- **cheetah**: of each trace half of the steps are kept, at random; from those so far all 17 columns
  one step after each kept one are predicted. A lane draws which steps are kept and which traces
  train (21), validate (5) and test (5).
- **remifentanil**: the logarithm of the concentration in the blood wherever it was measured, from
  infusion rates at irregular minutes and who the patient is; no concentration is an input. All
  patients are one ragged batch; a lane draws who trains (45), validates (10) and tests (10).

Every model has the same trials, a learning rate and a unit of dt each, of which a lane takes the
one, and the moment in training, with the lowest error on its own validation part. Each lane's test
part is looked at once. The contrasts below were written before the first run.
"""

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pictures import draw
from record import write_record
from torch import Tensor, nn

from torchliquid import LTC, Pack, SequenceModel
from torchliquid.bench.judging.statistics import holm, median_interval, paired_ratio, sign_flip
from torchliquid.nn import CTRNN, DecayGRU

HERE = Path(__file__).parent
LANES, TRIALS, CHECK, SEED = 16, 6, 20, 90_000
CONTRASTS = [
    ("LTC, dt", "LTC, no dt"),
    ("LTC, dt", "LTC, dt as a feature"),
    ("LTC, dt", "LSTM, dt as a feature"),
    ("LTC, dt", "DecayGRU, dt"),
    ("LTC, dt", "CTRNN, dt"),
    ("LSTM, dt as a feature", "LSTM, no dt"),
]
"""Test error of the first as a multiple of the second's, paired by lane."""


class Model(NamedTuple):
    """A layer, and how it is told of time: ``"dt"``, ``"feature"``, ``"both"``, ``""`` for not."""

    layer: Callable[..., Any]
    time: str


MODELS = {
    "LTC, dt": Model(LTC, "dt"),
    "LTC, no dt": Model(LTC, ""),
    "LTC, dt as a feature": Model(LTC, "feature"),
    "LSTM, dt as a feature": Model(nn.LSTM, "feature"),
    "LSTM, no dt": Model(nn.LSTM, ""),
    "DecayGRU, dt": Model(DecayGRU, "dt"),
    "CTRNN, dt": Model(CTRNN, "dt"),
}


AFTERWARDS = {
    "LTC, dt, 4 unfolds": Model(lambda *a, **k: LTC(*a, unfolds=4, **k), "dt"),
    "LTC, dt twice": Model(LTC, "both"),
}
"""Tried on remifentanil when its results were known: why a feature does more than the equation."""


class Data(NamedTuple):
    """Rows of all lanes, scaled by what trains; ``parts`` say where the target counts.

    Args:
        x: ``(S, B, L, I)``.
        dt: ``(S, B, L)``, of mean 1.
        y: ``(S, B, L, O)``.
        parts: ``(S, B, L)`` each of train, validation and test.
        lengths: of rows, for all lanes; None where none is padded.
        batch: rows of a step of training; 0 for all.
        steps: of training.
        budget: parameters of a model, about.
    """

    x: Tensor
    dt: Tensor
    y: Tensor
    parts: dict[str, Tensor]
    lengths: list[int] | None
    batch: int
    steps: int
    budget: int


def cheetah(folder: Path) -> Data:
    """See above; rows of 64 kept samples, each from a state of zero."""
    files = sorted(folder.glob("*.npy"))
    if len(files) != 31:
        sys.exit(f"{folder} holds {len(files)} traces: 31 are needed")
    traces = np.stack([np.load(f) for f in files])  # (31, 1000, 17)
    many, L = 7, 64
    lanes = []
    for lane in range(LANES):
        rng = np.random.default_rng([SEED, lane])
        order = rng.permutation(31)
        part = np.empty(31, int)
        part[order] = np.repeat([0, 1, 2], [21, 5, 5])
        x, gaps, y, whose = [], [], [], []
        for number, trace in enumerate(traces):
            kept = np.flatnonzero(rng.random(999) < 0.5)[: many * L]
            rows = len(kept) // L
            kept = kept[: rows * L]
            x.append(trace[kept].reshape(rows, L, -1))
            y.append(trace[kept + 1].reshape(rows, L, -1))
            gaps.append(np.diff(kept, prepend=-1).reshape(rows, L))
            whose += [part[number]] * rows
        lanes.append((np.concatenate(x), np.concatenate(gaps), np.concatenate(y), np.array(whose)))
    rows = min(len(lane[0]) for lane in lanes)
    found = []
    for x, gaps, y, whose in lanes:
        keep = np.sort(np.random.default_rng(SEED).permutation(len(x))[:rows])
        x, gaps, y, whose = x[keep], gaps[keep], y[keep], whose[keep]
        mean, std = x[whose == 0].mean((0, 1)), x[whose == 0].std((0, 1))
        found.append(((x - mean) / std, gaps / 2, (y - mean) / std, whose))
    x, gaps, y, whose = (torch.tensor(np.stack(p)) for p in zip(*found, strict=True))
    parts = {
        name: (whose == i)[..., None].expand(-1, -1, L)
        for i, name in enumerate(("train", "validation", "test"))
    }
    return Data(x.float(), gaps.float(), y.float(), parts, None, 32, 1000, 2200)


def remifentanil(folder: Path) -> Data:
    """See above. What ran since the row before is an input too: dt is the time of its rate."""
    file = folder / "remifentanil.csv"
    if not file.exists():
        sys.exit(f"{file} is missing")
    patients: dict[str, list[dict[str, str]]] = {}
    with file.open() as lines:
        for row in csv.DictReader(lines):
            patients.setdefault(row["ID"], []).append(row)
    B, L = len(patients), max(map(len, patients.values()))
    x, y, minutes = np.zeros((B, L, 7)), np.full((B, L, 1), np.nan), np.ones((B, L))
    for b, rows in enumerate(patients.values()):
        n = len(rows)
        rate = np.array([float(row["Rate"]) for row in rows])
        about = [[float(row[key]) for key in ("Age", "Ht", "Wt", "LBM")] for row in rows]
        sex = [row["Sex"] == "Male" for row in rows]
        x[b, :n] = np.column_stack([rate, np.append(0.0, rate[:-1]), about, sex])
        known = [float(row["conc"]) if row["conc"] not in ("", "NA") else np.nan for row in rows]
        y[b, :n, 0] = np.log(known)
        minutes[b, 1:n] = np.diff([float(row["Time"]) for row in rows])
    real = np.arange(L) < np.array([len(rows) for rows in patients.values()])[:, None]
    xs, ys, parts = [], [], []
    for lane in range(LANES):
        order = np.random.default_rng([SEED, lane]).permutation(B)
        part = np.empty(B, int)
        part[order] = np.repeat([0, 1, 2], [45, 10, 10])
        trains = (part == 0)[:, None] & real
        scaled = (x - x[trains].mean(0)) / x[trains].std(0)
        told = y[trains][:, 0]
        told = told[~np.isnan(told)]
        xs.append(np.where(real[..., None], scaled, 0))
        ys.append((y - told.mean()) / told.std())
        counts = real & ~np.isnan(y[..., 0])
        parts.append(np.stack([(part == i)[:, None] & counts for i in range(3)]))
    dt = np.maximum(minutes, 0.01) / minutes[real].mean()
    split = torch.tensor(np.stack(parts, axis=1))
    return Data(
        torch.tensor(np.stack(xs)).float(),
        torch.tensor(np.stack([dt] * LANES)).float(),
        torch.tensor(np.nan_to_num(np.stack(ys))).float(),
        dict(zip(("train", "validation", "test"), split, strict=True)),
        [len(rows) for rows in patients.values()],
        0,
        1500,
        450,
    )


SETS: dict[str, tuple[str, Callable[[Path], Data]]] = {
    "cheetah": ("half_cheetah", cheetah),
    "remifentanil": ("remifentanil", remifentanil),
}


def size(model: Model, data: Data) -> int:
    """The width whose number of parameters is nearest to the budget."""
    I = data.x.shape[-1] + (model.time in ("feature", "both"))
    O = data.y.shape[-1]

    def count(H: int) -> int:
        with torch.device("meta"):
            made = SequenceModel(model.layer(I, H), O)
        return sum(p.numel() for p in made.parameters())

    return min(range(1, 80), key=lambda H: abs(count(H) - data.budget))


def given(model: Model, data: Data, unit: float) -> tuple[Tensor, Tensor | float | None]:
    """Inputs and dt as the model takes them."""
    x = data.x
    if model.time in ("feature", "both"):
        x = torch.cat([x, data.dt.log().unsqueeze(-1)], dim=-1)
    if model.layer is nn.LSTM:
        return x, None
    return x, data.dt * unit if model.time in ("dt", "both") else unit


def error(y: Tensor, target: Tensor, part: Tensor) -> Tensor:
    """Mean square over what counts, of each lane."""
    square = (y - target).square().mean(-1) * part
    return square.sum((1, 2)) / part.sum((1, 2))


def trial(model: Model, data: Data, rate: float, unit: float) -> tuple[Tensor, Tensor]:
    """Lowest validation error of each lane, and its test error there."""
    x, dt = given(model, data, unit)
    I, O, H = x.shape[-1], data.y.shape[-1], size(model, data)
    seeds = range(SEED, SEED + LANES)
    pack = Pack(lambda s: SequenceModel(model.layer(I, H, batch_first=True), O), seeds)
    optimiser = torch.optim.Adam(pack.parameters(), lr=rate)
    orders = [torch.Generator().manual_seed(s) for s in seeds]
    trains = [lane.any(-1).nonzero().squeeze(-1) for lane in data.parts["train"]]
    lanes = torch.arange(LANES)[:, None]
    best, told = torch.full((LANES,), math.inf), torch.full((LANES,), math.nan)
    lengths = {"lengths": data.lengths} if data.lengths and model.layer is not nn.LSTM else {}
    for step in range(data.steps + 1):
        if step % CHECK == 0:
            with torch.no_grad():
                y, _ = pack(x, None, dt, **lengths)
                now = error(y, data.y, data.parts["validation"])
                better = now < best
                test = error(y, data.y, data.parts["test"])
                best, told = torch.where(better, now, best), torch.where(better, test, told)
        rows, taken, times, part = data.y, x, dt, data.parts["train"]
        if data.batch:
            drawn = [
                own[torch.randperm(len(own), generator=g)[: data.batch]]
                for own, g in zip(trains, orders, strict=True)
            ]
            pick = (lanes, torch.stack(drawn))
            rows, taken, part = rows[pick], taken[pick], part[pick]
            times = times[pick] if isinstance(times, Tensor) else times
        optimiser.zero_grad()
        y, _ = pack(taken, None, times, **lengths)
        error(y, rows, part).sum().backward()
        pack.clip_grad_norm_(1.0)
        optimiser.step()
    return best, told


def run(name: str, data: Data) -> dict[str, Any]:
    """All trials of all models, and the contrasts."""
    rng = np.random.default_rng(SEED)
    trials = [
        (float(10 ** rng.uniform(-3, -1.5)), float(10 ** rng.uniform(-1, 0.5)))
        for _ in range(TRIALS)
    ]
    results: dict[str, dict[str, Any]] = {}
    for label, model in (MODELS | (AFTERWARDS if name == "remifentanil" else {})).items():
        start = time.perf_counter()
        found = [trial(model, data, *chosen) for chosen in trials]
        validation, test = (torch.stack(part) for part in zip(*found, strict=True))
        chosen = validation.nan_to_num(math.inf).argmin(0)
        results[label] = {
            "size": size(model, data),
            "trial": chosen.tolist(),
            "test": test[chosen, torch.arange(LANES)].tolist(),
        }
        median = float(np.median(results[label]["test"]))
        print(f"{name}: {label}: {median:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    constant = error(torch.zeros_like(data.y), data.y, data.parts["test"])
    ratios = {(a, b): paired_ratio(results[a]["test"], results[b]["test"]) for a, b in CONTRASTS}
    ps = holm([sign_flip(r) for r in ratios.values()])
    contrasts = []
    for ((a, b), r), p in zip(ratios.items(), ps, strict=True):
        e = median_interval(r)
        contrasts.append({"first": a, "second": b, "ratio": e.figure, "low": e.low, "high": e.high})
        contrasts[-1]["p"] = p
        print(f"{name}: {a} / {b}: {e.figure:.3f} [{e.low:.3f}, {e.high:.3f}], p {p:.3g}")
    return {
        "trials": trials,
        "models": results,
        "mean of what trains": constant.tolist(),
        "contrasts": contrasts,
    }


def main() -> int:
    """Both sets, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds half_cheetah and remifentanil")
    parser.add_argument("--only", choices=SETS, help="one of the sets; the other stays as it is")
    parser.add_argument("--out", type=Path, default=HERE / "irregular.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    held = json.loads(options.out.read_text())["sets"] if options.out.exists() else {}
    for name, (folder, read) in SETS.items():
        if options.only in (None, name):
            held[name] = run(name, read(options.data / folder))
    write_record(options.out, lanes=LANES, sets=held)
    if set(held) == set(SETS):
        draw("irregular")
    return 0


if __name__ == "__main__":
    sys.exit(main())
