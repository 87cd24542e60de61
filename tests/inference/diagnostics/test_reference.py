"""Chains against posteriors in closed form, and the distance of guides from them."""

import itertools

import arviz
import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Bernoulli, LogNormal, MultivariateNormal, Normal
from torch import nn

from mutoscope.inference.diagnostics import distance_to_reference, reference_posterior
from mutoscope.inference.diagnostics.distance import convergence
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.distributions import MarkovSpikeAndSlab, SpikeAndSlab
from mutoscope.zoo.errors import ConfigError, DataError

from ..linear_gaussian import DIM, exact_pair, simulated

NOISE = 0.4


@pytest.fixture(scope="module")
def chains():
    """Chains for the linear-Gaussian model that begin with a guide which is far off."""
    pair, data = exact_pair(narrowed=0.5, shifted=1.0), simulated(3)[0]
    return reference_posterior(*pair, data, draws=500, warmup=300, seed=0)


@pytest.mark.slow
def test_chains_find_the_moments_of_the_exact_posterior(chains):
    model, data = exact_pair()[0], simulated(3)[0]
    weight, covariance = model.exact()
    mean = (data["seen"].double().flatten(1) @ weight.T).unflatten(1, (-1, DIM)).numpy()
    deviation = covariance.diagonal().sqrt().unflatten(0, (-1, DIM)).numpy()
    path = chains["posterior"]["path"]
    error = [arviz.mcse(chains["posterior"], method=kind)["path"].values for kind in ("mean", "sd")]
    away = np.stack(
        [
            (path.mean(("chain", "draw")) - mean) / error[0],
            (path.std(("chain", "draw")) - deviation) / error[1],
        ]
    )
    # Of 48 numbers, one is beyond 3 errors in every tenth run of exact chains.
    assert np.mean(np.abs(away) <= 3) >= 0.95
    assert np.abs(away).max() < 4
    assert np.mean(away**2) < 1.5
    assert bool(chains["sample_stats"]["converged"].all())
    assert chains.attrs["divergences"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("narrowed", "shifted"), [(1.0, 0.0), (0.5, 0.0), (1.0, 2.0)])
def test_the_distance_of_a_guide_is_what_was_done_to_it(chains, narrowed, shifted):
    pair, data = exact_pair(narrowed=narrowed, shifted=shifted), simulated(3)[0]
    found = distance_to_reference(posterior(*pair, data, draws=2000, progress=False), chains)
    mean, error, width = (found.mean["path"], found.error["path"], found.sd["path"])
    # The reference's own deviation, the unit, is known up to some percent.
    assert (np.abs(mean - shifted) < 4 * error + 0.05 * shifted).all()
    np.testing.assert_allclose(width, narrowed, atol=0.1)
    away = {(1.0, 0.0): 0.0, (0.5, 0.0): 0.5 * (2 / np.pi) ** 0.5, (1.0, 2.0): 2.0}
    np.testing.assert_allclose(found.wasserstein["path"], away[narrowed, shifted], atol=0.15)
    assert bool(found.concerns) == ((narrowed, shifted) != (1.0, 0.0))


class Program(nn.Module):
    """Speeds of some law, a number, and what is seen of them; or a guide that says the prior."""

    dims = {"speed": ("datum", "time", "field"), "z": ("datum",), "x": ("datum", "pixel")}  # noqa: RUF012

    def __init__(self, law, mix, *, observes):
        super().__init__()
        self.law, self.observes = law, observes
        self.register_buffer("mix", mix)
        self.register_buffer("push", torch.linspace(-1, 1, len(mix)))

    def forward(self, x, *, size=None):
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            speed = pyro.sample("speed", self.law)
            z = pyro.sample("z", Normal(0.0, 1.0))
            mean = speed.flatten(-2) @ self.mix.T + z.unsqueeze(-1) * self.push
            if self.observes:
                pyro.sample("x", Normal(mean, NOISE).to_event(1), obs=x)


def programs(law, pixels, seed):
    mix = torch.randn(
        pixels, law.event_shape.numel(), generator=torch.Generator().manual_seed(seed)
    )
    return tuple(Program(law, mix, observes=observes) for observes in (True, False))


def normal_moments(model, x, spikes):
    """Return log p(x | spikes) and the means of speeds and z, if slabs are Normal(1, 0.5)."""
    on = spikes.double()
    prior = torch.block_diag(torch.diag(0.25 * on), torch.ones(1, 1).double())
    look = torch.cat([model.mix, model.push.unsqueeze(-1)], 1).double()
    mean = torch.cat([on, torch.zeros(1).double()])
    covariance = look @ prior @ look.T + NOISE**2 * torch.eye(len(look)).double()
    law = MultivariateNormal(look @ mean, covariance)
    gain = prior @ look.T @ torch.linalg.inv(covariance)
    return law.log_prob(x.double()), mean + (x.double() - look @ mean) @ gain.T


def enumerated(model, x, log_prior):
    """Return the probability of each spike, and the means of speeds and z, summed over spikes."""
    patterns = [torch.tensor(p) for p in itertools.product((0.0, 1.0), repeat=4)]
    found = [normal_moments(model, x, p) for p in patterns]
    weight = torch.stack(
        [log_prior(p) + log_p for p, (log_p, _) in zip(patterns, found, strict=True)]
    )
    weight = weight.softmax(0)
    spike = torch.einsum("pn,pk->nk", weight, torch.stack(patterns).double())
    return spike, torch.einsum("pn,pnk->nk", weight, torch.stack([m for _, m in found]))


def log_markov(pattern):
    first, second = pattern.double().unflatten(0, (2, 2))
    after = torch.where(first > 0, 0.9, 0.1)
    return sum(
        Bernoulli(probs).log_prob(on).sum()
        for probs, on in ((0.1 + 0 * first, first), (after, second))
    )


def errors(found, name, exact):
    """Return how many Monte Carlo errors means are off; what never varies has to be certain."""
    group = found["posterior"][[name]]
    error = arviz.mcse(group, method="mean")[name].values.reshape(exact.shape)
    mean = group[name].mean(("chain", "draw")).values.reshape(exact.shape)
    return np.abs(mean - exact.numpy()) / np.maximum(error, 2e-3)


@pytest.mark.slow
def test_chains_with_spikes_find_what_enumeration_finds():
    law = MarkovSpikeAndSlab(Normal(torch.tensor(1.0), 0.5), length=2, num_fields=2)
    model, guide = programs(law, pixels=3, seed=0)
    x = torch.tensor([[0.0, 0.1, 0.0], [0.9, -0.6, 0.2], [-0.8, 1.2, 1.5]])
    spike, mean = enumerated(model, x, log_markov)
    assert ((spike > 0.05) & (spike < 0.95)).sum() >= 6  # there is something to find
    found = reference_posterior(model, guide, {"x": x}, draws=500, warmup=200, seed=2)
    assert errors(found, "spike", spike).max() < 4
    assert errors(found, "speed", mean[:, :4]).max() < 4
    assert errors(found, "z", mean[:, 4]).max() < 4
    assert bool(found["sample_stats"]["converged"].all())


@pytest.mark.slow
def test_spikes_that_share_a_positive_slab_find_what_quadrature_finds():
    logits, slab = torch.tensor([[-0.5, 0.3]]), LogNormal(torch.zeros(1), 0.5)
    law = pyro.distributions.Independent(SpikeAndSlab(logits, slab, controls=2), 1)
    model, guide = programs(law, pixels=2, seed=1)
    x = torch.tensor([[0.5, -0.3], [1.5, 0.2]])
    grid = torch.linspace(1e-3, 8, 4000).double()
    covariance = NOISE**2 * torch.eye(2) + torch.outer(model.push, model.push)
    weights, patterns = [], [torch.tensor(p) for p in itertools.product((0.0, 1.0), repeat=2)]
    for on in patterns:
        mean = grid.unsqueeze(-1) * (model.mix @ on).double()
        likelihood = MultivariateNormal(mean, covariance.double()).log_prob(x.double().unsqueeze(1))
        prior = Bernoulli(logits=logits[0]).log_prob(on).sum() + LogNormal(0.0, 0.5).log_prob(grid)
        weights.append((likelihood + prior).exp())
    weight = torch.stack(weights)  # pattern, datum, slab
    weight = weight / weight.sum((0, 2), keepdim=True)
    spike = torch.einsum("png,pk->nk", weight, torch.stack(patterns).double())
    speed = torch.einsum("png,pk,g->nk", weight, torch.stack(patterns).double(), grid)
    found = reference_posterior(model, guide, {"x": x}, draws=500, warmup=200, seed=3)
    assert errors(found, "spike", spike).max() < 4
    assert errors(found, "speed", speed).max() < 4


def chains_of(values, converged=True):
    """Return chains (chain, draw, datum) as `reference_posterior` does, and as `posterior` does."""
    axes = ("chain", "draw", "datum")
    count = values.shape[2]
    stats = {"converged": Labelled(("datum",), np.full(count, converged))}
    group = {"z": Labelled(axes, values), "spike": Labelled(axes, (values > 0).astype(float))}
    return to_arviz({"posterior": group, "sample_stats": stats})


def test_distances_of_normals_are_those_of_the_formulas():
    draws = np.random.default_rng(0).normal(size=(4, 2000, 2))
    found = distance_to_reference(chains_of(0.5 * draws[:1] + 2), chains_of(draws))
    np.testing.assert_allclose(found.mean["z"], 2, atol=0.05)
    np.testing.assert_allclose(found.sd["z"], 0.5, atol=0.02)
    np.testing.assert_allclose(found.wasserstein["z"], 2, atol=0.05)
    np.testing.assert_allclose(found.error["z"], (0.25 / 2000 + 1 / 8000) ** 0.5, rtol=0.1)
    for kind in (found.mean, found.wasserstein):
        np.testing.assert_allclose(kind["spike"], 0.5, atol=0.02)
    assert bool(found.sd["spike"].isnull().all())
    assert any("z is 2 standard deviations" in concern for concern in found.concerns)
    assert any("spike is 0.5 from" in concern for concern in found.concerns)
    assert "median ratio of deviations 0.5." in str(found)


def test_chains_that_have_not_converged_give_no_distance():
    draws = np.random.default_rng(0).normal(size=(4, 200, 2))
    found = distance_to_reference(chains_of(draws[:1]), chains_of(draws, converged=False))
    assert bool(found.mean["z"].isnull().all())
    assert "2 of 2 data have not converged" in found.concerns[0]


def test_chains_that_are_too_short_have_not_converged():
    pair, data = exact_pair(), simulated(2)[0]
    found = reference_posterior(*pair, data, draws=8, warmup=2, chains=2)["sample_stats"]
    assert not found["converged"].any()
    assert (found["ess"] < 100).all()


def test_spikes_that_are_stuck_in_different_chains_have_not_converged():
    values = np.random.default_rng(0).normal(size=(4, 200, 3))
    values[:, :, 1] = 1.0  # the same throughout
    values[0, :, 2], values[1:, :, 2] = 0.0, 1.0
    found = convergence(chains_of(values)["posterior"][["z"]], "datum")
    assert found["converged"].values.tolist() == [True, True, False]


def test_chains_have_the_variables_of_a_posterior():
    law = MarkovSpikeAndSlab(Normal(torch.tensor(1.0), 0.5), length=2, num_fields=2)
    pair, data = programs(law, pixels=3, seed=0), {"x": torch.zeros(2, 3)}
    found = reference_posterior(*pair, data, draws=5, warmup=2, chains=3)
    guide = posterior(*pair, data, draws=5, progress=False)
    for name, values in guide["posterior"].items():
        assert found["posterior"][name].dims == values.dims
        assert found["posterior"][name].sizes == {**values.sizes, "chain": 3}
    again = reference_posterior(*pair, data, draws=5, warmup=2, chains=3)
    assert found["posterior"].equals(again["posterior"])


class Discrete(nn.Module):
    def forward(self, x, *, size=None):
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            coin = pyro.sample("coin", Bernoulli(torch.full((len(x),), 0.5)))
            if type(self) is Discrete:
                pyro.sample("x", Normal(coin, 1.0), obs=x)


class Common(nn.Module):
    def forward(self, x, *, size=None):
        mean = pyro.sample("mean", Normal(0.0, 1.0))
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            if type(self) is Common:
                pyro.sample("x", Normal(mean, 1.0), obs=x)


@pytest.mark.parametrize(
    ("program", "said"), [(Discrete, "'coin' is discrete"), (Common, "'mean' is shared by all")]
)
def test_latents_that_chains_cannot_move_are_refused(program, said):
    guide = type("Guide", (program,), {})()
    with pytest.raises(ConfigError, match=said):
        reference_posterior(program(), guide, {"x": torch.zeros(2)})


@pytest.mark.parametrize("options", [{"draws": 3}, {"warmup": 0}, {"chains": 1}])
def test_too_small_numbers_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        reference_posterior(*exact_pair(), simulated(1)[0], **options)


def test_other_data_and_other_variables_are_refused():
    values = np.zeros((4, 10, 2))
    with pytest.raises(DataError, match="for the data"):
        distance_to_reference(chains_of(values[:1, :, :1]), chains_of(values))
    other = to_arviz({"posterior": {"w": Labelled(("chain", "draw", "datum"), values)}})
    with pytest.raises(DataError, match="one model"):
        distance_to_reference(other, chains_of(values))
