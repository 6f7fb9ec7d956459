"""A model as C, in single precision and in integers."""
