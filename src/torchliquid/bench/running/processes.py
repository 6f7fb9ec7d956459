"""What worker processes and those who start them have in common: signals, threads, orphans."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import parent_process
from typing import Any

import torch


@contextlib.contextmanager
def signals_kept() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C and the like until the function that this yields is called.

    Raised between two lines of a pool of processes, they leave a lock taken, or a worker that
    nobody knows of and that waits for work for ever.
    """
    came: list[tuple[int, Any]] = []
    before: dict[int, Callable[[int, Any], Any]] = {}

    def answer() -> None:
        if came:
            number, frame = came[0]
            before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if not hasattr(signal, name):  # Windows has no SIGHUP
                continue
            number = getattr(signal, name)
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, lambda *given: came.append(given))
    try:
        yield answer
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes started in here never hear Ctrl-C, also while they import."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """What each worker process does first."""
    torch.set_num_threads(1)
    # Ctrl-C reaches every process of a terminal: the parent alone decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
