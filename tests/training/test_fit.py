"""`fit` as a user meets it: what it learns, how it ends, what it refuses, how it goes on."""

import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

import torchliquid as tl
from torchliquid import TorchliquidError
from torchliquid.errors import TrainingWarning
from torchliquid.kernels import _library as library
from torchliquid.training import cycled, trainer

NAN = float("nan")
compiled = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])


def model_of(dtype=torch.float32, **options):
    return tl.SequenceModel(tl.LTC(1, 8, **{"batch_first": True, **options}, dtype=dtype), 1)


def series(rows=1, steps=60):
    x = torch.linspace(0, 20, steps + 1).sin().view(1, -1, 1).repeat(rows, 1, 1)
    return x[:, :-1], x[:, 1:]


def pack_of(lanes=3, **options):
    return tl.Pack(lambda _: model_of(**options), range(lanes))


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


@pytest.fixture(params=["native", "torch"])
def engine(request, monkeypatch):
    """Both engines: what is said of one must hold of the other."""
    if request.param == "torch":
        monkeypatch.setattr(trainer, "why_not", lambda *_: "asked for")
    elif library.find()[0] is None:
        pytest.skip(library.find()[1])
    return request.param


def test_it_learns(engine):
    model = model_of()
    history = tl.fit(model, *series(), epochs=150, lr=0.03)
    assert history.engine.startswith(engine)
    assert history.loss.shape == (150,)
    assert history.loss[-1] < 0.1 * history.loss[0]
    assert (history.epochs, history.ends, history.validation) == (150, "ended", None)
    error = (model(series()[0])[0] - series()[1]).square().mean()
    assert error < 1.05 * history.loss[-1]


def test_it_classifies_the_last_sample(engine):
    torch.manual_seed(0)
    x = torch.randn(60, 9, 1)
    y = (x.sum(dim=(1, 2)) > 0).long()
    model = tl.SequenceModel(tl.LTC(1, 6, batch_first=True), 2)
    history = tl.fit(model, x, y, epochs=60, lr=0.05, loss="cross_entropy", batch_size=20)
    assert history.loss[-1] < 0.4
    assert (model(x)[0][:, -1].argmax(-1) == y).float().mean() > 0.9


def test_patience_stops_each_lane_and_gives_its_best_weights(engine):
    pack = pack_of()
    x, y = series(2)
    noise = torch.randn(2, 60, 1, generator=torch.Generator().manual_seed(0))
    history = tl.fit(pack, x, y, epochs=300, lr=[0.001, 0.1, 0.3], patience=[None, 3, 3],
                     validation=(x, y + 0.3 * noise))  # fmt: skip
    assert history.ends[0] == "ended"
    assert "stopped" in history.ends[1:]
    for lane, end in enumerate(history.ends):
        seen = history.validation[:, lane]
        done = int(history.epochs[lane])
        assert seen[:done].isfinite().all()
        assert seen[done:].isnan().all()
        best = int(history.best_epoch[lane])
        assert seen[best - 1] == seen[:done].min() == history.best[lane]
        if end == "stopped":
            assert done == best + 3
        error = (pack.lane(lane)(x)[0] - y - 0.3 * noise).square().mean()
        assert error.item() == pytest.approx(float(history.best[lane]), rel=1e-5)


def test_lanes_of_unlike_epochs(engine):
    pack = pack_of()
    history = tl.fit(pack, *series(), epochs=[2, 7, 4])
    assert history.epochs.tolist() == [2, 7, 4]
    assert history.loss.isnan().sum(0).tolist() == [5, 0, 3]
    alone = pack_of(1)
    tl.fit(alone, *series(), epochs=2)
    for p, q in zip(pack.lane(0).parameters(), alone.lane(0).parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_a_lane_that_diverges_is_named_and_the_others_go_on(engine):
    pack = pack_of(dtype=torch.float64)
    before = weights_of(pack)
    x, y = (t.double() for t in series())
    with pytest.warns(TrainingWarning, match=r"lane 1 is not finite in epoch \d+.*smaller lr"):
        history = tl.fit(pack, x, y, epochs=6, lr=[0.01, 1e300, 0.01])
    assert history.ends == ["ended", "diverged", "ended"]
    assert all(p.isfinite().all() for p in pack.parameters())
    assert history.loss[:, [0, 2]].isfinite().all()
    assert any(not torch.equal(p[0], q[0]) for p, q in zip(pack.parameters(), before, strict=True))


def test_a_model_that_diverges(engine):
    model = model_of()
    x, y = series()
    with pytest.warns(TrainingWarning, match="the loss is not finite in epoch 0"):
        history = tl.fit(model, x, y * 1e30, epochs=5)
    assert history.ends == "diverged"
    assert history.epochs == 0


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_checkpoint_goes_on_to_the_bit(engine, batch_size, tmp_path, monkeypatch):
    x, y = series(5)
    options = {"epochs": 12, "lr": 0.02, "batch_size": batch_size, "patience": 4,
               "validation": (x[:2], y[:2]), "schedule": "one-cycle"}  # fmt: skip
    torch.manual_seed(1)
    whole, halved = pack_of(), pack_of()
    expected = tl.fit(whole, x, y, **options)
    path = tmp_path / "training.safetensors"

    advance, calls = trainer.Trainer.advance, []

    def interrupted(self, epochs):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(epochs)
        advance(self, min(epochs, 2))

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "advance", interrupted)
        cut = tl.fit(halved, x, y, checkpoint=path, **options)
    assert cut.ends == ["interrupted"] * 3
    assert cut.epochs.max() == 5  # one, two, two
    again = pack_of()
    history = tl.fit(again, x, y, checkpoint=path, **options)
    assert torch.equal(history.loss.nan_to_num(), expected.loss.nan_to_num())
    for p, q in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(p, q)
    assert history.ends == expected.ends
    with pytest.raises(TorchliquidError, match="other data, settings or sizes"):
        tl.fit(pack_of(), x, y, checkpoint=path, **{**options, "lr": 0.03})
    path.write_bytes(b"no training")
    with pytest.raises(TorchliquidError, match="cannot be read"):
        tl.fit(pack_of(), x, y, checkpoint=path, **options)


def test_a_checkpoint_that_cannot_be_written_is_said_once(engine, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torchliquid.training._checkpoint.atomic_write", full)
    with pytest.warns(TrainingWarning, match="No space left") as said:
        history = tl.fit(model_of(), *series(), epochs=9, checkpoint=tmp_path / "a",
                         checkpoint_seconds=0)  # fmt: skip
    assert len(said) == 1
    assert history.ends == "ended"


@compiled
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_ctrl_c_ends_a_training_that_is_under_way():
    code = """
import torch, torchliquid as tl
x = torch.randn(1, 200, 1)
model = tl.SequenceModel(tl.LTC(1, 8, batch_first=True), 1)
history = tl.fit(model, x, x, epochs=10**8, progress=True)
print(history.ends, history.epochs > 0, len(history.loss) == history.epochs)
"""
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as run:
        assert "loss" in run.stderr.readline()  # it is under way
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate()
    assert out == "interrupted True True\n"


def interrupted_fit(path, *, times):
    """A training into whose third step so many Ctrl-C come; then its checkpoint."""
    steps = 0

    def loss(predictions, y):
        nonlocal steps
        steps += 1
        for _ in range(times if steps == 3 else 0):
            signal.raise_signal(signal.SIGINT)
        return (predictions - y).square()

    torch.manual_seed(0)
    return tl.fit(model_of(), *series(), epochs=9, loss=loss, checkpoint=path)


def test_ctrl_c_within_an_epoch_waits_for_its_end(tmp_path):
    history = interrupted_fit(tmp_path / "a", times=1)
    assert (history.ends, history.epochs, len(history.loss)) == ("interrupted", 3, 3)
    again = interrupted_fit(tmp_path / "a", times=0)  # its loss lies elsewhere in memory
    assert (again.ends, len(again.loss)) == ("ended", 9)
    whole = interrupted_fit(tmp_path / "b", times=0)
    torch.testing.assert_close(again.loss, whole.loss, rtol=0, atol=0)


def test_a_second_ctrl_c_is_raised_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted_fit(tmp_path / "a", times=2)
    assert not (tmp_path / "a").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_progress_line(engine, capsys):
    tl.fit(model_of(), *series(), epochs=3, progress=True, validation=series())
    assert "epoch 3/3  loss " in (err := capsys.readouterr().err)
    assert "validation" in err


@compiled
def test_data_that_need_too_much_memory_are_trained_by_torch_in_parts(monkeypatch):
    x, y = series(5)
    weight = torch.rand(5, 60, generator=torch.Generator().manual_seed(0))
    found = []
    for memory in (None, 1000):
        for make in (model_of, pack_of):
            torch.manual_seed(0)
            model = make(dtype=torch.float64)
            options = {"weight": weight, "validation": (x.double(), y.double())}
            with monkeypatch.context() as patch:
                if memory:
                    patch.setattr("torchliquid.kernels.memory", lambda: 1000)
                    patch.setattr("torchliquid.training._torch_training.LARGEST", 2000)
                history = tl.fit(model, x.double(), y.double(), epochs=4, **options)
            assert history.engine == (
                "torch: its buffers would take more than a quarter of the memory"
                if memory
                else "native"
            )
            found.append([*model.parameters(), history.loss, history.validation])
    for one, other in zip(found[0] + found[1], found[2] + found[3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


class Own(nn.Module):
    """A module that is called like a model."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x)


def hooked(model):
    model.readout.register_forward_hook(lambda *_: None)
    return model


def frozen(model):
    model.layer.raw_tau_l0.requires_grad_(False)
    return model


def shared(model):
    model.layer.target_l0 = model.layer.raw_tau_l0
    return model


class Doubled(tl.SequenceModel):
    def forward(self, *inputs, **named):
        y, h = super().forward(*inputs, **named)
        return 2 * y, h


@compiled
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: hooked(model_of()), "there are hooks"),
        (lambda: frozen(model_of()), "parameters are frozen"),
        (lambda: shared(model_of()), "parameters are shared"),
        (lambda: model_of(solver="rk4"), "LTC has no kernel as it is"),
        (lambda: model_of(num_layers=2, dropout=0.1), "there is dropout"),
        (lambda: model_of(proj_size=3), "there is a projection"),
        (lambda: Doubled(tl.LTC(1, 8, batch_first=True), 1), "Doubled has a forward of its own"),
        (Own, "Own has a forward of its own"),
        (lambda: tl.Pack(lambda _: frozen(model_of()), range(2)), "parameters are frozen"),
    ],
)
def test_what_no_kernel_trains_torch_does_and_says_why(make, why):
    model = make()
    history = tl.fit(model, *series(), epochs=2)
    assert history.engine.startswith(f"torch: {why}")
    assert history.loss.isfinite().all()


@compiled
def test_a_loss_of_ones_own(monkeypatch):
    def huber(y, target):
        return nn.functional.huber_loss(y, target, reduction="none")

    x, y = series(2)
    for pack in (model_of(), pack_of()):
        history = tl.fit(pack, x, y, epochs=3, loss=huber)
        assert history.engine == "torch: the loss is a function"
    plain = model_of()
    expected = nn.functional.huber_loss(plain(x)[0], y).item()
    assert tl.fit(plain, x, y, epochs=1, loss=huber).loss[0].item() == pytest.approx(expected)
    with pytest.raises(TorchliquidError, match="reduction='none'"):
        tl.fit(model_of(), x, y, epochs=1, loss=nn.functional.mse_loss)


X, Y = series(4, 9)
BAD = [
    ({"epochs": 0}, "epochs is 0: give an integer of at least 1"),
    ({"epochs": [1, 2]}, r"epochs is \[1, 2\]: a model has one"),
    ({"lr": -1}, "lr is -1: give a number of at least 0"),
    ({"lr": NAN}, "lr is nan"),
    ({"lr": "fast"}, "lr is 'fast'"),
    ({"weight_decay": 11}, "weight_decay is 11"),
    ({"clip": 0}, "clip is 0: give a positive number"),
    ({"schedule": "cosine"}, "schedule is 'cosine': give constant or one-cycle"),
    ({"loss": "l1"}, "loss is 'l1': give 'mse' or 'cross_entropy', or a function"),
    ({"patience": 3}, "patience is given without a validation"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"warm_up": 9}, "no sample counts.*warm_up, 9"),
    ({"warm_up": -1}, "warm_up is -1"),
    ({"seed": -1}, "seed is -1"),
    ({"weight": torch.zeros(4, 9)}, "no sample counts: weight is 0 for all"),
    ({"weight": -torch.ones(4, 9)}, "weight holds values that are negative"),
    ({"weight": torch.ones(9)}, r"weight has shape \(9,\): expected \(4, 9\) or \(4,\)"),
    ({"validation": X}, "validation is"),
    ({"validation": {"x": X}}, "validation has x: give x, y"),
    ({"validation": (X, Y[:, :3])}, r"validation's y has shape \(4, 3, 1\)"),
    ({"y": Y.squeeze(-1)}, r"y has shape \(4, 9\).*give y.unsqueeze\(-1\)"),
    ({"y": Y[:3]}, r"y has shape \(3, 9, 1\): expected \(4, 9, 1\) for every sample, or \(4, 1\)"),
    ({"y": Y.long()}, "y is torch.int64: expected floating-point numbers"),
    ({"y": torch.where(Y > 0.9, NAN, Y)}, r"y\[0, 8, 0\] \(batch first\) is nan: give weight 0"),
    ({"x": torch.where(Y > 0.9, NAN, X)}, r"x\[0, 8, 0\] \(batch first\) is nan: give observed="),
    ({"x": X[0]}, r"x has shape \(9, 1\): expected rows \(B, L, I\)"),
    ({"x": X.double()}, "x is torch.float64"),
    ({"dt": -1.0}, "dt is -1"),
    ({"dt": -torch.ones(4, 9)}, "dt"),
    ({"dt": torch.ones(4, 8)}, "dt has shape"),
    ({"dt": torch.ones(4)}, r"dt has shape \(4,\).*expected \(4, 9\) or \(9,\)"),
    ({"dt_scale": 0}, "dt_scale is 0: give a positive number"),
    ({"lengths": [9, 9, 9]}, r"lengths has shape \(3,\) and torch.int64"),
    ({"lengths": [9, 9, 9, 10]}, "lengths"),
    ({"observed": torch.ones(4, 8) > 0}, r"observed has shape \(4, 8\) and torch.bool"),
    ({"checkpoint_seconds": -1}, "checkpoint_seconds is -1"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=[m[:30] for _, m in BAD])
def test_bad_input(engine, given, message):
    model = model_of()
    before = weights_of(model)
    options = {"x": X, "y": Y, "epochs": 2, **given}
    with pytest.raises(TorchliquidError, match=message) as raised:
        tl.fit(model, **options)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_bad_input_of_packs_and_classes(engine):
    with pytest.raises(TorchliquidError, match=r"lr has 2 values: give .*each of 3 lanes"):
        tl.fit(pack_of(), X, Y, epochs=1, lr=[0.1, 0.2])
    with pytest.raises(TorchliquidError, match="lr of lane 1 is -1"):
        tl.fit(pack_of(), X, Y, epochs=1, lr=[0.1, -1, 0.1])
    weight = torch.ones(3, 4)
    weight[1] = 0
    with pytest.raises(TorchliquidError, match="no sample counts of lane 1"):
        tl.fit(pack_of(), X, Y, epochs=1, weight=weight)
    with pytest.raises(TorchliquidError, match=r"expected integers, the classes"):
        tl.fit(model_of(), X, Y, epochs=1, loss="cross_entropy")
    with pytest.raises(TorchliquidError, match=r"y holds classes from 0 to 3: .* 0 to 0"):
        tl.fit(model_of(), X, torch.arange(4), epochs=1, loss="cross_entropy")
    with pytest.raises(TorchliquidError, match="model is a int"):
        tl.fit(3, X, Y, epochs=1)
    with pytest.raises(TorchliquidError, match="knows no time"):
        tl.fit(tl.SequenceModel(nn.GRU(1, 2, batch_first=True), 1), X, Y, epochs=1, dt_scale=2.0)


def test_values_that_do_not_count_may_be_anything(engine):
    torch.manual_seed(0)
    one, other = pack_of(), pack_of()
    x, y = series(4)
    weight = torch.ones(4, 60)
    weight[:, ::3] = 0
    wrong = y.clone()
    wrong[:, ::3] = NAN
    tl.fit(one, x, y, epochs=3, weight=weight)
    tl.fit(other, x, wrong, epochs=3, weight=weight > 0)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("packed", [False, True])
def test_a_dt_that_all_rows_share(engine, batch_size, batch_first, packed):
    x, y = series(4, 3)  # more rows than samples: neither may be taken for the other
    shared = torch.tensor([0.5, 1.0, 2.0])
    every = shared.expand(4, 3)
    if not batch_first:
        x, y, every = x.transpose(0, 1), y.transpose(0, 1), every.t()
    trained = []
    for dt in (shared, every):
        torch.manual_seed(0)
        model = pack_of(2, batch_first=batch_first) if packed else model_of(batch_first=batch_first)
        tl.fit(model, x, y, epochs=3, dt=dt, batch_size=batch_size)
        trained.append(weights_of(model))
    assert all(torch.equal(p, q) for p, q in zip(*trained, strict=True))


def test_it_trains_where_gradients_are_switched_off(engine):
    with torch.no_grad():
        history = tl.fit(model_of(), *series(), epochs=20, lr=0.03)
    assert history.loss[-1] < history.loss[0]


def test_the_mode_is_as_before(engine):
    model = model_of().eval()
    tl.fit(model, *series(), epochs=1)
    assert not model.training


@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_short_cycles(epochs):
    assert all(0 < cycled(e, epochs) <= 1 for e in range(epochs))
