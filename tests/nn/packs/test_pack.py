"""Packs: lane i is seed i, before, during and after training; lanes never mix."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel
from torchliquid.functional import SOLVERS

LAYERS = {
    **{
        solver: lambda solver=solver, **options: LTC(2, 5, solver=solver, dt=0.3, **options)
        for solver in SOLVERS
    },
    "LSTM": lambda **options: nn.LSTM(2, 5, **options),
    "LSTM without bias": lambda **options: nn.LSTM(2, 5, bias=False, **options),
    "GRU": lambda **options: nn.GRU(2, 5, **options),
    "GRU without bias": lambda **options: nn.GRU(2, 5, bias=False, **options),
}
LIQUID = SOLVERS
SEEDS = (4, 0, 9)
EXACT = {"rtol": 1e-12, "atol": 1e-13}


def maker(kind: str, dtype: torch.dtype = torch.float64):
    return lambda seed: SequenceModel(LAYERS[kind](batch_first=True, dtype=dtype), 3)


def build(make_model, seed: int) -> SequenceModel:
    torch.manual_seed(seed)
    return make_model(seed)


def alone(kind: str) -> list[SequenceModel]:
    return [build(maker(kind), seed) for seed in SEEDS]


def lanes_of(state, i: int):
    return tuple(part[i] for part in state) if isinstance(state, tuple) else state[i]


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("kind", LAYERS)
def test_lanes_hold_the_weights_of_their_seeds(kind):
    pack = Pack(maker(kind), SEEDS)
    assert len(pack) == 3
    assert pack.seeds == SEEDS
    for i, model in enumerate(alone(kind)):
        names = dict(model.named_parameters())
        assert set(names) == set(dict(pack.named_parameters()))
        for name, parameter in names.items():
            assert torch.equal(pack.get_parameter(name)[i], parameter)
            assert torch.equal(pack.lane(i).get_parameter(name), parameter)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_lane_equals_its_model(kind, shared):
    pack = Pack(maker(kind), SEEDS)
    x = draw(4, 7, 2) if shared else draw(3, 4, 7, 2)
    y, h = pack(x)
    states, h_states = pack.states(x)
    assert y.shape == (3, 4, 7, 3)
    assert states.shape == (3, 4, 7, 5)
    y2, h2 = pack(x, h)  # the state of a call goes into the next one
    for i, model in enumerate(alone(kind)):
        given = x if shared else x[i]
        y_alone, h_alone = model(given)
        assert_close(y[i], y_alone, **EXACT)
        assert_close(lanes_of(h, i), h_alone, **EXACT)
        assert_close(states[i], model.layer(given)[0], **EXACT)
        assert_close(lanes_of(h_states, i), h_alone, **EXACT)
        y2_alone, h2_alone = model(given, h_alone)
        assert_close(y2[i], y2_alone, **EXACT)
        assert_close(lanes_of(h2, i), h2_alone, **EXACT)
        assert_close(pack.lane(i)(given)[0], y_alone, **EXACT)


@pytest.mark.parametrize("shared_x", [False, True])
@pytest.mark.parametrize("dt", ["float", "shared", "per lane"])
@pytest.mark.parametrize("kind", LIQUID)
def test_time_reaches_every_lane(kind, dt, shared_x):
    """Also where S = B = L, so that no axis can stand for another unseen."""
    pack = Pack(maker(kind), SEEDS)
    x = draw(3, 3, 2) if shared_x else draw(3, 3, 3, 2)
    times = {"float": 0.7, "shared": torch.rand(3, 3), "per lane": torch.rand(3, 3, 3)}[dt]
    if isinstance(times, Tensor):
        times = times.double() + 0.1
    y, h = pack(x, dt=times)
    tau_sys = pack.time_constants(x, h, times)
    assert not torch.allclose(y, pack(x)[0])
    for i, model in enumerate(alone(kind)):
        given = x if shared_x else x[i]
        time = times[i] if dt == "per lane" else times
        y_alone, h_alone = model(given, dt=time)
        assert_close(y[i], y_alone, **EXACT)
        assert_close(h[i], h_alone, **EXACT)
        weights = dict(model.layer.named_parameters())
        expected = model.layer.scan_time_constants(weights, given, h_alone[0], time)
        assert_close(tau_sys[i], expected, **EXACT)


def test_time_left_out_is_the_layers():
    pack = Pack(maker("euler"), SEEDS)
    x = draw(4, 7, 2)
    assert torch.equal(pack(x)[0], pack(x, dt=0.3)[0])
    assert torch.equal(pack.time_constants(x), pack.time_constants(x, dt=0.3))


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    pack = Pack(maker("LSTM"), SEEDS)
    pack.lane(1)
    assert torch.equal(torch.get_rng_state(), before)

    def failing(seed):
        torch.rand(5)
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        Pack(failing, SEEDS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_lane_taken_out_is_a_copy():
    pack = Pack(maker("GRU"), SEEDS)
    x = draw(4, 7, 2)
    expected = pack(x)[0]
    lane, other = pack.lane(2), pack.lane(0)
    assert_close(lane(x)[0], expected[2], **EXACT)
    assert_close(other(x)[0], expected[0], **EXACT)
    with torch.no_grad():
        for parameter in lane.parameters():
            parameter.zero_()
    assert torch.equal(pack(x)[0], expected)
    assert all(parameter.requires_grad for parameter in lane.parameters())
    assert not any(p is q for p in pack.parameters() for q in pack.model.parameters())


def test_a_pack_moves_and_copies_as_any_module():
    pack = Pack(maker("LSTM"), SEEDS).float()
    x = draw(4, 7, 2).float()
    y = pack(x)[0]
    assert y.dtype == pack.lane(0).readout.weight.dtype == torch.float32
    assert_close(pack.lane(1)(x)[0], y[1], rtol=1e-5, atol=1e-6)
    other = Pack(maker("LSTM"), (5, 6, 7)).float()
    other.load_state_dict(pack.state_dict())
    assert torch.equal(other(x)[0], y)


# Training. The article's task in small: sizes, optimiser and learning rate are the real ones.
ARTICLE = {
    "LTC-8 euler": lambda **options: LTC(1, 8, solver="euler", dt=0.1, **options),
    "LTC-8": lambda **options: LTC(1, 8, dt=0.1, **options),
    "LSTM-16": lambda **options: nn.LSTM(1, 16, **options),
    "GRU-4": lambda **options: nn.GRU(1, 4, **options),
}
LANES, STEPS = 24, 40


def article(kind: str, dtype: torch.dtype):
    return lambda seed: SequenceModel(ARTICLE[kind](batch_first=True, dtype=dtype), 1)


def signal(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Noisy sines and their next values, ``(S, 1, L, 1)``; every lane has its own noise."""
    t = 0.1 * torch.arange(STEPS + 1, dtype=dtype)
    clean = torch.sin(t) + 0.5 * torch.sin(2.5 * t)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(LANES, STEPS + 1, generator=generator, dtype=torch.float64).to(dtype)
    series = (clean + 0.05 * noise)[:, None, :, None]
    return series[:, :, :-1], series[:, :, 1:]


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int = 50) -> nn.Module:
    """Adam on the sum of the lanes' errors; a model alone is its own only lane."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        optimiser.zero_grad()
        (model(x)[0] - y).square().mean(dim=(-3, -2, -1)).sum().backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("kind", ARTICLE)
def test_a_lane_learns_what_its_seed_learns_alone(kind):
    """In float64 the same weights to 1e-9 as torch's own layer trained by itself."""
    x, y = signal(torch.float64)
    make_model = article(kind, torch.float64)
    pack = train(Pack(make_model, range(LANES)), x, y)
    start = Pack(make_model, range(LANES))
    for i in (0, 23):
        lane, model = pack.lane(i), train(build(make_model, i), x[i], y[i])
        for name, parameter in model.named_parameters():
            assert_close(lane.get_parameter(name), parameter, rtol=0, atol=1e-9)
            assert (parameter - start.get_parameter(name)[i]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ARTICLE)
def test_a_lane_predicts_what_its_seed_predicts_in_float32(kind):
    """To 1e-6, not bit for bit: torch multiplies matrices of one lane and of 24 by other routines,
    and Adam lets a last bit grow where a gradient is next to nothing."""
    x, y = signal(torch.float32)
    make_model = article(kind, torch.float32)
    pack = train(Pack(make_model, range(LANES)), x, y)
    predicted = pack(x)[0]
    ordinary = train(build(make_model, 13), x[13], y[13])
    single = train(Pack(make_model, [13]), x[13:14], y[13:14])
    assert_close(predicted[13], ordinary(x[13])[0], rtol=0, atol=1e-6)
    assert_close(predicted[13], single(x[13:14])[0][0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("harm", ["NaN weights", "huge weights", "huge target", "infinite input"])
@pytest.mark.parametrize("kind", ARTICLE)
def test_a_lane_that_diverges_leaves_the_others_bit_for_bit(kind, harm):
    x, y = signal(torch.float32)
    make_model = article(kind, torch.float32)
    healthy = train(Pack(make_model, range(LANES)), x, y, epochs=4)
    pack, bad_x, bad_y = Pack(make_model, range(LANES)), x.clone(), y.clone()
    with torch.no_grad():
        for parameter in pack.parameters():
            parameter[7] *= {"NaN weights": math.nan, "huge weights": 1e30}.get(harm, 1)
    if harm == "huge target":
        bad_y[7] = 1e30  # its square is infinite
    if harm == "infinite input":
        bad_x[7, :, 20] = math.inf
    train(pack, bad_x, bad_y, epochs=4)
    assert not (pack(bad_x)[0] - bad_y)[7].square().mean().isfinite()
    others = [i for i in range(LANES) if i != 7]
    for name, parameter in healthy.named_parameters():
        assert torch.equal(pack.get_parameter(name)[others], parameter[others])
