"""Options of the benchmarks."""

import argparse
from pathlib import Path

TRIALS = 12
"""Settings that each network tries on the validation part of a table."""


def _add_protocol(
    parser: argparse.ArgumentParser,
    out: str,
    lanes: int,
    epochs: int,
    *,
    tuned: bool,
) -> None:
    """Options of every benchmark; ``out`` names the default folder, settled with the task."""
    group = parser.add_argument_group("training")
    group.add_argument("--lanes", type=int, default=lanes, help="seeds a model (%(default)s)")
    group.add_argument("--epochs", type=int, default=epochs, help="(%(default)s)")
    default = "found by trials" if tuned else "the preset's; with --trials, found by them"
    group.add_argument("--lr", type=float, help=f"Adam's learning rate ({default})")
    where = "on the validation part; 1: 0.01, and dt 1" if tuned else "on draws of their own"
    group.add_argument(
        "--trials",
        type=int,
        default=TRIALS if tuned else 1,
        help=f"learning rates (for liquid models: and dt) that each network tries {where} "
        "(%(default)s)",
    )
    group.add_argument(
        "--models", nargs="+", metavar="NAME", help="such as LTC-8 LTC-32-euler LSTM-16 ridge-AR"
    )
    group.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    group.add_argument("--processes", type=int, help="workers (one a core, if worth it)")
    store = parser.add_argument_group("results")
    store.add_argument("--out", type=Path, metavar="DIR", help=f"({out})")
    again = store.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with what DIR holds (default)")
    again.add_argument("--fresh", action="store_true", help="throw away what DIR holds")
    store.add_argument("--show-task", action="store_true", help="say what would happen, and stop")
    store.add_argument("--json", action="store_true", help="with --show-task: its specification")


def add_article(parser: argparse.ArgumentParser) -> None:
    """Of the article's task."""
    from torchliquid.bench.tasks.presets import ARTICLE, PRESETS

    group = parser.add_argument_group("task")
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    group.add_argument(
        "--preset", choices=PRESETS, default=ARTICLE, help=f"{presets} (%(default)s)"
    )
    of = "(the preset's)"
    group.add_argument("--sines", metavar="A:W,...", help=f"amplitude:frequency {of}")
    group.add_argument("--sigma", type=float, help=f"noise {of}")
    group.add_argument("--steps", type=int, default=300, help="(%(default)s)")
    group.add_argument("--train", type=int, default=200, help="steps to train on (%(default)s)")
    group.add_argument("--span", type=float, default=30.0, help="time covered (%(default)s)")
    group.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="one prediction from the last state of N steps, as the model printed in the article's "
        "part 2 (default: a prediction at every step of the stretch)",
    )
    _add_protocol(parser, "results/PRESET", lanes=24, epochs=1000, tuned=False)


def _add_split(parser: argparse.ArgumentParser, window: int) -> None:
    group = parser.add_argument_group("split and time")
    group.add_argument(
        "--horizon", default="1", help="rows ahead, or, of even dates, a time: 6h (%(default)s)"
    )
    group.add_argument("--train", type=float, default=0.6, help="share of rows (%(default)s)")
    group.add_argument("--valid", type=float, default=0.2, help="share of rows (%(default)s)")
    group.add_argument(
        "--window", type=int, default=window, help="longest training sequence (%(default)s)"
    )
    group.add_argument(
        "--predict",
        choices=("change", "level"),
        default="change",
        help="what networks and ridge-AR predict: the change from the current value, or the value "
        "itself (%(default)s)",
    )
    group.add_argument(
        "--dt",
        type=float,
        help="the median spacing as liquid layers see it (found by trials)",
    )


def add_csv(parser: argparse.ArgumentParser) -> None:
    """Of a user's own table."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=".csv, .tsv, .txt, .parquet, .feather, .xlsx, .jsonl or .npy, also packed",
    )
    group = parser.add_argument_group("columns")
    group.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    group.add_argument(
        "--features",
        metavar="A,B",
        action="append",
        default=[],
        help="what to see besides it: names, patterns such as 'temp*', or all; may be repeated",
    )
    group.add_argument(
        "--time", metavar="COLUMN", help="time stamps; may be irregular; two columns: DATE,TIME"
    )
    group.add_argument(
        "--time-format", metavar="FORMAT", help="such as %%d.%%m.%%Y (ISO 8601, or numbers)"
    )
    group.add_argument(
        "--time-zone", metavar="NAME", help="of times that name none, such as Europe/Berlin (UTC)"
    )
    group.add_argument(
        "--every", metavar="WIDTH", help="resample to the mean of each interval, such as 1h"
    )
    group.add_argument(
        "--calendar", metavar="KINDS", help="features of the time predicted: hour,weekday,month"
    )
    group.add_argument(
        "--future",
        metavar="A,B",
        help="features whose value at the time predicted is known beforehand, as of a plan",
    )
    group.add_argument(
        "--decimal", metavar="MARK", help="mark before decimals (found column by column)"
    )
    group.add_argument("--sort", action="store_true", help="put the rows in order of time")
    group.add_argument(
        "--series", metavar="COLUMN", help="tells several series apart, wherever their rows are"
    )
    group.add_argument(
        "--split",
        choices=("time", "series"),
        default="time",
        help="of several series: each in time, or some to train on, others to test (%(default)s)",
    )
    group.add_argument(
        "--duplicates",
        metavar="WHICH",
        default="refuse",
        help="of rows with the same time keep the first, the last or their mean (%(default)s)",
    )
    group.add_argument("--sep", metavar="MARK", help="between cells; 'tab', ' ' (found)")
    group.add_argument("--comment", metavar="MARK", help="lines from here on are left out")
    group.add_argument(
        "--skip-rows", type=int, default=0, metavar="N", help="lines above the names"
    )
    group.add_argument(
        "--skip-footer", type=int, default=0, metavar="N", help="lines below the table"
    )
    group.add_argument("--encoding", help="of the text (UTF-8, or UTF-16 by its mark)")
    group.add_argument("--thousands", metavar="MARK", help="mark between groups of digits (none)")
    group.add_argument(
        "--missing",
        metavar="VALUE",
        action="append",
        default=[],
        help="a cell that stands for a missing value, such as -200 or ?; may be repeated",
    )
    _add_split(parser, window=64)
    _add_protocol(parser, "results/FILE", lanes=8, epochs=1000, tuned=True)


def add_sunspots(parser: argparse.ArgumentParser) -> None:
    """Of the sunspots."""
    _add_split(parser, window=256)
    _add_protocol(parser, "results/sunspots", lanes=24, epochs=500, tuned=True)
