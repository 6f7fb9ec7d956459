"""`torchliquid play`: trained networks in a page."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchliquid import TorchliquidError
from torchliquid.cli.exports import load_one
from torchliquid.cli.flags import example

if TYPE_CHECKING:
    from torchliquid.play import Signal


def add_play(commands: Any) -> None:
    """Add the command that writes a page in which trained networks run."""
    play = commands.add_parser(
        "play",
        help="write a page in which trained networks run on a signal that you bend",
        **example("play results/article --out page.html"),
    )
    play.add_argument(
        "model",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="what `save` or `fit` wrote, a lane of a benchmark, or a benchmark's folder: of it "
        "the first liquid network and the largest other one",
    )
    play.add_argument("--out", type=Path, metavar="FILE", required=True, help="the page, such as "
                      "page.html")  # fmt: skip
    play.add_argument("--heading", help="of the page")
    play.set_defaults(command=_play)


def _play(options: argparse.Namespace) -> int:
    from torchliquid.play import write_page

    models: dict[str, Any] = {}
    signal: Signal | None = None
    for path in options.model:
        found, own = _opened(path)
        twice = sorted(set(found) & set(models))
        if twice:
            raise TorchliquidError(f"two models are called {twice[0]}: give each once")
        models |= found
        signal = signal or own
    heading = {} if options.heading is None else {"heading": options.heading}
    page = write_page(models, options.out, signal=signal, **heading)
    print(f"page: {page} ({page.stat().st_size:,} bytes), {', '.join(models)}")
    return 0


def _opened(path: Path) -> tuple[dict[str, Any], "Signal | None"]:
    """The models of a path by name, and their signal where a benchmark has one."""
    from torchliquid.bench.report.live import live
    from torchliquid.bench.run.store import Store, holds_results
    from torchliquid.forecast import is_forecaster

    if is_forecaster(path):
        raise TorchliquidError(
            f"{path} is a forecaster, whose mean no page can run: give a network, or see its plot "
            "by `torchliquid forecast MODEL --plot forecast.svg`"
        )
    if holds_results(path):
        return live(Store.existing(path))
    lane = path.resolve()
    if lane.name.startswith("lane-") and holds_results(lane.parents[2]):
        return live(Store.existing(lane.parents[2]), [lane.parent.name], int(lane.name[5:]))
    return {path.name: load_one(path)}, None
