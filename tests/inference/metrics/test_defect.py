import math

import pytest
import torch

from mutoscope.inference.metrics import topological_defect
from mutoscope.zoo.errors import ConfigError, DataError

STEPS = (31, 63, 127, 255)


def along(position):
    """Images of two pixels that pass close to nothing: (-1, 0.2) to (1, 0.2)."""
    return torch.stack([2 * position - 1, torch.full_like(position, 0.2)], -1)


def test_a_continuous_code_has_bounded_jumps():
    found = topological_defect(lambda images: images, along, STEPS)
    assert abs(found.growth) < 0.2
    assert (found.largest[1:] / found.largest[:-1]).max() < 0.6


def test_a_code_that_turns_round_at_once_jumps_as_far_however_fine_the_steps():
    def torn(images):
        angle = images[:, 0] + math.pi * (images[:, 0] > 0)
        return torch.stack([angle.cos(), angle.sin()], -1)

    found = topological_defect(torn, along, STEPS)
    assert found.growth == pytest.approx(1, abs=0.05)
    assert found.largest.min() > 1.9


def test_lengths_of_codes_do_not_matter():
    first = topological_defect(lambda images: images, along, STEPS)
    second = topological_defect(lambda images: 7 * images, along, STEPS)
    assert first.ratio == pytest.approx(second.ratio, rel=1e-4)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="does not move"):
        topological_defect(torch.ones_like, along, STEPS)
    with pytest.raises(ConfigError, match="two numbers"):
        topological_defect(lambda images: images, along, (31,))
