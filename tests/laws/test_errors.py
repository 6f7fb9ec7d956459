"""Every mistake that a caller can make gets one line: what was given, what was expected."""

import re

import pytest
import torch
from torch import nn

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, load, save, time_constants

NAN, INF = float("nan"), float("inf")


def complaint(call) -> str:
    with pytest.raises(TorchliquidError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert 20 < len(message) < 400
    return message


def check(call, *fragments):
    message = complaint(call)
    for fragment in fragments:
        assert fragment in message


def ones(*shape):
    return torch.ones(shape)


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"input_size": 0}, ["input_size is 0", "at least 1"]),
        ({"input_size": 2.0}, ["input_size is 2.0", "integer"]),
        ({"input_size": True}, ["input_size is True"]),
        ({"hidden_size": -3}, ["hidden_size is -3"]),
        ({"hidden_size": "8"}, ["hidden_size is '8'"]),
        ({"solver": "heun"}, ["'heun'", "semi_implicit, euler, exponential, rk4"]),
        ({"solver": None}, ["solver is None", "semi_implicit"]),
        ({"unfolds": 0}, ["unfolds is 0", "at least 1"]),
        ({"unfolds": 1.5}, ["unfolds is 1.5", "integer"]),
        ({"dt": 0.0}, ["dt is 0", "positive"]),
        ({"dt": -0.1}, ["dt is -0.1", "not negative"]),
        ({"dt": NAN}, ["dt is nan"]),
        ({"dt": INF}, ["dt is inf", "finite"]),
        ({"dt": "0.1"}, ["dt is a str", "float"]),
        ({"dt": True}, ["dt is a bool"]),
    ],
)
def test_ltc_options(options, fragments):
    check(lambda: LTC(**({"input_size": 2, "hidden_size": 3} | options)), *fragments)


# One row: batch_first, x, h0, dt, and what the message must say. The layer is LTC(2, 3).
X = ones(4, 5, 2)
CALLS = [
    (True, ones(2), None, None, ["x has shape (2,)", "(B, L, I) or (L, I) with I = 2"]),
    (False, ones(4, 5, 3), None, None, ["x has shape (4, 5, 3)", "(L, B, I)", "I = 2"]),
    (False, ones(1, 4, 5, 2), None, None, ["x has shape (1, 4, 5, 2)"]),
    (True, torch.tensor(1.0), None, None, ["x has shape ()"]),
    (True, [[1.0, 2.0]], None, None, ["x is a list", "tensor"]),
    (True, X.double(), None, None, ["torch.float64", "torch.float32", "x.to(torch.float32)"]),
    (True, X.long(), None, None, ["x is torch.int64", "torch.float32"]),
    (True, ones(4, 0, 2), None, None, ["x has shape (4, 0, 2)", "no sample"]),
    (False, ones(0, 5, 2), None, None, ["x has shape (0, 5, 2)", "no sample"]),
    (False, ones(0, 2), None, None, ["x has shape (0, 2)", "no sample"]),
    (True, X, ones(4, 3), None, ["h0 has shape (4, 3)", "expected (1, 4, 3)"]),
    (False, X, ones(1, 4, 3), None, ["h0 has shape (1, 4, 3)", "expected (1, 5, 3)"]),
    (True, X, ones(1, 4, 2), None, ["h0 has shape (1, 4, 2)", "expected (1, 4, 3)"]),
    (True, X, ones(2, 4, 3), None, ["h0 has shape (2, 4, 3)", "expected (1, 4, 3)"]),
    (True, X[0], ones(1, 1, 3), None, ["h0 has shape (1, 1, 3)", "expected (1, 3)"]),
    (True, X, ones(1, 4, 3).double(), None, ["h0 is torch.float64", "x torch.float32"]),
    (True, X, (ones(1, 4, 3),) * 2, None, ["h0 is a tuple", "(1, 4, 3)"]),
    (True, X, None, ones(5, 4), ["dt has shape (5, 4)", "(B, L) = (4, 5)", "float"]),
    (False, X, None, ones(5, 4), ["dt has shape (5, 4)", "(L, B) = (4, 5)", "float"]),
    (True, X, None, ones(4), ["dt has shape (4,)", "(B, L) = (4, 5)"]),
    (True, X, None, ones(4, 5, 2), ["dt has shape (4, 5, 2)", "(B, L) = (4, 5)"]),
    (True, X, None, ones(1, 5), ["dt has shape (1, 5)", "(B, L) = (4, 5)"]),
    (True, X, None, -torch.tensor(0.1), ["dt", "negative"]),
    (
        True,
        X,
        None,
        torch.tensor([0.1]),
        ["dt has shape (1,)", "a float, (B, L) = (4, 5)"],
    ),
    (True, X[0], None, ones(1, 5), ["dt has shape (1, 5)", "(L,) = (5,)"]),
    (False, X, None, ones(5), ["dt has shape (5,)", "(L, B) = (4, 5)", "(L,) = (4,)"]),
    (True, X, None, -ones(4, 5), ["dt", "negative"]),
    (True, X, None, ones(4, 5) > 0, ["dt is torch.bool", "real numbers"]),
    (True, X, None, ones(4, 5) * 1j, ["dt is torch.complex64", "real numbers"]),
    (True, X, None, ones(4, 5) * NAN, ["dt", "finite"]),
    (True, X, None, ones(4, 5) * INF, ["dt", "finite"]),
    (True, X, None, ones(4, 5).double() * 1e300, ["dt", "finite"]),  # inf in x's float32
    (True, X, None, -1, ["dt is -1", "not negative"]),
    (True, X, None, NAN, ["dt is nan"]),
    (True, X, None, "1", ["dt is a str"]),
    (True, X, None, [0.1] * 5, ["dt is a list", "float"]),
    (True, X, None, X.numpy(), ["dt is a ndarray", "tensor"]),
]
IDS = [re.sub(r"\W+", "-", row[-1][0]) for row in CALLS]


@pytest.mark.parametrize(("batch_first", "x", "h0", "dt", "fragments"), CALLS, ids=IDS)
def test_layer_model_and_time_constants_say_the_same(batch_first, x, h0, dt, fragments):
    layer = LTC(2, 3, batch_first=batch_first)
    check(lambda: layer(x, h0, dt), *fragments)
    expected = complaint(lambda: layer(x, h0, dt))
    assert complaint(lambda: SequenceModel(layer, 1)(x, h0, dt)) == expected
    assert complaint(lambda: time_constants(layer, x, h0, dt)) == expected


@pytest.mark.parametrize("wrong", [-1.0, NAN, INF])
def test_one_wrong_dt_among_many_is_found(wrong):
    dt = ones(4, 5)
    dt[3, 4] = wrong
    check(lambda: LTC(2, 3, batch_first=True)(X, dt=dt), "dt", "negative or not finite")


def test_whole_numbers_are_times_too():
    layer = LTC(2, 3, batch_first=True)
    whole = torch.full((4, 5), 2)
    assert torch.equal(layer(X, dt=whole)[0], layer(X, dt=2.0)[0])
    assert torch.equal(layer(X, dt=2)[0], layer(X, dt=2.0)[0])


@pytest.mark.parametrize(
    ("make", "fragments"),
    [
        (lambda: SequenceModel(nn.Linear(1, 1), 1), ["a Linear", "nn.LSTM or nn.GRU"]),
        (lambda: SequenceModel(None, 1), ["a NoneType"]),
        (lambda: SequenceModel(nn.RNN(1, 1), 1), ["a RNN", "liquid layer"]),
        (lambda: SequenceModel(LTC(1, 1), 0), ["output_size is 0", "at least 1"]),
        (lambda: SequenceModel(LTC(1, 1), "1"), ["output_size is '1'", "integer"]),
        (lambda: SequenceModel(nn.LSTM(2, 3), 1)(X, dt=0.1), ["dt", "nn.LSTM", "leave it out"]),
        (lambda: SequenceModel(nn.GRU(2, 3), 1)(X, dt=0.1), ["dt", "nn.GRU", "feature"]),
        (lambda: time_constants(nn.LSTM(2, 3), X), ["a LSTM", "only liquid layers"]),
        (lambda: time_constants(SequenceModel(nn.GRU(2, 3), 1), X), ["a GRU", "only liquid"]),
    ],
)
def test_model(make, fragments):
    check(make, *fragments)


def liquid(seed=0):
    return SequenceModel(LTC(2, 3, batch_first=True), 1)


@pytest.mark.parametrize(
    ("make_model", "seeds", "fragments"),
    [
        (liquid, [], ["seeds is empty", "at least one"]),
        (liquid, 3, ["seeds is 3", "range(3)"]),
        (lambda s: LTC(2, 3), [1], ["returned a LTC", "SequenceModel"]),
        (lambda s: None, [1, 2], ["returned a NoneType", "SequenceModel"]),
        (lambda s: SequenceModel(LTC(2, 3 + s), 1), [4, 5], ["seeds 4 and 5", "shape"]),
        (lambda s: SequenceModel(LTC(2, 3, unfolds=s), 1), [1, 2], ["seeds 1 and 2", "options"]),
        (lambda s: SequenceModel(LTC(2, 3, dt=s), 1), [1, 2], ["seeds 1 and 2", "options"]),
        (lambda s: liquid().to([torch.float32, torch.float64][s]), [0, 1], ["0 and 1", "dtype"]),
        (lambda s: SequenceModel(nn.LSTM(2, 3, proj_size=2), 1), [1], ["without projection"]),
    ],
)
def test_pack_construction(make_model, seeds, fragments):
    check(lambda: Pack(make_model, seeds), *fragments)


@pytest.mark.parametrize(
    ("x", "h0", "dt", "fragments"),
    [
        ([1.0], None, None, ["x is a list"]),
        (ones(5, 2), None, None, ["x has shape (5, 2)", "S = 3, I = 2"]),
        (ones(4, 5, 3), None, None, ["x has shape (4, 5, 3)", "I = 2"]),
        (ones(2, 4, 5, 2), None, None, ["x has shape (2, 4, 5, 2)", "S = 3"]),
        (ones(4, 0, 2), None, None, ["x has shape (4, 0, 2)", "no sample"]),
        (X.double(), None, None, ["x is torch.float64", "torch.float32"]),
        (X, ones(1, 4, 3), None, ["(1, 4, 3)", "expected (3, 1, 4, 3)"]),
        (X, ones(3, 1, 4, 2), None, ["(3, 1, 4, 2)", "expected (3, 1, 4, 3)"]),
        (X, ones(3, 1, 4, 3).double(), None, ["torch.float64", "torch.float32"]),
        (X, (ones(3, 1, 4, 3),) * 2, None, ["a tuple", "expected a tensor (3, 1, 4, 3)"]),
        (X, None, ones(5, 4), ["dt has shape (5, 4)", "(3, 4, 5), (4, 5) or (5,)"]),
        (X, None, ones(4), ["dt has shape (4,)", "(3, 4, 5), (4, 5) or (5,)"]),
        (X, None, ones(1), ["dt has shape (1,)", "a float"]),
        (X, None, -ones(4, 5), ["dt", "negative"]),
        (X, None, ones(3, 4, 5) * NAN, ["dt", "finite"]),
        (X, None, NAN, ["dt is nan"]),
        (X, None, "1", ["dt is a str"]),
    ],
)
def test_pack_calls(x, h0, dt, fragments):
    pack = Pack(liquid, range(3))
    check(lambda: pack(x, h0, dt), *fragments)
    check(lambda: pack.states(x, h0, dt), *fragments)
    check(lambda: pack.time_constants(x, h0, dt), *fragments)


def test_pack_of_torch_layers():
    state = ones(3, 1, 4, 3)
    pack = Pack(lambda s: SequenceModel(nn.LSTM(2, 3, batch_first=True), 1), range(3))
    check(lambda: pack(X, state), "h0 is a Tensor", "a pair (h, c)", "(3, 1, 4, 3)")
    check(lambda: pack(X, (state, state[0])), "(1, 4, 3)", "expected (3, 1, 4, 3)")
    check(lambda: pack(X, dt=0.1), "dt", "nn.LSTM", "leave it out")
    check(lambda: pack.time_constants(X), "LSTM", "no time constants")


def test_saving(tmp_path):
    file = tmp_path / "file"
    file.write_text("here already")
    check(lambda: save(liquid(), file), str(file), "give a folder")
    check(lambda: save(liquid(), file / "below"), str(file / "below"), "give a folder")
    check(lambda: save(nn.Linear(1, 1), tmp_path), "cannot save a Linear", "LSTM, GRU, ", " LTC,")
    check(lambda: save(Pack(liquid, [1]), tmp_path), "cannot save a Pack", "SequenceModel")
    check(lambda: load(tmp_path / "nowhere"), str(tmp_path / "nowhere"), "missing")
    assert file.read_text() == "here already"
    assert list(tmp_path.iterdir()) == [file]


def test_the_error_is_a_value_error():
    with pytest.raises(ValueError, match="input_size"):
        LTC(0, 1)
