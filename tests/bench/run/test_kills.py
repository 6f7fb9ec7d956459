"""Kills at random moments: after a resume all is as if nothing had happened, byte for byte."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open

MODELS = "persistence,LTC-2,LTC-2-euler,GRU-2"
KILLS = 60


def command(out):
    return [
        sys.executable, "-m", "torchliquid.cli", "bench", "article", "--lanes", "3", "--epochs",
        "60", "--steps", "60", "--train", "40", "--models", MODELS, "--processes", "2",
        "--out", str(out),
    ]  # fmt: skip


def content(out):
    """All that does not tell the time: rows, trained models, task and figures."""
    found = {}
    for path in sorted(out.rglob("*")):
        if not path.is_file() or path.name in (".lock", "report.html", "summary.json"):
            continue
        name = path.relative_to(out).as_posix()
        found[name] = path.read_bytes()
        if name.startswith("runs/"):
            with safe_open(path, "numpy") as file:
                facts = json.loads(file.metadata()["facts"].partition(" ")[2])  # without checksum
                for measured in (
                    "seconds_per_epoch",
                    "seconds_evaluating",
                    "seconds_alone",
                    "made",
                ):
                    facts["run"].pop(measured, None)
                found[name] = (
                    facts,
                    {key: file.get_tensor(key).tobytes() for key in file.keys()},  # noqa: SIM118
                )
    return found


@pytest.mark.slow
def test_sixty_kills(tmp_path):
    start = time.monotonic()
    done = subprocess.run(command(tmp_path / "whole"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - start
    whole = content(tmp_path / "whole")
    assert sum(name.startswith("models/") for name in whole) == 3 * 3 * 2

    rng, out, killed, finished = np.random.default_rng(0), tmp_path / "out", 0, 0
    while killed < KILLS:
        process = subprocess.Popen(
            command(out), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            # from the start of the workers to the report
            process.wait(timeout=rng.uniform(0.5, 1.1) * seconds)
        except subprocess.TimeoutExpired:
            if rng.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)  # with its workers
            else:
                process.kill()
            killed += 1
        code = process.wait()
        stderr = process.communicate()[1].decode()
        assert "Traceback" not in stderr, stderr
        if code == 0:  # it ended before its time came: compare, and begin again
            assert content(out) == whole
            finished += 1
            subprocess.run(["rm", "-r", str(out)], check=True)
    done = subprocess.run(command(out), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert content(out) == whole
    print(f"\n{killed} kills, {finished + 1} runs that ended, each as one without a kill")
