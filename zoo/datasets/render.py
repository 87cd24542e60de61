"""Batched drawing of images under a pose: one affine warp and one change of colour a frame."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["affine_matrix", "render_accumulated", "render_once", "shift_hue", "warp"]


def render_once(
    images: Float[Tensor, "batch channel height width"],
    pose: Mapping[str, Float[Tensor, "batch time"]],
    *,
    cyclic: bool = False,
) -> Float[Tensor, "batch time colour height width"]:
    """Draw every frame by one warp of the base image, so that nothing blurs with time.

    Args:
        images: Base images in [0, 1].
        pose: Accumulated parameter of each factor: rotation (degrees, counter-clockwise), scale
            and brightness (logarithms), hue (degrees), translation_x, translation_y (pixels, to
            the right and down). Grey images under hue are drawn in colour, red at hue 0.
        cyclic: Translate on a torus: what leaves the canvas on one side enters on the other.

    Returns:
        Frames in [0, 1].
    """
    batch, time = next(iter(pose.values())).shape
    frames = images.unsqueeze(1).expand(-1, time, -1, -1, -1).flatten(0, 1)
    matrix = affine_matrix(pose)
    if matrix is not None:
        matrix = matrix.flatten(0, 1)
        centre = matrix[:, :2, 2] if cyclic else None
        frames = warp(frames, torch.linalg.inv(matrix), centre)
    return _colour(frames.reshape(batch, time, *frames.shape[1:]), pose)


def render_accumulated(
    images: Float[Tensor, "batch channel height width"],
    pose: Mapping[str, Float[Tensor, "batch time"]],
) -> Float[Tensor, "batch time colour height width"]:
    """Draw every frame by warping the frame before it, as the published code of STA does.

    The frames are those of `render_once` up to the blur and the losses at the border, which grow
    with time. Arguments and result are the same.
    """
    matrix = affine_matrix(pose)
    if matrix is None:
        return render_once(images, pose)
    inverse = torch.linalg.inv(matrix)
    frames = [warp(images, inverse[:, 0])]
    for t in range(1, inverse.shape[1]):
        frames.append(warp(frames[-1], matrix[:, t - 1] @ inverse[:, t]))
    return _colour(torch.stack(frames, dim=1), pose)


def affine_matrix(
    pose: Mapping[str, Float[Tensor, "*batch"]],
) -> Float[Tensor, "*batch 3 3"] | None:
    """Return the map from base to frame in pixels about the centre, x to the right and y down.

    The image is turned and scaled about its own centre, which is then translated: poses add up
    in any order. None when no factor moves points.
    """
    if not {"rotation", "scale", "translation_x", "translation_y"} & pose.keys():
        return None
    zero = torch.zeros_like(next(iter(pose.values())))
    angle = pose.get("rotation", zero).deg2rad()
    size = pose.get("scale", zero).exp()
    cos, sin = size * angle.cos(), size * angle.sin()
    x, y = pose.get("translation_x", zero), pose.get("translation_y", zero)
    rows = [cos, sin, x, -sin, cos, y, zero, zero, zero + 1]
    return torch.stack(rows, dim=-1).reshape(*zero.shape, 3, 3)


def warp(
    images: Float[Tensor, "batch channel height width"],
    inverse: Float[Tensor, "batch 3 3"],
    centre: Float[Tensor, "batch 2"] | None = None,
) -> Float[Tensor, "batch channel height width"]:
    """Draw images through an affine map, bilinear, black outside.

    Args:
        images: Images in [0, 1].
        inverse: Map from points of the result to points of `images`, in pixels about the centre.
        centre: Where the map sends the centre. When given, the result is a torus, each of whose
            points shows what it would show in the canvas around this centre.
    """
    if len(images) == 0:
        return images
    height, width = images.shape[-2:]
    half = inverse.new_tensor([width / 2, height / 2, 1.0])
    theta = (inverse * half / half[:, None])[:, :2]
    if centre is None:
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    else:
        still = torch.eye(2, 3).to(theta).expand_as(theta)
        points = functional.affine_grid(still, list(images.shape), align_corners=False)
        offset = (points - (centre / half[:2])[:, None, None] + 1).remainder(2) - 1
        images = functional.pad(images, (1, 1, 1, 1), mode="circular")
        edge = theta.new_tensor([width / (width + 2), height / (height + 2)])
        grid = torch.einsum("bij,bhwj->bhwi", theta[..., :2], offset) * edge
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def shift_hue(
    images: Float[Tensor, "*batch 3 height width"], degrees: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 height width"]:
    """Turn the hue of colour images (hue of the HSV model), saturation and value unchanged."""
    red, green, blue = images.unbind(-3)
    value, largest = images.max(-3)
    chroma = value - images.amin(-3)
    safe = chroma.clamp_min(torch.finfo(images.dtype).tiny)
    sixths = torch.stack([green - blue, blue - red, red - green], dim=-3) / safe.unsqueeze(-3)
    sixths = sixths.gather(-3, largest.unsqueeze(-3)).squeeze(-3) + 2 * largest
    return _of_hue(sixths + degrees[..., None, None] / 60, value, chroma)


def _of_hue(sixths: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """Return the colour of a hue (in sixths of a turn), a value and a chroma."""
    offset = sixths.new_tensor([5.0, 3.0, 1.0])[:, None, None]
    phase = (offset + sixths.unsqueeze(-3)).remainder(6)
    fall = torch.minimum(phase, 4 - phase).clamp(0, 1)
    return value.unsqueeze(-3) - chroma.unsqueeze(-3) * fall


def _colour(
    frames: Float[Tensor, "batch time channel height width"],
    pose: Mapping[str, Float[Tensor, "batch time"]],
) -> Float[Tensor, "batch time colour height width"]:
    """Apply the brightness and the hue of every frame."""
    if "hue" in pose:
        if frames.shape[2] == 1:
            one = frames.new_ones(*pose["hue"].shape, 1, 1)
            frames = frames * _of_hue(pose["hue"][..., None, None] / 60, one, one)
        else:
            frames = shift_hue(frames, pose["hue"])
    if "brightness" in pose:
        frames = frames * pose["brightness"].exp()[..., None, None, None]
    return frames.clamp(0, 1)
