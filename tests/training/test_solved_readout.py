"""Solved readouts: the regression of the states, and steps of the rest, against plain loops."""

import signal

import numpy as np
import pytest
import torch
from torch import nn

import torchliquid as tl
from torchliquid.errors import TorchliquidError
from torchliquid.training._solved_readout import SolvedTraining

PENALTY = 1e-3
LAYERS = {
    "LTC": lambda: tl.LTC(2, 5, batch_first=True),
    "LSTM": lambda: nn.LSTM(2, 3, batch_first=True),
    "time first": lambda: tl.LTC(2, 5),
}


def model_of(name, outputs=1, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return tl.SequenceModel(LAYERS[name](), outputs).to(dtype)


def data(rows=3, steps=40, outputs=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, steps, 2, generator=generator, dtype=dtype)
    return x, x.cumsum(1)[..., :1].tanh().expand(-1, -1, outputs) * torch.arange(1, outputs + 1)


def laid_out(name, *tensors):
    return [t.transpose(0, 1) if name == "time first" else t for t in tensors]


def regression(states, y, weight, penalty):
    """Weights ``(O, K)`` and bias ``(O,)``: stacked equations, the bias found by centring."""
    F, Y = states.reshape(-1, states.shape[-1]), y.reshape(-1, y.shape[-1])
    w = (weight / weight.sum()).reshape(-1, 1)
    mean_f, mean_y = (w * F).sum(0), (w * Y).sum(0)
    size = (w * (F - mean_f) ** 2).sum(0).mean()
    shrink = np.sqrt(penalty * size) * np.eye(F.shape[1])
    A = np.concatenate([np.sqrt(w) * (F - mean_f), shrink])
    b = np.concatenate([np.sqrt(w) * (Y - mean_y), np.zeros((F.shape[1], Y.shape[1]))])
    solved = np.linalg.lstsq(A, b)[0]
    return solved.T, mean_y - mean_f @ solved


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_the_readout_is_the_regression_on_the_states(name, outputs):
    model = model_of(name, outputs)
    x, y = data(outputs=outputs)
    weight = torch.rand(3, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight[0, 7], weight[:, :5] = 0, 0
    y[0, 7] = np.nan  # it does not count
    given = laid_out(name, x, y, weight)
    tl.fit(model, *given[:2], weight=given[2], epochs=3, readout="solve", penalty=PENALTY)
    with torch.no_grad():
        states = laid_out(name, model.layer(given[0])[0])[0]
    expected, bias = regression(states.numpy(), y.nan_to_num().numpy(), weight.numpy(), PENALTY)
    np.testing.assert_allclose(model.readout.weight.detach(), expected, rtol=1e-6)
    np.testing.assert_allclose(model.readout.bias.detach(), bias, rtol=1e-6)


@pytest.mark.parametrize("name", ["LTC", "LSTM"])
def test_the_rest_takes_the_steps_of_a_plain_loop(name):
    model, plain = model_of(name), model_of(name)
    x, y = data()
    options = {"lr": 0.02, "weight_decay": 0.1}
    history = tl.fit(model, x, y, epochs=4, readout="solve", penalty=PENALTY, **options)
    optimiser = torch.optim.AdamW(plain.layer.parameters(), **options)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        states = plain.layer(x)[0]
        solved, bias = (
            torch.from_numpy(t)
            for t in regression(states.detach().numpy(), y.numpy(), np.ones((3, 40)), PENALTY)
        )
        loss = (states @ solved.T + bias - y).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    np.testing.assert_allclose(history.loss, losses, rtol=1e-6)
    for key, value in plain.layer.state_dict().items():
        torch.testing.assert_close(model.layer.state_dict()[key], value, atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", ["LTC", "LSTM"])
def test_a_lane_is_its_model_alone(name):
    x, y = data(dtype=torch.float32)
    y = torch.stack([y, -2 * y])  # a series for each lane
    pack = tl.Pack(lambda seed: model_of(name, seed=seed, dtype=torch.float32), range(2))
    options = {"epochs": 5, "readout": "solve", "lr": 0.02}
    tl.fit(pack, x, y, penalty=[1e-3, 1e-2], **options)
    for lane, penalty in enumerate((1e-3, 1e-2)):
        alone = model_of(name, seed=lane, dtype=torch.float32)
        tl.fit(alone, x, y[lane], penalty=penalty, **options)
        for key, value in alone.state_dict().items():
            found = pack.lane(lane).state_dict()[key]
            torch.testing.assert_close(found, value, atol=1e-4, rtol=1e-3)


def test_rows_in_parts_give_the_same_regression(monkeypatch):
    x, y = data(rows=5)
    whole, parts = model_of("LTC"), model_of("LTC")
    tl.fit(whole, x, y, epochs=2, readout="solve")
    monkeypatch.setattr("torchliquid.training._torch_training.LARGEST", 500)
    tl.fit(parts, x, y, epochs=2, readout="solve")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, atol=1e-9, rtol=0)


def test_the_best_weights_are_those_of_the_best_validation():
    x, y = data()
    noise = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    model = model_of("LSTM")
    valid = {"x": x[2:], "y": y[2:]}
    history = tl.fit(model, x[:2], (y + 0.5 * noise)[:2], epochs=60, lr=0.05, readout="solve",
                     validation=valid, patience=20)  # fmt: skip
    assert history.best_epoch < history.epochs
    with torch.no_grad():
        found = (model(valid["x"])[0] - valid["y"]).square().mean()
    assert found.item() == pytest.approx(history.best, rel=1e-6)


def test_it_takes_fewer_epochs():
    t = torch.arange(200.0)
    x = (torch.sin(0.3 * t) + 0.5 * torch.sin(0.9 * t)).view(1, -1, 1)
    losses = {}
    for readout in ("train", "solve"):
        torch.manual_seed(0)
        model = tl.SequenceModel(tl.LTC(1, 8, batch_first=True), 1)
        losses[readout] = tl.fit(model, x[:, :-1], x[:, 1:], epochs=60, readout=readout).loss[-1]
    assert losses["solve"] < 0.3 * losses["train"]


def test_constant_states_predict_the_mean():
    x, y = data()
    model = model_of("LTC")
    with torch.no_grad():
        for p in model.layer.parameters():
            p.zero_()
    tl.fit(model, x, y, epochs=1, lr=0.0, readout="solve", penalty=1e-30)
    torch.testing.assert_close(model(x)[0], y.mean().expand(y.shape), atol=1e-6, rtol=0)


def test_a_readout_without_bias_is_not_centred():
    x, y = data()
    model = model_of("LTC")
    model.readout = nn.Linear(5, 1, bias=False).double()
    tl.fit(model, x, y, epochs=2, readout="solve", penalty=PENALTY)
    with torch.no_grad():
        states = model.layer(x)[0].reshape(-1, 5).numpy()
    shrink = np.sqrt(PENALTY * (states**2).sum(0).mean()) * np.eye(5)
    aim = np.append(y.flatten().numpy(), np.zeros(5))
    expected = np.linalg.lstsq(np.concatenate([states, shrink]), aim)[0]
    np.testing.assert_allclose(model.readout.weight.detach()[0], expected, rtol=1e-6)


def test_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    x, y = data()
    whole, again = model_of("LTC"), model_of("LTC")
    options = {"epochs": 8, "readout": "solve", "lr": 0.02}
    tl.fit(whole, x, y, **options)
    step = SolvedTraining._backward

    def interrupted(training, rows):
        if training.epoch == 3:
            signal.raise_signal(signal.SIGINT)
        return step(training, rows)

    with monkeypatch.context() as patch:
        patch.setattr(SolvedTraining, "_backward", interrupted)
        assert tl.fit(again, x, y, checkpoint=tmp_path / "c", **options).ends == "interrupted"
    history = tl.fit(model := model_of("LTC"), x, y, checkpoint=tmp_path / "c", **options)
    assert len(history.loss) == 8
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 2}, "leave batch_size out"),
        ({"loss": "cross_entropy"}, "squared error"),
        ({"readout": "solved"}, "readout is 'solved': give 'train', or 'solve'"),
        ({"penalty": -1}, "penalty is -1"),
    ],
)
def test_refused(options, said):
    x, y = data()
    with pytest.raises(TorchliquidError, match=said):
        tl.fit(model_of("LTC"), x, y, epochs=1, **{"readout": "solve", **options})


def test_a_model_without_a_linear_readout_is_refused():
    x, y = data()
    with pytest.raises(TorchliquidError, match=r"nn\.Linear readout"):
        tl.fit(nn.Linear(2, 1).double(), x, y, epochs=1, readout="solve")
