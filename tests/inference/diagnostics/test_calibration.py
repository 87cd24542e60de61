"""Simulation-based calibration: a posterior passes, and what is wrong with others is named."""

from typing import ClassVar

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Normal
from torch import nn
from xarray import DataArray

from mutoscope.inference.diagnostics import simulation_based_calibration
from mutoscope.inference.diagnostics.calibration import judge
from mutoscope.zoo.distributions import SpikeAndSlab
from mutoscope.zoo.errors import ConfigError, DataError

from ..linear_gaussian import LinearGaussian, LinearGaussianGuide, exact_pair, simulated

PATHS = ["path[position]", "path[velocity]"]
DATA = simulated(3)[0]


def calibrated(*pair, data=DATA, **options):
    return simulation_based_calibration(*pair, data, **options)


@pytest.mark.parametrize("seed", range(5))
def test_the_posterior_itself_is_calibrated(seed):
    found = calibrated(*exact_pair(), seed=seed)
    assert found.verdicts == dict.fromkeys([*PATHS, "log_likelihood"], "calibrated")
    assert (found.share >= found.lower).all()
    assert (found.share <= found.upper).all()
    assert not found.concerns
    assert abs(found.width).max() < 4
    assert abs(found.bias).max() < 4


@pytest.mark.parametrize(
    ("options", "words", "width", "bias"),
    [
        ({"narrowed": 0.5}, "too narrow", 1, 0),
        ({"narrowed": 2.0}, "too wide", -1, 0),
        ({"shifted": 0.5}, "biased upwards", 0, -1),
        ({"shifted": -0.5}, "biased downwards", 0, 1),
    ],
)
def test_what_is_wrong_with_a_guide_is_named(options, words, width, bias):
    found = calibrated(*exact_pair(**options))
    assert (found.p_value < 1e-3).all()
    for name in PATHS:
        assert words in found.verdicts[name]
        assert words in str(found)
        if width:
            assert width * found.width.sel(quantity=name) > 5
            assert abs(found.bias.sel(quantity=name)) < 4
        if bias:
            assert bias * found.bias.sel(quantity=name) > 5


def test_a_guide_that_ignores_the_data_is_caught_by_the_likelihood():
    model = LinearGaussian()
    guide = LinearGaussianGuide(model)
    with torch.no_grad():
        for weights in guide.mean.parameters():
            weights.zero_()
        scale = torch.linalg.cholesky(model.scale @ model.scale.T)
        guide.scale.copy_(scale.tril(-1) + torch.diag(scale.diagonal().log()))
    found = calibrated(model, guide)
    assert [found.verdicts[name] for name in PATHS] == ["calibrated", "calibrated"]
    assert found.verdicts["log_likelihood"] == "below that of the truth"


class Sparse(nn.Module):
    """A sparse number of which the data say nothing: the prior is the posterior."""

    dims: ClassVar = {"speed": ("datum", "field"), "data": ("datum",)}

    def __init__(self, logit=0.0):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, data=None, *, size=None):
        law = SpikeAndSlab(self.logit.expand(2), Normal(torch.ones(2), 0.1))
        with pyro.plate("datum", size or len(data), subsample=torch.arange(len(data)), dim=-1):
            pyro.sample("speed", law)
            self.observe(data)

    def observe(self, data):
        pyro.sample("data", Normal(torch.zeros(()), 1.0), obs=data)


class SparseGuide(Sparse):
    def observe(self, data):
        pass


@pytest.mark.parametrize(("logit", "exact"), [(0.0, True), (-0.7, False)])
def test_ties_of_spikes_that_are_off_neither_hide_nor_make_up_anything(logit, exact):
    found = calibrated(Sparse(), SparseGuide(logit), data={"data": torch.zeros(4)}, draws=50)
    assert (found.verdicts["speed"] == "calibrated") == exact


def test_spikes_can_be_asked_for():
    found = calibrated(
        Sparse(), SparseGuide(), data={"data": torch.zeros(4)}, variables=["spike"], by=["field"]
    )
    assert list(found.verdicts) == ["spike[field 0]", "spike[field 1]"]
    assert not found.concerns


class Shared(nn.Module):
    """Numbers about a mean that all share, each measured in a unit that is given."""

    dims: ClassVar = {"mean": (), "own": ("datum",), "data": ("datum",)}

    def forward(self, data, unit, *, size=None):
        mean = pyro.sample("mean", Normal(torch.zeros(()), 10.0))
        with pyro.plate("datum", size or len(data), subsample=torch.arange(len(data)), dim=-1):
            own = pyro.sample("own", Normal(mean, 1.0))
            pyro.sample("data", Normal(unit * own, 1.0), obs=data)


class SharedGuide(nn.Module):
    """Exact for what each has, given the mean, but for units above `largest`."""

    def __init__(self, largest=torch.inf):
        super().__init__()
        self.largest = largest

    def forward(self, data, unit, *, size=None):
        mean = pyro.sample("mean", Normal(torch.zeros(()), 10.0))
        unit = unit.clamp(max=self.largest)
        precision = 1 + unit.square()
        with pyro.plate("datum", size or len(data), subsample=torch.arange(len(data)), dim=-1):
            pyro.sample("own", Normal((mean + unit * data) / precision, precision.rsqrt()))


def test_shared_latents_stay_and_inputs_are_handed_on():
    data = {"data": torch.zeros(5), "unit": torch.tensor([0.1, 0.5, 1.0, 2.0, 10.0])}
    found = calibrated(Shared(), SharedGuide(), data=data, batch_size=100)
    assert found.verdicts == {"own": "calibrated", "log_likelihood": "calibrated"}
    assert calibrated(Shared(), SharedGuide(1.0), data=data, batch_size=100).concerns


def test_batches_and_particles_in_parts_make_no_difference_to_the_verdict(monkeypatch):
    from mutoscope.inference.metrics import particles

    monkeypatch.setattr(particles, "VALUES_AT_ONCE", 5000)
    found = calibrated(*exact_pair(), batch_size=64, simulations=300)
    assert found.place.shape == (3, 300)
    assert not found.concerns
    assert calibrated(*exact_pair(narrowed=0.5), batch_size=64, simulations=300).concerns


def test_axes_can_be_told_apart_or_not():
    by_time = calibrated(*exact_pair(), simulations=50, by=["time"], variables=["path"])
    assert list(by_time.verdicts) == [f"path[time {t}]" for t in range(4)]
    assert list(calibrated(*exact_pair(), simulations=50, by=[]).verdicts) == [
        "path",
        "log_likelihood",
    ]


def test_places_of_one_quantity_are_independent_between_simulations():
    # Elements of a path go together; taking one of each keeps the bands of independent numbers.
    outside = [
        calibrated(
            *exact_pair(), simulations=200, draws=20, by=[], seed=s, probability=0.5
        ).concerns
        for s in range(40)
    ]
    assert 8 <= sum(map(bool, outside)) <= 32


def test_one_wrong_time_of_many_is_seen():
    model, guide = exact_pair()
    with torch.no_grad():
        guide.mean.bias[-2:] += 1.0
    found = calibrated(model, guide, variables=["path"])
    assert all("biased upwards" in verdict for verdict in found.verdicts.values())


def test_many_quantities_cry_wolf_no_more_often_than_one():
    random, names = np.random.default_rng(0), {"quantity": list("abcdefghijklmnopqrst")}
    wolves = []
    for _ in range(100):
        place = DataArray(random.random((20, 50)), dims=("quantity", "simulation"), coords=names)
        wolves.append(bool(judge(place, 0.9).concerns))
    assert 0.01 < np.mean(wolves) < 0.2


def test_a_seed_fixes_everything_and_leaves_the_global_noise():
    pair, state = exact_pair(), torch.get_rng_state()
    first, again, other = (calibrated(*pair, simulations=20, seed=s).place for s in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "options", [{"simulations": 9}, {"draws": 0}, {"batch_size": 0}, {"probability": 1.0}]
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="at least 10, 1 and 1"):
        calibrated(*exact_pair(), **options)


def test_unknown_variables_axes_and_data_sets_are_refused():
    with pytest.raises(ConfigError, match=r"axes out of \['axis', 'time'\]"):
        calibrated(*exact_pair(), by=["sequence"])
    with pytest.raises(ConfigError, match="one or more of path, log_likelihood"):
        calibrated(*exact_pair(), variables=["speed"])
    with pytest.raises(DataError, match=r"give `data\.test`"):
        calibrated(*exact_pair(), data=object())


def test_a_site_that_no_tensor_is_called_like_is_refused():
    class Renamed(nn.Module):
        def forward(self, seen, *, size=None):
            with pyro.plate("datum", size or len(seen), subsample=torch.arange(len(seen)), dim=-1):
                z = pyro.sample("z", Normal(torch.zeros(()), 1.0))
                pyro.sample("x", Normal(z, 1.0), obs=seen)

    class Guide(nn.Module):
        def forward(self, seen, *, size=None):
            with pyro.plate("datum", size or len(seen), subsample=torch.arange(len(seen)), dim=-1):
                pyro.sample("z", Normal(seen, 1.0))

    with pytest.raises(ConfigError, match="The model observes x, but takes seen"):
        calibrated(Renamed(), Guide(), data={"seen": torch.zeros(3)})
