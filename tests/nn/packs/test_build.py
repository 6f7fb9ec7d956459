"""A pack is its models, or it refuses: what may become a lane, and from which random numbers."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from torchliquid import LTC, LiquidLayer, Pack, SequenceModel, TorchliquidError
from torchliquid.nn.packs._seeding import Seeded


def ltc(seed=0, **options):
    return SequenceModel(LTC(1, 2, batch_first=True, **options), 1)


def refused(make, *fragments, seeds=(0, 1)):
    before = torch.get_rng_state()
    with pytest.raises(TorchliquidError) as caught:
        Pack(make, seeds)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert torch.equal(torch.get_rng_state(), before)


# What a pack would not run


class BoundedModel(SequenceModel):
    def forward(self, x, h0=None, dt=None):
        y, h = super().forward(x, h0, dt)
        return torch.tanh(100 * y), h


class LoudLTC(LTC):
    def forward(self, x, h0=None, dt=None):
        return super().forward(2 * x, h0, dt)


class LoudLSTM(nn.LSTM):
    def forward(self, x, h0=None):
        return super().forward(2 * x, h0)


class QuietLTC(LTC):
    """A subclass that leaves `forward` alone is a lane like any other."""

    def scan(self, weights, x, state, dt):
        return super().scan(weights, 0.5 * x, state, dt)


class OtherLinear(nn.Linear):
    pass


def with_change(change):
    def make(seed):
        model = ltc()
        change(model)
        return model

    return make


def tie(model):
    model.layer.target_l0 = model.layer.raw_tau_l0


def tie_storage(model):
    model.layer.target_l0.data = model.layer.raw_tau_l0.data


def set_readout(model):
    model.readout = OtherLinear(2, 1)


def set_forward(model):
    model.layer.forward = lambda *a: LiquidLayer.forward(model.layer, *a)


CHANGES = {
    "forward hook": (lambda m: m.register_forward_hook(lambda *a: None), "hooks of the model"),
    "pre-hook": (lambda m: m.layer.register_forward_pre_hook(lambda *a: None), "hooks of layer"),
    "backward hook": (
        lambda m: m.readout.register_full_backward_hook(lambda *a: None),
        "hooks of readout",
    ),
    "weight hook": (lambda m: m.layer.bias_l0.register_hook(lambda g: None), "layer.bias_l0"),
    "accumulated": (
        lambda m: m.layer.bias_l0.register_post_accumulate_grad_hook(lambda g: None),
        "layer.bias_l0",
    ),
    "buffer": (lambda m: m.layer.register_buffer("mean", torch.zeros(1)), "the buffer mean"),
    "tied": (tie, "tied"),
    "tied storage": (tie_storage, "tied"),
    "another parameter": (
        lambda m: m.layer.register_parameter("more", nn.Parameter(torch.ones(1))),
        "layer.more",
    ),
    "submodule": (lambda m: m.layer.add_module("more", nn.Identity()), "layer.more"),
    "readout": (set_readout, "OtherLinear"),
    "forward on an instance": (set_forward, "forward that was set"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_pack_does_not_run_is_refused(change):
    apply, fragment = CHANGES[change]
    refused(with_change(apply), "a pack does not run", fragment)


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda s: BoundedModel(LTC(1, 2), 1), "BoundedModel"),
        (lambda s: SequenceModel(LoudLTC(1, 2), 1), "LoudLTC"),
        (lambda s: SequenceModel(LoudLSTM(1, 2), 1), "LoudLSTM"),
    ],
)
def test_a_forward_of_its_own_is_refused(make, fragment):
    refused(make, fragment)


def test_a_subclass_without_a_forward_of_its_own_is_run():
    pack = Pack(lambda s: SequenceModel(QuietLTC(1, 2, batch_first=True), 1), range(2))
    x = torch.ones(1, 5, 1)
    torch.testing.assert_close(pack(x)[0][1], pack.lane(1)(x)[0])
    assert not torch.allclose(pack(x)[0], Pack(ltc, range(2))(x)[0])


def test_one_object_for_all_lanes_is_refused():
    model = ltc()

    def again(seed):
        model.layer.reset_parameters()
        return model

    refused(again, "one model for several seeds")
    layer = LTC(1, 2)
    refused(lambda s: SequenceModel(layer, 1), "share weights")


def test_frozen_weights_stay_frozen():
    def frozen(seed):
        model = ltc()
        model.layer.raw_tau_l0.requires_grad_(False)
        return model

    pack = Pack(frozen, range(3))
    assert not pack.layer["raw_tau_l0"].requires_grad
    assert pack.layer["target_l0"].requires_grad
    assert not pack.lane(1).layer.raw_tau_l0.requires_grad
    pack(torch.ones(1, 4, 1))[0].sum().backward()
    assert pack.layer["raw_tau_l0"].grad is None
    refused(lambda s: frozen(s) if s else ltc(), "frozen weights")


def test_evaluation_mode_is_kept():
    assert not Pack(lambda s: ltc().eval(), [0]).training
    assert not Pack(lambda s: ltc().eval(), [0]).lane(0).training


def test_a_readout_without_bias():
    def make(seed):
        model = ltc()
        model.readout = nn.Linear(2, 3, bias=False)
        return model

    pack, x = Pack(make, range(2)), torch.randn(4, 5, 1)
    torch.testing.assert_close(pack(x)[0][1], pack.lane(1)(x)[0])


def test_a_readout_of_another_dtype_is_kept():
    def make(seed):
        model = ltc(dtype=torch.bfloat16)
        model.readout.float()
        return model

    lane = Pack(make, range(2)).lane(1)
    assert lane.layer.bias_l0.dtype == torch.bfloat16
    assert lane.readout.weight.dtype == torch.float32


@pytest.mark.parametrize("cell", [LTC, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_pack_reads_its_input_as_its_lanes_do(cell, batch_first):
    pack = Pack(lambda s: SequenceModel(cell(1, 3, batch_first=batch_first), 1), range(2))
    x = torch.randn(5, 5, 1)  # B = L: no shape gives the layout away
    y, h = pack(x)
    again, _ = pack(torch.stack([x, x]), h)
    for i in range(2):
        mine, state = pack.lane(i)(x)
        torch.testing.assert_close(y[i], mine)
        torch.testing.assert_close(again[i], pack.lane(i)(x, state)[0])


def test_dt_of_another_type_as_the_layer_takes_it():
    pack, x = Pack(ltc, range(2)), torch.randn(3, 4, 1)
    dt = torch.rand(3, 4, dtype=torch.float64) + 0.1
    for times in (dt, dt[:1, 0].squeeze(), np.float32(0.3), 2, 0.0, dt * 0):
        torch.testing.assert_close(pack(x, dt=times)[0][1], pack.lane(1)(x, dt=times)[0])


def test_clipping_lane_by_lane():
    pack, x = Pack(ltc, range(3)), torch.randn(3, 1, 6, 1)
    lanes = [pack.lane(i) for i in range(3)]
    factors = torch.tensor([1.0, 1e8, 1e-3])
    (pack(x)[0].square().sum((1, 2, 3)) * factors).sum().backward()
    norms = pack.clip_grad_norm_(0.1)
    for i, lane in enumerate(lanes):
        (lane(x[i])[0].square().sum() * factors[i]).backward()
        norm = nn.utils.clip_grad_norm_(lane.parameters(), 0.1)
        torch.testing.assert_close(norms[i], norm)
        for name, p in lane.named_parameters():
            torch.testing.assert_close(pack.get_parameter(name).grad[i], p.grad)
    pack.layer["target_l0"].grad[1] = torch.nan
    pack.clip_grad_norm_(1e-3)
    assert pack.layer["bias_l0"].grad[[0, 2]].isfinite().all()
    pack.zero_grad()
    assert pack.clip_grad_norm_(1.0).tolist() == [0, 0, 0]


# torch's compiler itself makes the instance that torch warns of
@pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("cell", [LTC, nn.LSTM, nn.GRU])
def test_a_pack_compiles_whole(cell):
    pack = Pack(lambda s: SequenceModel(cell(1, 3, batch_first=True), 1), range(2))
    compiled = torch.compile(pack, fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 4, 1)
    torch.testing.assert_close(compiled(x), pack(x))
    if cell is LTC:
        dt = torch.rand(3, 4)
        torch.testing.assert_close(compiled(x, dt=dt), pack(x, dt=dt))


# From which random numbers


def test_a_factory_that_seeds_itself():
    before = torch.initial_seed()

    def seeds(value):
        def make(seed):
            torch.manual_seed(value(seed))
            return ltc()

        return make

    same = Pack(seeds(lambda s: s), [4, 5])
    assert torch.equal(same.layer["target_l0"], Pack(ltc, [4, 5]).layer["target_l0"])
    refused(seeds(lambda s: 12345), "seeds torch's generator with 12345", "seed 0")
    refused(seeds(lambda s: s + 1), "leave the seeding to the pack")
    torch.rand(3)
    refused(seeds(lambda s: before), f"seeds torch's generator with {before}")
    assert torch.initial_seed() == before


def test_a_factory_that_draws_from_elsewhere():
    generator, numbers = torch.Generator(), np.random.default_rng(0)

    def shared(seed):
        model = ltc()
        nn.init.normal_(model.layer.target_l0, generator=generator)
        return model

    def numpy(seed):
        model = ltc()
        model.layer.target_l0.data.copy_(torch.from_numpy(numbers.normal(size=2)))
        return model

    for make in (shared, numpy):
        with pytest.raises(TorchliquidError, match="gives other weights when it is called again"):
            Pack(make, [0, 1])


def test_a_factory_that_ignores_its_seed_is_named():
    def constant(seed):
        model = ltc()
        for p in model.parameters():
            nn.init.ones_(p)
        return model

    with pytest.warns(UserWarning, match="lanes 0 and 1 of a pack start with equal weights"):
        Pack(constant, [0, 1])


def test_models_that_are_there_already():
    models = [ltc(dt=0.5) for _ in range(3)]
    pack = Pack(models.__getitem__, range(3))
    for i, model in enumerate(models):
        assert torch.equal(pack.layer["target_l0"][i], model.layer.target_l0)


@pytest.mark.parametrize(
    ("make", "seeds"),
    [(None, [0]), (3, [0]), (lambda: ltc(), [0]), (lambda a, b: ltc(), [0])],
)
def test_what_is_no_factory(make, seeds):
    refused(make, "make_model is", seeds=seeds)


@pytest.mark.parametrize(
    "seeds",
    [
        None,
        [None],
        "ab",
        b"ab",
        {0: 1},
        [1.5],
        [-1],
        [2**64],
        [True],
        ["1"],
        [float("nan")],
        [1, 1],
    ],
)
def test_what_is_no_seed(seeds):
    refused(ltc, "seed", seeds=seeds)


def test_seeds_of_other_whole_types():
    pack = Pack(ltc, np.arange(2))
    assert pack.seeds == (0, 1)
    assert torch.equal(pack.layer["target_l0"], Pack(ltc, [0, 1]).layer["target_l0"])


def test_other_threads_neither_disturb_nor_notice():
    def make(seed):
        return SequenceModel(LTC(1, 16), 1)

    right = Pack(make, range(50)).layer["target_l0"].clone()
    stop, ready = threading.Event(), threading.Event()

    def noise():
        while not stop.is_set():
            torch.rand(8)
            ready.set()

    thread = threading.Thread(target=noise)
    thread.start()
    ready.wait()
    try:
        found = [Pack(make, range(50)).layer["target_l0"] for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert all(torch.equal(one, right) for one in found)


def test_packs_built_at_once():
    right = Pack(ltc, range(20)).layer["target_l0"].clone()
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(Pack(ltc, range(20)).layer["target_l0"] for _ in range(5))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(torch.equal(one, right) for one in found)


DRAWS = {
    "rand": lambda: torch.rand(5),
    "randn": lambda: torch.randn(3, 4, dtype=torch.float64),
    "randperm": lambda: torch.randperm(7),
    "randint": lambda: torch.randint(9, (4,)),
    "uniform_": lambda: torch.empty(20).uniform_(-1, 1),
    "normal": lambda: torch.normal(torch.zeros(3), torch.ones(3)),
    "bernoulli": lambda: torch.bernoulli(torch.full((9,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(5), 3),
    "dropout": lambda: nn.functional.dropout(torch.ones(8)),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(30)),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(5, 5)),
    "sparse_": lambda: nn.init.sparse_(torch.empty(5, 5), 0.3),
    "Linear": lambda: nn.Linear(3, 3).weight,
    "LSTM": lambda: nn.LSTM(2, 3).weight_hh_l0,
}


if "generator" in torch.ops.aten.rand_like.overloads():  # else such draws are refused
    DRAWS["rand_like"] = lambda: torch.rand_like(torch.ones(4))


@pytest.mark.parametrize("name", DRAWS)
def test_draws_follow_the_seed_alone(name):
    torch.manual_seed(7)
    right = DRAWS[name]()
    before = torch.get_rng_state()
    with Seeded(7):
        found = DRAWS[name]()
    assert torch.equal(found, right)
    assert torch.equal(torch.get_rng_state(), before)
    own = torch.Generator().manual_seed(3)
    with Seeded(7):
        first = torch.rand(2, generator=own)
    assert torch.equal(first, torch.rand(2, generator=own.manual_seed(3)))


def test_a_draw_that_cannot_be_seeded_is_refused():
    with Seeded(7), pytest.raises(TorchliquidError, match="takes no generator"):
        torch.rand(3, out=torch.empty(3))
