"""What is refused of a single site: shapes, supports, densities; and what masks leave out."""

import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import Bernoulli, LogNormal, Normal, RelaxedBernoulliStraightThrough

from mutoscope.zoo.distributions import OneActiveField
from mutoscope.zoo.errors import DataError, MutoscopeError

from .pairs import COUNT, DATA, D, Program, Z, described, guide, model, refusal, unit


@pytest.fixture
def data():
    return torch.randn(COUNT, D)


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


class Following(Program):
    """Its last site follows the first, for which a draw that is not positive is impossible."""

    def __init__(self, law, **options):
        super().__init__(**options)
        self.law = law

    def forward(self, data, *, size=None):
        with self.rows(data, size):
            pyro.sample("w", self.law(pyro.sample("z", unit()).log()))


@pytest.mark.parametrize("first", ["z", "w"])
@pytest.mark.parametrize("law", [lambda place: Normal(place, 1.0), dist.Delta])
def test_a_support_that_is_left_is_named_also_where_a_later_site_breaks_of_it(data, law, first):
    priors = {"z": LogNormal(0.0, 1.0), "w": unit()}
    ordered = model({first: priors[first]} | priors)
    words = "Site 'z'", "Normal leaves the support GreaterThan(0) of the model's LogNormal"
    refusal(data, ordered, Following(law, inside={}), words=words)


def test_data_outside_of_the_support_or_of_another_shape_are_named(data):
    waits = model(data={"data": dist.Exponential(torch.ones(D)).to_event(1)})
    words = "'data' of shape (5,) | (3,)", "Exponential on GreaterThanEq(0)", "from -1.5 to -1.5"
    refusal(torch.full_like(data, -1.5), waits, words=words, error=DataError)
    short = model(data={"data": unit(D + 1).to_event(1)})
    refusal(data, short, words=("'data' of shape (5,) | (4,)", "(5, 3)"), error=DataError)


def test_what_is_masked_need_not_be_finite(data):
    mask = torch.tensor([False, True, True])
    width = torch.tensor([1e-30, 1.0, 1.0])[:, None].expand(3, D)

    def law(weight, data):
        return Normal(weight, width[: len(data)]).to_event(1).mask(mask[: len(data)])

    assert described(data[:3], model(data={"data": law})).sites[1].distribution == "Normal"


def test_a_support_that_is_left_does_not_matter_where_it_is_masked_out(data):
    found = described(data, model({"z": LogNormal(0.0, 1.0).mask(False)}), guide({"z": unit()}))
    assert found.sites[0].kind == "masked out"


class Masking(Program):
    """Observes something more under a mask."""

    def __init__(self, law, mask, **options):
        super().__init__(**options)
        self.law, self.mask = law, mask

    def forward(self, data, *, size=None):
        with pyro.poutine.mask(mask=self.mask):
            pyro.sample("more", self.law(data), obs=data)
        super().forward(data, size=size)


ALONE = {
    "rows in no plate": lambda data: unit(D).to_event(1),
    "an event of all rows": lambda data: unit(*data.shape).to_event(2),
    "data that are impossible": lambda data: dist.Exponential(data**0).to_event(2),
    "a density that is not finite": lambda data: Normal(0 * data, 1e-30).to_event(2),
}


@pytest.mark.parametrize("off", [False, torch.tensor(False)])
@pytest.mark.parametrize("law", ALONE.values(), ids=ALONE)
def test_what_is_masked_out_does_not_matter(data, law, off):
    made = {"inside": Z | DATA, "observes": True}
    refusal(data, Masking(law, True, **made), words=["'more'"], error=MutoscopeError)
    for masked in (law, off), (lambda data: law(data).mask(off), True):
        assert described(data, Masking(*masked, **made)).sites[0].kind == "masked out"


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


class Grid(Program):
    def forward(self, data, *, size=None):
        with self.rows(data, size), pyro.plate("axis", D, dim=-1):
            for name, law in self.inside.items():
                self.sample(name, law, data)


INSIDE = [
    ((COUNT, D), 0, {}),
    ((COUNT, 2, D), 0, {}),
    ((COUNT, 2, D), 1, {}),
    ((COUNT, COUNT), 0, {}),
    ((COUNT, D, 4), 0, {"kind": Grid, "dim": -2}),
]


def mended_by_what_is_named(data, pair_of, joined):
    error = refusal(data, *pair_of(joined))
    (number,) = set(re.findall(r"`\.to_event\((\d)\)`", str(error)))
    described(data, *pair_of(int(number)))


@pytest.mark.parametrize(("shape", "joined", "options"), INSIDE)
def test_the_number_of_event_axes_that_is_named_mends_what_was_forgotten(
    data, shape, joined, options
):
    def pair_of(number):
        law = {"z": lambda weight, data: unit(len(data), *shape[1:]).to_event(number)}
        data = {"data": unit()} if options else DATA
        return model(law, data=data, **options), guide(law, **options)

    mended_by_what_is_named(data, pair_of, joined)


@pytest.mark.parametrize(
    ("length", "dim", "said", "unsaid"),
    [
        (COUNT, -1, "no plate covers axis -2", "rows"),  # the plate of rows is there, and misled
        (D, -2, "no plate covers axis -1", "to_event"),  # which would take the rows along
    ],
)
def test_what_would_not_mend_it_is_not_proposed(data, length, dim, said, unsaid):
    law = {"z": lambda weight, data: unit(len(data), length)}
    assert unsaid not in str(refusal(data, model(law, dim=dim), guide(law, dim=dim), words=[said]))


@pytest.mark.parametrize(("shape", "joined"), [((4,), 0), ((2, D), 0), ((2, D), 1)])
def test_so_it_does_outside_of_every_plate(data, shape, joined):
    def pair_of(number):
        law = {"w": unit(*shape).to_event(number)}
        return model(outside=law), guide(outside=law)

    mended_by_what_is_named(data, pair_of, joined)
