"""Models in integers: the C is the reference model's to the bit, and that is near to torch."""

import dataclasses

import numpy as np
import pytest
import torch

from torchliquid import LTC, SequenceModel, TorchliquidError
from torchliquid.errors import TimeUnitWarning
from torchliquid.export import describe, to_c
from torchliquid.export._samples import MADE_UP_REACH, by_torch, columns, made_up
from torchliquid.export._simulate import states
from torchliquid.export.c import _arithmetic as arithmetic
from torchliquid.export.c import _fixed_point as golden
from torchliquid.export.c._arithmetic import ONE, table
from torchliquid.export.c._bias_correction import quantised
from torchliquid.export.c._quantize import quantise
from torchliquid.export.verify._host import call, run
from torchliquid.nn import Column, Scaling

from .models import MODELS, OWN, made, opened

NOT_COUNTED = ("exponential", "euler-cut", "resonator", "resonator-3", *OWN)
COUNTED = [name for name in MODELS if name not in NOT_COUNTED]


def scaled(description, inputs):
    offset, scale = columns(description.scaling.inputs)
    return (inputs - offset) / scale


def off(model, dt, bits, steps=1500, by=quantised, **changes):
    """RMS error against torch in standard deviations of the output, after the calibration."""
    description = describe(model, dt)
    inputs, times = made_up(description, variable_dt=False, steps=steps)
    expected = by_torch(model, description, inputs, times).outputs
    counted = by(description, scaled(description, inputs[: steps // 2]), bits)
    if changes:
        layers = tuple(dataclasses.replace(layer, **changes) for layer in counted.layers)
        counted = dataclasses.replace(counted, layers=layers)
    told = counted.to_numbers(golden.run(counted, counted.to_counts(inputs)))
    half = slice(steps // 2, None)
    return np.sqrt(((told - expected)[half] ** 2).mean()) / expected.std()


def lively(name):
    """A model whose output moves as a trained one's does."""
    torch.manual_seed(3)
    model = made(name)
    with torch.no_grad():
        layer = model.layer
        for key, weight in layer.named_parameters():
            if "weight_ih" in key:
                weight.mul_(3)
    return model


@pytest.mark.parametrize("dtype", ["q8", "q16"])
@pytest.mark.parametrize("name", COUNTED)
def test_c_is_the_golden_model_to_the_bit(name, dtype, tmp_path):
    model = made(name)
    description = describe(model)
    calibration, _ = made_up(description, variable_dt=False)
    calibrated = scaled(description, calibration)
    counted = quantised(description, calibrated, int(dtype[1:]), MADE_UP_REACH)
    rng = np.random.default_rng(0)
    counts = np.concatenate([
        counted.to_counts(calibration[:200]),
        rng.integers(-ONE + 1, ONE, (200, description.inputs)),
        rng.choice([-ONE + 1, 0, ONE - 1], (200, description.inputs)),
    ])  # fmt: skip
    expected = golden.run(counted, counts)
    ones = np.ones(len(counts), dtype=np.float32)
    for loops, level in (("rolled", "-O0"), ("unrolled", "-O3")):
        exported = opened(to_c(model, tmp_path / loops, dtype=dtype, loops=loops))
        assert (run(exported, counts, ones, flags=[level]) == expected).all()
    assert len(np.unique(expected)) > 100


@pytest.mark.parametrize("name", ["ltc", "ltc-6", "euler", "lstm", "gru", "ctrnn", "decay-gru"])
def test_whole_numbers_are_near_to_torch(name):
    model = lively(name)
    dt = 0.1 if name == "euler" else None
    assert off(model, dt, 16) < 2e-3
    assert off(model, dt, 8) < 1.5e-2


@pytest.mark.parametrize("dt", [1.0, 0.1, 0.01, 0.001])
def test_no_dt_stands_still(dt):
    assert off(lively("ltc"), dt, 16, steps=3000) < 5e-3


def test_sixteen_bits_of_state_would_stand_still():
    # the dead band that the wide state is there for
    model = lively("ltc")
    with pytest.warns(TimeUnitWarning, match="hardly moves"):
        stands = off(model, 0.0003, 16, wide=False)
    assert stands > 4 * off(model, 0.0003, 16)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OWN])
def test_the_simulation_is_the_model(name):
    model = made(name).double()
    description = describe(model)
    inputs, times = made_up(description, variable_dt=False, steps=100)
    told = states(description, scaled(description, inputs.astype(np.float64)))[-1]
    if description.w_out is not None:
        told = told @ description.w_out.T + description.b_out
    expected = by_torch(model, description, inputs, times).outputs
    np.testing.assert_allclose(told, expected, atol=2e-7)


def test_rounding_together_is_better_than_rounding_each(monkeypatch):
    model = lively("ltc")
    together = off(model, 1.0, 8)

    def each(exact, spread, top):
        return np.clip(np.rint(exact), -top, top).astype(np.int64)

    monkeypatch.setattr("torchliquid.export.c._quantize._rounded", each)
    assert together < off(model, 1.0, 8)


def test_biases_bring_means_back():
    model = lively("ltc")
    with torch.no_grad():
        model.layer.raw_tau_l0[:4] = 40.0  # these forget slowly, and drive the others
        model.layer.weight_hh_l0.mul_(2)
    description = describe(model, 0.1)
    inputs = scaled(description, made_up(description, variable_dt=False, steps=2000)[0])
    twice = np.concatenate([inputs, inputs])
    expected = states(description, twice)[0][2000:].mean(0)
    away = []
    for by in (quantise, quantised):
        counted = by(description, inputs, 8)
        told = golden.states(counted.layers, counted.of_scaled(twice))[0][2000:]
        away.append(np.abs((told * counted.layers[0].unit).mean(0) - expected).max())
    assert away[1] < 0.3 * away[0]


def test_the_table_is_sigmoid():
    z = np.arange(-60_000, 60_001)
    exact = 1 / (1 + np.exp(-z / 4096))
    assert np.abs(arithmetic.sigmoid(z) / ONE - exact).max() < 7e-5
    assert (arithmetic.sigmoid(z) + arithmetic.sigmoid(-z) == ONE)[z != 0].all()
    assert (np.diff(arithmetic.sigmoid(z)) >= 0).all()
    assert table().max() < ONE


def test_numbers_become_counts_in_c_as_in_python(tmp_path):
    model = SequenceModel(LTC(1, 3), 1)
    volts = Column("volts", 230.0, 4.0)
    model.scaling = Scaling((volts,), (volts,), 0.5)
    exported = opened(to_c(model, tmp_path / "c", name="net", dtype="q16"))
    rng = np.random.default_rng(0)
    odd = [np.nan, np.inf, -np.inf, 3e38, 230.0, 0.0]
    numbers = np.concatenate([rng.normal(230, 8, 500), odd]).astype(np.float32)
    main = tmp_path / "main.c"
    main.write_text(
        '#include "net.h"\n#include <stdio.h>\nint main(void) { float v; int16_t c;\n'
        "while (fread(&v, 4, 1, stdin) == 1) { c = net_input_0(v); fwrite(&c, 2, 1, stdout); }\n"
        "return 0; }\n"
    )
    program = str(tmp_path / "main")
    call(["cc", "-O1", f"-I{exported.folder / 'src'}", str(main), "-o", program])
    told = np.frombuffer(call([program], numbers.tobytes()), dtype=np.int16)
    lines = exported.facts["counts"]["inputs"][0]
    description = describe(model)
    seen = scaled(description, made_up(description, variable_dt=False)[0])
    counted = quantised(description, seen, 16, MADE_UP_REACH)
    assert lines["unit"] == counted.input_lines()[1][0]
    assert (told == counted.to_counts(numbers[:, None])[:, 0]).all()


def test_what_whole_numbers_cannot_do_is_refused(tmp_path):
    def refused(words, model=None, **options):
        with pytest.raises(TorchliquidError, match=words):
            to_c(model or made("ltc"), tmp_path / "c", **({"dtype": "q8"} | options))
        assert not list(tmp_path.iterdir())

    refused("fixed dt", variable_dt=True)
    refused("'rolled' or 'unrolled'", loops="columns")
    refused("not straight in the state", made("exponential"))
    refused("far outside", calibrate=np.full((10, 1), 99.0))
    refused("calibrate has shape", calibrate=np.zeros((10, 3)))
    refused("for q8 and q16", dtype="float32", calibrate=np.zeros((10, 1)))
    wild = made("ltc")
    with torch.no_grad():
        wild.layer.weight_hh_l0.mul_(1e7)
    refused("too far for integers", wild)


def test_calibration_sets_the_range_of_inputs(tmp_path):
    small = opened(to_c(made("ltc"), tmp_path / "a", dtype="q8", calibrate=np.full((9, 1), 0.5)))
    large = opened(to_c(made("ltc"), tmp_path / "b", dtype="q8", calibrate=np.full((9, 1), 5.0)))
    units = [e.facts["counts"]["inputs"][0]["unit"] for e in (small, large)]
    assert units[1] == pytest.approx(10 * units[0])
    header = (large.folder / "src" / "model.h").read_text()
    assert "input, from -5.5 to 5.5 (as in the calibration)" in header
    assert "| range of inputs | as in the calibration |" in (large.folder / "report.md").read_text()
    assumed = opened(to_c(made("ltc"), tmp_path / "c", dtype="q8"))
    assert "assumed: no calibration was given" in (assumed.folder / "src" / "model.h").read_text()
