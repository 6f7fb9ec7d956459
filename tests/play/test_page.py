"""The page: what it holds, and what it does in a real browser."""

import dataclasses
import hashlib
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchliquid import LTC, SequenceModel, TorchliquidError, save
from torchliquid.bench.report.live import live
from torchliquid.bench.run.store import Store
from torchliquid.cli import main
from torchliquid.nn import Column, LiquidLayer, Scaling
from torchliquid.play import Panel, Regression, Signal, make_panel, write_page
from torchliquid.play.page import SCRIPTS

from ..export.models import made

LIVE = Path(__file__).parents[2] / "src" / "torchliquid" / "play" / "live"
WAVE = np.stack([np.sin(np.arange(400) / 9), np.cos(np.arange(400) / 5)], 1)


def two():
    torch.manual_seed(0)
    return {"LTC-8": SequenceModel(LTC(1, 8), 1), "LSTM-16": SequenceModel(nn.LSTM(1, 16), 1)}


def test_two_small_networks_take_less_than_sixty_thousand_bytes(tmp_path):
    page = write_page(two(), tmp_path / "page.html")
    text = page.read_text()
    assert len(text.encode()) < 60_000
    assert not re.search(r"https?://|@import|\bfetch\b|XMLHttp|WebSocket|<link rel=.style", text)


def test_the_policy_allows_the_script_and_the_style_of_the_page_alone(tmp_path):
    text = write_page(two(), tmp_path / "page.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    for kind, tag in (("script", '<script type="module">'), ("style", "<style>")):
        inside = text.split(tag)[1].split(f"</{kind}>")[0]
        digest = b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'\s(style|on\w+)="', text)


def test_names_that_hold_markup_stay_text(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>\u2028'\"`${1}"
    model = SequenceModel(LTC(1, 2), 1)
    model.scaling = Scaling((Column(evil, 3.0, 2.0),), (Column(evil, 3.0, 2.0),))
    text = write_page({evil: model}, tmp_path / "p.html", heading=evil, notes=(evil,)).read_text()
    assert "<img" not in text
    assert text.count("</script>") == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_panel({}), "models is empty"),
        (lambda: Signal(("a",), np.zeros((3, 2))), r"give \(T, 1\)"),
        (lambda: Signal(("a",), np.zeros((0, 1))), r"give \(T, 1\)"),
        (lambda: Signal(("a",), [[np.nan]]), "missing values"),
        (
            lambda: Regression(np.zeros(3), 0.0, Scaling((Column("a"),), (Column("a"),))),
            r"give \(lags, 1\)",
        ),
        (lambda: Signal(("a",), np.zeros((6000, 1))), "at most 5,000"),
        (lambda: make_panel({"a": SequenceModel(LTC(1, 2, solver="rk4"), 1)}), "no closed step"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(TorchliquidError, match=words):
        call()


def test_a_panel_is_the_page_without_a_page():
    panel = make_panel(two())
    assert isinstance(panel, Panel)
    assert "<html" not in panel.html
    assert panel.script_hash.startswith("sha256-")


def test_a_model_whose_output_is_another_column_shows_no_error():
    model = SequenceModel(LTC(1, 2), 1)
    model.scaling = Scaling((Column("in", 0.0, 1.0),), (Column("out", 5.0, 1.0),))
    assert '"horizon":null' in make_panel({"a": model}).script


def test_the_parts_that_need_no_page_by_node():
    node = shutil.which("node")
    if not node:
        pytest.skip("no node program: install Node.js to run tests/play/live.test.js")
    test = Path(__file__).with_name("live.test.js")
    done = subprocess.run([node, "--test", str(test)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_scripts_are_read_in_one_sitting():
    for name in SCRIPTS:
        assert len((LIVE / name).read_text().splitlines()) < 420


def test_the_command_takes_models_and_says_what_it_cannot(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, model in two().items():
        save(model, name)
    assert main(["play", "LTC-8", "LSTM-16", "--out", "p.html", "--heading", "Pump & co"]) == 0
    assert "page: p.html" in capsys.readouterr().out
    assert "<h1>Pump &amp; co</h1>" in Path("p.html").read_text()
    assert main(["play", "LTC-8", "LTC-8", "--out", "q.html"]) == 2
    assert "two models are called LTC-8" in capsys.readouterr().err
    assert main(["play", "nothing", "--out", "q.html"]) == 2
    Path("many/lane-000").mkdir(parents=True)
    assert main(["play", "many", "--out", "q.html"]) == 2
    assert "such as many/lane-000" in capsys.readouterr().err
    assert not Path("q.html").exists()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A small benchmark, trained."""
    folder = tmp_path_factory.mktemp("bench") / "r"
    models = ["LTC-2", "LSTM-2", "LTC-3", "ridge-AR"]
    command = ["bench", "article", "--lanes", "2", "--epochs", "3", "--out", str(folder)]
    assert main([*command, "--models", *models]) == 0
    return folder


def test_networks_of_a_benchmark_run_on_its_signal(results, tmp_path, capsys):
    page = tmp_path / "p.html"
    assert main(["play", str(results), "--out", str(page)]) == 0
    assert "LTC-2, LSTM-2, ridge-AR" in capsys.readouterr().out
    lane = results / "models" / "LTC-3" / "lane-001"
    assert main(["play", str(lane), str(results), "--out", str(page)]) == 0
    assert "LTC-3, LTC-2, LSTM-2" in capsys.readouterr().out
    store = Store.existing(results)
    models, signal = live(store)
    task = store.load_task()
    assert list(models) == ["LTC-2", "LSTM-2", "ridge-AR"]
    assert models["LTC-2"].layer.dt == pytest.approx(0.1)
    lane = store.load("LTC-2").facts["demo_lane"]
    # what is seen at a step is the target of the step before, without its noise
    np.testing.assert_allclose(np.asarray(signal.rows)[:, 0], task.clean[lane][:-1], rtol=1e-6)
    with pytest.raises(
        TorchliquidError, match="no trained network 'mean': give LSTM-2, LTC-2, LTC-3"
    ):
        live(store, ["mean"])
    assert list(live(store, ["ridge-AR"])[0]) == ["ridge-AR"]


def test_the_report_holds_the_same_panel(results):
    text = (results / "report.html").read_text()
    panel = make_panel(*live(Store.existing(results)))
    assert panel.script in text
    assert f"script-src '{panel.script_hash}'" in text
    assert 'href="#try"' in text


def test_a_table_runs_in_its_own_units(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{20 + 5 * np.sin(k / 9) + 0.1 * rng.normal()},{k % 24}" for k in range(300)]
    (tmp_path / "t.csv").write_text("degrees,hour\n" + "\n".join(rows) + "\n")
    command = ["bench", "csv", str(tmp_path / "t.csv"), "--target", "degrees", "--features", "hour"]
    options = ["--lanes", "2", "--epochs", "2", "--models", "LTC-2", "LSTM-2"]
    folder = tmp_path / "r"
    assert main([*command, *options, "--out", str(folder)]) == 0
    _, signal = live(Store.existing(folder))
    assert signal.columns == ("degrees", "hour")
    assert 14 < np.asarray(signal.rows)[:, 0].min() < 16
    assert np.asarray(signal.rows)[:, 1].max() == pytest.approx(23, abs=1e-4)


# in Chromium

VIEWS = {"desktop": (1280, 900), "phone": (375, 812), "wide": (1920, 1080), "tablet": (768, 1024)}


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page of models; what it complained about and asked for is checked at the end."""
    contexts, complaints, asked, pages = [], [], [], []

    def open_page(models, signal=None, hash_="", view="desktop", **options):
        path = tmp_path / f"page{len(pages)}.html"
        write_page(models, path, signal=signal)
        width, height = VIEWS[view]
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + hash_)
        pages.append(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url.partition("#")[0] for url in asked} <= {*pages, "data:,"}


LIVE_NOW = "document.getElementById('live').live"
RUN = f"""
() => {{
  const {{ runner, signal }} = {LIVE_NOW};
  runner.reset();
  const seen = [], told = [], tau = [];
  for (let k = 0; k < 1000; k++) {{
    runner.step();
    seen.push(signal.at(k));
    told.push(runner.nets.map((one) => one.last));
    tau.push(runner.nets.map((one) => Array.from(one.net.tau || [])));
  }}
  return {{ seen, told, tau }};
}}
"""
EXPORTED = [
    "ltc", "ltc-6", "ltc-3", "euler", "exponential", "lstm", "gru", "decay-gru", "resonator",
    "ncp", "cfc",
]  # fmt: skip
"""The modules alone are tried for every case by tests/export/test_js_writer.py."""


def named(model, outputs):
    """With columns a, b, ... of the signal."""
    inputs = getattr(model, "layer", model).input_size
    columns = tuple(Column(name, 0.1, 1.2) for name in "abc"[:inputs])
    model.scaling = Scaling(columns, tuple(Column(f"y{k}") for k in range(outputs)))
    return model


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore:dt is up to")
def test_the_numbers_of_the_page_are_torchs(opened):
    models = {name: made(name) for name in EXPORTED}
    models = {n: named(m, m.readout.out_features) for n, m in models.items()}
    rows = np.column_stack([np.tile(WAVE, (2, 1)), np.arange(800) % 7])
    page = opened(models, Signal(("a", "b", "c"), rows), "#noise=0.3&events=jumps&at=0")
    found = page.evaluate(RUN)
    seen = torch.tensor(found["seen"], dtype=torch.float64)
    for k, (name, model) in enumerate(models.items()):
        layer = model.layer
        layer.batch_first = True
        x = (seen[:, : layer.input_size] - 0.1) / 1.2
        model.double()
        with torch.no_grad():
            y = model(x)[0][:, 0]
        told = torch.tensor([row[k] for row in found["told"]], dtype=torch.float64)
        torch.testing.assert_close(told, y, rtol=1e-5, atol=1e-5, msg=name)
        if found["tau"][0][k]:
            assert isinstance(layer, LiquidLayer)
            tau = torch.tensor([row[k] for row in found["tau"]], dtype=torch.float64)
            own = layer.time_constants(x)
            own = torch.cat(list(own), -1) if own.dim() == 3 else own
            torch.testing.assert_close(1 / tau, 1 / own, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.browser
@pytest.mark.parametrize("change", [None, 0.7])
def test_the_regression_of_the_page_is_that_of_the_benchmark(opened, results, change):
    models, _ = live(Store.existing(results), ["ridge-AR"])
    ridge = dataclasses.replace(
        models["ridge-AR"],
        scaling=Scaling((Column("a", 3.0, 2.0),), (Column("a", 3.0, 2.0),), change),
    )
    page = opened({"ridge-AR": ridge}, Signal(("a",), 3 + 2 * WAVE[:, :1]), "#noise=0.3&at=0")
    found = page.evaluate(RUN)
    weights = np.asarray(ridge.weights)[:, 0]
    x = (np.array(found["seen"])[:, 0] - 3) / 2
    y = np.convolve(x, weights)[: len(x)] + ridge.intercept
    y = y if change is None else x + change * y
    np.testing.assert_allclose(np.array(found["told"])[:, 0], 3 + 2 * y, atol=1e-5)


def state(page):
    return page.evaluate(
        f"""() => {{
          const {{ runner, signal, view }} = {LIVE_NOW};
          return {{ k: runner.k, paused: view.paused, speed: view.speed, ...signal.settings,
            deleted: [...signal.deleted], drawn: [...signal.drawn], spikes: [...signal.spikes],
            jumps: [...signal.jumps], at: signal.at(runner.k + 5)[0],
            zero: runner.nets.every((one) => one.net.state.every((v) => v === 0)),
            hash: location.hash }};
        }}"""
    )


def until(page, expression):
    """The page's policy lets no other function of Playwright's evaluate texts in it."""
    while not page.evaluate(expression):
        page.wait_for_timeout(20)


@pytest.mark.browser
def test_every_control_does_what_it_says(opened):
    page = opened(two(), hash_="#at=300&events=none")
    assert page.get_by_role("button", name="Run").is_visible()
    assert state(page)["k"] == 300
    page.get_by_role("button", name="Step").click()
    assert state(page)["k"] == 301
    for name, kept, there in (("Spike", "spikes", [[302, 1]]), ("Jump", "jumps", [[302, 1]])):
        page.get_by_role("button", name=name, exact=True).click()
        assert state(page)[kept] == there
    page.get_by_role("button", name="Delete 10").click()
    assert state(page)["deleted"] == list(range(302, 312))
    assert "deleted=302-311" in state(page)["hash"]
    page.get_by_role("button", name="Undo all").click()
    assert state(page)["deleted"] == state(page)["spikes"] == []
    page.get_by_role("button", name="Reset state").click()
    assert state(page)["zero"]
    before = state(page)["at"]
    for label in ("Noise", "Gain", "Frequency", "Drift"):
        page.get_by_label(label).fill("0.5")
        now = state(page)
        assert now[label.lower()] == 0.5
        assert now["at"] != before
        before = now["at"]
    page.get_by_label("Speed").fill("150")
    page.get_by_role("combobox").select_option("jumps")
    assert (state(page)["speed"], state(page)["events"]) == (150, "jumps")
    page.get_by_role("button", name="Restart").click()
    assert state(page)["k"] == 200
    page.get_by_role("button", name="Run").click()
    until(page, f"{LIVE_NOW}.runner.k > 220")
    page.get_by_role("button", name="Pause").click()
    k = state(page)["k"]
    page.wait_for_timeout(100)
    assert state(page)["k"] == k


@pytest.mark.browser
def test_keys_do_the_same(opened):
    page = opened(two(), hash_="#at=250&events=none")
    page.locator("canvas").first.focus()
    for key in (".", "s", "j", "d"):
        page.keyboard.press(key)
    now = state(page)
    assert (now["k"], now["spikes"], now["jumps"]) == (251, [[252, 1]], [[252, 1]])
    assert len(now["deleted"]) == 10
    page.keyboard.press("r")
    assert state(page)["zero"]
    page.keyboard.press(" ")
    assert not state(page)["paused"]


@pytest.mark.browser
def test_a_finger_bends_and_deletes_what_is_coming_alone(opened):
    page = opened(two(), hash_="#at=250&events=none")
    box = page.locator("canvas").first.bounding_box()
    y = box["y"] + box["height"] / 2

    def drag(start, end):
        page.mouse.move(box["x"] + start * box["width"], y)
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"], y + 40, steps=7)
        page.mouse.up()

    drag(0.4, 0.95)
    drawn = [k for k, _ in state(page)["drawn"]]
    assert min(drawn) == 251
    assert drawn == list(range(251, max(drawn) + 1))
    assert max(drawn) > 290
    page.get_by_label("delete samples").check()
    drag(0.9, 0.7)
    deleted = sorted(state(page)["deleted"])
    assert deleted == list(range(deleted[0], deleted[-1] + 1))
    assert deleted[0] >= 251
    hash_ = state(page)["hash"]
    assert "drawn=251_" in hash_
    assert "deleted=" in hash_


@pytest.mark.browser
def test_an_address_gives_the_same_experiment_again(opened):
    models = two()
    given = "#noise=0.3&gain=1.5&events=jumps&spikes=260.~270&deleted=280-290&at=320"
    numbers = [
        opened(models, hash_=given).evaluate(
            f"Array.from({LIVE_NOW}.runner.nets[0].net.state).concat({LIVE_NOW}.runner.k)"
        )
        for _ in range(2)
    ]
    assert numbers[0] == numbers[1]
    assert numbers[0][-1] == 320
    page = opened(models)
    page.evaluate(f"location.hash = '{given}'")
    until(page, f"{LIVE_NOW}.runner.k === 320")
    assert page.evaluate(f"Array.from({LIVE_NOW}.runner.nets[0].net.state)") == numbers[0][:-1]


@pytest.mark.browser
@pytest.mark.parametrize(("view", "scheme"), list(zip(VIEWS, ["light", "dark"] * 2, strict=True)))
def test_everything_fits_and_is_labelled(opened, view, scheme):
    page = opened(two(), view=view, color_scheme=scheme)
    width = VIEWS[view][0]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = page.evaluate("""() => {
      const problems = [];
      for (const e of document.querySelectorAll("canvas, input, select, button")) {
        const name = e.getAttribute("aria-label") || e.closest("label")?.textContent;
        if (!(name || e.textContent).trim()) problems.push("no name: " + e.outerHTML);
        const box = e.getBoundingClientRect();
        if (box.right > innerWidth + 0.5 || box.width < 1) problems.push("outside: " + e.outerHTML);
        if (e.tagName === "BUTTON" && box.height < 32) problems.push("small: " + e.outerHTML);
      }
      for (const canvas of document.querySelectorAll("canvas")) {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        if (!data.some(Boolean)) problems.push("empty: " + canvas.dataset.live);
      }
      return problems;
    }""")
    assert found == []


@pytest.mark.browser
def test_reduced_motion_starts_at_rest(opened):
    page = opened(two(), reduced_motion="reduce")
    assert state(page)["paused"]
    assert page.get_by_role("button", name="Run").is_visible()


@pytest.mark.browser
def test_a_page_at_rest_draws_nothing(opened):
    page = opened(two(), hash_="#at=300")
    page.wait_for_timeout(100)
    drawn = page.evaluate("""async () => {
      let frames = 0;
      const own = CanvasRenderingContext2D.prototype.clearRect;
      CanvasRenderingContext2D.prototype.clearRect = function (...a) {
        frames += 1;
        own.apply(this, a);
      };
      await new Promise((resolve) => setTimeout(resolve, 400));
      return frames;
    }""")
    assert drawn == 0
