"""Draws and enumerations that do not wait for the device, as those of torch may."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["all_spikes", "draw_category"]


def draw_category(logits: Float[Tensor, "*batch category"]) -> Int[Tensor, "*batch"]:
    """Draw a category by the Gumbel-max trick.

    Args:
        logits: Log-probabilities up to a constant, -inf for what is impossible.
    """
    gumbel = -torch.log(-torch.log(torch.rand_like(logits)))
    return (logits + gumbel).argmax(-1)


def all_spikes(
    frames: int, num_fields: int, *, reject_zero: bool = False, device: torch.device
) -> Bool[Tensor, "mask frame field"]:
    """Return every array of spikes, in the order of binary numbers.

    Args:
        frames: Number of frames.
        num_fields: Number of spikes in each.
        reject_zero: Whether to leave out those with a frame whose spikes are all off.
        device: Where to put them.
    """
    first = int(reject_zero)
    vectors = 2**num_fields - first
    arrays = torch.arange(vectors**frames, device=device)
    frame = vectors ** torch.arange(frames - 1, -1, -1, device=device)
    vector = arrays.unsqueeze(-1) // frame % vectors + first
    field = 2 ** torch.arange(num_fields - 1, -1, -1, device=device)
    return vector.unsqueeze(-1) // field % 2 == 1
