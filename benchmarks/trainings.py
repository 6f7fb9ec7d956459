"""The kernels' cases of `fit`, of times and masks, of every cell, and of many lanes."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from cases import Case, train_step
from timing import Step
from torch import Tensor, nn

import torchliquid as tl
from torchliquid.nn import CTRNN, DecayGRU
from torchliquid.training import trainer


def series(steps: int = 200) -> tuple[Tensor, Tensor]:
    """A row and what follows."""
    x = torch.randn(1, steps, 1)
    return x, x.roll(-1, 1)


def model_of(layer: nn.Module) -> tl.SequenceModel:
    """A head of one output."""
    return tl.SequenceModel(layer, 1)  # type: ignore[arg-type]


def _ltc() -> nn.Module:
    return tl.LTC(1, 8, batch_first=True)


def _lstm() -> nn.Module:
    return nn.LSTM(1, 16, batch_first=True)


def fitted(make: Callable[[], nn.Module], lanes: int | None, epochs: int, threads: int = 1) -> Any:
    """Epochs of `fit`, each a training step, against a step of one nn.LSTM-16 under torch."""

    def build() -> tuple[Step, Step, int]:
        x, y = series()
        one = lambda _: model_of(make())  # noqa: E731
        model = one(0) if lanes is None else tl.Pack(one, range(lanes))
        other = train_step(model_of(_lstm()), x, y)

        def ours() -> None:
            torch.set_num_threads(threads)
            tl.fit(model, x, y, epochs=epochs, lr=1e-3)
            torch.set_num_threads(1)

        return ours, other, epochs * (lanes or 1)

    return build


def same_as_loop(make: Callable[[], nn.Module], lanes: int | None) -> Callable[[], None]:
    """Both engines of `fit`, after 5 epochs."""

    def check() -> None:
        x, y = series(50)
        found = []
        plain = trainer.why_not
        for why in (plain, lambda *_: "asked for"):
            torch.manual_seed(0)
            one = lambda _: model_of(make())  # noqa: E731
            model = one(0) if lanes is None else tl.Pack(one, range(lanes))
            trainer.why_not = why
            try:
                tl.fit(model, x, y, epochs=5)
            finally:
                trainer.why_not = plain
            found.append(list(model.parameters()))
        for ours, truth in zip(*found, strict=True):
            torch.testing.assert_close(ours, truth, rtol=0, atol=2e-5)

    return check


def windows() -> tuple[Step, Step, int]:
    """An epoch of 24 LSTM-16 over 64 windows of 200, by the loop; against one nn.LSTM-16."""
    x = torch.randn(64, 200, 1)
    pack = tl.Pack(lambda _: model_of(_lstm()), range(24))
    return train_step(pack, x, x), train_step(model_of(_lstm()), x, x), 24


B, L, I, H = 32, 100, 4, 16


def timed(given: Callable[[], dict[str, Any]], training: bool, depth: int = 1, **layer: Any) -> Any:
    """A call with times and masks against plain calls of one layer in one direction."""

    def build() -> tuple[Step, Step, int]:
        x, kwargs = torch.randn(B, L, I), given()
        ours = tl.LTC(I, H, batch_first=True, **layer)
        plain = tl.LTC(I, H, batch_first=True)
        return _call(ours, x, kwargs, training), _call(plain, x, {}, training), depth

    return build


def cell(make: Any, training: bool) -> Any:
    """A cell's training pass against an LTC's."""

    def build() -> tuple[Step, Step, int]:
        x = torch.randn(32, 32, 8)
        ltc, other = tl.LTC(8, 32, batch_first=True), make(8, 32, batch_first=True)
        return _call(other, x, {}, training), _call(ltc, x, {}, training), 1

    return build


def _call(module: nn.Module, x: Tensor, given: dict[str, Any], training: bool) -> Step:
    def train() -> None:
        for p in module.parameters():
            p.grad = None
        module(x, **given)[0].square().mean().backward()

    def infer() -> None:
        with torch.no_grad(), warnings.catch_warnings():
            module(x, **given)

    return train if training else infer


def _dt() -> dict[str, Any]:
    return {"dt": torch.rand(B, L) + 0.5}


def _lengths() -> dict[str, Any]:
    lengths = torch.randint(L // 4, L + 1, (B,))
    lengths[0] = L
    return {"lengths": lengths}


def _observed() -> dict[str, Any]:
    return {"observed": torch.rand(B, L) < 0.7}


def _all() -> dict[str, Any]:
    return _dt() | _lengths() | _observed()


def _none() -> dict[str, Any]:
    return {}


def _nothing() -> None:
    """Checked by the tests, against the equations."""


def training_cases() -> list[Case]:
    """Rows of `fit`; then rows of which the ratio is a cost: at most so many plain calls."""
    against = "nn.LSTM-16 under torch"
    cases = [
        Case("P1", "fit LTC-8, L200, a step", against, (45, 45), fitted(_ltc, None, 2000),
             same_as_loop(_ltc, None)),
        Case("P1b", "fit LSTM-16, L200, a step", against, (20, 20), fitted(_lstm, None, 1000),
             same_as_loop(_lstm, None)),
        Case("P2", "fit 100 LTC-8, a lane", against, (250, 250), fitted(_ltc, 100, 500),
             same_as_loop(_ltc, 20)),
        Case("P3", "fit 100 LSTM-16, a lane", against, (33, 33), fitted(_lstm, 100, 100),
             same_as_loop(_lstm, 5)),
        Case("P4", "24 LSTM-16, 64 windows of 200, an epoch, a lane", against, (1, 1), windows,
             _nothing),
        *(
            Case("P10", f"fit {lanes:,} LTC-8, a lane", against, (130, 130),
                 fitted(_ltc, lanes, 40_000 // lanes), _nothing)
            for lanes in (400, 1000, 4000)
        ),
        Case("P10b", "fit 1,000 LTC-8, a lane, on two threads (wall: less)", against, (130, 130),
             fitted(_ltc, 1000, 40, threads=2), _nothing),
    ]  # fmt: skip
    for name, given, depth, layer in (
        ("dt (B, L)", _dt, 1, {}),
        ("lengths", _lengths, 1, {}),
        ("observed", _observed, 1, {}),
        ("all three", _all, 1, {}),
        ("2 layers", _none, 2, {"num_layers": 2}),
        ("both directions", _none, 2, {"bidirectional": True}),
    ):
        for training in (True, False):
            what = "train" if training else "infer"
            most = 1.6 if name == "all three" and not training else 1.3
            cases.append(
                Case("P5", f"{what}, {name}, against as many plain calls", "LTC", (1 / most,) * 2,
                     timed(given, training, depth, **layer), _nothing)
            )  # fmt: skip
    for name, make, most in (("CTRNN", CTRNN, 1.5), ("DecayGRU", DecayGRU, 2.5)):
        cases.append(
            Case("P6", f"train {name} B32 L32 I8 H32", "LTC", (1 / most,) * 2,
                 cell(make, training=True), _nothing)
        )  # fmt: skip
    return cases
