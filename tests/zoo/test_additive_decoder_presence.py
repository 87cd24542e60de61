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


def pair(estimator="enumerate", **options):
    sizes = {"decoder_hidden_dim": 8, "decoder_layers": 2, "num_blocks": 3, "presence": 0.3}
    torch.manual_seed(0)
    model = AdditiveDecoder(
        AdditiveDecoder.Config(image_shape=SHAPE, image_scale=0.4, **sizes | options)
    )
    return model, AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(estimator=estimator))


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


def test_all_ways_to_be_present_are_summed_over():
    """The point estimate of z has no randomness, so the bound is a finite sum."""
    model, guide = pair(prior="none")
    guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(posterior="point"))
    terms = Elbo(model, guide)({"images": IMAGES}, size=5)
    law, latent = guide.presence_posterior(IMAGES), guide.latent_posterior(IMAGES).mean
    spikes = Bernoulli(law.base_dist.mean)
    expected = torch.zeros(5, 2)
    for pattern in itertools.product((0.0, 1.0), repeat=3):
        presence = torch.tensor(pattern).expand(5, 2, 3)
        mean = model.background + (presence[..., None, None, None] * model.parts(latent)).sum(2)
        weight = spikes.log_prob(presence).sum(-1).exp()
        expected += weight * Normal(mean, 0.4).log_prob(IMAGES).sum((-1, -2, -3))
    torch.testing.assert_close(terms.likelihood["images"], expected.sum() / 5)
    divergence = kl_divergence(spikes, Bernoulli(torch.tensor(0.3))).sum() / 5
    torch.testing.assert_close(terms.kl["presence"], divergence)


def test_sums_of_neighbours_agree_with_sums_of_all():
    found = {}
    batch = {"images": IMAGES[:1].expand(2000, -1, -1, -1, -1)}
    for estimator in ("enumerate", "local_expectation"):
        torch.manual_seed(0)
        model, guide = pair(estimator)
        with torch.no_grad():
            found[estimator] = float(Elbo(model, guide)(batch, size=2000).elbo)
    assert found["local_expectation"] == pytest.approx(found["enumerate"], rel=0.02)


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
        ({"decoder": "joint"}, "which has no parts"),
    ],
)
def test_spikes_that_cannot_be_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        pair(**options)
