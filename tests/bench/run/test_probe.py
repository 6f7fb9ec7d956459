"""Planted jumps and spikes: on layers whose every time constant is known beforehand."""

import dataclasses

import numpy as np
import pytest
import torch

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run import probe as module
from torchliquid.bench.run.probe import AFTER, BEFORE, JUMP, SPIKE, probe
from torchliquid.bench.run.training import train
from torchliquid.bench.tasks.signal_task import sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind
from torchliquid.nn import Pack

EVENTS = ("jump_up", "jump_down", "spike_up", "spike_down")
LTC_2 = find(["LTC-2"])[0]


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, dtype=np.float64)))


def drawn(task, lanes=2, model=LTC_2):
    return Pack(lambda seed: model.build(task), range(lanes))


def made(task, weights, bias=0.3, lanes=2):
    """A pack of two neurons a lane whose gate is sigmoid(w u + b): the state has no say."""
    pack = drawn(task, lanes)
    with torch.no_grad():
        pack.layer["weight_ih_l0"][:] = torch.tensor(weights).unsqueeze(-1)
        pack.layer["weight_hh_l0"].zero_()
        pack.layer["bias_l0"].fill_(bias)
    return pack


def taus(pack):
    return torch.nn.functional.softplus(pack.layer["raw_tau_l0"]).detach().double().numpy()


def expected_tau_sys(pack, u, weights, bias=0.3):
    """Mean over neurons of tau / (1 + tau f), for one input value; one number a lane."""
    tau = taus(pack)
    gate = sigmoid(np.array(weights) * u + bias)
    return (tau / (1 + tau * gate)).mean(axis=1)


def steady(small, level=0.4):
    """The training input moves, the test input stands still."""
    task = small(lanes=2, steps=120, train=60)
    inputs = task.inputs.copy()
    inputs[:, 60:] = level
    return dataclasses.replace(task, inputs=inputs)


# --- exact amounts ----------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [-1, 1])
def test_tau_sys_moves_by_the_exact_amount(small, sign):
    task = steady(small)
    weights = [[sign * 1.0, sign * 2.0], [sign * 0.5, sign * 0.1]]
    pack = made(task, weights)
    arrays, facts = probe(task, LTC_2, pack, seed=0, lane=1)
    size = float(torch.from_numpy(task.inputs[:, :60, 0]).std())
    calm = expected_tau_sys(pack, 0.4, weights)
    for event, height in zip(EVENTS, (JUMP, -JUMP, SPIKE, -SPIKE), strict=True):
        moved = expected_tau_sys(pack, 0.4 + height * size, weights)
        wanted = np.repeat(calm[:, None], BEFORE + AFTER, axis=1)
        end = BEFORE + AFTER if event.startswith("jump") else BEFORE + 1
        wanted[:, BEFORE:end] = moved[:, None]
        np.testing.assert_allclose(arrays[f"probe_{event}"], wanted, rtol=1e-5)
        # a gate that falls with the input lets tau_sys rise as the input jumps up
        assert (np.sign(moved - calm) == -sign * np.sign(height)).all()
    np.testing.assert_allclose(
        arrays["probe_control"], np.repeat(calm[:, None], BEFORE + AFTER, axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(arrays["tau"], taus(pack), rtol=1e-6)
    assert facts["probe_places"] == 120 - 60 - BEFORE - AFTER + 1  # all that fit


def test_lowest_share_is_the_lowest_of_probes_and_demonstration(small):
    task = steady(small)
    task.inputs[:, 48] = 2.0  # where the demonstration plants a spike, and no probe looks
    weights = [[1.0, 2.0], [0.5, 0.1]]
    pack = made(task, weights)
    arrays, _ = probe(task, LTC_2, pack, seed=0, lane=1)
    size = float(torch.from_numpy(task.inputs[:, :60, 0]).std())
    tau = taus(pack)

    def shares(u):
        return (1 / (1 + tau * sigmoid(np.array(weights) * u + 0.3))).min(axis=1)

    spike, demo = shares(0.4 + SPIKE * size), shares(2.0 + SPIKE * size)
    assert (demo < spike).all()
    # lane 1 is the one shown: for it the demonstration counts as well, for lane 0 it does not
    np.testing.assert_allclose(arrays["lowest_share"], [spike[0], demo[1]], rtol=1e-5)


def test_lowest_share_stays_within_the_papers_bounds(small):
    task, protocol = small(lanes=3, steps=120, train=60), Protocol(3, 30, 0.05)
    pack = train(task, LTC_2, protocol).pack
    arrays, _ = probe(task, LTC_2, pack, seed=0, lane=0)
    lowest, tau = arrays["lowest_share"], arrays["tau"]
    assert (lowest > 1 / (1 + tau.max(axis=1))).all()
    assert (lowest < 1).all()


def test_smooth_contrast_of_a_constructed_input(small):
    task = small(lanes=2, steps=120, train=60)
    inputs = task.inputs.copy()
    inputs[:, 60:] = 0.5
    inputs[:, 100::2], inputs[:, 101::2] = 2.0, -1.0  # the last third of the test steps moves
    task = dataclasses.replace(task, inputs=inputs)
    inputs[:, 59] = 0.5  # the step before: the first test step stands still too
    weights = [[1.0, 2.0], [-0.5, -0.1]]
    pack = made(task, weights)
    arrays, _ = probe(task, LTC_2, pack, seed=0, lane=0)
    slow = expected_tau_sys(pack, 0.5, weights)
    fast = (expected_tau_sys(pack, 2.0, weights) + expected_tau_sys(pack, -1.0, weights)) / 2
    np.testing.assert_allclose(arrays["smooth_contrast"], slow / fast - 1, rtol=1e-4)


def test_smooth_contrast_is_judged_lane_by_lane(small):
    task = small(lanes=2, steps=120, train=60)
    inputs = task.inputs.copy()
    inputs[:, 59:] = 0.5
    inputs[0, 100::2], inputs[0, 101::2] = 2.0, -1.0
    inputs[1, 60:80:2], inputs[1, 61:80:2] = 2.0, -1.0  # the other lane moves at another time
    inputs[1, 80] = 0.7  # a larger step than the one at 60: the twentieth of the fastest twenty
    task = dataclasses.replace(task, inputs=inputs)
    weights = [[1.0, 2.0], [1.0, 2.0]]
    pack = made(task, weights)
    found = probe(task, LTC_2, pack, seed=0, lane=0)[0]["smooth_contrast"]
    moving = [[2.0, -1.0], [-1.0] * 10 + [2.0] * 9 + [0.7]]
    for lane in range(2):
        slow, *fast = [expected_tau_sys(pack, u, weights)[lane] for u in (0.5, *moving[lane])]
        assert found[lane] == pytest.approx(slow / np.mean(fast) - 1, rel=1e-4)


# --- the control is the plain run -------------------------------------------------------------


def windows(along, places):
    return np.mean([along[:, p - BEFORE : p + AFTER] for p in places], axis=0)


@pytest.mark.parametrize(
    ("steps", "train", "places"),
    [
        (120, 60, range(60 + BEFORE, 120 - AFTER + 1)),  # all that fit into the test stretch
        (60, 40, range(BEFORE, 60 - AFTER + 1)),  # too short a test stretch: anywhere
        (30, 20, range(BEFORE, BEFORE + 1)),  # the shortest task there is
    ],
)
def test_control_is_the_plain_run_at_the_same_places(small, steps, train, places):
    task = small(lanes=3, steps=steps, train=train)
    pack = drawn(task, lanes=3)
    arrays, facts = probe(task, LTC_2, pack, seed=0, lane=0)
    along = pack.time_constants(torch.from_numpy(task.inputs)[:, None])[:, 0].mean(dim=2).numpy()
    np.testing.assert_allclose(arrays["probe_control"], windows(along, places), rtol=1e-5)
    assert facts["probe_places"] == len(places)


def test_control_with_irregular_time_and_shared_data(table):
    task = table(steps=200, train=80, valid=40)
    pack = drawn(task, lanes=3)
    arrays, facts = probe(task, LTC_2, pack, seed=0, lane=2)
    x, dt = torch.from_numpy(task.inputs), torch.from_numpy(task.dt)[None]
    along = pack.time_constants(x, dt=dt)[:, 0].mean(dim=2).numpy()
    places = range(120 + BEFORE, 200 - AFTER + 1)
    np.testing.assert_allclose(arrays["probe_control"], windows(along, places), rtol=1e-5)
    assert facts["demo_interval"] == pytest.approx(float(np.median(task.dt)))


def test_places_lie_in_the_test_stretch_and_follow_the_seed(small):
    task = small(lanes=2, steps=300, train=100)
    inputs = task.inputs.copy()
    inputs[:, 100:] = 0.4
    inputs[:, 100:, 0] += np.linspace(0, 0.1, 200, dtype=np.float32)  # so that places differ
    task = dataclasses.replace(task, inputs=inputs)
    weights = [[1.0, 2.0], [0.5, 0.1]]
    pack = made(task, weights)
    found = [probe(task, LTC_2, pack, seed, 0) for seed in (0, 0, 1)]
    control = [arrays["probe_control"] for arrays, _ in found]
    np.testing.assert_array_equal(control[0], control[1])
    assert np.abs(control[0] - control[2]).max() > 1e-5
    assert [facts["probe_places"] for _, facts in found] == [64, 64, 64]
    ends = np.sort([expected_tau_sys(pack, u, weights) for u in (0.4, 0.5)], axis=0)
    assert (control[0] > ends[0][:, None]).all()  # a single training step would be far off
    assert (control[0] < ends[1][:, None]).all()


# --- events -----------------------------------------------------------------------------------


def test_events_change_nothing_before_they_happen(small):
    task = small(lanes=3, steps=120, train=60)
    arrays, _ = probe(task, LTC_2, drawn(task, lanes=3), seed=0, lane=0)
    control = arrays["probe_control"]
    for event in EVENTS:
        found = arrays[f"probe_{event}"]
        assert found.shape == (3, BEFORE + AFTER)
        np.testing.assert_array_equal(found[:, :BEFORE], control[:, :BEFORE])
        assert (found[:, BEFORE] != control[:, BEFORE]).all()


def test_events_concern_the_target_alone(table):
    task = dataclasses.replace(table(steps=200, train=80, valid=40), dt=0.1)
    pack = made(task, [[0.0, 0.0], [0.0, 0.0]])
    with torch.no_grad():
        pack.layer["weight_ih_l0"][..., 1] = 1.0  # the gate sees only the other feature
        pack.layer["weight_ih_l0"][..., 0] = 0.0
    arrays, _ = probe(task, LTC_2, pack, seed=0, lane=0)
    for event in EVENTS:
        np.testing.assert_array_equal(arrays[f"probe_{event}"], arrays["probe_control"])


def test_demonstration_is_a_lanes_run_over_a_planted_input(small):
    task = small(lanes=3, steps=420, train=200)
    pack = drawn(task, lanes=3)
    arrays, facts = probe(task, LTC_2, pack, seed=0, lane=2)
    planted = np.zeros(module.DEMO_STEPS)
    size = float(torch.from_numpy(task.inputs[:, :200, 0]).std())
    for event in facts["demo_events"]:
        end = None if event["kind"] == "jump" else event["step"] + 1
        planted[event["step"] : end] += event["size"]
        height = JUMP if event["kind"] == "jump" else SPIKE
        assert abs(event["size"]) == pytest.approx(height * size)
    np.testing.assert_allclose(
        arrays["demo_input"], task.inputs[2, -module.DEMO_STEPS :, 0] + planted, atol=1e-6
    )
    kinds = [(event["kind"], np.sign(event["size"])) for event in facts["demo_events"]]
    assert set(kinds) == {("jump", 1), ("jump", -1), ("spike", 1), ("spike", -1)}
    jumps = [event["size"] for event in facts["demo_events"] if event["kind"] == "jump"]
    assert sum(jumps) == pytest.approx(0)  # each lasts until the next opposite one
    assert facts["demo_lane"] == 2
    assert facts["demo_interval"] == pytest.approx(task.dt)
    x = torch.from_numpy(arrays["demo_input"])[None, :, None]
    along = pack.time_constants(x)[2, 0].numpy()
    np.testing.assert_allclose(arrays["demo_tau_sys"], along, rtol=1e-5)


def test_the_plain_picture_is_the_test_stretch_with_nothing_planted(small):
    task = small(lanes=3)
    pack = drawn(task, lanes=3)
    arrays, _ = probe(task, LTC_2, pack, seed=0, lane=1)
    x = torch.from_numpy(task.inputs[1])[None]
    along = pack.time_constants(x)[1, 0, 40:].numpy()
    np.testing.assert_allclose(arrays["plain_tau_sys"], along, rtol=1e-5)


def test_planted_events_stay_above_zero_where_the_column_does(small):
    task = dataclasses.replace(
        small(lanes=1, steps=420, train=200), clean=None, scale=2.0, offset=4.0
    )
    assert (task.inputs * 2 + 4).min() >= 0
    arrays, facts = probe(task, LTC_2, drawn(task, lanes=1), seed=0, lane=0)
    planted = arrays["demo_input"] * 2 + 4
    assert planted.min() == pytest.approx(0, abs=1e-5)  # a jump down reached it
    assert any(abs(event["size"]) < JUMP * 0.9 for event in facts["demo_events"])
    below = dataclasses.replace(task, offset=0.0)
    arrays, _ = probe(below, LTC_2, drawn(below, lanes=1), seed=0, lane=0)
    assert (arrays["demo_input"] * 2).min() < -2


def test_a_short_task_is_demonstrated_whole(small):
    task = small(lanes=2)
    arrays, facts = probe(task, LTC_2, drawn(task), seed=0, lane=0)
    assert arrays["demo_input"].shape == (60,)
    assert arrays["demo_tau_sys"].shape == (60, 2)
    steps = [event["step"] for event in facts["demo_events"]]
    assert steps == sorted(set(steps))


def test_data_and_pack_are_left_as_they_were(small):
    task = small(lanes=2, steps=120, train=60)
    pack, inputs = drawn(task), task.inputs.copy()
    weights = {name: p.detach().clone() for name, p in pack.named_parameters()}
    probe(task, LTC_2, pack, seed=0, lane=0)
    np.testing.assert_array_equal(task.inputs, inputs)
    for name, value in weights.items():
        assert torch.equal(pack.get_parameter(name), value)


def test_a_lane_that_diverged_spoils_no_other(small):
    task = small(lanes=3, steps=120, train=60)
    pack = drawn(task, lanes=3)
    whole, _ = probe(task, LTC_2, pack, seed=0, lane=0)
    with torch.no_grad():
        for parameter in pack.parameters():
            parameter[1] = torch.nan
    broken, _ = probe(task, LTC_2, pack, seed=0, lane=0)
    for name in ("tau", "lowest_share", "smooth_contrast", *(f"probe_{e}" for e in EVENTS)):
        np.testing.assert_allclose(broken[name][[0, 2]], whole[name][[0, 2]], rtol=1e-6)
        assert np.isnan(broken[name][1]).all()


def test_only_liquid_networks_have_time_constants(small):
    task, model = small(lanes=2), find(["LSTM-2"])[0]
    with pytest.raises(TypeError, match="LSTM"):
        probe(task, model, drawn(task, model=model), seed=0, lane=0)


def test_lanes_with_times_of_their_own_are_probed_by_themselves():
    task = sines_task(SinesOfAKind(150, 60), 2, 0, sampling="irregular")
    task = dataclasses.replace(task, dt_scale=np.array([1.0, 3.0]))
    pack = drawn(task)
    for lane in range(2):
        arrays, facts = probe(task, LTC_2, pack, 0, lane)
        alone = Pack(lambda seed: pack.lane(seed), [lane])
        own = dataclasses.replace(
            task,
            inputs=task.inputs[lane : lane + 1],
            targets=task.targets[lane : lane + 1],
            dt=task.dt[lane],
            dt_scale=float(task.dt_scale[lane]),
        )
        expected, own_facts = probe(own, LTC_2, alone, 0, 0)
        assert facts["demo_interval"] == pytest.approx(own_facts["demo_interval"])
        for name in ("tau", "smooth_contrast"):
            np.testing.assert_allclose(arrays[name][lane], expected[name][0], rtol=1e-4)
        np.testing.assert_allclose(arrays["plain_tau_sys"], expected["plain_tau_sys"], rtol=1e-4)
