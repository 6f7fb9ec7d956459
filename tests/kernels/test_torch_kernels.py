"""The hand-written kernels against the equations under autograd: values, state, every gradient."""

import pytest
import torch

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, functional, kernels
from torchliquid.kernels import torch_gru, torch_lstm, torch_ltc

B, L, I, H = 2, 7, 3, 5
LANES = [(), (3,)]


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
def test_ltc(solver, unfolds, lanes):
    for dt in (0.3, gaps(*lanes, B, L), gaps(B, L)):
        arguments = (*ltc_arguments(lanes, dt), solver, unfolds)
        assert_equal_with_gradients(torch_ltc.ltc, functional.ltc, arguments)


def test_input_shared_by_lanes():
    arguments = list(ltc_arguments((3,), 0.3))
    arguments[0] = draw(B, L, I)
    assert_equal_with_gradients(torch_ltc.ltc, functional.ltc, arguments)


def test_no_bias():
    x, h0, wi, wh, _, tau, target, dt = ltc_arguments((), 0.3)
    arguments = (x, h0, wi, wh, None, tau, target, dt)
    assert_equal_with_gradients(torch_ltc.ltc, functional.ltc, arguments)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(
    ("fast", "slow", "gates", "states"),
    [(torch_lstm.lstm, functional.lstm, 4, 2), (torch_gru.gru, functional.gru, 3, 1)],
)
def test_lstm_and_gru(fast, slow, gates, states, lanes, bias):
    state = [draw(*lanes, B, H) for _ in range(states)]
    weights = draw(*lanes, gates * H, I), draw(*lanes, gates * H, H)
    biases = (draw(*lanes, gates * H), draw(*lanes, gates * H)) if bias else (None, None)
    arguments = (draw(*lanes, B, L, I), *state, *weights, *biases)
    assert_equal_with_gradients(fast, slow, arguments)


@pytest.mark.parametrize("solver", torch_ltc.SOLVERS)
def test_gradcheck(solver):
    inputs = [a.requires_grad_() for a in ltc_arguments((2,), gaps(2, B, L))]
    assert torch.autograd.gradcheck(lambda *a: torch_ltc.ltc(*a, solver, 2), inputs)


def test_one_step():
    x, *rest = ltc_arguments((), 0.3)
    assert_equal_with_gradients(torch_ltc.ltc, functional.ltc, (x[:, :1], *rest))


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


def test_second_derivatives_are_refused_not_wrong():
    x, *rest = ltc_arguments((), 0.3)
    x.requires_grad_()
    (first,) = torch.autograd.grad(torch_ltc.ltc(x, *rest)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_backends(monkeypatch):
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    assert kernels.backend() == "torch"
    monkeypatch.setenv(kernels.VARIABLE, "reference")
    assert kernels.backend() == "reference"
    monkeypatch.setenv(kernels.VARIABLE, "cuda")
    with pytest.raises(TorchliquidError, match="TORCHLIQUID_BACKEND is 'cuda': expected one of"):
        LTC(1, 2)(torch.zeros(3, 1))


@pytest.mark.parametrize("cell", [LTC, torch.nn.LSTM, torch.nn.GRU])
def test_the_reference_backend_gives_the_same_pack(cell, monkeypatch):
    pack = Pack(lambda seed: SequenceModel(cell(1, 4), 1), range(3))
    x = torch.randn(2, 20, 1)
    found = []
    for name in kernels.BACKENDS:
        monkeypatch.setenv(kernels.VARIABLE, name)
        pack.zero_grad()
        y, _ = pack(x)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in pack.parameters())])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unfolds", [1, 2])
@pytest.mark.parametrize("solver", functional.SOLVERS)
def test_functional_transforms(solver, unfolds):
    """vmap over stacked weights, and gradients for each of them, as ensembles are written."""
    models = [SequenceModel(LTC(1, 4, solver, unfolds, dt=0.3), 1) for _ in range(3)]
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
