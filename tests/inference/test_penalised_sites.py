"""Penalties that are sites: paid for by any ELBO of Pyro, beside the true ELBO in ours."""

import pyro
import pytest
import torch
from pyro.distributions import Normal
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from mutoscope.guides import EntropyOrderedFlowGuide
from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.inference.objective import PyroObjective
from mutoscope.zoo import EntropyOrderedFlow
from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.penalty import is_penalty, penalise

from ..zoo.flows.kinds import stirred
from .toy import ToyGuide, ToyModel, toy_data

SIZES = {"couplings": 2, "hidden_dim": 8, "location": 0.0, "scale": 1.0}


def flow(**options):
    torch.manual_seed(0)
    config = EntropyOrderedFlow.Config(
        image_shape=(5,), **({"noise": 0.0, "estimator": "dense"} | SIZES | options)
    )
    model = stirred(EntropyOrderedFlow(config), 0.2).double()
    return model, EntropyOrderedFlowGuide(model)


def points(count=7):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture(autouse=True)
def own_store():
    with pyro.get_param_store().scope():
        yield


@pytest.mark.parametrize("kind", [Trace_ELBO, TraceMeanField_ELBO])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_loss_of_svi_is_the_negative_log_likelihood_and_the_penalty(kind, weight):
    model, guide = flow(total_correlation=weight)
    x = points()
    loss = SVI(model, guide, pyro.optim.Adam({}), kind()).evaluate_loss(x)
    total = model.total_correlation(model.flow.inv(x))
    assert float(total.sum().detach()) > 0.1
    expected = -model.log_prob(x).sum() + weight * total.sum()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-10)


def test_plates_weigh_the_penalty_of_a_part_of_the_data():
    model, guide = flow()
    x = points()
    alone, part = (Trace_ELBO().loss(model, guide, x, size=size) for size in (7, 70))
    assert part == pytest.approx(10 * alone, rel=1e-10)


def test_with_noise_the_same_draws_cost_the_same_in_both_elbos():
    model, guide = flow(noise=0.2, estimator="rows")
    x = points()
    torch.manual_seed(3)
    terms = Elbo(model, guide)({"x": x}, size=7)
    torch.manual_seed(3)
    loss = Trace_ELBO().differentiable_loss(model, guide, x)
    assert loss.item() == pytest.approx(7 * terms.objective.item(), rel=1e-10)
    true = terms.penalty["total_correlation"].item() - terms.elbo.item()
    assert terms.objective.item() == pytest.approx(true, rel=1e-10)


def test_gradients_are_those_of_our_own_elbo():
    grads = []
    for ours in (True, False):
        model, guide = flow(noise=0.2, estimator="columns")
        torch.manual_seed(3)
        loss = (
            7 * Elbo(model, guide)({"x": points()}, size=7).objective
            if ours
            else Trace_ELBO().differentiable_loss(model, guide, points())
        )
        loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*grads)


def test_plain_svi_lowers_the_total_correlation():
    torch.manual_seed(0)
    x = torch.randn(200, 5) @ torch.randn(5, 5)
    ends = {}
    for weight in (0.0, 1.0):
        model, guide = flow(total_correlation=weight, noise=0.1, scale=2.0)
        model.float()
        pyro.clear_param_store()

        def registered(x, model=model):
            return pyro.module("flow", model)(x)

        svi = SVI(registered, guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
        for _ in range(60):
            svi.step(x)
        with torch.no_grad():
            ends[weight] = float(model.total_correlation(model.flow.encode(x)[0]).mean())
    assert ends[1.0] < 0.6 * ends[0.0]


def test_evaluation_is_free_of_it():
    model, guide = flow()
    x = points()
    model.eval()
    loss = Trace_ELBO().loss(model, guide, x)
    assert loss == pytest.approx(-model.log_prob(x).sum().item(), rel=1e-10)
    assert not Elbo(model, guide)({"x": x}, size=7).penalty


@pytest.mark.parametrize("particles", [1, 3])
def test_pyro_s_elbos_report_the_true_one_beside(particles):
    model, guide = flow()
    x = points()
    objective = PyroObjective("Trace_ELBO", model, guide, size=70, particles=particles)
    loss, terms = objective({"x": x})
    named = dict(zip(objective.names, terms.tolist(), strict=True))
    total = model.total_correlation(model.flow.inv(x)).mean().item()
    assert named["penalty(total_correlation)"] == pytest.approx(total, rel=1e-9)
    assert named["elbo"] == pytest.approx(model.log_prob(x).mean().item(), rel=1e-9)
    assert named["objective"] == pytest.approx(-loss.item(), rel=1e-9)
    assert float(objective.score({"x": x})) == pytest.approx(named["elbo"], rel=1e-6)


def test_fit_with_pyro_s_own_elbo():
    model, guide = flow(noise=0.1)
    run = fit(
        model.float(),
        guide,
        {"x": points(40).float()},
        max_steps=4,
        estimator="Trace_ELBO",
        progress=False,
        log_every=1,
    )
    assert run.history[-1]["penalty(total_correlation)"] > 0
    assert run.history[-1]["elbo"] > run.history[-1]["objective"]


class Pulled(ToyModel):
    def forward(self, data=None, *, size=None):
        super().forward(data, size=size)
        count = size if data is None else len(data)
        with pyro.plate("again", size or count, subsample=torch.arange(count), dim=-1):
            penalise("pull", self.slope.square().expand(count))


def test_a_penalty_of_any_model_is_no_likelihood():
    model = Pulled()
    terms = Elbo(model, ToyGuide(model))(toy_data(), size=500)
    assert terms.likelihood.keys() == {"data"}
    assert terms.penalty["pull"].item() == pytest.approx(0.49, rel=1e-5)


def test_many_draws_average_the_penalty():
    model, guide = flow(noise=0.2)
    torch.manual_seed(0)
    many = Elbo(model, guide, particles=200)({"x": points()}, size=7).penalty
    singles = [Elbo(model, guide)({"x": points()}, size=7).penalty for _ in range(200)]
    values = torch.stack([each["total_correlation"].detach() for each in singles])
    error = float(values.std()) / 200**0.5
    assert abs(many["total_correlation"].item() - float(values.mean())) < 6 * error


class Declared(ToyModel):
    def penalties(self, values, guide_log_prob):
        return {}


def test_declared_penalties_are_refused_with_what_to_do():
    model = Declared()
    with pytest.raises(ConfigError, match=r"declares penalties.*'lean'.*penalise"):
        PyroObjective("Trace_ELBO", model, ToyGuide(model), size=50)


def test_normal_sites_are_none():
    with pyro.poutine.trace() as trace:
        pyro.sample("z", Normal(0.0, 1.0))
        pyro.factor("bonus", torch.zeros(3))
        penalise("price", torch.ones(3))
    marked = {name for name, site in trace.trace.nodes.items() if is_penalty(site)}
    assert marked == {"price"}
