"""The C in single precision against the model in torch, its state carried all along."""

import re
import sys

import numpy as np
import pytest
import torch

from torchliquid import LTC, Resonator, SequenceModel, TorchliquidError
from torchliquid.export import describe, to_c
from torchliquid.export._samples import by_torch, made_up, rounding
from torchliquid.export.c._arithmetic import sigmoid_table
from torchliquid.export.c._float_model import limits
from torchliquid.export.c._float_units import ENTRIES, REACH
from torchliquid.export.c.folder import FLOATS, LOOPS
from torchliquid.export.verify._host import compilers, run
from torchliquid.export.verify.verification import vectors
from torchliquid.install import install_command
from torchliquid.nn import NCP, CfC, Column, Scaling

from .models import MODELS, OWN, TIMED, made, opened

CASES = [(name, dtype, False) for name in MODELS for dtype in FLOATS]
CASES += [(name, dtype, True) for name in TIMED for dtype in FLOATS]


def error(exported, samples):
    """In tolerances."""
    outputs = run(exported, samples.inputs, samples.dt)
    return np.abs(outputs - samples.outputs).max() / exported.facts["tolerance"]


@pytest.mark.parametrize(("name", "dtype", "variable_dt"), CASES)
def test_c_is_the_model(name, dtype, variable_dt, tmp_path):
    model = made(name)
    description = describe(model)
    inputs, dt = made_up(description, variable_dt=variable_dt, steps=300)
    samples = by_torch(model, description, inputs, dt)
    for loops in LOOPS if name not in OWN else ["rolled"]:
        folder = to_c(
            model, tmp_path / loops, name="net", dtype=dtype, variable_dt=variable_dt, loops=loops
        )
        assert error(opened(folder), samples) < 1


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("name", ["ltc-6", "lstm-2", "gru", "decay-gru", *OWN])
def test_every_compiler_takes_it_without_a_warning(name, compiler, tmp_path):
    model = made(name)
    for dtype in FLOATS:
        exported = opened(to_c(model, tmp_path / dtype, dtype=dtype))
        inputs, dt = made_up(describe(model), variable_dt=False, steps=50)
        command = compilers()[compiler]
        for level in ("-O0", "-O3"):
            run(exported, inputs, dt, flags=[level], compiler=command)


def test_ten_thousand_samples_do_not_drift(tmp_path):
    model = made("ltc")
    description = describe(model, dt=0.1)
    samples = by_torch(model, description, *made_up(description, variable_dt=False, steps=10_000))
    exported = opened(to_c(model, tmp_path / "c", dt=0.1))
    outputs = run(exported, samples.inputs, samples.dt)
    assert np.abs(outputs - samples.outputs).max() < 2e-6


def scaled(model, change):
    volts = Column("volts", offset=230.0, scale=4.0)
    model.scaling = Scaling((volts, Column("load", -3.0, 0.5)), (volts,), change)
    return model


@pytest.mark.parametrize("change", [None, 0.7])
def test_c_takes_and_gives_physical_units(change, tmp_path):
    model = scaled(SequenceModel(LTC(2, 4, batch_first=True), 1), change)
    rng = np.random.default_rng(0)
    physical = np.stack([rng.normal(230, 4, 40), rng.normal(-3, 0.5, 40)], 1).astype(np.float32)
    x = torch.tensor((physical - [230, -3]) / [4, 0.5], dtype=torch.float32)
    with torch.no_grad():
        y = model(x)[0].numpy()[:, 0]
    expected = 230 + 4 * (y if change is None else x[:, 0].numpy() + change * y)
    told = run(opened(to_c(model, tmp_path / "c")), physical, np.ones(40, dtype=np.float32))
    np.testing.assert_allclose(told[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_odd_inputs_follow_the_headers_rule(name, tmp_path):
    model = made(name)
    description = describe(model)
    exported = opened(to_c(model, tmp_path / "c"))
    reach, _ = limits(description)
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 2 * reach], dtype=np.float32)
    read = np.array([0, reach, -reach, reach, -reach, reach], dtype=np.float32)
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(40, description.inputs)).astype(np.float32)
    given, meant = plain.copy(), plain.copy()
    given[5 : 5 + len(odd)], meant[5 : 5 + len(odd)] = odd[:, None], read[:, None]
    ones = np.ones(40, dtype=np.float32)
    told = run(exported, given, ones)
    assert (told == run(exported, meant, ones)).all()
    # and within the limit it is torch's
    expected = by_torch(model, description, meant, ones * np.float32(description.dt)).outputs
    assert np.abs(told - expected).max() < 10 * exported.facts["tolerance"]


def test_times_that_are_no_times_count_as_none(tmp_path):
    model = made("ltc")
    exported = opened(to_c(model, tmp_path / "c", variable_dt=True))
    dt = np.array([1, np.nan, -1, 0, 1, np.inf, 3e38], dtype=np.float32)
    told = run(exported, np.ones((7, 1), dtype=np.float32), dt)[:, 0]
    assert told[0] == told[1] == told[2] == told[3] != told[4]
    assert np.isfinite(told).all()


@pytest.mark.parametrize("name", ["ltc", "euler", "exponential", "ctrnn", "decay-gru"])
def test_long_times_count_however_slow_a_neuron_is(name, tmp_path):
    model = made(name)
    with torch.no_grad():
        slow = "raw_rate_l0" if name == "decay-gru" else "raw_tau_l0"
        getattr(model.layer, slow)[0] = -9.0 if name == "decay-gru" else 9000.0
    description = describe(model)
    exported = opened(to_c(model, tmp_path / "c", variable_dt=True))
    inputs = np.ones((6, description.inputs), dtype=np.float32)
    dt = np.array([0.5, 3e3, 4e3, 1.0, 1e5, 1e7], dtype=np.float32)
    expected = by_torch(model, description, inputs, dt).outputs
    told = run(exported, inputs, dt)
    assert np.abs(told - expected).max() <= exported.facts["tolerance"]


@pytest.mark.parametrize("name", ["euler", "ctrnn", "ltc"])
def test_small_steps_lose_no_more_than_torch_does(name, tmp_path):
    # 1 less a small leak, rounded to single precision, is 1 less another leak
    model = made(name)
    description = describe(model, 1e-3)
    samples = by_torch(model, description, *made_up(description, variable_dt=False, steps=4000))
    lost = rounding(model, description, samples)
    told = run(opened(to_c(model, tmp_path / "c", dt=1e-3)), samples.inputs, samples.dt)
    assert np.abs(told - samples.outputs).max() < 2 * lost + 5e-7


def test_the_table_lies_between_its_errors():
    entries = sigmoid_table(ENTRIES, REACH / ENTRIES)
    z = np.linspace(0, 10, 100_001)
    lines = np.interp(z, np.linspace(0, 10, len(entries)), entries)
    off = lines - 1 / (1 + np.exp(-z))
    assert np.abs(off).max() < 5e-5
    assert off[1000:].min() < -1e-5 < 1e-5 < off.max()  # on both sides: half of a chord's error


BAD = [
    ({"name": "int"}, "a word or a header of C"),
    ({"name": "loop"}, "Arduino"),
    ({"name": "Math"}, "a word or a header"),  # math.h would be found instead of the library's
    ({"name": "test"}, "a word or a header"),
    ({"name": "9lives"}, "C identifier"),
    ({"name": "a-b"}, "C identifier"),
    ({"name": "x" * 41}, "40 letters"),
    ({"dtype": "float64"}, "float32"),
    ({"loops": "fast"}, "rolled"),
    ({"dt": 0.0}, "time between two samples"),
    ({"dt": -1.0}, "not negative"),
    ({"test": np.zeros((4, 2))}, "a column for each input"),
    ({"test": [[0.0], [np.nan]]}, "row 2"),
    ({"test": [[0.0]], "variable_dt": True}, "test_dt"),
    ({"test": [[0.0]], "test_dt": [1.0]}, "variable_dt"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_options_leave_nothing_behind(options, words, tmp_path):
    with pytest.raises(TorchliquidError, match=words):
        to_c(made("ltc"), tmp_path / "c", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "c").mkdir()
    with pytest.raises(TorchliquidError, match="exists"):
        to_c(made("ltc"), tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_write_that_fails_leaves_no_half_folder(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torchliquid.export.c.folder.vectors_table", full)
    with pytest.raises(TorchliquidError, match="No space left"):
        to_c(made("ltc"), tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(TorchliquidError, match=re.escape(install_command("export"))):
        to_c(made("ltc"), tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_steps_that_cannot_be_taken_are_refused(tmp_path):
    with pytest.raises(TorchliquidError, match=r"unstable.*smaller dt"):
        to_c(SequenceModel(LTC(1, 2, solver="euler"), 1), tmp_path / "c", dt=3.0)
    whole = {"dt": 0.8, "dtype": "q8"}
    with pytest.raises(TorchliquidError, match=r"is cut: export float32"):
        to_c(SequenceModel(LTC(1, 2, solver="euler"), 1), tmp_path / "c", **whole)
    with pytest.raises(TorchliquidError, match=r"no closed step.*semi_implicit"):
        to_c(SequenceModel(LTC(1, 2, solver="rk4"), 1), tmp_path / "c")
    two_ways = torch.nn.LSTM(1, 2, bidirectional=True)
    with pytest.raises(TorchliquidError, match="no later samples"):
        to_c(SequenceModel(two_ways, 1), tmp_path / "c")
    with pytest.raises(TorchliquidError, match="proj_size"):
        to_c(SequenceModel(torch.nn.LSTM(1, 3, proj_size=2), 1), tmp_path / "c")
    with pytest.raises(TorchliquidError, match="no layer of the model takes a time"):
        to_c(SequenceModel(torch.nn.LSTM(1, 3), 1), tmp_path / "c", variable_dt=True)
    lost = SequenceModel(LTC(1, 2), 1)
    torch.nn.init.constant_(lost.readout.weight, torch.nan)
    with pytest.raises(TorchliquidError, match="diverged"):
        to_c(lost, tmp_path / "c")


def test_weights_too_large_to_bound_are_kept_in_bounds(tmp_path):
    model = made("ltc")
    with torch.no_grad():
        model.layer.weight_hh_l0.mul_(200)
    exported = opened(to_c(model, tmp_path / "c"))
    samples = by_torch(model, describe(model), *made_up(describe(model), variable_dt=False))
    told = run(exported, samples.inputs, samples.dt)
    assert np.isfinite(told).all()
    wide = np.full((20, 1), 1e5, dtype=np.float32)
    assert np.isfinite(run(exported, wide, np.ones(20, dtype=np.float32))).all()


def test_no_time_is_taken_in_silence_by_what_knows_none(tmp_path):
    with pytest.raises(TorchliquidError, match="an LSTM knows no time"):
        to_c(made("lstm"), tmp_path / "c", dt=0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_other_precisions_become_c_in_single(dtype, tmp_path):
    model = made("ltc").to(dtype)
    exported = opened(to_c(model, tmp_path / "c"))
    samples = vectors(exported)
    off = np.abs(run(exported, samples.given, samples.dt) - samples.torch).max()
    assert off <= exported.facts["tolerance"]


def test_what_is_no_model_is_said():
    with pytest.raises(TorchliquidError, match="cannot export a Linear"):
        describe(torch.nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({"gate": "open"}, {}, "a Resonator with gate='open' cannot be exported yet"),
        ({"num_layers": 2}, {}, "a Resonator with several layers cannot be exported yet"),
        ({}, {"variable_dt": True}, "a Resonator with a dt for each sample cannot be exported yet"),
        ({}, {"dtype": "q8"}, "Resonator cannot be exported in integers"),
    ],
)
def test_resonators_that_cannot_be_written_yet(options, more, message, tmp_path):
    model = SequenceModel(Resonator(1, 3, **options), 1)
    with pytest.raises(TorchliquidError, match=message):
        to_c(model, tmp_path / "c", **more)


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (lambda: made("ncp"), {"dtype": "q8"}, "NCP cannot be exported in integers yet"),
        (lambda: made("cfc"), {"dtype": "q16"}, "CfC cannot be exported in integers yet"),
        (lambda: made("cfc"), {"loops": "columns"}, "CfC is written in rolled loops alone"),
        (lambda: CfC(1, 2, activation="gelu"), {}, "'gelu' cannot be exported yet"),
        (lambda: CfC(1, 2, mode="pure", activation="relu"), {}, "nothing bounds its state"),
        (lambda: CfC(1, 2, mode="pure", backbone_layers=0), {}, "nothing bounds its state"),
    ],
)
def test_what_cells_of_ncps_are_not_written_as(make, options, said, tmp_path):
    with pytest.raises(TorchliquidError, match=said):
        to_c(make(), tmp_path / "c", **options)


def test_a_model_of_ncps_becomes_c(tmp_path):
    """Trained there, a fourth of its synapses, C here: from the package's own numbers."""
    pytest.importorskip("ncps")
    from ncps.torch import LTC as Theirs
    from ncps.wirings import AutoNCP

    torch.manual_seed(0)
    theirs = Theirs(2, AutoNCP(10, 2))
    x = torch.randn(1, 60, 2)
    exported = opened(to_c(NCP.from_ncps(theirs), tmp_path / "c"))
    told = run(exported, x[0].numpy(), np.ones(60, np.float32))
    np.testing.assert_allclose(told, theirs(x)[0][0].detach().numpy(), atol=2e-6)
