"""One of K categories: probabilities, divergence and sums over all of them."""

import torch
from torch.distributions import Categorical, kl_divergence

from mutoscope.zoo.distributions import OneOf

LOGITS = torch.tensor([[0.3, -1.0, 0.5], [0.0, 2.0, -0.5]])


def test_values_are_vectors_with_a_single_one():
    drawn = OneOf(LOGITS).sample((50,))
    assert drawn.shape == (50, 2, 3)
    assert torch.equal(drawn.sum(-1), torch.ones(50, 2))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}


def test_frequencies_are_probabilities():
    drawn = OneOf(LOGITS).sample((20_000,))
    assert (drawn.mean(0) - OneOf(LOGITS).mean).abs().max() < 0.02


def test_log_probabilities_and_divergences_are_those_of_the_categorical():
    one, other = OneOf(LOGITS), OneOf(LOGITS.flip(0))
    category = torch.tensor([2, 0])
    assert torch.allclose(
        one.log_prob(one.of(category)), Categorical(logits=LOGITS).log_prob(category)
    )
    expected = kl_divergence(Categorical(logits=LOGITS), Categorical(logits=LOGITS.flip(0)))
    assert torch.allclose(kl_divergence(one, other), expected)


def test_what_is_impossible_under_both_costs_nothing():
    certain = OneOf(torch.tensor([0.0, -torch.inf]))
    assert kl_divergence(certain, OneOf(torch.zeros(2))).isclose(torch.tensor(2.0).log())


def test_every_category_is_proposed_and_averaged_exactly():
    law = OneOf(LOGITS.clone().requires_grad_())
    proposals = law.proposals(law.sample())
    assert torch.equal(proposals.values, torch.eye(3)[:, None].expand(3, 2, 3))
    assert torch.equal(proposals.values, law.enumerate_support())
    assert law.enumerate_support(expand=False).shape == (3, 1, 3)
    downstream = torch.randn(3, 2)
    mean = proposals.combine(downstream)
    assert torch.allclose(mean, (law.mean.mT * downstream).sum(0))
    (gradient,) = torch.autograd.grad(mean.sum(), law.logits)
    expected = law.mean * (downstream.mT - mean[:, None])
    assert torch.allclose(gradient, expected, atol=1e-6)
