"""Random sizes, strides, solvers and lanes: the native kernels are the equations, always.

`make sanitize` runs it under the sanitizers, TORCHLIQUID_FUZZ says how many calls are made.
"""

import os

import numpy as np
import pytest
import torch

from torchliquid import functional, kernels
from torchliquid.kernels import _library as library

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
CALLS = int(os.environ.get("TORCHLIQUID_FUZZ", "300"))


def odd(t, rng):
    """The same numbers, laid out in memory in another way."""
    kind = rng.integers(4)
    if kind == 0 or not t.dim():
        return t
    if kind == 1:
        return torch.stack([t, t], -1)[..., 0]
    if kind == 2:
        return torch.cat([t, t])[: len(t)]
    order = torch.randperm(t.dim()).tolist()
    back = torch.argsort(torch.tensor(order)).tolist()
    return t.permute(order).contiguous().permute(back)


def case(rng):
    lanes = [(), (int(rng.integers(1, 20)),)][rng.integers(2)]
    B, L, I, H = (int(rng.integers(1, most)) for most in (20, 9, 20, 40))
    dtype = [torch.float32, torch.float64][rng.integers(2)]

    def draw(*shape):
        return odd(torch.randn(*shape, dtype=dtype), rng)

    def matrix(*shape):
        """As large as layers draw theirs: larger ones make a recurrence that is chaotic, where any
        float32 computation, torch's too, loses three digits more in some calls."""
        return odd(torch.randn(*shape, dtype=dtype) / shape[-1] ** 0.5, rng)

    own = lanes if rng.random() < 0.7 else ()  # else the input is shared by all lanes
    x, state = draw(*own, B, L, I), [draw(*lanes, B, H) for _ in range(2)]
    cell = ["ltc", "lstm", "gru"][rng.integers(3)]
    bias = rng.random() < 0.8
    if cell == "ltc":
        dt = [0.3, draw(*lanes, B, L).abs() * 2, draw(B, L).abs() * 2][rng.integers(3)]
        rest = draw(*lanes, H).exp(), draw(*lanes, H), dt
        weights = matrix(*lanes, H, I), matrix(*lanes, H, H), draw(*lanes, H) if bias else None
        options = functional.SOLVERS[rng.integers(3)], int(rng.integers(1, 4))
        return cell, (x, state[0], *weights, *rest, *options)
    gates = {"lstm": 4, "gru": 3}[cell]
    weights = [matrix(*lanes, gates * H, I), matrix(*lanes, gates * H, H)]
    weights += [draw(*lanes, gates * H) if bias else None for _ in range(2)]
    return cell, (x, *state[: 2 if cell == "lstm" else 1], *weights)


def solve(run, given):
    inputs = [a.detach().requires_grad_() if torch.is_tensor(a) else a for a in given]
    y, last = run(*inputs)
    outputs = (y, *(last if isinstance(last, tuple) else (last,)))
    sum(out.square().sum() for out in outputs).backward()
    return [*outputs, *(a.grad for a in inputs if torch.is_tensor(a))]


def error_of(found, truth):
    """The largest one, relative to the largest number of its tensor."""
    pairs = [(a.detach().double(), b.detach()) for a, b in zip(found, truth, strict=True)]
    return max(float((a - b).abs().max() / (b.abs().max() + 1e-3)) for a, b in pairs)


def test_random_calls(monkeypatch):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    for number in range(CALLS):
        cell, given = case(rng)
        monkeypatch.setenv(kernels.VARIABLE, "native")
        mine = solve(getattr(kernels, cell), given)
        double = [a.double() if torch.is_tensor(a) else a for a in given]
        truth = solve(getattr(functional, cell), double)
        message = f"call {number}: {cell} {[getattr(a, 'shape', a) for a in given]}"
        assert [t.shape for t in mine] == [t.shape for t in truth], message
        error = error_of(mine, truth)
        if given[0].dtype == torch.float64:
            assert error < 1e-10, message
        elif error > 1e-5:  # a sum that cancels: then PyTorch's own operations lose as much
            monkeypatch.setenv(kernels.VARIABLE, "torch")
            theirs = error_of(solve(getattr(kernels, cell), given), truth)
            assert error < 4 * theirs, f"{message}: {error}, in PyTorch operations {theirs}"
