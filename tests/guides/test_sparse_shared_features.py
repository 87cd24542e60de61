"""The guide of sparse shared features says when features have collapsed, and only then."""

import torch

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.guides.registry import mixed_tasks
from mutoscope.inference.collapse import collapsed_latents, declared_alarms
from mutoscope.zoo import SparseSharedFeatures


def pair(**options):
    torch.manual_seed(0)
    model = SparseSharedFeatures(SparseSharedFeatures.Config(**mixed_tasks().model | options))
    return model.eval(), SparseSharedFeaturesGuide(model).eval()


def history(*labels):
    """Return rows in which the labels of a task have these log-densities."""
    return [{"step": step, "log p(labels)": each} for step, each in enumerate(labels)]


def alone(guide):
    """Leave the guide one feature only that says anything."""
    last = guide.encoder.net[-1][-1]
    with torch.no_grad():
        last.weight[1:4], last.bias[1:4] = 0.0, 0.0
        last.weight[4:], last.bias[4:] = 0.0, -3.0
    return guide


def test_few_features_and_a_worse_fit_raise_the_alarm():
    _, guide = pair(heads="laplace")
    batch, worse = mixed_tasks().batch, history(-40.0, -8.0, -20.0)
    (alarm,) = declared_alarms(alone(guide), batch, worse)
    assert alarm.startswith("Features have collapsed: heads read 1 of 4, and log p(labels) fell")
    assert "lower `sharing` (now 0.1) or `sparsity` (now 0.2)" in alarm


def test_few_features_that_do_or_all_features_raise_none():
    _, guide = pair(heads="laplace")
    batch = mixed_tasks().batch
    assert guide.features_used(batch) == 4
    assert declared_alarms(guide, batch, history(-8.0, -20.0)) == ()
    assert declared_alarms(alone(guide), batch, history(-20.0, -8.0, -8.5)) == ()
    assert declared_alarms(guide, batch, []) == ()


def test_what_is_not_charged_for_raises_no_alarm():
    _, free = pair(heads="laplace", sparsity=0.0, sharing=0.0)
    batch, worse = mixed_tasks().batch, history(-40.0, -8.0, -20.0)
    assert declared_alarms(alone(free), batch, worse) == ()
    _, unshared = pair(heads="laplace", sharing=0.0)
    (alarm,) = declared_alarms(alone(unshared), batch, worse)
    assert alarm.endswith("lower `sparsity` (now 0.2).")


def test_features_that_no_task_needs_have_not_collapsed_unless_all_have():
    model, guide = pair(heads="laplace")
    batch = mixed_tasks().batch
    found = [each.site for each in collapsed_latents(model, alone(guide), batch)]
    assert "features" not in found
    with torch.no_grad():
        guide.encoder.net[-1][-1].weight.zero_()
    found = [each.site for each in collapsed_latents(model, guide, batch)]
    assert "features" in found


def test_statistics_of_features_leave_padding_out():
    _, guide = pair(variant="map", heads="laplace")
    batch = mixed_tasks().batch
    guide.train()
    location, _ = guide.read(batch["inputs"], batch["observed"])
    seen = location[batch["observed"]]
    torch.testing.assert_close(seen.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.var(0, unbiased=False), torch.ones(4), atol=1e-2, rtol=0)
    assert not location[~batch["observed"]].any()
