"""Ours against the reference equations, before anything is timed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from torchliquid import LTC
from torchliquid.kernels import VARIABLE


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Another backend for a while."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def same_as_reference(model: nn.Module, B: int, L: int, I: int) -> None:
    """Outputs, last state and every gradient of a model, native and by the equations."""
    torch.manual_seed(0)
    x = torch.randn(B, L, I)
    found: list[list[Any]] = []
    for name in ("native", "reference"):
        with backend(name):
            model.zero_grad()
            y, _ = model(x)
            y.square().mean().backward()
            found.append([y.detach(), *(p.grad.clone() for p in model.parameters())])  # type: ignore[union-attr]
    for ours, truth in zip(*found, strict=True):
        scale = float(truth.abs().max()) or 1.0
        torch.testing.assert_close(ours / scale, truth / scale, rtol=0, atol=2e-5)


def same_step(layer: LTC) -> None:
    """A stream of single steps, and the layer over the sequence."""
    x = torch.randn(50, layer.input_size)
    state = torch.zeros(layer.hidden_size)
    with torch.no_grad():
        y, _ = layer(x)
    for sample, truth in zip(x, y, strict=True):
        state = layer.step(sample, state)
        torch.testing.assert_close(state, truth, rtol=0, atol=1e-6)
