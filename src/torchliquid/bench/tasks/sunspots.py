"""Yearly mean sunspot numbers, 1700-2008: a small real series that ships with the package.

Source: National Geophysical Data Center (NOAA, United States), "Yearly (1700-2008) data on sunspots
from the National Geophysical Data Center", http://www.ngdc.noaa.gov/stp/solar/solarda3.html, as the
datasets of statsmodels 0.15.0 carry it (``statsmodels/datasets/sunspots``), which states:
"This data is public domain." The numbers are unchanged; only the header was renamed.

These are the international sunspot numbers as they stood before the revision of 2015, whose values
are larger (269.3 instead of 190.2 for 1957).
"""

from importlib.resources import files

import numpy as np

from torchliquid.tables import Series


def sunspots() -> Series:
    """The yearly mean sunspot number, 309 years without a gap.

    >>> series = sunspots()
    >>> series.columns, series.values.shape, series.time_unit
    (('sunspots',), (309, 1), 'years')
    """
    text = files("torchliquid.bench.tasks").joinpath("sunspots.csv").read_text(encoding="utf-8")
    year, numbers = np.loadtxt(text.splitlines()[1:], delimiter=",", unpack=True)
    return Series(
        name="sunspots",
        columns=("sunspots",),
        values=numbers[:, None],
        times=year,
        time_unit="years",
        time="year",
    )
