"""Predictive checks: a true model passes, and what is wrong with others shows."""

import numpy as np
import pytest
from scipy.stats import norm

from mutoscope.inference.diagnostics import predictive_check
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import ConfigError, DataError

from ..linear_gaussian import (
    LinearGaussian,
    LinearGaussianConfig,
    LinearGaussianGuide,
    simulated,
)

NAMES = ["mean", "standard deviation", "maximum", "change along time"]


def made_up(seed=0, draws=100, count=300, groups=None, **options):
    model = LinearGaussian(LinearGaussianConfig(**options))
    guide = LinearGaussianGuide(model).be_exact(model)
    chosen = {} if groups is None else {"groups": groups}
    return posterior(model, guide, simulated(count, seed)[0], draws=draws, seed=seed, **chosen)


@pytest.mark.parametrize("seed", range(4))
def test_a_true_model_passes(seed):
    found = predictive_check(made_up(seed))
    assert found.overall["discrepancy"].values.tolist() == NAMES
    assert found.p_value.dims == ("discrepancy", "sequence")
    assert found.replicated.dims == ("discrepancy", "draw", "sequence")
    assert (found.uniform > 0.01).all()
    assert (abs(found.deviation) < 4).all()
    assert not found.concerns


@pytest.mark.parametrize(("noise", "word"), [(0.9, "below"), (0.3, "above")])
def test_wrong_noise_shows_in_what_changes(noise, word):
    found = predictive_check(made_up(noise=noise))
    share, away = (x.sel(discrepancy="change along time") for x in (found.overall, found.deviation))
    assert float(min(share, 1 - share)) == 0
    assert abs(float(away)) > 5
    assert float(found.uniform.sel(discrepancy="change along time")) < 1e-3
    assert f"The change along time of the data is {word} that of replications" in str(found)
    assert not any(concern.startswith("The mean") for concern in found.concerns)


@pytest.mark.parametrize("draws", [2, 9])
def test_few_replications_are_enough_and_do_not_cry_wolf(draws):
    assert not any(predictive_check(made_up(seed, draws=draws)).concerns for seed in range(10))
    if draws > 2:
        assert any(
            "replications" in c for c in predictive_check(made_up(0, draws, noise=1.0)).concerns
        )


def of_arrays(replicated, seen):
    axes = ("chain", "draw", "datum", "time")[: replicated.ndim + 1]
    return to_arviz(
        {
            "posterior_predictive": {"x": Labelled(axes, replicated[None])},
            "observed_data": {"x": Labelled(axes[2:], seen)},
        }
    )


def test_numbers_that_are_missing_in_the_data_are_missing_in_replications():
    seen = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0]])
    replicated = np.stack([seen + shift for shift in (-1.0, 1.0, 2.0)])
    replicated[:, np.isnan(seen)] = 100.0
    found = predictive_check(of_arrays(replicated, seen)).p_value.sel(
        discrepancy=["mean", "maximum"]
    )
    np.testing.assert_allclose(found, 2 / 3)


def test_data_that_are_wholly_missing_are_left_out_and_raise_no_concern():
    idata = made_up(1)
    absent = np.arange(300) < 60
    idata["observed_data"]["seen"].values[absent] = np.nan
    found = predictive_check(idata)
    assert not found.concerns
    for each in (found.p_value, found.place):
        assert each[:, absent].isnull().all()
        assert each[:, ~absent].notnull().all()


def test_p_values_are_shares_of_replications_above():
    replicated = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0]])
    found = predictive_check(of_arrays(replicated, np.array([1.5, 8.0])))
    assert found.p_value.sel(discrepancy="value").values.tolist() == [0.5, 0.125]
    assert float(found.overall[0]) == 0.25  # means are 2.5, 3.5, 4.5, 5.5; that of the data is 4.75
    spread = np.std([2.5, 3.5, 4.5, 5.5], ddof=1)
    assert float(found.deviation[0]) == pytest.approx((4.75 - 4.0) / spread)
    assert found.place is None
    assert found.uniform is None


def test_replications_with_a_long_tail_are_taken_as_they_are():
    quantiles = np.exp(norm.ppf((np.arange(1000) + 0.5) / 1000))[:, None]
    for share, concerned in ((0.98, False), (0.9999, True)):
        found = predictive_check(of_arrays(quantiles, np.exp(norm.ppf([share]))))
        assert float(found.deviation[0]) > 2.5
        assert bool(found.concerns) == concerned


def test_replications_that_are_all_alike_are_no_excuse():
    found = predictive_check(of_arrays(np.ones((300, 2)), np.array([1.0, 0.9])))
    assert float(found.deviation[0]) == -np.inf
    assert "below that of replications" in found.concerns[0]
    assert not predictive_check(of_arrays(np.ones((300, 2)), np.ones(2))).concerns
    with pytest.raises(DataError, match="at least 2"):
        predictive_check(of_arrays(np.ones((1, 2)), np.ones(2)))


def test_numbers_of_ones_own_are_taken():
    over = ("time", "channel")
    functions = {
        "first": lambda x: x.isel(time=0, channel=0),
        "range": lambda x: x.max(over) - x.min(over),
    }
    found = predictive_check(made_up(count=20), discrepancies=functions)
    assert found.observed["discrepancy"].values.tolist() == ["first", "range"]
    seen = simulated(20)[0]["seen"]
    np.testing.assert_allclose(found.observed.sel(discrepancy="first"), seen[:, 0, 0], rtol=1e-6)


def test_a_number_for_each_axis_is_refused():
    with pytest.raises(ConfigError, match="'bad' returns the axes"):
        predictive_check(made_up(count=20), discrepancies={"bad": lambda x: x.mean("channel")})
    with pytest.raises(ConfigError, match="no discrepancies"):
        predictive_check(made_up(count=20), discrepancies={})


def test_missing_groups_and_unknown_variables_are_refused():
    with pytest.raises(DataError, match="'posterior_predictive'"):
        predictive_check(made_up(count=5, groups=("observed_data", "posterior")))
    with pytest.raises(ConfigError, match=r"Found the observed variables \[\]"):
        predictive_check(made_up(count=5, groups=("posterior",)))
    with pytest.raises(DataError, match="'heard'"):
        predictive_check(made_up(count=5), "heard")
