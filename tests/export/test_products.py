"""Exported C in other people's builds: their flags, one file for all, disturbed memory, names."""

import itertools
import json
import os
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from torchliquid import LTC, SequenceModel, TorchliquidError, save
from torchliquid.cli import main
from torchliquid.export import to_c, verify
from torchliquid.export.c.folder import DTYPES
from torchliquid.export.verify._host import call, run
from torchliquid.nn import Column, DecayGRU, Scaling

from .models import made, opened

NETWORKS = {
    "ltc8": lambda: SequenceModel(LTC(1, 8), 1),
    "lstm4": lambda: SequenceModel(nn.LSTM(1, 4), 1),
    "gru4": lambda: SequenceModel(nn.GRU(1, 4), 1),
}
X86 = os.uname().machine == "x86_64"
FLAGS = {
    "387": ["-O2", "-mfpmath=387"],
    "unsafe": ["-O2", "-funsafe-math-optimizations"],
    "associative": ["-O2", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"],
    "fast": ["-Ofast"],
    "native": ["-O3", "-march=native", "-ffp-contract=fast"],
}


@pytest.fixture(scope="module")
def unity(tmp_path_factory):
    """Twelve models and their self-tests as one file, as a unity build makes it."""
    folder = tmp_path_factory.mktemp("unity")
    lines, names = [], []
    for (network, make), dtype in itertools.product(NETWORKS.items(), DTYPES):
        torch.manual_seed(0)
        name = f"{network}_{dtype.replace('-', '_')}"
        to_c(make(), folder / name, name=name, dtype=dtype)
        lines += [f'#include "{name}/src/{name}.c"', f'#include "{name}/test/{name}_selftest.c"']
        names.append(name)
    total = " + ".join(f"{name}_selftest()" for name in names)
    lines += ["#include <stdio.h>", f'int main(void) {{ printf("%d", {total}); return 0; }}']
    (folder / "unity.c").write_text("\n".join(lines) + "\n")
    return folder, [f"-I{folder / name / 'src'}" for name in names]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_right_under_the_products_flags(compiler, flags, unity):
    if shutil.which(compiler) is None or (flags == "387" and not (X86 and compiler == "gcc")):
        pytest.skip("not here")
    folder, include = unity
    program = str(folder / f"{compiler}-{flags}")
    sources = [str(folder / "unity.c"), "-lm", "-o", program]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    call([compiler, "-std=gnu99", *warnings, *FLAGS[flags], *include, *sources])
    assert call([program]) == b"0"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++")
def test_two_models_under_link_time_optimisation_of_cpp(unity):
    folder, include = unity
    sources = [str(folder / n / kind.format(n)) for n in ("ltc8_float32", "lstm4_q8", "gru4_q16")
               for kind in ("src/{}.c", "test/{}_selftest.c")]  # fmt: skip
    start = folder / "start.cpp"
    start.write_text(
        "extern int ltc8_float32_selftest(void); extern int lstm4_q8_selftest(void);\n"
        "int main() { return ltc8_float32_selftest() + lstm4_q8_selftest(); }\n"
    )
    program = str(folder / "linked")
    strict = ["-O2", "-flto", "-Wodr", "-Wall", "-Wextra", "-Werror"]
    call(["g++", "-x", "c++", *strict, *include, *sources, str(start), "-lm", "-o", program])
    call([program])


def stepped(exported, folder, body, flags=("-O2",)):
    """What a main program prints, in float32."""
    source, program = folder / "main.c", str(folder / "main")
    source.write_text(
        f'#include "{exported.name}.h"\n'
        "#include <stdio.h>\n#include <string.h>\n#include <math.h>\n"
        "int main(void) { net_state state; float y, u = 0.3f; int n; net_reset(&state);\n"
        f"{body}\nreturn 0; }}\n"
    )
    call(["gcc", *flags, *exported.sources, str(source), "-lm", "-o", program])
    return np.frombuffer(call([program]), dtype=np.float32)


DISTURBED = ["50.0f", "-1e30f", "INFINITY", "NAN"]


@pytest.mark.parametrize("loops", ["rolled", "columns"])
@pytest.mark.parametrize("name", ["ltc", "ltc-6", "lstm", "gru", "ctrnn", "decay-gru", "ltc-3"])
def test_a_disturbed_state_is_forgotten(name, loops, tmp_path):
    """Memory that a bit flip or a missing reset left: outputs come back to what they are."""
    torch.manual_seed(0)
    exported = opened(to_c(made(name), tmp_path / "c", name="net", loops=loops))
    I, O = len(exported.facts["inputs"]), len(exported.facts["outputs"])
    step = f"for (k = 0; k < {I}; k++) in[k] = u; net_step(&state, in, out);"
    body = f"float in[{I}], out[{O}]; int k, at; float *all = (float *)&state;\n"
    for value in DISTURBED:
        body += (
            f"for (at = 0; at < (int)(sizeof state / sizeof(float)); at++) all[at] = {value};\n"
            f"for (n = 0; n < 3000; n++) {{ {step} }} y = out[0]; fwrite(&y, 4, 1, stdout);\n"
        )
    body += f"net_reset(&state); for (n = 0; n < 3000; n++) {{ {step} }} y = out[0];\n"
    body += "fwrite(&y, 4, 1, stdout);\n"
    *found, right = stepped(exported, tmp_path, body)
    np.testing.assert_allclose(found, right, atol=1e-4)


@pytest.mark.parametrize("flags", [["-O2"], ["-Ofast"]], ids=["strict", "fast"])
def test_an_input_that_is_no_number_stays_harmless(flags, tmp_path):
    exported = opened(to_c(made("ltc"), tmp_path / "c", name="net"))
    body = (
        "static const unsigned odd[] = {0x7fc00000u, 0xffc00000u, 0x7f800000u, 0xff800000u};\n"
        "for (n = 0; n < 400; n++) { memcpy(&u, &odd[n % 4], 4); if (n >= 200) u = 0.3f;\n"
        "net_step(&state, &u, &y); fwrite(&y, 4, 1, stdout); }\n"
        "net_reset(&state); u = 0.3f; for (n = 0; n < 200; n++) net_step(&state, &u, &y);\n"
        "fwrite(&y, 4, 1, stdout);\n"
    )
    outputs = stepped(exported, tmp_path, body, flags)
    assert np.isfinite(outputs).all()
    assert outputs[-2] == pytest.approx(outputs[-1], abs=1e-5)


def wild(cell, times):
    """A candidate whose two shares are far beyond where tanh saturates, and cancel."""
    torch.manual_seed(0)
    model = SequenceModel(cell(2, 8), 1)
    with torch.no_grad():
        for weight in model.layer.parameters():
            weight.mul_(times)
    return model


@pytest.mark.parametrize("dtype", ["q8", "q16"])
@pytest.mark.parametrize("cell", [nn.GRU, DecayGRU])
def test_a_candidate_never_overflows(cell, dtype, tmp_path):
    folder = to_c(wild(cell, 100), tmp_path / "c", dtype=dtype)
    rungs = {rung.name: rung for rung in verify(folder, fuzz=20_000)}
    assert rungs["sanitizers"].state == "passed", rungs["sanitizers"].words
    assert rungs["host gcc"].facts["bit_exact"]


@pytest.mark.parametrize("cell", [nn.GRU, DecayGRU])
def test_weights_beyond_whole_numbers_are_refused_with_advice(cell, tmp_path):
    with pytest.raises(TorchliquidError, match="export float32"):
        to_c(wild(cell, 1e6), tmp_path / "c", dtype="q8")
    assert not (tmp_path / "c").exists()


def test_a_wrong_calibration_fails(tmp_path, capsys):
    """A hundredth of the test's range: equal to the reference model, and yet another model."""
    torch.manual_seed(0)
    time = np.arange(500)[:, None]
    folder = to_c(
        SequenceModel(LTC(1, 8), 1),
        tmp_path / "c",
        dtype="q8",
        calibrate=0.01 * np.sin(time / 9),
        test=2 * np.sin(time / 9),
    )
    assert main(["verify", str(folder)]) == 1
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("failed"))
    assert "the reference model's to the bit; RMS error against torch" in line
    assert "limit 2.00%" in line
    assert "of 500 inputs at an end of their range" in line
    assert "calibrate with samples such as these" in line
    assert main(["verify", str(folder), "--max-error", "2"]) == 0
    with pytest.raises(TorchliquidError, match="max_error is 0: give a positive number"):
        verify(folder, max_error=0)


def test_without_a_calibration_three_scales_are_within_range(tmp_path):
    folder = to_c(made("ltc"), tmp_path / "c", name="net", dtype="q8")
    assert "from -3 to 3 (assumed: no calibration was given)" in (folder / "src/net.h").read_text()
    inputs = np.linspace(-2.99, 2.99, 100)[:, None]
    again = to_c(made("ltc"), tmp_path / "d", dtype="q8", test=inputs)
    assert opened(again).facts["saturated"] == 0


@pytest.mark.parametrize("dtype", ["float32", "q8"])
def test_a_chaotic_trajectory_is_called_that(dtype, tmp_path, capsys):
    torch.manual_seed(0)
    model = SequenceModel(nn.LSTM(1, 16), 1)
    with torch.no_grad():
        model.layer.weight_hh_l0.mul_(50)
    folder = to_c(model, tmp_path / "c", dtype=dtype)
    assert main(["verify", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "cannot be verified on these samples" in said
    assert "chaotic" in said


def test_an_output_that_never_moves_is_not_chaotic(tmp_path):
    """Its deviation is 0, and what torch loses in single precision may not be."""
    model = made("ltc")
    with torch.no_grad():
        model.readout.weight.zero_()
    folder = to_c(model, tmp_path / "c", name="net")
    report = folder / "report.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"rounding": 1e-9}))
    assert verify(folder, fuzz=100)[0].state == "passed"


def test_the_products_flags_are_used(tmp_path, capsys):
    folder = to_c(made("ltc"), tmp_path / "c", name="net")
    assert main(["verify", str(folder), "--cflags", "-O3 -ffast-math"]) == 0
    flags = {rung["facts"].get("flags") for rung in opened(folder).facts["verified"]}
    assert "-O3 -ffast-math" in flags
    assert main(["verify", str(folder), "--cflags", "'"]) == 2
    source = folder / "src" / "net.c"
    source.write_text(f"#ifdef WRONG\n#error no\n#endif\n{source.read_text()}")
    assert main(["verify", str(folder), "--cflags=-DWRONG"]) == 1


def test_every_odd_time_is_tried(tmp_path):
    from torchliquid.export.verify.verification import _fuzzed

    exported = opened(to_c(made("ltc"), tmp_path / "c", variable_dt=True))
    _, dt = _fuzzed(exported, 5000)
    assert np.isnan(dt).any()
    assert (dt == np.inf).any()
    assert (dt < 0).any()
    assert len(np.unique(dt[~np.isnan(dt)])) > 1000


@pytest.mark.parametrize("name", ["features", "Unistd", "wire", "SPI1x", "ALPHA", "string"])
def test_names_that_would_stand_before_a_system_header(name, tmp_path):
    if name == "SPI1x":
        to_c(made("ltc"), tmp_path / "c", name=name)
        return
    words = "give a small letter" if name == "ALPHA" else "is a word or a header of C"
    with pytest.raises(TorchliquidError, match=words):
        to_c(made("ltc"), tmp_path / "c", name=name)


def test_names_that_differ_in_case_alone_live_together(tmp_path):
    names = ("alpha", "Alpha")
    for name in names:
        to_c(made("ltc"), tmp_path / name, name=name)
    start = tmp_path / "start.c"
    start.write_text(
        "".join(f'#include "{name}.h"\n' for name in names)
        + "int main(void) { alpha_state a; Alpha_state b; alpha_reset(&a); Alpha_reset(&b);\n"
        "return ALPHA_INPUTS - Alpha_INPUTS; }\n"
    )
    sources = [str(tmp_path / name / "src" / f"{name}.c") for name in names]
    include = [f"-I{tmp_path / name / 'src'}" for name in names]
    call(["gcc", *include, *sources, str(start), "-lm", "-o", str(tmp_path / "start")])
    call([str(tmp_path / "start")])


@pytest.mark.parametrize("column", [("a", 0, 1e-40), ("a", 0, 1e39), ("a", 1e39, 1)])
@pytest.mark.parametrize("dtype", ["float32", "q8"])
def test_scales_that_single_precision_cannot_hold(column, dtype, tmp_path):
    model = made("ltc")
    model.scaling = Scaling((Column(*column),), (Column("y", 0, 1),))
    with pytest.raises(
        TorchliquidError, match="too far for single precision: give it another unit"
    ):
        to_c(model, tmp_path / "c", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_large_scales_are_exported_without_a_warning(tmp_path):
    model = made("ltc")
    model.scaling = Scaling((Column("u", 0, 1e30),), (Column("y", 0, 1e30),))
    exported = opened(to_c(model, tmp_path / "c"))
    assert run(exported, np.ones((3, 1), np.float32), np.ones(3, np.float32)).shape == (3, 1)


def test_the_command_line_writes_what_it_cuts_off(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(made("ltc"), tmp_path / "m")
    assert main(["export", "m", "--out", "c", "--dtype", "q8"]) == 0
    assert "are cut off there" in capsys.readouterr().out
