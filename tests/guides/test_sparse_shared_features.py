"""The guide of sparse shared features says when features have collapsed, and only then."""

import pytest
import torch

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.guides.registry import mixed_tasks
from mutoscope.inference.collapse import collapsed_latents, declared_alarms
from mutoscope.zoo import SparseSharedFeatures


def pair(**options):
    torch.manual_seed(0)
    model = SparseSharedFeatures(SparseSharedFeatures.Config(**mixed_tasks().model | options))
    return model.eval(), SparseSharedFeaturesGuide(model).eval()


def alone(guide):
    """Leave the guide one feature only that says anything."""
    last = guide.encoder.net[-1][-1]
    with torch.no_grad():
        last.weight[1:4], last.bias[1:4] = 0.0, 0.0
        last.weight[4:], last.bias[4:] = 0.0, -3.0
    return guide


def now(guide, skill, used=1):
    """Let a guide find this skill, and so many of four features in use."""
    uses = {f"use of feature {m}": 1.0 / used if m < used else 0.0 for m in range(4)}
    guide.watched = lambda batch: uses | {"skill of heads": skill}
    return guide


def history(*skills):
    return [{"step": step, "skill of heads": each} for step, each in enumerate(skills)]


def test_few_features_and_a_worse_skill_raise_the_alarm():
    _, guide = pair()
    (alarm,) = declared_alarms(now(guide, 0.3), mixed_tasks().batch, history(0.1, 0.8, 0.3))
    assert alarm.startswith("Features have collapsed: heads read 1 of 4, and what they explain of")
    assert "fell from 80% to 30%" in alarm
    assert "lower `sharing` (now 0.1) or `sparsity` (now 0.2)" in alarm


def test_few_features_that_do_or_all_features_raise_none():
    _, guide = pair()
    batch = mixed_tasks().batch
    assert declared_alarms(now(guide, 0.3, used=4), batch, history(0.8, 0.3)) == ()
    assert declared_alarms(now(guide, 0.75), batch, history(0.1, 0.8, 0.75)) == ()
    assert declared_alarms(now(guide, 0.3), batch, []) == ()


def test_what_is_not_charged_for_raises_no_alarm():
    worse, batch = history(0.8, 0.3), mixed_tasks().batch
    _, free = pair(heads="laplace", sparsity=0.0, sharing=0.0)
    assert declared_alarms(now(free, 0.3), batch, worse) == ()
    _, unshared = pair(heads="laplace", sharing=0.0)
    (alarm,) = declared_alarms(now(unshared, 0.3), batch, worse)
    assert alarm.endswith("lower `sparsity` (now 0.2).")


def test_labels_that_do_not_vary_say_nothing_of_skill():
    _, guide = pair(label_scale=0.1)
    known = {"inputs": torch.randn(3, 14, 6), "observed": torch.ones(3, 14).bool()}
    known["classes"] = torch.zeros(3, dtype=torch.int64)
    labels = torch.full((3, 14), 1 / 3)
    assert guide.watched(known | {"labels": labels})["skill of heads"] == 0.0


def read_exactly(guide, features):
    """Let the guide read these features of all points, without any doubt."""
    guide.read = lambda inputs, observed: (features[: len(inputs)], torch.full_like(features, 1e-3))
    return guide


@pytest.mark.parametrize("heads", ["spike_and_slab", "horseshoe", "laplace", "normal"])
@pytest.mark.parametrize("kind", [0, 2, 3])
def test_skill_is_high_if_labels_follow_from_a_feature_and_0_or_less_if_they_do_not(heads, kind):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 60, 4, generator=generator)
    score = features[..., 0]
    labels = {0: score, 2: (score > 0).float(), 3: (score > 1).float() + (score > -1)}[kind]
    known = {"inputs": torch.zeros(40, 60, 6), "observed": torch.ones(40, 60).bool()}
    known["classes"] = torch.full((40,), kind)
    _, guide = pair(heads=heads, weight_scale=5.0, label_scale=0.1)
    found = read_exactly(guide, features).watched(known | {"labels": labels})
    assert found["use of feature 0"] > 0.6
    assert sum(v for name, v in found.items() if name.startswith("use")) == pytest.approx(
        1, abs=0.01
    )
    assert found["skill of heads"] > (0.99 if kind == 0 else 0.5)
    shuffled = labels[:, torch.randperm(60, generator=generator)]
    assert guide.watched(known | {"labels": shuffled})["skill of heads"] <= 0


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
