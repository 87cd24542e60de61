"""Sequences that a model of images cannot take are refused in one sentence, before training."""

import pytest
import torch

from mutoscope.guides import ENTRIES
from mutoscope.inference import fit
from mutoscope.inference.posterior import posterior
from mutoscope.zoo.errors import DataError

GOOD = torch.rand(2, 3, 1, 4, 4)
BAD = {
    "rank": (GOOD[:, 0], "shape"),
    "channels": (GOOD.expand(2, 3, 3, 4, 4), "shape"),
    "size": (torch.rand(2, 3, 1, 5, 4), "shape"),
    "type": ((GOOD * 255).byte(), "divide bytes by 255"),
    "above one": (GOOD * 255, r"\[0, 1\]"),
    "below zero": (GOOD - 1, r"\[0, 1\]"),
}


def pair(name):
    entry = next(entry for entry in ENTRIES if entry.name == name)
    model = entry.model(entry.model.Config(image_shape=(1, 4, 4), length=3))
    return model, entry.guide(model)


@pytest.mark.parametrize("name", ["sta", "vae"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_images_are_refused(name, kind):
    images, said = BAD[kind]
    with pytest.raises(DataError, match=said):
        fit(*pair(name), {"images": images}, max_steps=1, progress=False)
    with pytest.raises(DataError, match=said):
        posterior(*pair(name), {"images": images}, draws=1)


@pytest.mark.parametrize("batch", [{"pictures": GOOD}, {"images": GOOD, "labels": torch.zeros(2)}])
def test_unknown_names_are_refused(batch):
    with pytest.raises(DataError, match="known to this model"):
        fit(*pair("vae"), batch, max_steps=1, progress=False)


def test_one_frame_is_no_motion():
    with pytest.raises(DataError, match="at least 2"):
        fit(*pair("sta"), {"images": GOOD[:, :1]}, max_steps=1, progress=False)
