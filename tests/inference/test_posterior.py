import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Independent, LogNormal, Normal
from torch import Tensor, nn

from mutoscope.guides.registry import ENTRIES, Entry
from mutoscope.inference.metrics import importance_log_weights
from mutoscope.inference.posterior import posterior, predict_mean, summarize
from mutoscope.zoo.datasets import TransformedDigits
from mutoscope.zoo.distributions import SpikeAndSlab
from mutoscope.zoo.errors import ConfigError, DataError

TIMES, FIELDS = 3, 4


class Walk(nn.Module):
    """A number that starts somewhere and moves by the sum of sparse speeds."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "start": ("walker",),
        "speed": ("walker", "time", "field"),
        "path": ("walker", "frame"),
        "seen": ("walker", "frame"),
    }
    coords: ClassVar[dict[str, list[str]]] = {"field": ["a", "b", "c", "d"]}

    def __init__(self, controls: int = 1) -> None:
        super().__init__()
        self.controls = controls
        self.noise = nn.Parameter(torch.tensor(0.5))

    def speed_prior(self) -> Independent:
        slab = LogNormal(torch.full((TIMES, FIELDS // self.controls), 1.0), 0.2)
        logits = torch.zeros(TIMES, FIELDS)
        return Independent(SpikeAndSlab(logits, slab, controls=self.controls), 1)

    def forward(self, seen: Tensor | None = None, *, size: int | None = None) -> None:
        count = (size or 1) if seen is None else len(seen)
        with pyro.plate("walker", size or count, subsample_size=count, dim=-1):
            start = pyro.sample("start", Normal(torch.zeros(()), 1.0))
            speed = pyro.sample("speed", self.speed_prior())
            moved = speed.sum(-1).cumsum(-1)
            steps = torch.cat([torch.zeros_like(moved[..., :1]), moved], -1)
            path = pyro.deterministic("path", start.unsqueeze(-1) + steps, event_dim=1)
            pyro.sample("seen", Normal(path, self.noise).to_event(1), obs=seen)


class WalkGuide(nn.Module):
    """Reads the start off the first frame; spikes are on with probability 0.3."""

    def __init__(self, controls: int = 1) -> None:
        super().__init__()
        self.controls = controls
        self.drop = nn.Dropout(0.5)

    def forward(self, seen: Tensor, *, size: int | None = None) -> None:
        count = len(seen)
        slab = LogNormal(torch.full((count, TIMES, FIELDS // self.controls), -1.0), 0.1)
        logits = torch.full((count, TIMES, FIELDS), float(np.log(0.3 / 0.7)))
        with pyro.plate("walker", size or count, subsample_size=count, dim=-1):
            pyro.sample("start", Normal(self.drop(seen[:, 0]), 0.01))
            speed = SpikeAndSlab(logits, slab, controls=self.controls)
            pyro.sample("speed", Independent(speed, 1))


@pytest.fixture
def seen() -> Tensor:
    return torch.randn(7, TIMES + 1)


@pytest.fixture(params=[1, 2], ids=["single control", "double control"])
def pair(request: pytest.FixtureRequest) -> tuple[Walk, WalkGuide]:
    return Walk(request.param), WalkGuide(request.param)


def test_every_site_is_a_labelled_array(pair: tuple[Walk, WalkGuide], seen: Tensor) -> None:
    idata = posterior(*pair, {"seen": seen}, draws=5)
    for name in ("start", "speed", "path", "spike", "slab"):
        axes = Walk.dims.get(name, Walk.dims["speed"])
        assert idata["posterior"][name].dims == ("chain", "draw", *axes)
    assert dict(idata["posterior"].sizes) == {
        "chain": 1, "draw": 5, "walker": 7, "time": TIMES, "field": FIELDS, "frame": TIMES + 1
    }  # fmt: skip
    assert idata["posterior"]["field"].values.tolist() == Walk.coords["field"]
    assert idata["observed_data"]["seen"].dims == Walk.dims["seen"]
    np.testing.assert_array_equal(idata["observed_data"]["seen"], seen)


def test_speed_is_spike_times_slab_and_deterministic_sites_follow(
    pair: tuple[Walk, WalkGuide], seen: Tensor
) -> None:
    drawn = posterior(*pair, {"seen": seen}, draws=20)["posterior"]
    assert set(np.unique(drawn["spike"])) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn["speed"], drawn["spike"] * drawn["slab"])
    moved = drawn["speed"].sum("field").cumsum("time").values
    np.testing.assert_allclose(
        drawn["path"].values[..., 1:], drawn["start"].values[..., None] + moved, rtol=1e-5
    )


def test_draws_follow_the_guide_and_unused_slabs_the_prior(
    pair: tuple[Walk, WalkGuide], seen: Tensor
) -> None:
    drawn = posterior(*pair, {"seen": seen}, draws=500)["posterior"]
    spike, slab = drawn["spike"].values, np.log(drawn["slab"].values)
    assert spike.mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(drawn["start"].mean(("chain", "draw")), seen[:, 0], atol=0.003)
    parts = spike.reshape(*spike.shape[:-1], pair[0].controls, -1)
    used = np.concatenate([parts.any(-2)] * pair[0].controls, -1)
    for values, mean, sd in ((slab[used], -1.0, 0.1), (slab[~used], 1.0, 0.2)):
        assert values.mean() == pytest.approx(mean, abs=0.01)
        assert values.std() == pytest.approx(sd, abs=0.01)


def test_shared_slabs_stay_shared(seen: Tensor) -> None:
    slab = posterior(Walk(2), WalkGuide(2), {"seen": seen}, draws=20)["posterior"]["slab"].values
    np.testing.assert_array_equal(slab[..., :2], slab[..., 2:])


def test_a_seed_fixes_the_draws_and_leaves_the_global_noise(seen: Tensor) -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    first, second, other = (
        posterior(Walk(), WalkGuide(), {"seen": seen}, draws=3, seed=seed)["posterior"]
        for seed in (4, 4, 5)
    )
    assert first.equals(second)
    assert not first.equals(other)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert random.getstate() == states[2]


def test_batches_keep_the_order_of_the_data(seen: Tensor) -> None:
    drawn = posterior(Walk(), WalkGuide(), {"seen": seen}, draws=30, batch_size=3)["posterior"]
    np.testing.assert_allclose(drawn["start"].mean(("chain", "draw")), seen[:, 0], atol=0.02)


def test_draws_of_different_data_and_particles_are_different(seen: Tensor) -> None:
    slab = posterior(Walk(), WalkGuide(), {"seen": seen}, draws=9)["posterior"]["slab"].values
    assert len(np.unique(slab)) == slab.size


def test_modes_gradients_and_the_parameter_store_are_left_alone(seen: Tensor) -> None:
    model, guide = Walk().train(), WalkGuide().train()
    guide.drop.eval()
    store = dict(pyro.get_param_store().items())
    posterior(model, guide, {"seen": seen}, draws=2)
    assert model.training
    assert guide.training
    assert not guide.drop.training
    assert model.noise.grad is None
    assert dict(pyro.get_param_store().items()) == store


def test_the_truth_travels_along_with_the_names_of_its_factors() -> None:
    data = TransformedDigits(transforms=("rotation", "scale"), length=TIMES + 1, seed=0).test
    truth = data.truth

    class Split:
        def __init__(self) -> None:
            self.truth = truth

        def __len__(self) -> int:
            return len(data)

        def batch(self, indices: Tensor) -> dict[str, Tensor]:
            return {"seen": truth.pose[indices, :, 0]}

    constant = posterior(Walk(), WalkGuide(), Split(), draws=1, batch_size=50)["constant_data"]
    assert constant["speed"].dims == ("walker", "time", "factor")
    assert constant["pose"].dims == ("walker", "frame", "factor")
    assert constant["factor"].values.tolist() == ["rotation", "scale"]
    assert constant["unit"].values.tolist() == ["degree", "log-scale"]
    np.testing.assert_array_equal(constant["spike"], truth.spike)
    np.testing.assert_array_equal(constant["multiplier"], truth.multiplier)


def test_a_posterior_survives_its_file(seen: Tensor, tmp_path: Path) -> None:
    import arviz

    idata = posterior(Walk(), WalkGuide(), {"seen": seen}, draws=3, seed=11)
    idata.to_netcdf(str(tmp_path / "posterior.nc"), engine="h5netcdf")
    loaded = arviz.from_netcdf(str(tmp_path / "posterior.nc"), engine="h5netcdf")
    assert loaded["posterior"].equals(idata["posterior"])
    assert loaded.attrs["seed"] == 11
    assert loaded.attrs["mutoscope_version"]


def test_the_predicted_mean_is_that_of_the_observed_site(seen: Tensor) -> None:
    mean = predict_mean(Walk(), WalkGuide(), {"seen": seen}, draws=4000)
    speed = 0.3 * np.exp(-1 + 0.1**2 / 2) * FIELDS
    expected = seen[:, :1] + speed * torch.arange(TIMES + 1)
    torch.testing.assert_close(mean, expected, atol=0.06, rtol=0)


def test_one_draw_predicts_the_path_of_that_draw(seen: Tensor) -> None:
    first = predict_mean(Walk(), WalkGuide(), {"seen": seen}, seed=3)
    again = predict_mean(Walk(), WalkGuide(), {"seen": seen}, seed=3, site="seen")
    assert torch.equal(first, again)
    with pytest.raises(ConfigError, match="Name one"):
        predict_mean(Walk(), WalkGuide(), {"seen": seen}, site="images")


def test_a_summary_has_the_axes_of_its_variable(seen: Tensor) -> None:
    idata = posterior(Walk(), WalkGuide(), {"seen": seen}, draws=200)
    summary = summarize(idata, "start")
    assert summary["mean"].dims == ("walker",)
    np.testing.assert_allclose(summary["mean"], seen[:, 0], atol=0.01)
    np.testing.assert_allclose(summary["sd"], 0.01, rtol=0.3)
    np.testing.assert_allclose(summary["q95"] - summary["q5"], 2 * 1.645 * 0.01, rtol=0.3)
    with pytest.raises(ConfigError, match="start"):
        summarize(idata, "missing")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"seen": torch.zeros(0, TIMES + 1)}, "at least one"),
        ({}, "at least one"),
        ({"seen": torch.zeros(2, TIMES + 1), "more": torch.zeros(3)}, "same number"),
        ({"seen": torch.full((2, TIMES + 1), torch.nan)}, "NaN"),
        (TransformedDigits(fractions=(0.9, 0.1, 0.0)).test, "without data"),
    ],
    ids=["empty tensor", "no tensor", "lengths differ", "not finite", "empty split"],
)
def test_data_that_cannot_be_read_are_refused(data: dict[str, Tensor], message: str) -> None:
    with pytest.raises(DataError, match=message):
        posterior(Walk(), WalkGuide(), data)


def test_numbers_below_one_are_refused(seen: Tensor) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        posterior(Walk(), WalkGuide(), {"seen": seen}, draws=0)
    with pytest.raises(ConfigError, match="at least 1"):
        posterior(Walk(), WalkGuide(), {"seen": seen}, batch_size=0)


def test_sites_without_axis_names_are_refused(seen: Tensor) -> None:
    class Nameless(Walk):
        dims: ClassVar[dict[str, tuple[str, ...]]] = {
            "start": ("walker",),
            "speed": ("walker", "time", "field"),
        }

    with pytest.raises(ConfigError, match="'path'"):
        posterior(Nameless(), WalkGuide(), {"seen": seen}, draws=2)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_registered_pairs_keep_the_contract(entry: Entry) -> None:
    example = entry.example()
    model = entry.model(entry.model.Config.from_dict(example.model))
    guide = entry.guide(model, entry.guide.Config.from_dict(example.guide))
    batch, (name, seen) = dict(example.batch), next(iter(example.batch.items()))
    idata = posterior(model, guide, batch, draws=2)
    for site, axes in model.dims.items():
        group = "observed_data" if site in batch else "posterior"
        assert idata[group][site].dims[-len(axes) :] == tuple(axes)
    assert predict_mean(model, guide, batch, draws=2, site=name).shape == seen.shape
    log_weights = importance_log_weights(model, guide, batch, particles=5, seed=0)
    assert log_weights.shape == (5, len(seen))
    assert log_weights.isfinite().all()


def test_sites_of_other_names_carry_theirs(seen: Tensor) -> None:
    class Rename(pyro.poutine.messenger.Messenger):
        def _pyro_sample(self, message: dict[str, str]) -> None:
            message["name"] = {"speed": "pace"}.get(message["name"], message["name"])

    class Renamed(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.dims = {("pace" if k == "speed" else k): v for k, v in Walk.dims.items()}

        def forward(self, seen: Tensor, *, size: int | None = None) -> None:
            with Rename():
                self.inner(seen, size=size)

    drawn = posterior(Renamed(Walk()), Renamed(WalkGuide()), {"seen": seen}, draws=2)["posterior"]
    assert {"pace", "pace_spike", "pace_slab"} <= set(drawn.data_vars)


def truth_of(truth: object, seen: Tensor) -> Any:
    class Split:
        def __init__(self) -> None:
            self.truth = truth

        def __len__(self) -> int:
            return len(seen)

        def batch(self, indices: Tensor) -> dict[str, Tensor]:
            return {"seen": seen[indices]}

    return posterior(Walk(), WalkGuide(), Split(), draws=1).get("constant_data")


@pytest.mark.parametrize("kind", [dict, SimpleNamespace])
def test_every_tensor_of_a_truth_travels_along(kind: Any, seen: Tensor) -> None:
    dims = {"place": ("row", "frame")}
    known = {"colour": torch.arange(7), "place": torch.rand(7, 5), "big": np.ones((7, 2, 3)) > 0}
    other = {"palette": torch.rand(3), "name": "a set", "whole": torch.tensor(1.0)}
    found = truth_of(kind(dims=dims, **known, **other), seen)
    assert set(found.data_vars) == set(known)
    assert found["colour"].dims == ("walker",)
    assert found["place"].dims == ("walker", "frame")
    assert found["big"].dims == ("walker", "big_dim_0", "big_dim_1")
    for name, value in known.items():
        np.testing.assert_array_equal(found[name], value)


def test_without_a_truth_there_are_no_constant_data(seen: Tensor) -> None:
    for truth in (None, {}, {"name": "a set"}, torch.zeros(7)):
        assert truth_of(truth, seen) is None


def test_a_truth_whose_names_do_not_fit_is_refused(seen: Tensor) -> None:
    with pytest.raises(DataError, match="has 1 axes"):
        truth_of({"colour": torch.zeros(7), "dims": {"colour": ("walker", "shade")}}, seen)
    with pytest.raises(DataError, match="tensors and axes called"):
        truth_of({"colour": torch.zeros(7, 2), "dims": {"colour": ("walker", "colour")}}, seen)


def test_one_active_field_has_spikes_and_no_slab() -> None:
    entry = next(entry for entry in ENTRIES if entry.name == "sta")
    model = entry.model(entry.model.Config(image_shape=(1, 4, 4), length=3, activity="one"))
    images = {"images": torch.rand(2, 3, 1, 4, 4)}
    found = posterior(model, entry.guide(model), images, draws=5)["posterior"]
    assert "slab" not in found
    assert bool((found["spike"].sum("field") == 1).all())
