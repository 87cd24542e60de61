"""Pictures of balls are exact sums, on the supports that they say."""

import numpy as np
import pytest
import torch

from mutoscope.zoo.datasets.balls import MovingBalls, hide_balls, render_balls
from mutoscope.zoo.errors import DataError

COLOURS = torch.tensor([[0.9, 0.0, 0.5], [0.2, 0.3, 0.4]], dtype=torch.float64)


def heights(support, **options):
    return MovingBalls(support, train_size=4000, test_size=500, **options).train.truth.position[
        :, 0, :, 1
    ]


def test_a_picture_is_white_and_one_ball_and_the_other():
    data = MovingBalls(train_size=20, test_size=5)
    rows = torch.arange(20)
    parts, images = data.train.parts(rows), data.train.batch(rows)["images"]
    assert images.shape == (20, 1, *data.image_shape)
    assert torch.equal(images, 1 + parts.sum(-4))
    assert images.min() >= 0
    assert images.max() <= 1
    assert (parts.flatten(3).abs().amax(-1) > 0.1).all()


def test_a_ball_has_its_colour_at_its_centre_and_is_nowhere_else():
    centre = torch.tensor([[0.25, 0.75], [0.75, 0.5]], dtype=torch.float64)
    parts = render_balls(centre, size=21, radius=0.3, colours=COLOURS)
    torch.testing.assert_close(parts[0, :, 5, 5], COLOURS[0] - 1)  # heights are upwards
    torch.testing.assert_close(parts[1, :, 10, 15], COLOURS[1] - 1)
    row, column = torch.meshgrid(torch.arange(21) / 20, torch.arange(21) / 20, indexing="ij")
    outside = ((column - 0.25) ** 2 + (row - 0.25) ** 2).sqrt() >= 0.3
    assert (parts[0][:, outside] == 0).all()


def test_pictures_are_smooth_functions_of_centres():
    def picture(centre):
        return render_balls(centre, size=9, radius=0.4, colours=COLOURS)

    centre = torch.tensor([[0.31, 0.62], [0.7, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(picture, centre)
    assert torch.autograd.gradgradcheck(picture, centre)


def test_supports_are_what_they_are_called():
    y = heights("l_shape")
    assert not (y > 0.5).all(1).any()
    shares = [float((y[:, k] < 0.5).float().mean()) for k in range(2)]
    np.testing.assert_allclose(shares, 2 / 3, atol=0.03)
    y = heights("disconnected")
    assert ((y[:, 1] - 0.5).abs() > 0.3).all()
    y = heights("u_shape")
    assert (((y[:, 1] - 0.5).abs() > 0.2) | (y[:, 0] < 0.25)).all()
    y = heights("square")
    np.testing.assert_allclose(np.corrcoef(y.T)[0, 1], 0, atol=0.05)
    corner = MovingBalls("l_shape", train_size=5, test_size=500).corner
    assert (corner.truth.position[:, 0, :, 1] > 0.5).all()


def test_balls_in_the_plane_do_not_meet():
    for blocks in ("independent", "dependent"):
        data = MovingBalls(blocks=blocks, train_size=2000, test_size=5)
        first, second = data.train.truth.position[:, 0].unbind(1)
        assert ((first - second).norm(dim=1) >= 0.32).all()
        upper_left = (second[:, 0] <= 0.5) & (second[:, 1] >= 0.5)
        assert bool((upper_left == (first.sum(1) >= 1)).all()) == (blocks == "dependent")


def test_what_the_second_ball_depends_on_may_be_curved():
    data = MovingBalls(blocks="curved", train_size=2000, test_size=5)
    first, second = data.train.truth.position[:, 0].unbind(1)
    beyond = 1.25 * (first**2).sum(1) >= 1
    assert torch.equal(second[:, 0] <= 0.5, beyond)
    assert torch.equal(second[:, 1] >= 0.5, beyond)
    assert 0.3 < float(beyond.float().mean()) < 0.7
    assert not torch.equal(beyond, first.sum(1) >= 1)


def test_as_many_balls_are_there_as_asked_for():
    data = MovingBalls("square", balls=(0, 2), train_size=3000, test_size=5)
    present = data.train.truth.presence[:, 0]
    numbers = torch.bincount(present.sum(1).long(), minlength=3) / 3000
    np.testing.assert_allclose(numbers, 1 / 3, atol=0.03)
    alone = present[present.sum(1) == 1].mean(0)
    np.testing.assert_allclose(alone, 0.5, atol=0.05)
    parts = data.train.parts(torch.arange(50)).flatten(3).abs().amax(-1)
    assert torch.equal((parts > 0).float(), data.train.truth.presence[:50])
    assert MovingBalls(train_size=5, test_size=5).train.truth.presence is None


@pytest.mark.parametrize("blocks", ["height", "independent", "dependent"])
def test_the_second_ball_hides_the_first_where_they_meet(blocks):
    data = MovingBalls(blocks=blocks, occlusion=True, train_size=300, test_size=5)
    rows = torch.arange(300)
    parts, images = data.train.parts(rows), data.train.batch(rows)["images"]
    assert images.min() >= 0
    assert images.max() <= 1
    sums = 1 + parts.sum(-4)
    meet = (parts != 0).any(-3).all(-3).any((-2, -1))[:, 0]
    assert meet.any()
    torch.testing.assert_close(images[~meet], sums[~meet])
    assert ((images - sums).abs().flatten(1).amax(1)[meet] > 0).any()
    first, second = data.train.truth.position[:, 0].unbind(1)
    assert ((first - second).norm(dim=1).min() < 0.32) == (blocks != "height")


def test_an_opaque_ball_leaves_nothing_of_the_one_below():
    centres = torch.full((2, 2), 0.5, dtype=torch.float64)
    parts = render_balls(centres, size=21, radius=0.3, colours=COLOURS)
    torch.testing.assert_close(hide_balls(parts, COLOURS)[:, 10, 10], COLOURS[1])


def test_a_seed_settles_the_pictures_and_splits_differ():
    first, again, other = (MovingBalls(train_size=9, test_size=9, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.train.observations["images"], again.train.observations["images"])
    assert not torch.equal(first.train.truth.position, other.train.truth.position)
    assert not torch.equal(first.train.truth.position, first.test.truth.position)


@pytest.mark.parametrize(
    "options",
    [
        {"support": "z_shape"},
        {"blocks": "both"},
        {"size": 3},
        {"radius": 0.0},
        {"test_size": 0},
        {"balls": (2, 1)},
        {"balls": (1, 3)},
        {"balls": (1.0, 2)},
    ],
)
def test_other_balls_are_refused(options):
    with pytest.raises(DataError, match="needed"):
        MovingBalls(**options)
