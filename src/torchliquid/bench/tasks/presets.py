"""Named signals for the article's task, with the learning rate that goes with each."""

from typing import NamedTuple

ARTICLE = "article"


class Preset(NamedTuple):
    """What the article does not print.

    Args:
        sines: pairs (amplitude, angular frequency in radians per unit of time).
        sigma: standard deviation of the noise.
        learning_rate: Adam's, for every network.
        about: one line for the reader of a help text.
    """

    sines: tuple[tuple[float, float], ...]
    sigma: float
    learning_rate: float
    about: str


PRESETS = {
    ARTICLE: Preset(
        ((1.0, 1.0), (0.4, 2.5), (0.2, 10.0)), 0.02, 0.005, "nearest to the article's numbers"
    ),
    "easy": Preset(((1.0, 1.0), (0.5, 2.5)), 0.05, 0.01, "two slow sines, noisier"),
}
"""What `torchliquid bench article --preset` takes; ``benchmarks/calibrate.py`` found the first."""
