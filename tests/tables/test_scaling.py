"""What columns and series are scaled by, and what is said where a cell or a column gives pause."""

import json

import numpy as np
import pytest

from torchliquid import TorchliquidError
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.tables import Recipe, Series
from torchliquid.tables._scaling import scaling_of

NAN = np.nan
RNG = np.random.default_rng(5)
WALK = np.cumsum(RNG.normal(size=400)) + 20


def series(*columns, names=None, **more):
    values = np.stack([np.asarray(c, float) for c in columns], axis=1)
    names = names or ("y", *(f"x{k}" for k in range(1, len(columns))))
    return Series("s", names, values, **more)


def panel(*targets, feature=None):
    """Several series of one target each, one row a day."""
    lengths = [len(t) for t in targets]
    times = np.concatenate([86400.0 * np.arange(n) for n in lengths])
    columns = [np.concatenate(targets)]
    if feature is not None:
        columns.append(np.concatenate(feature))
    ids = np.repeat(np.arange(len(targets)), lengths)
    names = tuple("abcdefgh"[: len(targets)])
    return series(
        *columns, times=times, time="t", time_unit="seconds",
        series_id=ids, series_names=names, series="id",
    )  # fmt: skip


# --- wild cells -------------------------------------------------------------------------------


def test_one_wild_cell_does_not_crush_a_feature():
    rain = RNG.exponential(size=400)
    wild = rain.copy()
    wild[60] = 9831.3
    plain, task = table_task(series(WALK, rain)), table_task(series(WALK, wild))
    others = np.arange(task.steps) != 60
    np.testing.assert_allclose(
        task.inputs[0, others, 1], plain.inputs[0, others, 1], rtol=0.05, atol=0.02
    )
    assert task.inputs[0, 60, 1] == 10  # the bound that the note states
    note = next(note for note in task.notes if note.startswith("x1"))
    assert "is 9831.3 in 1 cell (data row 61)" in note
    assert "cut at 10 deviations" in note
    assert "`missing=9831.3`" in note
    again = Recipe.from_json(json.loads(json.dumps(task.recipe)))
    np.testing.assert_array_equal(
        again.inputs(again.rows(series(WALK, wild))[0])[60], task.inputs[0, 60]
    )


@pytest.mark.parametrize(
    "column",
    [
        RNG.normal(size=400),
        RNG.exponential(size=400),
        np.arange(400) == 7,  # an event, once
        np.where(np.arange(400) % 150 == 7, 30.0, 0.0),  # and rarely
        np.r_[np.zeros(399), 1e-9],
        np.full(400, 3.0),
        np.where(np.arange(400) < 200, 0.0, 1e6),  # a step
    ],
)
def test_what_is_not_wild(column):
    assert scaling_of(np.asarray(column, float)).wild == ()


def test_several_equal_wild_cells_among_many():
    temperature = RNG.normal(281, 1, 5000)
    temperature[[10, 2000, 4000]] = 0.0
    found = scaling_of(temperature)
    assert found.wild == (10, 2000, 4000)
    assert 0.9 < found.scale < 1.1
    with_missing = np.r_[NAN, NAN, temperature]
    assert scaling_of(with_missing).wild == (12, 2002, 4002)


def test_a_wild_target_is_said_and_counts():
    target = WALK.copy()
    target[30] = 1e5
    task = table_task(series(target))
    assert "y is 100000 in 1 cell (data row 31)" in task.notes[0]
    assert task.scale == pytest.approx(target[: task.train].std())


# --- answers given away -----------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [1, 3, 24])
def test_a_feature_that_is_the_target_later_is_said(ahead):
    leak = np.r_[WALK[ahead:], np.full(ahead, NAN)]
    assert f"the target {ahead} row" in " ".join(table_task(series(WALK, leak), horizon=3).notes)
    lagged = np.r_[np.full(ahead, NAN), WALK[:-ahead]]  # its past is no secret
    assert "gives the answer away" not in " ".join(table_task(series(WALK, lagged)).notes)


def test_a_plan_that_is_the_target_itself_is_said():
    for future, said in (((), False), (("x1",), True)):
        notes = " ".join(table_task(series(WALK, WALK, future=future), horizon=2).notes)
        assert ("of the same row" in notes) == said
    slow = np.repeat(np.arange(20.0), 20)  # equal for long stretches: no copy
    assert "answer" not in " ".join(table_task(series(slow, np.r_[slow[1:], 19.0])).notes)


# --- several series ---------------------------------------------------------------------------


def test_series_of_unlike_size_are_scaled_each_by_its_own():
    small, big = WALK[:200], 1e6 * WALK[200:]
    task = table_task(panel(small, big))
    assert task.spec["scale"] == "series"
    assert (task.offset, task.scale) == (0, 1)
    assert task.unit == "y in deviations of its series"
    assert "Each series is scaled by its own training rows" in " ".join(task.notes)
    for k, alone in enumerate((small, big)):
        line = task.timelines()[k]
        trained = alone[: int((line < task.train).sum())]
        own = (alone - trained.mean()) / trained.std()
        np.testing.assert_allclose(task.inputs[0, line, 0], own[:-1], rtol=1e-5, atol=1e-5)
        wanted = task.targets[0, line]
        there = ~np.isnan(wanted)
        np.testing.assert_allclose(wanted[there], own[1:][there], rtol=1e-5, atol=1e-5)
    again = Recipe.from_json(json.loads(json.dumps(task.recipe)))
    made = [again.inputs(rows) for rows in again.rows(panel(small, big))]
    np.testing.assert_array_equal(made[1][:-1], task.inputs[0, task.timelines()[1]])


def test_series_alike_are_scaled_together_unless_asked():
    a, b = WALK[:200], WALK[200:]
    together = table_task(panel(a, b))
    assert together.scale > 1
    assert "scale" not in together.spec
    assert table_task(panel(a, b), scale="series").scale == 1
    assert table_task(panel(a, 1e6 * b), scale="all").scale > 1e5
    with pytest.raises(TorchliquidError, match="scale is 'own': give auto, series, all"):
        table_task(panel(a, b), scale="own")
    with pytest.raises(TorchliquidError, match="`scale=all` or `split=time`"):
        table_task(panel(a, b, a), scale="series", split="series")
    assert "scale" not in table_task(panel(a, 1e6 * b, a, b), split="series").spec


def test_constant_and_short_series_take_the_deviation_of_the_others():
    task = table_task(panel(WALK[:200], 1e6 * WALK[200:], np.full(200, 7.0), WALK[:12]))
    assert "2 series with few training rows, or the same value" in " ".join(task.notes)
    assert "(c, d)" in " ".join(task.notes)
    assert np.isfinite(task.inputs).all()
    constant = task.inputs[0, task.timelines()[2], 0]
    np.testing.assert_array_equal(constant, 0)


def test_a_column_that_says_which_series_it_is_keeps_saying_so():
    big = np.repeat([0.0, 1.0], 200)
    task = table_task(panel(WALK[:200], 1e6 * WALK[200:], feature=(big[:200], big[200:])))
    first, second = (task.inputs[0, line, 1] for line in task.timelines())
    assert first.max() < second.min()


def test_how_many_series_a_split_by_series_needs():
    with pytest.raises(TorchliquidError, match=r"needs at least 3 series.*there are 2.*split=time"):
        table_task(panel(WALK[:200], WALK[200:]), split="series")
    with pytest.raises(TorchliquidError, match=r"needs at least 2 series.*there are 1"):
        table_task(panel(WALK), split="series", valid=0)
    assert table_task(panel(WALK[:200], WALK[200:]), split="series", valid=0).test
