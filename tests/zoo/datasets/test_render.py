import colorsys
import math

import pytest
import torch
from torch import Tensor

from mutoscope.zoo.datasets import render_accumulated, render_once
from mutoscope.zoo.datasets.render import affine_matrix, shift_hue

MOVES = {"rotation": 50.0, "scale": 0.3, "translation_x": 1.5, "translation_y": -2.0}


def pose(**factors: list[float]) -> dict[str, Tensor]:
    return {name: torch.tensor([values]) for name, values in factors.items()}


def test_pose_zero_is_the_base_image(pictures: Tensor) -> None:
    zero = torch.zeros(len(pictures), 2)
    names = ("rotation", "scale", "translation_x", "translation_y", "brightness")
    frames = render_once(pictures, dict.fromkeys(names, zero))
    torch.testing.assert_close(frames[:, 1], pictures, atol=2e-6, rtol=0)


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_quarter_turns_are_those_of_rot90(pictures: Tensor, turns: int) -> None:
    frames = render_once(pictures[:1], pose(rotation=[90.0 * turns]))
    expected = torch.rot90(pictures[:1], turns, dims=(-2, -1))
    torch.testing.assert_close(frames[:, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(21, 21), (12, 30)])
def test_whole_pixels_move_right_and_down_and_zeros_come_in(height: int, width: int) -> None:
    image = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))
    frames = render_once(image, pose(translation_x=[3.0], translation_y=[2.0]))[0, 0]
    torch.testing.assert_close(frames[:, 2:, 3:], image[0, :, :-2, :-3], atol=1e-5, rtol=0)
    assert frames[:, :2].max() < 1e-5
    assert frames[..., :3].max() < 1e-5


def test_cyclic_translation_rolls() -> None:
    image = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    moved = pose(translation_x=[17.0], translation_y=[-3.0])
    frames = render_once(image, moved, cyclic=True)
    torch.testing.assert_close(frames[0, 0], image[0].roll((-3, 17), (-2, -1)), atol=1e-5, rtol=0)


def test_on_a_torus_the_image_turns_about_its_own_centre(pictures: Tensor) -> None:
    turn = pose(rotation=[130.0], scale=[0.2])
    moved = turn | pose(translation_x=[40.0], translation_y=[-25.0])
    there = render_once(pictures[:1], moved, cyclic=True)[0, 0]
    here = render_once(pictures[:1], turn, cyclic=True)[0, 0]
    torch.testing.assert_close(there, here.roll((-25, 40), (-2, -1)), atol=1e-4, rtol=0)


def test_doubling_a_disc_doubles_its_radius_on_an_oblong_canvas() -> None:
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(60) - 29.5, indexing="ij")
    disc = ((x**2 + y**2) < 64).float()[None, None]
    frame = render_once(disc, pose(scale=[math.log(2)]))[0, 0, 0]
    assert frame.sum().item() == pytest.approx(4 * disc.sum().item(), rel=0.02)
    torch.testing.assert_close(frame, ((x**2 + y**2) < 256).float(), atol=1, rtol=0)


def test_one_warp_is_the_composition_of_warps(pictures: Tensor) -> None:
    smooth = torch.nn.functional.avg_pool2d(pictures[:1], 5, stride=1)
    whole = render_once(smooth, pose(rotation=[50.0], scale=[0.3], translation_x=[1.5]))
    turned = render_once(smooth, pose(rotation=[50.0]))[:, 0]
    grown = render_once(turned, pose(scale=[0.3]))[:, 0]
    moved = render_once(grown, pose(translation_x=[1.5]))
    assert (moved - whole).abs().mean() < 0.015


def test_maps_of_single_factors_compose_to_the_map_of_all() -> None:
    one = {name: affine_matrix(pose(**{name: [value]})) for name, value in MOVES.items()}
    whole = affine_matrix(pose(**{name: [value] for name, value in MOVES.items()}))
    shift = one["translation_x"] @ one["translation_y"]
    torch.testing.assert_close(shift @ one["rotation"] @ one["scale"], whole)
    torch.testing.assert_close(shift @ one["scale"] @ one["rotation"], whole)


def test_accumulated_warps_agree_with_one_warp_but_blur(pictures: Tensor) -> None:
    steps = torch.arange(6.0)[None]
    motion = {"rotation": 7 * steps, "translation_y": 0.5 * steps, "scale": 0.02 * steps}
    once, repeated = (draw(pictures[:1], motion) for draw in (render_once, render_accumulated))
    torch.testing.assert_close(once[:, :2], repeated[:, :2], atol=1e-5, rtol=0)
    assert (once - repeated).abs().mean() < 0.03
    assert repeated[0, -1].diff(dim=-1).abs().sum() < once[0, -1].diff(dim=-1).abs().sum()


def test_quarter_turns_accumulate_without_loss(pictures: Tensor) -> None:
    motion = pose(rotation=[0.0, 90.0, 180.0])
    expected = render_once(pictures[:1], motion)
    actual = render_accumulated(pictures[:1], motion)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("degrees", [0.0, 20.0, 135.0, 359.0, -75.0, 500.0])
def test_hue_is_the_hue_of_the_hsv_model(degrees: float) -> None:
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    image[0, :, 0, 0] = 0.5
    image[0, :, 0, 1] = 0
    shifted = shift_hue(image, torch.tensor([degrees]))[0].flatten(1).T
    for before, after in zip(image[0].flatten(1).T.tolist(), shifted.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value)
        assert after == pytest.approx(expected, abs=1e-5)


def test_grey_images_are_coloured_from_red(pictures: Tensor) -> None:
    frames = render_once(pictures[:2], {"hue": torch.tensor([[0.0, 40.0, 120.0]] * 2)})
    red = torch.cat([pictures[:2], torch.zeros(2, 2, 21, 21)], dim=1)
    torch.testing.assert_close(frames[:, 0], red)
    torch.testing.assert_close(frames[:, 1], shift_hue(red, torch.tensor([40.0, 40.0])))
    torch.testing.assert_close(frames[:, 2], red.roll(1, dims=1))


def test_brightness_multiplies_and_stays_in_range(pictures: Tensor) -> None:
    frames = render_once(pictures[:1], pose(brightness=[math.log(0.5), math.log(4.0)]))
    torch.testing.assert_close(frames[:, 0], pictures[:1] / 2)
    torch.testing.assert_close(frames[:, 1], (pictures[:1] * 4).clamp(max=1))
