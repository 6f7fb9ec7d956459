"""Generators, loaders and splits: numbers in arrays, knowing nothing of models."""
