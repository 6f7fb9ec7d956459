"""The kernels' cases: what is timed against what, and the check that comes before any timing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from checks import same_as_reference, same_step
from timing import Step
from torch import Tensor, nn

from torchliquid import LTC, Pack, SequenceModel


@dataclass(frozen=True)
class Case:
    """One row of the table.

    at_least: the ratio to reach, with AVX-512 and with AVX2.
    build: gives ours, the other contender, and how many units (lanes) ours does at once.
    check: raises AssertionError where ours is not right.
    """

    id: str
    name: str
    other: str
    at_least: tuple[float, float]
    build: Callable[[], tuple[Step, Step, int]]
    check: Callable[[], None]


def train_step(model: nn.Module, x: Tensor, target: Tensor) -> Step:
    """Forward, backward and Adam (torch's fused one) of a mean squared error for each lane."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        y, _ = model(x)
        loss = nn.functional.mse_loss(y, target.expand_as(y), reduction="sum")
        (loss / target.numel()).backward()
        optimiser.step()

    return step


def layer_step(layer: nn.Module, x: Tensor) -> Step:
    """Forward, backward and Adam of a layer without a head: the loss is a mean squared error."""
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3, fused=True)
    target = torch.zeros(())

    def step() -> None:
        optimiser.zero_grad()
        y, _ = layer(x)
        nn.functional.mse_loss(y, target.expand_as(y)).backward()
        optimiser.step()

    return step


def inference(layer: nn.Module, x: Tensor) -> Step:
    """The layer's forward pass without a graph."""

    def step() -> None:
        with torch.no_grad():
            layer(x)

    return step


def _small(make: Callable[[], nn.Module]) -> Callable[[int], SequenceModel]:
    return lambda seed: SequenceModel(make(), 1)  # type: ignore[arg-type]


def _lstm_16() -> Step:
    model = SequenceModel(nn.LSTM(1, 16, batch_first=True), 1)
    return train_step(model, *_series())


def _series() -> tuple[Tensor, Tensor]:
    x = torch.randn(1, 200, 1)
    return x, x.roll(-1, 1)


def _k1() -> tuple[Step, Step, int]:
    model = SequenceModel(LTC(1, 8, batch_first=True), 1)
    return train_step(model, *_series()), _lstm_16(), 1


def _pack(make: Callable[[], nn.Module], lanes: int = 100) -> tuple[Step, Step, int]:
    pack = Pack(_small(make), range(lanes))
    return train_step(pack, *_series()), _lstm_16(), lanes


def _layers(B: int, L: int, I: int, H: int, kind: Callable[..., Any]) -> tuple[Step, Step, int]:
    x = torch.randn(B, L, I)
    ours, other = LTC(I, H, batch_first=True), nn.LSTM(I, H, batch_first=True)
    return kind(ours, x), kind(other, x), 1


def _k10() -> tuple[Step, Step, int]:
    layer, lstm = LTC(1, 8, dt=0.1), nn.LSTM(1, 16)
    x, state = torch.randn(1, 1), torch.zeros(1, 8)
    sample, carried = torch.randn(1, 1, 1), (torch.zeros(1, 1, 16), torch.zeros(1, 1, 16))

    def other() -> None:
        nonlocal carried
        with torch.no_grad():
            _, carried = lstm(sample, carried)

    return lambda: layer.step(x, state, 0.1, out=state), other, 1


CASES = [
    Case(
        "K1",
        "train step LTC-8 + head, B1 L200 I1",
        "nn.LSTM-16 + head",
        (3.5, 3),
        _k1,
        lambda: same_as_reference(SequenceModel(LTC(1, 8, batch_first=True), 1), 1, 200, 1),
    ),
    Case(
        "K2",
        "the same, 100 lanes, per lane",
        "one nn.LSTM-16 + head",
        (220, 160),
        lambda: _pack(lambda: LTC(1, 8, batch_first=True)),
        lambda: same_as_reference(
            Pack(_small(lambda: LTC(1, 8, batch_first=True)), range(100)), 1, 200, 1
        ),
    ),
    Case(
        "K3",
        "pack of 100 LSTM-16 + head, per lane",
        "one nn.LSTM-16 + head",
        (40, 25),
        lambda: _pack(lambda: nn.LSTM(1, 16, batch_first=True)),
        lambda: same_as_reference(
            Pack(_small(lambda: nn.LSTM(1, 16, batch_first=True)), range(100)), 1, 200, 1
        ),
    ),
    Case(
        "K4",
        "train step LTC B64 L128 I16 H64",
        "nn.LSTM",
        (5, 5),
        lambda: _layers(64, 128, 16, 64, layer_step),
        lambda: same_as_reference(LTC(16, 64, batch_first=True), 64, 128, 16),
    ),
    Case(
        "K5",
        "inference LTC B64 L128 I16 H64",
        "nn.LSTM",
        (5, 6),
        lambda: _layers(64, 128, 16, 64, inference),
        lambda: same_as_reference(LTC(16, 64, batch_first=True), 64, 128, 16),
    ),
    Case(
        "K6",
        "train step LTC B64 L128 I64 H256",
        "nn.LSTM",
        (5.5, 5),
        lambda: _layers(64, 128, 64, 256, layer_step),
        lambda: same_as_reference(LTC(64, 256, batch_first=True), 64, 16, 64),
    ),
    Case(
        "K10",
        "layer.step, LTC-8, B1, from Python",
        "nn.LSTM-16 with L=1",
        (15, 15),
        _k10,
        lambda: same_step(LTC(1, 8, dt=0.1)),
    ),
]
