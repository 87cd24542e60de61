"""Pictures of one soft ellipse, made of six factors."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["ELLIPSE_FACTORS", "render_ellipses"]

ELLIPSE_FACTORS = ("x", "y", "size", "hue", "background", "aspect")

_SOFTNESS = 0.08  # of the rim, as a share of the radius
_DARK = 0.5  # brightness of the background


def render_ellipses(
    factors: Float[Tensor, "*batch 6"], *, size: int = 32
) -> Float[Tensor, "*batch 3 row column"]:
    """Return pictures that change smoothly with all factors.

    Args:
        factors: Each from -1 to 1: column and height of the centre, radius, hue of the ellipse, hue
            of the darker background, and how much wider than high it is.
        size: Height and width of the pictures.
    """
    x, y, radius, hue, background, aspect = (each[..., None, None] for each in factors.unbind(-1))
    grid = torch.linspace(-1, 1, size, dtype=factors.dtype, device=factors.device)
    stretch = torch.exp(0.4 * aspect)
    across = (grid - 0.45 * x) / stretch
    up = (-grid.unsqueeze(-1) - 0.45 * y) * stretch
    distance = (across.square() + up.square() + 1e-6).sqrt() / (0.4 + 0.15 * radius)
    inside = torch.sigmoid((1 - distance) / _SOFTNESS).unsqueeze(-3)
    return inside * _colour(hue) + (1 - inside) * _DARK * _colour(background)


def _colour(hue: Float[Tensor, "*batch 1 1"]) -> Float[Tensor, "*batch 3 1 1"]:
    """Return a colour of a circle that is not closed, so that no two hues are alike."""
    thirds = torch.tensor([0.0, 1.0, 2.0], dtype=hue.dtype, device=hue.device) / 3
    turns = (0.35 * hue).unsqueeze(-3) - thirds[:, None, None]
    return 0.5 + 0.5 * torch.cos(2 * torch.pi * turns)
