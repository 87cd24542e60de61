"""Draws of a guide that were drawn again by their weights."""

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Normal
from torch import nn

from mutoscope.inference.diagnostics import importance_sampling
from mutoscope.inference.labelled import Labelled, to_arviz
from mutoscope.inference.posterior import posterior
from mutoscope.inference.resampling import resample
from mutoscope.zoo.errors import DataError

from .linear_gaussian import DIM, exact_pair, simulated

COUNT = 3


def drawn(draws=100, **options):
    data = simulated(COUNT)[0]
    return posterior(*exact_pair(**options), data, draws=draws, progress=False, predictive_draws=30)


def of_weights(log_weights):
    """Return numbered draws with given weights (draw, datum)."""
    axes, weights = ("chain", "draw", "sequence"), np.asarray(log_weights)[None]
    number = np.broadcast_to(np.arange(weights.shape[1])[:, None], weights.shape)
    stats = {"log_p": Labelled(axes, weights), "log_q": Labelled(axes, 0 * weights)}
    return to_arviz({"posterior": {"number": Labelled(axes, number)}, "sample_stats": stats})


def numbers(idata):
    return idata["posterior"]["number"].values[0]


def test_draws_have_the_moments_of_the_posterior():
    (model, _), data = exact_pair(), simulated(COUNT)[0]
    found = resample(drawn(4000, narrowed=1.5, shifted=0.3))["posterior"]["path"]
    weight, covariance = model.exact()
    deviation = covariance.diagonal().sqrt().unflatten(0, (-1, DIM)).numpy()
    exact = (data["seen"].double().flatten(1) @ weight.T).unflatten(1, (-1, DIM)).numpy()
    away = (found.mean(("chain", "draw")).values - exact) / deviation
    assert np.abs(away).max() < 0.15  # the guide is off by 0.3; some 700 effective draws
    ratio = found.std(("chain", "draw")).values / deviation
    np.testing.assert_allclose(ratio, 1, atol=0.1)  # the guide's is 1.5


def test_every_draw_stays_as_it_is_where_all_weigh_the_same():
    found = numbers(resample(of_weights(np.full((50, COUNT), -3.0))))
    np.testing.assert_array_equal(np.sort(found, 0), np.arange(50)[:, None].repeat(COUNT, 1))
    assert (found != np.sort(found, 0)).any()


def test_each_datum_is_drawn_by_its_own_weights():
    log_weights = np.zeros((100, 2))
    log_weights[:50, 0], log_weights[50:, 1] = np.log(3), np.log(3)
    found = numbers(resample(of_weights(log_weights)))
    np.testing.assert_allclose((found < 50).mean(0), [0.75, 0.25], atol=0.02)


def test_what_is_known_of_a_draw_stays_together():
    before, after = drawn(narrowed=1.3), resample(drawn(narrowed=1.3))
    for datum in range(COUNT):
        rows = [
            np.concatenate([part.reshape(100, -1) for part in parts], 1)
            for parts in (
                (
                    each["posterior"]["path"].values[0, :, datum],
                    each["sample_stats"]["log_p"].values[0, :, datum],
                    each["log_likelihood"]["seen"].values[0, :, datum],
                )
                for each in (before, after)
            )
        ]
        known = {row.tobytes() for row in rows[0]}
        assert {row.tobytes() for row in rows[1]} < known


def test_predictive_draws_of_some_are_drawn_from_these():
    before, after = drawn(narrowed=1.3), resample(drawn(narrowed=1.3))
    old, new = (each["posterior_predictive"]["seen"].values[0] for each in (before, after))
    assert new.shape == old.shape
    for datum in range(COUNT):
        assert {x.tobytes() for x in new[:, datum]} < {x.tobytes() for x in old[:, datum]}


def test_groups_that_depend_on_no_draw_stay():
    before, after = drawn(), resample(drawn())
    for group in ("observed_data", "prior", "prior_predictive"):
        assert before[group].equals(after[group])
    assert list(after["posterior"].coords["axis"].values) == ["position", "velocity"]


def test_how_far_weights_reach_is_kept_and_they_cannot_be_used_twice():
    before = drawn(narrowed=1.3)
    after, told = resample(before), importance_sampling(before)
    np.testing.assert_array_equal(after["sample_stats"]["khat"], told.khat)
    np.testing.assert_array_equal(after["sample_stats"]["effective_draws"], told.effective_draws)
    with pytest.raises(DataError, match="log_q"):
        resample(after)


def test_the_same_seed_gives_the_same_draws():
    first, second, other = (resample(drawn(narrowed=1.3), seed=seed) for seed in (1, 1, 2))
    assert first["posterior"].equals(second["posterior"])
    assert not first["posterior"].equals(other["posterior"])


class Shared(nn.Module):
    """A mean that all data share, and a latent of each."""

    def forward(self, x=None, *, size=None):
        mean = pyro.sample("mean", Normal(0.0, 1.0))
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            z = pyro.sample("z", Normal(mean, 1.0))
            if type(self) is Shared:
                pyro.sample("x", Normal(z, 1.0), obs=x)


class SharedGuide(Shared):
    pass


def test_latents_that_all_data_share_are_refused():
    data = {"x": torch.zeros(3)}
    idata = posterior(Shared(), SharedGuide(), data, draws=30, progress=False)
    with pytest.raises(DataError, match="'mean' is shared"):
        resample(idata)
