"""Importance weights of a guide, on a model whose evidence is known."""

import numpy as np
import pytest
import torch

from mutoscope.inference.diagnostics import importance_sampling
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.metrics import elbo_and_iwae
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import DataError

from ..linear_gaussian import exact_pair, simulated


def weighed(draws=200, count=100, **options):
    return posterior(*exact_pair(**options), simulated(count)[0], draws=draws, progress=False)


def of_weights(log_weights, chains=1):
    """Return weights (draw, datum) as `posterior` does."""
    values = np.asarray(log_weights).reshape(chains, -1, np.shape(log_weights)[1])
    axes = ("chain", "draw", "sequence")
    stats = {"log_p": Labelled(axes, values), "log_q": Labelled(axes, np.zeros_like(values))}
    return to_arviz({"sample_stats": stats})


def test_weights_of_the_posterior_itself_are_the_evidence_without_noise():
    found = importance_sampling(weighed())
    evidence = exact_pair()[0].log_evidence(simulated(100)[0]["seen"])
    np.testing.assert_allclose(found.bound, evidence, atol=1e-4)
    np.testing.assert_allclose(found.elbo, evidence, atol=1e-4)
    np.testing.assert_allclose(found.effective_draws, 200, rtol=1e-4)
    assert (found.khat < 0).all()
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert not found.concerns


def test_a_guide_of_half_the_width_is_caught():
    found = importance_sampling(weighed(narrowed=0.5))
    assert float(found.good.mean()) < 0.2
    assert float(found.usable.mean()) < 0.2
    assert float(found.effective_draws.median()) < 40
    assert "Do not trust" in str(found)


def test_weights_mend_a_guide_that_is_a_little_wide():
    found = importance_sampling(weighed(draws=1000, narrowed=1.2))
    evidence = exact_pair()[0].log_evidence(simulated(100)[0]["seen"])
    assert float(found.good.mean()) > 0.95
    np.testing.assert_allclose(found.bound, evidence, atol=0.2)
    assert found.gap > 0.1
    assert (found.elbo <= found.bound).all()


@pytest.mark.parametrize("k", [0.2, 0.6, 1.0])
def test_the_shape_of_a_known_tail_is_found(k):
    uniform = np.random.default_rng(0).random((4000, 20))
    found = importance_sampling(of_weights(-k * np.log(uniform)))
    assert float(found.khat.mean()) == pytest.approx(k, abs=0.07)


def test_elbo_and_bound_are_those_of_the_metrics():
    log_weights = torch.randn(50, 7, dtype=torch.double) * 3
    found, bounds = importance_sampling(of_weights(log_weights)), elbo_and_iwae(log_weights)
    np.testing.assert_allclose(found.elbo, bounds.elbo)
    np.testing.assert_allclose(found.bound, bounds.iwae)


def test_chains_count_as_draws():
    log_weights = np.random.default_rng(0).normal(size=(60, 4))
    one, three = (importance_sampling(of_weights(log_weights, n)) for n in (1, 3))
    assert three.draws == 60
    np.testing.assert_allclose(one.khat, three.khat)


def test_numbers_keep_the_labels_of_the_data():
    found = importance_sampling(weighed(count=5))
    for values in (found.elbo, found.bound, found.khat, found.effective_draws, found.good):
        assert values.dims == ("sequence",)
        assert values["sequence"].values.tolist() == [0, 1, 2, 3, 4]


def test_draws_that_the_model_excludes_weigh_nothing():
    log_weights = np.random.default_rng(0).normal(size=(100, 2))
    log_weights[::2, 0] = -np.inf
    log_weights[:, 1] = -np.inf
    found = importance_sampling(of_weights(log_weights))
    assert found.bound[0] == pytest.approx(np.log(np.exp(log_weights[1::2, 0]).mean() / 2))
    assert found.effective_draws[0] < 50
    assert found.bound[1] == -np.inf
    assert found.khat[1] == np.inf


def test_a_few_equal_largest_weights_are_no_heavy_tail():
    log_weights = np.where(np.arange(100)[:, None] % 3 == 0, 0.0, -2.0)
    assert importance_sampling(of_weights(log_weights)).khat[0] == -np.inf


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(wrong):
    with pytest.raises(DataError, match="Found 30 importance weights that are not finite"):
        importance_sampling(of_weights(np.full((30, 1), wrong)))


def test_too_few_draws_and_missing_densities_are_refused():
    with pytest.raises(DataError, match="Found 24 draws, but at least 25"):
        importance_sampling(of_weights(np.zeros((24, 1))))
    bare = posterior(*exact_pair(), simulated(3)[0], draws=30, groups=("posterior",))
    with pytest.raises(DataError, match="no 'log_p' in the group 'sample_stats'"):
        importance_sampling(bare)
