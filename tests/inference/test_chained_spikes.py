"""Chains of spikes: their density, and the posterior that independent spikes stand for."""

import itertools

import pytest
import torch
from pyro.distributions import Normal

from mutoscope.inference.chained_spikes import ChainedSpikeAndSlab, chain_of
from mutoscope.zoo.distributions import MarkovSpikeAndSlab, SpikeAndSlab

LENGTH = 4
PATTERNS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=LENGTH))).unsqueeze(-1)
UNIT = Normal(torch.tensor(1.0), 1.0)


def chained(logits, following, **options):
    frames = SpikeAndSlab(logits, UNIT.expand([logits.shape[-1]]), **options)
    return ChainedSpikeAndSlab(frames, following)


def log_spikes(law, patterns):
    """Return the log-probability of spikes: slabs of 1 have a density that is known."""
    return law.log_prob(patterns) - patterns.sum((-1, -2)) * UNIT.log_prob(torch.tensor(1.0))


def test_a_sticky_prior_is_such_a_chain():
    prior = MarkovSpikeAndSlab(UNIT, length=LENGTH, num_fields=1)
    off, on = torch.logit(torch.tensor([0.1, 0.9]))
    law = chained(off.expand(LENGTH, 1), (on - off).expand(LENGTH, 1))
    torch.testing.assert_close(law.log_prob(PATTERNS), prior.log_prob(PATTERNS))


@pytest.mark.parametrize("reject_zero", [False, True])
def test_draws_are_as_frequent_as_their_density_says(reject_zero):
    torch.manual_seed(0)
    law = chained(torch.randn(3, 2), 2 * torch.randn(3, 2), reject_zero=reject_zero)
    patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).unflatten(1, (3, 2))
    probability = log_spikes(law, patterns).exp()
    assert float(probability.sum()) == pytest.approx(1, abs=1e-4)
    drawn = (law.sample((20_000,)) != 0).long().flatten(1) @ 2 ** torch.arange(5, -1, -1)
    share = torch.bincount(drawn, minlength=64) / 20_000
    assert (share - probability).abs().max() < 0.015


def test_the_closest_independent_spikes_stand_for_the_posterior():
    torch.manual_seed(1)
    prior = MarkovSpikeAndSlab(UNIT, length=LENGTH, num_fields=1, initial=0.3)
    evidence = 2 * torch.randn(LENGTH, 1)
    joint = log_spikes(prior, PATTERNS) + (PATTERNS * evidence).sum((-1, -2))
    logits = torch.zeros(LENGTH, 1)
    for _ in range(200):  # coordinate ascent, over all patterns
        for k in range(LENGTH):
            probs = torch.sigmoid(logits).log(), torch.sigmoid(-logits).log()
            each = torch.where(PATTERNS > 0, *probs)
            rest = (each.sum((-1, -2)) - each[:, k, 0]).exp()
            on = PATTERNS[:, k, 0] > 0
            logits[k, 0] = (rest * joint)[on].sum() - (rest * joint)[~on].sum()
    found = log_spikes(chained(*chain_of(logits, prior)), PATTERNS)
    torch.testing.assert_close(found, joint - joint.logsumexp(0), rtol=1e-3, atol=1e-3)
