"""Sparse shared features keep the contract with every kind of head."""

import dataclasses
import inspect

import pytest
import torch

from mutoscope.guides.registry import Entry, mixed_tasks
from mutoscope.testing import test_contract
from mutoscope.testing.case import Case

LAWS = {
    name: law
    for name, law in inspect.getmembers(test_contract, inspect.isfunction)
    if name.startswith("test_") and name != "test_a_saved_run_loads_equal"
}
DRAWN = (
    "test_particles_are_drawn_side_by_side",
    "test_a_seed_settles_everything_that_is_random",
    "test_data_do_not_depend_on_the_others_of_their_batch",  # up to rounding, where points end
)
VARIANTS = {
    "correlated": {"correlated": True},
    "laplace": {"heads": "laplace"},
    "horseshoe": {"heads": "horseshoe"},
    "dense": {"heads": "normal"},
    "points": {"variant": "map", "heads": "laplace"},
    "two levels": {"variant": "bilevel", "heads": "laplace"},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(law, name, tmp_path):
    if law in DRAWN and "variant" in VARIANTS[name]:
        pytest.skip("points are not drawn")
    torch.manual_seed(0)
    usual = mixed_tasks()
    example = dataclasses.replace(usual, model={**usual.model, **VARIANTS[name]})
    entry = dataclasses.replace(Entry.named("sparse-shared-features"), example=lambda: example)
    needed = {"case": Case(entry), "tmp_path": tmp_path}
    LAWS[law](**{each: needed[each] for each in inspect.signature(LAWS[law]).parameters})
