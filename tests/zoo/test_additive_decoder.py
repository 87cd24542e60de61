"""Additive decoders are sums of what single blocks give, and of nothing else."""

import math

import pytest
import torch

from mutoscope.guides.additive_decoder import AdditiveDecoderGuide
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo.additive_decoder import AdditiveDecoder
from mutoscope.zoo.errors import ConfigError, DataError

SHAPE = (3, 4, 4)


def additive(**options):
    sizes = {"decoder_hidden_dim": 8, "decoder_layers": 2, "block_dim": 2, "num_blocks": 3}
    torch.manual_seed(0)
    return AdditiveDecoder(AdditiveDecoder.Config(image_shape=SHAPE, **sizes | options))


def mixed_derivative(model):
    """Return the largest second derivative of a mean image across two blocks."""
    model = model.double()
    hessian = torch.func.jacfwd(torch.func.jacrev(model.mean_image))
    found = hessian(torch.randn(3, 2, dtype=torch.float64))
    return float(found[..., 0, :, 1:, :].detach().abs().max())


def recombined(model):
    """Return by how much two images and their recombinations differ, in sum."""
    model = model.double()
    one, other = torch.randn(2, 5, 3, 2, dtype=torch.float64)
    swapped = torch.cat([one[:, :1], other[:, 1:]], 1), torch.cat([other[:, :1], one[:, 1:]], 1)
    images = [model.mean_image(each) for each in (one, other, *swapped)]
    return float((images[0] + images[1] - images[2] - images[3]).detach().abs().max())


@pytest.mark.parametrize("network", ["perceptron", "convolutional", "broadcast"])
def test_blocks_do_not_interact(network):
    assert mixed_derivative(additive(network=network)) <= 1e-10
    assert recombined(additive(network=network)) <= 1e-10


def test_blocks_of_one_network_do():
    assert mixed_derivative(additive(decoder="joint")) > 1e-3
    assert recombined(additive(decoder="joint")) > 1e-3


def test_a_mean_image_is_the_background_and_all_parts():
    for decoder, parts in (("additive", 3), ("masked", 3), ("joint", 1)):
        model, latent = additive(decoder=decoder), torch.randn(5, 3, 2)
        found = model.parts(latent)
        assert found.shape == (5, parts, *SHAPE)
        torch.testing.assert_close(model.background + found.sum(1), model.mean_image(latent))


def test_a_point_without_a_prior_is_the_published_autoencoder():
    model = additive(prior="none", image_scale=0.3)
    guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(posterior="point"))
    images = torch.rand(6, 1, *SHAPE)
    terms = Elbo(model, guide)({"images": images}, size=6)
    latent = guide.latent_posterior(images).mean
    squares = (model.mean_image(latent) - images).square().mean()
    pixels = math.prod(SHAPE)
    expected = pixels * (squares / (2 * 0.3**2) + math.log(0.3) + 0.5 * math.log(2 * math.pi))
    torch.testing.assert_close(terms.objective, expected, rtol=1e-5, atol=0)
    assert float(terms.kl["z"].detach()) == 0


def test_an_autoencoder_in_double_precision_has_no_term_in_single():
    model = additive(prior="none").double()
    for posterior in ("point", "normal"):
        guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(posterior=posterior))
        images = torch.rand(6, 1, *SHAPE, dtype=torch.float64)
        terms = Elbo(model, guide.double())({"images": images}, size=6)
        assert {value.dtype for value in terms.named().values()} == {torch.float64}


def test_a_flow_is_a_density_of_all_blocks_together():
    model = additive(prior="flow", couplings=2).double()
    for parameter in model.flow.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    law = model.latent_prior(2)
    drawn = law.sample((4,))
    assert drawn.shape == (4, 2, 3, 2)
    flat = drawn[0, 0].flatten()
    jacobian = torch.func.jacrev(lambda z: model.flow.encode(z)[0])(flat)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(model.flow.encode(flat)[0]).sum()
    one = model.latent_prior(1).log_prob(drawn[0, :1])
    torch.testing.assert_close(one, base + torch.linalg.slogdet(jacobian)[1])
    both = sum(model.latent_prior(1).log_prob(drawn[:, t : t + 1]) for t in range(2))
    torch.testing.assert_close(law.log_prob(drawn), both)


def test_a_flow_learns_how_blocks_depend_on_each_other():
    """Its mean log-density comes close to minus the entropy, which independence misses."""
    model = additive(prior="flow", num_blocks=2, block_dim=1)
    chosen = torch.distributions.MultivariateNormal(
        torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]])
    )
    adam = torch.optim.Adam(model.flow.parameters(), lr=1e-2)
    for _ in range(200):
        loss = -model.latent_prior(1).log_prob(chosen.sample((256, 1)).unsqueeze(-1)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    found = -model.latent_prior(1).log_prob(chosen.sample((5000, 1)).unsqueeze(-1)).mean()
    assert abs(float(found.detach()) - float(chosen.entropy())) < 0.1


def test_masks_share_out_every_pixel_and_so_leave_additivity():
    model, latent = additive(decoder="masked"), torch.randn(5, 3, 2)
    found = model.mean_image(latent)
    torch.testing.assert_close(found, model.background + model.parts(latent).sum(1))
    made = model.decoder(latent)
    colours = torch.cat([made[:, :, :3], model.background.expand(5, 1, *SHAPE)], 1)
    assert (found <= colours.amax(1) + 1e-6).all()
    assert (found >= colours.amin(1) - 1e-6).all()
    weights = torch.cat([made[:, :, 3:].exp(), torch.ones(5, 1, 1, 4, 4)], 1)
    torch.testing.assert_close(found, (weights * colours).sum(1) / weights.sum(1))
    assert mixed_derivative(model) > 1e-5
    assert recombined(model) > 1e-5


@pytest.mark.parametrize("there", [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0)])
def test_absent_blocks_hide_nothing(there):
    model, latent = additive(decoder="masked", presence=0.5), torch.randn(5, 3, 2)
    presence = torch.tensor(there)
    parts = model.parts(latent, presence)
    assert (parts[:, 1] == 0).all()
    moved = latent.clone()
    moved[:, 1] += 1
    torch.testing.assert_close(parts, model.parts(moved, presence))
    fewer = additive(decoder="masked", num_blocks=2)
    for layer, of in zip(fewer.decoder.parameters(), model.decoder.parameters(), strict=True):
        layer.data = of.data[[0, 2]]
    shown = (
        fewer.mean_image(latent[:, [0, 2]])
        if any(there)
        else fewer.background.expand(5, -1, -1, -1)
    )
    torch.testing.assert_close(model.mean_image(latent, presence), shown)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_blocks": 1}, "one block is no sum"),
        ({"block_dim": 0}, "block_dim=0"),
        ({"couplings": 0}, "couplings=0"),
        ({"image_scale": 0.0}, "image_scale=0"),
        ({"decoder": "multiplicative"}, "expected one of 'additive'"),
    ],
)
def test_what_is_no_sum_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        additive(**options)


def test_more_blocks_than_memory_holds_are_refused_before_they_are_made():
    with pytest.raises(ConfigError, match=r"num_blocks=10000000000, .* about 71,526 GiB"):
        additive(num_blocks=10**10)


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="NaN"):
        additive().check_data({"images": torch.full((2, 1, *SHAPE), torch.nan)})


def test_images_that_it_was_not_built_for_are_refused():
    for images in (torch.rand(2, 1, 3, 5, 5), 2 * torch.ones(2, 1, *SHAPE), torch.rand(2, *SHAPE)):
        with pytest.raises(DataError, match="Found images"):
            additive().check_data({"images": images})
