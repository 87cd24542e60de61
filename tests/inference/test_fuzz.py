"""Whatever is passed is done, or refused by a named error of one paragraph."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mutoscope.guides.registry import ENTRIES
from mutoscope.inference import FitOptions, fit
from mutoscope.inference.data_options import DataOptions
from mutoscope.zoo.errors import ConfigError, MutoscopeError

from .strange import FUZZ, JSON, SCALARS, VALUES, is_quick
from .toy import WithHeldOut, toy_data, toy_pair

MANY = settings(FUZZ, max_examples=200)
pytestmark = pytest.mark.usefixtures("no_shape_checks")


def refusal(model, guide, data, **options):
    """Return why training is refused, or nothing; warnings are errors in these tests."""
    try:
        fit(model, guide, data, **{"max_steps": 2, "progress": False, **options})
    except MutoscopeError as error:
        return error
    return None


def is_one_paragraph(error):
    return 20 < len(str(error)) < 999 and "\n" not in str(error)


OPTIONS = [field.name for field in dataclasses.fields(FitOptions)]


@FUZZ
@given(st.sampled_from([*OPTIONS, "options", "notes", "step", "self"]), VALUES)
@example("learning_rate", -1)
@example("free_bits", 3.5e38)
def test_an_option_of_any_value_trains_or_is_named(name, value):
    assume(is_quick(name, value))
    error = refusal(*toy_pair(), WithHeldOut(toy_data(6), toy_data(4)), **{name: value})
    assert error is None or is_one_paragraph(error)
    assert not isinstance(error, ConfigError) or name.rstrip("s") in str(error)


class Items:
    """A data set of items; those that it has repeat."""

    def __init__(self, count, *items):
        self.count, self.items = count, items

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.items[index % len(self.items)]


class Batches(Items):
    """A split that gives the same batches whatever it is asked for."""

    def batch(self, indices):
        return self[int(indices[-1])]


class Parts:
    """A data set with splits."""

    def __init__(self, **splits):
        vars(self).update(splits)


DATA = toy_data(6)["data"]
# By name, so that failing examples can be read.
KINDS = {
    "Items": Items,
    "Batches": Batches,
    "train": lambda train: Parts(train=train),
    "validation": lambda held_out: Parts(train={"data": DATA}, validation=held_out),
    "both": lambda train, held_out: Parts(train=train, validation=held_out, test=held_out),
    "dtype": lambda name: DATA.to(getattr(torch, name)),
    "shape": lambda *sizes: torch.zeros(sizes),
    "full": lambda value: torch.full((6, 3), value),
}
PLAIN = {
    "data": lambda: DATA,
    "row": lambda: DATA[0],
    "gradient": lambda: DATA.clone().requires_grad_(),
    "graph": lambda: DATA.clone().requires_grad_() * 2,
    "parameter": lambda: torch.nn.Parameter(DATA.clone()),
    "stride": lambda: torch.stack([DATA, DATA], -1)[..., 1],
    "expanded": lambda: DATA[:1].expand(6, 3),
    "sparse": lambda: DATA.to_sparse(),
    "meta": lambda: DATA.to("meta"),
    "nested": lambda: torch.nested.nested_tensor([*DATA], layout=torch.jagged),
    "array": lambda: DATA.numpy(),
    "objects": lambda: DATA.numpy().astype(object),
    "words": lambda: np.array(["a", "b"]),
    "list": lambda: DATA.tolist(),
    "iterator": lambda: iter(DATA),
    "type": lambda: dict,
    "module": lambda: torch.nn.Linear(3, 3),
}
DTYPES = ["half", "bfloat16", "double", "int8", "int", "uint16", "bool", "cfloat", "float8_e4m3fn"]
SHAPES = [(), (0, 3), (6,), (6, 0), (5, 3), (6, 4), (6, 3, 2), (1, 3), (2, 3), (3,), (4,), (1,)]
TENSORS = (
    st.sampled_from([*PLAIN])
    | st.tuples(st.just("dtype"), st.sampled_from(DTYPES))
    | st.sampled_from(SHAPES).map(lambda shape: ("shape", *shape))
    | st.tuples(st.just("full"), st.sampled_from([math.nan, math.inf, -1e30, 1e-40, 2**40]))
)
NAMES = st.sampled_from(["data"] * 8 + ["date", "size", "self", "", 3, None, ("data",)])
NAMED = st.dictionaries(st.just("data"), st.just("data") | TENSORS, min_size=1) | st.dictionaries(
    NAMES, TENSORS | SCALARS, max_size=2
)
COUNTS = st.sampled_from([6, 6, 6, 6, 2, 1, 0, -1, 2.5, 2**70, None, True])
SET = st.sampled_from(["Items", "Batches"])
SETS = st.tuples(SET, COUNTS, NAMED) | st.tuples(SET, st.just(6), NAMED, NAMED | TENSORS | SCALARS)
SPLITS = NAMED | SETS | st.lists(NAMED, max_size=2) | TENSORS | SCALARS


def made(description):
    """Return what a description such as `("Items", 6, {"data": ("full", 0.0)})` stands for."""
    match description:
        case dict():
            return {name: made(value) for name, value in description.items()}
        case list():
            return [made(value) for value in description]
        case (str(kind), *parts) if kind in KINDS:
            return KINDS[kind](*map(made, parts))
        case str() if description in PLAIN:
            return PLAIN[description]()
    return description


@MANY
@given(
    SPLITS
    | st.tuples(st.sampled_from(["train", "validation"]), SPLITS)
    | st.tuples(st.just("both"), SPLITS, SPLITS)
    | st.fixed_dictionaries({"train": SPLITS, "validation": SPLITS})
)
@example({"data": ("dtype", "float8_e4m3fn")})
@example(("Items", 2**70, {"data": "row"}))
@example(("Items", 6, {"data": 0.0}, {"data": "data"}))
@example(("Items", 6, {"data": "data"}, "data"))
@example(("Batches", 6, {"data": ("shape", 1)}, {"data": "meta"}))
def test_data_of_any_kind_train_or_are_refused(description):
    error = refusal(*toy_pair(), made(description))
    assert error is None or is_one_paragraph(error)


# Each class of configurations by name, with the fields that it cannot do without.
CONFIGURATIONS = {"FitOptions": (FitOptions, {}), "DataOptions": (DataOptions, {})}
for entry in ENTRIES:
    CONFIGURATIONS[f"{entry.name} model"] = entry.model.Config, dict(entry.example().model)
    CONFIGURATIONS[f"{entry.name} guide"] = entry.guide.Config, dict(entry.example().guide)
FIELDS = [
    (name, field.name)
    for name, (kind, _) in CONFIGURATIONS.items()
    for field in dataclasses.fields(kind)
]
LONG = ["many\nlines" * 99, ("x",) * 999, np.zeros((9, 9))]


def is_kept_or_refused(kind, make):
    """Tell whether a configuration is refused in a paragraph, or the same after a round trip."""
    try:
        config = make()
    except ConfigError as error:
        return is_one_paragraph(error)
    return kind.from_dict(json.loads(json.dumps(config.to_dict(), allow_nan=False))) == config


@MANY
@given(st.sampled_from(FIELDS), VALUES | st.sampled_from(LONG))
@example(("FitOptions", "learning_rate"), math.inf)
def test_a_field_of_any_value_is_kept_or_refused(field, value):
    kind, needed = CONFIGURATIONS[field[0]]
    assert is_kept_or_refused(kind, lambda: kind(**needed | {field[1]: value}))


@MANY
@given(
    st.sampled_from(FIELDS),
    JSON | st.tuples(st.text(max_size=5) | st.sampled_from([3, None, "x" * 999]), JSON),
)
def test_a_configuration_of_any_json_is_kept_or_refused(field, value):
    kind, needed = CONFIGURATIONS[field[0]]
    found = dict([value]) if isinstance(value, tuple) else {field[1]: value}
    assert is_kept_or_refused(kind, lambda: kind.from_dict(needed | found))
    assert is_kept_or_refused(kind, lambda: kind.from_dict(value))
