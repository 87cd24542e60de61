"""Comparison of models by their evidence, where that is known."""

import arviz
import numpy as np
import pytest

from mutoscope.inference.diagnostics import compare, evidence
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import ConfigError, DataError

from ..linear_gaussian import (
    LinearGaussian,
    LinearGaussianConfig,
    LinearGaussianGuide,
    simulated,
)

OPTIONS = {"noisy": {"noise": 0.8}, "true": {}, "overfitting": {"drift": 2.0, "noise": 0.2}}


def pair_of(narrowed=1.0, **options):
    model = LinearGaussian(LinearGaussianConfig(**options))
    return model, LinearGaussianGuide(model).be_exact(model, narrowed=narrowed)


def drawn(count=200, draws=200, **options):
    groups = ("sample_stats", "log_likelihood", "observed_data")
    return posterior(*pair_of(**options), simulated(count)[0], draws=draws, groups=groups)


@pytest.fixture(scope="module")
def idatas():
    return {name: drawn(**options) for name, options in OPTIONS.items()}


def test_the_true_model_is_best_by_its_evidence(idatas):
    found = compare(idatas)
    assert found.elpd["model"].values.tolist()[0] == "true"
    seen = simulated(200)[0]["seen"]
    for name, options in OPTIONS.items():
        exact = pair_of(**options)[0].log_evidence(seen).numpy()
        np.testing.assert_allclose(found.pointwise.sel(model=name), exact, atol=1e-3)
        assert float(found.elpd.sel(model=name)) == pytest.approx(exact.sum(), abs=0.01)
        error = np.sqrt(len(exact)) * exact.std()
        assert float(found.error.sel(model=name)) == pytest.approx(error, rel=1e-3)
    assert float(found.difference[0]) == float(found.difference_error[0]) == 0
    assert (found.difference[1:] > 3 * found.difference_error[1:]).all()
    assert float(found.weight.sum()) == pytest.approx(1, abs=1e-6)
    assert float(found.weight.sel(model="true")) > 0.7
    assert not found.concerns
    assert str(found).startswith("true: ")


def test_likelihoods_of_latents_that_have_seen_the_data_would_prefer_another(idatas):
    mean = {n: float(idata["log_likelihood"]["seen"].mean()) for n, idata in idatas.items()}
    assert max(mean, key=mean.get) == "overfitting"


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, in ArviZ 0.23
def test_arviz_compares_the_same_numbers(idatas):
    table, found = (
        arviz.compare({n: evidence(idata) for n, idata in idatas.items()}),
        compare(idatas),
    )
    for name in OPTIONS:
        row = table.loc[name]
        assert row["elpd_loo"] == pytest.approx(float(found.elpd.sel(model=name)))
        assert row["se"] == pytest.approx(float(found.error.sel(model=name)))
        assert row["elpd_diff"] == pytest.approx(float(found.difference.sel(model=name)))
        assert row["dse"] == pytest.approx(float(found.difference_error.sel(model=name)))
        assert row["weight"] == pytest.approx(float(found.weight.sel(model=name)), abs=0.01)
        assert not row["warning"]
    assert "elpd_loo" in str(evidence(idatas["true"]))


def moved(idata, nats):
    stats, seen = idata["sample_stats"], idata["observed_data"]["seen"]
    axes = ("chain", "draw", "sequence")
    stats = {
        "log_p": Labelled(axes, stats["log_p"].values.astype(float) + nats),
        "log_q": Labelled(axes, stats["log_q"].values),
    }
    return to_arviz(
        {"sample_stats": stats, "observed_data": {"seen": Labelled(seen.dims, seen.values)}}
    )


@pytest.mark.parametrize("nats", [-1e4, 1e4])
def test_densities_may_be_those_of_images(idatas, nats):
    plain = compare(idatas)
    found = compare({name: moved(idata, nats) for name, idata in idatas.items()})
    np.testing.assert_allclose(found.weight, plain.weight, atol=1e-3)
    np.testing.assert_allclose(found.difference, plain.difference, rtol=1e-4)
    np.testing.assert_allclose(found.elpd, plain.elpd + 200 * nats)


def test_what_the_draws_cannot_tell_is_said():
    found = compare({"exact": drawn(), "narrow": drawn(narrowed=0.4)})
    assert found.elpd["model"].values.tolist() == ["exact", "narrow"]
    assert float(found.unreliable.sel(model="narrow")) > 0.8
    assert "draws of the guide of 'narrow' do not tell log p(x)" in found.concerns[0]


def test_the_noise_of_few_draws_is_known():
    exact = float(pair_of()[0].log_evidence(simulated(200)[0]["seen"]).sum())
    found = compare({"wide": drawn(draws=500, narrowed=1.2), "exact": drawn()})
    wide = float(found.noise.sel(model="wide"))
    assert 0.3 < wide < 3
    assert abs(float(found.elpd.sel(model="wide")) - exact) < 4 * wide
    assert float(found.noise.sel(model="exact")) < 1e-2


def test_numbers_that_are_missing_from_both_are_the_same(idatas):
    gaps = {}
    for name in ("true", "noisy"):
        gaps[name] = idatas[name].copy()
        gaps[name]["observed_data"]["seen"].values[0] = np.nan
    plain = compare({name: idatas[name] for name in gaps})
    np.testing.assert_array_equal(compare(gaps).elpd, plain.elpd)


def test_other_data_and_one_model_are_refused(idatas):
    with pytest.raises(DataError, match="'seen' of 'true' and of 'other' differ"):
        compare({"true": idatas["true"], "other": drawn(count=100)})
    with pytest.raises(ConfigError, match="Found 1 models"):
        compare({"true": idatas["true"]})
