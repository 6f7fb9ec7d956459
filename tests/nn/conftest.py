"""Every backend in turn, for what must hold whichever computes."""

import pytest

from torchliquid import kernels
from torchliquid.kernels import _library as library

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
