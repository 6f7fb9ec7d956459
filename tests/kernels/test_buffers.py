"""The store of buffers that forward passes keep for their backward passes."""

import threading

import pytest
import torch

from torchliquid import LTC, kernels
from torchliquid.kernels import _library as library
from torchliquid.kernels._buffers import SavedBuffer

compiled = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])


@compiled
def test_the_store_of_kept_buffers_holds_no_more_than_its_limit(monkeypatch):
    def held():
        return sum(spare.nbytes for spare in SavedBuffer._store)

    monkeypatch.setattr(SavedBuffer, "_store", [])
    monkeypatch.setattr(SavedBuffer, "LIMIT", 10_000)
    like = torch.zeros(1)
    for size in (100, 300, 900, 2000, 100, 200):
        buffers = [SavedBuffer(like, size) for _ in range(4)]
        del buffers
        assert held() <= 10_000
    assert held() > 4000  # and it keeps what it may
    layer = LTC(1, 4, batch_first=True)
    for length in range(5, 36, 5):
        layer(torch.zeros(4, length, 1))[0].sum().backward()
        assert held() <= 10_000
    kernels.empty_cache()
    assert not held()


def test_the_last_buffer_is_kept_however_large_and_the_same_memory_used_again(monkeypatch):
    monkeypatch.setattr(SavedBuffer, "_store", [])
    monkeypatch.setattr(SavedBuffer, "LIMIT", 100)
    addresses = set()
    for _ in range(3):
        buffer = SavedBuffer(torch.zeros(1), 5000)
        addresses.add(buffer.tensor.data_ptr())
        del buffer
    assert len(addresses) == len(SavedBuffer._store) == 1
    assert SavedBuffer(torch.zeros(1).double(), 5000).tensor.dtype == torch.float64


def test_a_buffer_that_nobody_asked_for_in_a_minute_is_dropped(monkeypatch):
    monkeypatch.setattr(SavedBuffer, "_store", [])
    SavedBuffer(torch.zeros(1), 300)
    assert [spare.nbytes for spare in SavedBuffer._store] == [1200]
    SavedBuffer._store[0].since -= SavedBuffer.IDLE + 1
    SavedBuffer(torch.zeros(1), 400)
    assert [spare.nbytes for spare in SavedBuffer._store] == [1600]


def test_buffers_that_threads_take_and_give_back_belong_to_one_at_a_time(monkeypatch):
    monkeypatch.setattr(SavedBuffer, "_store", [])
    clashes = []

    def use(number):
        for _ in range(300):
            buffer = SavedBuffer(torch.zeros(1), 10)
            buffer.tensor.fill_(number)
            if not bool((buffer.tensor == number).all()):
                clashes.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
    addresses = [spare.tensor.data_ptr() for spare in SavedBuffer._store]
    assert len(set(addresses)) == len(addresses) >= 1
