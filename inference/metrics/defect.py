"""Whether an encoder tears: jumps of a code along a path of images that is drawn ever finer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...zoo.errors import ConfigError, DataError

__all__ = ["TopologicalDefect", "topological_defect"]


@dataclass(frozen=True, eq=False)
class TopologicalDefect:
    """How far a code jumps along one path, at several resolutions.

    Attributes:
        steps: Number of steps that the path is cut into.
        largest: Largest jump between neighbours, in units of code.
        median: Median jump.
    """

    steps: Int[np.ndarray, " resolution"]
    largest: Float[np.ndarray, " resolution"]
    median: Float[np.ndarray, " resolution"]

    @property
    def ratio(self) -> Float[np.ndarray, " resolution"]:
        """Largest over median jump: bounded where a code is continuous, as steps if it tears."""
        return self.largest / self.median

    @property
    def growth(self) -> float:
        """Power of the number of steps as which the ratio grows: 0 is continuous, 1 is torn."""
        return float(np.polyfit(np.log(self.steps), np.log(self.ratio), 1)[0])


def topological_defect(
    code: Callable[[Tensor], Tensor],
    path: Callable[[Tensor], Tensor],
    steps: Sequence[int] = (32, 64, 128, 256, 512),
) -> TopologicalDefect:
    """Walk along a path of images, and look for jumps of their code.

    Where a path crosses an image that some element g leaves as it is, a code on a circle that g
    turns has nowhere to go: `f(x) = f(g x) = g f(x)` has no solution there. So it tears, unless it
    vanishes, and its jump stays however small the steps. This is the defect of disentanglement of
    Bouchacourt, Ibrahim and Deny 2021 (arXiv:2102.05623); the measure is ours.

    Args:
        code: Images to codes, `(image, latent)`, which are made unit vectors.
        path: Positions from 0 to 1 to images.
        steps: Numbers of steps, increasing; at least two.

    Raises:
        ConfigError: There are fewer than two resolutions, or one of fewer than three steps.
        DataError: The code does not move along the path, or is not finite.
    """
    if len(steps) < 2 or min(steps) < 3:
        raise ConfigError(f"Found steps={tuple(steps)}; expected two numbers or more, from 3 on.")
    largest, median = [], []
    for count in steps:
        with torch.no_grad():
            found = code(path(torch.linspace(0, 1, count + 1))).double()
        jumps = torch.nn.functional.normalize(found, dim=-1).diff(dim=0).norm(dim=-1)
        if not bool(jumps.isfinite().all()) or not bool(jumps.median() > 0):
            raise DataError(
                "Found a code that does not move along the path, or is not finite. Choose a path "
                "along which images differ."
            )
        largest.append(float(jumps.max()))
        median.append(float(jumps.median()))
    return TopologicalDefect(np.array(steps), np.array(largest), np.array(median))
