"""Each test of the contract fails for a pair that breaks its law, and only then."""
# ruff: noqa: RUF012 - axis names are read only

import dataclasses
import inspect

import numpy as np
import pyro
import pytest
import torch
from points_near_a_plane import Plane, PlaneGuide
from points_near_a_plane import entry as plane
from pyro.distributions import Delta, Normal
from torch import nn

from mutoscope.guides import registry
from mutoscope.guides.registry import Example
from mutoscope.testing import test_contract as contract
from mutoscope.testing.case import Case
from mutoscope.zoo import simulate
from mutoscope.zoo.errors import MutoscopeError

CAUGHT = (AssertionError, MutoscopeError, RuntimeError, pytest.fail.Exception)
LAWS = {name: law for name, law in vars(contract).items() if name.startswith("test_")}


class GuideWithoutSites(PlaneGuide):
    def forward(self, points, *, size=None):
        pass


class GuideOfAnotherShape(PlaneGuide):
    def posterior(self, points):
        return Normal(points, 1.0).to_event(1)


class SiteWithoutNames(Plane):
    dims = {"points": ("datum", "coordinate")}


class OneNameForTwoAxes(Plane):
    dims = {"place": ("datum", "datum"), "points": ("datum", "coordinate")}


class OneAxisOfTwoLengths(Plane):
    dims = {"place": ("datum", "number"), "points": ("datum", "number")}
    coords = {}


class TooFewLabels(Plane):
    coords = {"direction": ["along"]}


class UnusedParameter(Plane):
    def __init__(self, config):
        super().__init__(config)
        self.unused = nn.Parameter(torch.zeros(()))


class InfiniteGradient(Plane):
    def likelihood(self, place):
        zero = (self.log_width - self.log_width.detach()).square()
        return Normal(self.map(place) + zero.sqrt(), self.log_width.exp()).to_event(1)


class ModelThatForgetsSize(Plane):
    def forward(self, points=None, *, size=None):
        return super().forward(points, size=None if points is not None else size)


class GuideThatForgetsSize(PlaneGuide):
    def forward(self, points, *, size=None):
        super().forward(points)


class PriorOutsideOfThePlate(Plane):
    def forward(self, points=None, *, size=None):
        count = (size or 1) if points is None else points.shape[-2]
        place = pyro.sample("place", self.prior().expand([count]))
        with pyro.plate("datum", size or count, subsample=torch.arange(count), dim=-1):
            return pyro.sample("points", self.likelihood(place), obs=points)


class ModelThatMixesData(Plane):
    def likelihood(self, place):
        return super().likelihood(place - place.mean(-2, keepdim=True))


class GuideThatMixesData(PlaneGuide):
    def posterior(self, points):
        return super().posterior(points - points.mean(-2, keepdim=True))


class FirstAxisTakenForData(Plane):
    def likelihood(self, place):
        return super().likelihood(place / place.shape[0])


class OneDrawForAllParticles(PlaneGuide):
    def forward(self, points, *, size=None):
        count = points.shape[-2]
        with pyro.plate("datum", size or count, subsample=torch.arange(count), dim=-1):
            place = self.read(points) + self.log_width.exp() * torch.randn(count, 2)
            pyro.sample("place", Delta(place, event_dim=1))


class PriorInSinglePrecision(Plane):
    def prior(self):
        return Normal(torch.zeros(2), 1.0).to_event(1)


class ConstantInDoublePrecision(Plane):
    def likelihood(self, place):
        return Normal(self.map(place), torch.ones(3, dtype=torch.float64)).to_event(1)


class OptionLostInJson(Plane):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(Plane.Config):
        def to_dict(self):
            return {}


class AnyOptionIsFine(Plane):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(Plane.Config):
        @classmethod
        def from_dict(cls, values):
            return cls(num_coordinates=values["num_coordinates"])


class SharedLayer(Plane):
    shared = nn.Linear(2, 3)

    def __init__(self, config):
        super().__init__(config)
        self.map = self.shared


class GlobalParameter(Plane):
    def likelihood(self, place):
        width = pyro.param("width", torch.ones(()))
        return Normal(self.map(place), width * self.log_width.exp()).to_event(1)


class CopyIsItself(Plane):
    def __deepcopy__(self, memo):
        return self


class CopyIsAnother(Plane):
    def __deepcopy__(self, memo):
        return type(self)(self.config)


class StateThatIsNotSaved(PlaneGuide):
    def __init__(self, model, config=None):
        super().__init__(model, config)
        self.offset = torch.randn(2)

    def posterior(self, points):
        return Normal(self.read(points) + self.offset, self.log_width.exp()).to_event(1)


class IgnoresWhatIsLoaded(Plane):
    def load_state_dict(self, *args, **options):
        pass


class NoiseFromElsewhere(Plane):
    def likelihood(self, place):
        return super().likelihood(place + float(np.random.default_rng().normal()))


class NoNoise(PlaneGuide):
    def forward(self, points, *, size=None):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().forward(points, size=size)


class InitialNoiseFromElsewhere(Plane):
    def __init__(self, config):
        super().__init__(config)
        nn.init.constant_(self.log_width, np.random.default_rng().normal())


class GradientInsideOfTheModel(Plane):
    def likelihood(self, place):
        (slope,) = torch.autograd.grad(self.map(place).sum(), self.map.weight, create_graph=True)
        return Normal(self.map(place) + slope.sum(), self.log_width.exp()).to_event(1)


class LazyLayer(Plane):
    def likelihood(self, place):
        if not hasattr(self, "late"):
            self.late = nn.Linear(2, 2)
        return super().likelihood(self.late(place))


class ReadsItsWeights(Plane):
    def __init__(self, config):
        super().__init__(config)
        self.scale = float(self.map.weight.abs().max())


class StaysOnTheProcessor(Plane):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("origin", torch.zeros(2, device="cpu"))


class SimulatesOneDatum(Plane):
    def forward(self, points=None, *, size=None):
        return super().forward(points, size=None if points is None else size)


class SimulatesInDoublePrecision(Plane):
    def forward(self, points=None, *, size=None):
        if points is None:
            self.double()
        return super().forward(points, size=size)


VIOLATIONS = {
    "test_the_guide_covers_exactly_the_latents_of_the_model": [
        GuideWithoutSites,
        GuideOfAnotherShape,
    ],
    "test_every_site_has_one_name_for_each_axis": [SiteWithoutNames, OneNameForTwoAxes],
    "test_an_axis_has_one_length_and_as_many_labels": [OneAxisOfTwoLengths, TooFewLabels],
    "test_gradients_reach_every_parameter": [UnusedParameter, InfiniteGradient],
    "test_batches_stand_for_the_whole_data_set": [
        ModelThatForgetsSize,
        GuideThatForgetsSize,
        (ModelThatForgetsSize, GuideThatForgetsSize),
        PriorOutsideOfThePlate,
    ],
    "test_data_do_not_depend_on_the_others_of_their_batch": [
        ModelThatMixesData,
        GuideThatMixesData,
    ],
    "test_particles_are_drawn_side_by_side": [FirstAxisTakenForData, OneDrawForAllParticles],
    "test_numbers_keep_the_precision_of_the_pair": [
        PriorInSinglePrecision,
        ConstantInDoublePrecision,
    ],
    "test_configurations_survive_json": [OptionLostInJson],
    "test_unknown_options_are_refused": [AnyOptionIsFine],
    "test_two_instances_share_nothing": [SharedLayer, GlobalParameter],
    "test_copies_are_equal_and_independent": [CopyIsItself, CopyIsAnother],
    "test_a_saved_run_loads_equal": [StateThatIsNotSaved, IgnoresWhatIsLoaded],
    "test_a_seed_settles_everything_that_is_random": [
        NoiseFromElsewhere,
        NoNoise,
        InitialNoiseFromElsewhere,
    ],
    "test_it_runs_without_gradients": [GradientInsideOfTheModel],
    "test_parameters_exist_from_the_start": [LazyLayer],
    "test_it_can_be_built_without_memory": [ReadsItsWeights, StaysOnTheProcessor],
    "test_simulated_data_are_shaped_like_observed_ones": [
        SimulatesOneDatum,
        SimulatesInDoublePrecision,
    ],
}


@pytest.fixture
def keep(monkeypatch, tmp_path):
    def keep(law, *broken, **replaced):
        parts = {"guide" if issubclass(each, PlaneGuide) else "model": each for each in broken}
        entry = dataclasses.replace(plane, **parts, **replaced)
        monkeypatch.setattr(registry, "ENTRIES", (entry,))
        needed = {"case": Case(entry), "tmp_path": tmp_path}
        LAWS[law](**{name: needed[name] for name in inspect.signature(LAWS[law]).parameters})

    return keep


@pytest.mark.parametrize("law", LAWS)
def test_a_pair_that_keeps_the_contract_passes(law, keep):
    keep(law)


def simulated_example():
    options = {"num_coordinates": 3}
    data = simulate(Plane(Plane.Config(**options)), 5, seed=0)
    return Example({"points": data["points"]}, model=options)


@pytest.mark.parametrize("law", LAWS)
def test_an_example_may_be_simulated(law, keep):
    keep(law, example=simulated_example)


def test_every_law_has_been_broken():
    assert VIOLATIONS.keys() == LAWS.keys()


@pytest.mark.parametrize(
    ("law", "broken"), [(law, each) for law, found in VIOLATIONS.items() for each in found]
)
def test_a_pair_that_breaks_it_is_caught(law, broken, keep):
    with pytest.raises(CAUGHT):
        keep(law, *(broken if isinstance(broken, tuple) else (broken,)))
