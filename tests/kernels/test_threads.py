"""The native kernels from several threads and processes: the same bits as alone."""

import os
import signal
import threading

import pytest
import torch

from torchliquid import LTC, Pack, SequenceModel, kernels
from torchliquid.kernels import _library as library

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])


@pytest.fixture(autouse=True)
def backend(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "native")


def compute(seed=0):
    """Outputs and gradients of a model and of packs, worth several threads in our kernels.

    And small enough for one in torch's, which never end in a child once its parent used several.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    found = []
    x = torch.randn(38, 50, 3, generator=generator)
    for module in (
        SequenceModel(LTC(3, 32, batch_first=True), 2),
        Pack(lambda s: SequenceModel(LTC(3, 8, batch_first=True), 1), range(17)),
        Pack(lambda s: SequenceModel(torch.nn.LSTM(3, 16, batch_first=True), 1), range(5)),
    ):
        y, _ = module(x)
        y.square().sum().backward()
        found += [y.detach(), *(p.grad for p in module.parameters())]
    return found


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("count", [1, 2])
def test_several_python_threads(count):
    """They share the store of used buffers, and the interpreter's lock is let go in the kernels."""
    modules = [Pack(lambda s: SequenceModel(LTC(3, 5), 1), range(19)) for _ in range(4)]
    x, found, before = torch.randn(40, 50, 3), {}, torch.get_num_threads()

    def run(k):
        for _ in range(30):
            modules[k].zero_grad()
            y, _ = modules[k](x)
            y.square().sum().backward()
            found.setdefault(k, []).append([y.detach(), *(p.grad for p in modules[k].parameters())])

    try:
        torch.set_num_threads(count)
        threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        torch.set_num_threads(before)
    for k in range(4):
        assert len(found[k]) == 30
        assert all(same(one, found[0][0]) for one in found[k])


# Python's own warning: whoever forks beside threads must know what the child does. Ours computes.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.parametrize("count", [1, 2])
def test_after_a_fork(count):
    """The child has none of the parent's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    right = compute()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(900)  # a child that hangs
            # torch fills new buffers with NaN in these tests, by threads that no child has: whether
            # a buffer is new depends on what ran before
            torch.utils.deterministic.fill_uninitialized_memory = False
            code = 0 if same(compute(), right) else 2
            torch.set_num_threads(3 - count)
            code = code or (0 if same(compute(), right) else 3)
        finally:
            os._exit(code)
    torch.set_num_threads(before)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


class Rows(torch.utils.data.Dataset):
    """A data set whose rows pass through a liquid layer in the loader's workers."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        torch.manual_seed(index)
        with torch.no_grad():
            return LTC(1, 4)(torch.ones(9, 1))[0]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_in_the_workers_of_a_loader():
    alone = [Rows()[k] for k in range(6)]
    loaded = list(torch.utils.data.DataLoader(Rows(), batch_size=None, num_workers=2))
    assert same(loaded, alone)
