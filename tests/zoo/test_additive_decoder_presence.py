"""Spikes over blocks: what is absent is not seen, and all ways to be present are summed over."""

import itertools

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from mutoscope.guides.additive_decoder import AdditiveDecoderGuide
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import simulate
from mutoscope.zoo.additive_decoder import AdditiveDecoder
from mutoscope.zoo.errors import ConfigError

SHAPE = (3, 4, 4)
IMAGES = torch.rand(5, 2, *SHAPE, generator=torch.Generator().manual_seed(2))


def pair(by="bayes", *, posterior="normal", **options):
    sizes = {"decoder_hidden_dim": 8, "decoder_layers": 2, "num_blocks": 3, "presence": 0.3}
    torch.manual_seed(0)
    model = AdditiveDecoder(
        AdditiveDecoder.Config(image_shape=SHAPE, image_scale=0.4, **sizes | options)
    )
    config = AdditiveDecoderGuide.Config(presence=by, posterior=posterior, hidden_dim=16)
    return model, AdditiveDecoderGuide(model, config)


def patterns(model, latent):
    """Yield every pattern of presence, and the log-likelihood of each frame."""
    for pattern in itertools.product((0.0, 1.0), repeat=3):
        presence = torch.tensor(pattern).expand(5, 2, 3)
        mean = model.background + (presence[..., None, None, None] * model.parts(latent)).sum(2)
        yield presence, Normal(mean, 0.4).log_prob(IMAGES).sum((-1, -2, -3))


def test_what_is_absent_is_not_seen():
    model, _ = pair()
    latent, presence = torch.randn(2, 3, 1), torch.tensor([1.0, 0.0, 1.0]).expand(2, -1)
    parts = model.parts(latent)
    found = model.mean_image(latent, presence)
    torch.testing.assert_close(found, model.background + parts[:, 0] + parts[:, 2])
    latent[:, 1] += 1
    torch.testing.assert_close(found, model.mean_image(latent, presence))
    everything = model.mean_image(latent, torch.ones(2, 3))
    torch.testing.assert_close(everything, model.mean_image(latent))


def test_simulated_blocks_are_there_as_often_as_the_prior_says():
    drawn = simulate(pair()[0], 2000, seed=0)["presence"]
    assert drawn.shape == (2000, 1, 3)
    assert float(drawn.mean()) == pytest.approx(0.3, abs=0.02)


def test_read_spikes_are_summed_over():
    """Points have no randomness, so the bound is a finite sum."""
    model, guide = pair("enumerate", prior="none", posterior="point")
    terms = Elbo(model, guide)({"images": IMAGES}, size=5)
    latent = guide.latent_posterior(IMAGES).mean
    spikes = Bernoulli(guide.presence_posterior(IMAGES, latent).base_dist.mean)
    expected = torch.zeros(5, 2)
    for presence, given in patterns(model, latent):
        expected += spikes.log_prob(presence).sum(-1).exp() * given
    torch.testing.assert_close(terms.likelihood["images"], expected.sum() / 5)
    divergence = kl_divergence(spikes, Bernoulli(torch.tensor(0.3))).sum() / 5
    torch.testing.assert_close(terms.kl["presence"], divergence)


@pytest.mark.parametrize("decoder", ["additive", "masked"])
def test_by_bayes_rule_the_bound_is_the_evidence_given_the_latents(decoder):
    model, guide = pair(prior="none", posterior="point", decoder=decoder)
    for module in (model, guide):
        module.double()
    images = IMAGES.double()
    latent = guide.latent_posterior(images).mean
    terms = Elbo(model, guide)({"images": images}, size=5)
    joint, there = [], []
    for pattern in itertools.product((0.0, 1.0), repeat=3):
        presence = torch.tensor(pattern, dtype=torch.float64).expand(5, 2, 3)
        given = model.image_likelihood(latent, presence).base_dist.log_prob(images)
        prior = Bernoulli(torch.tensor(0.3, dtype=torch.float64)).log_prob(presence)
        joint.append(given + prior.sum(-1))
        there.append(presence)
    joint, there = torch.stack(joint), torch.stack(there)
    evidence = joint.logsumexp(0).sum() / 5
    torch.testing.assert_close(terms.elbo, evidence, rtol=1e-6, atol=0)
    found = guide.presence_posterior(images, latent).base_dist.mean
    expected = (joint.softmax(0)[..., None] * there).sum(0)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    slopes = [
        torch.autograd.grad(value, [*model.parameters(), *guide.parameters()], retain_graph=True)
        for value in (terms.elbo, evidence)
    ]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_sums_of_neighbours_agree_with_sums_of_all():
    found = {}
    batch = {"images": IMAGES[:1].expand(2000, -1, -1, -1, -1)}
    for by in ("enumerate", "local_expectation"):
        torch.manual_seed(0)
        model, guide = pair(by)
        with torch.no_grad():
            found[by] = float(Elbo(model, guide)(batch, size=2000).elbo)
    assert found["local_expectation"] == pytest.approx(found["enumerate"], rel=0.02)


def test_bayes_rule_is_as_hot_as_the_divergence_is_heavy():
    model, guide = pair()
    assert guide.schedules == {"temperature": model.kl_schedule["presence"]}
    assert pair(decoder="joint", presence=1.0)[1].schedules == {}
    latent = guide.latent_posterior(IMAGES).mean
    guide.temperature.fill_(1e9)
    found = guide.presence_posterior(IMAGES, latent).base_dist.mean
    torch.testing.assert_close(found, torch.full_like(found, 0.3))


def test_too_many_blocks_for_bayes_rule_are_refused():
    guide = pair(num_blocks=15)[1]
    with pytest.raises(ConfigError, match="limit is 14 spikes"):
        guide(IMAGES)
    pair("local_expectation", num_blocks=15)[1](IMAGES)


def test_present_blocks_still_add_up():
    model = pair()[0].double()
    presence = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    hessian = torch.func.jacfwd(torch.func.jacrev(lambda z: model.mean_image(z, presence)))
    found = hessian(torch.randn(3, 1, dtype=torch.float64))
    assert float(found[..., 0, :, 1:, :].detach().abs().max()) <= 1e-10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"presence": 0.0}, "presence=0.0"),
        ({"presence": 1.1}, "at most 1"),
        ({"ground": -0.1}, "ground=-0.1"),
        ({"decoder": "joint"}, "which has no parts"),
    ],
)
def test_spikes_that_cannot_be_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        pair(**options)
