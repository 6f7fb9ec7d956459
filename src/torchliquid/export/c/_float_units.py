"""Units of a gate's argument in single precision: ``t`` is a multiple of z."""

import math

LOG2E = math.log2(math.e)
ENTRIES, REACH = 128, 10.0
"""Of the table: intervals, and up to which z; beyond it the last entry stands, 4.5e-5 off."""


def unit(gate_table: bool) -> float:
    """Return what z is multiplied by to make t."""
    return ENTRIES / REACH if gate_table else -LOG2E
