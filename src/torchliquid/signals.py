"""Ctrl-C and the like, kept until what must not be cut in two is whole."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def signals_kept(*, second_at_once: bool = False) -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C and the like until the function that this yields is called, or to the end.

    Raised between two lines of a pool of processes, they leave a lock taken, or a worker that
    nothing knows of and that waits for work for ever; in a training, weights without their epoch.

    Args:
        second_at_once: a second signal waits no more: what runs may take long.
    """
    came: list[tuple[int, Any]] = []
    before: dict[int, Callable[[int, Any], Any]] = {}

    def answer() -> None:
        if came:
            number, frame = came[0]
            came.clear()
            before[number](number, frame)

    def keep(number: int, frame: Any) -> None:
        came.append((number, frame))
        if second_at_once and len(came) > 1:
            before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if not hasattr(signal, name):  # Windows has no SIGHUP
                continue
            number = getattr(signal, name)
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, keep)
    try:
        yield answer
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    answer()  # one that came after the last call
