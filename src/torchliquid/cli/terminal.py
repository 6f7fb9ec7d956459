"""What is written while something runs."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_A_LINE = 10.0
"""How often progress is said where there is no terminal."""


def open_console() -> "Console":
    """Where results go."""
    from rich.console import Console

    # a pipe has no width of its own: what the tables need; no markup: columns may be named "[b]"
    width = None if sys.stdout.isatty() else 100
    return Console(width=width, markup=False, highlight=False)


class progress:  # noqa: N801 - used like a function
    """A bar a model with the time left, on a terminal; elsewhere a line now and then."""

    def __init__(self, epochs: Mapping[str, int]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._epochs, self._done = epochs, dict.fromkeys(epochs, 0)
        self._tasks = {name: self._bars.add_task(name, total=n) for name, n in epochs.items()}
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Callable[[str, int], None]:
        self._bars.start()
        return self._report

    def _report(self, model: str, epoch: int) -> None:
        self._bars.update(self._tasks[model], completed=epoch)
        self._done[model] = epoch
        now = time.monotonic()
        if self._bars.disable and now - self._said >= SECONDS_A_LINE:
            self._said = now
            under_way = ", ".join(
                f"{name} {done}/{self._epochs[name]}"
                for name, done in self._done.items()
                if 0 < done < self._epochs[name]
            )
            text = f"epochs: {under_way}" if under_way else "between two models"
            print(f"{now - self._start:.0f} s, {text}", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
