"""Prior sensitivity, against closed forms and against nothing at all."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mutoscope.inference.diagnostics import prior_sensitivity
from mutoscope.inference.diagnostics.sensitivity import _distance
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import ConfigError, DataError

from ..linear_gaussian import exact_pair, simulated

AXES = ("chain", "draw", "datum")


def of_arrays(z, log_prior, log_likelihood, dims=AXES):
    return to_arviz(
        {
            "posterior": {"z": Labelled(dims, z[None])},
            "sample_stats": {"log_p": Labelled(AXES, (log_prior + log_likelihood)[None])},
            "log_likelihood": {"x": Labelled(AXES, log_likelihood[None])},
        }
    )


def conjugate(x, noise, prior=1.0, likelihood=1.0):
    """Return mean and deviation of z ~ Normal(0, 1), x ~ Normal(z, noise), each to a power."""
    precision = prior + likelihood / noise**2
    return x * likelihood / noise**2 / precision, precision**-0.5


def distance(one, two, between):
    """Return the cumulative Jensen-Shannon distance of two normal laws."""

    def integral(integrand):
        return quad(integrand, *between, limit=200, epsabs=1e-12)[0]

    def divergence(p, q):
        def of(z):
            a, b = p(z), q(z)
            return a * np.log2(2 * a / (a + b)) + b * np.log2(2 * b / (a + b))

        return integral(of) / integral(lambda z: p(z) + q(z))

    p, q = norm(*one), norm(*two)
    return np.sqrt(max(divergence(p.cdf, q.cdf), divergence(p.sf, q.sf)))


@pytest.mark.parametrize(("x", "noise"), [(1.0, 0.5), (3.0, 1.0), (0.0, 2.0)])
def test_it_is_what_a_conjugate_posterior_says(x, noise):
    mean, deviation = conjugate(x, noise)
    z = np.random.default_rng(0).normal(mean, deviation, size=(200_000, 1))
    found = prior_sensitivity(of_arrays(z, norm.logpdf(z), norm.logpdf(x, z, noise)))
    for name in ("prior", "likelihood"):
        moves = [
            distance((mean, deviation), conjugate(x, noise, **{name: power}), (z.min(), z.max()))
            / abs(np.log2(power))
            for power in (0.99, 1.01)
        ]
        assert float(getattr(found, name)[0]) == pytest.approx(np.mean(moves), rel=0.1, abs=2e-3)


def test_a_prior_of_something_else_has_no_influence_for_few_draws_either():
    random = np.random.default_rng(0)
    z, other = random.normal(size=(2, 100, 200))
    found = prior_sensitivity(of_arrays(z, -3 * other**2, 0 * z))
    assert float(found.prior[0]) < 0.03
    assert found.diagnoses == {"z": "neither"}
    own = prior_sensitivity(of_arrays(z, -3 * z**2, 0 * z))
    assert float(own.prior[0]) > 0.3


def test_a_posterior_that_only_follows_its_prior_is_a_concern():
    z = np.random.default_rng(0).normal(size=(1000, 5))
    found = prior_sensitivity(of_arrays(z, norm.logpdf(z), np.zeros_like(z)))
    assert found.diagnoses == {"z": "prior"}
    assert "The posterior of z follows its prior and hardly the data." in str(found)
    found = prior_sensitivity(of_arrays(z, np.zeros_like(z), norm.logpdf(z)))
    assert found.diagnoses == {"z": "data"}
    assert not found.concerns


def test_what_never_changes_is_not_sensitive():
    z = np.ones((50, 3))
    found = prior_sensitivity(of_arrays(z, np.random.default_rng(0).normal(size=z.shape), 0 * z))
    assert float(found.prior[0]) == 0


def test_variables_of_a_posterior_are_told_apart_by_their_labels():
    data = simulated(30)[0]
    precise = posterior(*exact_pair(), data, draws=100)
    found = prior_sensitivity(precise)
    assert found.prior["quantity"].values.tolist() == ["path[position]", "path[velocity]"]
    assert (found.likelihood > 0.05).all()
    assert prior_sensitivity(precise, by=[]).prior["quantity"].values.tolist() == ["path"]


def test_draws_of_equal_weight_have_not_moved():
    steps, weights = np.ones((9, 2)), np.full((10, 2), 0.1)
    np.testing.assert_allclose(_distance(steps, weights), 0, atol=1e-7)
    weights[:, 1] = np.linspace(0.05, 0.15, 10)
    assert (_distance(steps, weights / weights.sum(0)) > 0.01).tolist() == [False, True]


def test_parts_make_no_difference(monkeypatch):
    from mutoscope.inference.diagnostics import sensitivity

    idata = posterior(*exact_pair(), simulated(30)[0], draws=50)
    whole = prior_sensitivity(idata)
    monkeypatch.setattr(sensitivity, "_NUMBERS_AT_ONCE", 1000)
    np.testing.assert_allclose(prior_sensitivity(idata).prior, whole.prior)


def test_few_draws_and_shared_variables_are_refused():
    z = np.zeros((24, 3))
    with pytest.raises(DataError, match="Found 24 draws, but at least 25"):
        prior_sensitivity(of_arrays(z, z, z))
    z = np.zeros((30, 3))
    with pytest.raises(DataError, match="of finite density"):
        prior_sensitivity(of_arrays(z, z - np.inf, z))
    with pytest.raises(ConfigError, match=r"by=\['draw'\], but axes out of \[\]"):
        prior_sensitivity(of_arrays(z, z, z), by=["draw"])
    with pytest.raises(ConfigError, match="with the axis 'datum'"):
        prior_sensitivity(of_arrays(z, z, z, ("chain", "draw", "other")))
