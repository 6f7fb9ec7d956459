"""The published documentation: a folder for each version, a list of them, and a first page.

    python tools/site_of_versions.py SITE NAME    # docs/_build/html becomes SITE/NAME

NAME is `dev` for the main branch and `v0.2.0` for a release; `stable` is the newest release again.
The first page leads to `stable`, and to `dev` while there is no release.
"""

import json
import re
import shutil
import sys
from pathlib import Path

BUILT = Path(__file__).parents[1] / "docs" / "_build" / "html"


def number(name: str) -> tuple[int, ...]:
    """A release's number, to sort by."""
    return tuple(int(part) for part in re.findall(r"\d+", name))


def place(site: Path, name: str, built: Path = BUILT) -> None:
    """Put what was built beside the other versions, and write the list and the first page."""
    shutil.rmtree(site / name, ignore_errors=True)
    shutil.copytree(built, site / name)
    releases = sorted((p.name for p in site.glob("v*") if p.is_dir()), key=number, reverse=True)
    if releases and name == releases[0]:
        shutil.rmtree(site / "stable", ignore_errors=True)
        shutil.copytree(built, site / "stable")
    others = [other for other in ("stable", "dev") if (site / other).is_dir()]
    (site / "versions.json").write_text(json.dumps([*others, *releases]) + "\n")
    (site / "index.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><title>torchliquid</title>'
        f'<meta http-equiv="refresh" content="0; url={others[0] if others else name}/">'
        f'<a href="{others[0] if others else name}/">torchliquid</a>\n'
    )
    (site / ".nojekyll").touch()  # folders with an underscore are pages, too


if __name__ == "__main__":
    place(Path(sys.argv[1]), sys.argv[2])
