"""What training minimises beside the ELBO that it reports."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions import Bernoulli, Normal
from torch import nn

from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.inference.objective import Objective, PyroObjective
from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.schedules import Schedule

from .toy import ToyGuide, ToyModel, toy_data, toy_pair


def parts(objective, data=None):
    torch.manual_seed(3)
    loss, items = objective(data or toy_data())
    return loss, dict(zip(objective.names, items.tolist(), strict=True))


def still(seed=0):
    return toy_pair(seed, dropout=0.0)


def test_the_terms_are_those_of_the_elbo():
    pair = still()
    loss, named = parts(Objective(*pair, size=50))
    torch.manual_seed(3)
    terms = Elbo(*pair)(toy_data(), size=50).itemised()
    assert {name: named[name] for name in terms} == pytest.approx(terms)
    assert named["objective"] == pytest.approx(-loss.item())
    assert named["elbo"] == pytest.approx(named["log p(data)"] - named["KL(z)"], rel=1e-5)


def test_beta_weighs_the_objective_and_not_the_elbo():
    pair = still()
    _, plain = parts(Objective(*pair, size=50))
    loss, heavy = parts(Objective(*pair, size=50, beta=3.0))
    assert heavy["elbo"] == plain["elbo"]
    expected = 3 * plain["KL(z)"] - plain["log p(data)"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_beta_multiplies_the_schedule_of_the_model():
    model, guide = still()
    model.kl_schedule = {"z": Schedule(start=0.0, end=0.5, until=0.5)}
    objective = Objective(model, guide, size=50, beta=2.0)
    expected = {0.0: 0.0, 0.25: 0.5, 1.0: 1.0}
    for fraction, weight in expected.items():
        objective.drive(fraction)
        loss, named = parts(objective)
        assert loss.item() == pytest.approx(
            weight * named["KL(z)"] - named["log p(data)"], rel=1e-4
        )


def test_free_bits_are_paid_in_full_and_pull_no_further():
    model, guide = still()
    plenty = Objective(model, guide, size=50, free_bits=1000.0)
    loss, named = parts(plenty)
    assert loss.item() == pytest.approx(1000.0 - named["log p(data)"], rel=1e-5)
    few = Objective(model, guide, size=50, free_bits=1e-3)
    assert parts(few)[0].item() == pytest.approx(-named["elbo"], rel=1e-5)
    with_kl, without = [], []
    for objective, found in ((few, with_kl), (plenty, without)):
        objective.zero_grad()
        parts(objective)[0].backward()
        found += [parameter.grad.clone() for parameter in objective.parameters()]
    weightless = Objective(model, guide, size=50, beta=0.0)
    weightless.zero_grad()
    parts(weightless)[0].backward()
    likelihood_only = [parameter.grad for parameter in weightless.parameters()]
    assert all(torch.allclose(a, b) for a, b in zip(without, likelihood_only, strict=True))
    assert not all(torch.allclose(a, b) for a, b in zip(with_kl, likelihood_only, strict=True))


def test_particles_average_and_calm():
    pair = still()
    one = Objective(*pair, size=50)
    many = Objective(*pair, size=50, particles=50)
    torch.manual_seed(0)
    single = torch.stack([one(toy_data())[0] for _ in range(400)])
    several = torch.stack([many(toy_data())[0] for _ in range(40)])
    error = (single.var() / 400 + several.var() / 40).sqrt()
    assert abs(single.mean() - several.mean()) < 5 * error
    assert several.var() < single.var() / 10


def test_particles_are_drawn_apart():
    model, guide = still()
    elbo = Elbo(model, guide, particles=7)
    seen = []
    handle = model.register_forward_hook(lambda *_: None)
    elbo(toy_data(), size=50)
    with elbo._many(toy_data(), 50):
        seen.append(poutine.trace(guide).get_trace(**toy_data(), size=50).nodes["z"]["value"])
    handle.remove()
    assert seen[0].shape == (7, 50, 3)
    assert len(seen[0][:, 0, 0].unique()) == 7


class WithExtraSite(ToyGuide):
    def forward(self, data, *, size=None):
        super().forward(data, size=size)
        pyro.sample("extra", Normal(0.0, 1.0))


def test_a_site_of_the_guide_that_the_model_lacks_is_refused():
    model = ToyModel()
    with pytest.raises(ConfigError, match="extra"):
        Elbo(model, WithExtraSite(model))(toy_data(), size=50)


def test_what_is_scheduled_moves_buffers_of_model_and_guide():
    model, guide = still()
    guide.register_buffer("knob", torch.tensor(0.0))
    guide.schedules = {"knob": Schedule(start=1.0, end=3.0, until=0.5)}
    objective = Objective(model, guide, size=50)
    for fraction, value in {0.0: 1.0, 0.25: 2.0, 0.9: 3.0}.items():
        objective.drive(fraction)
        assert guide.knob.item() == value


def test_knobs_are_no_part_of_what_is_saved():
    model, guide = still()
    assert isinstance(model, nn.Module)
    objective = Objective(model, guide, size=50)
    assert all(name.startswith("elbo.") for name, _ in objective.named_parameters())


@pytest.mark.parametrize("estimator", ["Trace_ELBO", "TraceMeanField_ELBO"])
def test_the_elbos_of_pyro_agree_with_ours_over_draws(estimator):
    pair = still()
    objectives = Objective(*pair, size=50), PyroObjective(estimator, *pair, size=50)
    losses, slopes = [], []
    with pyro.settings.context(module_local_params=True):
        for objective in objectives:
            torch.manual_seed(0)
            found, gradients = [], []
            for _ in range(300):
                objective.zero_grad()
                loss, _ = objective(toy_data())
                loss.backward()
                found.append(loss.detach())
                gradients.append(pair[0].slope.grad.clone())
            losses.append(torch.stack(found))
            slopes.append(torch.stack(gradients))
    for ours, theirs in (losses, slopes):
        error = ((ours.var() + theirs.var()) / 300).sqrt()
        assert abs(ours.mean() - theirs.mean()) < 4 * error
    if estimator == "TraceMeanField_ELBO":
        assert torch.allclose(*losses, rtol=1e-5)
        assert torch.allclose(*slopes, rtol=1e-4, atol=1e-6)


def test_the_elbos_of_pyro_refuse_what_they_know_nothing_of():
    model, guide = still()
    model.kl_schedule = {"z": Schedule(start=0.0, end=1.0, until=0.5)}
    with pytest.raises(ConfigError, match="kl_schedule"):
        PyroObjective("Trace_ELBO", model, guide, size=50)
    with pytest.raises(ConfigError, match=r"beta=2\.0"):
        fit(*still(), toy_data(), estimator="Trace_ELBO", beta=2.0, progress=False)


class Mixture(nn.Module):
    """`which ~ Bernoulli(0.3)`, `data ~ Normal(+-place, 1)`."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("odds", torch.tensor(0.3))

    def forward(self, data=None, *, size=1):
        with pyro.plate("datum", size, subsample=torch.arange(len(data)), dim=-1):
            which = pyro.sample("which", Bernoulli(self.odds), infer={"enumerate": "parallel"})
            location = self.place * (2 * which - 1)
            pyro.sample("data", Normal(location, 1.0), obs=data[:, 0])


class NoGuide(nn.Module):
    """Everything is enumerated."""

    def forward(self, data, *, size=1):
        pass


def test_enumerated_sites_train_with_the_elbo_of_pyro_that_knows_them():
    which = torch.rand(400, generator=torch.Generator().manual_seed(0)) < 0.3
    noise = torch.randn(400, generator=torch.Generator().manual_seed(1))
    data = {"data": (torch.where(which, 3.0, -3.0) + noise)[:, None]}
    model = Mixture()
    fit(model, NoGuide(), data, estimator="TraceEnum_ELBO", max_steps=300, learning_rate=0.05,
        progress=False)  # fmt: skip
    assert model.place.item() == pytest.approx(3.0, abs=0.2)
