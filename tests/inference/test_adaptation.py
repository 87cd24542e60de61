"""New tasks are learned from few labels in one pass, and predictions say how sure they are."""

import copy

import pytest
import torch

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.guides.registry import mixed_tasks
from mutoscope.inference import Run, adapt
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def run():
    torch.manual_seed(0)
    model = SparseSharedFeatures(SparseSharedFeatures.Config(**mixed_tasks().model))
    return Run(model.eval(), SparseSharedFeaturesGuide(model).eval(), [], {})


def parts(kinds=(0, 2, 3), support=12):
    batch = mixed_tasks().batch
    rows = [int((batch["classes"] == kind).nonzero()[0]) for kind in kinds]
    inputs, labels = batch["inputs"][rows], batch["labels"][rows]
    return inputs[:, :support], labels[:, :support], inputs[:, support:16], torch.tensor(kinds)


def test_every_kind_is_predicted_with_its_uncertainty(run):
    support, labels, query, classes = parts()
    found = adapt(run, support, labels, query, classes=classes, draws=50)
    assert found.mean.shape == found.lower.shape == found.label.shape == (3, 4)
    assert (found.lower <= found.mean).all()
    assert (found.mean <= found.upper).all()
    assert found.probability.shape == (3, 4, 3)
    assert found.probability[0].isnan().all()
    torch.testing.assert_close(found.probability[1:].sum(-1), torch.ones(2, 4))
    torch.testing.assert_close(found.probability[1, :, 1], found.mean[1])
    assert found.latents["weight"].shape == (50, 3, 3, 4)
    assert torch.equal(found.label[2], found.probability[2].argmax(-1).float())


def test_arrays_in_any_precision_are_taken_as_tensors_are(run):
    support, labels, query, classes = parts()
    found = adapt(run, support, labels, query, classes=classes, draws=5)
    arrays = (each.double().numpy() for each in (support, labels, query))
    again = adapt(run, *arrays, classes=classes, draws=5)
    torch.testing.assert_close(again.mean, found.mean)


def test_a_task_alone_is_the_same_as_one_among_others(run):
    support, labels, query, _ = parts(kinds=(2,))
    among = adapt(run, support, labels, query, classes=2, draws=20)
    alone = adapt(run, support[0], labels[0], query[0], classes=2, draws=20)
    torch.testing.assert_close(alone.mean, among.mean)


def test_it_is_the_seed_that_settles_it_and_labels_that_are_not_observed_do_not_count(run):
    support, labels, query, classes = parts()
    known = torch.arange(12) < 9
    known = known.expand(3, 12)
    options = {"classes": classes, "observed": known, "draws": 10}
    first = adapt(run, support, labels, query, **options)
    again = adapt(run, support, torch.where(known, labels, 1.0), query, **options)
    assert torch.equal(first.mean, again.mean)
    assert not torch.equal(first.mean, adapt(run, support, labels, query, **options, seed=1).mean)


def test_more_labels_leave_less_open(run):
    support, labels, query, classes = parts(kinds=(0,))
    few = adapt(run, support, labels, query, classes=classes, observed=torch.arange(12)[None] < 3)
    many = adapt(run, support, labels, query, classes=classes)
    narrow, wide = (each.latents["weight"][:, 0, 0].std(0).mean() for each in (many, few))
    assert narrow < wide


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, y, q: (s, y.where(y != y[0, 0], torch.nan), q), "NaN"),
        (lambda s, y, q: (s, 0 * y, q), "labels are all the same"),
        (lambda s, y, q: (s, y + 0.5, q), "another kind"),
        (lambda s, y, q: (s[:, :5], y, q), "Leave the axis of tasks out of all, or of none"),
        (lambda s, y, q: (s, y, q[0]), "Leave the axis of tasks"),
        (lambda s, y, q: (s, y, q[..., :4]), "Found inputs of shape"),
        (lambda s, y, q: (s, y, q * torch.inf), "NaN"),
    ],
)
def test_bad_support_gets_one_clear_error(run, change, message):
    support, labels, query, _ = parts(kinds=(2,))
    with pytest.raises(DataError, match=message):
        adapt(run, *change(support, labels, query), classes=2)


def test_options_and_models_that_do_not_fit_are_refused(run):
    support, labels, query, _ = parts(kinds=(2,))
    with pytest.raises(ConfigError, match="draws=0"):
        adapt(run, support, labels, query, classes=2, draws=0)
    with pytest.raises(ConfigError, match="level=1"):
        adapt(run, support, labels, query, classes=2, level=1)


def test_global_state_and_modes_stay_as_they_were(run):
    support, labels, query, _ = parts(kinds=(2,))
    other = copy.deepcopy(run)
    other.model.train()
    before = torch.get_rng_state()
    adapt(other, support, labels, query, classes=2, draws=3)
    assert torch.equal(before, torch.get_rng_state())
    assert other.model.training
