"""How to install an extra of this package, as this package itself was installed."""

import json
import re
import shlex
from importlib import metadata
from pathlib import Path

NAME = "torchliquid"


def install_command(extra: str) -> str:
    """A command that installs what an extra needs.

    It names where this package came from (a checkout, a git address, a file) if pip has noted it,
    else the packages that the extra consists of: never an index that may not hold this package.

    >>> "pandas" in install_command("bench") or "[bench]" in install_command("bench")
    True
    """
    try:
        distribution = metadata.distribution(NAME)
        noted = json.loads(distribution.read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return f"see the extra {extra!r} in {NAME}'s pyproject.toml"
    url = str(noted.get("url", ""))
    if "vcs_info" in noted:
        kind = noted["vcs_info"].get("vcs", "git")
        return f"pip install {shlex.quote(f'{NAME}[{extra}] @ {kind}+{url}')}"
    folder = Path(url.removeprefix("file://"))
    if "dir_info" in noted and url.startswith("file://") and folder.is_dir():
        editable = "--editable " if noted["dir_info"].get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{folder}[{extra}]')}"
    packages = packages_of(extra, distribution.requires or [])
    return f"pip install {' '.join(map(shlex.quote, packages))}"


def packages_of(extra: str, requires: list[str]) -> list[str]:
    """The requirements of an extra, from a distribution's list.

    >>> packages_of("onnx", ["torch>=2.7", "onnx>=1.17; extra == 'onnx'"])
    ['onnx>=1.17']
    """
    named = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    return [line.partition(";")[0].strip() for line in requires if named.search(line)]
