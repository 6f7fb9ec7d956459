"""The same trials for all, chosen on the validation part, and nothing learnt of the test part."""

import dataclasses
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.runner import compute
from torchliquid.bench.run.training import Setting, looks_of, train
from torchliquid.bench.run.tuning import (
    DECAYS,
    DTS,
    FIRST,
    RATES,
    TUNABLE,
    drawn_trials,
    is_tuned,
    spread_trials,
    tune,
    without_test,
)
from torchliquid.bench.run.windows import predict
from torchliquid.bench.tasks.signal_task import article_task, sines_task
from torchliquid.bench.tasks.sines import SinesOfAKind, SumOfSines

NAMES = ("LTC-2", "LTC-2-euler", "LSTM-2", "GRU-2", "LSTM-2-solved")


def network(name):
    return find([name])[0]


def seeded(seeds):
    """Protocols whose initial weights have these seeds."""
    return type("Seeded", (Protocol,), {"weight_seeds": lambda _: seeds})


def test_trials_are_spread_over_both_ranges():
    found = spread_trials(Protocol(trials=13))
    assert found[0] == FIRST
    rates, dts = (np.log([getattr(t, n) for t in found[1:]]) for n in ("learning_rate", "dt"))
    np.testing.assert_allclose(np.exp(rates[[0, -1]]), RATES, rtol=0.05)
    assert np.diff(rates).max() < 1.2 * np.diff(rates).mean()
    width = np.log(DTS[1] / DTS[0])
    assert np.diff(np.sort(dts)).max() < 2.5 * width / 12
    assert abs(np.corrcoef(rates, dts)[0, 1]) < 0.2


@pytest.mark.parametrize("kept", ["learning_rate", "dt"])
def test_what_the_user_gave_is_not_varied(kept):
    other = {"learning_rate": "dt", "dt": "learning_rate"}[kept]
    found = spread_trials(Protocol(learning_rate=0.02, trials=5, tuned=(other,)))
    expected = 0.02 if kept == "learning_rate" else 1.0
    assert {getattr(t, kept) for t in found} == {expected}
    assert len({getattr(t, other) for t in found}) == 5


@pytest.mark.parametrize(
    ("name", "changes", "yes"),
    [
        ("LTC-2", {}, True),
        ("LSTM-2", {}, True),
        ("LSTM-2", {"tuned": ("dt",)}, False),
        ("LTC-2", {"tuned": ("dt",)}, True),
        ("LTC-2", {"tuned": ()}, False),
        ("LTC-2", {"trials": 1}, False),
        ("LSTM-2-solved", {"tuned": ("dt",)}, True),
        ("ridge-AR", {}, False),
    ],
)
def test_what_has_trials(name, changes, yes):
    assert is_tuned(network(name), Protocol(**{"trials": 3} | changes)) == yes


def test_each_lane_draws_trials_of_its_own():
    protocol = Protocol(lanes=40, trials=12, tuned=TUNABLE, seed=3)
    lanes = [drawn_trials(protocol, lane) for lane in range(40)]
    assert lanes[5] == drawn_trials(Protocol(lanes=6, trials=12, tuned=TUNABLE, seed=3), 5)
    every = [trial for trials in lanes for trial in trials]
    assert len({(t.learning_rate, t.dt) for t in every}) > 450
    for name, bounds in (("learning_rate", RATES), ("dt", DTS)):
        low, high = np.log(bounds)
        shares = (np.log([getattr(t, name) for t in every]) - low) / (high - low)
        assert 0 <= shares.min() < 0.01 < 0.99 < shares.max() <= 1
        quarters = [0.25, 0.5, 0.75]
        np.testing.assert_allclose(np.quantile(shares, quarters), quarters, atol=0.06)
    assert len({(t.schedule, t.weight_decay) for t in every}) == 8
    kept = drawn_trials(Protocol(learning_rate=0.02, trials=5, tuned=("dt",)), 0)
    assert {t.learning_rate for t in kept} == {0.02}
    assert len({t.penalty for t in kept}) == 5  # of readouts that are solved for


@pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
@pytest.mark.parametrize("irregular", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_trial_is_what_a_lane_with_its_settings_is(table, name, irregular):
    """Its rate and dt give the weights that a plain run with them gives."""
    task = table(valid=0) if irregular else table(valid=0, dt=0.5)
    model, protocol = network(name), Protocol(1, 12, 0.01, 4)
    settings = [
        Setting(0.01, 1.0),
        Setting(0.03, 4.0, schedule="one-cycle", weight_decay=0.1),
        Setting(0.002, 0.3, weight_decay=1.0),
    ]
    scaled = dataclasses.replace(task, dt_scale=np.array([s.dt for s in settings]))
    found = train(scaled, model, protocol, settings=settings, tuning=True).pack
    for lane, setting in enumerate(settings):
        seeds = protocol.trial_seeds(3)[lane : lane + 1]
        same_start = seeded(seeds)
        names = ("learning_rate", "schedule", "weight_decay")
        given = {name: getattr(setting, name) for name in names}
        own = same_start(**dataclasses.asdict(protocol) | given)
        alone = train(dataclasses.replace(task, dt_scale=setting.dt), model, own).pack
        for key, value in alone.lane(0).state_dict().items():
            torch.testing.assert_close(found.lane(lane).state_dict()[key], value, atol=2e-6, rtol=0)


@pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
@pytest.mark.parametrize("name", ["LTC-2", "LSTM-2", "DecayGRU-2", "LTC-2-solved"])
@pytest.mark.parametrize("sampling", ["even", "irregular", "own"])
def test_lanes_with_settings_of_their_own_are_those_alone(name, sampling):
    """Weights, predictions and errors of lane i, trained and run beside others or by itself."""
    if sampling == "own":
        task = sines_task(SinesOfAKind(60, 40), 3, 0, sampling="irregular")
    else:
        task = article_task(SumOfSines(steps=60, train=40), 3, 0, sampling=sampling)
    model, protocol = network(name), Protocol(3, 12)
    settings = [
        Setting(0.01, 0.5, 12, penalty=1e-2),
        Setting(0.05, 3.0, 7, "one-cycle", penalty=1e-1),
        Setting(0.2, 1.0, 3, penalty=1e-2),
    ]
    together = dataclasses.replace(task, dt_scale=np.array([s.dt for s in settings]))
    trained = train(together, model, protocol, settings=settings)
    assert trained.curves["chosen_epoch"].tolist() == [12, 7, 3]
    carry, reset = predict(together, model, trained.pack)
    for lane, setting in enumerate(settings):
        one = slice(lane, lane + 1)
        own = dataclasses.replace(
            task,
            inputs=task.inputs[one],
            targets=task.targets[one],
            dt=task.dt[lane] if sampling == "own" else task.dt,
            dt_scale=setting.dt,
        )
        seeds = protocol.weight_seeds()[one]
        same_start = seeded(seeds)
        alone = train(own, model, same_start(1, 12), settings=[setting])
        weights = trained.pack.lane(lane).state_dict()
        for key, value in alone.pack.lane(0).state_dict().items():
            torch.testing.assert_close(weights[key], value, atol=5e-6, rtol=1e-5)
        np.testing.assert_allclose(trained.final_error[lane], alone.final_error[0], rtol=1e-4)
        expected_carry, expected_reset = predict(own, model, alone.pack)
        np.testing.assert_allclose(carry[one], expected_carry, atol=1e-5)
        np.testing.assert_allclose(reset[one], expected_reset, atol=1e-5)


def test_weights_of_an_epoch_are_those_of_a_training_that_ends_there(small):
    """So the error at a cap of epochs is read off one curve."""
    task, model = small(lanes=2), network("LSTM-2")
    early = train(task, model, Protocol(2, 7, 0.02)).pack
    kept = train(task, model, Protocol(2, 20), settings=[Setting(0.02, epochs=7)])
    for key, value in early.state_dict().items():
        torch.testing.assert_close(kept.pack.state_dict()[key], value, atol=0, rtol=0)
    assert kept.curves["curve_epoch"][-1] == 20
    np.testing.assert_array_equal(kept.final_error, kept.curves["curve_train"][7])


def test_looks_are_spread_by_logarithm_and_hold_the_caps():
    looks = looks_of(10_000)
    assert {0, 1, 1_000, 3_000, 10_000} <= {*looks}
    later = np.array(looks[20:])
    assert (later[1:] / later[:-1]).max() < 1.25


def test_schedules_and_decays_come_in_turn():
    plain = spread_trials(Protocol(trials=25))
    assert {(t.schedule, t.weight_decay) for t in plain} == {("constant", 0.0)}
    found = spread_trials(Protocol(trials=25, tuned=TUNABLE))
    assert found[0] == FIRST
    assert [(t.learning_rate, t.dt) for t in found] == [(t.learning_rate, t.dt) for t in plain]
    pairs = Counter((t.schedule, t.weight_decay) for t in found[1:])
    assert len(pairs) == 8
    assert min(pairs.values()) >= 2
    cycles, decays = (
        np.array([t.schedule == "one-cycle" for t in found[1:]], dtype=float),
        np.array([DECAYS.index(t.weight_decay) for t in found[1:]], dtype=float),
    )
    rates = np.log([t.learning_rate for t in found[1:]])
    for one, two in ((cycles, decays), (cycles, rates), (decays, rates)):
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.35
    given = spread_trials(Protocol(trials=9, schedule="one-cycle", weight_decay=0.5, tuned=("dt",)))
    assert {(t.schedule, t.weight_decay) for t in given} == {("one-cycle", 0.5)}


# --- steps --------------------------------------------------------------------------------------


def test_trials_begin_with_weights_of_their_own():
    protocol = Protocol(lanes=30, trials=30)
    seeds = protocol.weight_seeds() + protocol.trial_seeds(30)
    assert len(set(seeds)) == 60


@pytest.mark.parametrize("choice", ["lane", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_the_choice_is_the_best_on_validation_and_knows_no_test_part(table, name, choice):
    task, model, protocol = table(), network(name), Protocol(2, 15, trials=6, choice=choice)
    found = tune(task, model, protocol)
    for trials, errors, taken in zip(found.trials, found.errors, found.taken, strict=True):
        best = trials[int(np.argmin(errors))]
        assert dataclasses.replace(taken, epochs=None) == best
    inputs, targets = task.inputs.copy(), task.targets.copy()
    inputs[:, 75:] *= -900
    targets[:, 75:] += 1e4
    gaps = task.dt.copy()
    gaps[75:] *= 7
    other = dataclasses.replace(task, inputs=inputs, targets=targets, dt=gaps)
    again = tune(other, model, protocol)
    assert again.taken == found.taken
    np.testing.assert_array_equal(again.errors, found.errors)
    targets[:, 50:75] -= 1e4
    assert (tune(other, model, protocol).errors != found.errors).any()


def test_a_liquid_model_finds_the_dt_that_a_task_needs():
    """y[t+1] = f[t], independent: at dt 0.1 a state forgets far too slowly for it."""
    from torchliquid.bench.tasks.table_task import table_task
    from torchliquid.tables.reader import Series

    f = np.random.default_rng(1).standard_normal(1200)
    values = np.stack([np.concatenate([[0.0], f[:-1]]), f], axis=1)
    task = table_task(Series("s", ("y", "f"), values))
    protocol = Protocol(2, 150, trials=8, choice="shared")
    run, _ = compute(task, network("LTC-4"), protocol, lambda epoch: None)
    (taken,) = run.facts["choice"]["taken"]
    assert taken["dt"] > 0.5
    assert run.facts["dt"] == taken["dt"]
    slow = compute(dataclasses.replace(task, dt=0.1), network("LTC-4"), Protocol(2, 150),
                   lambda epoch: None)[0]  # fmt: skip
    assert np.median(run.arrays["test_mse_carry"]) < 0.3 * np.median(slow.arrays["test_mse_carry"])


def test_progress_counts_trials_as_well(table):
    heard = []
    compute(table(), network("LTC-2"), Protocol(2, 3, trials=2), heard.append)
    assert heard == sorted(set(heard))
    assert {6, 9} <= {*heard} <= {*range(1, 10)}  # two trials of a lane are twice its training


# --- tasks without a validation part --------------------------------------------------------------


def poisoned(task, kind):
    """The test stretch with anything else in it."""
    rng = np.random.default_rng(0)
    inputs, targets = task.inputs.copy(), task.targets.copy()
    start = task.steps - task.test
    if kind == "nan":
        inputs[:, start:] = targets[:, start:] = np.nan
    else:
        inputs[:, start:] = rng.standard_normal(inputs[:, start:].shape) * 1e3
        targets[:, start:] = -inputs[:, start:, 0]
    return dataclasses.replace(task, inputs=inputs, targets=targets, clean=targets)


@pytest.mark.parametrize("kind", ["nan", "numbers"])
@pytest.mark.parametrize("sampling", ["even", "irregular"])
@pytest.mark.parametrize("choice", ["lane", "shared"])
@pytest.mark.parametrize("name", ["LTC-2", "LSTM-2-solved"])
def test_the_tuner_sees_no_difference_in_a_poisoned_test_stretch(name, choice, sampling, kind):
    task = article_task(SumOfSines(steps=60, train=40), 3, 0, sampling=sampling)
    model, protocol = network(name), Protocol(3, 20, trials=4, choice=choice)
    found, again = tune(task, model, protocol), tune(poisoned(task, kind), model, protocol)
    assert found.taken == again.taken
    np.testing.assert_array_equal(found.errors, again.errors)


@pytest.mark.parametrize("sampling", ["even", "irregular"])
def test_the_last_fifth_of_the_training_stretch_decides(sampling):
    task = article_task(SumOfSines(), 2, 0, sampling=sampling, missing=0.2)
    inner = without_test(task)
    assert (inner.train, inner.valid, inner.test) == (160, 40, 0)
    np.testing.assert_array_equal(inner.inputs, task.inputs[:, :200])
    np.testing.assert_array_equal(inner.observed, task.observed[:, :200])
    assert inner.clean is None
    assert inner.faster is None
    assert np.shape(inner.dt) == ((200,) if sampling == "irregular" else ())


def test_a_lane_chooses_on_its_own_data_alone(small):
    task, model, protocol = small(lanes=3), network("LTC-2"), Protocol(3, 20, trials=4)
    found = tune(task, model, protocol)
    inputs = task.inputs.copy()
    inputs[1] *= -5
    other = tune(dataclasses.replace(task, inputs=inputs), model, protocol)
    assert (found.errors[1] != other.errors[1]).any()
    np.testing.assert_array_equal(found.errors[[0, 2]], other.errors[[0, 2]])


def test_the_network_is_trained_anew_on_the_whole_training_stretch(small):
    task, model, protocol = small(lanes=3), network("LTC-2"), Protocol(3, 40, trials=4)
    choice = tune(task, model, protocol)
    run, pack = compute(task, model, protocol, lambda epoch: None)
    assert [setting["dt"] for setting in run.facts["choice"]["taken"]] == choice.dt_scale().tolist()
    assert run.arrays["chosen_epoch"].tolist() == [setting.epochs for setting in choice.taken]
    scaled = dataclasses.replace(task, dt_scale=choice.dt_scale())
    plain = train(scaled, model, protocol, settings=choice.taken).pack
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(pack.state_dict()[key], value, atol=0, rtol=0)
    np.testing.assert_array_equal(run.arrays["dt_scale"], choice.dt_scale())


def test_a_shared_choice_is_that_of_the_mean_over_its_lanes(small, monkeypatch):
    """Each trial's error is the geometric mean of its lanes', at the median of their epochs."""
    from torchliquid.bench.run import tuning

    errors = np.array([[1.0, 0.1, 0.5], [1.0, 0.1, 0.5], [1.0, 50.0, 0.5]])
    epochs = np.array([[1, 4, 7], [2, 5, 9], [3, 6, 30]])
    found = SimpleNamespace(best=errors.ravel(), curves={"chosen_epoch": epochs.ravel()})
    monkeypatch.setattr(tuning, "train", lambda *args, **given: found)
    protocol = Protocol(3, 40, trials=3, choice="shared")
    choice = tune(small(lanes=3), network("LTC-2"), protocol)
    np.testing.assert_allclose(choice.errors, [[1.0, 0.5 ** (1 / 3), 0.5]])
    assert choice.taken == [dataclasses.replace(choice.trials[0][2], epochs=9)]


def test_progress_ends_where_it_was_to_end(small):
    heard = []
    compute(small(lanes=2), network("LTC-2"), Protocol(2, 12, trials=2), heard.append)
    assert heard[-1] == 36
    assert heard == sorted(heard)
