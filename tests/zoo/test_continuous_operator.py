"""The generative story of operators of a circle, and what it refuses."""

import doctest
import math

import pytest
import torch

import mutoscope.zoo.continuous_operator as module
from mutoscope.guides import ContinuousOperatorGuide
from mutoscope.inference import fit
from mutoscope.zoo import ContinuousOperator, simulate
from mutoscope.zoo.datasets import OrbitSequences, polygons
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE = (1, 6, 6)


def make(**options):
    torch.manual_seed(0)
    options = {"image_shape": SHAPE, "highest_frequency": 2, "latent_dim": 12} | options
    return ContinuousOperator(ContinuousOperator.Config(**options))


def test_the_example_in_its_docstring():
    assert doctest.testmod(module).failed == 0


def test_frames_are_drawn_from_codes_that_turn():
    model = make(image_scale=1e-4, length=4)
    drawn = simulate(model, 8, seed=0)
    pose = drawn["angle"][:, None] * torch.arange(4)
    codes = model.operator(drawn["code"][:, None], pose)
    assert (model.decoder(codes) - drawn["images"]).abs().max() < 1e-2


@pytest.mark.parametrize("hidden", [0, 8])
def test_an_orbit_decoded_at_once_is_decoded_angle_by_angle(hidden):
    model = make(decoder_hidden_dim=hidden).double()
    code = torch.randn(2, 3, 12, dtype=torch.float64)
    orbit = model.orbit(code, 7)
    for k in range(7):
        angle = torch.tensor(2 * math.pi * k / 7, dtype=torch.float64)
        alone = model.decoder(model.operator(code, angle))
        assert torch.allclose(orbit[:, :, k], alone, atol=1e-12)


def test_labels_count_steps_of_a_turn():
    angle = make(orders=(8,)).label_angle(torch.tensor([0, 1, 4, 7]))
    assert torch.allclose(angle, math.pi * torch.tensor([0, 0.25, -1, -0.25]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orders": (1,)}, "at least 2 steps"),
        ({"orders": (4, 4), "factors": ("x", "y")}, "one factor: a circle"),
        ({"highest_frequency": 0}, "at least 1"),
        ({"latent_dim": 13}, "multiple of 6, such as 12"),
        ({"image_scale": 0.0}, "positive"),
        ({"length": 1}, "at least 2 frames"),
    ],
)
def test_options_that_make_no_model_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


def data(orders, factors=("rotation",), **options):
    options = {"sequences_per_image": 2, "fractions": (0.5, 0.25, 0.25)} | options
    return OrbitSequences(polygons(8, 6), orders, factors, **options)


@pytest.mark.parametrize(
    ("orders", "factors", "labelled"),
    [((3, 3), ("translation_x", "translation_y"), False), ((5,), ("rotation",), True)],
)
def test_data_of_another_group_are_refused(orders, factors, labelled):
    model = make(orders=(8,))
    with pytest.raises(DataError, match="model of one circle whose labels count 8 steps"):
        fit(
            model,
            ContinuousOperatorGuide(model),
            data(orders, factors, labelled=labelled),
            max_steps=1,
            progress=False,
        )


def test_what_is_to_be_inferred_may_turn_in_finer_steps():
    make(orders=(8,)).check_split(data((360,)).test)


def test_labels_outside_of_the_circle_are_refused():
    batch = {"images": torch.rand(2, 2, *SHAPE), "transformation": torch.tensor([0, 24])}
    with pytest.raises(DataError, match="0 to 23"):
        make().check_data(batch)
