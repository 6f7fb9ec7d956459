"""Drawn tasks: even and irregular sampling, missing samples, other speeds."""

import numpy as np
import pytest

from torchliquid.bench.tasks.attractors import SYSTEMS, Attractor
from torchliquid.bench.tasks.signal_task import article_task, attractor_task, sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind, SumOfSines
from torchliquid.errors import TorchliquidError

SIGNAL = SumOfSines(((1.0, 1.0), (0.5, 2.5)), 0.0, 200, 150, 20.0)


def sines(t):
    return np.sin(t) + 0.5 * np.sin(2.5 * t)


def test_irregular_times_tell_when_each_sample_was_taken():
    task = article_task(SIGNAL, 2, 0, sampling="irregular")
    t = np.cumsum(task.dt, dtype=np.float64) - task.dt[0]
    np.testing.assert_allclose(task.inputs[0, :, 0], sines(t), atol=1e-3)
    np.testing.assert_allclose(task.targets[0], sines(t + SIGNAL.interval), atol=1e-3)
    assert task.dt[0] == pytest.approx(SIGNAL.interval)
    assert task.dt.std() > 0.05
    assert task.spec["sampling"] == "irregular"
    fast = task.faster(2.0)  # the clock goes as it did, the signal twice as fast
    np.testing.assert_allclose(fast.dt, task.dt, rtol=1e-5)
    slow = t[150] + 2 * (t[150:] - t[150])
    np.testing.assert_allclose(fast.inputs[0, 150:, 0], sines(slow), atol=1e-3)
    np.testing.assert_allclose(fast.targets[0, 150:], sines(slow + 0.2), atol=1e-3)
    np.testing.assert_array_equal(fast.inputs[0, :151], task.inputs[0, :151])


def test_noise_of_sample_and_target():
    task = article_task(SumOfSines(sigma=0.3, steps=4000, train=3000), 1, 0, sampling="irregular")
    off = task.targets - task.clean
    assert off.std() == pytest.approx(0.3, rel=0.05)
    even = article_task(SumOfSines(sigma=0.3), 1, 0)
    np.testing.assert_array_equal(even.targets[:, :-1], even.inputs[:, 1:, 0])


@pytest.mark.parametrize("sampling", ["even", "irregular"])
def test_missing_samples(sampling):
    whole = article_task(SIGNAL, 30, 0, sampling=sampling)
    task = article_task(SIGNAL, 30, 0, sampling=sampling, missing=0.3)
    assert np.isnan(task.targets).mean() == pytest.approx(0.3, abs=0.03)
    x = task.inputs[..., 0]
    held = x[:, 1:] == x[:, :-1]
    assert held.mean() == pytest.approx(0.3, abs=0.03)
    assert np.isfinite(x).all()
    there = np.concatenate([np.ones((30, 1), dtype=bool), ~held], axis=1)
    np.testing.assert_array_equal(x[there], whole.inputs[..., 0][there])
    if sampling == "even":  # the sample that is missing is the target that is missing
        np.testing.assert_array_equal(np.isnan(task.targets[:, :-1]), held)
    assert task.spec["missing"] == 0.3


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("sampling", ["even", "irregular"])
def test_attractors(name, sampling):
    signal = Attractor(name, sigma=0.0, steps=60, train=40)
    task = attractor_task(signal, 3, 0, sampling=sampling)
    assert task.inputs.shape == (3, 60, 1)
    if sampling == "even":
        assert task.dt == 1.0
        np.testing.assert_array_equal(task.targets[:, :-1], task.inputs[:, 1:, 0])
    else:
        assert task.dt.mean() == pytest.approx(1.0, abs=0.25)
    assert np.ptp(task.inputs[:, 0, 0]) > 0.01  # each lane starts somewhere else
    again = attractor_task(signal, 3, 0, sampling=sampling)
    assert again.spec == task.spec
    assert attractor_task(signal, 3, 1, sampling=sampling).spec != task.spec
    few = attractor_task(signal, 2, 0, sampling=sampling)
    np.testing.assert_array_equal(few.inputs, task.inputs[:2])
    assert not task.is_articles


def kind(rng, steps=300):
    """The kind as it was defined: do not change it, the planned comparisons rest on it."""

    def lu(a, b):
        return np.exp(rng.uniform(np.log(a), np.log(b)))

    w1 = lu(0.7, 1.4)
    w2 = w1 * lu(2, 5)
    am, ws = [1.0, rng.uniform(0.3, 0.6)], [w1, w2]
    if rng.random() < 0.75:
        am.append(rng.uniform(0.1, 0.3))
        ws.append(lu(max(5.0, 1.2 * w2), 13.0))
    ph = rng.uniform(0, 2 * np.pi, len(ws))
    sigma = lu(0.02, 0.05)

    def at(t):
        return sum(a * np.sin(w * t + p) for a, w, p in zip(am, ws, ph, strict=True))

    return at, sigma


def test_the_kind_is_fixed():
    task = sines_task(SinesOfAKind(), 5, 3)
    for lane in range(5):
        rng = np.random.default_rng((3, lane))
        at, sigma = kind(rng)
        t = np.arange(301) * 0.1
        series = at(t) + sigma * rng.standard_normal(301)
        np.testing.assert_allclose(task.inputs[lane, :, 0], series[:-1], atol=1e-6)
        np.testing.assert_allclose(task.targets[lane], series[1:], atol=1e-6)
        np.testing.assert_allclose(task.clean[lane], at(t)[1:], atol=1e-6)
    assert task.spec == {"task": "sines", "steps": 300, "train": 200}


def test_of_a_kind_each_lane_has_times_of_its_own():
    task = sines_task(SinesOfAKind(), 4, 3, sampling="irregular", missing=0.2)
    assert task.dt.shape == (4, 300)
    assert len(np.unique(task.dt[:, 1])) == 4
    for lane in range(4):
        at, sigma = kind(np.random.default_rng((3, lane)))
        t = task.clock(lane) - task.dt[lane, 0]
        np.testing.assert_allclose(task.clean[lane], at(t + 0.1), atol=1e-4)
        seen = task.observed[lane]
        noise = task.inputs[lane, seen, 0] - at(t[seen])
        assert noise.std() == pytest.approx(sigma, rel=0.3)
    assert task.timed_inputs().shape == (4, 300, 2)
    np.testing.assert_allclose(np.median(task.timed_inputs()[:, :200, 1], axis=1), 0, atol=0.01)
    few = sines_task(SinesOfAKind(), 2, 3, sampling="irregular", missing=0.2)
    np.testing.assert_array_equal(few.dt, task.dt[:2])
    np.testing.assert_array_equal(few.inputs, task.inputs[:2])
    fast = task.faster(2.0)
    np.testing.assert_allclose(fast.dt, task.dt, rtol=1e-5)


def test_sines_that_sway():
    plain, amplitude, frequency = (
        sines_task(SinesOfAKind(varying=name), 40, 3) for name in ("none", "amplitude", "frequency")
    )
    assert amplitude.spec["varying"] == "amplitude"
    swings = [task.clean.reshape(40, 5, 60).std(axis=2) for task in (plain, amplitude)]
    unlike = [np.median(swing.max(axis=1) / swing.min(axis=1)) for swing in swings]
    assert unlike[1] > 1.3 * unlike[0]
    assert np.abs(amplitude.clean).max() <= 1.5 * 1.9
    # a frequency within a tenth of its own: the turns of the first sine, counted by its crossings
    turns = [(np.diff(np.sign(task.clean), axis=1) != 0).sum(axis=1) for task in (plain, frequency)]
    assert np.median(np.abs(turns[1] / turns[0] - 1)) < 0.2
    assert (np.abs(frequency.clean - plain.clean).max(axis=1) > 0.1).all()
    with pytest.raises(TorchliquidError, match="varying is 'phase'"):
        SinesOfAKind(varying="phase")


def test_refused():
    for given, said in (
        ({"sampling": "odd"}, "sampling is 'odd'"),
        ({"missing": 1.0}, "missing is 1.0"),
        ({"missing": -0.1}, "missing is -0.1"),
        ({"missing": True}, "missing is True"),
    ):
        with pytest.raises(TorchliquidError, match=said):
            article_task(SumOfSines(), 1, 0, **given)
        with pytest.raises(TorchliquidError, match=said):
            attractor_task(Attractor("lorenz"), 1, 0, **given)
        with pytest.raises(TorchliquidError, match=said):
            sines_task(SinesOfAKind(), 1, 0, **given)
