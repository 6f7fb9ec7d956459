"""One thread, a known seed for every test, and NaN in unwritten memory, each backend."""

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
