"""README's commands, in turn, at small sizes; its example is run by `test_documents`."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from torchliquid.cli.main import main

pytest.importorskip("rich")
README = (Path(__file__).parents[1] / "README.md").read_text()
SMALLER = {"bench": "--models LTC-8 ridge-AR persistence --lanes 2 --epochs 5 --trials 1"}


def test_every_command_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"date": pd.date_range("2026-01-01", periods=300, freq="h")})
    table["CO2"] = (500 + 100 * np.sin(np.arange(300) / 4) + rng.normal(0, 5, 300)).round(1)
    table.to_csv("room.csv", index=False)
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("torchliquid ")]
    assert len(commands) == 6
    for line in commands:
        words = shlex.split(f"{line}", comments=True)[1:]
        assert main([*words, *SMALLER.get(words[0], "").split()]) == 0, line
    told = capsys.readouterr().out
    assert "best: " in told
    assert {"room.svg", "firmware"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "firmware" / "report.md").exists()
    assert (tmp_path / "results" / "room" / "report.html").exists()
