"""One thread, a known seed for every test, and NaN in memory that nobody wrote."""

import pytest
import torch

torch.set_num_threads(1)
# Also fills what `torch.empty` returns with NaN: a value that no one computed shows up at once.
torch.use_deterministic_algorithms(True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
