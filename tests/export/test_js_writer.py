"""JavaScript against torch over 1,000 steps, in Node.js and in Chromium."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from torchliquid import LTC, SequenceModel, TorchliquidError, save
from torchliquid.cli import main
from torchliquid.export import describe, to_js
from torchliquid.nn import CTRNN, CfC, Column, LiquidLayer, Scaling

from .models import MODELS, TIMED, made

STEPS = 1000
NO_TAU = ("lstm", "gru")
RUN = """
async (modules) => {
  const found = [];
  for (const [text, inputs, times] of modules) {
    const { create, model } = await import("data:text/javascript;base64," + text);
    const net = create();
    const rows = inputs.map((u, k) => {
      const y = Array.from(times ? net.step(u, times[k]) : net.step(u));
      return [y, Array.from(net.tau || [])];
    });
    net.reset();
    const again = Array.from(times ? net.step(inputs[0], times[0]) : net.step(inputs[0]));
    found.push({ rows, again, model });
  }
  return found;
}
"""


def cases(names):
    return [(name, timed) for name in names for timed in ([False, True] if name in TIMED
                                                          else [False])]  # fmt: skip


def given(name, timed):
    """A model, inputs ``(T, I)`` and dt ``(T,)``."""
    model = made(name)
    rng = np.random.default_rng(0)
    description = describe(model)
    x = rng.normal(size=(STEPS, description.inputs))
    dt = np.full(STEPS, description.dt)
    if timed:
        dt = dt * rng.exponential(1.0, STEPS)
    return model, x, dt


def source(model, folder, timed, tau):
    made_there = to_js(model, folder, name="net", variable_dt=timed, time_constants=tau)
    return (made_there / "net.js").read_bytes()


def jobs(names, place):
    found = []
    for name, timed in cases(names):
        model, x, dt = given(name, timed)
        text = source(model, place / f"{name}-{timed}", timed, not name.startswith(NO_TAU))
        encoded = base64.b64encode(text).decode()
        found.append([encoded, x.tolist(), dt.tolist() if timed else None])
    return found


def node(*arguments, **options):
    """Run Node.js where it is there."""
    program = shutil.which("node")
    if not program:
        pytest.skip("no node program: install Node.js to run the modules in it")
    return subprocess.run([program, *arguments], capture_output=True, check=False, **options)


def in_node(modules):
    script = f"({RUN})(JSON.parse(require('fs').readFileSync(0))).then((found) => \
process.stdout.write(JSON.stringify(found)))"
    given_to = json.dumps(modules).encode()
    return json.loads(node("-e", script, input=given_to).stdout)


@pytest.fixture(scope="module")
def by_node(tmp_path_factory):
    found = in_node(jobs(MODELS, tmp_path_factory.mktemp("js")))
    return dict(zip(cases(MODELS), found, strict=True))


@pytest.mark.filterwarnings("ignore:dt is up to")
def check(name, timed, found):
    model, x, dt = given(name, timed)
    model = model.double()
    layer = getattr(model, "layer", model)
    layer.batch_first = True
    x, dt = torch.from_numpy(x), torch.from_numpy(dt)
    options = {"dt": dt} if isinstance(layer, LiquidLayer) else {}
    with torch.no_grad():
        y = model(x, **options)[0]
    told = torch.tensor([row[0] for row in found["rows"]], dtype=torch.float64)
    # literals have nine digits
    torch.testing.assert_close(told, y, rtol=1e-6, atol=1e-6)
    assert found["again"] == found["rows"][0][0]
    if not options:
        return
    tau = torch.tensor([row[1] for row in found["rows"]], dtype=torch.float64)
    own = layer.time_constants(x, **options)
    if own.dim() == 3:  # of several layers
        own = torch.cat(list(own), -1)
    torch.testing.assert_close(1 / tau, 1 / own, rtol=1e-6, atol=1e-6)  # some are without bound
    ends = [pair for one in found["model"]["layers"] for pair in one["tau"] or []]
    if ends:
        low, high = torch.tensor(ends, dtype=torch.float64).T
        assert bool((tau >= low * (1 - 1e-6)).all())
        assert bool((tau <= high * (1 + 1e-6)).all())


@pytest.mark.filterwarnings("ignore:dt is up to")
@pytest.mark.parametrize(("name", "timed"), cases(MODELS))
def test_node_is_torch_over_a_thousand_steps(name, timed, by_node):
    check(name, timed, by_node[name, timed])


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore:dt is up to")
def test_chromium_is_torch_over_a_thousand_steps(browser, tmp_path):
    names = ["ltc", "ltc-6", "euler", "exponential", "lstm", "gru", "resonator", "ncp", "cfc"]
    page = browser.new_page()
    found = page.evaluate(RUN, jobs(names, tmp_path))
    page.close()
    for (name, timed), one in zip(cases(names), found, strict=True):
        check(name, timed, one)


@pytest.mark.parametrize("change", [None, 0.7])
def test_physical_units_and_a_selftest(change, tmp_path):
    model = SequenceModel(LTC(2, 4, batch_first=True), 1)
    volts = Column("volts </script> \u2028", 230.0, 4.0)
    model.scaling = Scaling((volts, Column("load\n*/", -3.0, 0.5)), (volts,), change)
    text = source(model, tmp_path / "o", False, True)
    assert b"<" not in text.replace(b" < ", b"")
    x = np.random.default_rng(0).normal(size=(30, 2))
    (found,) = in_node([[base64.b64encode(text).decode(), (x * [4, 0.5] + [230, -3]).tolist(),
                         None]])  # fmt: skip
    with torch.no_grad():
        y = model.double()(torch.from_numpy(x))[0].numpy()
    expected = 230 + 4 * (y if change is None else x[..., :1] + change * y)
    np.testing.assert_allclose([row[0] for row in found["rows"]], expected, rtol=1e-7)
    assert found["model"]["inputs"][0]["name"] == volts.name
    run = node("net_selftest.js", cwd=tmp_path / "o")
    assert run.stdout.startswith(b"50 of 50 samples agree")


def test_a_selftest_fails_where_the_module_is_another_model(tmp_path):
    source(made("ltc"), tmp_path / "o", False, False)
    other = source(made("ltc-6"), tmp_path / "p", False, False)
    (tmp_path / "o" / "net.js").write_bytes(other)
    run = node("net_selftest.js", cwd=tmp_path / "o")
    assert run.returncode == 1


def test_odd_input_and_odd_times_leave_a_state_that_goes_on(tmp_path):
    text = source(made("ltc-6"), tmp_path / "o", True, True)
    script = f"""
import("data:text/javascript;base64,{base64.b64encode(text).decode()}").then((m) => {{
  const net = m.create();
  for (const u of [NaN, Infinity, undefined, 1e300, -1e300, 0])
    for (const dt of [1, -1, NaN, Infinity, 1e300, 0]) net.step([u], dt);
  process.stdout.write(String(net.state.every(Number.isFinite) && net.tau.every(Number.isFinite)));
}})"""
    run = node("-e", script)
    assert run.stdout == b"true"


def test_large_matrices_become_loops(tmp_path):
    model = CTRNN(3, 50)
    text = source(model, tmp_path / "o", False, True)
    assert b"product(M0" in text
    x = np.random.default_rng(0).normal(size=(20, 3))
    (found,) = in_node([[base64.b64encode(text).decode(), x.tolist(), None]])
    with torch.no_grad():
        y = model.double()(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose([row[0] for row in found["rows"]], y, atol=1e-7)


def test_loops_over_sub_steps_hold_large_matrices_too(tmp_path):
    model = LTC(2, 50, num_layers=2, unfolds=3)
    text = source(model, tmp_path / "o", True, False)
    x = np.random.default_rng(0).normal(size=(20, 2))
    dt = np.linspace(0, 2, 20)
    (found,) = in_node([[base64.b64encode(text).decode(), x.tolist(), dt.tolist()]])
    with torch.no_grad():
        y = model.double()(torch.from_numpy(x), dt=torch.from_numpy(dt))[0].numpy()
    np.testing.assert_allclose([row[0] for row in found["rows"]], y, atol=1e-7)


def test_what_is_refused(tmp_path):
    with pytest.raises(TorchliquidError, match="an LSTM has no time constants"):
        to_js(made("lstm"), tmp_path / "o", time_constants=True)
    with pytest.raises(TorchliquidError, match="no layer of the model takes a time"):
        to_js(made("lstm"), tmp_path / "o", variable_dt=True)
    with pytest.raises(TorchliquidError, match="a Resonator with a dt for each sample cannot be"):
        to_js(made("resonator"), tmp_path / "o", variable_dt=True)
    with pytest.raises(TorchliquidError, match="C identifier"):
        to_js(made("ltc"), tmp_path / "o", name="a b")
    with pytest.raises(TorchliquidError, match="gelu"):
        to_js(CfC(1, 2, activation="gelu"), tmp_path / "o")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_and_tries_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(made("ltc"), "model")
    command = ["export", "model", "--to", "js", "--name", "pump"]
    assert main([*command, "--out", "a", "--variable-dt", "--time-constants"]) == 0
    said = capsys.readouterr().out
    assert "50 of 50 samples agree" in said or not shutil.which("node")
    assert "dt?: number" in (tmp_path / "a" / "pump.d.ts").read_text()
    assert main([*command, "--out", "b", "--dtype", "q8"]) == 2
    assert "--dtype is for --to c" in capsys.readouterr().err
    assert main(["export", "model", "--out", "c", "--time-constants"]) == 2
    assert "--time-constants is for --to js" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert main([*command, "--out", "d"]) == 0
    assert "next command: node d/pump_selftest.js" in capsys.readouterr().out
