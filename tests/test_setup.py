"""What is installed: a wheel with the native library, and one where there is no compiler."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

USE = """
import torch, torchliquid
from pathlib import Path
from torchliquid.bench.environment import environment_facts
print(Path(torchliquid.__file__).parent)
print(environment_facts()["native"])
layer, x = torchliquid.LTC(2, 5), torch.randn(7, 3, 2)
y, h = layer(x)
y.sum().backward()
print(bool(y.isfinite().all()))
"""


def build(kind: str, folder: Path, source: Path = ROOT, **environment: str) -> Path:
    """A wheel, or a source distribution, of a copy of the sources."""
    copy = folder / "sources"
    if not copy.exists():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=source, capture_output=True, text=True, check=True,
        ).stdout.split("\n")  # fmt: skip
        for name in filter(None, listed):
            if (source / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes((source / name).read_bytes())
    code = f"import setuptools.build_meta as b; print(b.build_{kind}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip().split("\n")[-1]


def used(wheel: Path, folder: Path, **environment: str) -> list[str]:
    """What the wheel says of itself, installed in a folder of its own."""
    place = folder / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(place)} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().split("\n")
    assert lines[0] == str(place / "torchliquid")
    assert lines[2] == "True"
    return lines


def test_a_wheel_carries_the_library(tmp_path):
    wheel = build("wheel", tmp_path, TORCHLIQUID_NATIVE="require")
    assert "-py3-none-" in wheel.name  # for every Python
    names = zipfile.ZipFile(wheel).namelist()
    assert any("kernels/_native" in name for name in names)
    assert not any(name.endswith((".c", ".h")) for name in names)
    assert "bits" in used(wheel, tmp_path, TORCHLIQUID_BACKEND="native")[1]


def test_without_a_compiler_all_but_the_library_is_there(tmp_path):
    wheel = build("wheel", tmp_path, CC="false")
    assert not any("_native." in name for name in zipfile.ZipFile(wheel).namelist())
    assert used(wheel, tmp_path)[1].startswith("none: it was not compiled")
    with pytest.raises(AssertionError, match="the native kernels are not at hand"):
        used(wheel, tmp_path, TORCHLIQUID_BACKEND="native")


def test_a_source_distribution_builds(tmp_path):
    sdist = build("sdist", tmp_path)
    unpacked = tmp_path / "again" / "sources"
    unpacked.mkdir(parents=True)
    subprocess.run(["tar", "xzf", sdist, "-C", unpacked, "--strip-components=1"], check=True)
    wheel = build("wheel", tmp_path / "again", TORCHLIQUID_NATIVE="require")
    assert any("kernels/_native" in name for name in zipfile.ZipFile(wheel).namelist())


def test_the_narrower_instruction_sets_compute_the_same(tmp_path):
    """Each one compiled, in a process of its own: it is chosen once, at load."""
    from torchliquid.kernels import _library as library

    found, why = library.find()
    if found is None:
        pytest.skip(why)
    code = """
import torch
from torchliquid import LTC
torch.manual_seed(0)
layer, x = LTC(3, 19, dt=0.3), torch.randn(11, 5, 3)
y, h = layer(x)
y.square().sum().backward()
print([float(p.grad.double().norm()) for p in layer.parameters()])
"""
    values = []
    for isa in found.isas:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env=os.environ | {"TORCHLIQUID_ISA": isa, "TORCHLIQUID_BACKEND": "native"},
        )  # fmt: skip
        values.append([float(v) for v in done.stdout.strip("[]\n").split(",")])
    for other in values[1:]:
        assert other == pytest.approx(values[0], rel=1e-5)
