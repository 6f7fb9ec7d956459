"""Bytes of exported JavaScript, and nanoseconds a step in Node.js.

    python benchmarks/javascript.py

Rounds of all models in turn, in one process; the least and the median of a round's mean.
"""

import base64
import gzip
import json
import os
import shutil
import subprocess
import tempfile

from torch import nn

import torchliquid as tl
from torchliquid import wirings
from torchliquid.export import to_js

MODELS = {
    "LTC-8": lambda: tl.LTC(1, 8),
    "LTC-8, 6 unfolds": lambda: tl.LTC(1, 8, unfolds=6),
    "LTC-32": lambda: tl.LTC(1, 32),
    "LTC-64 (loops)": lambda: tl.LTC(1, 64),
    "LSTM-4": lambda: nn.LSTM(1, 4),
    "LSTM-16": lambda: nn.LSTM(1, 16),
    "GRU-4": lambda: nn.GRU(1, 4),
    "NCP AutoNCP(12, 1)": lambda: tl.NCP(1, wirings.AutoNCP(12, 1)),
    "CfC-8 without backbone": lambda: tl.CfC(1, 8, backbone_layers=0),
}
ROUNDS, STEPS = 30, 20_000
RUN = """
const texts = JSON.parse(require("fs").readFileSync(0));
(async () => {
  const nets = await Promise.all(texts.map(async (text) =>
    (await import("data:text/javascript;base64," + text)).create()));
  const u = Array.from({ length: 64 }, (_, k) => [Math.sin(k * Math.PI / 32)]);
  const found = nets.map(() => []);
  for (let round = 0; round < ROUNDS; round++) nets.forEach((net, k) => {
    const start = process.hrtime.bigint();
    for (let step = 0; step < STEPS; step++) net.step(u[step & 63]);
    found[k].push(Number(process.hrtime.bigint() - start) / STEPS);
  });
  process.stdout.write(JSON.stringify(found.map((r) => r.sort((a, b) => a - b))));
})();
"""


def main() -> None:
    """Print the table."""
    node = shutil.which("node")
    if node is None:
        raise SystemExit("no node program: install Node.js")
    texts = []
    for model in MODELS.values():
        folder = to_js(tl.SequenceModel(model(), 1), tempfile.mkdtemp() + "/net", name="net")
        texts.append((folder / "net.js").read_bytes())
    given = json.dumps([base64.b64encode(text).decode() for text in texts]).encode()
    script = RUN.replace("ROUNDS", str(ROUNDS)).replace("STEPS", str(STEPS))
    run = subprocess.run([node, "-e", script], input=given, capture_output=True, check=True)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    print(f"load {os.getloadavg()[0]:.2f}, node {version.strip()}")
    print(f"{'model':24} {'bytes':>7} {'gzip':>7} {'ns/step, least':>15} {'median':>8}")
    for name, text, times in zip(MODELS, texts, json.loads(run.stdout), strict=True):
        print(f"{name:24} {len(text):>7,} {len(gzip.compress(text)):>7,} {times[0]:>15,.0f} "
              f"{times[len(times) // 2]:>8,.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
