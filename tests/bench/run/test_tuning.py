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
from torchliquid.bench.run.training import Trial, train
from torchliquid.bench.run.tuning import (
    DECAYS,
    DTS,
    FIRST,
    RATES,
    TUNABLE,
    is_tuned,
    trials_of,
    tune,
    tuned,
)

NAMES = ("LTC-2", "LTC-2-euler", "LSTM-2", "GRU-2")


def network(name):
    return find([name])[0]


def test_trials_are_spread_over_both_ranges():
    found = trials_of(Protocol(trials=13))
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
    found = trials_of(Protocol(learning_rate=0.02, trials=5, tuned=(other,)))
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
        ("ridge-AR", {}, False),
    ],
)
def test_what_has_trials(name, changes, yes):
    assert is_tuned(network(name), Protocol(**{"trials": 3} | changes)) == yes


@pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
@pytest.mark.parametrize("irregular", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_trial_is_what_a_lane_with_its_settings_is(table, name, irregular):
    """Its rate and dt give the weights that a plain run with them gives."""
    task = table(valid=0) if irregular else table(valid=0, dt=0.5)
    model, protocol = network(name), Protocol(1, 12, 0.01, 4, trials=3)
    trials = [
        Trial(0.01, 1.0),
        Trial(0.03, 4.0, schedule="one-cycle", weight_decay=0.1),
        Trial(0.002, 0.3, weight_decay=1.0),
    ]
    found = train(task, model, protocol, trials=trials).pack
    for lane, trial in enumerate(trials):
        own_task, own = tuned(task, protocol, trial)
        seeds = protocol.trial_seeds(3)[lane : lane + 1]
        same_start = type("Seeded", (Protocol,), {"weight_seeds": lambda _: seeds})  # noqa: B023
        alone = train(own_task, model, same_start(**dataclasses.asdict(own))).pack
        for key, value in alone.lane(0).state_dict().items():
            torch.testing.assert_close(found.lane(lane).state_dict()[key], value, atol=2e-6, rtol=0)


def test_schedules_and_decays_come_in_turn():
    plain = trials_of(Protocol(trials=25))
    assert {(t.schedule, t.weight_decay) for t in plain} == {("constant", 0.0)}
    found = trials_of(Protocol(trials=25, tuned=TUNABLE))
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
    given = trials_of(Protocol(trials=9, schedule="one-cycle", weight_decay=0.5, tuned=("dt",)))
    assert {(t.schedule, t.weight_decay) for t in given} == {("one-cycle", 0.5)}


def test_a_cycle_that_ends_early_is_the_beginning_of_the_whole(small):
    """Fewer epochs were best: they are those that the trial began with."""
    task, model = small(lanes=2), network("LSTM-2")
    whole = Protocol(2, 20, 0.02, schedule="one-cycle")
    early = tuned(task, whole, Trial(0.02, 1.0, 7, "one-cycle"))[1]
    assert (early.epochs, early.cycle) == (7, 20)
    stopped = train(task, model, early).pack
    seen = {}

    def keep(epoch):
        seen[epoch] = None

    long = train(task, model, whole, keep)
    assert max(seen) == 20
    np.testing.assert_allclose(
        long.curves["curve_train"][7],
        train(task, model, early).curves["curve_train"][-1],
        rtol=1e-6,
    )
    assert len(stopped) == 2


# --- steps --------------------------------------------------------------------------------------


def test_trials_begin_with_weights_of_their_own():
    protocol = Protocol(lanes=30, trials=30)
    seeds = protocol.weight_seeds() + protocol.trial_seeds(30)
    assert len(set(seeds)) == 60


@pytest.mark.parametrize("name", NAMES)
def test_the_choice_is_the_best_on_validation_and_knows_no_test_part(table, name):
    task, model, protocol = table(), network(name), Protocol(2, 15, trials=6)
    choice = tune(task, model, protocol)
    assert choice.taken == choice.trials[int(np.argmin(choice.errors))]
    inputs, targets = task.inputs.copy(), task.targets.copy()
    inputs[:, 75:] *= -900
    targets[:, 75:] += 1e4
    gaps = task.dt.copy()
    gaps[75:] *= 7
    other = dataclasses.replace(task, inputs=inputs, targets=targets, dt=gaps)
    assert tune(other, model, protocol) == choice
    targets[:, 50:75] -= 1e4
    assert tune(other, model, protocol).errors != choice.errors


def test_a_liquid_model_finds_the_dt_that_a_task_needs():
    """y[t+1] = f[t], independent: at dt 0.1 a state forgets far too slowly for it."""
    from torchliquid.bench.tasks.table_task import table_task
    from torchliquid.tables.reader import Series

    f = np.random.default_rng(1).standard_normal(1200)
    values = np.stack([np.concatenate([[0.0], f[:-1]]), f], axis=1)
    task = table_task(Series("s", ("y", "f"), values))
    protocol = Protocol(2, 150, trials=8)
    run, _ = compute(task, network("LTC-4"), protocol, lambda epoch: None)
    taken = run.facts["choice"]["taken"]
    assert taken["dt"] > 0.5
    assert run.facts["dt"] == taken["dt"]
    slow = compute(dataclasses.replace(task, dt=0.1), network("LTC-4"), Protocol(2, 150),
                   lambda epoch: None)[0]  # fmt: skip
    assert np.median(run.arrays["test_mse_carry"]) < 0.3 * np.median(slow.arrays["test_mse_carry"])


def test_progress_counts_trials_as_well(table):
    heard = []
    compute(table(), network("LTC-2"), Protocol(2, 3, trials=2), heard.append)
    assert heard == sorted(set(heard))
    assert {3, 6} <= {*heard} <= {*range(1, 7)}


# --- tasks that can be drawn again ---------------------------------------------------------------


def test_tuning_draws_are_draws_that_no_lane_sees(small):
    task = small(lanes=50)
    draws = task.tuning(40)
    assert (draws.train, draws.valid, draws.test) == (40, 20, 0)
    assert draws.inputs.shape == (40, 60, 1)
    np.testing.assert_array_equal(draws.inputs[:, 1:, 0], draws.targets[:, :-1])
    every = np.concatenate([task.targets, draws.targets])
    assert len(np.unique(every[:, 0])) == 90
    noise = draws.targets - task.clean[0]
    assert abs(noise.std() - (task.targets - task.clean).std()) < 0.1 * noise.std()
    again = small(lanes=2).tuning(40)  # the lanes do not decide about them, the seed does
    np.testing.assert_array_equal(again.inputs, draws.inputs)
    assert (small(lanes=50, seed=1).tuning(40).inputs != draws.inputs).any()


@pytest.mark.parametrize("name", ["LTC-2", "LSTM-2"])
def test_the_articles_task_is_tuned_on_draws_of_its_own(small, name):
    task, model, protocol = small(lanes=3), network(name), Protocol(3, 40, trials=4)
    choice = tune(task, model, protocol)
    changed = dataclasses.replace(
        task, inputs=task.inputs * -5, targets=task.targets + 100
    )  # whatever the lanes hold
    assert tune(changed, model, protocol) == choice
    run, pack = compute(task, model, protocol, lambda epoch: None)
    assert run.facts["epochs"] == choice.taken.epochs <= 40
    assert run.facts["learning_rate"] == choice.taken.learning_rate
    own_task, own = tuned(task, protocol, choice.taken)
    plain = train(own_task, model, own).pack
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(pack.state_dict()[key], value, atol=0, rtol=0)


def test_the_choice_is_that_of_the_mean_over_its_draws(small, monkeypatch):
    """Each trial's error is the geometric mean of its draws', at the median of their epochs."""
    from torchliquid.bench.run import tuning

    found = SimpleNamespace(
        best=np.array([1.0, 1.0, 1.0, 0.1, 0.1, 50.0, 0.5, 0.5, 0.5]),
        curves={"chosen_epoch": np.array([1, 2, 3, 4, 5, 6, 7, 9, 30])},
    )
    monkeypatch.setattr(tuning, "train", lambda *given: found)
    choice = tune(small(lanes=2), network("LTC-2"), Protocol(2, 40, trials=3))
    np.testing.assert_allclose(choice.errors, [1.0, 0.5 ** (1 / 3), 0.5])
    assert choice.taken == dataclasses.replace(choice.trials[2], epochs=9)


def test_progress_ends_where_it_was_to_end(small):
    heard = []
    compute(small(lanes=2), network("LTC-2"), Protocol(2, 12, trials=2), heard.append)
    assert heard[-1] == 24
    assert heard == sorted(heard)
