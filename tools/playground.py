"""The page of the documentation in which networks run, and README's moving picture.

    python tools/playground.py [--screenshots]

Trains the article's LTC-8 and LSTM-16 (eight lanes, under a minute), and writes
docs/_static/playground.html and docs/_static/tau_answer.svg; with ``--screenshots``, which takes a
chromium, docs/_static/playground-*.png too.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import torchliquid as tl
from torchliquid.bench.report.live import live
from torchliquid.bench.run.store import Store
from torchliquid.cli import main as torchliquid
from torchliquid.play import DARK, LIGHT, Signal, write_page

STATIC = Path(__file__).parents[1] / "docs" / "_static"
NOTES = (
    "LTC-8 and LSTM-16 were trained on 200 samples of the article's signal: of eight seeds the "
    "one whose test error is the median. A spike is 2.5, a jump 1.5 deviations of the signal.",
    "Where samples are deleted, LTC-8 waits and is told how long it waited; LSTM-16, which knows "
    "no time, sees the last sample again.",
)
W, H, SECONDS, SHOWN = 480, 290, 30, 160
"""Of the picture: its size, how long a round takes, samples that are seen at once."""
SPIKE, EVERY = 2.5, 74


def main() -> None:
    """Train, and write both."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "article"
        command = ["bench", "article", "--lanes", "8", "--models", "LTC-8", "LSTM-16", "ridge-AR"]
        if torchliquid([*command, "--out", str(results)]):
            raise SystemExit("the training failed")
        models, signal = live(Store.existing(results))
        write_page(models, STATIC / "playground.html", signal=signal, notes=NOTES)
        (STATIC / "tau_answer.svg").write_text(picture(models["LTC-8"], signal))
        if "--screenshots" in sys.argv:
            screenshots()
        print(f"pages: {STATIC / 'playground.html'}, {STATIC / 'tau_answer.svg'}")


def screenshots() -> None:
    """The page while a spike passes, and on a phone while samples are deleted."""
    from playwright.sync_api import sync_playwright

    shots = {
        "spike": ((1280, 900), 1, "light", "#events=none&spikes=190.~225&at=240"),
        "deleted": ((375, 812), 2, "dark", "#events=none&deleted=205-234&at=250"),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, ((width, height), scale, scheme, address) in shots.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, device_scale_factor=scale,
                color_scheme=scheme,
            )  # fmt: skip
            page.goto((STATIC / "playground.html").as_uri() + address)
            page.wait_for_timeout(300)
            page.screenshot(path=STATIC / f"playground-{name}.png")
        browser.close()


def picture(model: Any, signal: Signal) -> str:
    """An SVG that runs for ever: the signal with spikes above, the mean time constant below."""
    base = np.asarray(signal.rows)[:, 0]
    seen = np.concatenate([base, base[-2:0:-1]])  # forwards and back: it has no end
    T = len(seen)
    spikes = range(40, T - 40, EVERY)
    for k, at in enumerate(spikes):
        seen[at] += (SPIKE if k % 2 else -SPIKE) * base.std()
    x = torch.tensor(np.tile(seen, 3), dtype=torch.float32)[:, None]
    with torch.no_grad():
        said = model(x)[0][:, 0].numpy()[T - 1 : 2 * T - 1]  # of the sample after
    tau = tl.time_constants(model, x).mean(1).numpy()[T : 2 * T]
    share = 100 * tau / np.median(tau)
    step, length = W / SHOWN, T * W / SHOWN

    def curve(name: str, values: Any, scale: Any, top: float, bottom: float) -> str:
        low, high = scale.min(), scale.max()
        heights = bottom - (np.append(values, values[0]) - low) / (high - low) * (bottom - top)
        points = "L".join(f"{k * step:.1f} {y:.1f}" for k, y in enumerate(heights))
        return f'<path class="{name}" d="M{points}"/>'

    curves = [
        curve("signal", seen, seen, 58, 150),
        curve("blue", said, seen, 58, 150),
        curve("blue", share, share, 212, 280),
        *(f'<path class="mark" d="M{at * step:.1f} 158l-5 9h10z"/>' for at in spikes),
    ]
    light, dark = (
        f".ink,.mark{{fill:{of['ink']}}}.soft{{fill:{of['soft']}}}.paper{{fill:{of['paper']}}}"
        f".signal{{stroke:{of['soft']}}}.blue{{stroke:{of['blue']}}}tspan.blue{{fill:{of['blue']};"
        "stroke:none}"
        for of in (LIGHT, DARK)
    )
    style = (
        f"path{{fill:none;stroke-width:2.5;stroke-linejoin:round}}{light}.mark{{stroke:none}}"
        "text{font:15px system-ui,sans-serif}.title{font-weight:700;font-size:17px}"
        f".run{{animation:run {SECONDS}s linear infinite}}"
        f"@keyframes run{{to{{transform:translateX(-{length:.1f}px)}}}}"
        "@media(prefers-reduced-motion:reduce){.run{animation:none}}"
        f"@media(prefers-color-scheme:dark){{{dark}}}"
    )
    says = (
        "A signal with spikes runs by, a liquid network of eight neurons says what comes next, and "
        "its mean time constant moves with the signal and answers every spike."
    )
    ends = f"{share.min():.0f} to {share.max():.0f} % of its median"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" role="img" '
        f'aria-label="{says}"><style>{style}</style><rect class="paper" width="{W}" height="{H}"/>'
        f'<g class="run"><g id="r">{"".join(curves)}</g><use href="#r" x="{length:.1f}"/></g>'
        '<text class="ink title" x="8" y="22">A spike passes, the time constants answer</text>'
        '<text class="soft" x="8" y="44">signal, and <tspan class="blue">what LTC-8 says</tspan> '
        "comes next</text>"
        f'<text class="soft" x="8" y="198">mean time constant, {ends}</text></svg>\n'
    )


if __name__ == "__main__":
    main()
