import itertools
import math

import pyro
import pytest
import torch
from pyro.distributions import Normal
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from mutoscope.inference.metrics import particles as particles_module
from mutoscope.inference.metrics.bounds import elbo_and_iwae, importance_log_weights
from mutoscope.zoo.errors import ConfigError, DataError

NOISE = 0.6


class LinearModel(nn.Module):
    """`z ~ N(0, I)`, `x ~ N(W z, NOISE^2 I)`: everything has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 0.4], [-0.3, 0.8], [0.5, 0.5]]))

    def forward(self, x: Tensor | None = None, *, size: int | None = None) -> None:
        count = (size or 1) if x is None else len(x)
        with pyro.plate("datum", size or count, subsample_size=count, dim=-1):
            z = pyro.sample("z", Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", Normal(z @ self.weight.T, NOISE).to_event(1), obs=x)

    def evidence(self, x: Tensor) -> Tensor:
        covariance = self.weight @ self.weight.T + NOISE**2 * torch.eye(3)
        return MultivariateNormal(torch.zeros(3), covariance).log_prob(x).detach()

    def posterior(self, x: Tensor) -> MultivariateNormal:
        precision = torch.eye(2) + self.weight.T @ self.weight / NOISE**2
        covariance = torch.linalg.inv(precision)
        return MultivariateNormal(x @ self.weight @ covariance / NOISE**2, covariance)


class LinearGuide(nn.Module):
    """The exact posterior, moved and widened by as much as is asked for."""

    def __init__(self, model: LinearModel, shift: float, widen: float) -> None:
        super().__init__()
        self.model, self.shift, self.widen = (model,), shift, widen

    def law(self, x: Tensor) -> MultivariateNormal:
        exact = self.model[0].posterior(x)
        return MultivariateNormal(exact.mean + self.shift, exact.covariance_matrix * self.widen)

    def forward(self, x: Tensor, *, size: int | None = None) -> None:
        law = self.law(x)
        with pyro.plate("datum", size or len(x), subsample_size=len(x), dim=-1):
            pyro.sample("z", pyro.distributions.MultivariateNormal(law.mean, law.covariance_matrix))


@pytest.fixture
def model() -> LinearModel:
    return LinearModel()


@pytest.fixture
def x(model: LinearModel) -> Tensor:
    return (torch.randn(300, 2) @ model.weight.T + NOISE * torch.randn(300, 3)).detach()


def test_weights_of_the_exact_posterior_are_the_evidence_itself(
    model: LinearModel, x: Tensor
) -> None:
    guide = LinearGuide(model, shift=0.0, widen=1.0)
    log_weights = importance_log_weights(model, guide, {"x": x}, particles=3, seed=0)
    torch.testing.assert_close(log_weights, model.evidence(x).expand(3, -1), atol=1e-4, rtol=0)


def test_bounds_rise_with_the_particles_towards_the_evidence(model: LinearModel, x: Tensor) -> None:
    guide = LinearGuide(model, shift=0.3, widen=1.5)
    log_weights = importance_log_weights(model, guide, {"x": x}, particles=500, seed=0)
    few, many = elbo_and_iwae(log_weights, 50), elbo_and_iwae(log_weights, 500)
    evidence = model.evidence(x).mean()
    assert few.elbo.mean() < few.iwae.mean() < many.iwae.mean() < evidence + 0.01
    assert evidence - many.iwae.mean() < 0.1
    assert evidence - few.elbo.mean() > 0.1


def test_the_elbo_falls_short_of_the_evidence_by_the_divergence_of_the_guide(
    model: LinearModel, x: Tensor
) -> None:
    guide = LinearGuide(model, shift=0.3, widen=1.5)
    log_weights = importance_log_weights(model, guide, {"x": x}, particles=400, seed=1)
    gap = torch.distributions.kl_divergence(guide.law(x), model.posterior(x)).detach()
    error = (elbo_and_iwae(log_weights).elbo - model.evidence(x) + gap).mean()
    assert abs(error) < 4 * log_weights.std() / math.sqrt(log_weights.numel())


def test_more_particles_never_lower_the_bound_of_the_same_draws() -> None:
    log_weights = 3 * torch.randn(24, 50)
    bounds = [elbo_and_iwae(log_weights, size).iwae for size in (1, 2, 4, 12, 24)]
    torch.testing.assert_close(bounds[0], elbo_and_iwae(log_weights).elbo)
    for lower, higher in itertools.pairwise(bounds):
        assert (lower <= higher + 1e-5).all()


def test_effective_particles_count_equal_weights() -> None:
    log_weights = torch.full((8, 2), -3.0)
    log_weights[1:, 1] = -torch.inf
    bounds = elbo_and_iwae(log_weights)
    torch.testing.assert_close(bounds.effective_particles, torch.tensor([8.0, 1.0]))
    torch.testing.assert_close(bounds.iwae, torch.tensor([-3.0, -3.0 - math.log(8)]))


def test_a_datum_that_no_draw_explains_has_no_evidence() -> None:
    bounds = elbo_and_iwae(torch.full((4, 1), -torch.inf))
    assert bounds.iwae.item() == -torch.inf
    assert bounds.elbo.item() == -torch.inf


def test_memory_is_bounded_without_a_change_of_the_law(
    model: LinearModel, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(particles_module, "VALUES_AT_ONCE", 4 * x.numel())
    guide = LinearGuide(model, shift=0.0, widen=1.0)
    log_weights = importance_log_weights(model, guide, {"x": x}, particles=10, seed=0)
    torch.testing.assert_close(log_weights, model.evidence(x).expand(10, -1), atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_noise(
    model: LinearModel, x: Tensor
) -> None:
    guide, state = LinearGuide(model, shift=0.3, widen=1.0), torch.get_rng_state()
    first, second, other = (
        importance_log_weights(model, guide, {"x": x}, particles=2, seed=seed) for seed in (7, 7, 8)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_set_of_weights_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        elbo_and_iwae(torch.zeros(0, 3))
    with pytest.raises(DataError, match="NaN"):
        elbo_and_iwae(torch.tensor([[math.nan]]))
    with pytest.raises(ConfigError, match="1 to 4"):
        elbo_and_iwae(torch.zeros(4, 3), 5)


def test_a_guide_that_lacks_a_site_is_refused(model: LinearModel, x: Tensor) -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor, *, size: int | None = None) -> None:
            pass

    with pytest.raises(ConfigError, match="z"):
        importance_log_weights(model, Nothing(), {"x": x}, particles=2, seed=0)


def test_masked_data_carry_no_weight(model: LinearModel, x: Tensor) -> None:
    seen = torch.arange(len(x)) % 2 == 0

    class Masked(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor, *, size: int | None = None) -> None:
            with pyro.poutine.mask(mask=seen):
                self.inner(x, size=size)

    guide = LinearGuide(model, shift=0.0, widen=1.0)
    log_weights = importance_log_weights(
        Masked(model), Masked(guide), {"x": x}, particles=2, seed=0
    )
    assert (log_weights[:, ~seen] == 0).all()
    torch.testing.assert_close(
        log_weights[:, seen], model.evidence(x)[seen].expand(2, -1), atol=1e-4, rtol=0
    )
