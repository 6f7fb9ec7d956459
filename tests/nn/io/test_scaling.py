import json

import pytest

from torchliquid import LTC, SequenceModel, TorchliquidError, load, save
from torchliquid.nn import Column, Scaling

VOLTS = Column("volts", 12.0, 0.5)


def test_a_saved_model_keeps_its_scaling(tmp_path):
    model = SequenceModel(LTC(1, 3), 1)
    save(model, tmp_path)
    assert load(tmp_path).scaling is None
    model.scaling = Scaling((VOLTS,), (VOLTS,), change=0.3)
    save(model, tmp_path)
    assert load(tmp_path).scaling == model.scaling


def test_scaling_must_fit_the_model(tmp_path):
    model = SequenceModel(LTC(2, 3), 1)
    model.scaling = Scaling((VOLTS,), (VOLTS,))
    with pytest.raises(TorchliquidError, match="the model has 2 and 1"):
        save(model, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "a", "offset": 0.0}]}, "expected name, offset and scale"),
        ({"inputs": 3}, "scaling is"),
        ({"outputs": [{"name": "a", "offset": 0.0, "scale": 0.0}]}, "positive"),
        ({"outputs": [{"name": 3, "offset": 0.0, "scale": 1.0}]}, "as text"),
        ({"change": -1.0}, "positive"),
        ({"more": 1}, "keys"),
    ],
)
def test_a_damaged_scaling_is_said(change, words, tmp_path):
    model = SequenceModel(LTC(1, 3), 1)
    model.scaling = Scaling((VOLTS,), (VOLTS,))
    save(model, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["scaling"] |= change
    path.write_text(json.dumps(config))
    with pytest.raises(TorchliquidError, match=words):
        load(tmp_path)


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"scale": -1.0}, {"offset": float("nan")}])
def test_a_column_must_be_numbers(bad):
    with pytest.raises(TorchliquidError, match="number"):
        Column("a", **bad)


def test_changes_are_of_the_first_input():
    with pytest.raises(TorchliquidError, match="scaled like that"):
        Scaling((VOLTS,), (Column("volts", 0.0, 1.0),), change=1.0)


def test_physical_values_go_in_and_come_out():
    import torch

    degrees = Column("degrees", -3.0, 10.0)
    plain = Scaling((VOLTS, degrees), (degrees,))
    x = torch.tensor([[[12.0, 7.0], [14.0, -3.0]]])
    torch.testing.assert_close(
        plain.encode(x),
        (x - torch.tensor([VOLTS.offset, -3.0])) / torch.tensor([VOLTS.scale, 10.0]),
    )
    torch.testing.assert_close(plain.decode(torch.tensor([[2.0]])), torch.tensor([[17.0]]))
    assert plain.decode([[2.0]]).tolist() == [[17.0]]
    change = Scaling((VOLTS,), (VOLTS,), change=0.3)
    encoded = change.encode([[VOLTS.offset + 2 * VOLTS.scale]])
    wanted = VOLTS.offset + (2 + 0.3 * 5) * VOLTS.scale
    assert change.decode([[5.0]], encoded)[0, 0] == pytest.approx(wanted)
    for call, words in (
        (lambda: change.decode([[5.0]]), "give what it was given"),
        (lambda: plain.encode([[1.0]]), r"expected 2 in the last dimension"),
        (lambda: plain.encode(3.0), "shape"),
        (lambda: plain.decode([[1.0, 2.0]]), "expected 1"),
    ):
        with pytest.raises(TorchliquidError, match=words):
            call()


def test_a_model_says_that_it_expects_scaled_inputs():
    model = SequenceModel(LTC(1, 4), 1)
    assert "scaled" not in repr(model)
    model.scaling = Scaling((VOLTS,), (VOLTS,), change=0.3)
    assert "scaled inputs (volts = " in repr(model)
    assert "scaled outputs (changes of volts)" in repr(model)
