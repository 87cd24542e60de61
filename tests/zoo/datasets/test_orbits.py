"""Orbits of images under finite groups."""

import pytest
import torch
from torch.utils.data import DataLoader

from mutoscope.zoo.datasets import FirstOf, OrbitSequences, carry, pairs_of, polygons, square
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.finite_group import FiniteGroup

SHIFTS = {"orders": (7,), "factors": ("translation_x",)}
XY = {"orders": (7, 7), "factors": ("translation_x", "translation_y")}


def shapes(count=6, size=14):
    return polygons(count, size)


def test_polygons_are_white_outlines_on_black():
    pixels = polygons(300).pixels
    assert pixels.shape == (300, 1, 28, 28)
    assert float(pixels.min()) == 0
    assert float(pixels.max()) == 1
    assert 0.06 < float((pixels > 0).float().mean()) < 0.1
    assert 0.04 < float(pixels.mean()) < 0.06
    border = pixels.clone()
    border[..., 4:-4, 4:-4] = 0
    assert not border.any()


def test_polygons_come_from_their_seed():
    assert torch.equal(polygons(3, seed=2).pixels, polygons(3, seed=2).pixels)
    assert not torch.equal(polygons(3, seed=2).pixels, polygons(3, seed=3).pixels)
    with pytest.raises(DataError, match="1 shape or more"):
        polygons(0)


def test_a_square_looks_the_same_after_a_quarter_turn():
    image = square().pixels
    assert torch.equal(image.rot90(1, (-2, -1)), image)


@pytest.mark.parametrize("group", [SHIFTS, XY], ids=["x", "xy"])
def test_translations_whose_steps_are_whole_pixels_are_exact(group):
    group = FiniteGroup(group["orders"], group["factors"])
    images = shapes().pixels
    element = torch.arange(6)[:, None]
    expected = torch.stack(
        [
            image.roll([2 * s for s in steps], dims=[-1, -2][: len(steps)])
            for image, steps in zip(images, group.steps[:6].tolist(), strict=True)
        ]
    )
    assert torch.allclose(carry(images, element, group)[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("orders", "factors"),
    [((4,), ("rotation",)), ((7, 7), XY["factors"]), ((4, 7, 7), ("rotation", *XY["factors"]))],
)
def test_frames_walk_along_an_orbit(orders, factors):
    data = OrbitSequences(shapes(), orders, factors, length=4, sequences_per_image=8)
    group, truth = data.group, data.train.truth
    images = data.train.batch(range(len(data.train)))["images"]
    for frame in range(3):
        again = carry(images[:, frame], truth.acted[:, None], group)[:, 0]
        assert torch.allclose(again, images[:, frame + 1], atol=1e-5)


def test_what_acts_may_change():
    data = OrbitSequences(shapes(), **SHIFTS, length=6, stay=0.7)
    truth, images = data.train.truth, data.train.batch(range(40))["images"]
    assert truth.acted.shape == (len(data.train), 5)
    assert truth.dims["acted"] == ("sequence", "time")
    kept = (truth.acted[:, 1:] == truth.acted[:, :-1]).float().mean()
    assert float(kept) == pytest.approx(0.7 + 0.3 / 7, abs=0.08)
    for frame in range(5):
        again = carry(images[:, frame], truth.acted[:40, frame, None], data.group)[:, 0]
        assert torch.allclose(again, images[:, frame + 1], atol=1e-5)


def test_turning_data_say_so_and_others_do_not():
    factors = ("rotation", *XY["factors"])
    assert OrbitSequences(shapes(), (4, 7, 7), factors).turning
    assert not OrbitSequences(shapes(), **XY).turning


def test_small_groups_show_all_pairs_of_start_and_element():
    truth = OrbitSequences(shapes(), **SHIFTS).train.truth
    seen = set(zip(truth.base.tolist(), truth.start.tolist(), truth.acted.tolist(), strict=True))
    assert len(seen) == len(truth.base) == 49 * len(truth.base.unique())


def test_base_images_are_in_one_split_only():
    data = OrbitSequences(shapes(20), **SHIFTS)
    bases = [set(s.truth.base.tolist()) for s in (data.train, data.validation, data.test)]
    assert not bases[0] & bases[1] | bases[0] & bases[2] | bases[1] & bases[2]
    assert len(set.union(*bases)) == 20


def test_labels_are_given_only_where_they_are_asked_for():
    rows = [0, 5, -1]
    silent = OrbitSequences(shapes(), **SHIFTS)
    told = OrbitSequences(shapes(), **SHIFTS, labelled=True)
    assert silent.train.batch(rows).keys() == {"images"}
    found = told.train.batch(rows)
    assert torch.equal(found["transformation"], told.train.truth.acted[rows])
    assert torch.equal(found["images"], silent.train.batch(rows)["images"])
    assert told.train[5]["transformation"] == told.train.truth.acted[5]
    loaded = next(iter(DataLoader(told.train, batch_size=3)))
    assert torch.equal(loaded["images"], told.train.batch(range(3))["images"])
    whole = told.train.observations
    assert torch.equal(whole["transformation"], told.train.truth.acted)
    assert len(FirstOf(silent.test, 4).truth.acted) == 4


def test_training_may_see_some_elements_only():
    data = OrbitSequences(shapes(), **SHIFTS, elements=(0, 1, 2, 3))
    assert set(data.train.truth.acted.tolist()) == {0, 1, 2, 3}
    assert set(data.test.truth.acted.tolist()) == set(range(7))


def test_published_steps_are_whole_pixels_and_miss_the_way_round():
    group = FiniteGroup((10,), ("translation_x",))
    images = polygons(2).pixels
    element = torch.tensor([[0, 1, 9]] * 2)
    found = carry(images, element, group, whole_pixels=True)
    assert torch.allclose(found[:, 1], images.roll(3, -1), atol=1e-5)
    assert torch.allclose(found[:, 2], images.roll(27, -1), atol=1e-5)


def test_accumulated_frames_blur():
    once, more = (
        OrbitSequences(shapes(4, 28), (10,), length=4, sequences_per_image=6, warp=warp)
        for warp in ("once", "accumulate")
    )
    first, second = (data.train.batch(range(6))["images"] for data in (once, more))
    assert torch.allclose(first[:, 0], second[:, 0], atol=1e-5)
    assert first[:, 3].square().mean() > second[:, 3].square().mean()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factors": ("scale",)}, "factor of a group"),
        ({"orders": (3, 3), "factors": ("translation_y", "translation_x")}, "in the order"),
        ({"length": 1}, "2 frames or more"),
        ({"sequences_per_image": 0}, "1 sequence or more"),
        ({"elements": (0, 10)}, "from 0 to 9"),
        ({"elements": ()}, "one or more"),
        ({"stay": 0.0}, "stay=0.0"),
        ({"fractions": (0.0, 0.0, 1.0), "test_images": shapes()}, "leave nothing"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(DataError, match=said):
        OrbitSequences(shapes(), **options)


@pytest.mark.parametrize(
    ("orders", "factors"),
    [((10, 7, 7), ("rotation", *XY["factors"])), ((4, 7), ("rotation", "translation_x"))],
)
def test_turns_that_carry_no_steps_into_steps_are_refused(orders, factors):
    with pytest.raises(ConfigError, match="turns by right angles"):
        OrbitSequences(shapes(), orders, factors)


def test_orders_that_make_no_group_are_refused():
    with pytest.raises(ConfigError, match="moves nothing"):
        OrbitSequences(shapes(), (1,))


def test_pairs_of_ones_own():
    first, second = torch.rand(2, 5, 1, 6, 6)
    labels = torch.arange(5)
    data = pairs_of(first, second, transformation=labels, first_object=labels, second_object=labels)
    assert torch.equal(data["images"][:, 1], second)
    assert torch.equal(data["transformation"], labels)
    with pytest.raises(DataError, match="2 pairs of different objects, such as pair 3"):
        pairs_of(first, second, first_object=labels, second_object=labels.clamp(max=2))
    with pytest.raises(DataError, match="one shape"):
        pairs_of(first, second[:4])
    with pytest.raises(DataError, match="NaN"):
        pairs_of(first, torch.full_like(first, torch.nan))
