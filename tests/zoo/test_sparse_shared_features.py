"""Sparse shared features: what training pays for, and what is left in the end."""

import math

import pytest
import torch
from torch.distributions import Laplace

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.guides.registry import mixed_tasks
from mutoscope.guides.task_heads import LabelledPoints
from mutoscope.inference.elbo import Elbo
from mutoscope.testing.case import sites_of
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.head_prices import entropy_of, vanishing_price


def pair(**options):
    torch.manual_seed(0)
    sizes = dict(mixed_tasks().model) | {"heads": "laplace"}
    model = SparseSharedFeatures(SparseSharedFeatures.Config(**sizes | options))
    return model, SparseSharedFeaturesGuide(model)


def charged(model, sparsity=0.2, sharing=0.1, release=1.0):
    for name, value in (("sparsity", sparsity), ("sharing", sharing), ("release", release)):
        model.get_buffer(name).fill_(value)
    return model


def terms(model, guide, seed=0):
    torch.manual_seed(seed)
    return Elbo(model, guide)(mixed_tasks().batch, size=5)


def test_entropy_is_that_of_the_pooled_use_and_its_slope_is_its_derivative():
    size = torch.rand(7, 4, dtype=torch.float64, requires_grad=True)
    entropy, slope = entropy_of(size)
    share = size.sum(0) / size.sum()
    torch.testing.assert_close(entropy, -(share * share.log()).sum()[None])
    (found,) = torch.autograd.grad(entropy.sum(), size)
    torch.testing.assert_close(found, slope.expand(7, 4))
    one = torch.zeros(7, 4)
    one[:, 2] = 1.0
    assert float(entropy_of(one)[0]) == pytest.approx(0.0, abs=1e-6)
    assert float(entropy_of(torch.ones(7, 4))[0]) == pytest.approx(math.log(4))
    assert torch.equal(entropy_of(torch.ones(7, 4))[1].abs() < 1e-6, torch.ones(1, 4).bool())


def test_prices_do_not_depend_on_units():
    batch = mixed_tasks().batch
    features = torch.randn(5, 20, 4)
    known = batch["classes"], batch["observed"]
    found = vanishing_price(features, batch["labels"], *known, torch.tensor(0.5), 3)
    wider = vanishing_price(2 * features, batch["labels"], *known, torch.tensor(0.5), 3)
    torch.testing.assert_close(wider, 2 * found)
    numbers = batch["classes"] == 0
    scaled = torch.where(numbers[:, None], 3 * batch["labels"], batch["labels"])
    other = vanishing_price(features, scaled, *known, torch.tensor(1.5), 3)
    torch.testing.assert_close(other[numbers], found[numbers] / 3)
    torch.testing.assert_close(other[~numbers], found[~numbers])


def test_penalties_are_paid_in_training_and_the_elbo_stays_true():
    model, guide = pair()
    free = terms(model, guide)
    assert not any(term.detach() for term in free.penalty.values())
    charged(model)
    paid = terms(model, guide)
    assert paid.penalty.keys() == {"emphasis", "sparsity", "sharing"}
    assert paid.penalty["sparsity"].detach() > 0
    assert paid.penalty["sharing"].detach() > 0
    total = -paid.elbo + sum(paid.penalty.values())
    torch.testing.assert_close(paid.objective, total)
    model.eval(), guide.eval()
    assert terms(model, guide).penalty == {}


def test_charged_heads_are_smaller_and_in_evaluation_mode_none_is_charged():
    model, guide = pair(emphasis=1.0)
    batch = mixed_tasks().batch
    free, priced = (
        guide.heads(**batch, prices=(price, 0.0)).mean[..., :-1].abs().sum() for price in (0.0, 0.5)
    )
    assert priced < 0.95 * free
    charged(model, sparsity=0.5, sharing=0.0)
    torch.testing.assert_close(guide.heads(**batch).mean[..., :-1].abs().sum(), priced)
    guide.eval()
    free = guide.heads(**batch, prices=(0.0, 0.0)).mean
    torch.testing.assert_close(guide.heads(**batch).mean, free)


def test_features_that_fewer_tasks_use_cost_more():
    _, guide = pair()
    batch = mixed_tasks().batch
    location, scale = guide.read(batch["inputs"], batch["observed"])
    points = LabelledPoints(location, scale, batch["labels"], batch["observed"], batch["classes"])
    size = torch.ones(5, 3, 4)
    size[1:, :, 1], size[:, :, 2] = 0.1, 0.01
    alone, shared = (
        guide.tasks.price(points, (0.2, sharing), shared=True)(size).detach().expand(5, 1, 4)
        for sharing in (0.0, 0.1)
    )
    assert (alone == alone[..., :1]).all()
    assert (shared[..., 2] > shared[..., 1]).all()
    assert (shared[..., 1] > shared[..., 0]).all()
    assert (shared[..., 0] < alone[..., 0]).all()
    torch.testing.assert_close(shared[..., 0], shared[..., 3])


def test_labels_of_a_task_tell_its_head_and_no_other():
    _, guide = (module.eval() for module in pair())
    batch = mixed_tasks().batch
    before = guide.heads(**batch).mean
    labels = batch["labels"].clone()
    labels[0] = -labels[0]
    after = guide.heads(**batch | {"labels": labels}).mean
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:])
    inputs = batch["inputs"].clone()
    inputs[~batch["observed"]] = 9.0
    torch.testing.assert_close(guide.heads(**batch | {"inputs": inputs}).mean, before)


def test_in_two_levels_heads_see_every_other_label_and_the_loss_the_rest():
    model, guide = pair(variant="bilevel")
    charged(model)
    batch = mixed_tasks().batch
    outer = model.counted(batch["observed"])
    assert torch.equal(outer.sum(1), batch["observed"].sum(1) // 2)
    before = guide.heads(**batch).mean
    flipped = torch.where(
        outer & (batch["classes"] == 0)[:, None], -batch["labels"], batch["labels"]
    )
    torch.testing.assert_close(guide.heads(**batch | {"labels": flipped}).mean, before)
    flipped = torch.where(
        ~outer & (batch["classes"] == 0)[:, None], -batch["labels"], batch["labels"]
    )
    assert not torch.allclose(guide.heads(**batch | {"labels": flipped}).mean, before)
    found = terms(model, guide)
    assert found.penalty.keys() == {"emphasis"}
    assert not any(term.detach() for name, term in found.kl.items() if name != "bias")
    model.eval()
    assert torch.equal(model.counted(batch["observed"]), batch["observed"])


def test_points_of_two_levels_learn_through_the_heads():
    """The loss knows heads only by the steps that leave a graph."""
    _, guide = pair(variant="bilevel")
    batch = mixed_tasks().batch
    location, scale = guide.read(batch["inputs"], batch["observed"])
    rest = batch["labels"], batch["observed"], batch["classes"]
    weight = guide.tasks.posterior(LabelledPoints(location, scale, *rest)).mean
    (found,) = torch.autograd.grad(weight.square().sum(), location)
    assert found.abs().sum() > 0


def test_weights_have_the_prior_that_the_story_says():
    model, _ = pair(weight_scale=0.7)
    sites = sites_of(model, mixed_tasks().batch).latent
    weight = sites["weight"]
    used = torch.tensor([1, 1, 3, 1, 1])
    for task, outputs in enumerate(used):
        expected = Laplace(0.0, 0.7).log_prob(weight["value"][task, :outputs]).sum()
        torch.testing.assert_close(weight["unscaled_log_prob"][task], expected)


def test_a_spike_costs_what_a_weight_of_the_size_of_its_slab_would():
    model, guide = pair(heads="spike_and_slab", weight_scale=0.5)
    charged(model)
    found = terms(model, guide)
    assert "sharing" not in found.penalty
    guide.train()
    sites = sites_of(guide, mixed_tasks().batch).latent
    few = (sites["weight"]["value"] != 0).sum()
    charged(model, sparsity=0.0)
    many = (sites_of(guide, mixed_tasks().batch).latent["weight"]["value"] != 0).sum()
    assert few < many


def test_inputs_together_weigh_no_more_than_ten_thousand_unless_told():
    for shape, scale in (((32,), 0.1), ((400,), 0.2), ((3, 32, 32), 3072**0.5 / 100)):
        config = SparseSharedFeatures.Config(input_shape=shape)
        assert SparseSharedFeatures(config).input_scale == pytest.approx(scale)
    told = SparseSharedFeatures.Config(input_shape=(400,), input_scale=0.05)
    assert SparseSharedFeatures(told).input_scale == 0.05


def test_images_go_through_convolutions():
    shape = (3, 8, 8)
    model, guide = pair(input_shape=shape, network="convolutional")
    batch = dict(mixed_tasks().batch) | {"inputs": torch.rand(5, 20, *shape)}
    torch.manual_seed(0)
    found = Elbo(model, guide)(batch, size=5)
    found.objective.backward()
    assert all(p.grad is not None for p in (*model.parameters(), *guide.parameters()))
    assert model.dims["inputs"] == ("task", "point", "channel", "row", "column")
