"""The checklist of a release: what is built is installed, run and looked at, as a user gets it.

    python tools/release.py                      # all of it; some minutes for each Python
    python tools/release.py --pythons 3.11 --skip build

Nothing is published and nothing is tagged. Before it, by hand: a new head in CHANGELOG.md with the
date, the version in pyproject.toml, src/torchliquid/__init__.py and CITATION.cff, `make test`,
`make sanitize`, `make test-slow`, `make test-oldest`, `make test-hosts`. After it: a tag, which the
release workflow builds anew and publishes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = SETTINGS["project"]["version"]
FREE = re.compile(
    r"apache|bsd|mit\b|mit-|isc|psf|python software|mpl|mozilla|hpnd|unlicense|0bsd|zlib|cnri", re.I
)
"""Licences that an Apache-2.0 package may be installed beside without a second thought."""
LICENCES = """
import importlib.metadata as m
for d in sorted(m.distributions(), key=lambda d: d.name.lower()):
    kinds = [c for c in d.metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    text = d.metadata.get("License-Expression") or " ".join(kinds) or d.metadata.get("License")
    print(d.name, (text or "?").strip().splitlines()[0][:80], sep="\\t")
"""
TRAINING = """
import torch, torchliquid as tl
model = tl.SequenceModel(tl.LTC(1, 8, batch_first=True), 1)
tl.fit(model, torch.randn(4, 20, 1), torch.randn(4, 20, 1), epochs=3)
tl.save(model, "model")
"""


class FailedError(Exception):
    """A step of the checklist did not hold."""


def run(*command: object, cwd: Path = ROOT, **environment: str) -> str:
    """What a command prints.

    Raises:
        FailedError: it failed.
    """
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=os.environ | environment,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise FailedError(f"{' '.join(str(word) for word in command)[:120]}\n{last}")
    return done.stdout


def versions() -> str:
    """The newest head of the changelog has a date, and nothing is changed since the last commit."""
    head = f"## {VERSION} - "
    if head not in (ROOT / "CHANGELOG.md").read_text():
        raise FailedError(f"CHANGELOG.md has no line '{head}YYYY-MM-DD'")
    if run("git", "status", "--porcelain"):
        raise FailedError("there are changes that are not committed")
    if run("git", "tag", "--list", f"v{VERSION}"):
        raise FailedError(f"the tag v{VERSION} is there already")
    return f"{VERSION}, clean, not tagged"


def address() -> str:
    """The repository's address is known: links of an index's page lead there."""
    found = SETTINGS["tool"]["torchliquid"]["repository"]
    if not found:
        raise FailedError("pyproject.toml, [tool.torchliquid]: repository is empty")
    if "ADDRESS" in (ROOT / "README.md").read_text():
        raise FailedError("README.md still says ADDRESS")
    return str(found)


def build() -> str:
    """A wheel for every platform, and the sources."""
    shutil.rmtree(DIST, ignore_errors=True)
    return run(sys.executable, ROOT / "tools" / "wheels.py").strip()


def pages() -> str:
    """An index can show the page of each file, and no link in it is relative."""
    files = sorted(DIST.glob("*"))
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    with zipfile.ZipFile(next(DIST.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        page = wheel.read(name).decode()
    relative = [target for target in re.findall(r"\]\(([^)\s]+)\)", page) if "://" not in target]
    if relative:
        raise FailedError(f"relative links: {', '.join(relative)}")
    return f"{len(files)} files"


def clone() -> str:
    """A fresh clone's `make bench`; its `make test` takes ten minutes, and is run by hand."""
    with tempfile.TemporaryDirectory() as name:
        run("git", "clone", "--quiet", ROOT, name)
        told = run("make", "bench", cwd=Path(name))
        if not (Path(name) / "results" / "article" / "report.html").exists():
            raise FailedError("make bench wrote no report")
    return told.strip().splitlines()[-1]


def environment(python: str, folder: Path) -> tuple[Path, Path]:
    """A fresh environment, and a folder for PATH that holds it, and no compiler."""
    run(python, "-m", "venv", folder / "env")
    return folder / "env" / "bin" / "python", folder / "env" / "bin"


def fresh(python: str) -> Iterator[tuple[str, str]]:
    """The wheel in a fresh environment without a compiler, in an empty folder; then the sources."""
    with tempfile.TemporaryDirectory() as name:
        folder, work = Path(name), Path(name) / "empty"
        work.mkdir()
        own, path = environment(python, folder)
        pip = [own, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run(*pip, "install", "--constraint", ROOT / "constraints.txt", "torch", cwd=work)
        # README's line, from the files: what is not in dist comes from the index
        line = ("install", "--constraint", ROOT / "constraints.txt", "--find-links", DIST)
        wheel = f"torchliquid[bench]=={VERSION}"
        run(*pip, *line, "--only-binary", "torchliquid", wheel, cwd=work, PATH=str(path))
        run(own, "-m", "pip", "check", cwd=work)
        yield "wheel installs", run(own, "-m", "torchliquid", "info", cwd=work, PATH=str(path))

        listed = [line.split("\t") for line in run(own, "-c", LICENCES).splitlines()]
        odd = [f"{package} ({text})" for package, text in listed if not FREE.search(text)]
        known = [entry for entry in odd if not entry.startswith(("nvidia", "cuda"))]
        if known:
            raise FailedError(f"look at the licences of {', '.join(known)}")
        yield "licences", f"{len(listed)} packages, all permissive"

        (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        yield "README's example", run(own, "-c", code, cwd=work, PATH=str(path)).strip()

        command = path / "torchliquid"
        run(own, "-c", TRAINING, cwd=work, PATH=str(path))
        for words in (
            "bench article --lanes 2 --epochs 5",
            "export model --to c --out firmware",
            "export model --to js --out page",
            "play model --out page.html",
        ):
            run(command, *words.split(), cwd=work, PATH=str(path))
        yield "commands", "bench, export, play: without a compiler, in an empty folder"

        with tarfile.open(DIST / f"torchliquid-{VERSION}.tar.gz") as sources:
            sources.extractall(folder, filter="data")
        unpacked = folder / f"torchliquid-{VERSION}"
        run(*pip, *line[:3], "pytest", "pytest-xdist", "ncps", cwd=work)
        run(*pip, "install", "--force-reinstall", "--no-deps", unpacked, cwd=work,
            TORCHLIQUID_NATIVE="require")  # fmt: skip
        shutil.rmtree(unpacked / "src")  # or it would shadow what was installed
        told = run(own, "-m", "pytest", "-n", "auto", "tests/nn", "tests/functional",
                   "tests/kernels", cwd=unpacked)  # fmt: skip
        yield "sources build, their tests pass", told.strip().splitlines()[-1]


def found_pythons(wanted: list[str]) -> list[str]:
    """Interpreters that are there and start."""
    names = [f"python{version}" for version in wanted]
    return [
        name for name in names
        if shutil.which(name)
        and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0
    ]  # fmt: skip


def main() -> None:
    """Go through the list, and say what does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pythons", nargs="+", default=["3.11", "3.12", "3.13", "3.14"])
    parser.add_argument("--skip", nargs="+", default=[], help="steps, by name")
    given = parser.parse_args()
    failed: list[str] = []

    def say(name: str, told: str, *, holds: bool = True) -> None:
        print(f"{'holds ' if holds else 'FAILED'}  {name}: {told}", flush=True)
        failed.extend([] if holds else [name])

    steps: list[Callable[[], str]] = [versions, address, clone, build, pages]
    for step in steps:
        if step.__name__ not in given.skip:
            try:
                say(step.__name__, step())
            except FailedError as error:
                say(step.__name__, str(error), holds=False)
    pythons = found_pythons(given.pythons)
    for python in pythons:
        try:
            for name, told in fresh(python):
                say(f"{python}, {name}", told)
        except FailedError as error:
            say(python, str(error), holds=False)
    absent = {f"python{version}" for version in given.pythons} - set(pythons)
    if absent:
        say(", ".join(sorted(absent)), "not on this machine: not tried")
    sys.exit(f"does not hold: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
