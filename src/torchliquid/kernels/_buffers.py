"""Memory that forward passes keep for their backward passes, used again and again."""

import contextlib
import os
import time
from pathlib import Path
from typing import ClassVar

from torch import Tensor


def memory() -> int:
    """Bytes of memory that this process may use, as far as the system says; else 8 GiB."""
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        most = 8 * 2**30
    with contextlib.suppress(OSError, ValueError):  # a container's share; "max": no limit
        most = min(most, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return most if most > 0 else 8 * 2**30


class _Spare:
    """A buffer that is not in use, and since when."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.since = tensor, time.monotonic()
        self.key, self.nbytes = (tensor.numel(), tensor.dtype), tensor.nbytes


class SavedBuffer:
    """A buffer that a forward pass keeps for its backward pass, from a store of used ones.

    A training loop asks for the same buffers at every step. Handed back to the system and taken
    again they would cost more, in page faults, than the kernels that fill them. A buffer returns
    to the store when nothing refers to this object any more. The store drops what was not used for
    `IDLE` seconds, and the longest unused where it holds more than `LIMIT` bytes; the last one
    stays, however large. `empty_cache` drops all.
    """

    LIMIT: ClassVar[int] = memory() // 8
    IDLE: ClassVar[float] = 60.0
    # Longest unused first. Only single operations of lists, which threads cannot tear apart: a
    # lock would not do, because garbage collection may call __del__ in the middle of anything.
    _store: ClassVar[list[_Spare]] = []

    def __init__(self, like: Tensor, size: int) -> None:
        key = (size, like.dtype)
        for spare in reversed(self._store[:]):
            if spare.key == key and self._take(spare):
                self.tensor = spare.tensor
                return
        self.tensor = like.detach().new_empty(size)

    def __del__(self) -> None:
        newest = _Spare(self.tensor)
        self._store.append(newest)
        held = 0
        for spare in reversed(self._store[:]):
            held += spare.nbytes
            idle = newest.since - spare.since > self.IDLE
            if spare is not newest and (held > self.LIMIT or idle) and self._take(spare):
                held -= spare.nbytes

    @classmethod
    def _take(cls, spare: _Spare) -> bool:
        try:
            cls._store.remove(spare)
        except ValueError:  # another thread was faster
            return False
        return True


def empty_cache() -> None:
    """Give memory that kernels keep for further training steps back to the system.

    It is at most an eighth of the machine's; the next training step takes it again.
    """
    SavedBuffer._store.clear()
