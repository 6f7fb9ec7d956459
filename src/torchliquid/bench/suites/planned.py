"""Whether a suite's contrasts were written down before it ran: what git knows of its file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torchliquid.bench.git import git, is_as_committed


def planned(path: Path, first_run: str | None) -> dict[str, Any]:
    """When a suite file was committed as it is now, and whether that was before the first run.

    Args:
        path: the file.
        first_run: when the first of its runs started, UTC in ISO form.

    Returns:
        ``commit`` and ``committed``, None where the file is not in git, or was changed since;
        ``first_run``; ``label``: ``"planned"`` where the commit came first, else ``"exploratory"``.
    """
    listing = None
    if is_as_committed(path):
        listing = git(path.resolve().parent, "log", "-1", "--format=%H %cI", "--", path.name)
    commit, _, when = (listing or "").partition(" ")
    committed = None
    if when:
        committed = datetime.fromisoformat(when).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = committed is not None and (first_run is None or committed <= first_run)
    return {
        "commit": commit[:12] or None,
        "committed": committed,
        "first_run": first_run,
        "label": "planned" if before else "exploratory",
    }
