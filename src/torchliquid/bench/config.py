"""The options of a benchmark, defined once: suite files, the command line and the docs read them.

Each group of options is a frozen dataclass. A field is an option: its name is the key in a suite
file, and with dashes the flag of the command line; its annotation is its type; `option` adds the
help text. A new option is a field here and the line that uses it.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from torchliquid.bench.options import REQUIRED, option

SEVERITIES = (1, 2, 3, 4, 5)
"""Of every shift, from mild to severe."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """How a table becomes a task; see `torchliquid.bench.tasks.table_task`."""

    horizon: int | str = option(
        1, "how far ahead to predict: rows, or a time such as 6h (%(default)s)"
    )
    train: float = option(0.6, "share of the rows for training (%(default)s)")
    valid: float = option(0.2, "share of the rows for validation (%(default)s)")
    window: int | None = option(256, "longest training sequence, in steps (%(default)s)")
    predict: str = option(
        "change",
        "what networks and ridge-AR predict: the change from the current value, or its level "
        "(%(default)s)",
        choices=("change", "level"),
    )
    dt: float | None = option(None, "the median time between rows as liquid layers see it (tuned)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeveralSeries(Split):
    """How a table of several series is split."""

    split: str = option(
        "time",
        "how several series are split: each in time, or by whole series (%(default)s)",
        choices=("time", "series"),
    )
    scale: str = option(
        "auto",
        "what several series are scaled by: each by its own rows, or by those of all (auto: by its "
        "own where sizes differ ten times)",
        choices=("auto", "series", "all"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table file is read; see `torchliquid.tables.read_table`."""

    target: str = option(
        REQUIRED, "column to predict: its name, a pattern, or its number", metavar="COLUMN"
    )
    features: tuple[str, ...] = option(
        (),
        "further columns to see: names, patterns such as 'temp*', or all; may be repeated",
        metavar="A,B",
    )
    time: str | None = option(
        None, "column of time stamps, even or irregular; two columns: DATE,TIME", metavar="COLUMN"
    )
    time_format: str | None = option(
        None, "how times are written, such as %%d.%%m.%%Y (ISO 8601, or numbers)", metavar="FORMAT"
    )
    time_zone: str | None = option(
        None, "time zone of times without one, such as Europe/Berlin (UTC)", metavar="NAME"
    )
    time_unit: str | None = option(
        None,
        "unit of times that are numbers since 1970: s, ms, us, ns, min, h or D; or excel",
        metavar="UNIT",
    )
    clock_change: str = option(
        "ask",
        "an hour that clocks show twice, and the table once: first, last or drop (%(default)s)",
        metavar="WHICH",
    )
    every: str | None = option(
        None,
        "resample to the mean of each interval: 1h, 1D, W-MON (weeks), MS (months)",
        metavar="WIDTH",
    )
    calendar: tuple[str, ...] = option(
        (), "calendar features of the time that is predicted: hour,weekday,month", metavar="KINDS"
    )
    future: tuple[str, ...] = option(
        (),
        "features whose future value is known in advance, such as a plan",
        metavar="A,B",
    )
    sort: bool = option(False, "sort the rows by time")
    series: str | None = option(
        None, "column that identifies several series in one table", metavar="COLUMN"
    )
    duplicates: str = option(
        "refuse",
        "which of several rows with one time to keep: first, last or mean (%(default)s)",
        metavar="WHICH",
    )
    missing: tuple[str, ...] = option(
        (),
        "a cell that means a missing value, such as -200 or ?; may be repeated",
        metavar="VALUE",
        separator="",
    )
    decimal: str | None = option(None, "decimal mark (detected for each column)", metavar="MARK")
    thousands: str | None = option(None, "mark between groups of digits (none)", metavar="MARK")
    sep: str | None = option(
        None, "mark between cells, such as ';', 'tab' or ' ' (detected)", metavar="MARK"
    )
    comment: str | None = option(None, "mark from which a line is ignored", metavar="MARK")
    skip_rows: int = option(0, "lines to skip above the header", metavar="N")
    skip_footer: int = option(0, "lines to skip below the table", metavar="N")
    no_header: bool = option(False, "the first line is a row: columns are called 1, 2, 3 ...")
    sheet: str | None = option(None, "sheet of a workbook: its name or number", metavar="NAME")
    encoding: str | None = option(None, "encoding of the text (UTF-8, or UTF-16 with its mark)")


def separator(mark: str | None) -> str | None:
    """Return the mark between cells that an option means: a tab has a name."""
    return "\t" if mark in ("tab", "\\t") else mark


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """When a generated signal is sampled; see `torchliquid.bench.tasks.signal_task`."""

    sampling: str = option(
        "even", "when samples are taken (%(default)s)", choices=("even", "irregular")
    )
    missing: float = option(0.0, "share of the samples that are missing (%(default)s)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArticleOptions(Drawn):
    """The article's noisy sum of sines."""

    preset: str = option(
        "article",
        "article: nearest to the article's numbers; easy: two slow sines, noisier (%(default)s)",
        choices=("article", "easy"),
    )
    sines: tuple[tuple[float, float], ...] | None = option(
        None, "pairs amplitude:frequency (the preset's)", metavar="A:W,..."
    )
    sigma: float | None = option(None, "standard deviation of the noise (the preset's)")
    steps: int = option(300, "steps of the series (%(default)s)")
    train: int = option(200, "steps to train on (%(default)s)")
    span: float = option(30.0, "time that the series covers (%(default)s)")
    window: int | None = option(
        None,
        "predict from windows of N steps, as the model in the article's part 2 (default: at every "
        "step of the whole series)",
        metavar="N",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SinesOptions(Drawn):
    """Sums of sines of the article's kind, another in every lane."""

    steps: int = option(300, "steps of the series (%(default)s)")
    train: int = option(200, "steps to train on (%(default)s)")
    varying: str = option(
        "none",
        "what of each sine sways slowly (%(default)s)",
        choices=("none", "frequency", "amplitude"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttractorOptions(Drawn):
    """A coordinate of a chaotic system."""

    sigma: float = option(0.05, "noise, as a share of the signal's deviation (%(default)s)")
    steps: int = option(600, "steps of the series (%(default)s)")
    train: int = option(400, "steps to train on (%(default)s)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SunspotsOptions(Split):
    """Yearly sunspot numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TracesOptions(SeveralSeries):
    """A folder of arrays, one file for each series."""

    folder: str = option(
        REQUIRED, "holds .npy files of shape (T, C)", metavar="FOLDER", flags=("folder",)
    )
    target: str = option(REQUIRED, "number of the column to predict, from 0", metavar="COLUMN")
    features: tuple[str, ...] = option(
        (), "numbers of further columns to see, or all", metavar="A,B"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions(SeveralSeries, Reading):
    """A table file."""

    file: str = option(
        REQUIRED,
        ".csv, .tsv, .txt, .parquet, .feather, .xlsx, .jsonl or .npy, also packed",
        metavar="FILE",
        flags=("file",),
    )


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every network of a benchmark is trained: Adam, mean squared error, full batch.

    Args:
        lanes: S; lane i has its own initial weights and, where the task draws noise, its own draw.
        epochs: passes over the training stretch.
        learning_rate: Adam's, the same for all networks.
        seed: the initial weights of lane i follow from ``(seed, i)``.
        trials: settings that each network tries on the validation part before; 1: none.
        tuned: what the trials vary, see `torchliquid.bench.run.tuning`.
        schedule: of the learning rate: ``"constant"``, or ``"one-cycle"``, up and down again.
        weight_decay: decoupled, as in AdamW, of all weights.
        warm_up: steps at the start of each training sequence whose errors do not count: the state
            starts at zero there.
        choice: ``"lane"``: each lane tries settings of its own and chooses for itself;
            ``"shared"``: one choice for all, which intervals over lanes then leave out.
        shifts: what the trained models are tested under, see `torchliquid.bench.tasks.shifts`.
        severities: of them.
    """

    lanes: int = option(24, "seeds of each model (%(default)s)")
    epochs: int = option(1000, "passes over the training data (%(default)s)")
    learning_rate: float = option(
        0.01, "Adam's learning rate (tuned where there are trials)", flags=("--lr",)
    )
    seed: int = option(0, "where the seeds start (%(default)s)")
    trials: int = option(
        1,
        "settings that each network tries before training, on validation steps (%(default)s)",
    )
    tuned: tuple[str, ...] = option(
        ("learning_rate", "dt"),
        "what trials vary: learning_rate,dt,schedule,weight_decay; a value that is given is not "
        "varied (learning_rate,dt)",
        metavar="A,B",
    )
    schedule: str = option(
        "constant", "schedule of the learning rate (%(default)s)", choices=("constant", "one-cycle")
    )
    weight_decay: float = option(0.0, "weight decay, as in AdamW (%(default)s)")
    warm_up: int = option(
        0, "steps at the start of each training sequence that do not count (%(default)s)"
    )
    choice: str = option(
        "lane",
        "who chooses among trials: each lane for itself, or one choice shared by all (%(default)s)",
        choices=("lane", "shared"),
    )
    shifts: tuple[str, ...] = option(
        (), "test under shifts as well: noise,gaps,... or all (none)", metavar="KINDS", key=False
    )
    severities: tuple[int, ...] = option(
        SEVERITIES, "severities of the shifts, from 1 to 5 (1,2,3,4,5)", metavar="1,3,5", key=False
    )

    def weight_seeds(self) -> list[int]:
        """One seed a lane for the initial weights, unrelated to those of the noise."""
        return [_seed(self.seed, lane, 1) for lane in range(self.lanes)]

    def trial_seeds(self, lanes: int) -> list[int]:
        """One seed a lane of trials for the initial weights: no lane that counts has the same."""
        return [_seed(self.seed, lane, 3) for lane in range(lanes)]


def _seed(*of: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence(of).generate_state(1)[0])


def make_protocol(
    given: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    fixed: Collection[str] = (),
) -> Protocol:
    """Return the protocol of given options: what is given, or ``fixed``, is not tuned."""
    protocol = Protocol(**{**(defaults or {}), **given})
    tuned = tuple(name for name in protocol.tuned if name not in given and name not in fixed)
    if protocol.trials == 1 or not tuned:
        return dataclasses.replace(protocol, trials=1, tuned=())
    return dataclasses.replace(protocol, tuned=tuned)
