"""Layers upon layers and both directions: what they are is written out here, one layer at a time.

nn.LSTM, nn.GRU and the liquid layers are held to the same laws.
"""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import LTC, TorchliquidError, time_constants
from torchliquid.nn import CTRNN, DecayGRU

LIQUID = {
    "LTC": LTC,
    "LTC-rk4": lambda *a, **k: LTC(*a, solver="rk4", unfolds=2, **k),
    "CTRNN": CTRNN,
    "DecayGRU": DecayGRU,
}
I, H, B, L = 3, 4, 5, 5
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def single(layer, suffix, features):
    """One layer in one direction with the weights of one place."""
    made = type(layer)(features, H, bias=layer.bias, batch_first=True, dtype=torch.float64)
    if isinstance(layer, LTC):
        made.solver, made.unfolds = layer.solver, layer.unfolds
    own = {n: getattr(layer, n.replace("l0", suffix)) for n, _ in made.named_parameters()}
    return lambda x, h0, dt: torch.func.functional_call(made, own, (x, h0, dt))


def drawn(depth, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (B, L, I), (depth, B, H), (B, L)
    x, h0, dt = (torch.rand(*s, generator=generator, dtype=torch.float64) for s in shapes)
    return x - 0.5, h0 - 0.5, dt + 0.1


def backwards(x, dt):
    """The row as its reverse direction reads it: dt before its first sample is the forward's."""
    return x.flip(1), torch.cat([dt[:, :1], dt[:, 1:].flip(1)], dim=1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", LIQUID)
def test_a_stack_is_its_layers_one_by_one(name, bidirectional, num_layers, bias):
    layer = LIQUID[name](
        I, H, num_layers, bias, True, bidirectional=bidirectional, dtype=torch.float64
    )
    directions = 2 if bidirectional else 1
    x, h0, dt = drawn(num_layers * directions)
    y, h = layer(x, h0, dt)
    assert y.shape == (B, L, directions * H)
    assert h.shape == h0.shape
    expected, lasts = x, []
    for k in range(num_layers):
        wide = expected.shape[-1]
        place = k * directions
        outputs, last = single(layer, f"l{k}", wide)(expected, h0[place][None], dt)
        lasts.append(last)
        if bidirectional:
            run = single(layer, f"l{k}_reverse", wide)
            flipped, gaps = backwards(expected, dt)
            reverse, last = run(flipped, h0[place + 1][None], gaps)
            outputs = torch.cat([outputs, reverse.flip(1)], dim=-1)
            lasts.append(last)
        expected = outputs
    assert_close(y, expected, **CLOSE)
    assert_close(h, torch.cat(lasts), **CLOSE)


@pytest.mark.parametrize("name", LIQUID)
def test_a_row_read_backwards_tells_the_same_with_directions_exchanged(name):
    layer = LIQUID[name](I, H, 1, True, True, bidirectional=True, dtype=torch.float64)
    other = LIQUID[name](I, H, 1, True, True, bidirectional=True, dtype=torch.float64)
    exchanged = {
        n: layer.get_parameter(n.removesuffix("_reverse") if "_reverse" in n else f"{n}_reverse")
        for n, _ in layer.named_parameters()
    }
    other.load_state_dict(exchanged)
    x, h0, dt = drawn(2)
    y, h = layer(x, h0, dt)
    flipped, gaps = backwards(x, dt)
    assert_close(backwards(flipped, gaps)[1], dt)
    z, last = other(flipped, h0.flip(0), gaps)
    assert_close(z.flip(1), torch.cat([y[..., H:], y[..., :H]], dim=-1), **CLOSE)
    assert_close(last.flip(0), h, **CLOSE)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", LIQUID)
def test_a_projection_is_what_feeds_back_and_what_is_told(name, bidirectional):
    P = 2
    layer = LIQUID[name](
        I, H, 2, batch_first=True, bidirectional=bidirectional, proj_size=P, dtype=torch.float64
    )
    plain = LIQUID[name](
        I, H, 2, batch_first=True, bidirectional=bidirectional, dtype=torch.float64
    )
    control = nn.LSTM(I, H, 2, bidirectional=bidirectional, proj_size=P)
    shapes = {n: tuple(p.shape) for n, p in control.named_parameters() if "weight" in n}
    gates = layer.weight_hh_l0.shape[0] // H
    for n, p in layer.named_parameters():
        if "weight" in n:
            rows, columns = shapes[n]
            assert p.shape == (rows if "_hr_" in n else rows // 4 * gates, columns)
    D = control.num_layers * (2 if bidirectional else 1)
    x, h0, dt = drawn(D)
    y, h = layer(x, h0, dt)
    assert y.shape == (B, L, P * (2 if bidirectional else 1))
    assert h.shape == (D, B, H)
    # a plain stack with weight_hh weight_hr, whose upper layers read what the lower ones project
    weights = {}
    for n, _ in plain.named_parameters():
        value = layer.get_parameter(n)
        if "_hh_" in n and "weight" in n:
            value = value @ layer.get_parameter(n.replace("_hh_", "_hr_"))
        if "weight_ih_l1" in n:
            parts = [layer.weight_hr_l0]
            if bidirectional:
                parts.append(layer.weight_hr_l0_reverse)
            value = value @ torch.block_diag(*parts)
        weights[n] = value
    z, last = torch.func.functional_call(plain, weights, (x, h0, dt))
    top = [layer.weight_hr_l1] + ([layer.weight_hr_l1_reverse] if bidirectional else [])
    assert_close(y, z @ torch.block_diag(*top).T, **CLOSE)
    assert_close(h, last, **CLOSE)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"proj_size": 1}])
@pytest.mark.parametrize("name", LIQUID)
def test_every_gradient(name, options):
    layer = LIQUID[name](1, 2, 2, dtype=torch.float64, **options)
    names, weights = zip(*layer.named_parameters(), strict=True)
    D = 4 if "bidirectional" in options else 2
    x, h0 = torch.randn(2, 2, 1, dtype=torch.float64), torch.randn(D, 2, 2, dtype=torch.float64)
    dt = torch.rand(2, 2, dtype=torch.float64) + 0.1
    given = [t.requires_grad_() for t in (x, h0, dt)]

    def run(x, h0, dt, *weights):
        return torch.func.functional_call(
            layer, dict(zip(names, weights, strict=True)), (x, h0, dt)
        )

    assert torch.autograd.gradcheck(run, (*given, *weights))


# torch's own word on the control
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "proj_size": 3}])
@pytest.mark.parametrize("name", ["LSTM", *LIQUID])
def test_names_and_shapes_are_those_of_nn_lstm(name, options):
    layer = {"LSTM": nn.LSTM, **LIQUID}[name](I, H, 3, **options)
    control = nn.LSTM(I, H, 3, **options)
    theirs = [n for n, _ in control.named_parameters() if n.startswith("weight")]
    assert [n for n, _ in layer.named_parameters() if n.startswith("weight")] == theirs
    assert len(layer.all_weights) == len(control.all_weights)
    assert [tuple(w.shape) for own in layer.all_weights for w in own] == [
        tuple(p.shape) for p in layer.parameters()
    ]
    layer.flatten_parameters()
    y, h = layer(torch.randn(L, B, I))
    expected, (_, c) = control(torch.randn(L, B, I))
    assert y.shape == expected.shape
    assert (h[1] if name == "LSTM" else h).shape == c.shape


@pytest.mark.parametrize("name", ["LSTM", *LIQUID])
def test_dropout_is_between_layers_and_in_training_alone(name):
    make = {"LSTM": nn.LSTM, **LIQUID}[name]
    layer = make(I, 64, 2, dropout=0.5)
    x = torch.randn(7, 2, I)
    state = torch.get_rng_state()
    first, again = layer(x)[0], layer(x)[0]
    assert not torch.allclose(first, again)
    torch.set_rng_state(state)
    assert torch.equal(layer(x)[0], first)
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    plain = make(I, 64, 2)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(plain(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="dropout"):
        single_layer = make(I, H, dropout=0.5)
    assert torch.equal(single_layer(x)[0], single_layer(x)[0])  # nothing after the last layer


@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9])
def test_what_dropout_keeps_is_scaled(kept):
    """With a second layer that hands on its input, what came through can be seen."""
    seen = []

    class Listening(LTC):
        def scan(self, weights, x, state, dt):
            seen.append(x)
            return super().scan(weights, x, state, dt)

    layer = Listening(1, 400, 2, dropout=1 - kept, batch_first=True)
    layer(torch.ones(8, 10, 1))
    through = seen[1]
    layer.eval()
    layer(torch.ones(8, 10, 1))
    plain = seen[3]
    zero = through == 0
    assert zero.float().mean().item() == pytest.approx(1 - kept, abs=0.02)
    assert_close(through[~zero], plain[~zero] / kept)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", LIQUID)
def test_time_constants_have_a_place_for_each_layer_and_direction(
    name, batch_first, num_layers, bidirectional
):
    layer = LIQUID[name](
        I, H, num_layers, batch_first=batch_first, bidirectional=bidirectional, dtype=torch.float64
    )
    D = num_layers * (2 if bidirectional else 1)
    x, h0, dt = drawn(D)
    given = (x, h0, dt) if batch_first else (x.transpose(0, 1), h0, dt.T)
    tau = time_constants(layer, *given)
    lead = () if D == 1 else (D,)
    assert tau.shape == (*lead, *given[0].shape[:2], H)
    row = time_constants(layer, x[1], h0[:, 1], dt[1])
    assert row.shape == (*lead, L, H)
    assert_close(row, tau[..., 1, :, :] if batch_first else tau[..., 1, :], **CLOSE)
    if bidirectional:  # the reverse direction of the first layer is a layer over the row reversed
        flipped, gaps = backwards(x, dt)
        made = type(layer)(I, H, batch_first=True, dtype=torch.float64)
        if isinstance(layer, LTC):
            made.solver, made.unfolds = layer.solver, layer.unfolds
        own = {n: layer.get_parameter(f"{n}_reverse").detach() for n, _ in made.named_parameters()}
        made.load_state_dict(own)
        expected = time_constants(made, flipped, h0[1:2], gaps).flip(1)
        found = tau[1] if batch_first else tau[1].transpose(0, 1)
        assert_close(found, expected, **CLOSE)


LENGTHS = [3, 5, 1, 5, 2]


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("name", LIQUID)
def test_rows_of_unlike_lengths_turn_where_they_end(name, proj_size, timed):
    layer = LIQUID[name](
        I,
        H,
        2,
        batch_first=True,
        bidirectional=True,
        proj_size=proj_size,
        dtype=torch.float64,
    )
    x, h0, dt = drawn(4)
    for row, many in enumerate(LENGTHS):
        x[row, many:] = torch.nan
        dt[row, many:] = -1
    y, h = layer(x, h0, dt if timed else None, LENGTHS)
    tau = layer.time_constants(x, h0, dt if timed else None, LENGTHS)
    for row, many in enumerate(LENGTHS):
        own = (x[row, :many], h0[:, row], dt[row, :many] if timed else None)
        alone, last = layer(*own)
        assert_close(y[row, :many], alone, **CLOSE)
        assert (y[row, many:] == 0).all()
        assert_close(h[:, row], last, **CLOSE)
        assert_close(tau[:, row, :many], layer.time_constants(*own), **CLOSE)
        assert tau[:, row, many:].isnan().all()


@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("name", LIQUID)
def test_steps_are_the_sequence(name, proj_size):
    layer = LIQUID[name](I, H, 3, batch_first=True, proj_size=proj_size, dtype=torch.float64)
    x, h0, dt = drawn(3)
    _, h = layer(x, h0, dt)
    state, row = h0, h0[:, 0]
    for t in range(L):
        state = layer.step(x[:, t], state, dt[:, t])
        row = layer.step(x[0, t], row, float(dt[0, t]))
    assert_close(state, h, **CLOSE)
    assert_close(row, h[:, 0], **CLOSE)
    many = h0.clone()
    for t in range(L):
        assert layer.step_many(x[:, t], many, dt[:, t]) is many
    assert_close(many, h, **CLOSE)


def entries(layer):
    """Every way into a layer: from x, h0 and dt, batch first, to tensors with rows at dim 0."""
    lengths, arrived = [5, 3, 5, 2, 4], torch.ones(B, L, dtype=torch.bool)
    arrived[:, 2] = False

    def packed(x, h0, dt):
        rows = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        y, h = layer(rows, h0, dt)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0], h

    yield "whole", lambda x, h0, dt: layer(x, h0, dt)
    yield "lengths", lambda x, h0, dt: layer(x, h0, dt, lengths)
    yield "packed", packed
    yield "observed", lambda x, h0, dt: layer(x, h0, dt, None, arrived)
    yield (
        "features",
        lambda x, h0, dt: layer(x, h0, dt, lengths, arrived[..., None].expand(-1, -1, I)),
    )
    yield "time constants", lambda x, h0, dt: (layer.time_constants(x, h0, dt).movedim(-3, 0),)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("where", ["x", "h0"])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 2}]
)
@pytest.mark.parametrize("name", LIQUID)
def test_a_nan_stays_in_its_row_whichever_way_it_came_in(name, options, where):
    layer = LIQUID[name](I, H, batch_first=True, dtype=torch.float64, **options)
    x, h0, dt = drawn(layer.interface().depth)
    rest = [0, 2, 3, 4]
    for entry, call in entries(layer):
        results = []
        for value in (0.5, torch.nan):
            given = [t.clone() for t in (x, h0, dt)]
            if where == "x":
                given[0][1, 0] = value
            else:
                given[1][:, 1] = value
            given = [t.requires_grad_() for t in given]
            out = call(*given)
            rows = [out[0], *(h.transpose(0, 1) for h in out[1:])]
            loss = sum(r.square().sum() for r in rows)
            found = torch.autograd.grad(loss, given, allow_unused=True, materialize_grads=True)
            found = [found[0], found[1].transpose(0, 1), found[2]]
            results.append([r[rest] for r in (*rows, *found)])
            if value != value and (entry != "time constants" or "LTC" in name):
                assert rows[0][1].isnan().any(), entry
        for clean, dirty in zip(*results, strict=True):
            assert torch.equal(clean, dirty), entry


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("solver", ["semi_implicit", "rk4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_of_deep_layers_after_their_weights_have_moved(dtype, solver):
    layer = LTC(I, H, 3, solver=solver, dtype=dtype)
    x = torch.randn(6, I, dtype=dtype)
    for _ in range(3):
        state = None
        for sample in x:
            before = state
            state = layer.step(sample, state, dt=0.3)
            assert before is not state
        _, h = layer(x, dt=0.3)
        assert_close(state, h)
        again = torch.zeros(3, H, dtype=dtype)
        for sample in x:
            assert layer.step(sample, again, 0.3, out=again) is again
        assert_close(again, h)
        with torch.no_grad():
            layer.weight_hh_l1 += 0.1
        layer.weight_ih_l2 = nn.Parameter(torch.randn(H, H, dtype=dtype))
    assert not layer.step(x[0], state).requires_grad


def test_a_state_that_does_not_fit_is_not_touched():
    layer = LTC(I, H, 2)
    state = torch.zeros(2, H, dtype=torch.float64)
    with pytest.raises(TorchliquidError, match="state is"):
        layer.step(torch.randn(I), state, out=state)
    assert (state == 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LTC(2, 3, 0), "num_layers is 0"),
        (lambda: LTC(2, 3, "euler"), "num_layers is 'euler'"),
        (lambda: LTC(2, 3, 10**6), "at most 1000"),
        (lambda: LTC(2, 3, 2, dropout=1.5), "dropout is 1.5: give a number from 0 to 1"),
        (lambda: LTC(2, 3, 2, dropout=-0.1), "dropout is -0.1"),
        (lambda: LTC(2, 3, 2, dropout=True), "dropout is True"),
        (lambda: LTC(2, 3, proj_size=3), "proj_size is 3: give an integer less than .* 3"),
        (lambda: LTC(2, 3, proj_size=-1), "proj_size is -1"),
        (lambda: LTC(2, 3, bidirectional=2), "bidirectional is 2: give True or False"),
        (
            lambda: LTC(2, 3, 2)(torch.zeros(4, 2), torch.zeros(1, 3)),
            r"h0 has shape \(1, 3\): expected \(2, 3\) \(layers times directions lead\)",
        ),
        (
            lambda: LTC(2, 3)(torch.zeros(4, 2), (torch.zeros(1, 3), torch.zeros(1, 3))),
            r"expected a tensor \(1, 3\) for LTC: it has one state, not a pair \(h, c\)",
        ),
        (lambda: LTC(2, 3, bidirectional=True).step(torch.zeros(2)), "needs the samples to come"),
        (
            lambda: LTC(2, 3, 2).step(torch.zeros(2), torch.zeros(3)),
            r"state is \(3,\) .* expected \(2, 3\)",
        ),
    ],
)
def test_mistakes_are_said(make, words):
    with pytest.raises(TorchliquidError, match=words):
        make()
