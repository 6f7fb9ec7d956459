"""`tl.watch`: records of time constants while models train."""

import copy
import pickle

import pytest
import torch
from torch import nn

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, time_constants, watch


class Net(nn.Module):
    """Two liquid layers among others, as people build them."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(2, 3)
        self.rnn = LTC(3, 4, 2, bidirectional=True, batch_first=True)
        self.top = nn.ModuleDict({"slow": SequenceModel(LTC(8, 5, batch_first=True), 1)})

    def forward(self, x, dt):
        y, _ = self.rnn(self.encoder(x), dt=dt)
        return self.top["slow"](y, None, dt)[0]


def test_records_say_what_the_layers_did():
    net, x, dt = Net(), torch.randn(3, 6, 2), torch.rand(3, 6) + 0.1
    with watch(net, every=2) as watching:
        for _ in range(3):
            net(x, dt).sum().backward()
        net.eval()
        net(x, dt)
    net.train()
    net(x, dt)  # no longer watched
    places = ["l0", "l0_reverse", "l1", "l1_reverse"]
    expected = [
        (call, *place)
        for call in (0, 2)
        for place in [*(("rnn", p) for p in places), ("top.slow.layer", "l0")]
    ]
    assert [(r["call"], r["layer"], r["place"]) for r in watching.records] == expected
    tau = time_constants(net.rnn, net.encoder(x), dt=dt)
    for record, own in zip(watching.records[5:9], tau, strict=True):
        assert record["mean"] == pytest.approx(own.mean().item())
        assert record["min"] == pytest.approx(own.min().item())
        assert record["max"] == pytest.approx(own.max().item())
        flat = own.reshape(-1, 4)
        moves = (flat.std(0, correction=0) / flat.mean(0)).mean().item()
        assert record["moves"] == pytest.approx(moves, rel=1e-4)
    assert all(type(v) in (int, float, str) for r in watching.records for v in r.values())


def test_padding_and_what_did_not_arrive_do_not_count():
    layer, x = LTC(2, 4, batch_first=True), torch.randn(2, 5, 2)
    observed = torch.ones(2, 5, dtype=torch.bool)
    observed[0, 1] = False
    with watch(layer) as watching:
        layer(x, lengths=[5, 2], observed=observed)
        layer(nn.utils.rnn.pack_padded_sequence(x, [5, 2], batch_first=True))
    tau = layer.time_constants(x, lengths=[5, 2], observed=observed)
    assert watching.records[0]["mean"] == pytest.approx(tau.nanmean().item())
    tau = layer.time_constants(x, lengths=[5, 2])
    assert watching.records[1]["mean"] == pytest.approx(tau.nanmean().item())
    assert watching.records[0]["layer"] == ""


def test_a_pack_has_a_record_for_each_lane():
    pack = Pack(lambda seed: SequenceModel(LTC(1, 4), 1), range(3))
    x = torch.randn(6, 2, 1)
    watching = watch(pack)
    pack(x)
    watching.remove()
    pack(x)
    assert [(r["call"], r["lane"]) for r in watching.records] == [(0, 0), (0, 1), (0, 2)]
    tau = pack.time_constants(x)
    for lane, record in enumerate(watching.records):
        assert record["mean"] == pytest.approx(tau[lane].mean().item())


def test_training_is_what_it_was():
    def trained(watched):
        torch.manual_seed(0)
        model, x = SequenceModel(LTC(1, 4, 2, dropout=0.2), 1), torch.randn(6, 2, 1)
        optimiser = torch.optim.Adam(model.parameters())
        watching = watch(model) if watched else None
        for _ in range(3):
            optimiser.zero_grad()
            model(x)[0].square().mean().backward()
            optimiser.step()
        assert watching is None or len(watching.records) == 6
        return model.state_dict()

    for one, other in zip(trained(True).values(), trained(False).values(), strict=True):
        assert torch.equal(one, other)


def test_pandas_takes_the_records():
    pandas = pytest.importorskip("pandas")
    with watch(LTC(1, 4)) as watching:
        LTC(1, 4)(torch.randn(3, 1))
    assert watching.records == []
    layer = LTC(1, 4)
    with watch(layer) as watching:
        layer(torch.randn(3, 1))
    frame = pandas.DataFrame(watching.records)
    assert list(frame) == ["call", "layer", "place", "mean", "min", "max", "moves"]


# tensorboard's own imports
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tensorboard_takes_the_records(tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    layer = LTC(1, 4, 2)
    with watch(layer) as watching, SummaryWriter(tmp_path) as writer:
        layer(torch.randn(3, 1))
        for r in watching.records:
            writer.add_scalar(f"{r['layer']}.{r['place']}", r["mean"], r["call"])
    assert next(tmp_path.glob("events.*")).stat().st_size > 100


def test_only_liquid_layers_have_time_constants():
    with pytest.raises(TorchliquidError, match="a LSTM without a liquid layer"):
        watch(nn.LSTM(1, 2))
    with pytest.raises(TorchliquidError, match="every is 0"):
        watch(LTC(1, 2), every=0)
    with pytest.raises(TorchliquidError, match="model is a int"):
        watch(3)
    pack = Pack(lambda seed: SequenceModel(nn.GRU(1, 2), 1), range(2))
    with pytest.raises(TorchliquidError, match="a Pack without"):
        watch(pack)


class Flipped(SequenceModel):
    """Changes the input before its layer sees it."""

    def forward(self, x):
        return super().forward(-x)


class Embedded(SequenceModel):
    def forward(self, batch):
        states, _ = self.layer(batch["x"].flip(0))
        return self.readout(states)


def recorded(layer, x):
    return pytest.approx(time_constants(layer, x).mean().item())


def test_a_subclass_is_watched_where_its_layer_runs():
    x = torch.randn(6, 2, 1)
    flipped, embedded = Flipped(LTC(1, 4), 1), Embedded(LTC(1, 4), 1)
    with watch(flipped) as watching, watch(embedded) as other:
        flipped(x)
        embedded({"x": x})
    assert [r["mean"] for r in watching.records] == [recorded(flipped.layer, -x)]
    assert [r["mean"] for r in other.records] == [recorded(embedded.layer, x.flip(0))]


def test_a_layer_whose_subclass_changes_its_input():
    class Doubled(LTC):
        def forward(self, x, *rest):
            return super().forward(2 * x, *rest)

    x = torch.randn(6, 2, 1)
    for model in (Doubled(1, 4), SequenceModel(Doubled(1, 4), 1)):
        layer = getattr(model, "layer", model)
        with watch(model) as watching:
            model(x)
        assert [r["mean"] for r in watching.records] == [recorded(layer, 2 * x)]


def test_every_way_to_run_counts_once():
    model, x = SequenceModel(LTC(1, 4), 1), torch.randn(6, 2, 1)
    with watch(model) as watching:
        model(x)  # layer and readout in one kernel
        model.layer(x)  # used apart
        handle = model.layer.register_forward_hook(lambda *_: None)
        model(x)  # one after the other
        handle.remove()
        model(x, lengths=[6, 4])
        model(nn.utils.rnn.pack_padded_sequence(x, [6, 4]))
        model.layer.step(x[0, 0])  # a stream, not a call
    assert [r["call"] for r in watching.records] == [0, 1, 2, 3, 4]


def test_a_call_in_which_nothing_was_observed_has_no_record():
    model, x = SequenceModel(LTC(1, 4), 1), torch.randn(6, 2, 1)
    with watch(model) as watching:
        model(x, observed=torch.zeros(6, 2, dtype=torch.bool))
        model(x)
    assert [r["call"] for r in watching.records] == [1]


def test_training_goes_on_where_watching_fails(monkeypatch):
    model, x = SequenceModel(LTC(1, 4), 1), torch.randn(6, 2, 1)

    def fails(*_):
        raise RuntimeError("no memory")

    monkeypatch.setattr(model.layer, "time_constants", fails)
    with watch(model):
        with pytest.warns(UserWarning, match="watch could not record a call: no memory"):
            model(x)
        model(x)[0].sum().backward()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])  # noqa: S301
def test_copies_are_not_watched(duplicate):
    model = SequenceModel(LTC(1, 4), 1)
    pack = Pack(lambda seed: SequenceModel(LTC(1, 4), 1), range(2))
    with watch(model) as watching:
        duplicate(model)(torch.randn(6, 2, 1))
    with watch(pack) as other:
        copy.deepcopy(pack)(torch.randn(6, 2, 1))
    assert watching.records == other.records == []
