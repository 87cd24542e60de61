"""Posteriors of a guide that a few more steps have moved."""

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Delta,
    Dirichlet,
    Gamma,
    Independent,
    LogNormal,
    Normal,
    OneHotCategorical,
)
from torch import nn

from mutoscope.inference.diagnostics import importance_sampling
from mutoscope.inference.metrics.particles import evaluation
from mutoscope.inference.posterior import posterior
from mutoscope.inference.refinement import refine
from mutoscope.inference.sampler import Sampler
from mutoscope.zoo.distributions import MarkovSpikeAndSlab, OneActiveField, SpikeAndSlab
from mutoscope.zoo.errors import ConfigError, DataError

from .linear_gaussian import DIM, LinearGaussian, exact_pair, simulated

ONES = torch.ones(2)
LAWS = {
    "normal": lambda n: Normal(torch.zeros(n, 3), 1.0).to_event(1),
    "positive": lambda n: LogNormal(torch.zeros(n), 0.5),
    "gamma": lambda n: Gamma(torch.full((n, 2), 3.0), 2.0).to_event(1),
    "bounded": lambda n: Beta(torch.full((n,), 2.0), 3.0),
    "simplex": lambda n: Dirichlet(torch.full((n, 3), 4.0)),
    "matrix": lambda n: Normal(torch.zeros(n, 2, 2), 1.0).to_event(2),
    "spikes": lambda n: SpikeAndSlab(torch.zeros(n, 3), LogNormal(torch.ones(3), 0.4)),
    "rows of spikes": lambda n: Independent(
        SpikeAndSlab(torch.zeros(n, 2, 2), Normal(ONES, 1.0)), 1
    ),
    "shared slabs": lambda n: SpikeAndSlab(torch.zeros(n, 4), Normal(ONES, 1.0), controls=2),
    "never all off": lambda n: SpikeAndSlab(torch.zeros(n, 2), Normal(ONES, 1.0), reject_zero=True),
    "coin": lambda n: Bernoulli(torch.full((n,), 0.4)),
    "coins": lambda n: Bernoulli(logits=torch.zeros(n, 2)).to_event(1),
    "category": lambda n: Categorical(torch.tensor([0.2, 0.3, 0.5]).expand(n, 3)),
    "one hot": lambda n: OneHotCategorical(torch.tensor([0.2, 0.3, 0.5]).expand(n, 3)),
    "one active": lambda n: OneActiveField(torch.zeros(n, 3), length=2),
}
SEEN = {"x": torch.tensor([[0.3], [-0.2], [0.5], [1.0]])}


class TwoSites(nn.Module):
    """A latent of some law, then one near a multiple of its sum, and data that tell of neither."""

    def __init__(self, law, *, observes):
        super().__init__()
        self.law, self.observes = law, observes

    def forward(self, x, *, size=None):
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            law = self.law(len(x))
            first = pyro.sample("first", law)
            batch = first.shape[: first.ndim - len(law.event_shape)]
            pyro.sample("second", Normal(0.5 * first.reshape(*batch, -1).sum(-1), 1.0))
            if self.observes:
                pyro.sample("x", Normal(torch.zeros(1), 1.0).to_event(1), obs=x)


def two_sites(law):
    return TwoSites(law, observes=True), TwoSites(law, observes=False)


def moved(model, guide, data, seed=1):
    """Return a guide that is moved at random."""
    refined = refine(model, guide, data, steps=1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in refined.moved():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return refined


def weights(model, guide, data, draws):
    with evaluation(model, guide, seed=0):
        sampler = Sampler(model, guide, data)
        found = sampler.densities(sampler.draw(data, draws))
    return found.log_p - found.log_q


def stats(model, guide, data, draws=500):
    return posterior(
        model, guide, data, draws=draws, progress=False, groups=("posterior", "sample_stats")
    )


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_weights_of_a_guide_that_was_moved_anyhow_average_to_the_evidence(law):
    model, guide = two_sites(law)
    found = weights(model, moved(model, guide, SEEN), SEEN, 4000)
    evidence = Normal(0.0, 1.0).log_prob(SEEN["x"][:, 0])
    relative = (found - evidence).exp()
    assert (relative.std(0) > 0.05).all()
    error = relative.std(0) / 4000**0.5
    assert ((relative.mean(0) - 1).abs() < 4 * error).all()


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_density_of_a_draw_is_the_same_when_it_is_given(law):
    model, guide = two_sites(law)
    refined = moved(model, guide, SEEN)
    with evaluation(model, refined, seed=0):
        sampler = Sampler(model, refined, SEEN)
        draws = sampler.draw(SEEN, 50)
        values = {name: site["value"] for name, site in draws.latent.items()}
        drawn, given = (
            sampler.densities(each).log_q for each in (draws, sampler.draw(SEEN, 50, values))
        )
    torch.testing.assert_close(given, drawn, atol=1e-3, rtol=1e-4)


class Grid(nn.Module):
    """Numbers in a plate inside that of the data; data see the sum of each row."""

    def __init__(self, *, observes):
        super().__init__()
        self.observes = observes

    def forward(self, x, *, size=None):
        rows = pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-2)
        with rows, pyro.plate("columns", 3, dim=-1):
            cell = pyro.sample("cell", Normal(torch.zeros(len(x), 3), 1.0))
        if self.observes:
            with rows:
                pyro.sample("x", Normal(cell.sum(-1, keepdim=True), 0.5), obs=x)


def test_latents_in_a_plate_of_their_own_come_to_depend_on_each_other():
    model, guide = Grid(observes=True), Grid(observes=False)
    refined = refine(model, guide, SEEN, steps=200, learning_rate=0.1)
    evidence = Normal(0.0, 3.25**0.5).log_prob(SEEN["x"][:, 0])
    found = weights(model, refined, SEEN, 200)
    torch.testing.assert_close(found.mean(0), evidence, atol=0.05, rtol=0)


def test_a_damaged_guide_becomes_the_posterior():
    (model, guide), data = exact_pair(narrowed=0.5, shifted=1.0), simulated(16)[0]
    before = importance_sampling(stats(model, guide, data))
    refined = refine(model, guide, data, steps=150, learning_rate=0.1, seed=1)
    after = importance_sampling(stats(model, refined, data))
    evidence = model.log_evidence(data["seen"])
    assert float(before.khat.median()) > 0.7
    assert float(after.khat.max()) < 0.5
    np.testing.assert_allclose(after.elbo, evidence, atol=0.1)
    gained = after.elbo - before.elbo
    np.testing.assert_allclose(refined.gain, gained, atol=4.0)
    assert float(refined.gain.mean()) == pytest.approx(float(gained.mean()), abs=1.0)


class Independently(nn.Module):
    """A guide of the linear-Gaussian model that takes all numbers of a path as independent."""

    def forward(self, seen, *, size=None):
        law = Normal(torch.zeros(len(seen), seen.shape[1], DIM), 1.0).to_event(2)
        with pyro.plate("sequence", len(seen), subsample=torch.arange(len(seen)), dim=-1):
            pyro.sample("path", law)


def test_only_latents_that_are_coupled_reach_a_posterior_where_they_depend_on_each_other():
    model, guide, data = LinearGaussian(), Independently(), simulated(8)[0]
    evidence = model.log_evidence(data["seen"])
    options = {"steps": 200, "learning_rate": 0.1}
    coupled, apart = (
        weights(model, refine(model, guide, data, coupled=coupled, **options), data, 200)
        for coupled in (True, False)
    )
    assert (evidence - coupled.mean(0)).max() < 0.1
    assert (evidence - apart.mean(0)).min() > 0.5


class Wide(nn.Module):
    """Very many numbers, whose sums of ten data see; in the guide none of it is known."""

    def __init__(self, *, observes):
        super().__init__()
        self.observes = observes

    def forward(self, x, *, size=None):
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            law = Normal(torch.zeros(len(x), 300), 1.0).to_event(1)
            number = pyro.sample("number", law)
            if self.observes:
                seen = number.unflatten(-1, (30, 10)).sum(-1)
                pyro.sample("x", Normal(seen, 3.0).to_event(1), obs=x)


def test_bounds_of_very_many_latents_stay_below_the_evidence():
    x = torch.randn(1, 30, generator=torch.Generator().manual_seed(0)) * 19**0.5
    refined = refine(Wide(observes=True), Wide(observes=False), {"x": x}, steps=60)
    found = weights(Wide(observes=True), refined, {"x": x}, 100).mean(0)
    evidence = Normal(0.0, 19**0.5).log_prob(x).sum(-1)
    assert (refined.gain > 3.0).all()
    assert (found < evidence).all()


class Spiked(nn.Module):
    """One spike and slab and noise: `x ~ Normal(speed, 0.3)`, in the guide none of it is known."""

    def __init__(self, *, observes):
        super().__init__()
        self.observes = observes

    def forward(self, x, *, size=None):
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            law = SpikeAndSlab(torch.full((len(x), 1), -1.0), Normal(torch.ones(1), 1.0))
            speed = pyro.sample("speed", law)
            if self.observes:
                pyro.sample("x", Normal(speed, 0.3).to_event(1), obs=x)


def test_spikes_and_slabs_become_those_of_the_posterior():
    data = {"x": torch.tensor([[0.0], [0.5], [1.5]])}
    model, guide = Spiked(observes=True), Spiked(observes=False)
    refined = refine(model, guide, data, steps=400, learning_rate=0.1, particles=32)
    on = torch.sigmoid(torch.tensor(-1.0)) * Normal(1.0, 1.09**0.5).log_prob(data["x"]).exp()
    off = torch.sigmoid(torch.tensor(1.0)) * Normal(0.0, 0.3).log_prob(data["x"]).exp()
    draws = stats(model, refined, data, draws=4000)["posterior"]
    spike = draws["spike"].mean(("chain", "draw")).values
    np.testing.assert_allclose(spike, on / (on + off), atol=0.03)
    speed = draws["speed"].values[0, :, 2, 0]
    speed = speed[speed != 0]
    assert speed.mean() == pytest.approx((1 + 1.5 / 0.09) / (1 + 1 / 0.09), abs=0.03)
    assert speed.std() == pytest.approx((1 + 1 / 0.09) ** -0.5, abs=0.03)


class Sticky(nn.Module):
    """Speeds whose spikes stick, of which no data tell; in the guide they are independent."""

    def __init__(self, *, sticks):
        super().__init__()
        self.prior = MarkovSpikeAndSlab(Normal(torch.tensor(1.0), 0.5), length=4, num_fields=2)
        self.sticks = sticks

    def forward(self, x, *, size=None):
        # Where independent spikes are closest to the prior, among those that do not change.
        apart = SpikeAndSlab(torch.full((4, 2), -4.0), Normal(torch.ones(2), 0.5))
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            pyro.sample("speed", self.prior if self.sticks else Independent(apart, 1))
            if self.sticks:
                pyro.sample("x", Normal(torch.zeros(1), 1.0).to_event(1), obs=x)


def test_spikes_that_stick_in_the_model_do_so_in_the_posterior():
    pair = Sticky(sticks=True), Sticky(sticks=False)
    refined = refine(*pair, SEEN, steps=300)
    before, after = (importance_sampling(stats(pair[0], g, SEEN)) for g in (pair[1], refined))
    evidence = Normal(0.0, 1.0).log_prob(SEEN["x"][:, 0]).numpy()
    assert (evidence - before.elbo > 0.5).all()
    assert (evidence - after.elbo < 0.1).all()
    assert float(after.effective_draws.min()) > 450


def test_refined_posteriors_are_those_of_their_data_in_any_order():
    (model, guide), data = exact_pair(shifted=1.0), simulated(6)[0]
    refined = refine(model, guide, data, steps=100, learning_rate=0.1, batch_size=4)
    some = {"seen": data["seen"][[5, 1]]}
    found = stats(model, refined, some)["posterior"]["path"].mean(("chain", "draw")).values
    weight, covariance = model.exact()
    exact = (some["seen"].double().flatten(1) @ weight.T).unflatten(1, (-1, DIM))
    np.testing.assert_allclose(found, exact, atol=0.3 * float(covariance.diagonal().max()) ** 0.5)


def test_data_that_a_guide_was_not_refined_for_are_refused():
    (model, guide), data = exact_pair(), simulated(4)[0]
    refined = refine(model, guide, {"seen": data["seen"][:3]}, steps=1)
    with pytest.raises(DataError, match="1 of 4"):
        stats(model, refined, data)


def test_what_gains_nothing_stays_with_the_guide():
    (model, guide), data = exact_pair(), simulated(20)[0]
    refined = refine(model, guide, data, steps=3, learning_rate=1.0)
    assert (refined.gain == 0).all()
    for parameter in refined.moved():
        assert (parameter == 0).all()


def test_model_guide_and_random_state_are_left_as_they_were():
    (model, guide), data = exact_pair(), simulated(3)[0]
    model.train()
    guide.scale.requires_grad_(False)
    weights_before = [tensor.clone() for tensor in guide.state_dict().values()]
    state = torch.get_rng_state()
    first, second = (refine(model, guide, data, steps=2, seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert guide.mean.weight.requires_grad
    assert not guide.scale.requires_grad
    for before, after in zip(weights_before, guide.state_dict().values(), strict=True):
        assert torch.equal(before, after)
    assert torch.equal(first.shift, second.shift)


class Points(nn.Module):
    """A guide that says one point for each datum."""

    def forward(self, seen, *, size=None):
        with pyro.plate("sequence", len(seen), subsample=torch.arange(len(seen)), dim=-1):
            pyro.sample("path", Delta(torch.zeros_like(seen)).to_event(2))


@pytest.mark.parametrize(
    ("options", "guide", "said"),
    [
        ({"steps": 0}, None, "steps=0"),
        ({"particles": 1}, None, "particles=1"),
        ({"batch_size": 0}, None, "batch_size=0"),
        ({"learning_rate": 0.0}, None, "learning_rate"),
        ({"learning_rate": 3.0}, None, "learning_rate"),
        ({}, Points(), "nothing for each datum that can be moved"),
    ],
)
def test_what_cannot_be_refined_is_refused(options, guide, said):
    model, exact = exact_pair()
    with pytest.raises(ConfigError, match=said):
        refine(model, guide or exact, simulated(2)[0], **options)
