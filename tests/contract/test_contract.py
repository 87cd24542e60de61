"""What every registered model and guide keep, whatever they model."""

import copy
import json

import pyro
import pytest
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample

from mutoscope.guides import ENTRIES
from mutoscope.inference import Run, fit
from mutoscope.inference.elbo import Elbo

SHAPE = (1, 6, 6)


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture
def pair(entry):
    torch.manual_seed(0)
    model = entry.model(entry.model.Config(image_shape=SHAPE, length=4))
    return model, entry.guide(model)


@pytest.fixture
def images():
    return torch.rand(5, 4, *SHAPE, generator=torch.Generator().manual_seed(1))


def latents(trace):
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site["is_observed"] and not site_is_subsample(site)
    }


def test_the_guide_covers_exactly_the_latents_of_the_model(pair, images):
    model, guide = pair
    in_model = latents(poutine.trace(model).get_trace(images=images))
    in_guide = latents(poutine.trace(guide).get_trace(images=images))
    assert in_model.keys() == in_guide.keys()
    for name, site in in_model.items():
        assert site["value"].shape == in_guide[name]["value"].shape


def test_every_site_has_one_name_for_each_axis(pair, images):
    trace = poutine.trace(pair[0]).get_trace(images=images)
    for name, axes in pair[0].dims.items():
        assert trace.nodes[name]["value"].ndim == len(axes)


def test_labels_are_as_many_as_their_axis_is_long(pair, images):
    model = pair[0]
    trace = poutine.trace(model).get_trace(images=images)
    for name, axes in model.dims.items():
        for axis, size in zip(axes, trace.nodes[name]["value"].shape, strict=True):
            assert len(model.coords.get(axis, range(size))) == size


def test_gradients_reach_every_parameter(pair, images):
    elbo = Elbo(*pair)
    elbo({"images": images}, size=5).objective.backward()
    trained = {n: p for n, p in elbo.named_parameters() if p.requires_grad}
    assert trained
    assert not [name for name, parameter in trained.items() if parameter.grad is None]


def test_batches_of_any_size_estimate_the_same_elbo(pair, images):
    elbo = Elbo(*pair)

    def mean(count):
        torch.manual_seed(0)
        batch = {"images": images[:1].expand(count, *images.shape[1:])}
        return torch.stack([elbo(batch, size=1000).elbo * 1000 / 1000 for _ in range(200 // count)])

    one, five = mean(1), mean(5)
    error = (one.var() / len(one) + five.var() / len(five)).sqrt()
    assert abs(one.mean() - five.mean()) < 5 * error


def test_double_precision_throughout(pair, images):
    model, guide = (module.double() for module in pair)
    terms = Elbo(model, guide)({"images": images.double()}, size=5)
    assert terms.objective.dtype == torch.float64
    assert all(term.dtype == torch.float64 for term in terms.kl.values())


def test_configurations_survive_json(pair):
    for module in pair:
        text = json.dumps(module.config.to_dict())
        assert type(module.config).from_dict(json.loads(text)) == module.config


def test_two_instances_share_nothing(entry, images):
    pyro.clear_param_store()
    config = entry.model.Config(image_shape=SHAPE, length=4)
    first, second = entry.model(config), entry.model(config)
    before = {name: value.clone() for name, value in second.state_dict().items()}
    fit(first, entry.guide(first), {"images": images}, max_steps=2, progress=False)
    assert not pyro.get_param_store()
    assert all(torch.equal(value, before[name]) for name, value in second.state_dict().items())


def test_copies_are_equal_and_independent(pair, images):
    elbo = Elbo(*pair)
    other = copy.deepcopy(elbo)
    losses = []
    for each in (elbo, other):
        torch.manual_seed(0)
        losses.append(each({"images": images}, size=5).objective)
    assert torch.equal(*losses)
    with torch.no_grad():
        next(iter(elbo.parameters())).add_(1)
    assert not torch.equal(next(iter(elbo.parameters())), next(iter(other.parameters())))


def test_a_saved_run_loads_equal(pair, images, tmp_path):
    run = fit(*pair, {"images": images}, max_steps=3, log_every=1, progress=False, out=tmp_path)
    loaded = Run.load(tmp_path)
    assert loaded.history == run.history
    for part in ("model", "guide"):
        saved, read = getattr(run, part).state_dict(), getattr(loaded, part).state_dict()
        assert saved.keys() == read.keys()
        assert all(torch.equal(saved[name], read[name]) for name in saved)
    before = run.posterior({"images": images}, draws=3, seed=4)
    after = loaded.posterior({"images": images}, draws=3, seed=4)
    assert before["posterior"].equals(after["posterior"])


def test_simulated_data_have_the_declared_length(pair):
    model = pair[0]
    trace = poutine.trace(model).get_trace(size=3)
    assert trace.nodes["images"]["value"].shape == (3, 4, *SHAPE)
