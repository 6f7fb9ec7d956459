"""The benchmark: tasks, models, the runner, statistics, claims and the store of all rows."""
