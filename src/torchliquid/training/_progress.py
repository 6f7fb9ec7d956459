"""A line on stderr: how far a training is, and the time left."""

import sys
import time

import numpy as np
from numpy.typing import NDArray

OFTEN = 0.5
"""Seconds between two lines."""


class Progress:
    """A line that is written over again and again on a terminal, and now and then elsewhere."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.start = epochs, time.monotonic()
        self.last, self.width = 0.0, 0
        self.tty = sys.stderr.isatty()

    def show(self, epoch: int, losses: NDArray[np.float64], valid: NDArray[np.float64]) -> None:
        """Show where the training is; ``losses`` and ``valid`` are those of its last epochs."""
        now = time.monotonic()
        often = OFTEN if self.tty else 20 * OFTEN
        if now - self.last < often and epoch < self.epochs:
            return
        self.last = now
        left = (now - self.start) * (self.epochs - epoch) / max(1, epoch)
        parts = [f"epoch {epoch}/{self.epochs}", f"loss {_middle(losses)}"]
        if np.isfinite(valid).any():
            parts.append(f"validation {_middle(valid)}")
        parts.append(f"{left:.0f} s left" if epoch < self.epochs else f"{now - self.start:.1f} s")
        line = "  ".join(parts)
        if self.tty:
            sys.stderr.write(f"\r{line:<{self.width}}")
            self.width = len(line)
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the line."""
        if self.tty and self.width:
            sys.stderr.write("\n")


def _middle(rows: NDArray[np.float64]) -> str:
    """The last epoch's loss; of several lanes their median."""
    seen = rows[-1][np.isfinite(rows[-1])] if len(rows) else rows
    return f"{np.median(seen):.4g}" if len(seen) else "nan"
