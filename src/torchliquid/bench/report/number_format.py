"""How numbers are written, everywhere in the report."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torchliquid.bench.judging.schema import Quantiles

MISSING = "\N{EN DASH}"
"""Stands for a number that is not there, or not finite because lanes diverged."""


def number(value: float | None) -> str:
    """Three significant digits, without powers of ten where they can be avoided.

    >>> number(0.00440123), number(11.743), number(20560.4), number(-0.5), number(None)
    ('0.00440', '11.7', '20,560', '-0.500', '–')
    >>> number(1e12), number(2e-12)
    ('>1e9', '<1e-9')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) >= 1e9:  # ratios of lanes that diverged end at bounds far out
        return ">1e9" if value > 0 else "<-1e9"
    if abs(value) <= 1e-9:
        return "<1e-9"
    rounded = float(f"{value:.3g}")
    digits = 2 - math.floor(math.log10(abs(rounded)))
    if digits > 8:
        return f"{value:.2e}"
    return f"{rounded if digits >= 0 else value:,.{max(digits, 0)}f}"


def signed(value: float | None) -> str:
    """A change, with its sign.

    >>> signed(4.21), signed(-0.5), signed(0.0), signed(None)
    ('+4.21', '\N{MINUS SIGN}0.500', '0', '\N{EN DASH}')
    """
    text = number(value)
    if value is None or not math.isfinite(value):
        return text
    return "\N{MINUS SIGN}" + text[1:] if value < 0 else f"+{text}" if value > 0 else text


def interval(ends: Sequence[float | None], write: Callable[[float | None], str] = number) -> str:
    """Both ends in brackets; empty where there is neither.

    >>> interval([0.8, 1.1]), interval([None, None])
    ('[0.800, 1.10]', '')
    """
    if all(end is None for end in ends):
        return ""
    return f"[{write(ends[0])}, {write(ends[1])}]"


def two_decimals(value: float | None) -> str:
    """For shares and skills, whose size is known.

    >>> two_decimals(0.7723), two_decimals(-0.001), two_decimals(None)
    ('0.77', '0.00', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.2f}"
    return text.removeprefix("-") if float(text) == 0 else text


def spread(
    quantiles: Quantiles | None, write: Callable[[float | None], str] = number
) -> tuple[str, str]:
    """Median and "[q10, q90]" of an entry of the summary; the second is empty where all agree.

    >>> spread({"median": 0.0044, "q10": 0.0031, "q90": 0.0089})
    ('0.00440', '[0.00310, 0.00890]')
    >>> spread(None)
    ('–', '')
    """
    if quantiles is None or all(value is None for value in quantiles.values()):
        return MISSING, ""
    ends = [quantiles["q10"], quantiles["q90"]]
    same = ends[0] is not None and ends[0] == ends[1] == quantiles["median"]
    return write(quantiles["median"]), "" if same else interval(ends, write)


def with_unit(value: float | None, unit: str) -> str:
    """A number and its unit.

    >>> with_unit(11.743, "times"), with_unit(4.2, "%"), with_unit(None, "%")
    ('11.7 times', '4.20 %', '–')
    """
    return number(value) if value is None or not unit else f"{number(value)} {unit}"


def claim_figure(claim: Mapping[str, Any]) -> tuple[str, str]:
    """A claim's figure with its unit, and its interval where it has one."""
    ends = claim.get("interval")
    point = claim.get("figure")
    if ends is None or all(end == point or end is None for end in ends):
        ends = (None, None)
    unit = claim.get("unit", "")
    if unit == "%" and point is not None:
        return f"{signed(point)} %", interval(ends, signed)
    return with_unit(point, unit), interval(ends)
