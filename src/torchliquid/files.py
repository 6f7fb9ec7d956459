"""Files, read and written whole."""

import os
import stat
from pathlib import Path
from typing import Any

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

PART = r"\.\d+(-[0-9a-f]+)?\.part"
"""The end of the name of a file that is being written; what a killed process leaves behind."""


def read_file(path: Path, longest: int | None = None) -> bytes:
    """Read a regular file; a pipe or a device would never end.

    Args:
        path: the file.
        longest: bytes that it may hold; None: any number.

    Raises:
        OSError: it is no regular file, too long, or the system refuses it.
    """
    check_regular(path)
    size = path.stat().st_size
    if longest is not None and size > longest:
        raise OSError(0, f"it holds {size} bytes, more than {longest}")
    return path.read_bytes()


def check_regular(path: Path) -> None:
    """Check that reading a path will come to an end.

    Raises:
        OSError: it is no regular file, or the system refuses it.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a name with a null character
        raise OSError(0, str(error)) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise OSError(0, f"it is {kind}, not a regular file")


def exists(path: Path) -> bool:
    """Whether there is something at a path, a broken link too; no for a path nothing can be at."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a later run, finds all of it or none of it.

    Raises:
        OSError: there is no room, no permission, or a folder, pipe or device at the path.
    """
    if exists(path) and path.exists():
        check_regular(path)  # a rename would put the file in the place of a device
    try:
        part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
        part.touch(exist_ok=False)  # a link that was put there is not followed
    except ValueError as error:  # a name with a null character
        raise OSError(0, str(error)) from error
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_path(path: Any) -> Path:
    """A path, from text or what is one."""
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise TorchliquidError(f"folder is {short_repr(path)}: give the path of a folder")
    if "\0" in os.fspath(path):
        raise TorchliquidError(f"folder is {short_repr(path)}, with a null character: leave it out")
    return Path(path)
