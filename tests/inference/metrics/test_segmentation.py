"""Regions agree with objects whatever their numbers are, and chance is no agreement."""

import numpy as np
import pytest
import torch

from mutoscope.inference.metrics import foreground_agreement, owners_of_pixels
from mutoscope.zoo.datasets import MovingBalls
from mutoscope.zoo.errors import DataError


@pytest.fixture
def masks():
    """Three objects in a row, five pixels high, above a row of background."""
    shares = np.zeros((4, 3, 6, 6))
    for thing in range(3):
        shares[:, thing, :5, 2 * thing : 2 * thing + 2] = 1
    return shares


def test_objects_agree_with_themselves_whatever_their_numbers(masks):
    regions = masks.argmax(1)
    regions[:, 5] = np.arange(6)  # background
    assert foreground_agreement(regions, masks) == pytest.approx(1)
    assert foreground_agreement(np.array([7, 5, 6])[masks.argmax(1)], masks) == pytest.approx(1)


def test_chance_and_a_single_region_are_no_agreement(masks):
    masks = np.repeat(masks, 100, 0)
    chance = np.random.default_rng(0).integers(0, 3, (400, 6, 6))
    assert abs(foreground_agreement(chance, masks)) < 0.02
    assert foreground_agreement(np.zeros((400, 6, 6)), masks) == 0


def test_a_known_value_between():
    """Of two objects of two pixels, one pixel goes to the other: by hand, as pairs are counted."""
    masks = np.zeros((1, 2, 1, 5))
    masks[0, 0, 0, :2] = masks[0, 1, 0, 2:4] = 1
    # 1 pair in common; 2 of the objects, 3 of the regions, 6 in all, so that chance gives 2 * 3 / 6
    expected = (1 - 1) / ((2 + 3) / 2 - 1)
    assert foreground_agreement(np.array([[[0, 1, 1, 1, 0]]]), masks) == pytest.approx(expected)
    masks = np.zeros((1, 2, 1, 6))
    masks[0, 0, 0, :3] = masks[0, 1, 0, 3:] = 1
    # 4 in common; 6 of the objects, 7 of the regions, 15 in all
    expected = (4 - 6 * 7 / 15) / ((6 + 7) / 2 - 6 * 7 / 15)
    assert foreground_agreement(np.array([[[0, 0, 1, 1, 1, 1]]]), masks) == pytest.approx(expected)


def test_images_of_one_object_do_not_count(masks):
    regions = masks.argmax(1)
    masks[0, 1:], regions[0] = 0, np.arange(36).reshape(6, 6)
    assert foreground_agreement(regions, masks) == pytest.approx(1)
    with pytest.raises(DataError, match="No image shows two objects"):
        foreground_agreement(regions[:1], masks[:1])


def test_a_pixel_belongs_to_the_part_that_adds_most():
    split = MovingBalls(train_size=20, test_size=1).train
    parts = split.parts(torch.arange(20))[:, 0].double()
    owners = owners_of_pixels(parts)
    energy = parts.square().sum(2)
    assert np.array_equal(owners == 1, (energy[:, 1] > energy[:, 0]).numpy())
    cover = energy / energy.sum(1, keepdim=True).clamp(min=1e-300)
    assert foreground_agreement(owners, cover) == pytest.approx(1)


def test_shapes_that_do_not_fit_are_refused(masks):
    with pytest.raises(DataError, match="same images"):
        foreground_agreement(np.zeros((4, 6, 5)), masks)
    with pytest.raises(DataError, match="NaN"):
        owners_of_pixels(np.full((1, 2, 1, 2, 2), np.nan))
