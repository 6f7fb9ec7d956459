"""The commands of docs/edge.md, in turn, as a reader types them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "edge.md"


@pytest.mark.skipif(
    not (os.environ.get("CI") or shutil.which("arm-none-eabi-gcc")),
    reason="arm-none-eabi-gcc is not there",
)
def test_every_command_of_the_tutorial_works(tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 8
    place = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "failed" not in done.stdout
    assert "pump.c\npump.h\n" in done.stdout
    assert "pump.onnx\npump_step.onnx\n" in done.stdout
    assert (tmp_path / "firmware" / "pump8" / "report.md").exists()
