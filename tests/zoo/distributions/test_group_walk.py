"""Walks through a group: everything against sums over all of them."""

import itertools

import pytest
import torch
from torch.distributions import kl_divergence

from mutoscope.zoo.distributions import GroupWalk
from mutoscope.zoo.finite_group import FiniteGroup

GROUPS = [FiniteGroup((3,)), FiniteGroup((2, 2, 2), turning=True)]
EACH = pytest.mark.parametrize("group", GROUPS, ids=lambda g: str(g.orders))
T = 3


def walks(group):
    """Return the numbers of the elements of every walk."""
    return torch.tensor(list(itertools.product(range(len(group)), repeat=T)))


def chain(group, batch=(2,)):
    count = len(group)
    initial = torch.randn(*batch, count, dtype=torch.float64).log_softmax(-1)
    transition = torch.randn(*batch, T - 1, count, count, dtype=torch.float64).log_softmax(-1)
    return GroupWalk(initial, transition, group.table)


def table_of(law, group):
    """Return every walk as a value, and its probability."""
    values = law.of(walks(group))[:, None]
    return values, law.log_prob(values).exp()


@EACH
def test_probabilities_of_all_walks_sum_to_one(group):
    _, probability = table_of(chain(group), group)
    assert torch.allclose(probability.sum(0), torch.ones(2, dtype=torch.float64))


@EACH
def test_marginals_are_sums_over_walks(group):
    law = chain(group)
    values, probability = table_of(law, group)
    expected = (values * probability[..., None, None]).sum(0)
    assert torch.allclose(law.marginals(), expected)


@EACH
def test_poses_are_sums_over_walks_with_one_product(group):
    law = chain(group)
    _, probability = table_of(law, group)
    product = torch.zeros(len(walks(group)), dtype=torch.long)
    for t in range(T):
        product = group.table[walks(group)[:, t], product]
        for element in range(len(group)):
            expected = probability[product == element].sum(0)
            assert torch.allclose(law.poses()[:, t, element], expected)


@EACH
def test_frequencies_of_draws_are_probabilities(group):
    law = chain(group, ())
    drawn = law.sample((20_000,))
    assert (drawn.mean(0) - law.marginals()).abs().max() < 0.02
    pairs = (drawn[:, 0, :, None] * drawn[:, 1, None, :]).mean(0)
    expected = law.initial.exp()[:, None] * law.transition[0].exp()
    assert (pairs - expected).abs().max() < 0.02


@EACH
def test_the_posterior_of_a_chain_follows_bayes_rule(group):
    law, evidence = chain(group), torch.randn(2, T, len(group), dtype=torch.float64)
    values, probability = table_of(law, group)
    weight = probability * (values * evidence).sum((-2, -1)).exp()
    _, posterior = table_of(law.given(evidence), group)
    assert torch.allclose(posterior, weight / weight.sum(0))


@EACH
def test_the_divergence_is_a_sum_over_walks(group):
    one, other = chain(group), chain(group)
    values, probability = table_of(one, group)
    expected = (probability * (one.log_prob(values) - other.log_prob(values))).sum(0)
    assert torch.allclose(kl_divergence(one, other), expected)


@EACH
def test_proposals_average_what_depends_on_products(group):
    law = chain(group)
    _, probability = table_of(law, group)
    downstream = torch.randn(len(group), 2, T + 1, dtype=torch.float64)
    downstream[..., 0] = downstream[:1, :, 0]  # the first frame is seen before anything acts
    product, expected = torch.zeros(len(walks(group)), dtype=torch.long), downstream[0, :, 0]
    for t in range(T):
        product = group.table[walks(group)[:, t], product]
        expected = expected + (probability * downstream[product, :, t + 1]).sum(0)
    proposals = law.proposals(law.sample())
    assert torch.allclose(proposals.combine(downstream), expected)
    reached = proposals.values.argmax(-1)
    assert torch.equal(reached[:, 0, 0], torch.arange(len(group)))
    assert not reached[..., 1:].any()


def test_sticky_chains_stay_as_often_as_they_say():
    law = GroupWalk.sticky(torch.zeros(()), 40, GROUPS[0].table, 0.8)
    drawn = law.sample((500,)).argmax(-1)
    assert float((drawn[:, 1:] == drawn[:, :-1]).float().mean()) == pytest.approx(0.8, abs=0.02)


def test_a_single_transition_is_a_chain_too():
    law = GroupWalk.sticky(torch.zeros(()), 1, GROUPS[0].table, 0.8)
    evidence = torch.randn(4, 1, 3)
    assert torch.allclose(law.given(evidence).marginals(), evidence.softmax(-1))
    assert torch.allclose(law.given(evidence).poses(), evidence.softmax(-1))
