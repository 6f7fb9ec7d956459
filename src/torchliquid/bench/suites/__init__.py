"""Suites: tasks, models, training and planned contrasts, written down in a file before the run."""
