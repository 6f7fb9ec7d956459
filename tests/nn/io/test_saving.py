"""Models on disk: the same numbers back, and one line where a file is not what it should be."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

from torchliquid import LTC, SequenceModel, TorchliquidError, load, save
from torchliquid.nn import CTRNN

LAYERS = {
    "LTC": lambda: LTC(2, 3, solver="euler", unfolds=4, batch_first=True, dt=0.25),
    "LTC without bias": lambda: LTC(2, 3, solver="rk4", bias=False),
    "LTC float64": lambda: LTC(2, 3, solver="exponential", dtype=torch.float64),
    "LTC deep": lambda: LTC(2, 4, 2, False, True, bidirectional=True, proj_size=3),
    "LTC dropout": lambda: LTC(2, 3, 2, dropout=0.5),
    "CTRNN deep": lambda: CTRNN(2, 3, 2, bidirectional=True),
    "LSTM": lambda: nn.LSTM(2, 3, batch_first=True),
    "LSTM deep": lambda: nn.LSTM(2, 4, 2, False, True, bidirectional=True, proj_size=3),
    "LSTM dropout": lambda: nn.LSTM(2, 3, 2, dropout=0.5),
    "GRU": lambda: nn.GRU(2, 3),
    "GRU float64": lambda: nn.GRU(2, 3, batch_first=True, dtype=torch.float64),
}


def weights_file(folder):
    (found,) = folder.glob("weights-*.safetensors")
    return found


@pytest.mark.parametrize("whole", [True, False], ids=["model", "layer"])
@pytest.mark.parametrize("kind", LAYERS)
def test_round_trip(tmp_path, kind, whole):
    layer = LAYERS[kind]()
    model = SequenceModel(layer, 4) if whole else layer
    save(model, tmp_path / "new" / "folder")
    back = load(str(tmp_path / "new" / "folder"))
    assert type(back) is type(model)
    assert repr(back) == repr(model)
    kept, found = model.state_dict(), back.state_dict()
    assert list(kept) == list(found)
    for name, value in kept.items():
        assert value.dtype == found[name].dtype
        assert torch.equal(value, found[name])
    assert all(parameter.requires_grad for parameter in back.parameters())
    x = torch.randn(4, 5, 2, dtype=torch.float64)  # torch warns of projections in float32
    assert torch.equal(back.double().eval()(x)[0], model.double().eval()(x)[0])


def test_files_are_safetensors_and_json_and_nothing_else(tmp_path):
    model = SequenceModel(LTC(1, 8), 1)
    save(model, tmp_path)
    file = weights_file(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", file.name}
    weights = load_file(file)
    assert set(weights) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value)
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "format": "torchliquid",
        "version": 3,
        "layer": "LTC",
        "options": {
            "input_size": 1,
            "hidden_size": 8,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
            "solver": "semi_implicit",
            "unfolds": 1,
            "dt": 1.0,
        },
        "frozen": [],
        "weights": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "output_size": 1,
        "readout_bias": True,
    }


def test_saving_does_not_touch_pickle(tmp_path):
    """In a process where any unpickling, and any pickling by torch, stops at once."""
    code = f"""
import pickle, torch
from torchliquid import LTC, SequenceModel, load, save
def stop(*args, **kwargs): raise SystemExit("pickle was used")
pickle.load = pickle.loads = pickle.dump = pickle.dumps = pickle.Unpickler = stop
torch.load = torch.save = stop
save(SequenceModel(LTC(1, 2), 1), {str(tmp_path)!r})
load({str(tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_saving_again_replaces(tmp_path):
    save(SequenceModel(nn.LSTM(1, 2), 1), tmp_path)
    model = SequenceModel(LTC(1, 8), 1)
    save(model, tmp_path)
    x = torch.randn(5, 1)
    assert torch.equal(load(tmp_path)(x)[0], model(x)[0])


def test_the_model_goes_on_learning_after_saving(tmp_path):
    model = SequenceModel(LTC(1, 8), 1)
    save(model, tmp_path)
    kept = load(tmp_path)
    with torch.no_grad():
        model.readout.weight.zero_()
    assert kept.readout.weight.abs().max() > 0
    assert load(tmp_path).readout.weight.abs().max() > 0


@pytest.fixture
def folder(tmp_path):
    save(SequenceModel(nn.LSTM(2, 3), 1), tmp_path)
    return tmp_path


def complaint(folder) -> str:
    with pytest.raises(TorchliquidError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert len(message) < 250 + 3 * len(str(folder))
    return message


def file_of(folder, name):
    return folder / "config.json" if name == "config" else weights_file(folder)


@pytest.mark.parametrize("name", ["config", "weights"])
def test_a_missing_file_is_named(folder, name):
    file = file_of(folder, name)
    file.unlink()
    assert f"{file} is missing" in complaint(folder)


@pytest.mark.parametrize("name", ["config", "weights"])
@pytest.mark.parametrize("keep", [0, 1, 7, 100, -1])
def test_a_truncated_file(folder, name, keep):
    file = file_of(folder, name)
    whole = file.read_bytes()
    file.write_bytes(whole[:keep] if keep >= 0 else whole[:-3])
    message = complaint(folder)
    assert "damaged" in message
    assert "save it again" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bytes", b"not json", b"\x80\x04N."])
@pytest.mark.parametrize("name", ["config", "weights"])
def test_a_file_of_something_else(folder, name, content):
    file_of(folder, name).write_bytes(content)
    assert "damaged" in complaint(folder)


@pytest.mark.parametrize("name", ["config", "weights"])
def test_a_folder_where_a_file_should_be(folder, name):
    file = file_of(folder, name)
    file.unlink()
    file.mkdir()
    assert "not a regular file" in complaint(folder)


@pytest.mark.parametrize("name", ["config", "weights"])
def test_a_pipe_or_a_device_is_not_read(folder, name):
    file = file_of(folder, name)
    file.unlink()
    os.mkfifo(file)
    assert "not a regular file" in complaint(folder)
    file.unlink()
    file.symlink_to("/dev/zero")
    assert "not a regular file" in complaint(folder)


def test_one_bit_of_the_weights(folder):
    file = weights_file(folder)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert "checksum" in complaint(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, " " * 2**21, "[" * 2**21])
def test_a_configuration_that_is_deep_or_long(folder, text):
    (folder / "config.json").write_text(text)
    complaint(folder)


OPTIONS = {
    "input_size": 2,
    "hidden_size": 3,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "proj_size": 0,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "format 'other' version 3"),
        ({"version": 1}, "version 1; this is version 3"),
        ({"version": True}, "version True"),
        ({"layer": "Elman"}, "Elman"),
        ({"layer": ["LSTM"]}, "LSTM"),
        ({"layer": "GRU"}, "proj_size"),
        ({"layer": "LTC"}, "options has no key 'dt'"),
        ({"options": {}}, "options has no key"),
        ({"options": [1, 2]}, "not an object"),
        ({"options": OPTIONS | {"hidden_size": 0}}, "hidden_size is 0"),
        ({"options": OPTIONS | {"hidden_size": 4}}, "size mismatch"),
        ({"options": OPTIONS | {"hidden_size": 40_000}}, "size mismatch"),
        ({"options": OPTIONS | {"hidden_size": 10**12}}, "hidden_size is 1000000000000"),
        ({"options": OPTIONS | {"hidden_size": 2**31 - 1}}, ""),
        ({"options": OPTIONS | {"num_layers": 100_000}}, "num_layers is 100000"),
        ({"options": OPTIONS | {"num_layers": 10**9}}, "num_layers is 1000000000"),
        ({"options": OPTIONS | {"num_layers": 2}}, "missing weight"),
        ({"options": OPTIONS | {"bias": False}}, "unknown weight"),
        ({"options": OPTIONS | {"bias": "x"}}, "bias is 'x'"),
        ({"options": OPTIONS | {"batch_first": "False"}}, "batch_first is 'False'"),
        ({"options": OPTIONS | {"proj_size": 9}}, "proj_size"),
        ({"options": OPTIONS | {"device": "cuda"}}, "unknown key 'device'"),
        ({"options": OPTIONS | {"dtype": "float64"}}, "unknown key 'dtype'"),
        ({"options": OPTIONS | {"dropout": True}}, "dropout is True"),
        ({"output_size": 2}, "size mismatch"),
        ({"output_size": "1"}, "output_size is '1'"),
        ({"readout_bias": False}, "unknown weight"),
        ({"readout_bias": "yes"}, "readout_bias is 'yes'"),
        ({"frozen": "all"}, "frozen is 'all'"),
        ({"frozen": ["layer.none"]}, "layer.none"),
        ({"weights": "../weights.safetensors"}, "not the name of a file"),
        ({"weights": 3}, "weights is 3"),
        ({"extra": 1}, "unknown key 'extra'"),
    ],
)
def test_a_configuration_that_describes_no_model(folder, change, reason):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    message = complaint(folder)
    assert reason in message
    assert "save it again" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"unfolds": 10**12}, "unfolds is 1000000000000"),
        ({"hidden_size": 30_000}, "size mismatch"),
        ({"device": "meta"}, "unknown key 'device'"),
        ({"dt": -1.0}, "dt is -1.0"),
        ({"dt": "0.1"}, "dt is '0.1'"),
        ({"solver": "heun"}, "solver is 'heun'"),
        ({"batch_first": 1}, "batch_first is 1"),
    ],
)
def test_options_of_a_liquid_layer(tmp_path, change, reason):
    save(SequenceModel(LTC(2, 3), 1), tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["options"] |= change
    file.write_text(json.dumps(config))
    assert reason in complaint(tmp_path)


def test_a_model_of_version_2_is_read(tmp_path):
    model = SequenceModel(LTC(2, 3), 1)
    save(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["version"] = 2
    for name in ("num_layers", "dropout", "bidirectional", "proj_size"):
        del config["options"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    x = torch.randn(4, 2)
    assert torch.equal(load(tmp_path)(x)[0], model(x)[0])


@pytest.mark.parametrize("key", ["format", "version", "layer", "options", "frozen", "sha256"])
def test_a_configuration_without_a_key(folder, key):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    del config[key]
    file.write_text(json.dumps(config))
    assert key in complaint(folder)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"torchliquid"'])
def test_a_configuration_that_is_no_object(folder, text):
    (folder / "config.json").write_text(text)
    complaint(folder)


def rewrite(folder, weights):
    """Other weights under the same configuration, checksum and all."""
    save_file(weights, weights_file(folder))
    file = folder / "config.json"
    digest = hashlib.sha256(weights_file(folder).read_bytes()).hexdigest()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sha256": digest}))


@pytest.mark.parametrize(
    "weights", [{}, {"stranger": torch.ones(1)}, {"layer.weight_ih_l0": torch.ones(1)}]
)
def test_foreign_weights(folder, weights):
    rewrite(folder, weights)
    assert re.search("missing weight|unknown weight|size mismatch|num_layers", complaint(folder))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool, torch.uint8])
def test_weights_that_are_no_real_numbers(folder, dtype):
    weights = load_file(weights_file(folder))
    rewrite(folder, weights | {"readout.bias": weights["readout.bias"].to(dtype)})
    assert "not real numbers" in complaint(folder)


def test_weights_of_another_model(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    save(SequenceModel(LTC(2, 3), 1), other)
    weights_file(folder).write_bytes(weights_file(other).read_bytes())
    assert "weight" in complaint(folder)


def test_a_configuration_commands_no_memory(folder):
    """What the weights' header does not bear out is not allocated, nor waited for."""
    tracemalloc.start()
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for change in ({"hidden_size": 2**30}, {"num_layers": 2**30}, {"input_size": 2**30}):
        file.write_text(json.dumps(config | {"options": config["options"] | change}))
        complaint(folder)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    resource = pytest.importorskip("resource")  # Windows has none
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    complaint(folder)
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 50e6


# What goes in comes out, or does not go in


def test_every_dtype_is_kept(tmp_path):
    model = SequenceModel(LTC(2, 3, dtype=torch.bfloat16), 1)
    model.readout.double()
    with torch.no_grad():
        model.readout.weight.fill_(1.001)
    save(model, tmp_path)
    back = load(tmp_path)
    for name, value in model.state_dict().items():
        assert back.state_dict()[name].dtype == value.dtype
        assert torch.equal(back.state_dict()[name], value)


def test_a_readout_without_bias_and_frozen_weights(tmp_path):
    model = SequenceModel(LTC(2, 3), 2)
    model.readout = nn.Linear(3, 2, bias=False)
    model.layer.raw_tau_l0.requires_grad_(False)
    save(model, tmp_path)
    back = load(tmp_path)
    x = torch.randn(5, 2)
    assert torch.equal(back(x)[0], model(x)[0])
    trained = {n for n, p in back.named_parameters() if p.requires_grad}
    assert trained == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("layer", [lambda: LTC(2, 3), lambda: nn.LSTM(2, 3), lambda: nn.GRU(2, 3)])
@pytest.mark.parametrize("whole", [False, True])
def test_computed_weights_are_saved_as_they_are(tmp_path, layer, whole):
    module = layer()
    prune.random_unstructured(module, "weight_hh_l0", 0.5)
    parametrizations.weight_norm(module, "weight_ih_l0")
    model = SequenceModel(module, 1) if whole else module
    with pytest.warns(UserWarning, match="saved as they are now"):
        save(model, tmp_path)
    back, x = load(tmp_path), torch.randn(5, 2)
    torch.testing.assert_close(back(x)[0], model(x)[0])
    assert type(back.layer if whole else back) in (LTC, nn.LSTM, nn.GRU)


class MyModel(SequenceModel):
    pass


class MyLTC(LTC):
    pass


def tied():
    model = SequenceModel(LTC(2, 3), 1)
    model.layer.target_l0 = model.layer.raw_tau_l0
    return model


def buffered():
    model = SequenceModel(LTC(2, 3), 1)
    model.layer.register_buffer("mean", torch.zeros(1))
    return model


def replaced():
    model = SequenceModel(LTC(2, 3), 1)
    model.layer.forward = lambda x: x
    return model


def other_readout():
    model = SequenceModel(LTC(2, 3), 1)
    model.readout = nn.Sequential(nn.Linear(3, 1))
    return model


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda: MyModel(LTC(2, 3), 1), "a MyModel"),
        (lambda: SequenceModel(MyLTC(2, 3), 1), "a MyLTC"),
        (lambda: MyLTC(2, 3), "a MyLTC"),
        (tied, "tied"),
        (buffered, "the buffer layer.mean"),
        (replaced, "forward"),
        (other_readout, "a Sequential"),
        (lambda: 3, "a int"),
    ],
)
def test_what_load_could_not_give_back_is_not_saved(tmp_path, make, fragment):
    with pytest.raises(TorchliquidError, match="cannot save") as caught:
        save(make(), tmp_path)
    assert fragment in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# All of it or none of it


def test_a_save_that_dies_leaves_what_was_there(tmp_path):
    """At every write and rename of a save in turn."""
    old, new = SequenceModel(LTC(1, 8), 1), SequenceModel(nn.LSTM(1, 2), 1)
    save(old, tmp_path)
    code = f"""
import os, sys, pathlib, torch
from torch import nn
from torchliquid import SequenceModel, save
left = int(sys.argv[1])
def dying(function):
    def call(*a, **k):
        global left
        left -= 1
        if left < 0: os._exit(9)
        return function(*a, **k)
    return call
for name in ("write_bytes", "replace", "unlink"):
    setattr(pathlib.Path, name, dying(getattr(pathlib.Path, name)))
save(SequenceModel(nn.LSTM(1, 2), 1), {str(tmp_path)!r})
"""
    kinds = []
    for left in range(12):
        save(old, tmp_path)
        done = subprocess.run([sys.executable, "-c", code, str(left)], capture_output=True)
        kinds.append(type(load(tmp_path).layer))
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
    assert kinds[0] is LTC
    assert kinds[-1] is nn.LSTM
    assert kinds == sorted(kinds, key=lambda kind: kind is nn.LSTM)
    assert len(kinds) > 4
    save(new, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # what dying saves left is swept


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    save(SequenceModel(LTC(1, 2), 1), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TorchliquidError, match="No space left on device") as caught:
        save(SequenceModel(LTC(1, 3), 1), tmp_path)
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_configuration_of_somebody_else_is_not_replaced(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TorchliquidError, match="was not written by torchliquid"):
        save(LTC(1, 2), tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "bert"}'
    assert len(list(tmp_path.iterdir())) == 1
