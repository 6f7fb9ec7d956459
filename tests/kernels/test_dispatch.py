"""The hand-written kernels against the equations under autograd: values, state, every gradient."""

import pytest
import torch

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, functional, kernels
from torchliquid.functional._projection import project
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated as native_gated
from torchliquid.kernels._bindings import linear as native_linear
from torchliquid.kernels._bindings import ltc as native_ltc
from torchliquid.kernels._torch import gru as torch_gru
from torchliquid.kernels._torch import lstm as torch_lstm
from torchliquid.kernels._torch import ltc as torch_ltc

B, L, I, H = 2, 7, 3, 5
LANES = [(), (3,)]
compiled = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
LTCS = [torch_ltc.ltc, pytest.param(native_ltc.ltc, marks=compiled)]
GATED = [
    (torch_lstm.lstm, functional.lstm, 4, 2),
    (torch_gru.gru, functional.gru, 3, 1),
    pytest.param(native_gated.lstm, functional.lstm, 4, 2, marks=compiled),
    pytest.param(native_gated.gru, functional.gru, 3, 1, marks=compiled),
]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def assert_equal_with_gradients(fast, slow, arguments):
    """Same outputs, and same gradients of a random linear function of them, for every tensor."""
    found = []
    for function in (fast, slow):
        inputs = [
            a.clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in arguments
        ]
        y, last = function(*inputs)
        outputs = (y, *(last if isinstance(last, tuple) else (last,)))
        torch.manual_seed(1)
        loss = sum((out * draw(*out.shape)).sum() for out in outputs)
        gradients = torch.autograd.grad(loss, [a for a in inputs if isinstance(a, torch.Tensor)])
        found.append((*outputs, *gradients))
    assert len(found[0]) == len(found[1])
    for mine, truth in zip(*found, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-11, atol=1e-12)


def ltc_arguments(lanes, dt):
    weights = draw(*lanes, H, I), draw(*lanes, H, H), draw(*lanes, H)
    tau, target = draw(*lanes, H).exp(), draw(*lanes, H)
    return draw(*lanes, B, L, I), draw(*lanes, B, H), *weights, tau, target, dt


def gaps(*shape):
    return torch.rand(*shape, dtype=torch.float64) + 0.1


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("solver", torch_ltc.SOLVERS)
@pytest.mark.parametrize("ltc", LTCS)
def test_ltc(ltc, solver, unfolds, lanes):
    for dt in (0.3, gaps(*lanes, B, L), gaps(B, L)):
        arguments = (*ltc_arguments(lanes, dt), solver, unfolds)
        assert_equal_with_gradients(ltc, functional.ltc, arguments)


@compiled
@pytest.mark.parametrize("lanes", [(), (19,)])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (33, 3, 2, 19), (9, 2, 17, 16), (3, 2, 1, 65)])
def test_native_at_odd_sizes(sizes, lanes):
    b, length, i, h = sizes
    x, h0 = draw(*lanes, b, length, i), draw(*lanes, b, h)
    weights = draw(*lanes, h, i), draw(*lanes, h, h), draw(*lanes, h)
    rest = draw(*lanes, h).exp(), draw(*lanes, h), gaps(*lanes, b, length)
    for solver in native_ltc.SOLVERS:
        arguments = (x, h0, *weights, *rest, solver)
        assert_equal_with_gradients(native_ltc.ltc, functional.ltc, arguments)
    for fast, slow, gates in (
        (native_gated.lstm, functional.lstm, 4),
        (native_gated.gru, functional.gru, 3),
    ):
        states = (h0, draw(*h0.shape)) if gates == 4 else (h0,)
        matrices = draw(*lanes, gates * h, i), draw(*lanes, gates * h, h)
        biases = draw(*lanes, gates * h), draw(*lanes, gates * h)
        assert_equal_with_gradients(fast, slow, (x, *states, *matrices, *biases))


@compiled
@pytest.mark.parametrize("lanes", [(), (19,)])
def test_native_model(lanes):
    """The layer and its readout in one call, tau from its raw parameter."""
    x, h0, *weights, tau, target, dt = ltc_arguments(lanes, 0.3)
    readout, bias = draw(*lanes, 2, H), draw(*lanes, 2)

    def slow(x, h0, wi, wh, b, raw, target, dt, solver, unfolds, readout, bias):
        tau = torch.nn.functional.softplus(raw)
        states, last = functional.ltc(x, h0, wi, wh, b, tau, target, dt, solver, unfolds)
        return project(states, readout, bias), last

    arguments = (x, h0, *weights, tau.log(), target, dt, "semi_implicit", 2, readout, bias)
    assert_equal_with_gradients(kernels.ltc_model, slow, arguments)


@compiled
def test_native_linear():
    def with_state(function):
        return lambda x, w, b: (function(x, w, b),) * 2

    arguments = draw(5, B, L, I), draw(5, 2, I), draw(5, 2)
    slow = with_state(project)
    assert_equal_with_gradients(with_state(native_linear.linear), slow, arguments)


@compiled
def test_native_lane_is_bit_for_bit_the_same_alone():
    arguments = ltc_arguments((19,), 0.3)
    for lane in (0, 7, 18):
        alone = [a[lane : lane + 1] if isinstance(a, torch.Tensor) else a for a in arguments]
        found = []
        for given in (arguments, alone):
            inputs = [
                a.clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in given
            ]
            native_ltc.ltc(*inputs)[0].square().sum().backward()
            found.append([a.grad for a in inputs if isinstance(a, torch.Tensor)])
        for many, one in zip(*found, strict=True):
            assert torch.equal(many[lane : lane + 1], one)


@pytest.mark.parametrize("ltc", LTCS)
def test_input_shared_by_lanes(ltc):
    arguments = list(ltc_arguments((3,), 0.3))
    arguments[0] = draw(B, L, I)
    assert_equal_with_gradients(ltc, functional.ltc, arguments)


@pytest.mark.parametrize("ltc", LTCS)
def test_no_bias(ltc):
    x, h0, wi, wh, _, tau, target, dt = ltc_arguments((), 0.3)
    arguments = (x, h0, wi, wh, None, tau, target, dt)
    assert_equal_with_gradients(ltc, functional.ltc, arguments)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(("fast", "slow", "gates", "states"), GATED)
def test_lstm_and_gru(fast, slow, gates, states, lanes, bias):
    state = [draw(*lanes, B, H) for _ in range(states)]
    weights = draw(*lanes, gates * H, I), draw(*lanes, gates * H, H)
    biases = (draw(*lanes, gates * H), draw(*lanes, gates * H)) if bias else (None, None)
    arguments = (draw(*lanes, B, L, I), *state, *weights, *biases)
    assert_equal_with_gradients(fast, slow, arguments)


@pytest.mark.parametrize("solver", torch_ltc.SOLVERS)
@pytest.mark.parametrize("ltc", LTCS)
def test_gradcheck(ltc, solver):
    inputs = [a.requires_grad_() for a in ltc_arguments((2,), gaps(2, B, L))]
    assert torch.autograd.gradcheck(lambda *a: ltc(*a, solver, 2), inputs)


@pytest.mark.parametrize("ltc", LTCS)
def test_one_step(ltc):
    x, *rest = ltc_arguments((), 0.3)
    assert_equal_with_gradients(ltc, functional.ltc, (x[:, :1], *rest))


@pytest.mark.parametrize("solver", torch_ltc.SOLVERS)
def test_a_lane_is_the_same_alone(solver):
    """Not bit for bit: torch multiplies matrices of one lane and of many by other routines."""
    arguments = ltc_arguments((17,), 0.3)
    alone = [a[5:6] if isinstance(a, torch.Tensor) else a for a in arguments]
    gradients = []
    for given in (arguments, alone):
        inputs = [a.clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in given]
        torch_ltc.ltc(*inputs, solver, 2)[0].square().sum().backward()
        gradients.append([a.grad for a in inputs if isinstance(a, torch.Tensor)])
    for many, one in zip(*gradients, strict=True):
        torch.testing.assert_close(many[5:6], one, rtol=1e-13, atol=1e-14)


def test_backends(monkeypatch):
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    assert kernels.backend() == ("native" if library.find()[0] else "torch")
    for name in kernels.BACKENDS[1:]:
        monkeypatch.setenv(kernels.VARIABLE, name)
        assert kernels.backend() == name
    monkeypatch.setenv(kernels.VARIABLE, "cuda")
    with pytest.raises(TorchliquidError, match="TORCHLIQUID_BACKEND is 'cuda': expected one of"):
        LTC(1, 2)(torch.zeros(3, 1))


@compiled
@pytest.mark.parametrize("cell", [LTC, torch.nn.LSTM, torch.nn.GRU])
def test_all_backends_give_the_same_pack(cell, monkeypatch):
    pack = Pack(lambda seed: SequenceModel(cell(1, 4), 1), range(3))
    x = torch.randn(2, 20, 1)
    found = []
    for name in kernels.BACKENDS:
        monkeypatch.setenv(kernels.VARIABLE, name)
        pack.zero_grad()
        y, _ = pack(x)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in pack.parameters())])
    *fast, reference = found
    for mine in fast:
        for one, other in zip(mine, reference, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unfolds", [1, 2])
@pytest.mark.parametrize("solver", functional.SOLVERS)
def test_functional_transforms(solver, unfolds):
    """vmap over stacked weights, and gradients for each of them, as ensembles are written."""
    models = [SequenceModel(LTC(1, 4, solver=solver, unfolds=unfolds, dt=0.3), 1) for _ in range(3)]
    parameters, _ = torch.func.stack_module_state(models)
    x = torch.randn(6, 2, 1)

    def loss(weights):
        y, _ = torch.func.functional_call(models[0], weights, (x,))
        return y.square().mean()

    losses = torch.func.vmap(loss)(parameters)
    gradients = torch.func.vmap(torch.func.grad(loss))(parameters)
    for lane, model in enumerate(models):
        mine = model(x)[0].square().mean()
        mine.backward()
        torch.testing.assert_close(losses[lane], mine)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name][lane], parameter.grad, rtol=1e-4, atol=1e-6)


# torch's compiler itself makes the instance that torch warns of
@pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated:DeprecationWarning")
def test_compile_sees_one_graph():
    layer, x = LTC(2, 4, batch_first=True), torch.randn(3, 9, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    y, h = compiled(x)
    torch.testing.assert_close((y, h), layer(x))
    y.square().sum().backward()
    mine = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(x)[0].square().sum().backward()
    for one, other in zip(mine, layer.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)


def gated_arguments(gates, states):
    weights = draw(gates * H, I), draw(gates * H, H), draw(gates * H), draw(gates * H)
    return [draw(B, L, I), *(draw(B, H) for _ in range(states)), *weights]


@pytest.mark.parametrize("which", ["bias_ih", "bias_hh"])
@pytest.mark.parametrize(("fast", "slow", "gates", "states"), GATED)
def test_one_bias_alone_counts(fast, slow, gates, states, which):
    arguments = gated_arguments(gates, states)
    arguments[-2 if which == "bias_hh" else -1] = None
    assert_equal_with_gradients(fast, slow, arguments)


def wrong_shapes(arguments):
    """Each tensor with a dimension more, one less, and each dimension off by one."""
    for place, value in enumerate(arguments):
        if not isinstance(value, torch.Tensor):
            continue
        others = [
            value.unsqueeze(0),
            value[0],
            *(torch.cat([value, value.narrow(d, 0, 1)], d) for d in range(value.dim())),
            *(value.narrow(d, 0, value.shape[d] - 1) for d in range(value.dim())),
        ]
        for other in others:
            yield [*arguments[:place], other, *arguments[place + 1 :]]


@pytest.mark.parametrize("backend", kernels.BACKENDS)
@pytest.mark.parametrize("name", ["ltc", "lstm", "gru"])
def test_kernels_refuse_what_the_equations_refuse(name, backend, monkeypatch):
    """A C function reads what it is told to read: shapes are compared before it is called."""
    if backend == "native" and library.find()[0] is None:
        pytest.skip(library.find()[1])
    monkeypatch.setenv(kernels.VARIABLE, backend)
    if name == "ltc":
        arguments = list(ltc_arguments((), gaps(B, L)))
    else:
        arguments = gated_arguments(*{"lstm": (4, 2), "gru": (3, 1)}[name])
    fine = refused = 0
    for given in wrong_shapes(arguments):
        for function in (getattr(kernels, name), getattr(functional, name)):
            try:
                y, _ = function(*given)
            except TorchliquidError:
                refused += 1
            else:  # a shorter sequence with one time for all, or the like: then it is right
                fine += 1
                torch.testing.assert_close(y, getattr(functional, name)(*given)[0])
    assert refused > 40
    assert fine <= 4


@pytest.mark.parametrize("backend", kernels.BACKENDS)
def test_kernels_refuse_other_arguments_too(backend, monkeypatch):
    if backend == "native" and library.find()[0] is None:
        pytest.skip(library.find()[1])
    monkeypatch.setenv(kernels.VARIABLE, backend)
    arguments = ltc_arguments((), 0.3)
    for run in (kernels.ltc, functional.ltc):
        for dt in (
            torch.ones(()),
            torch.ones(1),
            torch.ones(B, L).double()[:, :4],
            "1",
            None,
            -1.0,
        ):
            with pytest.raises(TorchliquidError, match="dt "):
                run(*arguments[:-1], dt)
        for unfolds in (0, -1, 1.5, True):
            with pytest.raises(TorchliquidError, match="unfolds is"):
                run(*arguments, "euler", unfolds)
        for solver in ("heun", None, 3):
            with pytest.raises(TorchliquidError, match="solver is"):
                run(*arguments, solver)
        with pytest.raises(TorchliquidError, match=r"torch.float32.*torch.float64"):
            run(arguments[0].float(), *arguments[1:])
