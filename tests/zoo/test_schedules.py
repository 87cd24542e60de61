"""Schedules: constant, linear, constant."""

import pytest

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.schedules import Schedule


@pytest.mark.parametrize(
    ("fraction", "value"), [(0, 1), (0.2, 1), (0.3, 2), (0.4, 3), (0.9, 3), (1, 3)]
)
def test_it_moves_only_in_between(fraction, value):
    schedule = Schedule(start=1, end=3, since=0.2, until=0.4)
    assert schedule.at(fraction) == pytest.approx(value)


@pytest.mark.parametrize(("since", "until"), [(0, 0), (0.5, 0.4), (0, 1.1), (-0.1, 0.5)])
def test_fractions_out_of_order_are_refused(since, until):
    with pytest.raises(ConfigError, match="since"):
        Schedule(start=0, end=1, since=since, until=until)
