"""What kernels read is what torch means: lazy tensors, views and gradients, at every entry."""

import pytest
import torch
from torch.testing import assert_close

from torchliquid import (
    LTC,
    Pack,
    SequenceModel,
    TorchliquidError,
    dt_from_timestamps,
    kernels,
    load,
    save,
)
from torchliquid.export import describe
from torchliquid.functional.synaptic import all_pairs
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated as native_gated
from torchliquid.kernels._bindings import linear as native_linear
from torchliquid.kernels._bindings import ltc as native_ltc
from torchliquid.kernels._bindings import synaptic as native_synaptic

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
B, L, I, H, S, O = 2, 5, 3, 4, 3, 2


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def ltc_arguments(*lead):
    x, h0, dt = draw(*lead, B, L, I), draw(*lead, B, H), draw(*lead, B, L).abs()
    weights = draw(*lead, H, I), draw(*lead, H, H), draw(*lead, H)
    return [x, h0, *weights, draw(*lead, H).exp(), draw(*lead, H), dt]


def gated_arguments(gates, *lead):
    states = [draw(*lead, B, H) for _ in range(gates - 2)]
    weights = draw(*lead, gates * H, I), draw(*lead, gates * H, H)
    biases = draw(*lead, gates * H), draw(*lead, gates * H)
    return [draw(*lead, B, L, I), *states, *weights, *biases]


def synaptic_arguments():
    synapses = [draw(H * H) for _ in range(4)] + [draw(I * H) for _ in range(4)]
    neurons = [draw(H).exp() for _ in range(3)]
    return [
        draw(B, L, I),
        draw(B, H),
        *synapses,
        *neurons,
        None,
        None,
        None,
        None,
        draw(B, L).abs(),
    ]


def resonator_arguments(*lead):
    sizes = draw(*lead, B, L, I), draw(*lead, B, 3 * H)
    weights = draw(*lead, H, I), draw(*lead, H, I), draw(*lead, H)
    positive = draw(*lead, H).exp(), draw(*lead, H).exp()
    return [*sizes, *positive, *weights, draw(*lead, B, L).abs()]


def ltc_model(*a):
    return kernels.ltc_model(*a[:8], "semi_implicit", 2, *a[8:])


def lstm_model(x, h0, c0, ih, hh, b, c, readout, bias):
    y, last = kernels.gated_model(x, (h0, c0), (ih, hh, b, c), readout, bias)
    return y, *last


HEAD = [draw(O, H), draw(O)]
ENTRIES = {
    "ltc": (native_ltc.ltc, ltc_arguments()),
    "pack of ltc": (native_ltc.ltc, ltc_arguments(S)),
    "ltc model": (ltc_model, [*ltc_arguments(), *HEAD]),
    "lstm": (lambda *a: (lambda y, s: (y, *s))(*native_gated.lstm(*a)), gated_arguments(4)),
    "gru": (native_gated.gru, gated_arguments(3)),
    "pack of lstm models": (
        lstm_model,
        [*gated_arguments(4, S), draw(S, O, H), draw(S, O)],
    ),
    "linear": (
        lambda *a: (native_linear.linear(*a),),
        [draw(S, B, L, I), draw(S, O, I), draw(S, O)],
    ),
    "synaptic": (native_synaptic.synaptic, synaptic_arguments()),
    "resonator": (kernels.resonator, resonator_arguments()),
    "pack of resonators": (kernels.resonator, resonator_arguments(S)),
}


def negative(t):
    """The same values, with the other sign in memory and the negative bit."""
    lazy = torch.complex(torch.zeros_like(t), -t).conj().imag
    assert lazy.is_neg()
    return lazy


def flipped(t):
    """The same, contiguous."""
    lazy = torch._neg_view(-t)
    assert lazy.is_neg()
    assert lazy.is_contiguous()
    return lazy


def expanded(t):
    return t[:1].expand(t.shape)


def transposed(t):
    return t.transpose(0, -1).contiguous().transpose(0, -1)


def strided(t):
    wide = t.new_full((*t.shape[:-1], 2 * t.shape[-1]), torch.nan)
    wide[..., 1::2] = t
    return wide[..., 1::2]


def zero(t):
    return torch._efficientzerotensor(t.shape, dtype=t.dtype)


FORMS = [negative, flipped, expanded, transposed, strided, zero]


def results(function, arguments, form=None, which=None, grad_form=None):
    """Values and gradients, where one argument, or all gradients that come in, have a form."""
    leaves = [None if a is None else a.clone().requires_grad_() for a in arguments]
    given = [a if k != which or a is None else form(a) for k, a in enumerate(leaves)]
    outputs = function(*given)
    torch.manual_seed(1)
    grads = [draw(*y.shape) for y in outputs]
    if grad_form is not None:
        grads = [grad_form(g) for g in grads]
    wanted = [a for a in leaves if a is not None]
    found = torch.autograd.grad(outputs, wanted, grads, allow_unused=True)
    return [*outputs, *found]


def assert_alike(one, other):
    for mine, truth in zip(one, other, strict=True):
        assert (mine is None) == (truth is None)
        if truth is not None:
            assert_close(mine, truth, rtol=1e-11, atol=1e-12)


def dense(form):
    return lambda t: form(t).clone() if form is not zero else torch.zeros_like(t)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_argument_in_every_form(entry, form, monkeypatch):
    monkeypatch.setattr(library, "ROWS", True if "lstm models" in entry else None)
    function, arguments = ENTRIES[entry]
    for which, argument in enumerate(arguments):
        if argument is None:
            continue
        if form is zero:  # its gradient is no tensor's: values alone, outside autograd
            with torch.no_grad():
                truth = [a if k != which else torch.zeros_like(a) for k, a in enumerate(arguments)]
                lazy = [a if k != which else zero(a) for k, a in enumerate(arguments)]
                assert_alike(function(*lazy), function(*truth))
            continue
        truth = results(function, arguments, dense(form), which)
        assert_alike(results(function, arguments, form, which), truth)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_incoming_gradients_in_every_form(entry, form, monkeypatch):
    monkeypatch.setattr(library, "ROWS", True if "lstm models" in entry else None)
    function, arguments = ENTRIES[entry]
    truth = results(function, arguments, grad_form=dense(form))
    assert_alike(results(function, arguments, grad_form=form), truth)


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_changed_since_the_forward_pass_is_refused(entry, monkeypatch):
    monkeypatch.setattr(library, "ROWS", True if "lstm models" in entry else None)
    function, arguments = ENTRIES[entry]
    leaves = [None if a is None else a.clone().requires_grad_() for a in arguments]
    given = [None if a is None else a * 1 for a in leaves]
    outputs = function(*given)
    given[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs[0].sum().backward()


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("hook", [torch.Tensor.float, lambda t: t[..., :1]], ids=["type", "shape"])
def test_hooks_that_give_back_another_type_or_shape_are_refused(entry, hook, monkeypatch):
    monkeypatch.setattr(library, "ROWS", True if "lstm models" in entry else None)
    function, arguments = ENTRIES[entry]
    leaves = [None if a is None else a.clone().requires_grad_() for a in arguments]
    seen = []

    def back(t):
        seen.append(t)
        return hook(t) if len(seen) == 1 else t

    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, back):
        outputs = function(*leaves)
    with pytest.raises(TorchliquidError, match="saved"):
        outputs[0].sum().backward()


@pytest.fixture
def layer(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "native")
    torch.manual_seed(0)
    return LTC(I, H, dtype=torch.float64)


@pytest.mark.parametrize("form", FORMS)
def test_steps_read_samples_and_states_in_every_form(layer, form):
    x, state = draw(B, I), draw(B, H)
    for lazy_x, lazy_state in ((form(x), state), (x, form(state))):
        truth = layer.step(lazy_x + 0, lazy_state + 0)
        assert_close(layer.step(lazy_x, lazy_state), truth)
    if form not in (expanded, zero):
        out = form(torch.zeros(B, H, dtype=torch.float64))
        layer.step(x, state, out=out)
        assert_close(out, layer.step(x, state))


@pytest.mark.parametrize("form", [negative, transposed])
def test_weights_that_change_their_form_in_place(layer, form):
    x, state = draw(I), draw(H)
    layer.step(x, state)
    with torch.no_grad():
        layer.weight_hh_l0.data = form(layer.weight_hh_l0.data)
    same = torch._neg_view(layer.weight_ih_l0.data)  # at the same address
    layer.weight_ih_l0.data = same
    assert_close(layer.step(x, state), layer(x[None], state[None])[1][0])
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t()  # at the same address
    assert_close(layer.step(x, state), layer(x[None], state[None])[1][0])


def test_a_step_in_place_is_seen_by_autograd(layer):
    for deep in (layer, LTC(I, H, num_layers=2, dtype=torch.float64)):
        lead = (deep.num_layers,) if deep.num_layers > 1 else ()
        for write in ("step", "step_many"):
            state = draw(*lead, B, H)
            w = draw(*lead, B, H).requires_grad_()
            loss = (w * state).sum()
            options = {"out": state} if write == "step" else {}
            getattr(deep, write)(draw(B, I), state, **options)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()


def test_a_step_into_a_state_of_inference_mode(layer):
    with torch.inference_mode():
        state = draw(B, H)
        assert layer.step_many(draw(B, I), state) is state


@pytest.mark.parametrize("make", [LTC, torch.nn.LSTM])
@pytest.mark.parametrize("packed", [False, True])
def test_a_complex_loss_goes_down(make, packed):
    """Autograd makes gradients with the negative bit by itself."""
    torch.manual_seed(0)

    def build(seed=0):
        return SequenceModel(make(1, 1, batch_first=True), 1)

    model = Pack(build, [0]) if packed else build()
    x = torch.ones(1, 2, 1)

    def gradients(loss):
        model.zero_grad()
        loss(model(x)[0]).backward()
        return [p.grad for p in model.parameters()]

    lazy = gradients(lambda y: (torch.complex(torch.zeros_like(y), y).conj() * 1j).real.sum())
    for mine, truth in zip(lazy, gradients(lambda y: y.sum()), strict=True):
        assert_close(mine, truth)


def test_a_freed_tensor_is_refused():
    x = torch.zeros(1, 2, I)
    x.untyped_storage().resize_(0)
    with pytest.raises(TorchliquidError, match="has no memory"):
        LTC(I, H, batch_first=True)(x)


@pytest.mark.parametrize("lazy", [torch._neg_view, zero])
def test_lists_of_synapses_are_read_as_they_are_meant(lazy):
    arguments = synaptic_arguments()
    pairs = all_pairs(H, H)
    sensors = all_pairs(I, H)
    if lazy is zero:
        pairs, sensors = torch.zeros_like(pairs), torch.zeros_like(sensors)
    truth = [*arguments[:15], pairs, sensors, *arguments[17:]]
    given = [*arguments[:15], lazy(-pairs), lazy(-sensors), *arguments[17:]]
    run = native_synaptic.synaptic

    def gradients(listed):
        leaves = [a.clone().requires_grad_() for a in listed[:13]]
        y, _ = run(*leaves, *listed[13:])
        return torch.autograd.grad(y.sum(), leaves)

    assert_alike(gradients(given), gradients(truth))


def test_what_leaves_torch_has_the_right_sign(tmp_path):
    """Saved, exported, and read by NumPy."""
    model = SequenceModel(LTC(1, H, dtype=torch.float64), 1)
    plain = model.layer.target_l0.detach()
    model.layer.target_l0 = torch.nn.Parameter(negative(plain))
    save(model, tmp_path)
    assert torch.equal(load(tmp_path).layer.target_l0, plain)
    exported = torch.from_numpy(describe(model).layers[0].target.flatten().copy())
    assert torch.equal(exported, plain)
    times = torch.arange(5.0, dtype=torch.float64)
    assert torch.equal(dt_from_timestamps(negative(times)), dt_from_timestamps(times))
