"""One thread, a known seed for every test, and NaN in unwritten memory; backends, a browser."""

import os
import shutil

import pytest
import torch

from torchliquid import kernels
from torchliquid.kernels import _library as library

torch.set_num_threads(1)
# Also fills what `torch.empty` returns with NaN: a value that no one computed shows up at once.
torch.use_deterministic_algorithms(True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


BACKENDS = [
    "reference",
    "torch",
    pytest.param(
        "native", marks=pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
    ),
]


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, request.param)


SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    if not program:
        reason = "no chromium program: install it, or name it in the variable CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(reason)
        print(f"browser tests skipped: {reason}")
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        yield opened
        opened.close()
