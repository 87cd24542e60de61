"""Distributed operators keep the contract whatever their operator, group and dynamics."""

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
TURNS = {"orders": (4, 2, 2), "turning": True, "operator": "stacked", "latent_dim": 32}
VARIANTS = {
    "walks": ({"dynamics": "markov", "orders": (3,), "latent_dim": 12}, {}),
    "walks that are told": ({"dynamics": "markov", "orders": (3,), "latent_dim": 12}, {}),
    "Bayes' rule": (
        {"operator": "complex", "orders": (2, 3), "latent_dim": 24},
        {"element": "exact"},
    ),
    "turns": (TURNS | {"decoder_hidden_dim": 6}, {"hidden_dim": 6}),
}


def example(name):
    model, guide = VARIANTS[name]
    generator = torch.Generator().manual_seed(1)
    batch = {"images": torch.rand(5, 4, 1, 6, 6, generator=generator)}
    if name == "walks that are told":
        batch["transformation"] = torch.randint(3, (5, 3), generator=generator)
    return Example(batch, model={"image_shape": (1, 6, 6), "length": 4} | model, guide=guide)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(law, name, tmp_path):
    torch.manual_seed(0)
    entry = dataclasses.replace(Entry.named("operator"), example=lambda: example(name))
    needed = {"case": Case(entry), "tmp_path": tmp_path}
    LAWS[law](**{each: needed[each] for each in inspect.signature(LAWS[law]).parameters})
