"""Derivatives of every order and kind, by every way to ask for them, against the equations."""

import pytest
import torch
from torch import nn

from torchliquid import LTC, Pack, Resonator, SequenceModel, functional, kernels
from torchliquid.kernels import _library as library
from torchliquid.kernels._torch import gru as torch_gru
from torchliquid.kernels._torch import lstm as torch_lstm
from torchliquid.kernels._torch import ltc as torch_ltc

D = torch.float64
# torch's own forward mode loads decompositions that it scripts
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)
BACKENDS = [
    "torch",
    pytest.param(
        "native", marks=pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
    ),
]
LAYERS = [
    lambda: LTC(2, 3, dt=0.3, dtype=D),
    lambda: LTC(2, 3, solver="euler", unfolds=2, dt=0.3, dtype=D),
    lambda: LTC(2, 3, solver="exponential", unfolds=3, bias=False, dtype=D),
    lambda: LTC(2, 3, solver="rk4", dtype=D),
]
RESONATORS = [lambda: Resonator(2, 3, gate="open", dt=0.3, dtype=D)]
PACKS = [
    lambda: Pack(lambda seed: SequenceModel(LTC(2, 3, dtype=D), 1), range(2)),
    lambda: Pack(lambda seed: SequenceModel(nn.LSTM(2, 3, dtype=D), 1), range(2)),
    lambda: Pack(lambda seed: SequenceModel(nn.GRU(2, 3, dtype=D), 1), range(2)),
]


def penalty(module, x):
    """Gradients of a gradient penalty, as in WGAN-GP: second derivatives through `backward`."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    gradient.square().sum().backward()
    return [
        x.grad,
        *(torch.zeros_like(p) if p.grad is None else p.grad for p in parameters(module)),
    ]


def parameters(module):
    return [p for name, p in sorted(module.named_parameters()) if not name.endswith("readout.bias")]


def loss(module):
    return lambda q: module(q)[0].square().sum()


def forward_ad(module, x):
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        return torch.autograd.forward_ad.unpack_dual(module(dual)[0]).tangent


def with_respect_to_weights(module, x):
    """A Hessian-vector product by the double-backward trick, through `functional_call`."""
    weights = {name: p.detach() for name, p in module.named_parameters()}

    def run(values):
        return torch.func.functional_call(module, values, (x,))[0].square().sum()

    vector = {name: torch.ones_like(p) for name, p in weights.items()}
    _, product = torch.func.jvp(torch.func.grad(run), (weights,), (vector,))
    return list(product.values())


WAYS = {
    "penalty": penalty,
    "autograd.functional.jvp": lambda m, x: torch.autograd.functional.jvp(
        lambda q: m(q)[0], x, torch.ones_like(x)
    )[1],
    "autograd.functional.hessian": lambda m, x: torch.autograd.functional.hessian(loss(m), x),
    "autograd.functional.hvp": lambda m, x: torch.autograd.functional.hvp(
        loss(m), x, torch.ones_like(x)
    )[1],
    "autograd.functional.jacobian": lambda m, x: torch.autograd.functional.jacobian(
        lambda q: m(q)[0], x, vectorize=True
    ),
    "func.jvp": lambda m, x: torch.func.jvp(lambda q: m(q)[0], (x,), (torch.ones_like(x),))[1],
    "func.jacfwd": lambda m, x: torch.func.jacfwd(lambda q: m(q)[0])(x),
    "func.jacrev": lambda m, x: torch.func.jacrev(lambda q: m(q)[0])(x),
    "func.hessian": lambda m, x: torch.func.hessian(loss(m))(x),
    "func.grad twice": lambda m, x: torch.func.grad(
        lambda q: torch.func.grad(loss(m))(q).square().sum()
    )(x),
    "forward_ad": forward_ad,
    "weights": with_respect_to_weights,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [*LAYERS, *RESONATORS, *PACKS])
# torch's own fall-back for operations that its batched gradients do not know
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_every_way_to_ask(make, way, backend, monkeypatch):
    torch.manual_seed(0)
    module, x = make(), torch.randn(4, 2, 2, dtype=D)
    found = []
    for name in (backend, "reference"):
        monkeypatch.setenv(kernels.VARIABLE, name)
        value = WAYS[way](module, x)
        found.append(value if isinstance(value, list) else [value])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)
    assert all(value.abs().sum() > 0 for value in found[0])


def draw(*shape):
    return torch.randn(*shape, dtype=D).requires_grad_()


@pytest.mark.parametrize("lanes", [(), (2,)])
@pytest.mark.parametrize("solver", torch_ltc.SOLVERS)
def test_ltc_twice(solver, lanes):
    weights = draw(*lanes, 2, 1), draw(*lanes, 2, 2), draw(*lanes, 2)
    tau = (torch.rand(*lanes, 2, dtype=D) + 0.5).requires_grad_()
    dt = (torch.rand(*lanes, 1, 2, dtype=D) + 0.1).requires_grad_()
    inputs = (draw(*lanes, 1, 2, 1), draw(*lanes, 1, 2), *weights, tau, draw(*lanes, 2), dt)
    assert torch.autograd.gradgradcheck(lambda *a: torch_ltc.ltc(*a, solver, 2), inputs)


@pytest.mark.parametrize(
    ("run", "gates", "states"), [(torch_lstm.lstm, 4, 2), (torch_gru.gru, 3, 1)]
)
def test_lstm_and_gru_twice(run, gates, states):
    state = [draw(1, 2) for _ in range(states)]
    weights = draw(gates * 2, 1), draw(gates * 2, 2), draw(gates * 2), draw(gates * 2)

    def flat(*a):
        y, last = run(*a)
        return (y, *last) if isinstance(last, tuple) else (y, last)

    assert torch.autograd.gradgradcheck(flat, (draw(1, 2, 1), *state, *weights))


def test_third_derivative(monkeypatch):
    layer, x = LTC(1, 2, dtype=D), torch.randn((), dtype=D)

    def state(q):
        return layer(q.expand(3, 1))[0].sum()

    third = torch.func.grad(torch.func.grad(torch.func.grad(state)))
    fast = third(x)
    monkeypatch.setenv(kernels.VARIABLE, "reference")
    torch.testing.assert_close(fast, third(x))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_weight_that_the_input_depends_on(backend, monkeypatch):
    """Two layers that share weights: partial derivatives of the second, not total ones."""
    layer = LTC(2, 2, dtype=D)
    found = []
    for name in (backend, "reference"):
        monkeypatch.setenv(kernels.VARIABLE, name)
        layer.zero_grad()
        x = torch.ones(3, 1, 2, dtype=D, requires_grad=True)
        (g,) = torch.autograd.grad(layer(layer(x)[0])[0].sum(), x, create_graph=True)
        g.square().sum().backward()
        found.append([p.grad.clone() for p in layer.parameters()])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_the_reference_is_what_forward_mode_runs(monkeypatch):
    called = []
    equations = functional.ltc
    monkeypatch.setattr(functional, "ltc", lambda *a: called.append(1) or equations(*a))
    layer, x = LTC(1, 2), torch.ones(3, 1)
    layer(x)
    assert not called
    torch.func.jvp(lambda q: layer(q)[0], (x,), (x,))
    assert called
