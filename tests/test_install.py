"""Hints that install what they name, and a command that can be interrupted at any moment."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from torchliquid import install

ROOT = Path(__file__).parents[1]
REQUIRES = ["torch>=2.7", "pandas>=3; extra == 'bench'", 'rich>=13; extra == "bench"']


@pytest.mark.parametrize(
    ("noted", "command"),
    [
        (None, "pip install 'pandas>=3' 'rich>=13'"),
        (
            {"url": "https://example.org/t.git", "vcs_info": {"vcs": "git"}},
            "pip install 'torchliquid[bench] @ git+https://example.org/t.git'",
        ),
        (
            {"url": ROOT.as_uri(), "dir_info": {"editable": True}},
            f"pip install --editable '{ROOT}[bench]'",
        ),
        ({"url": ROOT.as_uri(), "dir_info": {}}, f"pip install '{ROOT}[bench]'"),
        ({"url": "file:///gone", "dir_info": {}}, "pip install 'pandas>=3' 'rich>=13'"),
        ({"url": "https://example.org/t.whl"}, "pip install 'pandas>=3' 'rich>=13'"),
    ],
)
def test_a_hint_names_what_installs_it(noted, command, monkeypatch):
    class Distribution:
        requires = REQUIRES

        def read_text(self, name):
            assert name == "direct_url.json"
            return None if noted is None else json.dumps(noted)

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
    assert install.install_command("bench") == command


def test_without_metadata_there_is_a_place_to_look(monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", none)
    assert install.install_command("onnx").startswith("see the extra 'onnx'")


def test_an_interrupt_while_torch_is_imported_is_one_line(tmp_path):
    package = tmp_path / "torchliquid"
    package.mkdir()
    (package / "__init__.py").write_text("raise KeyboardInterrupt\n")
    code = "import sys, _torchliquid_command; sys.exit(_torchliquid_command.main())"
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 130
    assert done.stderr == "torchliquid: interrupted before it began\n"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "torchliquid", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.strip() == metadata.version("torchliquid")
