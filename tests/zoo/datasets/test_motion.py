import math

import pytest
import torch

from mutoscope.zoo.datasets import FACTORS, Motion, Trajectories
from mutoscope.zoo.errors import DataError


def sample(count: int = 2000, **options: object) -> Trajectories:
    return Motion(**options).sample(count, torch.Generator().manual_seed(1))


def test_pose_is_the_sum_of_speeds() -> None:
    drawn = sample(transforms=tuple(FACTORS), start={"rotation": (-30.0, 30.0)})
    torch.testing.assert_close(drawn.pose.diff(dim=1), drawn.speed, atol=1e-4, rtol=0)
    assert (drawn.pose[:, 0, 1:] == 0).all()
    first = drawn.pose[:, 0, 0]
    assert -30 <= first.min() < -29
    assert 29 < first.max() <= 30


def test_speed_is_the_multiplier_times_the_step_and_zero_where_off() -> None:
    drawn = sample(steps={"rotation": 10.0})
    step = torch.tensor([10.0, math.log(1.1)])
    torch.testing.assert_close(drawn.speed, drawn.multiplier * step)
    assert (drawn.speed[~drawn.spike] == 0).all()
    active = drawn.multiplier[drawn.spike]
    assert 0.5 <= active.min() < 0.51
    assert 1.49 < active.max() <= 1.5


def test_one_speed_a_sequence_when_asked() -> None:
    drawn = sample(speed_per="sequence")
    highest = drawn.multiplier.amax(1, keepdim=True)
    assert torch.equal(drawn.multiplier, highest * drawn.spike)


def test_signs_are_fair_and_constant_within_a_run() -> None:
    drawn = sample(signed=True)
    sign = drawn.multiplier.sign()
    runs_on = drawn.spike[:, 1:] & drawn.spike[:, :-1]
    assert torch.equal(sign[:, 1:][runs_on], sign[:, :-1][runs_on])
    starts = drawn.spike[:, 1:] & ~drawn.spike[:, :-1]
    assert sign[:, 1:][starts].mean().abs() < 0.06
    again = starts & (drawn.spike.cumsum(1)[:, :-1] > 0)
    assert (sign[:, 1:][again] < 0).any()
    assert (sign[:, 1:][again] > 0).any()


def test_laplace_slab_has_location_one_and_scale_a_tenth() -> None:
    drawn = sample(20_000, slab="laplace")
    active = drawn.multiplier[drawn.spike]
    assert active.median().item() == pytest.approx(1, abs=0.005)
    assert (active - 1).abs().mean().item() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transforms": ("rotatoin",)}, "Did you mean 'rotation'"),
        ({"transforms": ()}, "transforms is empty"),
        ({"transforms": ("hue", "hue")}, "names a factor twice"),
        ({"length": 1}, "at least 2 frames"),
        ({"p_on": 1.5}, "p_on=1.5 is no probability"),
        ({"speed": (2.0, 1.0)}, "expected 0 <= lowest <= highest"),
        ({"speed_per": "run"}, "Unknown speed_per"),
        ({"slab": "normal"}, "Unknown slab"),
        ({"steps": {"hue": 1.0}}, "Unknown key of steps"),
        ({"steps": {"scale": 0.0}}, "finite step other than 0"),
        ({"start": {"scale": (1.0, 0.0)}}, "lowest <= highest pose"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Motion(**options)


def test_one_factor_moves_each_sequence_throughout() -> None:
    motion = Motion(transforms=("rotation", "scale", "hue"), length=5, one_factor=True)
    spike = motion.sample(300, torch.Generator().manual_seed(0)).spike
    assert bool((spike.sum(-1) == 1).all())
    assert torch.equal(spike, spike[:, :1].expand_as(spike))
    assert (spike[:, 0].float().mean(0) - 1 / 3).abs().max() < 0.1
