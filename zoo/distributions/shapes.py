"""The type of a sample shape, as torch has it."""

import torch

__all__ = ["Shape"]

Shape = torch.Size | list[int] | tuple[int, ...]
