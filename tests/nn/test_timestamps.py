import numpy as np
import pandas as pd
import pytest
import torch

import torchliquid as tl
from torchliquid import TorchliquidError, dt_from_timestamps


@pytest.mark.parametrize("dim", [-1, 1, 0])
def test_intervals_are_differences_along_time(dim):
    t = torch.tensor([[1.0, 2.0, 4.0], [5.0, 5.5, 9.0]], dtype=torch.float64)
    given = t if dim else t.T
    dt = dt_from_timestamps(given, first=0.25, dim=dim)
    assert dt.dtype == torch.float64
    expected = torch.tensor([[0.25, 1, 2], [0.25, 0.5, 3.5]], dtype=torch.float64)
    assert torch.equal(dt if dim else dt.T, expected)


def test_as_many_rows_as_samples_is_no_riddle():
    t = torch.cumsum(torch.ones(3, 3), dim=1) * torch.tensor([[1.0], [2.0], [3.0]])
    assert torch.equal(dt_from_timestamps(t, first=1)[:, 1:], t[:, 1:] - t[:, :-1])


def test_the_first_interval_is_the_median_of_those_that_are_longer_than_0():
    t = [0.0, 1.0, 3.0, 3.5, 3.5, 3.5]  # padded
    assert dt_from_timestamps(np.array(t)).tolist() == [1.0, 1.0, 2.0, 0.5, 0.0, 0.0]


def test_fractions_of_large_stamps_are_kept():
    start = 1_790_000_000.0
    t = torch.tensor([start, start + 0.125, start + 0.5], dtype=torch.float64)
    assert dt_from_timestamps(t, dtype=torch.float32, first=1).tolist() == [1, 0.125, 0.375]
    whole = torch.tensor([2**53, 2**53 + 1, 2**53 + 3])
    assert dt_from_timestamps(whole, first=1).tolist() == [1, 1, 2]


DATES = ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T07:30"]


@pytest.mark.parametrize(
    "t",
    [
        np.array(DATES, dtype="datetime64[m]"),
        np.array(DATES, dtype="datetime64[ns]"),
        pd.DatetimeIndex(DATES),
        pd.Series(pd.DatetimeIndex(DATES)),
        pd.DatetimeIndex(DATES).tz_localize("UTC"),
        # Berlin's clocks go from 2 to 3 o'clock in between
        pd.DatetimeIndex(DATES).tz_localize("UTC").tz_convert("Europe/Berlin"),
        pd.Series(pd.DatetimeIndex(DATES).tz_localize("UTC").tz_convert("Europe/Berlin")),
    ],
)
def test_dates_of_every_kind(t):
    assert dt_from_timestamps(t, first=2, unit="h").tolist() == [2, 1, 6]
    assert dt_from_timestamps(t, first=0, unit="D")[1:].tolist() == pytest.approx([1 / 24, 1 / 4])


def test_the_result_is_what_a_layer_takes():
    layer = tl.LTC(2, 3, batch_first=True)
    x, gaps = torch.randn(4, 4, 2), torch.rand(4, 4) + 0.1
    dt = dt_from_timestamps(gaps.cumsum(1), first=0.5)
    gaps[:, 0] = 0.5
    torch.testing.assert_close(layer(x, dt=dt)[0], layer(x, dt=gaps)[0])


@pytest.mark.parametrize(
    ("t", "options", "words"),
    [
        (torch.tensor([2.0, 1.0]), {}, r"backwards.*\(0,\)"),
        (torch.tensor([1.0, float("nan")]), {}, "not finite"),
        (torch.tensor(1.0), {}, "at least one sample"),
        (torch.zeros(2, 0), {}, "at least one sample"),
        (torch.tensor([1.0, 2.0]), {"dim": 1}, "along dimension 1"),
        (torch.tensor([1.0]), {}, "give first"),
        (torch.tensor([1.0, 1.0]), {}, "give first"),
        (torch.tensor([1.0, 2.0]), {"first": -1}, "not negative"),
        (torch.tensor([1.0, 2.0]), {"unit": "s"}, "leave it out"),
        (torch.tensor([1.0, 1.0]), {"unit": "median", "first": 1}, "no interval of t is longer"),
        (torch.tensor([True, False]), {}, "holds bool"),
        (["a", "b"], {}, "expected a tensor"),
        (np.array(DATES, dtype="datetime64[m]"), {}, "give unit"),
        (np.array(DATES, dtype="datetime64[m]"), {"unit": "M"}, "of a fixed length"),
        (np.array(DATES, dtype="datetime64[m]"), {"unit": "x"}, "of a fixed length"),
        (np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"), {"unit": "s"}, "NaT"),
    ],
)
def test_bad_times_are_said(t, options, words):
    with pytest.raises(TorchliquidError, match=words):
        dt_from_timestamps(t, **options)


@pytest.mark.parametrize("kind", ["numbers", "dates"])
def test_the_median_gap_as_the_unit(kind):
    seconds = np.array([[5, 65, 65, 305], [0, 60, 120, 120]])
    t = seconds.astype("M8[s]") if kind == "dates" else torch.from_numpy(seconds).float()
    dt = dt_from_timestamps(t, unit="median")
    assert dt.tolist() == [[1, 1, 0, 4], [1, 1, 1, 0]]
    assert dt_from_timestamps(t, first=2, unit="median")[:, 0].tolist() == [2, 2]
