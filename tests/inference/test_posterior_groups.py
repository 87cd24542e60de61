"""What each group of a posterior holds: laws in closed form, for models of many shapes."""

from typing import ClassVar

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Normal, Poisson, TorchDistribution
from torch import nn

from mutoscope.inference import drawing
from mutoscope.inference.metrics import importance_log_weights
from mutoscope.inference.metrics import particles as particles_module
from mutoscope.inference.posterior import GROUPS, posterior
from mutoscope.zoo.errors import ConfigError, DataError

from .arviz_functions import names_of
from .measured import (
    NOISE,
    PRECISION,
    SLOPE,
    TIMES,
    Measured,
    MeasuredGuide,
    log_evidence,
    log_normal,
)

COUNT = 7


@pytest.fixture
def x():
    return SLOPE * torch.randn(COUNT, 1) + NOISE * torch.randn(COUNT, TIMES)


def of(x, pair=(Measured, MeasuredGuide), **options):
    model, guide = (part() if isinstance(part, type) else part for part in pair)
    return posterior(model, guide, {"x": x}, **{"draws": 20, "batch_size": 3} | options)


def rows(x, dim=-1, name="data"):
    return pyro.plate(name, len(x), subsample=torch.arange(len(x)), dim=dim)


def test_every_group_is_there_with_chain_draw_and_datum(x):
    idata = of(x)
    names = {group: set(idata[group].data_vars) for group in names_of(idata)}
    sites = {"z", "mean"}
    assert names == {
        "posterior": sites,
        "prior": sites,
        "sample_stats": {"log_p", "log_q"},
        "log_likelihood": {"x"},
        "posterior_predictive": {"x"},
        "prior_predictive": {"x"},
        "observed_data": {"x"},
    }
    for group, name in (("sample_stats", "log_p"), ("log_likelihood", "x"), ("posterior", "z")):
        assert idata[group][name].dims == ("chain", "draw", "datum")
        assert idata[group][name].shape == (1, 20, COUNT)
    for group in ("posterior_predictive", "prior_predictive"):
        assert idata[group]["x"].dims == ("chain", "draw", "datum", "time")
        assert idata[group]["time"].values.tolist() == Measured.coords["time"]


def test_under_the_exact_posterior_every_weight_is_the_evidence_whatever_the_plate_weighs(x):
    stats = of(x)["sample_stats"]
    weights = (stats["log_p"] - stats["log_q"]).values[0]
    np.testing.assert_allclose(weights, log_evidence(x).expand(20, -1), rtol=1e-5, atol=1e-4)


def test_densities_are_those_of_the_draws_beside_them(x):
    idata = of(x)
    z = torch.tensor(idata["posterior"]["z"].values[0])
    likelihood = log_normal(x, SLOPE * z[..., None], NOISE).sum(-1)
    found = idata["log_likelihood"]["x"].values[0]
    np.testing.assert_allclose(found, likelihood, rtol=1e-5, atol=1e-4)
    joint = idata["sample_stats"]["log_p"].values[0]
    np.testing.assert_allclose(joint, likelihood + log_normal(z, 0, 1), rtol=1e-5, atol=1e-4)


def test_predictions_have_the_likelihoods_noise_and_nothing_of_the_observed_one(x):
    idata = of(x, draws=2000)
    mean = idata["posterior"]["mean"].values[0]
    residual = idata["posterior_predictive"]["x"].values[0] - mean
    assert residual.std() == pytest.approx(NOISE, rel=0.02)
    echo = [
        np.corrcoef(residual[..., t].ravel(), (x.numpy() - mean)[..., t].ravel())[0, 1]
        for t in range(TIMES)
    ]
    assert np.abs(echo).max() < 0.03
    assert not np.isin(idata["posterior_predictive"]["x"], x).any()


def test_the_prior_knows_nothing_of_the_data(x):
    idata = of(x + 100, draws=2000)
    assert idata["prior"]["z"].std() == pytest.approx(1, rel=0.03)
    assert float(abs(idata["prior"]["z"].mean())) < 0.03
    seen = idata["prior_predictive"]["x"]
    assert seen.std() == pytest.approx((SLOPE**2 + NOISE**2) ** 0.5, rel=0.03)
    residual = seen - idata["prior"]["mean"]
    assert residual.std() == pytest.approx(NOISE, rel=0.03)


@pytest.mark.parametrize("group", GROUPS[:-1])
def test_no_group_depends_on_which_others_are_asked_for(x, group):
    whole, alone = of(x), of(x, groups=(group,))
    assert names_of(alone) == [group]
    assert alone[group].equals(whole[group])


def test_predictive_draws_belong_to_the_first_draws_and_change_nothing_else(x, monkeypatch):
    monkeypatch.setattr(particles_module, "VALUES_AT_ONCE", 6 * TIMES * 3)  # six draws at once
    whole, few = of(x), of(x, predictive_draws=8)
    for group in ("posterior", "sample_stats", "log_likelihood"):
        assert few[group].equals(whole[group])
    first = whole["posterior_predictive"].isel(draw=slice(8))
    assert few["posterior_predictive"].equals(first)
    assert few["prior"].sizes["draw"] == few["prior_predictive"].sizes["draw"] == 8


def test_by_default_predictions_take_a_bounded_room(x, monkeypatch):
    monkeypatch.setattr(drawing, "_PREDICTED_NUMBERS", 5 * x.numel() + 1)
    assert of(x)["posterior_predictive"].sizes["draw"] == 5
    monkeypatch.setattr(drawing, "_PREDICTED_NUMBERS", 1)
    assert of(x)["prior"].sizes["draw"] == 1


def test_a_seed_and_a_batch_size_settle_every_number(x):
    first, same, other = of(x, seed=3), of(x, seed=3), of(x, seed=4)
    for group in ("posterior", "posterior_predictive", "prior", "prior_predictive"):
        assert first[group].equals(same[group])
        assert not first[group].equals(other[group])
    streams = [first[g][n].values.ravel() for g, n in (("posterior", "z"), ("prior", "z"))]
    assert len(np.unique(np.concatenate(streams))) == 2 * 20 * COUNT


class Tied(nn.Module):
    """A level of two parts that all data share: `z ~ Normal(level_1, 1)`, `x` follows both."""

    dims = {"level": ("part",), "scaled": ("part",), "z": ("datum",), "x": ("datum", "time")}  # noqa: RUF012

    def forward(self, x=None, *, size=None):
        level = pyro.sample("level", Normal(torch.zeros(2), 2.0).to_event(1))
        pyro.deterministic("scaled", 3 * level, event_dim=1)
        with rows(x):
            z = pyro.sample("z", Normal(level[..., 1], 1.0))
            mean = (z + level[..., 0]).unsqueeze(-1).expand(*z.shape, TIMES)
            pyro.sample("x", Normal(mean, NOISE).to_event(1), obs=x)


class TiedGuide(nn.Module):
    def forward(self, x, *, size=None):
        level = pyro.sample("level", Normal(torch.ones(2), 0.5).to_event(1))
        with rows(x):
            pyro.sample("z", Normal(x[:, 0] - level[..., 1], 0.3))


def test_what_all_data_share_has_no_axis_for_them_and_one_value_in_all_batches(x):
    idata = of(x, (Tied, TiedGuide), draws=50)
    drawn = idata["posterior"]
    assert drawn["level"].dims == ("chain", "draw", "part")
    level, z = drawn["level"].values[0], drawn["z"].values[0]
    assert len(np.unique(level)) == level.size
    np.testing.assert_allclose(drawn["scaled"].values[0], 3 * level, rtol=1e-6)
    residual = z - (x[:, 0].numpy() - level[:, 1:])
    assert residual.std() == pytest.approx(0.3, rel=0.15)  # of every datum, in whichever batch
    prior = idata["prior"]
    assert prior["level"].shape == (1, 50, 2)
    centred = prior["z"] - prior["level"].isel(part=1)
    assert float(centred.std()) == pytest.approx(1, rel=0.15)


def test_densities_of_a_datum_are_given_what_all_data_share(x):
    idata = of(x, (Tied, TiedGuide))
    level, z = (torch.tensor(idata["posterior"][name].values[0]) for name in ("level", "z"))
    likelihood = log_normal(x, (z + level[:, :1])[..., None], NOISE).sum(-1)
    log_p = likelihood + log_normal(z, level[:, 1:], 1)
    log_q = log_normal(z, x[:, 0] - level[:, 1:], 0.3)
    stats = idata["sample_stats"]
    np.testing.assert_allclose(stats["log_p"].values[0], log_p, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(stats["log_q"].values[0], log_q, rtol=1e-4, atol=1e-3)
    weights = importance_log_weights(Tied(), TiedGuide(), {"x": x}, particles=5, seed=0)
    assert weights.shape == (5, COUNT)


class Grouped(nn.Module):
    """Two plates: each datum has objects of its own, and each object a measurement."""

    dims = {"size": ("datum", "object"), "x": ("datum", "object"), "level": ("datum", "one")}  # noqa: RUF012

    def forward(self, x=None, *, size=None):
        with rows(x, dim=-2):
            level = pyro.sample("level", Normal(torch.zeros(()), 1.0))
            with pyro.plate("objects", x.shape[1], dim=-1):
                each = pyro.sample("size", Normal(level, 1.0))
                pyro.sample("x", Normal(each, NOISE), obs=x)


class GroupedGuide(nn.Module):
    def forward(self, x, *, size=None):
        with rows(x, dim=-2):
            pyro.sample("level", Normal(x.mean(1, keepdim=True), 0.2))
            with pyro.plate("objects", x.shape[1], dim=-1):
                pyro.sample("size", Normal(x, 0.4))


def test_plates_inside_the_datum_are_axes_and_are_summed_over(x):
    idata = of(x, (Grouped, GroupedGuide))
    drawn = idata["posterior"]
    assert drawn["size"].dims == ("chain", "draw", "datum", "object")
    level, each = (torch.tensor(drawn[name].values[0]) for name in ("level", "size"))
    log_p = log_normal(level, 0, 1).sum(-1) + log_normal(each, level, 1).sum(-1)
    log_p = log_p + log_normal(x, each, NOISE).sum(-1)
    log_q = log_normal(level, x.mean(1, keepdim=True), 0.2).sum(-1)
    log_q = log_q + log_normal(each, x, 0.4).sum(-1)
    stats = idata["sample_stats"]
    np.testing.assert_allclose(stats["log_p"].values[0], log_p, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(stats["log_q"].values[0], log_q, rtol=1e-4, atol=1e-3)


def test_factors_count_and_are_no_variables(x):
    class Weighed(Measured):
        def forward(self, x=None, *, size=None):
            super().forward(x)
            with rows(x, name="again"):
                pyro.factor("bonus", torch.arange(len(x)).float())

    plain, weighed = of(x, batch_size=COUNT), of(x, (Weighed, MeasuredGuide), batch_size=COUNT)
    more = weighed["sample_stats"]["log_p"] - plain["sample_stats"]["log_p"]
    np.testing.assert_allclose(more.values[0], np.arange(COUNT)[None].repeat(20, 0), atol=1e-4)
    for group in ("posterior", "log_likelihood", "posterior_predictive", "prior_predictive"):
        assert weighed[group].equals(plain[group])


def test_what_is_masked_has_no_likelihood(x):
    class Masked(Measured):
        def forward(self, x=None, *, size=None):
            with pyro.poutine.mask(mask=torch.arange(len(x)) > 0):
                super().forward(x)

    likelihood = of(x, (Masked, MeasuredGuide), batch_size=COUNT)["log_likelihood"]["x"].values
    assert (likelihood[..., 0] == 0).all()
    assert (likelihood[..., 1:] != 0).all()


def test_observations_that_a_mask_leaves_out_are_missing_in_the_data_alone(x):
    class Gaps(Measured):
        def forward(self, x=None, *, size=None):
            with rows(x):
                slope = pyro.sample("slope", Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
                law = Normal(slope + torch.zeros(TIMES), 1.0).mask(x > 0)
                pyro.sample("x", law.to_event(1), obs=x)

    class Slope(nn.Module):
        def forward(self, x=None, *, size=None):
            with rows(x):
                pyro.sample("slope", Normal(torch.zeros(len(x), 1), 1.0).to_event(1))

    Gaps.dims = {"slope": ("datum", "one"), "x": ("datum", "time")}
    found = of(x, (Gaps, Slope), batch_size=COUNT)
    np.testing.assert_array_equal(found["observed_data"]["x"], torch.where(x > 0, x, torch.nan))
    assert found["posterior_predictive"]["x"].notnull().all()


class Counts(nn.Module):
    """Whole numbers; in some data, the last of three is not looked at."""

    dims: ClassVar = {"slope": ("datum", "one"), "x": ("datum", "time")}

    def forward(self, x=None, *, size=None):
        with rows(x):
            pyro.sample("slope", Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
            law, there = Poisson(torch.full(x.shape, 3.0)), x >= 0
            law = law if there.all() else law.mask(there)
            pyro.sample("x", law.to_event(1), obs=x)


class Slope(nn.Module):
    def forward(self, x=None, *, size=None):
        with rows(x):
            pyro.sample("slope", Normal(torch.zeros(len(x), 1), 1.0).to_event(1))


def test_whole_numbers_with_gaps_are_exact_and_gaps_in_some_batches_alone_are_refused():
    x = torch.tensor([[1, 2, 2**24 + 1], [4, 5, -1], [7, 8, 9]])
    known = {"draws": 2, "groups": ("posterior", "observed_data"), "progress": False}
    found = posterior(Counts(), Slope(), {"x": x}, **known)["observed_data"]["x"].values
    np.testing.assert_array_equal(found, np.where(x < 0, np.nan, x.double()))
    with pytest.raises(DataError, match="a mask in all batches, or in none"):
        posterior(Counts(), Slope(), {"x": x}, batch_size=1, **known)


def test_observations_that_follow_others_follow_their_predictions(x):
    class Chained(Measured):
        dims = Measured.dims | {"sum": ("datum",)}

        def forward(self, x=None, *, size=None):
            seen = super().forward(x)
            with rows(x, name="again"):
                pyro.sample("sum", Normal(seen.sum(-1), 1e-4), obs=x.sum(-1))

    for group in ("posterior_predictive", "prior_predictive"):
        drawn = of(x, (Chained, MeasuredGuide))[group]
        np.testing.assert_allclose(drawn["sum"], drawn["x"].sum("time"), atol=1e-3)
        assert float(drawn["sum"].std("draw").min()) > 0.1


def test_a_model_without_axis_names_gets_those_of_arviz(x):
    class Nameless(Measured):
        dims, coords = {}, {}

    idata = of(x, (Nameless, MeasuredGuide))
    assert idata["posterior"]["z"].dims == ("chain", "draw", "datum")
    assert idata["posterior"]["mean"].dims == ("chain", "draw", "datum", "mean_dim_0")
    assert idata["log_likelihood"]["x"].dims == ("chain", "draw", "datum")


def test_data_are_called_what_the_model_calls_them_if_they_are_as_many(x):
    class Named(Measured):
        coords = Measured.coords | {"datum": [f"school {k}" for k in range(COUNT)]}

    whole, part = (of(x[:count], (Named, MeasuredGuide)) for count in (COUNT, COUNT - 1))
    for group in names_of(whole):
        assert list(whole[group]["datum"].values) == Named.coords["datum"]
        assert list(part[group]["datum"].values) == [*range(COUNT - 1)]


@pytest.mark.parametrize(
    ("names", "labels", "words"),
    [
        ({"z": ()}, {}, "'z' has 1 axes"),
        ({"mean": ("datum", "datum")}, {}, "names of their own"),
        ({"mean": ("datum", "draw")}, {}, "names of their own"),
        ({"mean": ("datum", "z")}, {}, "names of their own"),
        ({"z": ("row",)}, {}, "several names"),
        ({}, {"time": ["early", "late"]}, "has length 3, but 2 labels"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_drawn(x, names, labels, words):
    class Misnamed(Measured):
        dims, coords = Measured.dims | names, Measured.coords | labels

    with pytest.raises(ConfigError, match=words):
        of(x, (Misnamed, MeasuredGuide))


def test_a_model_that_observes_no_data_is_refused(x):
    class Plateless(nn.Module):
        def forward(self, x=None, *, size=None):
            pyro.sample("x", Normal(torch.zeros(()), 1.0).expand(x.shape).to_event(2), obs=x)

    class Idle(nn.Module):
        def forward(self, x, *, size=None):
            pass

    with pytest.raises(ConfigError, match="plate"):
        of(x, (Plateless, Idle))


def test_a_likelihood_without_samples_only_lacks_predictions(x):
    class Penalty(TorchDistribution):
        arg_constraints, event_shape = {}, torch.Size([TIMES])

        def __init__(self, mean):
            self.mean_of = mean
            super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

        def expand(self, batch_shape, _instance=None):
            return Penalty(self.mean_of.expand(*batch_shape, TIMES))

        def log_prob(self, value):
            return -(value - self.mean_of).abs().sum(-1)

    class Penalised(Measured):
        def forward(self, x=None, *, size=None):
            with rows(x):
                z = pyro.sample("z", Normal(0.0, 1.0))
                mean = pyro.deterministic("mean", z.unsqueeze(-1).expand(*z.shape, TIMES))
                pyro.sample("x", Penalty(mean), obs=x)

    pair = Penalised, MeasuredGuide
    with pytest.raises(ConfigError, match="`groups` without"):
        of(x, pair)
    assert "x" in of(x, pair, groups=("posterior", "log_likelihood"))["log_likelihood"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": ()}, "one or more of posterior"),
        ({"groups": ("posterior", "posteriors")}, "one or more of posterior"),
        ({"predictive_draws": 0}, "1 to 20"),
        ({"predictive_draws": 21}, "1 to 20"),
    ],
)
def test_options_out_of_range_are_refused(x, options, words):
    with pytest.raises(ConfigError, match=words):
        of(x, **options)


def test_a_tensor_without_a_name_is_refused(x):
    with pytest.raises(DataError, match="Found Tensor, but a split or a mapping of tensors"):
        posterior(Measured(), MeasuredGuide(), x)


def test_one_group_may_be_named_alone(x):
    assert names_of(of(x, groups="prior")) == ["prior"]


def test_batches_of_other_shapes_are_refused(x):
    class Growing:
        def __len__(self):
            return COUNT

        def batch(self, indices):
            return {"x": torch.zeros(len(indices), TIMES + int(indices[0]))}

    class Free(Measured):
        dims, coords = Measured.dims, {}

        def forward(self, x=None, *, size=None):
            with rows(x):
                z = pyro.sample("z", Normal(0.0, 1.0)).unsqueeze(-1)
                pyro.deterministic("mean", z.expand(*z.shape[:-1], x.shape[-1]))
                pyro.sample(
                    "x", Normal(z, NOISE).expand([*z.shape[:-1], x.shape[-1]]).to_event(1), obs=x
                )

    with pytest.raises(DataError, match="one shape"):
        posterior(Free(), MeasuredGuide(), Growing(), draws=2, batch_size=3)


def test_the_exact_posterior_is_what_is_drawn(x):
    z = of(x, draws=4000)["posterior"]["z"].values[0]
    location = x.sum(-1) * SLOPE / NOISE**2 / PRECISION
    np.testing.assert_allclose(z.mean(0), location, atol=4 * (PRECISION * 4000) ** -0.5)
