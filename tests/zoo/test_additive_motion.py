"""Parts that move along lines, and the exact posterior of a line."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from mutoscope.guides.additive_motion import AdditiveMotionGuide, Line
from mutoscope.zoo import simulate
from mutoscope.zoo.additive_motion import AdditiveMotion
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE = (3, 4, 4)


def motion(**options):
    sizes = {"decoder_hidden_dim": 8, "decoder_layers": 2, "num_blocks": 3}
    torch.manual_seed(0)
    return AdditiveMotion(AdditiveMotion.Config(image_shape=SHAPE, **sizes | options))


def test_blocks_go_along_lines():
    drawn = simulate(motion(length=6), 40, seed=0)
    assert drawn["images"].shape == (40, 6, *SHAPE)
    latent, start, speed = drawn["z"].squeeze(-1), drawn["start"], drawn["speed"]
    for t in range(6):
        torch.testing.assert_close(latent[:, t], start + t * speed)


def test_a_frame_is_a_still_picture_of_where_blocks_are():
    model = motion()
    start, speed = torch.randn(2, 5, 3)
    latent = model.moved(start, speed, 4)
    assert latent.shape == (5, 4, 3, 1)
    moving = model.still.mean_image(latent)
    torch.testing.assert_close(moving[:, 2], model.still.mean_image((start + 2 * speed)[..., None]))


def test_one_part_moves_though_another_stands():
    model = motion()
    start, speed = torch.randn(2, 5, 3)
    speed[:, 1] = 0
    parts = model.still.parts(model.moved(start, speed, 4))
    assert torch.equal(parts[:, :1, 1].expand(-1, 4, -1, -1, -1), parts[:, :, 1])
    assert (parts[:, 0, 0] != parts[:, 3, 0]).any()


def test_the_posterior_of_a_line_is_that_of_bayesian_regression():
    torch.manual_seed(1)
    place, noise = torch.randn(5, 2, dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    line = Line.through(place, noise**-2, 0.7)
    design = torch.stack([torch.ones(5), torch.arange(5.0)], 1).double()
    for block in range(2):
        weights = torch.diag(noise[:, block] ** -2)
        prior = torch.diag(torch.tensor([1.0, 0.7**-2], dtype=torch.float64))
        precision = prior + design.T @ weights @ design
        covariance = torch.linalg.inv(precision)
        mean = covariance @ design.T @ weights @ place[:, block]
        exact = MultivariateNormal(mean, covariance)
        start, speed = exact.sample((4,)).unbind(-1)
        guide = AdditiveMotionGuide(motion(num_blocks=2))
        many = [x.expand(4, 2) for x in vars(line).values()]
        drawn = speed[:, None].expand(4, 2)
        slope = guide.speed_posterior(Line(*many)).base_dist.log_prob(drawn)
        given = guide.start_posterior(Line(*many), drawn).base_dist.log_prob(start[:, None])
        torch.testing.assert_close(
            (slope + given)[:, block], exact.log_prob(torch.stack([start, speed], -1))
        )


def test_frames_that_say_nothing_leave_the_prior():
    line = Line.through(torch.randn(4, 2), torch.zeros(4, 2), 0.3)
    expected = (0.0, 0.3, 0.0, 0.0, 1.0)
    for found, value in zip(vars(line).values(), expected, strict=True):
        torch.testing.assert_close(found, torch.full((2,), value))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 1}, "at least 2 frames"),
        ({"speed_scale": 0.0}, "speed_scale=0"),
        ({"num_blocks": 1}, "one block is no sum"),
        ({"image_scale": 0.0}, "image_scale=0"),
    ],
)
def test_what_does_not_move_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        motion(**options)


def test_single_images_are_refused():
    with pytest.raises(DataError, match="at least 2 are needed"):
        motion().check_data({"images": torch.rand(3, 1, *SHAPE)})
