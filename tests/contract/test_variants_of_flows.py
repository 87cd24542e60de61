"""Entropy-ordered flows keep the contract whatever their layers, noise and estimator."""

import dataclasses
import inspect

import pytest
import torch

from mutoscope.guides.registry import Entry, Example
from mutoscope.testing import test_contract
from mutoscope.testing.case import Case

LAWS = {
    name: law
    for name, law in inspect.getmembers(test_contract, inspect.isfunction)
    if name.startswith("test_") and name != "test_a_saved_run_loads_equal"
}
SMALL = {"couplings": 1, "hidden_dim": 8, "steps": 1, "filters": 4}
VARIANTS = {
    "over scales, in bits": {"levels": 1, "bits": 8, "estimator": "probes"},
    "principal": {"principal": 4},
    "no noise": {"noise": 0.0, "coupling": "spline", "estimator": "columns"},
}


def example(name):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (5, 1, 4, 4), generator=generator).float() / 255
    return Example({"x": x}, model={"image_shape": (1, 4, 4)} | SMALL | VARIANTS[name])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(law, name, tmp_path):
    if (law, name) == ("test_particles_are_drawn_side_by_side", "no noise"):
        pytest.skip("it draws nothing")
    torch.manual_seed(0)
    entry = dataclasses.replace(Entry.named("entropy-ordered-flow"), example=lambda: example(name))
    needed = {"case": Case(entry), "tmp_path": tmp_path}
    LAWS[law](**{each: needed[each] for each in inspect.signature(LAWS[law]).parameters})
