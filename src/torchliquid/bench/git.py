"""What git knows of a file, asked without running anything that its repository configures.

A folder from another person may hold a ``.git`` whose configuration names commands: hooks, a file
system monitor, filters, a program that shows signatures, or a remote to fetch missing objects from.
"""

import hashlib
import os
import subprocess
from pathlib import Path

_QUIET = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "log.showSignature=false",
    "protocol.allow=never",
    "core.pager=cat",
)


def git(folder: Path, *words: str) -> str | None:
    """What git prints in a folder; None where it fails or there is none.

    Only commands that read commits and trees are safe: ``status`` and ``diff`` run filters.
    """
    options = [part for option in _QUIET for part in ("-c", option)]
    command = ["git", "--no-optional-locks", "-C", str(folder), *options, *words]
    # older versions of git heed the second alone, which refuses every way to fetch
    quiet = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=os.environ | quiet,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def is_as_committed(path: Path) -> bool:
    """Whether a file's content is that of the last commit; line ends may differ."""
    listing = git(path.resolve().parent, "ls-tree", "HEAD", "--", path.name)
    fields = (listing or "").split()
    if len(fields) < 3 or fields[1] != "blob":
        return False
    try:
        content = path.read_bytes()
    except OSError:
        return False
    digest = hashlib.sha1 if len(fields[2]) == 40 else hashlib.sha256
    versions = {content, content.replace(b"\r\n", b"\n")}
    return fields[2] in {digest(b"blob %d\0" % len(v) + v).hexdigest() for v in versions}
