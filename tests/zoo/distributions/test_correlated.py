"""Normals that depend on each other diverge from those that do not as the definition says."""

import pytest
import torch
from pyro.distributions import MultivariateNormal, Normal
from torch.distributions import Gamma, Independent, kl_divergence

from mutoscope.zoo.distributions import correlation_factor


def test_the_divergence_is_that_of_full_covariances():
    torch.manual_seed(0)
    factor = correlation_factor(torch.randn(4, 4, dtype=torch.float64))
    location, scale = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    scale = scale.exp()
    prior = MultivariateNormal(torch.zeros(5, 3, 4, dtype=torch.float64), scale_tril=factor)
    full = MultivariateNormal(location, scale_tril=torch.diag_embed(scale))
    found = kl_divergence(Normal(location, scale).to_event(1), prior)
    torch.testing.assert_close(found, kl_divergence(full, prior))


def test_other_families_have_none():
    prior = MultivariateNormal(torch.zeros(4), scale_tril=torch.eye(4))
    with pytest.raises(NotImplementedError):
        kl_divergence(Independent(Gamma(torch.ones(4), torch.ones(4)), 1), prior)


def test_a_factor_is_that_of_a_correlation_matrix():
    factor = correlation_factor(torch.randn(5, 5))
    matrix = factor @ factor.mT
    torch.testing.assert_close(matrix.diagonal(), torch.ones(5))
    assert (torch.linalg.eigvalsh(matrix) > 0).all()
    assert torch.equal(correlation_factor(torch.zeros(3, 3)), torch.eye(3))
