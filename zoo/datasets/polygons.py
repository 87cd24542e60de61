"""Random polygons: simple shapes on which a symmetry is easy to see."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import DataError
from .images import Images

__all__ = ["draw_polygons", "polygons", "square"]

CITATION = (
    "D. Bouchacourt, M. Ibrahim, S. Deny: Addressing the Topological Defects of Disentanglement "
    "via Distributed Operators, arXiv:2102.05623, 2021 (drawn anew)."
)
_CORNERS = 5


def polygons(count: int = 300, image_size: int = 28, *, seed: int = 1) -> Images:
    """Return outlines of pentagons whose corners are random, away from the border.

    Args:
        count: Number of shapes.
        image_size: Height and width, in pixels.
        seed: Of the corners.

    Raises:
        DataError: There is no shape, or too few pixels for corners.
    """
    low, high = int(image_size / 6), int(image_size - 1 - image_size / 6)
    if count < 1 or high - low < 2:
        raise DataError(
            f"Found count={count} and image_size={image_size}; expected 1 shape or more, of 6 "
            "pixels or more."
        )
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(low, high, (count, _CORNERS, 2), generator=generator)
    return Images(pixels=draw_polygons(corners, image_size), name="polygons", citation=CITATION)


def square(image_size: int = 28) -> Images:
    """Return one shape that quarter turns about the centre of the picture leave as it is."""
    near, far = image_size // 4, image_size - 1 - image_size // 4
    corners = torch.tensor([[[near, near], [far, near], [far, far], [near, far]]])
    return Images(pixels=draw_polygons(corners, image_size), name="square")


def draw_polygons(
    corners: Int[Tensor, "shape corner 2"], image_size: int
) -> Float[Tensor, "shape 1 row column"]:
    """Draw closed outlines, white on black.

    A pixel is as bright as it is near to the line, along the axis that the line is steeper to:
    Wu, "An Efficient Antialiasing Technique", 1991. Faint pixels are then darkened a little, so
    that the ink of each set has one contrast.

    Args:
        corners: Column and row of each corner, whole pixels.
        image_size: Height and width, in pixels.
    """
    begin, end = corners.float(), corners.roll(-1, 1).float()
    steep = ((end - begin).abs().diff(dim=-1) > 0).expand_as(begin)
    begin, end = (torch.where(steep, point.flip(-1), point) for point in (begin, end))
    grid = torch.arange(image_size)
    column, row = (axis.float() for axis in torch.meshgrid(grid, grid, indexing="xy"))
    first = steep[..., :1, None]
    along, across = torch.where(first, row, column), torch.where(first, column, row)
    x0, y0, x1, y1 = torch.cat([begin, end], -1)[..., None, None].unbind(2)
    run = x1 - x0
    line = y0 + (along - x0) * (y1 - y0) / torch.where(run == 0, 1.0, run)
    inside = (along >= torch.minimum(x0, x1)) & (along <= torch.maximum(x0, x1)) & (run != 0)
    ink = torch.where(inside, 1 - (across - line).abs(), 0.0).clamp_min(0).amax(1)
    paper = 1 - ink
    return (1 - paper / paper.mean()).clamp(0, 1).unsqueeze(1)
