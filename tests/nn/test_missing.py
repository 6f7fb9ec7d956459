"""What is missing was never in the row; what is missing of a sample is held."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import LTC, SequenceModel, TorchliquidError, fill_missing, time_constants
from torchliquid.nn import CTRNN, DecayGRU, Resonator

LAYERS = {
    "LTC": LTC,
    "LTC-euler": lambda *a, **k: LTC(*a, solver="euler", unfolds=4, **k),
    "CTRNN": CTRNN,
    "DecayGRU": DecayGRU,
    "Resonator": Resonator,
}
KINDS = {
    "single": {},
    "deep": {"num_layers": 2},
    "both ways": {"num_layers": 2, "bidirectional": True},
    "projected": {"bidirectional": True, "proj_size": 2},
}
B, L, I, H = 6, 6, 2, 4  # B == L: a transposed mask must not pass
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
ARRIVED = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 1, 0],
        [1, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [1, 0, 1, 0, 0, 0],
    ],
    dtype=torch.bool,
)


every_kind = pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in LAYERS for k in KINDS if (n, k) != ("Resonator", "projected")],
)


def drawn(layer):
    D = layer.num_layers * (2 if layer.bidirectional else 1)
    x, h0 = torch.randn(B, L, I), torch.randn(D, B, layer.state_size)
    return x.double(), h0.double(), torch.rand(B, L).double() + 0.1


def laid_out(batch_first, *given):
    return given if batch_first else tuple(t.transpose(0, 1) for t in given)


def without(x, dt, arrived):
    """The row with the observed samples, each with the time since the one before it."""
    rows, gaps, waited = [], [], 0.0
    for t in range(len(x)):
        waited = waited + dt[t]
        if arrived[t]:
            rows.append(x[t])
            gaps.append(waited)
            waited = 0.0
    return torch.stack(rows), torch.stack(gaps)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@every_kind
def test_a_sample_that_did_not_arrive_was_never_there(name, kind, batch_first, ragged):
    layer = LAYERS[name](I, H, batch_first=batch_first, dtype=torch.float64, **KINDS[kind])
    x, h0, dt = drawn(layer)
    x[~ARRIVED] = torch.nan
    lengths = [6, 5, 3, 2, 6, 6] if ragged else [L] * B
    x.requires_grad_()
    dt.requires_grad_()
    x_in, dt_in, mask = laid_out(batch_first, x, dt, ARRIVED)
    y, h = layer(x_in, h0, dt_in, lengths if ragged else None, mask)
    y = y if batch_first else y.transpose(0, 1)
    tau = layer.time_constants(x_in, h0, dt_in, lengths if ragged else None, mask)
    tau = tau if batch_first else tau.transpose(-3, -2)
    width = y.shape[-1]
    half = width // 2 if layer.bidirectional else width
    checked = []
    for b in range(B):
        arrived = ARRIVED[b].clone()
        arrived[lengths[b] :] = False
        places = arrived.nonzero().squeeze(-1).tolist()
        if places:
            row, gaps = without(x[b], dt[b], arrived)
            told, last = layer(row, h0[:, b], gaps)
            own = layer.time_constants(row, h0[:, b], gaps)
            assert_close(tau[..., b, arrived, :], own, **CLOSE)
        else:
            last = h0[:, b]
            told = torch.empty(0, width, dtype=torch.float64)
        assert tau[..., b, ~arrived, :].isnan().all()
        assert_close(h[:, b], last, **CLOSE)
        start = h0[-2:, b] if layer.bidirectional else h0[-1:, b]
        if layer.proj_size:
            top = (layer.weight_hr_l0, layer.weight_hr_l0_reverse)
            start = [w @ s for w, s in zip(top, start, strict=True)]
        else:
            start = start[:, : layer.output_size]
        for t in range(L):
            if t >= lengths[b]:
                assert (y[b, t] == 0).all()
                continue
            before, after = [p for p in places if p <= t], [p for p in places if p >= t]
            expected = told[places.index(before[-1]), :half] if before else start[0]
            assert_close(y[b, t, :half], expected, **CLOSE)
            if layer.bidirectional:
                expected = told[places.index(after[0]), half:] if after else start[1]
                assert_close(y[b, t, half:], expected, **CLOSE)
            checked.append(t)
    assert len(checked) == sum(lengths)
    y.square().sum().backward()
    assert (x.grad[~ARRIVED] == 0).all()
    for parameter in (*layer.parameters(), dt):
        assert parameter.grad.isfinite().all()


@every_kind
def test_all_that_arrived_is_the_plain_call(name, kind):
    layer = LAYERS[name](I, H, batch_first=True, dtype=torch.float64, **KINDS[kind])
    x, h0, dt = drawn(layer)
    everything = torch.ones(B, L, dtype=torch.bool)
    for time in (dt, 0.3, None):
        y, h = layer(x, h0, time)
        for mask in (everything, everything[..., None].expand(-1, -1, I)):
            again, last = layer(x, h0, time, observed=mask)
            assert_close(again, y, **CLOSE)
            assert_close(last, h, **CLOSE)
    row, last = layer(x[0], h0[:, 0], dt[0], observed=everything[0])
    plain = layer(x[0], h0[:, 0], dt[0])
    assert_close((row, last), plain, **CLOSE)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_missing_feature_holds_its_last_value(batch_first):
    layer = LTC(I, H, batch_first=batch_first, dtype=torch.float64)
    x, h0, dt = drawn(layer)
    mask = torch.rand(B, L, I, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[0] = False
    mask[1] = True
    x[~mask] = torch.nan
    held = torch.zeros_like(x)
    for b in range(B):
        for i in range(I):
            latest = 0.0
            for t in range(L):
                latest = x[b, t, i].item() if mask[b, t, i] else latest
                held[b, t, i] = latest
    filled = fill_missing(*laid_out(batch_first, x, mask), batch_first=batch_first)
    expected, samples = laid_out(batch_first, held, mask.any(-1))
    assert torch.equal(filled, expected)
    x_in, dt_in, mask_in = laid_out(batch_first, x, dt, mask)
    y, h = layer(x_in, h0, dt_in, observed=mask_in)
    again, last = layer(filled, h0, dt_in, observed=samples)
    assert torch.equal(y, again)
    assert torch.equal(h, last)
    assert y.isfinite().all()
    told = fill_missing(x_in, indicator=True, batch_first=batch_first)
    assert torch.equal(told[..., :I], filled)
    assert torch.equal(told[..., I:], mask_in.double())
    assert torch.equal(fill_missing(x[2], indicator=True), torch.cat([held[2], mask[2]], -1))


def test_gradients_of_what_is_held():
    layer = LTC(I, 3, 2, bidirectional=True, batch_first=True, dtype=torch.float64)
    mask = torch.rand(3, 4, I) < 0.6
    x, dt = torch.randn(3, 4, I), torch.rand(3, 4) + 0.1
    h0 = torch.randn(4, 3, 3)
    given = [t.double().requires_grad_() for t in (x, h0, dt)]
    run = lambda x, h0, dt: layer(x, h0, dt, observed=mask)  # noqa: E731
    assert torch.autograd.gradcheck(run, given)


def test_a_nan_in_one_row_stays_there():
    layer = LTC(I, H, 2, bidirectional=True, batch_first=True, dtype=torch.float64)
    x, h0, dt = drawn(layer)
    clean = layer(x, h0, dt, observed=ARRIVED)
    x[1, 3] = torch.nan  # a sample that arrived
    x.requires_grad_()
    y, h = layer(x, h0, dt, observed=ARRIVED)
    rest = [0, 2, 3, 4, 5]
    assert torch.equal(y[rest], clean[0][rest])
    assert torch.equal(h[:, rest], clean[1][:, rest])
    assert y[1].isnan().any()
    y.square().sum().backward()
    assert x.grad[rest].isfinite().all()


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_with_a_mask_that_is_packed_alike(batch_first, features):
    layer = LTC(I, H, 2, bidirectional=True, batch_first=batch_first)
    lengths = [2, 6, 3, 5, 1, 4]
    rows = [torch.randn(n, I) for n in lengths]
    masks = [torch.rand(n, I) > 0.4 if features else torch.rand(n) > 0.4 for n in lengths]
    gaps = [torch.rand(n) + 0.1 for n in lengths]
    x, dt, mask = (
        nn.utils.rnn.pack_sequence(part, enforce_sorted=False) for part in (rows, gaps, masks)
    )
    y, h = layer(x, None, dt, None, mask)
    padded, many = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
    assert many.tolist() == lengths
    tau = layer.time_constants(x, None, dt, None, mask)
    for b, (row, gap, own) in enumerate(zip(rows, gaps, masks, strict=True)):
        alone, last = layer(row, None, gap, None, own)
        assert_close(padded[b, : len(row)], alone)
        assert_close(h[:, b], last)
        found = tau[:, b] if batch_first else tau[:, :, b]
        expected = layer.time_constants(row, None, gap, None, own)
        assert_close(found[:, : len(row)], expected, equal_nan=True)
    other = nn.utils.rnn.pack_sequence(masks[:-1], enforce_sorted=False)
    with pytest.raises(TorchliquidError, match="observed is packed with other lengths"):
        layer(x, None, dt, None, other)


def test_models_and_insight_take_it_too():
    model = SequenceModel(LTC(I, H, batch_first=True), 3)
    x, dt = torch.randn(B, L, I), torch.rand(B, L) + 0.1
    y, h = model(x, None, dt, observed=ARRIVED)
    states, last = model.layer(x, None, dt, observed=ARRIVED)
    assert_close(y, model.readout(states))  # whose products are torch's
    assert torch.equal(h, last)
    tau = time_constants(model, x, dt=dt, observed=ARRIVED)
    assert torch.equal(tau.isnan().any(-1), ~ARRIVED)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda layer, x: layer(x, observed=ARRIVED.int()), r"int32: expected booleans \(6, 6\)"),
        (lambda layer, x: layer(x, observed=ARRIVED[:3]), r"shape \(3, 6\)"),
        (lambda layer, x: layer(x, observed="x"), "observed is a str"),
        (lambda layer, x: layer(x[0], observed=ARRIVED), r"expected booleans \(6,\)"),
        (
            lambda layer, x: SequenceModel(nn.GRU(I, H), 1)(x, observed=ARRIVED),
            r"observed was given to a model over nn\.GRU",
        ),
        (lambda layer, x: fill_missing(x, ARRIVED), r"expected booleans \(6, 6, 2\)"),
        (lambda layer, x: fill_missing(x.int()), "expected floating-point numbers"),
        (lambda layer, x: fill_missing(x, indicator=1), "indicator is 1"),
    ],
)
def test_mistakes_are_said(call, words):
    with pytest.raises(TorchliquidError, match=words):
        call(LTC(I, H, batch_first=True), torch.randn(B, L, I))
