"""What a mask leaves out of a density is left out wherever densities are taken apart."""

import torch
from pyro.distributions import Normal

from mutoscope.inference.coordinates import mask_of
from mutoscope.inference.metrics.particles import unwrapped


def test_a_mask_says_which_numbers_of_a_value_count():
    mask = torch.tensor([[True, False, True], [False, True, True]])
    law = Normal(torch.zeros(2, 3, 4), 1.0).to_event(1).mask(mask).to_event(1)
    assert torch.equal(mask_of(law), mask.unsqueeze(-1).expand(2, 3, 4))
    other = law.mask(torch.tensor([True, False]))
    assert torch.equal(mask_of(other), mask_of(law) & torch.tensor([True, False])[:, None, None])
    assert mask_of(Normal(torch.zeros(2, 3), 1.0).to_event(1)) is None


def test_masks_hide_no_distribution():
    law = Normal(torch.zeros(2, 3), 1.0)
    assert unwrapped(law.to_event(1).mask(torch.ones(2).bool()).mask(False)) is law
