"""`fit` against the loop that defines it, and its native engine against torch's, value by value."""

import copy
import itertools

import pytest
import torch
from torch import nn

import torchliquid as tl
from torchliquid.kernels import _library as library
from torchliquid.nn import CTRNN, DecayGRU
from torchliquid.training import cycled, trainer

compiled = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
CELLS = [tl.LTC, CTRNN, DecayGRU, nn.LSTM, nn.GRU]
B, L, I, H, O = 5, 12, 2, 6, 3
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def model_of(cell, layers=1, bidirectional=False, dtype=torch.float64, **options):
    layer = cell(I, H, layers, batch_first=True, bidirectional=bidirectional, dtype=dtype,
                 **options)  # fmt: skip
    return tl.SequenceModel(layer, O)


def trained(model, monkeypatch, engine, *data, **options):
    """A copy of the model after training, by one engine or the other; and the history."""
    copied = copy.deepcopy(model)
    with monkeypatch.context() as patch:
        if engine == "torch":
            patch.setattr(trainer, "why_not", lambda *_: "asked for")
        history = tl.fit(copied, *data, **options)
    assert history.engine == ("native" if engine == "native" else "torch: asked for")
    return copied, history


def assert_same_training(model, monkeypatch, *data, **options):
    one, first = trained(model, monkeypatch, "native", *data, **options)
    other, second = trained(model, monkeypatch, "torch", *data, **options)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, **CLOSE)
    torch.testing.assert_close(first.loss, second.loss, equal_nan=True, **CLOSE)
    assert first.ends == second.ends
    if first.validation is not None:
        torch.testing.assert_close(first.validation, second.validation, equal_nan=True, **CLOSE)
        torch.testing.assert_close(first.best_epoch, second.best_epoch)
    assert any(
        not torch.equal(p, q) for p, q in zip(one.parameters(), model.parameters(), strict=True)
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_fit_is_the_loop_of_its_docstring(cell, weighted):
    """With torch's own AdamW, clipping and one-cycle schedule."""
    model = model_of(cell)
    plain = copy.deepcopy(model)
    x, y = draw(B, L, I), draw(B, L, O, seed=1)
    weight = draw(B, L, seed=2).abs() if weighted else torch.ones(B, L, dtype=torch.float64)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.02, weight_decay=0.1, foreach=False)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 0.02, total_steps=20, cycle_momentum=False
    )
    losses = []
    for epoch in range(20):
        optimiser.zero_grad()
        predictions, _ = plain(x)
        loss = ((predictions - y).square().mean(-1) * weight).sum() / weight.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        assert optimiser.param_groups[0]["lr"] == pytest.approx(0.02 * cycled(epoch, 20))
        optimiser.step()
        if epoch < 19:
            schedule.step()
        losses.append(loss.detach())
    history = tl.fit(model, x, y, epochs=20, lr=0.02, weight_decay=0.1, clip=0.5,
                     schedule="one-cycle", weight=weight if weighted else None)  # fmt: skip
    torch.testing.assert_close(history.loss, torch.stack(losses), **CLOSE)
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, **CLOSE)


@compiled
@pytest.mark.parametrize("lanes", [None, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_engines_agree(cell, lanes, monkeypatch):
    kinds = list(itertools.product((True, False), ("mse", "cross_entropy"), (None, 2)))
    for number, (every, loss, batch_size) in enumerate(kinds):
        depth = (2, True) if number % 3 == 0 else (1, False)

        def make(_, depth=depth):
            return model_of(cell, *depth)

        model = make(0) if lanes is None else tl.Pack(make, range(lanes))
        x = draw(B, L, I, seed=number)
        y = draw(B, L, O, seed=1)
        if loss == "cross_entropy":
            y = y.argmax(-1)
        y = y if every else y[:, 0]
        options = {
            "epochs": 8 if lanes is None else [8, 3, 8],
            "lr": 0.03 if lanes is None else [0.01, 0.02, 0.04],
            "schedule": "constant" if lanes is None else ["one-cycle", "constant", "one-cycle"],
            "clip": 0.2 if number % 2 else None,
            "weight_decay": 0.1,
            "weight": draw(*(B, L) if every else (B,), seed=3).abs(),
            "warm_up": 2 if every else 0,
            "batch_size": batch_size,
            "loss": loss,
        }
        if number % 2:
            options |= {"validation": (x[:3].flip(1), y[:3]), "patience": 2}
        if cell in (tl.LTC, CTRNN, DecayGRU) and (lanes is None or batch_size is None):
            options["dt"] = draw(B, L, seed=4).abs() + 0.1
            options["observed"] = draw(B, L, I, seed=5) > -0.6
            options["lengths"] = torch.tensor([12, 5, 7, 9, 12])
            options["dt_scale"] = 2.0 if lanes is None else [0.5, 1.0, 2.0]
        assert_same_training(model, monkeypatch, x, y, **options)


@compiled
def test_a_series_and_a_target_for_each_lane_time_first(monkeypatch):
    for cell in (tl.LTC, nn.LSTM):

        def make(_, cell=cell):
            return tl.SequenceModel(cell(I, H, dtype=torch.float64), O)

        pack = tl.Pack(make, range(3))
        x, y = draw(3, L, B, I), draw(3, L, B, O, seed=1)
        for batch_size in (None, 2):
            assert_same_training(pack, monkeypatch, x, y, epochs=5, batch_size=batch_size)
        assert_same_training(pack, monkeypatch, x[0], y, epochs=5)
        assert_same_training(pack, monkeypatch, x, y[:, 0], epochs=5)  # (S, B, O): the last
        one = pack.lane(1)
        tl.fit(one, x[1], y[1], epochs=5)
        tl.fit(pack, x, y, epochs=5)
        for p, q in zip(one.parameters(), pack.lane(1).parameters(), strict=True):
            torch.testing.assert_close(p, q, **CLOSE)


@compiled
@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("cell", [tl.LTC, nn.GRU])
def test_lanes_never_mix(cell, batch_size):
    """Each is trained as in a pack of its own, whatever blocks and threads there are."""
    x, y = draw(B, L, I).float(), draw(B, L, O, seed=1).float()

    def make(_):
        return model_of(cell, dtype=torch.float32)

    threads = torch.get_num_threads()
    found = []
    for seeds, most in ((range(40), 1), (range(40), 2), ([37], 1)):
        torch.set_num_threads(most)
        pack = tl.Pack(make, seeds)
        try:
            tl.fit(pack, x, y, epochs=6, batch_size=batch_size, clip=0.3)
        finally:
            torch.set_num_threads(threads)
        found.append([p.detach()[-1 if len(pack) == 1 else 37] for p in pack.parameters()])
    for one, other, alone in zip(*found, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, alone)


@compiled
@pytest.mark.parametrize("lanes", [None, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_single_precision_is_as_near_as_torchs_own_optimisers(cell, lanes):
    """At most 3 times as far from AdamW as its fused form is; a single GRU, whose kernel is not
    torch's, 10 times."""

    def make(_):
        return model_of(cell, dtype=torch.float32)

    torch.manual_seed(0)
    first = make(0) if lanes is None else tl.Pack(make, range(lanes))
    x, y = draw(B, 60, I).float(), draw(B, 60, O, seed=1).float()
    models = [copy.deepcopy(first) for _ in range(3)]
    for model, fused in zip(models, (False, True), strict=False):
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0, fused=fused,
                                      foreach=False)  # fmt: skip
        for _ in range(20):
            optimiser.zero_grad()
            error = (model(x)[0] - y).square().mean(dim=(-3, -2, -1))
            error.sum().backward()
            optimiser.step()
    tl.fit(models[2], x, y, epochs=20, lr=0.01)

    def far(one, other):
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        return max((p - q).abs().max().item() for p, q in pairs)

    factor = 10 if lanes is None and cell is nn.GRU else 3
    assert far(models[0], models[2]) <= factor * max(far(models[0], models[1]), 2e-7)
