"""The rooms of the house: an import that points the wrong way turns this red.

The contracts are in pyproject.toml, `[tool.importlinter]`; here they are run, and shown to break.
"""

import os
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


WRONG = [
    ("errors", "from torchliquid import functional", "torchliquid.functional"),
    ("functional.ltc_cell", "from torchliquid.nn import LTC", "torchliquid.nn"),
    (
        "functional.ltc_cell",
        "from torchliquid import LTC",
        "torchliquid.nn",
    ),  # through the front door
    ("nn.layer", "import torchliquid.insight", "torchliquid.insight"),
    ("nn.pack", "def late():\n    from torchliquid.bench.tasks import task", "torchliquid.bench"),
    ("insight", "from torchliquid.bench.running import training", "torchliquid.bench"),
    ("data.sines", "from torchliquid.nn import LTC", "torchliquid.nn"),
    ("data.sines", "from torchliquid.functional import ltc", "torchliquid.functional"),
    ("bench.tasks.task", "from torchliquid import report", "torchliquid.report"),
    (
        "report",
        "from torchliquid.bench.running.training import train",
        "torchliquid.bench.running.training",
    ),
    ("report", "from torchliquid.bench.running import runner", "torchliquid.bench.running.runner"),
    ("report", "from torchliquid.cli import main", "torchliquid.cli"),
    ("export.folder", "from torchliquid.data.sines import SumOfSines", "torchliquid.data"),
    ("nn.layer", "from torchliquid.export import to_c", "torchliquid.export"),
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
    planted = f"torchliquid.{room.split('.')[0]} is not allowed to import {target}"
    assert planted in " ".join(done.stdout.split())


def test_a_new_room_must_find_its_place(tmp_path):
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "torchliquid", source / "torchliquid")
    (source / "torchliquid" / "cellar.py").write_text('"""A room without a place."""\n')
    done = lint_imports(source)
    assert done.returncode == 1
    assert "torchliquid.cellar" in done.stdout
