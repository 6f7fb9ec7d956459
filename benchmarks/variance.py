"""`make bench-variance`: where the spread of a test error comes from, on the kind of signal.

A lane has four draws: its signal, the noise on it, the settings that it tries, and its initial
weights. From each of `BASES` lanes, one of the four is drawn again `REDRAWS` times while the others
stay; "all" draws all four. The table gives the standard deviation of the logarithm of the test MSE
within a base, pooled over bases, of two models and of their ratio. The lane tunes itself as in
suites: 12 settings, chosen on the end of its own training stretch, and is trained anew.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from record import write_record

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import Model, find
from torchliquid.bench.run import training
from torchliquid.bench.run.training import train
from torchliquid.bench.run.tuning import _of_lanes, drawn_trials, without_test
from torchliquid.bench.tasks.signal_task import sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind
from torchliquid.bench.tasks.task import Task
from torchliquid.nn import Pack, SequenceModel

HERE = Path(__file__).parent
BASES, REDRAWS, SEED = 10, 6, 411
SOURCES = ("signal", "noise", "settings", "weights")
MODELS = ("LTC-8", "LSTM-16")
PROTOCOL = Protocol(epochs=3000, trials=12, seed=SEED)


@dataclasses.dataclass(frozen=True)
class Weighted(Protocol):
    """A protocol that names the draw of each lane's initial weights; lanes may share one."""

    weights: list[int] = dataclasses.field(default_factory=list)

    def weight_seeds(self) -> list[int]:
        """One seed a lane."""
        return self.weights

    def trial_seeds(self, lanes: int) -> list[int]:
        """One seed for each trial of each lane."""
        return [w + 100_000 * (k + 1) for w in self.weights for k in range(self.trials)]


def shared_pack(make_model: Callable[[int], SequenceModel], seeds: Sequence[int]) -> Pack:
    """A pack in which lanes of one seed start alike, which `Pack` itself refuses."""
    unique = sorted(set(seeds))
    source, pack = Pack(make_model, unique), Pack(make_model, range(len(seeds)))
    places = [unique.index(seed) for seed in seeds]
    with torch.no_grad():
        for own, drawn in zip(pack.parameters(), source.parameters(), strict=True):
            own.copy_(drawn[places])
    return pack


training.Pack = shared_pack  # type: ignore[assignment, misc]


def draws() -> NDArray[np.int64]:
    """Which draw of each source a lane has ``(S, 4)``: a base, then its redraws by source."""
    lanes = []
    for base in range(BASES):
        own = np.full(len(SOURCES), base)
        lanes.append(own)
        for which in (*range(len(SOURCES)), slice(None)):
            for redraw in range(REDRAWS):
                other = own.copy()
                other[which] = 1000 + 100 * base + redraw + (50 if which == slice(None) else 0)
                lanes.append(other)
    return np.array(lanes)


def task_of(lanes: NDArray[np.int64]) -> Task:
    """The series of these lanes, at even times."""
    like = sines_task(SinesOfAKind(), len(lanes), SEED)
    signals = [np.random.default_rng((SEED, 1, int(n))) for n in lanes[:, 0]]
    drawn = SinesOfAKind().drawn(signals)
    steps = like.steps + 1
    noise = [np.random.default_rng((SEED, 2, int(n))).standard_normal(steps) for n in lanes[:, 1]]
    series = drawn.at(0.1 * np.arange(steps)) + drawn.sigma * np.stack(noise)
    series = series.astype(np.float32)
    return dataclasses.replace(
        like, inputs=series[:, :-1, None], targets=series[:, 1:], clean=None, faster=None
    )


def errors_of(model: Model, lanes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Test MSE of each lane, state kept, trained as it chose."""
    task = task_of(lanes)
    protocol = Weighted(epochs=PROTOCOL.epochs, lanes=len(lanes), trials=PROTOCOL.trials)
    protocol.weights.extend(int(n) for n in lanes[:, 3])
    settings = [drawn_trials(PROTOCOL, int(n)) for n in lanes[:, 2]]
    flat = [setting for tried in settings for setting in tried]
    trials = _of_lanes(without_test(task), np.repeat(np.arange(len(lanes)), PROTOCOL.trials))
    trials = dataclasses.replace(trials, dt_scale=np.array([s.dt for s in flat]))
    tuned = train(trials, model, protocol, settings=flat, tuning=True)
    best = tuned.best.reshape(len(lanes), -1).argmin(axis=1)
    epochs = tuned.curves["chosen_epoch"].reshape(len(lanes), -1)
    taken = [
        dataclasses.replace(tried[k], epochs=max(1, int(epoch[k])))
        for tried, k, epoch in zip(settings, best, epochs, strict=True)
    ]
    task = dataclasses.replace(task, dt_scale=np.array([s.dt for s in taken]))
    trained = train(task, model, protocol, settings=taken)
    looks = np.searchsorted(trained.curves["curve_epoch"], [s.epochs for s in taken])
    return np.asarray(trained.curves["curve_carry"][looks, np.arange(len(lanes))])


def spreads(logs: NDArray[np.float64]) -> dict[str, list[float]]:
    """Of each source: the pooled deviation within a base, and its 95 % interval over bases."""
    by_base = logs.reshape(BASES, 1 + REDRAWS * (len(SOURCES) + 1))
    found = {}
    rng = np.random.default_rng(0)
    resamples = rng.integers(0, BASES, (4000, BASES))
    for k, source in enumerate((*SOURCES, "all")):
        first = 1 + k * REDRAWS
        group = np.concatenate([by_base[:, :1], by_base[:, first : first + REDRAWS]], axis=1)
        variance = group.var(axis=1, ddof=1)
        low, high = np.quantile(variance[resamples].mean(axis=1), [0.025, 0.975])
        found[source] = [float(v) for v in np.sqrt([variance.mean(), low, high])]
    return found


def main() -> None:
    """Measure, print the table, write benchmarks/variance.json."""
    lanes, logs, started = draws(), {}, time.time()
    for name in MODELS:
        logs[name] = np.log(errors_of(find([name])[0], lanes))
        print(f"{name}: {time.time() - started:.0f} s", flush=True)
    logs[" / ".join(MODELS)] = logs[MODELS[0]] - logs[MODELS[1]]
    table = {name: spreads(values) for name, values in logs.items()}
    print(f"\nstandard deviation of log test MSE, {BASES} bases, {REDRAWS} redraws of each")
    print(f"{'':18}" + "".join(f"{source:>24}" for source in (*SOURCES, "all")))
    for name, row in table.items():
        cells = (f"{v:.3f} [{low:.3f}, {high:.3f}]" for v, low, high in row.values())
        print(f"{name:18}" + "".join(f"{cell:>24}" for cell in cells))
    write_record(HERE / "variance.json", bases=BASES, redraws=REDRAWS, seed=SEED, table=table)


if __name__ == "__main__":
    main()
