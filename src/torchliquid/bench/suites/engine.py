"""Run many jobs, whatever becomes of each: on this machine's cores, or on a Dask cluster.

Jobs are calls that can be pickled. Each ends as an `Outcome`: a process that dies, one that hangs
beyond the time limit and an exception are outcomes like any other, and the other jobs go on.
"""

import asyncio
import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from torchliquid.bench.run.processes import TICK, JobTimeoutError, in_slots
from torchliquid.errors import TorchliquidError
from torchliquid.install import install_command
from torchliquid.signals import signals_kept

Key = tuple[str, str]
Jobs = Mapping[Key, Callable[[], "Outcome"]]
STATUSES = ("ok", "diverged", "error", "timeout", "crashed")
CONNECTING = 10.0
"""Seconds that a scheduler has to answer."""


class Outcome(NamedTuple):
    """How a job ended: one of `STATUSES`, and why where it is not "ok"."""

    status: str
    reason: str = ""


def in_this_process(jobs: Jobs) -> Iterator[tuple[Key, Outcome]]:
    """One job after the other; nothing guards against one that dies or hangs."""
    for key, call in jobs.items():
        yield key, attempt(call)


def attempt(call: Callable[[], Outcome]) -> Outcome:
    """A job's outcome, an exception being one."""
    try:
        return call()
    except TorchliquidError as error:
        return Outcome("error", str(error))
    except Exception as error:  # a job is any code: whatever it raises is what became of it
        return _failed(error)


def _failed(error: Exception) -> Outcome:
    """The outcome of a job that an exception ended: its type and first line."""
    return Outcome("error", f"{type(error).__name__}: {error}".splitlines()[0])


def on_cores(jobs: Jobs, workers: int, limit: float | None = None) -> Iterator[tuple[Key, Outcome]]:
    """Jobs side by side in processes of one torch thread each, in the order in which they end.

    Args:
        jobs: the first ones start first.
        workers: processes.
        limit: seconds that a job may take once its process is up; the process is killed then.
    """
    guarded = {key: functools.partial(attempt, call) for key, call in jobs.items()}
    for key, future in in_slots(guarded, workers, limit):
        try:
            outcome = future.result()
        except BrokenProcessPool:
            outcome = Outcome("crashed", "its process died (out of memory, or killed)")
        except JobTimeoutError as error:
            outcome = Outcome("timeout", str(error))
        except Exception as error:  # what cannot be pickled, for one
            outcome = _failed(error)
        yield key, outcome


def on_dask(
    jobs: Jobs, address: str, limit: float | None = None, out: Path | None = None
) -> Iterator[tuple[Key, Outcome]]:
    """Jobs on the workers of a Dask cluster that is already there.

    A job whose worker dies is given to another one, a few times. Workers need this version of this
    package and of torch and numpy, and the folder of the results under the same path: they are
    asked before the first job.

    Args:
        jobs: the first ones start first.
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.
        limit: seconds that may pass between two ends of jobs, whichever they are; what is under way
            then is no longer waited for.
        out: folder of the results.

    Raises:
        TorchliquidError: nothing answers there, or no longer; there is no worker, or one that
            differs or does not see the folder; the package ``distributed`` is not installed.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ModuleNotFoundError as error:
        raise TorchliquidError(
            f"distributed is not installed: {install_command('dask')}"
        ) from error
    try:
        client = Client(address, timeout=CONNECTING)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise TorchliquidError(
            f"no Dask scheduler answers at {address}: give the address of one that runs, as "
            "tcp://10.0.0.1:8786"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it says is said here
    finished = 0
    with client, signals_kept() as answer:
        _check_workers(client, address, out)
        executor: Executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
        pending = {executor.submit(attempt, call): key for key, call in jobs.items()}
        heard = staffed = time.monotonic()
        while pending:
            answer()
            done, _ = wait(pending, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in done:
                key = pending.pop(future)
                heard = time.monotonic()
                try:
                    outcome = future.result()
                except KilledWorker:
                    outcome = Outcome("crashed", "the workers that had it died")
                except (CancelledError, asyncio.CancelledError) as error:
                    raise TorchliquidError(
                        f"the scheduler at {address} is gone: start it and call again; {finished} "
                        f"of {len(jobs)} jobs are kept"
                    ) from error
                except Exception as error:
                    outcome = _failed(error)
                finished += 1
                yield key, outcome
            now = time.monotonic()
            if done or _workers(client):
                staffed = now
            elif now - staffed > CONNECTING:
                raise TorchliquidError(
                    f"there are no workers left at {address}: start some, `dask worker {address}`, "
                    f"and call again; {finished} of {len(jobs)} jobs are kept"
                )
            if limit is not None and pending and now - heard > limit:
                for future, key in pending.items():
                    future.cancel()
                    yield key, Outcome("timeout", f"nothing was heard for more than {limit:g} s")
                return


def _workers(client: Any) -> list[str]:
    """Names of the cluster's workers, as the client last heard."""
    return sorted(client.scheduler_info()["workers"])


def _check_workers(client: Any, address: str, out: Path | None) -> None:
    """That there are workers, and that each would do what this process would."""
    try:
        client.wait_for_workers(1, timeout=CONNECTING)
        mark = None
        if out is not None:
            mark = out / f".seen-{os.getpid()}-{os.urandom(4).hex()}"
            mark.touch()
        try:
            answers = client.run(_probe, mark)
        finally:
            if mark is not None:
                mark.unlink(missing_ok=True)
    except (OSError, TimeoutError) as error:
        if _workers(client):
            raise TorchliquidError(f"workers at {address} do not answer: {error}") from error
        raise TorchliquidError(
            f"there are no workers at {address}: start some, `dask worker {address}`"
        ) from error
    except Exception as error:  # a worker without this package cannot even be asked
        lines = str(error).splitlines()
        raise TorchliquidError(
            f"a worker at {address} cannot run torchliquid ({lines[0] if lines else error!r}): "
            "install this version there"
        ) from error
    here = _versions()
    for name, (versions, sees) in sorted(answers.items()):
        odd = [f"{what} {theirs} (here {here[what]})" for what, theirs in versions.items()
               if theirs != here[what]]  # fmt: skip
        if odd:
            raise TorchliquidError(
                f"worker {name} has {', '.join(odd)}: results would differ; install the same there"
            )
        if not sees:
            raise TorchliquidError(
                f"worker {name} does not see {out}, or cannot write there: put the results where "
                "all machines have them under the same path, as `folder`"
            )


def _versions() -> dict[str, str]:
    import numpy as np
    import torch

    from torchliquid import __version__

    return {"torchliquid": __version__, "torch": torch.__version__, "numpy": np.__version__}


def _probe(mark: Path | None) -> tuple[dict[str, str], bool]:
    """What a worker is, and whether it sees and may write where a file was put."""
    sees = mark is None or (mark.exists() and os.access(mark.parent, os.W_OK))
    return _versions(), sees


def shard(jobs: Jobs, part: str | None) -> dict[Key, Callable[[], Outcome]]:
    """Every N-th job from the i-th on, of ``"i/N"``: all parts together are all jobs.

    >>> jobs = {("t", str(k)): Outcome for k in range(5)}
    >>> [name for _, name in shard(jobs, "2/3")]
    ['1', '4']
    """
    if part is None:
        return dict(jobs)
    first, _, count = part.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise TorchliquidError(f"shard is {part!r}: give i/N, as 1/4, with i from 1 to N")
    return dict(list(jobs.items())[int(first) - 1 :: int(count)])
