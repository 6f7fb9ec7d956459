"""The rooms of the house: an import that points the wrong way turns this red.

The contracts are in pyproject.toml, `[tool.importlinter]`; here they are run, and shown to break.
"""

import ast
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(source: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the package in `source`, with this project's contracts."""
    run = "from importlinter.cli import lint_imports_command as run; run()"
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"]
    return subprocess.run(
        [sys.executable, "-c", run, *options],
        cwd=source.parent,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )


def test_arrows_point_the_right_way():
    done = lint_imports(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


LIBRARY = [
    "export", "forecast", "functional", "insight", "kernels", "nn", "play", "tables", "training",
]  # fmt: skip
SUPPORT = {f"torchliquid.{name}" for name in ("errors", "files", "install", "messages", "signals")}


def imports_of(path):
    """Each import of ours in a file, as (module, name)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torchliquid"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.startswith("torchliquid.")]
            yield from ((name, None) for name in names)


@pytest.mark.parametrize("half", ["bench", "cli"])
def test_the_benchmark_imports_public_names_alone(half):
    rooms = ["torchliquid", *(f"torchliquid.{room}" for room in LIBRARY)]
    public = {room: set(importlib.import_module(room).__all__) for room in rooms}
    for path in sorted((ROOT / "src" / "torchliquid" / half).rglob("*.py")):
        for module, name in imports_of(path):
            if module in SUPPORT or re.match(r"torchliquid\.(bench|cli)\b", module):
                continue
            inside = module == "torchliquid" and name in ("__version__", "bench", "cli")
            assert inside or name in public.get(module, ()), f"{path.name}: {module}.{name}"


def test_modules_without_an_underscore_hold_what_is_public():
    """In the library half: so that a reader sees at once what he may rely on."""
    package = ROOT / "src" / "torchliquid"
    for room in LIBRARY:
        face = importlib.import_module(f"torchliquid.{room}")
        origins = {getattr(getattr(face, n), "__module__", None) for n in face.__all__}
        for path in (package / room).rglob("*.py"):
            if path.name == "__init__.py" or path.is_relative_to(package / "export" / "cells"):
                continue
            parts = path.relative_to(package.parent).with_suffix("").parts
            private = any(part.startswith("_") for part in parts)
            assert private or ".".join(parts) in origins, f"{'.'.join(parts)} is not public"


WRONG = [
    ("errors", "from torchliquid import functional", "torchliquid.functional"),
    ("functional.ltc", "from torchliquid.nn import LTC", "torchliquid.nn"),
    ("functional.ltc", "from torchliquid import LTC", "torchliquid.nn"),  # through the front door
    ("nn.layer", "import torchliquid.insight", "torchliquid.insight"),
    ("nn.packs.pack", "def late():\n    from torchliquid.bench import tasks", "torchliquid.bench"),
    ("insight", "from torchliquid.bench.run import training", "torchliquid.bench"),
    ("tables.reader", "from torchliquid.nn import LTC", "torchliquid.nn"),
    ("tables.reader", "from torchliquid.functional import ltc", "torchliquid.functional"),
    ("bench.tasks.task", "from torchliquid.bench import report", "torchliquid.bench.report"),
    (
        "bench.report",
        "from torchliquid.bench.run.training import train",
        "torchliquid.bench.run.training",
    ),
    ("bench.report", "from torchliquid.bench.run import runner", "torchliquid.bench.run.runner"),
    ("bench.report", "from torchliquid.cli import main", "torchliquid.cli"),
    ("export.c.folder", "from torchliquid.bench.tasks import sines", "torchliquid.bench"),
    ("export.c.folder", "from torchliquid.tables import Series", "torchliquid.tables"),
    ("nn.layer", "from torchliquid.export import to_c", "torchliquid.export"),
    ("bench.run.store", "from torchliquid.bench import report", "torchliquid.bench.report"),
]


@pytest.mark.parametrize(("room", "line", "target"), WRONG)
def test_a_planted_wrong_arrow_is_found(tmp_path, room, line, target):
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "torchliquid", source / "torchliquid")
    path = source.joinpath("torchliquid", *room.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    file.write_text(f"{file.read_text()}\n\n{line}\n")
    done = lint_imports(source)
    assert done.returncode == 1, done.stdout + done.stderr
    planted = rf"torchliquid\.{room.split('.')[0]}[\w.]* is not allowed to import {target}"
    assert re.search(planted, " ".join(done.stdout.split()))


def test_a_new_room_must_find_its_place(tmp_path):
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "torchliquid", source / "torchliquid")
    (source / "torchliquid" / "cellar.py").write_text('"""A room without a place."""\n')
    done = lint_imports(source)
    assert done.returncode == 1
    assert "torchliquid.cellar" in done.stdout


def test_the_drawing_is_that_of_the_imports(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("drawing", ROOT / "tools" / "import_drawing.py")
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    monkeypatch.setattr(drawing, "OUT", tmp_path / "imports.svg")
    drawing.main()
    made = (tmp_path / "imports.svg").read_text()
    shown = (ROOT / "docs" / "_static" / "imports.svg").read_text()
    assert made == shown, "run python tools/import_drawing.py"
