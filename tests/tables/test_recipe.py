"""A recipe, learnt on a table's training part, makes the same inputs of any rows."""

import json

import numpy as np
import pytest

from torchliquid import TorchliquidError
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.tables import Recipe, Series


def table(rows=200, *, lost=(), uneven=False, future=()):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(1.0, rows)) if uneven else np.arange(rows, dtype=float)
    values = rng.normal(size=(rows, 3)) * [1, 10, 0.1] + [5, 0, 2]
    values[rng.random((rows, 3)) < 0.05] = np.nan
    kept = np.setdiff1d(np.arange(rows), lost)
    columns = ("y", "a", "plan")
    return Series("t", columns, values[kept], times[kept], time="t", future=future)


def inputs_of(recipe, series):
    return [recipe.inputs(rows) for rows in recipe.rows(series)]


@pytest.mark.parametrize("lost", [(), (40, 41, 90)])
@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("future", [(), ("plan",)])
def test_the_stored_recipe_gives_the_tasks_own_inputs(lost, uneven, future):
    series = table(lost=lost, uneven=uneven, future=future)
    task = table_task(series, horizon=2)
    recipe = Recipe.from_json(json.loads(json.dumps(task.recipe)))
    (made,) = inputs_of(recipe, series)
    np.testing.assert_array_equal(made[: task.steps], task.inputs[0])
    (rows,) = recipe.rows(series)
    intervals = recipe.intervals(rows)
    if uneven:
        np.testing.assert_array_equal(intervals[: task.steps].astype(np.float32), task.dt)
    else:
        assert intervals is None


def test_new_rows_are_scaled_as_the_training_rows_were():
    series = table()
    recipe = Recipe.from_json(table_task(series).recipe)
    later = Series("later", series.columns, np.full((3, 3), 7.0), np.arange(3.0), time="t")
    (made,) = inputs_of(recipe, later)
    expected = (7.0 - np.array(recipe.mean)) / np.array(recipe.scale)
    np.testing.assert_allclose(made, np.tile(expected, (3, 1)), rtol=1e-6)


def test_a_lost_row_of_new_data_is_put_in():
    series = table(lost=(40,))
    recipe = Recipe.from_json(table_task(series).recipe)
    assert recipe.fills
    later = Series("later", series.columns, np.ones((3, 3)), np.array([0.0, 1, 3]), time="t")
    (rows,) = recipe.rows(later)
    assert len(rows.values) == 4
    assert np.isnan(rows.values[2]).all()


def test_other_columns_and_other_times_are_refused():
    recipe = Recipe.from_json(table_task(table()).recipe)
    other = Series("other", ("y", "b", "plan"), np.ones((3, 3)), np.arange(3.0), time="t")
    with pytest.raises(TorchliquidError, match="expected y, a, plan"):
        recipe.rows(other)
    without = Series("other", recipe.columns, np.ones((3, 3)))
    with pytest.raises(TorchliquidError, match="times"):
        recipe.rows(without)
