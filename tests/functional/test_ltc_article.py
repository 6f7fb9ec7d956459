"""The Euler step against the article's layer, written down again from its text alone."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from torchliquid import LTC
from torchliquid.functional import ltc, ltc_time_constants, time_constant


class Article(nn.Module):
    """f = sigmoid(Linear([x, h])), tau_sys = tau / (1 + tau f), h <- h + dt (-h/tau_sys + A f)."""

    def __init__(self, inputs: int, neurons: int, dt: float) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs + neurons, neurons)
        self.raw_tau = nn.Parameter(torch.ones(neurons))
        self.A = nn.Parameter(torch.randn(neurons))
        self.dt = dt

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        states, time_constants = [], []
        tau = torch.log(1 + torch.exp(self.raw_tau))
        for t in range(x.shape[1]):
            f = torch.sigmoid(self.gate(torch.cat([x[:, t], h], dim=1)))
            tau_sys = tau / (1 + tau * f)
            h = h + self.dt * (-h / tau_sys + self.A * f)
            states.append(h)
            time_constants.append(tau_sys)
        return torch.stack(states, 1), torch.stack(time_constants, 1)

    def weights(self) -> tuple[Tensor, ...]:
        inputs = self.gate.in_features - self.gate.out_features
        w = self.gate.weight
        tau = nn.functional.softplus(self.raw_tau)
        return w[:, :inputs], w[:, inputs:], self.gate.bias, tau, self.A


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_euler_is_the_articles_step(dtype, tolerance):
    article = Article(3, 8, dt=0.1).to(dtype)
    x = torch.randn(2, 300, 3, dtype=dtype)
    h0 = torch.randn(2, 8, dtype=dtype)
    expected, expected_tau_sys = article(x, h0)
    states, last = ltc(x, h0, *article.weights(), dt=0.1, solver="euler")
    assert_close(states, expected, rtol=0, atol=tolerance)
    assert_close(last, expected[:, -1], rtol=0, atol=tolerance)
    tau_sys = ltc_time_constants(x, h0, *article.weights(), dt=0.1, solver="euler")
    assert_close(tau_sys, expected_tau_sys, rtol=0, atol=tolerance)


def test_gradients_are_those_of_the_articles_step():
    article = Article(2, 5, dt=0.1).double()
    x = torch.randn(3, 40, 2, dtype=torch.float64, requires_grad=True)
    h0 = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 40, 5, dtype=torch.float64)
    wanted = [x, h0, *article.parameters()]
    ours = ltc(x, h0, *article.weights(), dt=0.1, solver="euler")[0]
    theirs = article(x, h0)[0]
    for got, expected in zip(
        torch.autograd.grad((ours * weight).sum(), wanted),
        torch.autograd.grad((theirs * weight).sum(), wanted),
        strict=True,
    ):
        assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_layer_with_euler_is_the_articles_layer():
    layer = LTC(1, 8, solver="euler", batch_first=True, dt=0.1)
    article = Article(1, 8, dt=0.1)
    with torch.no_grad():
        article.gate.weight.copy_(torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], dim=1))
        article.gate.bias.copy_(layer.bias_l0)
        article.A.copy_(layer.target_l0)
        x = torch.sin(torch.linspace(0, 30, 300)).reshape(1, 300, 1)
        assert_close(layer(x)[0], article(x, torch.zeros(1, 8))[0], rtol=0, atol=1e-6)


def test_one_step_by_hand():
    """One neuron, numbers small enough for paper: f = 1/2, tau = 2, A = 3, h = 1, dt = 0.1."""
    zero = torch.zeros(1, 1, dtype=torch.float64)
    tau, target = torch.tensor([2.0]).double(), torch.tensor([3.0]).double()
    by_hand = {
        "euler": 1 + 0.1 * (-1 + 1.5),
        "semi_implicit": (1 + 0.1 * 1.5) / (1 + 0.1 * 1.0),
        "exponential": 1.5 + (1 - 1.5) * math.exp(-0.1),
        "rk4": 1.5 - 0.5 * (1 - 0.1 + 0.1**2 / 2 - 0.1**3 / 6 + 0.1**4 / 24),
    }
    for solver, expected in by_hand.items():
        _, h = ltc(zero[None], zero + 1, zero, zero, None, tau, target, dt=0.1, solver=solver)
        assert h.item() == pytest.approx(expected, abs=1e-15), solver
    for dt, expected in ((1.0, 1.5), (5.0, 1.5)):  # tau_sys is 1: a longer Euler step is cut there
        _, h = ltc(zero[None], zero + 1, zero, zero, None, tau, target, dt=dt, solver="euler")
        assert h.item() == pytest.approx(expected, abs=1e-15), dt
    assert time_constant(torch.tensor(0.5), torch.tensor(2.0)).item() == 1.0
