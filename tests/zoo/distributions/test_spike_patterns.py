"""Spikes that depend on each other: probabilities, divergence, and sums over all vectors."""

import itertools

import torch
from torch.distributions import Categorical, kl_divergence

from mutoscope.zoo.distributions import IndependentSpikes, SpikePatterns

EVERY = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
LOGITS = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def law():
    return SpikePatterns(LOGITS, num_spikes=3)


def test_probabilities_are_those_of_the_categorical():
    found = law().log_prob(EVERY[:, None].expand(8, 2, 3))
    torch.testing.assert_close(found, Categorical(logits=LOGITS).logits.T)
    drawn = law().sample((20_000,))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn.mean(0) - law().mean).abs().max() < 0.02
    together = (drawn[..., 0] * drawn[..., 2]).mean(0)
    expected = LOGITS.softmax(-1) @ (EVERY[:, 0] * EVERY[:, 2])
    torch.testing.assert_close(together, expected, atol=0.02, rtol=0.0)


def test_every_vector_is_proposed_and_averaged_exactly():
    made = law().proposals(law().sample())
    assert torch.equal(made.values, EVERY[:, None].expand(8, 2, 3))
    downstream = torch.randn(8, 2)
    expected = (LOGITS.softmax(-1).T * downstream).sum(0)
    torch.testing.assert_close(made.combine(downstream), expected)


def test_divergence_from_independent_spikes():
    logits = torch.tensor([0.5, -1.0, 2.0])
    prior = IndependentSpikes(logits)
    own = law().log_prob(EVERY[:, None].expand(8, 2, 3))
    expected = (own.exp() * (own - prior.log_prob(EVERY)[:, None])).sum(0)
    torch.testing.assert_close(kl_divergence(law(), prior), expected)
    same = SpikePatterns(prior.log_prob(EVERY), num_spikes=3)
    torch.testing.assert_close(kl_divergence(same, prior), torch.tensor(0.0), atol=1e-6, rtol=0.0)
