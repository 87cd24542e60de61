"""What is refused before the first step, and what is said of pairs that are right."""

import contextlib

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import Bernoulli, LogNormal, Normal, RelaxedBernoulliStraightThrough
from pyro.nn import PyroModule, PyroParam
from torch import nn
from torch.distributions import Distribution, constraints

from mutoscope.guides import ENTRIES
from mutoscope.inference.describe import describe
from mutoscope.zoo.distributions import OneActiveField
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.schedules import Schedule, Windows

COUNT, D, NAMED = 5, 3, ("row", "axis")


def unit(*shape):
    return Normal(torch.zeros(shape), 1.0)


Z, W = {"z": unit(D).to_event(1)}, {"w": unit()}
DATA = {"data": lambda weight, data: Normal(weight * data.detach(), 1.0).to_event(1)}
IMPOSSIBLE = {"data": lambda weight, data: Normal(data, -1.0)}


class Program(nn.Module):
    """Samples sites inside and outside of a plate, from laws given or made of weight and data."""

    def __init__(self, inside, outside=None, *, observes=False, sized=True, draws=False, dim=-1):
        super().__init__()
        self.inside, self.outside, self.observes = inside, outside or {}, observes
        self.sized, self.draws, self.dim = sized, draws, dim
        self.weight = nn.Parameter(torch.tensor(0.5))

    def rows(self, data, size):
        count = len(data)
        rows = {"subsample_size": count} if self.draws else {"subsample": torch.arange(count)}
        return pyro.plate("datum", size if size and self.sized else count, dim=self.dim, **rows)

    def sample(self, name, law, data):
        law = law if isinstance(law, Distribution) else law(self.weight, data)
        return pyro.sample(name, law, obs=data if self.observes and name == "data" else None)

    def forward(self, data, *, size=None):
        for name, law in self.outside.items():
            self.sample(name, law, data)
        if self.inside:
            with self.rows(data, size):
                for name, law in self.inside.items():
                    self.sample(name, law, data)


class Labelled(Program):
    def forward(self, data, label=None, *, size=None):
        super().forward(data, size=size)


class Anything(Program):
    def forward(self, **tensors):
        super().forward(tensors["data"], size=tensors["size"])


class Sizeless(Program):
    def forward(self, data):
        super().forward(data)


class Storing(Program):
    def forward(self, data, *, size=None):
        pyro.param("loc", torch.zeros(()))
        super().forward(data, size=size)


def model(inside=Z, outside=None, *, kind=Program, data=DATA, **options):
    return kind(inside | data, outside, observes=True, **options)


def guide(inside=Z, outside=None, *, kind=Program, **options):
    return kind(inside, outside, **options)


@pytest.fixture
def data():
    return torch.randn(COUNT, D)


def described(data, first=None, second=None, **options):
    return describe(first or model(), second or guide(), {"data": data}, **options)


def refusal(data, *pair, words=(), error=ConfigError, **options):
    with pytest.raises(error) as raised:
        described(data, *pair, **options)
    for word in words:
        assert word in str(raised.value)
    return raised.value


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
        ("'w' of shape (4,) | ()", "no plate covers axis -1", "`.to_event(n)`"),
    ),
    "a plate on another axis": (
        (model(), guide({"z": unit(COUNT, 1, D).to_event(1)}, dim=-2)),
        ("Plate 'datum' has 5 of 5 on axis -1 around 'z' of the model", "axis -2 in the guide"),
    ),
    "a plate whose size differs": (
        (model(), guide(sized=False)),
        ("Plate 'datum' has 2 of 20", "but 2 of 2 on axis -1 in the guide"),
    ),
    "a plate that draws rows of its own": (
        (model(draws=True), guide(draws=True)),
        ("Plate 'datum' of the guide draws rows of its own", "`subsample=torch.arange(count)`"),
    ),
    "a plate of the model alone that draws rows of its own": (
        (model({}, Z, draws=True), guide({}, Z)),
        ("Plate 'datum' of the model draws rows of its own",),
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
        ("model failed on 5 rows, after site 'z' of shape (5,) | (3,)", "parameter scale"),
    ),
    "a batch axis that does not fit its plate": (
        (model(), guide({"z": unit(D)})),
        ("The guide failed on 5 rows, at its first site", "Shape mismatch", "`.to_event(n)`"),
    ),
    "sizes that a program has fixed": (
        (model(), guide({"z": unit(COUNT, D).to_event(1)})),
        ("The guide failed on 2 rows", "2 vs 5"),
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


LEAVES = [
    (LogNormal(0.0, 1.0), unit(), ("GreaterThan(0)", "a LogNormal, or a Normal transformed")),
    (LogNormal(0.0, 1.0), Normal(2.5, 1.0), ("Normal leaves",)),
    (dist.Beta(2.0, 2.0), unit(), ("Interval(0, 1)", "Draw from a Beta, or")),
    (dist.Uniform(0.0, 1.0), LogNormal(0.0, 1.0), ("LogNormal leaves", "model's Uniform")),
    (dist.Dirichlet(torch.ones(D)), unit(D).to_event(1), ("Simplex",)),
    (Bernoulli(0.5), unit(), ("Normal leaves the support Boolean", "from a Bernoulli.")),
]


@pytest.mark.parametrize("count", [1, COUNT])
@pytest.mark.parametrize(("prior", "drawn", "words"), LEAVES)
def test_a_guide_that_leaves_the_support_is_told_what_fits(data, prior, drawn, words, count):
    pair = model({"z": prior}), guide({"z": drawn})
    refusal(data[:count], *pair, words=("Site 'z'", *words))


def test_data_outside_of_the_support_or_of_another_shape_are_named(data):
    waits = model(data={"data": dist.Exponential(torch.ones(D)).to_event(1)})
    words = "'data' of shape (5,) | (3,)", "Exponential on GreaterThanEq(0)", "from -1.5 to -1.5"
    refusal(torch.full_like(data, -1.5), waits, words=words, error=DataError)
    short = model(data={"data": unit(D + 1).to_event(1)})
    refusal(data, short, words=("'data' of shape (5,) | (4,)", "(5, 3)"), error=DataError)


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


def test_weights_of_the_users_own_are_left_alone(data):
    class ByHand(Program):
        def forward(self, data, *, size=None):
            with pyro.poutine.scale(scale=0.1 * size / len(data)):
                super().forward(data, size=None)

    described(data, model(kind=ByHand), guide(kind=ByHand), size=40)


def test_what_is_masked_need_not_be_finite(data):
    mask = torch.tensor([False, True, True])
    width = torch.tensor([1e-30, 1.0, 1.0])[:, None].expand(3, D)

    def law(weight, data):
        return Normal(weight, width[: len(data)]).to_event(1).mask(mask[: len(data)])

    assert described(data[:3], model(data={"data": law})).sites[1].distribution == "Normal"


def test_discrete_draws_that_are_not_learned_or_relaxed_or_summed_out_are_right(data):
    prior = model({"z": Bernoulli(0.5)})
    described(data, prior, guide({"z": Bernoulli(0.3)}))
    relaxed = RelaxedBernoulliStraightThrough
    learned = {"z": lambda weight, data: relaxed(torch.tensor(0.5), probs=weight)}
    described(data, prior, guide(learned))

    class Summed(OneActiveField):
        has_rsample = False

    one = {"z": OneActiveField(torch.zeros(D), length=2)}
    summed = {"z": lambda weight, data: Summed(weight.expand(D), length=2)}
    described(data, model(one), guide(summed))


def test_every_row_says_what_the_site_is_and_what_answers_it(data):
    class Doubling(Program):
        def forward(self, data, *, size=None):
            self.sample("w", dist.StudentT(torch.ones(2)).to_event(1), data)
            with self.rows(data, size):
                law = dist.ExpandedDistribution(dist.HalfNormal(torch.tensor(1.0)), [D])
                z = self.sample("z", law.to_event(1).mask(True), data)
                pyro.factor("bonus", torch.zeros(len(data)))
                pyro.deterministic("twice", 2 * z, event_dim=1)
                self.sample("data", Normal(self.weight * z, 1.0).to_event(1), data)

    doubling = model(kind=Doubling)
    doubling.dims = {"w": ("side",)} | dict.fromkeys(("z", "twice", "data"), NAMED)
    answers = guide({"z": LogNormal(torch.zeros(D), 1.0).to_event(1)}, {"w": unit(2).to_event(1)})
    found = described(data, doubling, answers, size=40)
    batch, event = ("datum=5",), ("axis=3",)
    assert [tuple(vars(site).values()) for site in found.sites] == [
        ("w", "global latent", "StudentT", (), ("side=2",), "Real", "Normal", "drawn"),
        ("z", "latent", "HalfNormal", batch, event, "GreaterThanEq(0)", "LogNormal", "drawn"),
        ("bonus", "observed", "Unit", batch, ("0",), "Real", "data", "-"),
        ("twice", "deterministic", "-", batch, event, "-", "-", "-"),
        ("data", "observed", "Normal", batch, event, "Real", "data", "-"),
    ]
    assert [tuple(vars(plate).values()) for plate in found.plates] == [("datum", 40, COUNT, -1)]


def test_parameters_are_counted_by_child_and_unused_ones_named(data):
    learned = {"z": lambda weight, data: Normal(weight, 1.0).expand([D]).to_event(1)}
    first, second = model(), guide(learned)
    first.net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).double()
    first.net[1].requires_grad_(False)
    second.shared = first.net
    found = described(data, first, second)
    assert [tuple(vars(part).values()) for part in found.parts] == [
        ("model.weight", 1, 0, 4),
        ("model.net", 9, 4, 104),
        ("guide.weight", 1, 0, 4),
        ("total", 11, 4, 112),
    ]
    assert found.unused == ("model.net.0.weight", "model.net.0.bias")
    for parameter in (*first.parameters(), *second.parameters()):
        parameter.requires_grad_(False)
    assert described(data, first, second).unused == ()


def test_schedules_and_windows_are_listed(data):
    first, second = model(), guide()
    first.kl_schedule = {"z": Schedule(start=0.1, end=1.0, until=0.4)}
    second.schedules = {"temperature": Schedule(start=1.0, end=0.5, until=0.6, since=0.2)}
    first.windows = Windows(axis="frame", length=3, until=0.5)
    found = described(data, first, second)
    moving = {"KL(z)": first.kl_schedule["z"], "guide.temperature": second.schedules["temperature"]}
    assert (found.schedules, found.windows) == (moving, first.windows)
    for words in ("KL(z) from 0.1 to 1, 0% to 40%", "from 1 to 0.5, 20% to 60%", "3 along 'frame'"):
        assert words in str(found)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_registered_pairs_are_right_and_fit_into_a_hundred_columns(entry, count):
    example = entry.example()
    first = entry.model(entry.model.Config.from_dict(example.model))
    second = entry.guide(first, entry.guide.Config.from_dict(example.guide))
    batch = {name: tensor[:count] for name, tensor in example.batch.items()}
    found = describe(first, second, batch, size=100_000)
    assert not found.unused
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    words = {word for line in lines for word in line.split()}
    for site in found.sites:
        assert {site.name, site.distribution, site.answer, *site.batch, *site.event} <= words
    assert {part.name for part in found.parts} | {"100,000"} <= words


def test_long_names_are_folded_and_brackets_kept(data):
    name = "latent[" + 120 * "x" + "]"
    law = {name: unit(D).to_event(1)}
    page = str(described(data, model(law), guide(law)))
    assert max(map(len, page.splitlines())) <= 100
    assert page.count("x") >= 120
    assert "[x" in page


def test_a_global_latent_is_right_in_batches_of_any_size(data):
    for count in (1, 2, COUNT):
        site = described(data[:count], model({}, Z), guide({}, Z)).sites[0]
        found = site.kind, site.batch, site.event, site.kl
        assert found == ("global latent", (), ("3",), "analytic")


class Topics(Program):
    def forward(self, data, *, size=None):
        for length in (2, COUNT):
            with pyro.plate(f"plate {length}", length, dim=-1):
                self.sample(f"topics {length}", unit(), data)
        super().forward(data, size=size)


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


def test_a_plate_that_is_as_long_as_the_batch_by_chance_is_not_that_of_the_data(data):
    for count in (2, COUNT):
        found = described(data[:count], model(kind=Topics), guide(kind=Topics), size=40)
        assert [s.kind for s in found.sites] == [*2 * ["global latent"], "latent", "observed"]
        assert [plate.size for plate in found.plates] == [2, COUNT, 40]


RIGHT = [
    {"kind": Nested, "dim": -2},
    {"kind": Loop},
    {"inside": {"z": unit(1, 1, D).to_event(1)}},
    {"inside": {"z": lambda weight, data: unit(len(data)).to_event(1)}},
]


@pytest.mark.parametrize("count", [1, COUNT])
@pytest.mark.parametrize("options", RIGHT)
def test_nested_plates_loops_and_axes_of_length_one_are_right(data, options, count):
    found = described(data[:count], model(**options), guide(**options), size=40)
    assert {site.kind for site in found.sites} == {"latent", "observed"}
    assert {plate.name: plate.size for plate in found.plates}["datum"] == 40


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


def test_everything_is_left_as_it_was(data):
    first, second = model(), guide()
    second.norm = nn.BatchNorm1d(D)
    second.inside = {"z": lambda weight, data: Normal(second.norm(data), 1.0).to_event(1)}
    second.norm.weight.grad = torch.ones(D)
    first.eval()
    pyro.clear_param_store()
    pyro.param("mine", torch.ones(2))
    buffers = {name: value.clone() for name, value in second.named_buffers()}
    noise, validates = torch.get_rng_state(), pyro.poutine.util.is_validation_enabled()
    pages = [str(described(data, first, second)) for _ in range(2)]
    with contextlib.suppress(ConfigError):
        described(data, first, guide(kind=Storing))
    assert pages[0] == pages[1]
    assert torch.equal(noise, torch.get_rng_state())
    assert [*pyro.get_param_store().keys()] == ["mine"]
    assert (first.training, second.training, second.norm.training) == (False, True, True)
    assert second.norm.weight.grad.equal(torch.ones(D))
    assert [first.weight.grad, second.weight.grad] == [None, None]
    assert all(torch.equal(buffers[name], value) for name, value in second.named_buffers())
    assert pyro.poutine.util.is_validation_enabled() == validates
    pyro.clear_param_store()
