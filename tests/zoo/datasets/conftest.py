import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture
def pictures() -> Tensor:
    """Smooth grey images whose content stays away from the border."""
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(12, 1, 5, 5, generator=generator)
    large = torch.nn.functional.interpolate(small, size=13, mode="bicubic").clamp(0, 1)
    return torch.nn.functional.pad(large, (4, 4, 4, 4))


@pytest.fixture
def random_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 3, 6, 8), dtype=np.uint8)
