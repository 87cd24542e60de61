"""What is refused before the first step, and what is right."""

import pyro
import pytest
import torch
from pyro.distributions import Bernoulli, LogNormal, Normal
from pyro.nn import PyroModule, PyroParam
from torch import nn
from torch.distributions import constraints

from mutoscope.inference.description import Plate, describe
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.schedules import Schedule

from .pairs import (
    COUNT,
    DATA,
    NAMED,
    D,
    Program,
    Storing,
    W,
    Z,
    described,
    guide,
    model,
    refusal,
    unit,
)

IMPOSSIBLE = {"data": lambda weight, data: Normal(data, -1.0)}


class Labelled(Program):
    def forward(self, data, label=None, *, size=None):
        super().forward(data, size=size)


class Anything(Program):
    def forward(self, **tensors):
        super().forward(tensors["data"], size=tensors["size"])


class Sizeless(Program):
    def forward(self, data):
        super().forward(data)


@pytest.fixture
def data():
    return torch.randn(COUNT, D)


WRONG = {
    "a latent that the guide misses": (
        (model(), guide({"zz": unit(D).to_event(1)})),
        ("The model draws 'z', the guide does not. Is 'zz' meant?",),
    ),
    "a latent that the model lacks": ((model(), guide(Z | {"extra": unit()})), ("['extra'], the",)),
    "a latent that the model observes": (
        (model(), guide(Z | DATA)),
        ("['data'], which the model",),
    ),
    "a guide that observes": ((model(), model()), ("The guide observes ['data']",)),
    "a forgotten to_event in the guide": (
        (model(outside={"w": unit(D).to_event(1)}), guide(outside={"w": unit(D)})),
        ("'w' of shape (3,) | ()", "'w' of shape () | (3,)", "`.to_event(1)` in the guide"),
    ),
    "a forgotten to_event in the model": (
        (model(outside={"w": unit(2, D)}), guide(outside={"w": unit(2, D).to_event(2)})),
        ("'w' of shape () | (2, 3)", "'w' of shape (2, 3) | ()", "`.to_event(2)` in the model"),
    ),
    "a to_event of too few axes": (
        (
            model(outside={"w": unit(2, D).to_event(2)}),
            guide(outside={"w": unit(2, D).to_event(1)}),
        ),
        ("'w' of shape (2,) | (3,)", "`.to_event(2)` in the guide"),
    ),
    "rows and other axes without a plate": (
        (model(Z, {"data": lambda weight, data: unit(len(data), D)}, data={}), guide()),
        ("no plate covers axis -2", "that of the 5 rows, write `.to_event(1)` and open", "dim=-1"),
    ),
    "a site outside of the plate in the guide": (
        (model(), guide({}, outside=Z)),
        ("'z' of shape () | (3,)", "'z' of shape (5,) | (3,)", "Open the plate 'datum'"),
    ),
    "sizes that differ": (
        (model(), guide({"z": unit(D + 1).to_event(1)})),
        ("(5,) | (4,)", "(5,) | (3,)", "Give both the same sizes"),
    ),
    "a batch axis without a plate": (
        (model(outside={"w": unit(4)}), guide(outside={"w": unit(4)})),
        ("'w' of shape (4,) | ()", "no plate covers axis -1", "`.to_event(1)`", "a plate of them"),
    ),
    "a plate on another axis": (
        (model(), guide({"z": unit(COUNT, 1, D).to_event(1)}, dim=-2)),
        ("Plate 'datum' has 5 of 5 on axis -1 around 'z' of the model", "axis -2 in the guide"),
    ),
    "a plate whose size differs": (
        (model(), guide(sized=False)),
        ("Plate 'datum' has 2 of 20", "but 2 of 2 on axis -1 in the guide"),
    ),
    "a support that is left although the model fails further on": (
        (model({"z": LogNormal(0.0, 1.0)}, data=IMPOSSIBLE), guide({"z": unit()})),
        ("Normal leaves the support GreaterThan(0) of the model's LogNormal",),
    ),
    "a density that is not finite": (
        (model(data={"data": Normal(torch.zeros(D), 1e-30).to_event(1)}), guide()),
        ("'data' of shape (5,) | (3,)", "5 of 5 log-densities", "NaN or infinite"),
    ),
    "a draw without gradient": (
        (model({"z": Bernoulli(0.5)}), guide({"z": lambda weight, data: Bernoulli(weight)})),
        ("draws 'z' from Bernoulli", "gradient would be silently wrong", "`proposals`"),
    ),
    "parameters in the global store": (
        (model(), guide(kind=Storing)),
        ("The guide keeps ['loc'] in Pyro's global store", "in `__init__`"),
    ),
    "a failure inside a program": (
        (model(Z, W, data=IMPOSSIBLE), guide(Z, W)),
        ("model failed on data of shape (5, 3), after site 'z' of shape (5,) | (3,)", "scale"),
    ),
    "a batch axis that does not fit its plate": (
        (model(), guide({"z": unit(D)})),
        ("guide failed on data of shape (5, 3), at its first site", "mismatch", "`.to_event(1)`"),
    ),
    "sizes that a program has fixed": (
        (model(), guide({"z": unit(COUNT, D).to_event(1)})),
        ("failed on data of shape (2, 3)", "2 vs 5", "on 5 rows", "number from the data"),
    ),
    "a program that takes no size": ((model(kind=Sizeless), guide()), ("['data']", "`size`, the")),
}


@pytest.mark.parametrize(("pair", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_sentence_that_names_it(data, pair, words):
    assert "\n" not in str(refusal(data, *pair, words=words))


UNWEIGHED = {
    "rows in no plate": (
        (model(Z, DATA, data={}), guide()),
        ("site 'data' of shape", "no plate covers axis -1", "plate(name, size or count"),
    ),
    "rows that hide in an event": (
        (model(Z, {"data": lambda weight, data: unit(len(data), D).to_event(2)}, data={}), guide()),
        ("site 'data' of shape () |", "grows with the batch", "one event for each row"),
    ),
    "a size that both ignore": (
        (model(sized=False), guide(sized=False)),
        ("'datum' weighs 'z' of the guide by 1 for", "expected 10", "size or count"),
    ),
}


@pytest.mark.parametrize("count", [1, 2, COUNT])
@pytest.mark.parametrize(("pair", "words"), UNWEIGHED.values(), ids=UNWEIGHED)
def test_rows_that_would_not_be_weighed_are_named_in_batches_of_any_size(data, pair, words, count):
    refusal(data[:count], *pair, words=words)


def test_the_cause_of_a_failure_is_kept(data):
    assert isinstance(refusal(data, *WRONG["a failure inside a program"][0]).__cause__, ValueError)


def test_errors_of_the_package_pass_as_they_are(data):
    def diverged(weight, data):
        raise DataError("Too far.")

    assert str(refusal(data, model(data={"data": diverged}), error=DataError)) == "Too far."


@pytest.mark.parametrize("names", [["dat"], ["data", "label"], []])
def test_tensors_that_the_model_does_not_take_are_named(data, names):
    with pytest.raises(DataError) as raised:
        describe(model(), guide(), dict.fromkeys(names, data))
    assert "`model.forward` takes ['data', 'size'] and needs ['data']" in str(raised.value)
    assert f"is given the tensors {names}" in str(raised.value)
    assert ("Is 'data' meant?" in str(raised.value)) == ("dat" in names)


def test_a_guide_that_takes_other_tensors_than_the_model_is_named(data):
    batch = {"data": data, "label": torch.zeros(COUNT)}
    with pytest.raises(ConfigError, match=r"`guide.forward` takes \['data', 'size'\]"):
        describe(model(kind=Labelled), guide(), batch)
    for kind in (Labelled, Anything):
        describe(model(kind=Labelled), guide(kind=kind), batch)


def test_parameters_that_are_not_finite_are_named(data):
    broken = guide()
    nn.init.constant_(broken.weight, torch.inf)
    refusal(data, model(), broken, words=["guide.weight is not finite"])


def test_fewer_data_than_the_batch_holds_are_refused(data):
    refusal(data, words=["size=3 and a batch of 5"], size=3)


@pytest.mark.parametrize(
    ("dims", "coords", "words"),
    [
        ({"data": NAMED}, {}, "'z' has shape (5, 3), but `model.dims` says None"),
        ({"zz": NAMED, "data": NAMED}, {}, "Is 'zz' meant?"),
        ({"z": NAMED[:1], "data": NAMED}, {}, "but `model.dims` says ('row',)"),
        ({"z": NAMED, "data": NAMED}, {"axis": "ab"}, "'axis' of site 'z' has length 3, but"),
    ],
)
def test_axes_without_the_right_names_or_labels_are_named(data, dims, coords, words):
    named = model()
    named.dims, named.coords = dims, coords
    refusal(data, named, words=[words])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zz", ("'zz', which is no latent site", "['w', 'z']. Is 'z' meant? Rename")),
        ("data", ("'data', which is no latent site", "['w', 'z']. Rename")),
    ],
)
def test_scheduled_sites_that_are_not_latent_are_named(data, name, words):
    scheduled, moves = model(Z, W), Schedule(start=0.0, end=1.0, until=0.5)
    scheduled.kl_schedule = {"z": moves, "w": moves}
    described(data, scheduled, guide(Z, W))
    scheduled.kl_schedule[name] = moves
    refusal(data, scheduled, guide(Z, W), words=("`model.kl_schedule` names", *words))


def test_weights_of_the_users_own_are_left_alone(data):
    class ByHand(Program):
        def forward(self, data, *, size=None):
            with pyro.poutine.scale(scale=0.1 * size / len(data)):
                super().forward(data, size=None)

    described(data, model(kind=ByHand), guide(kind=ByHand), size=40)


class Nested(Program):
    def forward(self, data, *, size=None):
        with self.rows(data, size), pyro.plate("axis", D, dim=-1):
            for name in self.inside:
                self.sample(name, unit(), data)


class Loop(Program):
    def forward(self, data, *, size=None):
        for row in pyro.plate("datum", size, subsample=torch.arange(len(data))):
            for name, law in Z.items():
                self.sample(f"{name}_{row}", law, data)
            if self.observes:
                pyro.sample(f"data_{row}", unit(D).to_event(1), obs=data[row])


RIGHT = [
    {"kind": Nested, "dim": -2},
    {"kind": Loop},
    {"draws": True},
    {"inside": {"z": unit(1, 1, D).to_event(1)}},
    {"inside": {"z": lambda weight, data: unit(len(data)).to_event(1)}},
]


@pytest.mark.parametrize("count", [1, COUNT])
@pytest.mark.parametrize("options", RIGHT)
def test_nested_plates_loops_drawn_rows_and_axes_of_length_one_are_right(data, options, count):
    found = described(data[:count], model(**options), guide(**options), size=40)
    assert {site.kind for site in found.sites} == {"latent", "observed"}
    assert {plate.name: plate.size for plate in found.plates}["datum"] == 40


@pytest.mark.parametrize("drawing", [model, guide])
def test_rows_may_be_drawn_by_the_plate_of_one_program_alone(data, drawing):
    pair = (kind(draws=kind is drawing) for kind in (model, guide))
    assert described(data, *pair, size=40).plates == (Plate("datum", 40, COUNT, -1),)


class Indexing(Program):
    def forward(self, data, *, size=None):
        with self.rows(data, size) as rows:
            self.sample("z", Normal(data[rows], 1.0).to_event(1), data)


@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_data_may_be_indexed_by_rows_that_were_given_not_by_rows_that_a_plate_draws(data, count):
    described(data[:count], model(), guide(kind=Indexing), size=40)
    words = "The guide failed on", "out of bounds", "by what a plate draws"
    refusal(data[:count], model(), guide(kind=Indexing, draws=True), words=words)


class First(Program):
    def forward(self, data, *, size=None):
        super().forward(data[:1], size=size)


class FirstOfBatch(Program):
    def forward(self, data, *, size=None):
        super().forward(data[:1], size=len(data))


@pytest.mark.parametrize("size", [None, 40])
@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("kind", [First, FirstOfBatch])
@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_a_plate_that_looks_at_fewer_data_than_the_batch_holds_is_named(
    data, count, kind, draws, size
):
    pair = model(kind=kind, draws=draws), guide(kind=kind, draws=draws)
    words = "Plate 'datum' looks at 1 of", "but the batch holds", "subsample=torch.arange(count)"
    refusal(data[:count], *pair, words=words, size=size)


class Parts(Program):
    def forward(self, data, *, size=None):
        with pyro.plate("part", 7, subsample_size=4, dim=-1):
            self.sample("w", unit(), data)
        super().forward(data, size=size)


@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_a_plate_of_other_things_than_data_may_look_at_any_number_of_them(data, count):
    found = described(data[:count], model(kind=Parts), guide(kind=Parts), size=40)
    assert found.plates[0] == Plate("part", 7, 4, -1)


class Scaled(PyroModule):
    def __init__(self):
        super().__init__()
        self.width = PyroParam(torch.tensor(1.0), constraints.positive)
        self.net = nn.Linear(D, D)

    def forward(self, data, *, size=None):
        with pyro.plate("datum", size, subsample=torch.arange(len(data)), dim=-1):
            pyro.sample("z", Normal(self.net(data), self.width).to_event(1))


def test_pyro_modules_are_right_unless_they_were_built_with_global_parameters(data):
    with pyro.settings.context(module_local_params=True):
        local = Scaled()
    assert described(data, model(), local).unused == ()
    refusal(data, model(), Scaled(), words=["call `pyro.settings.set(module_local_params=True)`"])
