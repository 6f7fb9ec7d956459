"""Models on disk: the same numbers back, and one line where a file is not what it should be."""

import json
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from torchliquid import LTC, SequenceModel, TorchliquidError, load, save

LAYERS = {
    "LTC": lambda: LTC(2, 3, "euler", 4, batch_first=True, dt=0.25),
    "LTC without bias": lambda: LTC(2, 3, "rk4", bias=False),
    "LTC float64": lambda: LTC(2, 3, "exponential", dtype=torch.float64),
    "LSTM": lambda: nn.LSTM(2, 3, batch_first=True),
    "LSTM deep": lambda: nn.LSTM(2, 4, 2, False, True, bidirectional=True, proj_size=3),
    "LSTM dropout": lambda: nn.LSTM(2, 3, 2, dropout=0.5),
    "GRU": lambda: nn.GRU(2, 3),
    "GRU float64": lambda: nn.GRU(2, 3, batch_first=True, dtype=torch.float64),
}


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
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "weights.safetensors"}
    weights = load_file(tmp_path / "weights.safetensors")
    assert set(weights) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value)
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "format": "torchliquid",
        "version": 1,
        "layer": "LTC",
        "options": {
            "input_size": 1,
            "hidden_size": 8,
            "solver": "semi_implicit",
            "unfolds": 1,
            "bias": True,
            "batch_first": False,
            "dt": 1.0,
        },
        "dtype": "float32",
        "output_size": 1,
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


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    message = complaint(folder)
    assert f"{folder / name} is missing" in message


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 7, 100, -1])
def test_a_truncated_file(folder, name, keep):
    whole = (folder / name).read_bytes()
    cut = whole[:keep] if keep >= 0 else whole[:-3]
    (folder / name).write_bytes(cut)
    message = complaint(folder)
    assert "damaged" in message
    assert "save it again" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bytes", b"not json", b"\x80\x04N."])
@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_file_of_something_else(folder, name, content):
    (folder / name).write_bytes(content)
    assert "damaged" in complaint(folder)


def test_a_folder_where_a_file_should_be(folder):
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").mkdir()
    complaint(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "format 'other' version 1"),
        ({"version": 2}, "version 2"),
        ({"layer": "Elman"}, "Elman"),
        ({"layer": ["LSTM"]}, "unhashable"),
        ({"layer": "GRU"}, "proj_size"),
        ({"layer": "LTC"}, "num_layers"),
        ({"options": {}}, "missing 2 required"),
        ({"options": [1, 2]}, "mapping"),
        ({"options": {"input_size": 2, "hidden_size": 0}}, "greater than zero"),
        ({"options": {"input_size": 2, "hidden_size": 4}}, "size mismatch"),
        ({"options": {"input_size": 2, "hidden_size": 3, "bias": False}}, "Unexpected key"),
        ({"options": {"input_size": 2, "hidden_size": 3, "proj_size": 9}}, "proj_size"),
        ({"output_size": 2}, "size mismatch"),
        ({"output_size": "1"}, "output_size is '1'"),
        ({"dtype": "float99"}, "float99"),
        ({"dtype": "nn"}, "to() received"),
        ({"dtype": 32}, "string"),
        ({"dtype": "int8"}, "floating point"),
    ],
)
def test_a_configuration_that_describes_no_model(folder, change, reason):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    message = complaint(folder)
    assert reason in message
    assert "save it again" in message


@pytest.mark.parametrize("key", ["format", "version", "layer", "options", "dtype"])
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


@pytest.mark.parametrize(
    "weights", [{}, {"stranger": torch.ones(1)}, {"layer.weight_ih_l0": torch.ones(1)}]
)
def test_foreign_weights(folder, weights):
    save_file(weights, folder / "weights.safetensors")
    message = complaint(folder)
    assert re.search("Missing key|Unexpected key|size mismatch", message)


def test_weights_of_another_model(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    save(SequenceModel(LTC(2, 3), 1), other)
    (folder / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    assert "key" in complaint(folder)
