"""The ladder: what it proves, and that it sees what is wrong."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from torchliquid import LTC, SequenceModel, TorchliquidError
from torchliquid.cli import main
from torchliquid.export import describe, to_c, verify
from torchliquid.export._costs import operations
from torchliquid.export.c.folder import DTYPES
from torchliquid.export.verify._qemu import BOARDS

from .models import made

NETWORKS = {
    "LTC-8": lambda: SequenceModel(LTC(1, 8), 1),
    "LTC-8-6": lambda: SequenceModel(LTC(1, 8, unfolds=6), 1),
    "LSTM-16": lambda: SequenceModel(nn.LSTM(1, 16), 1),
}


def states(rungs):
    return {rung.name: rung.state for rung in rungs}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_rung_holds(network, dtype, tmp_path):
    rungs = verify(to_c(NETWORKS[network](), tmp_path / "c", name="net", dtype=dtype))
    assert not [rung for rung in rungs if rung.state == "failed"]
    assert {rung.name for rung in rungs} >= {*BOARDS, "sanitizers"}
    if os.environ.get("CI") and shutil.which("simavr"):  # the last of what CI installs
        assert set(states(rungs).values()) == {"passed"}
    for rung in rungs:
        if rung.name in BOARDS and rung.state == "passed":
            assert rung.facts["ram"] == 0
            assert 0 < rung.facts["instructions"] < 1e6
            # RISC-V's linker shortens calls
            assert rung.facts["object"] <= 1.02 * rung.facts["linked"]
    kept = json.loads((tmp_path / "c" / "report.json").read_text())["verified"]
    assert [rung["name"] for rung in kept] == [rung.name for rung in rungs]


@pytest.mark.parametrize("dtype", DTYPES)
def test_variable_times_and_several_layers_climb_too(dtype, tmp_path):
    if dtype.startswith("float"):
        folder = to_c(made("euler"), tmp_path / "a", dtype=dtype, variable_dt=True)
        assert "failed" not in states(verify(folder, fuzz=2000)).values()
    folder = to_c(made("lstm-2"), tmp_path / "b", dtype=dtype)
    assert "failed" not in states(verify(folder, fuzz=2000)).values()


def broken(folder, old, new):
    path = folder / "src" / "net.c"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return {name: state for name, state in states(verify(folder, fuzz=2000)).items()
            if state != "skipped"}  # fmt: skip


def test_a_constant_that_is_off_is_seen(tmp_path):
    folder = to_c(made("ltc"), tmp_path / "c", name="net")
    found = broken(folder, "0.115236066f", "0.118f")
    assert found.pop("sanitizers") == "passed"
    assert set(found.values()) == {"failed"}


def test_rounding_that_is_off_by_a_bit_is_seen(tmp_path):
    folder = to_c(made("ltc-6"), tmp_path / "c", name="net", dtype="q8")
    found = broken(folder, "(distance & 255) + 128", "(distance & 255) + 127")
    assert found.pop("sanitizers") == "passed"
    assert set(found.values()) == {"failed"}


def test_a_read_beyond_an_array_is_seen(tmp_path):
    model = made("lstm")
    with torch.no_grad():
        model.layer.weight_ih_l0.mul_(20)
    folder = to_c(model, tmp_path / "c", name="net", dtype="q8")
    found = broken(folder, "distance < 40959 ? distance : 40959", "distance")
    assert found["sanitizers"] == "failed"


def test_what_is_there_is_climbed_and_the_rest_named(tmp_path, monkeypatch, capsys):
    folder = to_c(made("ltc"), tmp_path / "c")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "gcc").symlink_to(shutil.which("gcc"))
    for tool in ("as", "ld"):
        (tools / tool).symlink_to(shutil.which(tool))
    monkeypatch.setenv("PATH", str(tools))
    assert main(["verify", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["passed", *["skipped"] * 4, "passed", "report:"]
    assert "arm-none-eabi-gcc is not there" in said[1]
    (tools / "gcc").unlink()
    assert main(["verify", str(folder)]) == 2
    assert "install gcc or clang" in capsys.readouterr().err


def test_a_compiler_may_be_several_words(tmp_path, monkeypatch, capsys):
    folder = to_c(made("ltc"), tmp_path / "c")
    monkeypatch.setenv("CC", "gcc -O1")
    rungs = verify(folder, fuzz=100)
    assert (rungs[0].name, rungs[0].state) == ("host gcc -O1", "passed")


def test_a_compiler_that_fails_is_a_rung_that_fails(tmp_path, monkeypatch, capsys):
    folder = to_c(made("ltc"), tmp_path / "c")
    monkeypatch.setenv("CC", "false")
    assert main(["verify", str(folder)]) == 1
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["none", "report", "schema", "source", "vectors"])
def test_a_folder_that_is_none_is_said(damage, tmp_path, capsys):
    folder = to_c(made("ltc"), tmp_path / "c", name="net")
    if damage == "none":
        folder = tmp_path / "elsewhere"
    elif damage == "report":
        (folder / "report.json").write_text("{")
    elif damage == "schema":
        (folder / "report.json").write_text('{"schema": 2}')
    elif damage == "source":
        (folder / "src" / "net.c").unlink()
    else:
        (folder / "test" / "vectors.csv").write_text("a,b\n1,2\n")
    assert main(["verify", str(folder)]) == 2
    error = capsys.readouterr().err
    assert ("holds no exported model" in error) or ("is damaged" in error)
    assert error.count("\n") == 1


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not there")
@pytest.mark.parametrize("dtype", ["float32", "q8"])
def test_cmake_builds_and_runs_the_self_test(dtype, tmp_path):
    folder = to_c(made("gru"), tmp_path / "c", name="net", dtype=dtype)
    build = str(tmp_path / "build")
    for command in (
        ["cmake", "-S", str(folder), "-B", build],
        ["cmake", "--build", build],
        ["ctest", "--test-dir", build, "--output-on-failure"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_table_of_ones_own_is_what_it_is_verified_on(tmp_path):
    torch.manual_seed(0)
    inputs = np.random.default_rng(1).normal(size=(30, 1))
    folder = to_c(made("ltc"), tmp_path / "c", test=inputs)
    rung = verify(folder, fuzz=100)[0]
    assert "over 30 samples" in rung.words


def test_the_report_sets_models_side_by_side(tmp_path, capsys):
    folders = [tmp_path / "small", tmp_path / "large"]
    for folder, name in zip(folders, ["LTC-8", "LSTM-16"], strict=True):
        to_c(NETWORKS[name](), folder, name=folder.name)
        text = (folder / "report.md").read_text()
        assert "not verified" in text
        assert "Run `torchliquid verify`" in text
        assert main(["verify", str(folder), "--beside", str(folders[0])]) == 0
    text = (folders[1] / "report.md").read_text()
    assert "| | large (float32) | small (float32) |" in text
    assert "| parameters | 1,233 | 105 |" in text
    assert "| divisions a step | 80 | 8 |" in text
    assert "not verified" not in text
    rows = [line for line in text.splitlines() if line.startswith("| state, bytes")]
    assert rows == ["| state, bytes | 128 | 32 |"]
    assert "report: " in capsys.readouterr().out
    if shutil.which("qemu-system-arm"):
        assert text.count("| instructions a step |") == len(BOARDS)


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("ltc", "float32", (8 * 9 + 8 * 4 + 8, 8, 8)),
        ("ltc-6", "float32", (8 + 6 * (64 + 32) + 8, 48, 48)),
        ("ltc-6", "float32-table", (8 + 6 * (64 + 32) + 8, 48, 0)),
        ("ltc-6", "q8", (8 + 6 * (64 + 40) + 8, 48, 0)),
        ("lstm", "float32", (4 * 16 * 17 + 16 * 4 + 16, 80, 80)),
    ],
)
def test_operations_are_counted(name, dtype, expected):
    found = operations(describe(made(name)), dtype, variable_dt=False)
    assert tuple(found.values()) == expected


def test_a_folder_must_be_named(tmp_path):
    with pytest.raises(TorchliquidError, match="path of a folder"):
        verify(3)
