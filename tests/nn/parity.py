"""Layers that came over from ncps beside those they were: the largest differences.

Run as a module, ``python -m tests.nn.parity``, it prints the table of docs/from-ncps.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from torchliquid import SequenceModel
from torchliquid.nn import MixedMemory, from_ncps

INPUTS, BATCH, STEPS = 5, 3, 9
WIRINGS = {
    "8 neurons": lambda w: 8,
    "FullyConnected(8, 3)": lambda w: w.FullyConnected(8, 3),
    "no self-connections": lambda w: w.FullyConnected(8, 3, self_connections=False),
    "Random(12, 4, 0.6)": lambda w: w.Random(12, 4, 0.6),
    "NCP(8, 6, 3, ...)": lambda w: w.NCP(8, 6, 3, 4, 4, 6, 4),
    "AutoNCP(16, 4)": lambda w: w.AutoNCP(16, 4),
}


@dataclass(frozen=True)
class Case:
    """A class of ncps with options."""

    kind: str
    wiring: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        said = [self.wiring, *(f"{name}={value!r}" for name, value in self.options.items())]
        return f"{self.kind}, {', '.join(said)}"

    def make(self, dtype: torch.dtype, seed: int = 0) -> torch.nn.Module:
        """A module whose weights are no longer those it starts with."""
        import ncps.torch
        import ncps.wirings

        torch.manual_seed(seed)
        kind = getattr(ncps.torch, self.kind)
        module = kind(INPUTS, WIRINGS[self.wiring](ncps.wirings), **self.options).to(dtype)
        with torch.no_grad():
            for name, p in module.named_parameters():
                if "mask" not in name:
                    p.mul_(1 + 0.1 * torch.rand_like(p))
        return module


MODES = ("default", "no_gate", "pure")
CASES = [
    *(Case("LTC", name) for name in WIRINGS),
    Case("LTC", "AutoNCP(16, 4)", {"implicit_param_constraints": False}),
    Case("LTC", "AutoNCP(16, 4)", {"input_mapping": "linear", "output_mapping": None}),
    Case("LTC", "AutoNCP(16, 4)", {"input_mapping": None, "output_mapping": "linear"}),
    Case("LTC", "AutoNCP(16, 4)", {"ode_unfolds": 1}),
    Case("LTC", "AutoNCP(16, 4)", {"ode_unfolds": 12, "epsilon": 1e-3}),
    Case("LTC", "AutoNCP(16, 4)", {"mixed_memory": True}),
    *(Case("CfC", "8 neurons", {"mode": mode}) for mode in MODES),
    *(Case("CfC", "8 neurons", {"mode": mode, "backbone_layers": 0}) for mode in MODES),
    Case("CfC", "8 neurons", {"backbone_layers": 3, "backbone_units": 16, "backbone_dropout": 0.2}),
    *(Case("CfC", "8 neurons", {"activation": a}) for a in ("silu", "relu", "tanh", "gelu")),
    Case("CfC", "8 neurons", {"proj_size": 3}),
    Case("CfC", "8 neurons", {"mixed_memory": True, "mode": "no_gate", "proj_size": 3}),
    *(Case("CfC", "AutoNCP(16, 4)", {"mode": mode}) for mode in MODES),
    Case("CfC", "FullyConnected(8, 3)"),
    Case("CfC", "Random(12, 4, 0.6)"),
    Case("CfC", "AutoNCP(16, 4)", {"mixed_memory": True}),
]


def draw(width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x ``(B, L, I)``, a state ``(B, width)`` and an irregular dt ``(B, L)``."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, STEPS, INPUTS, generator=g)
    h = 0.3 * torch.randn(BATCH, width, generator=g)
    return x.to(dtype), h.to(dtype), (0.1 + torch.rand(BATCH, STEPS, generator=g)).to(dtype)


def row_by_row(module: Any, x: Tensor, h: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """What ncps outputs, a row at a time: its batches take no times."""
    outputs, lasts = [], []
    for b in range(len(x)):
        row, state = slice(b, b + 1), h[b : b + 1]
        pair = tuple(state.chunk(2, 1)) if module.use_mixed else state
        y, last = module(x[row], pair, timespans=dt[row, :, None])
        outputs.append(y)
        lasts.append(torch.cat(last, 1) if module.use_mixed else last)
    return torch.cat(outputs), torch.cat(lasts)


def order_of(module: Any) -> list[int]:
    """Where ncps has each neuron of ours in a state: a wired CfC has its first layer first."""
    cell = module.rnn_cell
    sizes = getattr(cell, "layer_sizes", [module.state_size])
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    return [n for size, end in zip(sizes[::-1], ends[::-1], strict=True)
            for n in range(end - size, end)]  # fmt: skip


def differences(case: Case, dtype: torch.dtype) -> tuple[float, float]:
    """Of values and of gradients, relative to the largest value of each tensor."""
    module = case.make(dtype).eval()
    ours = from_ncps(module).eval()
    H = module.state_size
    order = order_of(module)
    if module.use_mixed:
        order += [H + n for n in order]
    x, h, dt = draw(len(order), dtype)
    x1, h1 = x.clone().requires_grad_(), h.clone().requires_grad_()
    x2, h2 = x.clone().requires_grad_(), h[:, order].clone().requires_grad_()
    y1, last1 = row_by_row(module, x1, h1, dt)
    y2, last2 = ours(x2, h2[None], dt)
    seed = torch.randn(y1.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    for y in (y1, y2):
        (y * seed).sum().backward()
    # the gradients of ncps, by the names of its weights, come over as weights do
    theirs = {name: value for name, value in module.state_dict().items() if "mask" in name}
    for name, p in module.named_parameters():
        if name not in theirs:
            theirs[name] = torch.zeros_like(p) if p.grad is None else p.grad
    layer = ours.layer if isinstance(ours, SequenceModel) else ours
    wanted = from_ncps(theirs, **state_dict_options(layer))
    pairs = [(x2.grad, x1.grad), (h2.grad, h1.grad[:, order])]
    pairs += [
        (p.grad, q)
        for p, q in zip(ours.parameters(), wanted.parameters(), strict=True)
        if q.numel()
    ]
    return apart([(y2, y1), (last2[0], last1[:, order])]), apart(pairs)


def state_dict_options(layer: Any) -> dict[str, Any]:
    """What a state dict does not tell."""
    cell = layer._template[0] if isinstance(layer, MixedMemory) else layer
    names = ("mode", "activation", "unfolds", "implicit", "epsilon")
    found = {name: getattr(cell, name) for name in names if hasattr(cell, name)}
    return found | ({"outputs": layer.output_size} if "unfolds" in found else {})


def apart(pairs: list[tuple[Tensor, Tensor]]) -> float:
    found = 0.0
    for one, other in pairs:
        size = max(other.abs().max().item(), 1e-30)
        found = max(found, (one - other).abs().max().item() / size)
    return found


def bound(difference: float) -> str:
    """The next power of ten above it, and above the last place of a double."""
    return f"1e{max(math.floor(math.log10(max(difference, 1e-16))) + 1, -15)}"


def named(case: Case) -> str:
    """As the table has it."""
    return f"`{case.kind}`, {str(case).split(', ', 1)[1]}"


def rows() -> Iterator[str]:
    """Lines of the table."""
    yield "| class, options | values | gradients | in single precision | |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for case in CASES:
        exact, coarse = (differences(case, t) for t in (torch.float64, torch.float32))
        cells = " | ".join(map(bound, (*exact, *coarse)))
        yield f"| {named(case)} | {cells} |"


if __name__ == "__main__":
    print("\n".join(rows()))
