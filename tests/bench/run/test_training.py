"""Training a pack: each lane as if alone, the right windows, the best epoch, and no look ahead."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run import training
from torchliquid.bench.run.training import looks_of, train
from torchliquid.bench.run.windows import inputs_for, predict, training_windows
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.errors import TorchliquidError

NETWORKS = ("LTC-8", "LTC-8-euler", "LSTM-4", "GRU-4")


def network(name):
    return find([name])[0]


def weights_of(trained):
    return {name: p.detach().numpy().copy() for name, p in trained.pack.named_parameters()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def alone(task, model, protocol, lane):
    """One lane as a person would train it: an ordinary model, window by window."""
    torch.manual_seed(protocol.weight_seeds()[lane])
    single = model.build(task)
    optimiser = torch.optim.Adam(single.parameters(), lr=protocol.learning_rate)
    liquid, irregular = model.kind == "liquid", isinstance(task.dt, np.ndarray)
    inputs = task.inputs if liquid else task.timed_inputs()
    x = torch.from_numpy(inputs[lane % len(inputs)])
    y = torch.from_numpy(task.targets[lane % len(task.targets)])
    length = task.window or task.train
    for _ in range(protocol.epochs):
        optimiser.zero_grad()
        errors = []
        for start in range(0, task.train, length):
            part = slice(start, min(start + length, task.train))
            dt = torch.from_numpy(task.dt[part]) if liquid and irregular else None
            errors.append(single(x[part], dt=dt)[0][:, 0] - y[part])
        error = torch.cat(errors)
        error[~error.isnan()].square().mean().backward()
        optimiser.step()
    return single


# --- a lane equals its seed alone -------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_lane_equals_its_seed_trained_alone(small, name):
    task, model = small(lanes=2, steps=42, train=30), network(name)
    protocol = Protocol(2, 50, 0.01, 3)
    trained = train(task, model, protocol)
    for lane in range(2):
        single = alone(task, model, protocol, lane)
        found = trained.pack.lane(lane).state_dict()
        start = model_at_start(task, model, protocol, lane)
        for key, value in single.state_dict().items():
            torch.testing.assert_close(found[key], value, atol=1e-6, rtol=0, msg=key)
        assert (single.readout.weight - start.readout.weight).abs().max() > 0.05  # it did train


def model_at_start(task, model, protocol, lane):
    torch.manual_seed(protocol.weight_seeds()[lane])
    return model.build(task)


@pytest.mark.parametrize("name", ["LTC-2", "LSTM-2"])
def test_windows_gaps_and_irregular_time_train_as_alone(table, name):
    # no validation part: the last epoch's weights are those that a plain loop ends with
    task, model, protocol = table(valid=0), network(name), Protocol(2, 20)
    trained = train(task, model, protocol)
    for lane in range(2):
        found = trained.pack.lane(lane).state_dict()
        for key, value in alone(task, model, protocol, lane).state_dict().items():
            torch.testing.assert_close(found[key], value, atol=1e-6, rtol=0, msg=key)


def test_a_lane_does_not_depend_on_how_many_there_are(small):
    model = network("LTC-2")
    few = train(small(lanes=2), model, Protocol(2, 15))
    many = train(small(lanes=4), model, Protocol(4, 15))
    for key, value in few.pack.lane(1).state_dict().items():
        torch.testing.assert_close(many.pack.lane(1).state_dict()[key], value, atol=1e-6, rtol=0)


def test_a_lane_that_explodes_touches_no_other(small):
    task, model, protocol = small(lanes=3), network("LTC-2-euler"), Protocol(3, 10)
    whole = train(task, model, protocol)
    targets = task.targets.copy()
    targets[1, 7] = np.inf  # as are its loss and gradients
    broken = train(dataclasses.replace(task, targets=targets), model, protocol)
    assert not np.isfinite(weights_of(broken)["readout.weight"][1]).all()
    for lane in (0, 2):
        for key, value in whole.pack.lane(lane).state_dict().items():
            assert torch.equal(broken.pack.lane(lane).state_dict()[key], value), key


def test_lanes_start_from_seeds_of_their_own():
    seeds = Protocol(lanes=50, seed=0).weight_seeds()
    assert len(set(seeds)) == 50
    assert seeds[:3] == Protocol(lanes=3, seed=0, epochs=1).weight_seeds()
    assert not set(seeds) & set(Protocol(lanes=50, seed=1).weight_seeds())


def test_training_again_gives_the_same(small):
    task, model, protocol = small(lanes=2), network("GRU-4"), Protocol(2, 5)
    assert_same(weights_of(train(task, model, protocol)), weights_of(train(task, model, protocol)))


# --- windows ----------------------------------------------------------------------------------


def test_one_window_is_the_training_stretch(small):
    task = small(lanes=3)
    x, target, dt = training_windows(task, network("LTC-2"))
    assert torch.equal(x, torch.from_numpy(task.inputs)[:, None, :40])
    assert torch.equal(target, torch.from_numpy(task.targets)[:, None, :40])
    assert dt is None


def test_windows_of_shared_data(table):
    task = table(train=50, window=16)
    x, target, dt = training_windows(task, network("LTC-2"))
    assert (x.shape, target.shape, dt.shape) == ((4, 16, 2), (4, 16), (4, 16))
    np.testing.assert_array_equal(x.flatten(0, 1)[:50], task.inputs[0, :50])
    np.testing.assert_array_equal(target.flatten()[:50], task.targets[0, :50])
    np.testing.assert_array_equal(dt.flatten()[:50], task.dt[:50])
    assert target.flatten()[50:].isnan().all()
    assert (x.flatten(0, 1)[50:] == x[-1, 1]).all()  # the last step of the stretch
    assert (dt.flatten()[50:] > 0).all()


def test_windows_of_every_lanes_own_data(small):
    task = dataclasses.replace(small(lanes=3), window=9)
    x, target, dt = training_windows(task, network("LSTM-2"))
    assert (x.shape, target.shape, dt) == ((3, 5, 9, 1), (3, 5, 9), None)
    for lane in range(3):
        np.testing.assert_array_equal(x[lane].flatten()[:40], task.inputs[lane, :40, 0])
        np.testing.assert_array_equal(target[lane].flatten()[:40], task.targets[lane, :40])
        assert target[lane].flatten()[40:].isnan().all()


@pytest.mark.parametrize("window", [25, 50, 51, 1000, None])
def test_windows_that_need_no_filling(table, window):
    _, target, _ = training_windows(table(train=50, window=window), network("LTC-2"))
    length = min(window or 50, 50)
    assert target.shape == (50 // length, length)
    assert int(target.isnan().sum()) == 2  # the table's own gaps


def test_other_models_get_time_as_a_feature_in_their_windows(table):
    task = table(train=48, window=16)
    x, _, dt = training_windows(task, network("GRU-2"))
    assert dt is None
    np.testing.assert_array_equal(x.flatten(0, 1), task.timed_inputs()[0, :48])


# --- the best epoch ---------------------------------------------------------------------------


def overfitting(table):
    """Training teaches the opposite of what validation asks for: the best epoch comes early."""
    task = table(dt=0.1)
    targets = task.targets.copy()
    targets[0, :50] *= -1
    return dataclasses.replace(task, targets=targets)


def valid_errors(task, model, pack):
    """Each stretch of a window's length from a state that ran over the window before it."""
    x, end, errors = torch.from_numpy(task.inputs[0]), task.train + task.valid, []
    for lane in range(len(pack)):
        found = []
        for start in range(task.train, end, task.window):
            stop = min(start + task.window, end)
            with torch.no_grad():
                y = pack.lane(lane)(x[start - task.window : stop])[0][task.window :, 0]
            found.append(y.numpy() - task.targets[0, start:stop])
        errors.append(np.mean(np.concatenate(found).astype(np.float64) ** 2))
    return np.array(errors)


def test_each_lane_keeps_the_weights_of_its_best_epoch(table):
    task, model = overfitting(table), network("LSTM-2")
    protocol = Protocol(lanes=5, epochs=30, learning_rate=0.03)
    trained = train(task, model, protocol)
    curve, chosen = trained.curves["curve_valid"], trained.curves["chosen_epoch"]
    looks = trained.curves["curve_epoch"]
    assert looks.tolist() == looks_of(30)
    assert chosen.tolist() == looks[curve.argmin(axis=0)].tolist()
    assert len(set(chosen.tolist())) > 1
    assert chosen.max() < 30
    np.testing.assert_allclose(
        valid_errors(task, model, trained.pack), curve.min(axis=0), rtol=1e-6
    )
    assert (curve.min(axis=0) < curve[-1]).all()


def test_best_weights_are_those_that_fewer_epochs_would_end_with(table):
    task, model = overfitting(table), network("LSTM-2")
    trained = train(task, model, Protocol(lanes=5, epochs=30, learning_rate=0.03))
    chosen = trained.curves["chosen_epoch"]
    lane = int(chosen.argmax())
    assert chosen[lane] > 0
    # without a validation part, training for so many epochs ends at the weights that were kept
    short = Protocol(lanes=5, epochs=int(chosen[lane]), learning_rate=0.03)
    until = train(dataclasses.replace(task, valid=0), model, short)
    for key, value in until.pack.lane(lane).state_dict().items():
        assert torch.equal(trained.pack.lane(lane).state_dict()[key], value), key


def test_without_validation_the_last_epoch_counts(small):
    task, model = small(), network("LTC-2")
    trained = train(task, model, Protocol(3, 12))
    assert set(trained.curves) == {"curve_epoch", "curve_train", "curve_reset", "curve_carry"}
    carry, _ = predict(task, model, trained.pack)
    last = ((carry[:, :40] - task.targets[:, :40]).astype(np.float64) ** 2).mean(axis=1)
    np.testing.assert_allclose(trained.curves["curve_train"][-1], last, rtol=1e-6)


# --- no look ahead ----------------------------------------------------------------------------


@pytest.mark.parametrize("valid", [0, 25])
@pytest.mark.parametrize("name", ["LTC-2", "GRU-2"])
def test_test_data_never_reach_the_weights(table, name, valid):
    task, model, protocol = table(valid=valid), network(name), Protocol(2, 12, 0.05)
    inputs, targets = task.inputs.copy(), task.targets.copy()
    inputs[:, 50 + valid :] *= -900
    targets[:, 50 + valid :] += 1e4
    honest = train(task, model, protocol)
    other = train(dataclasses.replace(task, inputs=inputs, targets=targets), model, protocol)
    assert_same(weights_of(honest), weights_of(other))
    for row in ("curve_train", "curve_valid", "chosen_epoch"):
        if row in honest.curves:
            np.testing.assert_array_equal(honest.curves[row], other.curves[row])
    assert (honest.curves["curve_carry"] != other.curves["curve_carry"]).all()  # it was changed
    targets[:, 20] += 1  # and the last training targets do matter
    learnt = train(dataclasses.replace(task, targets=targets), model, protocol)
    assert (weights_of(honest)["readout.bias"] != weights_of(learnt)["readout.bias"]).any()


def test_validation_targets_choose_but_are_not_learnt(table):
    task, model = table(), network("LSTM-2")
    targets = task.targets.copy()
    targets[:, 50:75] += 100
    one, other = (
        train(t, model, Protocol(2, 8)) for t in (task, dataclasses.replace(task, targets=targets))
    )
    np.testing.assert_array_equal(one.curves["curve_train"], other.curves["curve_train"])
    assert (one.curves["curve_valid"] != other.curves["curve_valid"]).all()


# --- curves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "taken"),
    [(1, [0, 1]), (4, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 5, 9]), (11, [0, 1, 2, 3, 6, 11])],
)
def test_curves_are_taken_by_logarithm_and_at_both_ends(small, monkeypatch, epochs, taken):
    monkeypatch.setattr(training, "EVALUATIONS", 5)
    heard = []
    trained = train(small(), network("GRU-1"), Protocol(3, epochs), heard.append)
    assert trained.curves["curve_epoch"].tolist() == taken
    for name in ("train", "reset", "carry"):
        assert trained.curves[f"curve_{name}"].shape == (len(taken), 3)
    assert heard == sorted(set(heard))
    assert {*taken} - {0} <= {*heard} <= {*range(1, epochs + 1)}
    assert trained.seconds_per_epoch > 0


def test_curves_start_from_the_untrained_network_and_end_with_the_trained(small):
    task, model, protocol = small(), network("LTC-2"), Protocol(3, 10)
    curves = train(task, model, protocol).curves
    for lane in range(3):
        single = model_at_start(task, model, protocol, lane)
        x, y = torch.from_numpy(task.inputs[lane]), task.targets[lane]
        with torch.no_grad():
            carry = single(x)[0][:, 0].numpy()
            reset = single(x[40:])[0][:, 0].numpy()
        for name, prediction, target in (
            ("train", carry[:40], y[:40]), ("carry", carry[40:], y[40:]), ("reset", reset, y[40:]),
        ):  # fmt: skip
            error = np.mean((prediction - target) ** 2)
            assert curves[f"curve_{name}"][0, lane] == pytest.approx(error, rel=1e-4)
    assert (curves["curve_train"][-1] < curves["curve_train"][0]).all()


# --- carried over and reset -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LTC-2", "LTC-2-euler", "LSTM-2", "GRU-2"])
def test_carried_and_reset_predictions_are_what_they_say(small, name):
    task, model = small(lanes=2), network(name)
    pack = train(task, model, Protocol(2, 5)).pack
    carry, reset = predict(task, model, pack)
    assert carry.shape == (2, 60)
    assert reset.shape == (2, 20)
    for lane in range(2):
        single, x = pack.lane(lane), torch.from_numpy(task.inputs[lane])
        with torch.no_grad():
            before, state = single(x[:40])
            after, _ = single(x[40:], state)
            anew, _ = single(x[40:])
        np.testing.assert_allclose(carry[lane], torch.cat([before, after])[:, 0], atol=1e-6)
        np.testing.assert_allclose(reset[lane], anew[:, 0], atol=1e-6)
    assert np.abs(carry[:, 40] - reset[:, 0]).min() > 1e-4


@pytest.mark.parametrize("name", ["LTC-2", "LSTM-2", "GRU-2"])
def test_irregular_time_reaches_a_prediction(table, name):
    task, model = table(), network(name)
    pack = train(task, model, Protocol(2, 3)).pack
    carry, reset = predict(task, model, pack)
    liquid = model.kind == "liquid"
    gaps = torch.from_numpy(task.dt) if liquid else None
    x = torch.from_numpy((task.inputs if liquid else task.timed_inputs())[0])
    for lane in range(2):
        with torch.no_grad():
            whole, _ = pack.lane(lane)(x, dt=gaps)
            anew, _ = pack.lane(lane)(x[75:], dt=None if gaps is None else gaps[75:])
        np.testing.assert_allclose(carry[lane], whole[:, 0], atol=1e-6)
        np.testing.assert_allclose(reset[lane], anew[:, 0], atol=1e-6)
    even = predict(dataclasses.replace(task, dt=np.full_like(task.dt, 0.1)), model, pack)[0]
    assert np.abs(even - carry).max() > 1e-3


def test_inputs_of_shared_and_of_own_data(small, table):
    assert inputs_for(small(lanes=3), network("LTC-2"))[0].shape == (3, 1, 60, 1)
    assert inputs_for(small(lanes=1), network("LTC-2"))[0].shape == (1, 60, 1)
    x, dt = inputs_for(table(), network("LTC-2"))
    assert (x.shape, dt.shape) == ((1, 100, 2), (1, 100))
    x, dt = inputs_for(table(), network("LSTM-2"))
    assert (x.shape, dt) == ((1, 100, 3), None)


def test_one_lane(small):
    task, model = small(lanes=1), network("LTC-2")
    trained = train(task, model, Protocol(1, 3))
    carry, reset = predict(task, model, trained.pack)
    assert (carry.shape, reset.shape) == ((1, 60), (1, 20))
    assert trained.curves["curve_train"].shape == (4, 1)


# --- one prediction from the last state of a window ---------------------------------------------


@pytest.mark.parametrize("name", ["LTC-8-euler", "LSTM-4"])
def test_windows_that_slide_equal_windows_run_one_by_one(name):
    task = article_task(SumOfSines(steps=50, train=30), 2, 0, window=7)
    model, protocol = network(name), Protocol(2, 3, 0.01, 1)
    windows, targets, _ = training_windows(task, model)
    assert windows.shape == (2, 24, 7, 1)
    assert targets[..., :-1].isnan().all()
    for k in (0, 11, 23):
        np.testing.assert_array_equal(windows[1, k, :, 0], task.inputs[1, k : k + 7, 0])
        assert targets[1, k, -1] == task.targets[1, k + 6]
    pack = train(task, model, protocol).pack
    carry, reset = predict(task, model, pack)
    single = pack.lane(1)
    for prediction, first in ((carry, 0), (reset, 30)):
        assert prediction.shape == (2, 50 - first)
        for t in range(first, 50):
            seen = torch.from_numpy(task.inputs[1, max(first, t - 6) : t + 1])
            alone = single(seen)[0][-1, 0].item()
            assert prediction[1, t - first] == pytest.approx(alone, abs=1e-6)


def test_what_lies_before_the_window_does_not_matter():
    task = article_task(SumOfSines(steps=50, train=30), 1, 0, window=5)
    changed = dataclasses.replace(task, inputs=task.inputs.copy())
    changed.inputs[0, :20] = 9.0
    model = network("LTC-8")
    pack = train(task, model, Protocol(1, 1)).pack
    one, other = predict(task, model, pack)[0], predict(changed, model, pack)[0]
    np.testing.assert_array_equal(one[0, 24:], other[0, 24:])
    assert (one[0, :24] != other[0, :24]).all()


@pytest.mark.parametrize("window", [1, 0, -3, 16])
def test_a_window_that_does_not_fit(window):
    with pytest.raises(TorchliquidError, match="give 2 to 15 steps"):
        article_task(SumOfSines(steps=50, train=30), 1, 0, window=window)


def test_a_benchmark_trains_without_torchs_compiler():
    """Importing it takes a second of each process."""
    code = """
import sys
from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.training import seconds_alone, train
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
task, model = article_task(SumOfSines(steps=50, train=30), 2, 0), find(["LTC-8"])[0]
train(task, model, Protocol(lanes=2, epochs=2))
seconds_alone(task, model, Protocol(lanes=2, epochs=2))
assert "torchliquid.nn.packs.pack" in sys.modules
assert not {"torch._dynamo", "torch._inductor", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_warm_up_does_not_count(small):
    task, (model,) = small(), find(["LTC-3-solved"])
    strange = dataclasses.replace(task, targets=task.targets.copy())
    strange.targets[:, :12] = 1e6  # within the warm-up
    protocol = Protocol(lanes=3, epochs=4, warm_up=12)
    one, other = train(task, model, protocol), train(strange, model, protocol)
    for p, q in zip(one.pack.parameters(), other.pack.parameters(), strict=True):
        assert torch.equal(p, q)
    assert np.array_equal(one.curves["curve_train"], other.curves["curve_train"])
    plain = train(task, model, dataclasses.replace(protocol, warm_up=0))
    assert not torch.equal(plain.pack.readout.weight, one.pack.readout.weight)
    with pytest.raises(TorchliquidError, match="warm_up is 40, and a training sequence has 40"):
        train(task, model, dataclasses.replace(protocol, warm_up=40))


def test_a_time_scale_moves_time_constants_and_no_frequency(small):
    task, (model,) = small(), find(["Resonator-5"])
    protocol = Protocol(lanes=3, epochs=1, learning_rate=1e-9)
    layer = train(task, model, protocol).pack.layer
    scaled = train(dataclasses.replace(task, dt_scale=np.array([0.5, 1.0, 4.0])), model, protocol)
    shift = torch.tensor([[0.5], [1.0], [4.0]]).log()
    other = scaled.pack.layer
    torch.testing.assert_close(other.log_frequency_l0 + shift, layer.log_frequency_l0)
    torch.testing.assert_close(other.log_rate_l0, layer.log_rate_l0)
    low, high = layer.log_frequency_l0.detach().exp().aminmax()
    assert 2 * np.pi / (task.train * task.dt) <= low < high <= np.pi / task.dt
