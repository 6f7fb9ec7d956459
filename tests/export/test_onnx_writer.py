"""ONNX files against torch in ONNX Runtime, opened again: lengths, batches and states are free."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from torchliquid import LTC, SequenceModel, TorchliquidError, save
from torchliquid.cli import main
from torchliquid.export import describe, to_onnx
from torchliquid.export.onnx._nodes import state_names
from torchliquid.install import install_command
from torchliquid.nn import Column, Scaling

from .models import MODELS, TIMED, made

CASES = [(name, False) for name in MODELS] + [(name, True) for name in TIMED]


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def given(model, batch, length, variable_dt, seed=0):
    rng = np.random.default_rng(seed)
    description = describe(model)
    x = rng.normal(size=(batch, length, description.inputs)).astype(np.float32)
    dt = np.full((batch, length), description.dt, dtype=np.float32)
    if variable_dt:
        dt = (dt * rng.exponential(1.0, dt.shape)).astype(np.float32)
    zeros = {n: np.zeros((batch, w), np.float32) for n, w in state_names(description)}
    return x, dt, zeros


def by_model(model, x, dt, variable_dt):
    layer = getattr(model, "layer", model)
    layer.batch_first = True
    with torch.no_grad():
        options = {"dt": torch.from_numpy(dt)} if variable_dt else {}
        return model(torch.from_numpy(x), **options)[0].numpy()


@pytest.mark.filterwarnings("ignore:dt is up to")
@pytest.mark.parametrize(("name", "variable_dt"), CASES)
def test_files_are_the_model_at_any_length(name, variable_dt, tmp_path):
    model = made(name)
    folder = to_onnx(model, tmp_path / "o", name="net", variable_dt=variable_dt)
    whole, one = session(folder / "net.onnx"), session(folder / "net_step.onnx")
    for batch, length in ((1, 1), (3, 40), (2, 300)):
        x, dt, zeros = given(model, batch, length, variable_dt, seed=length)
        times = {"dt": dt} if variable_dt else {}
        y, *ends = whole.run(None, {"input": x} | times | zeros)
        np.testing.assert_allclose(y, by_model(model, x, dt, variable_dt), atol=2e-6)
        states = dict(zeros)
        for t in range(length):
            now = {"dt": dt[:, t]} if variable_dt else {}
            told, *after = one.run(None, {"input": x[:, t]} | now | states)
            states = dict(zip(states, after, strict=True))
            np.testing.assert_allclose(told, y[:, t], atol=1e-6)
        for end, state in zip(ends, states.values(), strict=True):
            np.testing.assert_allclose(end, state, atol=1e-6)


@pytest.mark.parametrize("name", ["ltc-6", "lstm-2"])
def test_dimensions_are_symbolic_and_nothing_leaks(name, tmp_path):
    folder = to_onnx(made(name), tmp_path / "o")
    model = onnx.load(folder / "model.onnx")
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["input"][:2] == ["B", "L"]
    assert shapes["output"][:2] == ["B", "L"]
    assert [node.op_type for node in model.graph.node] == ["Scan"]
    for path in folder.iterdir():
        content = path.read_bytes()
        assert len(content) < 8192
        for word in (str(folder.parent).encode(), b"torch.", b".py", b"home"):
            assert word not in content
        assert not onnx.load(path).metadata_props


@pytest.mark.parametrize(("name", "variable_dt"), CASES)
def test_every_constant_is_used(name, variable_dt, tmp_path, capfd):
    to_onnx(made(name), tmp_path / "o", variable_dt=variable_dt)
    assert "Removing initializer" not in capfd.readouterr().err


def test_files_are_the_same_each_time(tmp_path):
    for place in "ab":
        to_onnx(made("ltc"), tmp_path / place)
    for name in ("model.onnx", "model_step.onnx"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("change", [None, 0.7])
def test_files_take_and_give_physical_units(change, tmp_path):
    model = SequenceModel(LTC(2, 4, batch_first=True), 1)
    volts = Column("volts", 230.0, 4.0)
    model.scaling = Scaling((volts, Column("load", -3.0, 0.5)), (volts,), change)
    folder = to_onnx(model, tmp_path / "o")
    x = np.random.default_rng(0).normal(size=(2, 30, 2)).astype(np.float32)
    physical = (x * [4, 0.5] + [230, -3]).astype(np.float32)
    with torch.no_grad():
        y = model(torch.from_numpy(x))[0].numpy()
    expected = 230 + 4 * (y if change is None else x[..., :1] + change * y)
    zeros = {"x0": np.zeros((2, 4), np.float32)}
    told = session(folder / "model.onnx").run(["output"], {"input": physical} | zeros)[0]
    np.testing.assert_allclose(told, expected, atol=2e-4)


def test_a_file_that_is_not_the_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("torchliquid.export.cells.ltc.SMALL", 40.0)  # a series far out of reach
    with pytest.raises(TorchliquidError, match="off torch by"):
        to_onnx(made("exponential"), tmp_path / "o", dt=5.0)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_or_meant_for_c_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(made("ltc"), "model")
    command = ["export", "model", "--to", "onnx", "--out", "o"]
    assert main([*command, "--dtype", "q8"]) == 2
    assert "--dtype is for --to c" in capsys.readouterr().err
    assert main([*command, "--name", "a b"]) == 2
    assert "C identifier" in capsys.readouterr().err
    with pytest.raises(TorchliquidError, match="no layer of the model takes a time"):
        to_onnx(made("lstm"), tmp_path / "o", variable_dt=True)
    with pytest.raises(TorchliquidError, match="a Resonator with a dt for each sample cannot be"):
        to_onnx(made("resonator"), tmp_path / "o", variable_dt=True)
    with pytest.raises(TorchliquidError, match="no closed step"):
        to_onnx(SequenceModel(LTC(1, 2, solver="rk4"), 1), tmp_path / "o")
    with pytest.raises(TorchliquidError, match="at most 100"):
        to_onnx(SequenceModel(LTC(1, 2, unfolds=101), 1), tmp_path / "o")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(command) == 2
    assert install_command("onnx") in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(command) == 0
    assert "checked against torch" in capsys.readouterr().out
