"""Independent spikes: probabilities, divergence, and sums over all vectors."""

import itertools

import torch
from torch.distributions import Bernoulli, kl_divergence

from mutoscope.zoo.distributions import IndependentSpikes

LOGITS = torch.tensor([[0.3, -1.0, 0.5], [0.0, 2.0, -0.5]])
EVERY = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))


def test_probabilities_and_divergences_are_those_of_bernoullis():
    one, other = IndependentSpikes(LOGITS), IndependentSpikes(LOGITS.flip(0))
    drawn = one.sample((20_000,))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn.mean(0) - one.mean).abs().max() < 0.02
    bernoulli = Bernoulli(logits=LOGITS)
    torch.testing.assert_close(one.log_prob(drawn), bernoulli.log_prob(drawn).sum(-1))
    expected = kl_divergence(bernoulli, Bernoulli(logits=LOGITS.flip(0))).sum(-1)
    torch.testing.assert_close(kl_divergence(one, other), expected)


def test_certainty_costs_what_the_prior_says():
    certain = IndependentSpikes(torch.tensor([200.0, -200.0]))
    found = kl_divergence(certain, IndependentSpikes(torch.zeros(2)))
    torch.testing.assert_close(found, 2 * torch.tensor(2.0).log())


def test_every_vector_is_weighed_by_its_probability():
    law = IndependentSpikes(LOGITS.clone().requires_grad_())
    proposals = law.proposals(law.sample())
    assert torch.equal(proposals.values, EVERY[:, None].expand(8, 2, 3))
    downstream = torch.randn(8, 2)
    weights = law.log_prob(EVERY[:, None]).exp()
    torch.testing.assert_close(weights.sum(0), torch.ones(2))
    found, expected = proposals.combine(downstream).sum(), (weights * downstream).sum()
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each, law.logits)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_local_expectations_have_the_same_gradient_on_average():
    exact = IndependentSpikes(LOGITS.clone().requires_grad_())
    many = IndependentSpikes(exact.logits.expand(4000, -1, -1), estimator="local_expectation")

    def downstream(spikes):
        return (spikes.sum(-1) - 1.2) ** 2

    gradients = []
    for law in (exact, many):
        made = law.proposals(law.sample())
        value = made.combine(downstream(made.values))
        value = value if law is exact else value.mean(0)
        gradients.append(torch.autograd.grad(value.sum(), exact.logits)[0])
    torch.testing.assert_close(*gradients, atol=0.03, rtol=0.0)


def test_frames_are_summed_one_by_one():
    frames = IndependentSpikes(LOGITS).to_event(1)
    made = frames.base_dist.proposals(frames.sample(), len(frames.event_shape))
    assert made.parts == 1
    assert made.values.shape == (8, 2, 3)
