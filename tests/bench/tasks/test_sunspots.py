"""The shipped series: known values, even spacing, readable without the benchmark's extras."""

import subprocess
import sys

import numpy as np
import pytest

from torchliquid.bench.tasks.sunspots import sunspots

# Yearly means of the international sunspot number before its revision of 2015, as printed in many
# places: the first year, minima without a spot, the highest maxima, the last year.
KNOWN = {
    1700: 5.0,
    1711: 0.0,
    1712: 0.0,
    1778: 154.4,
    1810: 0.0,
    1957: 190.2,
    1958: 184.8,
    1989: 157.6,
    2008: 2.9,
}


@pytest.mark.parametrize(("year", "number"), KNOWN.items())
def test_known_years(year, number):
    series = sunspots()
    assert series.values[series.times == year, 0].tolist() == [number]


def test_every_year_once_and_the_maximum_in_1957():
    series = sunspots()
    assert series.columns == ("sunspots",)
    assert series.times.tolist() == list(range(1700, 2009))
    assert series.times[series.values[:, 0].argmax()] == 1957
    assert np.isfinite(series.values).all()
    assert (series.values >= 0).all()


def test_the_solar_cycle_is_there():
    # The best-known fact about the series: a cycle of about eleven years.
    numbers = sunspots().values[:, 0]
    power = np.abs(np.fft.rfft(numbers - numbers.mean())) ** 2
    period = len(numbers) / power.argmax()
    assert 10 < period < 12


def test_it_needs_no_table_library():
    code = (
        "import sys; from torchliquid.bench.tasks.sunspots import sunspots; sunspots(); "
        "print(sorted({'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
