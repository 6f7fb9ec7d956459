"""Paths that the system refuses, pipes and devices: one line in every command, no traceback."""

import os

import pytest

from torchliquid import LTC, SequenceModel, save
from torchliquid.cli import main
from torchliquid.export import to_c

RUN = ("--lanes", "1", "--epochs", "1", "--models", "persistence", "--trials", "1")
COMMANDS = {
    "table": ("bench", "csv", "PATH", "--target", "b"),
    "out of a table": ("bench", "csv", "t.csv", "--target", "b", "--out", "PATH", *RUN),
    "out": ("bench", "article", "--out", "PATH", *RUN),
    "suite": ("bench", "run", "PATH"),
    "status": ("bench", "status", "PATH"),
    "list": ("bench", "list", "PATH"),
    "compare": ("bench", "compare", "PATH", "PATH"),
    "rows": ("bench", "export", "s.toml", "--out", "PATH", "--parquet", "o.parquet"),
    "parquet": ("bench", "export", "s.toml", "--parquet", "PATH"),
    "results": ("bench", "edge", "PATH"),
    "model": ("export", "PATH", "--out", "o"),
    "export": ("export", "m", "--out", "PATH"),
    "played": ("play", "PATH", "--out", "o.html"),
    "page": ("play", "m", "--out", "PATH"),
    "test": ("export", "m", "--out", "o", "--test", "PATH"),
    "calibrate": ("export", "m", "--out", "o", "--dtype", "q8", "--calibrate", "PATH"),
    "verify": ("verify", "PATH"),
    "beside": ("verify", "c", "--beside", "PATH"),
}
PATHS = {
    "long": "x" * 5000,
    "null": "a\0b",
    "below a file": "t.csv/x",
    "pipe": "pipe",
    "folder of pipes": "pipes",
    "device": "/dev/zero",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table, a suite, a model, exported C, and pipes under the names of our own files."""
    folder = tmp_path_factory.mktemp("paths")
    (folder / "t.csv").write_text("a,b\n" + "".join(f"{k},{k % 7}\n" for k in range(60)))
    (folder / "s.toml").write_text("")
    model = SequenceModel(LTC(1, 2), 1)
    save(model, folder / "m")
    to_c(model, folder / "c")
    (folder / "pipes").mkdir()
    ours = ("config.json", "report.json", "task.safetensors", "rows.csv", "suite.json")
    for name in ("../pipe", *ours):
        os.mkfifo(folder / "pipes" / name)
    return folder


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_refused_in_one_line(command, path, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    code = main([PATHS[path] if part == "PATH" else part for part in COMMANDS[command]])
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("torchliquid: error: ")
    assert said.count("\n") == 1
