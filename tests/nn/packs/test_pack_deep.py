"""Packs of several layers and both directions: lane i is seed i trained alone."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError
from torchliquid.nn import CTRNN, DecayGRU

OPTIONS = {"num_layers": 2, "batch_first": True, "dtype": torch.float64}
LAYERS = {
    "LTC": LTC,
    "LTC-projected": lambda *a, **k: LTC(*a, proj_size=2, **k),
    "LTC-exponential": lambda *a, **k: LTC(*a, solver="exponential", **k),
    "CTRNN": CTRNN,
    "DecayGRU": DecayGRU,
    "LSTM": nn.LSTM,
    "LSTM without bias": lambda *a, **k: nn.LSTM(*a, bias=False, **k),
    "GRU": nn.GRU,
}
TIMED = [name for name in LAYERS if name not in ("LSTM", "LSTM without bias", "GRU")]
SEEDS = (4, 0, 9)
S, B, L, I, H, O = len(SEEDS), 4, 4, 3, 5, 2
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def maker(name, **options):
    return lambda seed: SequenceModel(LAYERS[name](I, H, **OPTIONS, **options), O)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def given(name, D):
    h0 = draw(S, D, B, H)
    dt = torch.rand(S, B, L, dtype=torch.float64) + 0.1 if name in TIMED else None
    return draw(S, B, L, I), (h0, draw(S, D, B, H)) if "LSTM" in name else h0, dt


def lane_of(value, i):
    return tuple(part[i] for part in value) if isinstance(value, tuple) else value[i]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_lanes_train_as_they_do_alone(name, bidirectional):
    pack = Pack(maker(name, bidirectional=bidirectional), SEEDS)
    x, h0, dt = given(name, 4 if bidirectional else 2)
    target = draw(S, B, L, O)
    together = torch.optim.Adam(pack.parameters(), lr=0.05)
    models = [pack.lane(i) for i in range(S)]
    apart = [torch.optim.Adam(model.parameters(), lr=0.05) for model in models]
    for _ in range(3):
        together.zero_grad()
        y, h = pack(x, h0, dt)
        (y - target).square().mean(dim=(1, 2, 3)).sum().backward()
        pack.clip_grad_norm_(0.1)
        together.step()
        for i, (model, optimiser) in enumerate(zip(models, apart, strict=True)):
            optimiser.zero_grad()
            y_alone, h_alone = model(x[i], lane_of(h0, i), None if dt is None else dt[i])
            assert_close(y[i], y_alone, **CLOSE)
            assert_close(lane_of(h, i), h_alone, **CLOSE)
            (y_alone - target[i]).square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimiser.step()
    for i, model in enumerate(models):
        for key, weight in model.named_parameters():
            assert_close(pack.get_parameter(key)[i], weight, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", TIMED)
def test_lanes_with_rows_of_unlike_lengths(name, bidirectional):
    pack = Pack(maker(name, bidirectional=bidirectional), SEEDS)
    x, h0, dt = given(name, 4 if bidirectional else 2)
    lengths = [2, 4, 1, 3]
    x[:, 0, 2:], dt[:, 0, 2:] = torch.nan, -1.0
    y, h = pack(x, h0, dt, lengths)
    tau = pack.time_constants(x, h0, dt, lengths)
    shared, _ = pack(x[0], None, dt[0], lengths)
    for i in range(S):
        model = pack.lane(i)
        y_alone, h_alone = model(x[i], h0[i], dt[i], lengths)
        assert_close(y[i], y_alone, **CLOSE)
        assert_close(h[i], h_alone, **CLOSE)
        found = model.layer.time_constants(x[i], h0[i], dt[i], lengths)
        assert_close(tau[i], found, equal_nan=True, **CLOSE)
        assert_close(shared[i], model(x[0], None, dt[0], lengths)[0], **CLOSE)


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", TIMED)
def test_lanes_with_samples_that_did_not_arrive(name, bidirectional, batch_first, features):
    options = {"bidirectional": bidirectional, "batch_first": batch_first}
    pack = Pack(
        lambda seed: SequenceModel(LAYERS[name](I, H, **OPTIONS | options), O),
        SEEDS,
    )
    x, h0, dt = given(name, 4 if bidirectional else 2)
    lengths = [2, 4, 1, 3]
    arrived = torch.rand(B, L, I) > 0.4 if features else torch.rand(B, L) > 0.4
    x[:, ~arrived] = torch.nan
    if not batch_first:
        x, dt, arrived = x.transpose(1, 2), dt.transpose(1, 2), arrived.transpose(0, 1)
    y, h = pack(x, h0, dt, lengths, arrived)
    tau = pack.time_constants(x, h0, dt, lengths, arrived)
    shared, _ = pack(x[0], None, dt[0], None, arrived)
    constant, _ = pack(x, None, 0.3, None, arrived)
    for i in range(S):
        model = pack.lane(i)
        y_alone, h_alone = model(x[i], h0[i], dt[i], lengths, arrived)
        assert_close(y[i], y_alone, **CLOSE)
        assert_close(h[i], h_alone, **CLOSE)
        found = model.layer.time_constants(x[i], h0[i], dt[i], lengths, arrived)
        assert_close(tau[i], found, equal_nan=True, **CLOSE)
        assert_close(shared[i], model(x[0], None, dt[0], None, arrived)[0], **CLOSE)
        assert_close(constant[i], model(x[i], None, 0.3, None, arrived)[0], **CLOSE)


def test_each_lane_may_have_its_own_order_and_rate():
    """Minibatches drawn for each lane by itself, and a learning rate for each lane."""
    pack = Pack(maker("LTC"), SEEDS)
    x, target = draw(12, L, I), draw(12, L, O)
    rates = torch.tensor([0.5, 0.1, 0.02], dtype=torch.float64)
    orders = [torch.randperm(12, generator=torch.Generator().manual_seed(s)) for s in SEEDS]
    models = [pack.lane(i) for i in range(S)]
    for start in (0, 4, 8):
        rows = torch.stack([order[start : start + 4] for order in orders])
        pack.zero_grad()
        (pack(x[rows])[0] - target[rows]).square().mean(dim=(1, 2, 3)).sum().backward()
        with torch.no_grad():
            for weight in pack.parameters():
                weight -= rates.view(-1, *[1] * (weight.dim() - 1)) * weight.grad
        for i, model in enumerate(models):
            model.zero_grad()
            (model(x[rows[i]])[0] - target[rows[i]]).square().mean().backward()
            with torch.no_grad():
                for weight in model.parameters():
                    weight -= rates[i] * weight.grad
    for i, model in enumerate(models):
        for key, weight in model.named_parameters():
            assert_close(pack.get_parameter(key)[i], weight, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["LTC", "GRU", "LSTM"])
def test_dropout_in_training_for_each_lane_anew(name):
    pack = Pack(maker(name, dropout=0.5), SEEDS)
    x = draw(B, L, I)
    assert not torch.allclose(pack(x)[0], pack(x)[0])
    pack.eval()
    assert torch.equal(pack(x)[0], pack(x)[0])
    for i in range(S):
        assert_close(pack(x)[0][i], pack.lane(i)(x)[0], **CLOSE)


def test_lengths_are_for_liquid_layers():
    pack = Pack(maker("GRU"), SEEDS)
    with pytest.raises(TorchliquidError, match=r"lengths was given to a pack of nn\.GRU"):
        pack(draw(B, L, I), lengths=[1, 2, 3, 4])
