"""The article's comparison in one file of plain PyTorch: read this first.

"Deconstructing Liquid Neural Networks (LNNs)", parts 1 to 3: a liquid layer, an LSTM, a noisy sum
of sines, training, a table of errors. The library computes the same numbers, for many seeds at once
and faster: `torchliquid bench article`. Run it: `python examples/article.py` (some two minutes).
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

STEPS, TRAIN, DT, SIGMA = 300, 200, 0.1, 0.02
SINES = ((1.0, 1.0), (0.4, 2.5), (0.2, 10.0))  # amplitude, angular frequency


class Liquid(nn.Module):
    """dx/dt = -x / tau_sys + f A, with f = sigmoid(W_ih u + W_hh x + b), by Euler's method."""

    def __init__(self, inputs: int, neurons: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs + neurons)
        self.w_ih = nn.Parameter(torch.empty(neurons, inputs).uniform_(-bound, bound))
        self.w_hh = nn.Parameter(torch.empty(neurons, neurons).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(neurons).uniform_(-bound, bound))
        self.raw_tau = nn.Parameter(torch.ones(neurons))  # softplus keeps tau positive
        self.A = nn.Parameter(torch.randn(neurons))

    def forward(self, u: Tensor) -> tuple[Tensor, None]:
        """Run over a sequence (L, I) from a state of zero; return the states (L, H)."""
        x, states, tau = torch.zeros_like(self.A), [], nn.functional.softplus(self.raw_tau)
        for sample in u:
            f = torch.sigmoid(self.w_ih @ sample + self.w_hh @ x + self.b)
            tau_sys = tau / (1 + tau * f)  # the time constant that depends on the input
            x = x + DT * (f * self.A - x / tau_sys)
            states.append(x)
        return torch.stack(states), None


class Model(nn.Module):
    """A layer and a linear readout of its states."""

    def __init__(self, layer: nn.Module, neurons: int) -> None:
        super().__init__()
        self.layer, self.readout = layer, nn.Linear(neurons, 1)

    def forward(self, u: Tensor) -> Tensor:
        """Predict the next value after each sample (L,)."""
        return self.readout(self.layer(u[:, None])[0])[:, 0]


MODELS = {"liquid": lambda: Model(Liquid(1, 8), 8), "LSTM": lambda: Model(nn.LSTM(1, 16), 16)}


def signal(seed: int) -> Tensor:
    """Return the noisy sum of sines, STEPS + 1 samples."""
    t, noise = DT * np.arange(STEPS + 1), np.random.default_rng((0, seed)).normal(size=STEPS + 1)
    return torch.from_numpy(sum(a * np.sin(w * t) for a, w in SINES) + SIGMA * noise).float()


def train(model: Model, values: Tensor, epochs: int, rate: float = 0.005) -> tuple[float, float]:
    """Train on the first steps; return the mean squared errors there and on the later ones."""
    seen, target = values[:-1], values[1:]
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        optimiser.zero_grad()
        ((model(seen[:TRAIN]) - target[:TRAIN]) ** 2).mean().backward()
        optimiser.step()
    error = (model(seen).detach() - target) ** 2  # the state is kept from training to test
    return float(error[:TRAIN].mean()), float(error[TRAIN:].mean())


if __name__ == "__main__":
    for name, make in MODELS.items():
        for seed in range(3):
            torch.manual_seed(seed)
            model = make()
            size = sum(p.numel() for p in model.parameters())
            print(f"{name}, {size} parameters, seed {seed}:", *train(model, signal(seed), 1000))
