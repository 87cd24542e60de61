"""Additive decoders keep the contract with a flow as prior."""

import dataclasses
import inspect

import pytest
import torch

from mutoscope.guides.registry import Entry, image_sequences
from mutoscope.testing import test_contract
from mutoscope.testing.case import Case

LAWS = {
    name: law
    for name, law in inspect.getmembers(test_contract, inspect.isfunction)
    if name.startswith("test_") and name != "test_a_saved_run_loads_equal"
}


def example():
    usual = image_sequences()
    return dataclasses.replace(usual, model={**usual.model, "prior": "flow", "prior_couplings": 2})


@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(law, tmp_path):
    torch.manual_seed(0)
    entry = dataclasses.replace(Entry.named("additive"), example=example)
    needed = {"case": Case(entry), "tmp_path": tmp_path}
    LAWS[law](**{each: needed[each] for each in inspect.signature(LAWS[law]).parameters})
