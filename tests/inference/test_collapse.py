"""The alarm of a fit names latents that say nothing of the data, and no others."""

from typing import ClassVar

import pyro
import pytest
import torch
from pyro.distributions import Normal

from mutoscope.guides import AdditiveDecoderGuide
from mutoscope.inference import Run, fit
from mutoscope.inference.checking import Budget, check
from mutoscope.inference.collapse import collapsed_latents
from mutoscope.zoo import AdditiveDecoder
from mutoscope.zoo.datasets import MovingBalls

from .toy import D, ToyGuide, ToyModel, WithHeldOut, toy_data, toy_pair

POINT = {"prior": "none"}, {"posterior": "point"}
NORMAL = {}, {}


def pair(options=POINT, frames=1, blocks=2, width=16):
    torch.manual_seed(0)
    config = AdditiveDecoder.Config(
        image_shape=(3, 12, 12),
        num_blocks=blocks,
        block_dim=2,
        length=frames,
        decoder_hidden_dim=width,
        decoder_layers=2,
        **options[0],
    )
    model = AdditiveDecoder(config)
    sizes = AdditiveDecoderGuide.Config(hidden_dim=width, num_layers=2, **options[1])
    return model, AdditiveDecoderGuide(model, sizes)


def images(frames=1, count=40):
    return {"images": torch.rand(count, frames, 3, 12, 12)}


def found(model, guide, data):
    return [(each.site, each.places) for each in collapsed_latents(model, guide, data)]


def test_a_latent_whose_posterior_is_the_same_for_all_data_is_named():
    model, guide = toy_pair()
    assert found(model, guide, toy_data()) == []
    with torch.no_grad():
        guide.encoder.weight[1] = 0.0
    assert found(model, guide, toy_data()) == [("z", ("axis 1",))]
    with torch.no_grad():
        guide.encoder.weight[:D] = 0.0
    (collapse,) = collapsed_latents(model, guide, toy_data())
    assert collapse.places == ()
    assert str(collapse).startswith("Latent 'z' has collapsed: its posterior is the same for all")


def test_what_differs_little_has_not_collapsed_until_it_drowns_in_its_own_width():
    model, guide = toy_pair()
    for size, places in ((0.5, []), (1e-3, [("z", ("axis 0",))])):
        with torch.no_grad():
            guide.encoder.weight[0] = size * torch.ones(D)
            guide.encoder.weight[D:] = 0.0
        assert found(model, guide, toy_data()) == places


@pytest.mark.parametrize("frames", [1, 3])
def test_a_block_that_the_decoder_ignores_is_named_though_its_points_differ(frames):
    model, guide = pair(frames=frames, blocks=3)
    with torch.no_grad():
        guide.encoder[-1][-1].weight *= 30
    assert found(model, guide, images(frames)) == []
    with torch.no_grad():
        model.decoder.pixels.weight[1] = 0.0
    assert found(model, guide, images(frames)) == [("z", ("block 1",))]
    with torch.no_grad():
        model.decoder.hidden[0].weight[2, 0] = 0.0
    places = ("block 1, latent 0", "block 1, latent 1", "block 2, latent 0")
    assert found(model, guide, images(frames)) == [("z", places)]


@pytest.mark.parametrize("options", [POINT, NORMAL])
def test_weight_decay_that_collapses_a_latent_is_detected_by_fit(options, tmp_path):
    """So strong a decay wins over what the data ask for: the brief's trap, and its cure."""
    data = MovingBalls("square", train_size=500, test_size=100)
    given = {"max_steps": 180, "batch_size": 64, "learning_rate": 2e-3, "progress": False}
    model, guide = pair(options, width=32)
    run = fit(model, guide, data, weight_decay=80.0, out=tmp_path, **given)
    assert len(run.settings["alarms"]) == 1
    assert "Latent 'z' has collapsed" in run.settings["alarms"][0]
    assert "weight_decay" in run.settings["alarms"][0]
    assert Run.load(tmp_path).settings["alarms"] == run.settings["alarms"]
    kept = fit(*pair(options, width=32), data, **given)
    assert kept.settings["alarms"] == []


def test_alarms_are_printed_beside_the_bar_and_are_reasons_of_a_check(capsys):
    model, guide = toy_pair()
    with torch.no_grad():
        guide.encoder.weight[1] = 0.0
    guide.encoder.requires_grad_(False)
    run = fit(model, guide, WithHeldOut(), max_steps=2)
    assert "Alarm: Latent 'z' has collapsed at axis 1" in capsys.readouterr().out
    budget = Budget(data=5, draws=30, simulations=0, refine=0)
    report = check(run, toy_data(), budget=budget, progress=False)
    assert run.settings["alarms"][0] in report.reasons


def test_nothing_is_changed_by_looking():
    model, guide = pair(NORMAL)
    model.train()
    same = images()
    before = torch.get_rng_state()
    assert found(model, guide, same) == found(model, guide, same)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


class Shared(ToyModel):
    """With a latent that all data share: it cannot differ between them."""

    dims: ClassVar = ToyModel.dims | {"shared": ()}

    def forward(self, data=None, *, size=None):
        pyro.sample("shared", Normal(self.zero, 1.0))
        return super().forward(data, size=size)


class SharedGuide(ToyGuide):
    def forward(self, data, *, size=None):
        pyro.sample("shared", Normal(self.encoder.bias[0], 1.0))
        return super().forward(data, size=size)


def test_latents_that_all_data_share_are_left_out():
    model = Shared()
    assert found(model, SharedGuide(model), toy_data()) == []


def test_sites_with_numbers_to_spare_collapse_only_as_a_whole():
    model, guide = toy_pair()
    with torch.no_grad():
        guide.encoder.weight[1] = 0.0
    assert found(model, guide, toy_data())
    model.spare = frozenset({"z"})
    assert found(model, guide, toy_data()) == []
    with torch.no_grad():
        guide.encoder.weight[:D] = 0.0
    assert found(model, guide, toy_data())
