"""Additive decoders keep the contract with masks, and with spikes however they are summed over."""

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
SPIKES = {"num_blocks": 3, "presence": 0.4, "image_scale": 0.5}  # so wide that all are in doubt
VARIANTS = {
    "spikes by Bayes' rule": (SPIKES, {}),
    "spikes that are read": (SPIKES, {"presence": "enumerate"}),
    "a flow as prior": ({"prior": "flow", "couplings": 2}, {}),
    "masks": ({"decoder": "masked"}, {}),
    "masks with spikes": (SPIKES | {"decoder": "masked"}, {}),
    "spikes by local expectation": (SPIKES, {"presence": "local_expectation"}),
}


def example(name):
    model, guide = VARIANTS[name]
    usual = image_sequences()
    return dataclasses.replace(usual, model={**usual.model, **model}, guide=guide)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", LAWS)
def test_every_law_holds(law, name, tmp_path):
    torch.manual_seed(0)
    entry = dataclasses.replace(Entry.named("additive"), example=lambda: example(name))
    needed = {"case": Case(entry), "tmp_path": tmp_path}
    LAWS[law](**{each: needed[each] for each in inspect.signature(LAWS[law]).parameters})
