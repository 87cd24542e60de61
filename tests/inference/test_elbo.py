"""The itemised ELBO against Pyro's own, and its laws."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions import Normal
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor, nn

from mutoscope.inference.elbo import Elbo, ElboTerms
from mutoscope.zoo.errors import ConfigError

SIZE, BATCH, D = 40, 10, 3


class Model(nn.Module):
    """A global mean, a latent for each datum, and a measurement of it."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.7))

    def forward(self, data: Tensor, *, size: int) -> None:
        mean = pyro.sample("mean", Normal(torch.zeros(D), 2.0).to_event(1))
        with pyro.plate("datum", size, subsample_size=len(data), dim=-1):
            latent = pyro.sample("latent", Normal(mean, 1.0).to_event(1))
            pyro.sample("data", Normal(self.slope * latent, 0.5).to_event(1), obs=data)


class Guide(nn.Module):
    def __init__(self, *, complete: bool = True) -> None:
        super().__init__()
        self.complete = complete
        self.location = nn.Parameter(torch.full((D,), 0.3))
        self.encoder = nn.Linear(D, 2 * D)

    def forward(self, data: Tensor, *, size: int) -> None:
        pyro.sample("mean", Normal(self.location, 0.4).to_event(1))
        location, width = self.encoder(data).chunk(2, -1)
        with pyro.plate("datum", size, subsample_size=len(data), dim=-1):
            if self.complete:
                pyro.sample("latent", Normal(location, width.exp()).to_event(1))


@contextmanager
def same_noise() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        yield


def terms_of(model: nn.Module, guide: nn.Module, data: Tensor, **options: object) -> ElboTerms:
    with same_noise():
        terms: ElboTerms = Elbo(model, guide)({"data": data}, **{"size": len(data), **options})
    return terms


@pytest.fixture
def data() -> Tensor:
    return torch.randn(SIZE, D)


@pytest.mark.parametrize("count", [SIZE, BATCH])
def test_it_agrees_with_pyro(count: int, data: Tensor) -> None:
    model, guide = Model(), Guide()
    terms = terms_of(model, guide, data[:count], size=SIZE)
    with same_noise(), pyro.settings.context(module_local_params=True):
        loss = TraceMeanField_ELBO()(model, guide)(data[:count], size=SIZE)
    assert torch.allclose(-terms.elbo, loss / SIZE, rtol=1e-5)
    parameters = [*model.parameters(), *guide.parameters()]
    ours = torch.autograd.grad(terms.objective, parameters)
    theirs = torch.autograd.grad(loss / SIZE, parameters)
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_batches_are_scaled_to_the_whole_set(data: Tensor) -> None:
    model, guide = Model(), Guide()
    with torch.no_grad():
        model.slope.zero_()  # Pyro's plate draws noise of its own: keep what depends on it out
        small, large = (
            terms_of(model, guide, data[:BATCH], size=size) for size in (SIZE, 2 * SIZE)
        )
    assert torch.allclose(small.kl["latent"], large.kl["latent"])
    assert torch.allclose(small.likelihood["data"], large.likelihood["data"])
    assert torch.allclose(small.kl["mean"], 2 * large.kl["mean"])


def test_batches_average_to_the_whole_set() -> None:
    data = torch.randn(BATCH, D).repeat(SIZE // BATCH, 1)
    model, guide = Model(), Guide()
    draws = 300
    whole = [Elbo(model, guide)({"data": data}, size=SIZE).elbo.detach() for _ in range(draws)]
    part = [
        Elbo(model, guide)({"data": data[:BATCH]}, size=SIZE).elbo.detach() for _ in range(draws)
    ]
    whole_elbo, part_elbo = torch.stack(whole), torch.stack(part)
    error = ((whole_elbo.var() + part_elbo.var()) / draws).sqrt()
    assert abs(whole_elbo.mean() - part_elbo.mean()) <= 4 * error


def test_weights_change_the_objective_but_not_the_elbo(data: Tensor) -> None:
    model, guide = Model(), Guide()
    plain = terms_of(model, guide, data)
    weighted = terms_of(model, guide, data, kl_weight={"latent": 0.25, "mean": torch.tensor(3.0)})
    assert torch.equal(plain.elbo, weighted.elbo)
    assert torch.allclose(plain.objective, -plain.elbo)
    kl = 0.25 * plain.kl["latent"] + 3 * plain.kl["mean"]
    assert torch.allclose(weighted.objective, kl - plain.likelihood["data"])


def test_terms_are_itemised_by_site(data: Tensor) -> None:
    terms = terms_of(Model(), Guide(), data)
    named = terms.itemised()
    assert set(named) == {"elbo", "log p(data)", "KL(mean)", "KL(latent)"}
    assert named["elbo"] == pytest.approx(
        named["log p(data)"] - named["KL(mean)"] - named["KL(latent)"], rel=1e-5
    )


def test_a_site_that_the_guide_forgets_is_named(data: Tensor) -> None:
    with pytest.raises(ConfigError, match="samples 'latent', but the guide does not"):
        terms_of(Model(), Guide(complete=False), data)


def test_penalties_are_no_part_of_the_elbo(data: Tensor) -> None:
    class Penalised(Model):
        def penalties(
            self, latents: dict[str, Tensor], guide_log_prob: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            return {"size": latents["latent"].square().sum(-1), "log": guide_log_prob["latent"]}

    guide = Guide()
    plain, penalised = (terms_of(model, guide, data) for model in (Model(), Penalised()))
    assert set(penalised.penalty) == {"size", "log"}
    assert torch.equal(plain.elbo, penalised.elbo)
    added = sum(penalised.penalty.values())
    assert torch.allclose(penalised.objective, plain.objective + added)


def test_the_global_parameter_store_stays_empty(data: Tensor) -> None:
    terms_of(Model(), Guide(), data)
    assert not list(pyro.get_param_store().keys())


@pytest.mark.parametrize("mask", [True, False, torch.tensor(False)])
def test_what_is_masked_counts_as_in_pyro(mask: bool | Tensor) -> None:
    guide, data = Guide(), torch.randn(BATCH, D)
    model = poutine.mask(Model(), mask=mask)

    def masked(data: Tensor, *, size: int) -> None:
        return poutine.mask(guide, mask=mask)(data, size=size)

    with same_noise():
        expected = -TraceMeanField_ELBO().differentiable_loss(model, masked, data, size=SIZE) / SIZE
    with same_noise():
        found = Elbo(model, guide)({"data": data}, size=SIZE).elbo
    assert torch.allclose(found, expected, atol=1e-5)
