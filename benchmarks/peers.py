"""The kernels' cases against other packages' cells, and against torch's own.

The same model as ncps: weights, wiring and equation are theirs, the layer is ours
(`torchliquid.nn.from_ncps`); a check holds both equal first. Our cell in place of theirs is
another model, cheaper by its equation, and says so.
"""

from collections.abc import Callable
from typing import Any

import torch
from cases import Case, inference, layer_step
from timing import Step
from torch import Tensor, nn

from torchliquid import LTC
from torchliquid.nn import from_ncps

B, L, I, H = 32, 32, 8, 32


class PythonLoop(nn.Module):
    """An LTC as a person writes it: the same equation, a loop over samples, autograd."""

    def __init__(self, layer: LTC) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """States, and the last."""
        held, states = self.layer.weights(), []
        tau, target = self.layer.tau, held["target_l0"]
        h = x.new_zeros(len(x), self.layer.hidden_size)
        for u in x.unbind(1):
            z = u @ held["weight_ih_l0"].T + h @ held["weight_hh_l0"].T + held["bias_l0"]
            f = torch.sigmoid(z)
            h = (h + f * target) / (1 + 1 / tau + f)
            states.append(h)
        return torch.stack(states, 1), h


def _ncps(kind: str, inputs: int = I, hidden: int = H) -> Any:
    import ncps.torch
    from ncps.wirings import AutoNCP, FullyConnected

    kind, _, memory = kind.partition(" ")
    options: Any = {"batch_first": True, "mixed_memory": bool(memory)}
    if kind == "cfc":
        return ncps.torch.CfC(inputs, hidden, **options)
    wiring = AutoNCP(hidden, 4) if kind == "ncp" else FullyConnected(hidden)
    return ncps.torch.LTC(inputs, wiring, **options)


def _pair(make: Callable[[], tuple[nn.Module, nn.Module]], rows: int, kind: Any) -> Any:
    def build() -> tuple[Step, Step, int]:
        ours, theirs = make()
        x = torch.randn(rows, L, I)
        return kind(ours, x), kind(theirs, x), 1

    return build


def _same_model(kind: str) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[nn.Module, nn.Module]:
        theirs = _ncps(kind)
        return from_ncps(theirs), theirs

    return make


def _alone(kind: str) -> Callable[[], tuple[Step, Step, int]]:
    """One sequence of one input, 8 neurons: where their loop has least to compute."""

    def make() -> tuple[Step, Step, int]:
        theirs = _ncps(kind, 1, 8)
        x = torch.randn(1, 200, 1)
        return layer_step(from_ncps(theirs), x), layer_step(theirs, x), 1

    return make


def _other_model(theirs: Callable[[], nn.Module]) -> Callable[[], tuple[nn.Module, nn.Module]]:
    return lambda: (LTC(I, H, batch_first=True), theirs())


def _same_states(kind: str) -> Callable[[], None]:
    """Our layer and theirs."""

    def check() -> None:
        ours, theirs = _same_model(kind)()
        x = torch.randn(3, 9, I)
        torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-4, atol=1e-5)

    return check


def _same_loop() -> None:
    layer = LTC(I, H, batch_first=True)
    x = torch.randn(3, 9, I)
    torch.testing.assert_close(PythonLoop(layer)(x)[0], layer(x)[0], rtol=1e-4, atol=1e-5)


def _nothing() -> None:
    """Two models: there is nothing to be equal."""


def _looped() -> tuple[nn.Module, nn.Module]:
    layer = LTC(I, H, batch_first=True)
    return layer, PythonLoop(LTC(I, H, batch_first=True))


def peer_cases() -> list[Case]:
    """The rows; those of ncps only where it is installed."""
    sizes = f"B{B} L{L} I{I} H{H}"
    cases = [
        Case("K9a", f"train step LTC {sizes}", "nn.GRU", (8, 8),
             _pair(_other_model(lambda: nn.GRU(I, H, batch_first=True)), B, layer_step), _nothing),
        Case("K9b", f"train step LTC {sizes}", "the same model, a loop in Python", (7, 7),
             _pair(_looped, B, layer_step), _same_loop),
    ]  # fmt: skip
    try:
        import ncps  # noqa: F401
    except ImportError:
        print("ncps not installed: its rows (K7, K8) are left out; pip install ncps")
        return cases
    same, cfc = "the same ncps LTC, in ncps", "the same ncps CfC, in ncps"
    return [
        Case("K7a", f"train step, ncps LTC, fully wired, {sizes}", same, (10, 10),
             _pair(_same_model("full"), B, layer_step), _same_states("full")),
        Case("K7b", f"train step, ncps LTC, AutoNCP({H}, 4), {sizes}", same, (30, 30),
             _pair(_same_model("ncp"), B, layer_step), _same_states("ncp")),
        Case("K7c", "train step, ncps LTC, fully wired, B1 L200 I1 H8", same, (100, 100),
             _alone("full"), _same_states("full")),
        Case("K7d", f"train step, ncps CfC, backbone 128 x 1, {sizes}", cfc, (4, 4),
             _pair(_same_model("cfc"), B, layer_step), _same_states("cfc")),
        Case("K7e", "train step, ncps CfC, backbone 128 x 1, B1 L200 I1 H8", cfc, (20, 20),
             _alone("cfc"), _same_states("cfc")),
        Case("K7f", f"train step, ncps LTC, mixed memory, AutoNCP({H}, 4), {sizes}", same, (25, 25),
             _pair(_same_model("ncp mixed"), B, layer_step), _same_states("ncp mixed")),
        Case("K7g", f"train step, ncps CfC, mixed memory, {sizes}", cfc, (4, 4),
             _pair(_same_model("cfc mixed"), B, layer_step), _same_states("cfc mixed")),
        Case("K8a", f"train step, our LTC in place of theirs, {sizes}", "ncps LTC", (130, 130),
             _pair(_other_model(lambda: _ncps("full")), B, layer_step), _nothing),
        Case("K8b", f"train step, our LTC in place of CfC, {sizes}", "ncps CfC", (20, 20),
             _pair(_other_model(lambda: _ncps("cfc")), B, layer_step), _nothing),
        Case("K8c", f"inference, our LTC in place of CfC, {sizes}", "ncps CfC", (50, 50),
             _pair(_other_model(lambda: _ncps("cfc")), B, inference), _nothing),
        *cases,
    ]  # fmt: skip
