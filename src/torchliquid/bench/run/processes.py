"""The one process engine: jobs in worker processes, signals, orphans.

Each slot is a process pool of one worker, so that it is known which job a dead worker had; a slot
whose worker died or was killed gets a new one. Jobs are calls that can be pickled.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

import torch

from torchliquid.signals import signals_kept


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


TICK = 0.2
STARTING = 60.0
"""Seconds that a process which is to be ended has to say its number."""


Key = TypeVar("Key", bound=Hashable)


class NoRoomError(Exception):
    """The system has no room for a process, or for what processes share."""


class JobTimeoutError(Exception):
    """A job took longer than it may; its process was killed."""


def in_slots(
    jobs: Mapping[Key, Callable[[], Any]],
    workers: int,
    limit: float | None = None,
    *,
    start: Callable[..., None] = start_worker,
    arguments: tuple[Any, ...] = (),
    tick: Callable[[], None] = lambda: None,
) -> Generator[tuple[Key, Future[Any]], None, None]:
    """Jobs side by side in processes, and each one's future as it ends.

    A future has the job's result or exception; `BrokenProcessPool` where its process died,
    `JobTimeoutError` where it took too long.

    Args:
        jobs: the first ones start first.
        workers: processes.
        limit: seconds that a job may take once its process is up.
        start: what each process calls first.
        arguments: of ``start``.
        tick: called a few times a second.

    Raises:
        NoRoomError: the system has no room for a process.
    """
    waiting = iter(jobs.items())
    slots = [_Slot(start, arguments) for _ in range(min(workers, len(jobs)))]
    with signals_kept() as answer:
        try:
            for slot in slots:
                slot.take(next(waiting))
            while busy := [slot for slot in slots if slot.job is not None]:
                answer()
                wait([slot.future for slot in busy], timeout=TICK, return_when=FIRST_COMPLETED)
                tick()
                for slot in busy:
                    key, future = slot.job, slot.ended(limit)
                    if future is not None:
                        slot.take(next(waiting, None))
                        yield key, future
        finally:
            for slot in slots:
                slot.close()
    answer()


class _Slot:
    """A worker process and the job that it has."""

    def __init__(self, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.pool: ProcessPoolExecutor | None = None
        self.job: Any = None
        self.future: Future[Any] = Future()
        self._start, self._given = start, arguments
        self._began = 0.0
        self._pid: Future[int] = Future()

    def take(self, job: tuple[Any, Callable[[], Any]] | None) -> None:
        """Start a job; None: there is none left."""
        self.job = None
        if job is None:
            return
        fresh = self.pool is None
        if self.pool is None:
            # not below: it starts Python's resource tracker, which unblocks signals at its end
            try:
                self.pool = ProcessPoolExecutor(1, get_context("spawn"), self._start, self._given)
            except OSError as error:  # /dev/shm is small or read-only in many containers
                raise NoRoomError(error.strerror) from error
        with interrupts_blocked():
            if fresh:
                self._pid = self.pool.submit(os.getpid)
            self.job, self.future = job[0], self.pool.submit(job[1])
        self._began = time.monotonic()

    def ended(self, limit: float | None) -> Future[Any] | None:
        """The job's future, once it has an end."""
        if self.future.done():
            if isinstance(self.future.exception(), BrokenProcessPool):
                self.close()
            return self.future
        if not self._pid.done():  # its process is still starting, which is no time of the job's
            self._began = time.monotonic()
        elif limit is not None and time.monotonic() - self._began > limit:
            self.close()
            late: Future[Any] = Future()
            late.set_exception(JobTimeoutError(f"it took more than {limit:g} s"))
            return late
        return None

    def close(self) -> None:
        """End the process, at once."""
        if self.pool is None:
            return
        # one that is still starting says its number first, before it begins with the job
        with contextlib.suppress(BrokenProcessPool, TimeoutError, ProcessLookupError):
            os.kill(self._pid.result(STARTING), signal.SIGKILL)
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = None
