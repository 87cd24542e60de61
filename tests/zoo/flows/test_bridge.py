"""Flows as the guide or the prior of other models."""

import pyro
import torch
from pyro.distributions import Normal
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormalizingFlow

from mutoscope.guides.baselines import VariationalAutoencoderGuide
from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import VariationalAutoencoder
from mutoscope.zoo.flows import ActNorm, AffineCoupling, FlowTransform, Rotation

LATENT = 2


def test_a_flow_guide_finds_the_posterior_of_a_linear_model():
    """Of z ~ N(0, I) and x_n ~ N(A z, s) it is normal, with precisions that add up over data."""
    torch.manual_seed(0)
    look, noise = torch.tensor([[1.0, 0.4], [0.3, 1.0], [0.5, -0.2]]), 0.8
    x = torch.tensor([0.7, -0.4]) @ look.T + noise * torch.randn(6, 3)
    precision = torch.eye(LATENT) + len(x) * look.T @ look / noise**2
    covariance = torch.linalg.inv(precision)
    mean = covariance @ look.T @ x.sum(0) / noise**2

    def model(x):
        z = pyro.sample("z", Normal(torch.zeros(LATENT), 1.0).to_event(1))
        with pyro.plate("datum", len(x), dim=-1):
            pyro.sample("x", Normal(z @ look.T, noise).to_event(1), obs=x)

    def flow_of(dim):
        return FlowTransform([AffineCoupling(dim, [8]), Rotation(dim), ActNorm(dim)])

    with pyro.get_param_store().scope():
        guide = AutoNormalizingFlow(model, flow_of)
        loss = Trace_ELBO(num_particles=64, vectorize_particles=True, max_plate_nesting=1)
        svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 2e-2, "lrd": 0.994}), loss)
        for _ in range(500):
            svi.step(x)
        with torch.no_grad(), pyro.plate("draws", 8000, dim=-2):
            draws = guide(x)["z"].squeeze(-2)
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(draws.T.cov(), covariance, rtol=0, atol=0.015)


class FlowPrior(VariationalAutoencoder):
    """An autoencoder whose prior is a flow."""

    def __init__(self, config, flow):
        super().__init__(config)
        self.flow = flow

    def latent_prior(self, frames):
        """Return p(z) of all frames of a sequence."""
        return self.flow.distribution(self.config.latent_dim).expand([frames]).to_event(1)


def autoencoder(flow):
    torch.manual_seed(0)
    sizes = {"latent_dim": LATENT, "decoder_hidden_dim": 8}
    config = VariationalAutoencoder.Config(image_shape=(1, 4, 4), **sizes)
    model = FlowPrior(config, flow)
    return model, VariationalAutoencoderGuide(model)


def images():
    return torch.rand(40, 1, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_a_flow_prior_that_is_the_identity_changes_nothing():
    model, guide = autoencoder(FlowTransform([AffineCoupling(LATENT, [8])]))
    plain = VariationalAutoencoder(model.config)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("flow")})
    many = {"images": images().repeat(200, 1, 1, 1, 1)}
    torch.manual_seed(2)
    found = Elbo(model, guide)(many, size=8000)
    torch.manual_seed(2)
    expected = Elbo(plain, guide)(many, size=8000)
    assert torch.equal(found.likelihood["images"], expected.likelihood["images"])
    # Drawn in the one, in closed form in the other.
    torch.testing.assert_close(found.kl["z"], expected.kl["z"], rtol=0, atol=0.05)


def test_a_flow_prior_learns_what_the_guide_says_of_all_data():
    """If the guide says the same of every image, the best prior is just that, and the KL zero."""
    model, guide = autoencoder(
        FlowTransform([Rotation(LATENT), AffineCoupling(LATENT, [8]), ActNorm(LATENT)])
    )
    with torch.no_grad():
        guide.latent.linear.weight.zero_()
        guide.latent.linear.bias.copy_(torch.tensor([1.2, -0.9, -0.5, 0.4]))
    constant = guide.latent_posterior(images()[:1]).base_dist
    mean, scale = constant.loc.detach(), constant.scale.detach()
    standard = float((scale**2 + mean**2 - 1 - 2 * scale.log()).sum()) / 2
    for parameter in (*guide.parameters(), *model.decoder.parameters()):
        parameter.requires_grad_(False)

    def divergence():
        torch.manual_seed(1)
        terms = Elbo(model, guide)({"images": images().repeat(200, 1, 1, 1, 1)}, size=8000)
        return terms.kl["z"].item()

    assert standard > 1
    assert abs(divergence() - standard) < 0.1
    fit(model, guide, {"images": images()}, max_steps=300, learning_rate=2e-2, progress=False)
    assert abs(divergence()) < 0.03
