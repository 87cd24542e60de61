"""The element is summed out exactly: by our ELBO, by Pyro's, and in closed form."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution

from mutoscope.guides import DistributedOperatorGuide
from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.inference.objective import PyroObjective
from mutoscope.inference.posterior import posterior
from mutoscope.zoo import DistributedOperator, simulate
from mutoscope.zoo.errors import ConfigError

OPERATORS = ("shift", "complex", "stacked", "disentangled")


def pair(element="correlation", operator="shift", length=3, dynamics="constant"):
    torch.manual_seed(0)
    model = DistributedOperator(
        DistributedOperator.Config(
            image_shape=(1, 4, 4),
            orders=(4,),
            latent_dim=16,
            length=length,
            operator=operator,
            dynamics=dynamics,
            image_scale=0.3,
        )
    ).double()
    guide = DistributedOperatorGuide(
        model, DistributedOperatorGuide.Config(element=element, temperature=0.5)
    )
    return model, guide.double()


def images(model, count=6):
    return {"images": simulate(model, count, seed=1)["images"].clamp(0, 1)}


@pytest.mark.parametrize("element", ["correlation", "exact"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_our_elbo_and_pyros_enumeration_agree(operator, element):
    model, guide = pair(element, operator)
    batch = images(model)
    torch.manual_seed(3)
    ours = Elbo(model, guide)(batch, size=60).elbo
    objective = PyroObjective("TraceEnum_ELBO", model, guide, size=60)
    with pyro.settings.context(module_local_params=True):
        objective(batch)  # finds out how plates nest, with draws of its own
        torch.manual_seed(3)
        loss, _ = objective(batch)
    # Pyro takes the divergence of the code at its draw, ours is in closed form.
    torch.manual_seed(3)
    drawn = poutine.trace(guide).get_trace(**batch, size=60).nodes["code"]
    sampled = drawn["fn"].log_prob(drawn["value"]) - model.code_prior().log_prob(drawn["value"])
    analytic = torch.distributions.kl_divergence(drawn["fn"], model.code_prior().expand([6]))
    expected = ours + (analytic - sampled).mean()
    torch.testing.assert_close(-loss, expected, rtol=1e-6, atol=0.0)


def test_the_exact_posterior_makes_the_bound_on_the_element_tight():
    model, guide = pair("exact")
    batch = images(model)
    torch.manual_seed(3)
    terms = Elbo(model, guide)(batch, size=6)
    torch.manual_seed(3)
    code = poutine.trace(guide).get_trace(**batch).nodes["code"]["value"]
    element = torch.arange(4)
    likelihood = model.image_likelihood(code[:, None], model.poses(element, 2))
    log_prob = likelihood.log_prob(batch["images"][:, None])
    summed = (log_prob.logsumexp(-1) - torch.tensor(4.0).log()).mean()
    found = terms.likelihood["images"] - terms.kl["transformation"]
    torch.testing.assert_close(found, summed)


def test_the_exact_posterior_is_never_worse():
    model, guide = pair("exact")
    other = guide.inferring("correlation")
    batch = images(model)
    bounds = []
    for each in (guide, other):
        torch.manual_seed(3)
        bounds.append(Elbo(model, each)(batch, size=6).elbo)
    assert bounds[0] > bounds[1]


def test_a_guide_that_infers_otherwise_shares_its_encoder():
    _, guide = pair("correlation")
    other = guide.inferring("exact")
    assert other.encoder is guide.encoder
    assert (guide.config.element, other.config.element) == ("correlation", "exact")


def test_pyros_enumeration_can_be_trained_with():
    model, guide = pair()
    batch = {name: value.float() for name, value in images(model, 40).items()}
    run = fit(
        model.float(),
        guide.float(),
        batch,
        estimator="TraceEnum_ELBO",
        max_steps=60,
        log_every=20,
        progress=False,
    )
    assert run.history[-1]["elbo"] > run.history[0]["elbo"]


@pytest.mark.parametrize("element", ["correlation", "exact"])
def test_the_posterior_is_labelled_by_the_elements_of_the_group(element):
    model, guide = pair(element)
    idata = posterior(model, guide, images(model), draws=400, seed=0, progress=False)
    found = idata["posterior"]["transformation"]
    assert found.dims == ("chain", "draw", "sequence", "element")
    assert found.element.to_numpy().tolist() == [f"factor 0 {k}/4" for k in range(4)]
    if element == "correlation":
        codes = guide.codes(images(model)["images"])
        expected = guide.transformation_posterior(images(model)["images"], codes, codes[:, 0]).mean
        assert abs(found.mean(("chain", "draw")) - expected.detach().numpy()).max() < 0.12
    assert {"prior", "posterior_predictive", "log_likelihood"} <= set(idata.groups())


def test_walks_are_summed_out_exactly():
    """By K evaluations of the model, against one for each of K^T walks."""
    model, guide = pair(dynamics="markov")
    batch = images(model)
    torch.manual_seed(3)
    terms = Elbo(model, guide)(batch, size=6)
    torch.manual_seed(3)
    drawn = poutine.trace(guide).get_trace(**batch).nodes
    law, code = drawn["transformation"]["fn"], drawn["code"]["value"]
    walks = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    weight = law.log_prob(law.of(walks)[:, None]).exp()
    likelihood = model.image_likelihood(code, model.poses(walks, 2)[:, None])
    expected = (weight * likelihood.log_prob(batch["images"])).sum(0).mean()
    torch.testing.assert_close(terms.likelihood["images"], expected)


def test_a_site_that_is_one_whole_cannot_be_weighed_in_parts():
    model, guide = pair(dynamics="markov")
    batch, law = images(model), model.image_likelihood
    model.image_likelihood = lambda code, pose: Opaque(law(code, pose))
    with pytest.raises(ConfigError, match=r"Write `.to_event\(1\)` last"):
        Elbo(model, guide)(batch, size=6)


class Opaque(TorchDistribution):
    """A distribution whose frames are not to be told apart."""

    def __init__(self, law):
        self.law = law
        super().__init__(law.batch_shape, law.event_shape, validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Opaque(self.law.expand(batch_shape))

    def log_prob(self, value):
        return self.law.log_prob(value)
