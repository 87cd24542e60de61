"""Labels of several kinds: each task has the density of its kind."""

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from mutoscope.zoo.distributions import MixedLabels, outputs_of

CLASSES = torch.tensor([0, 2, 3, 4])
SCALE = torch.tensor(0.7)


def law(points=5, observed=None, outputs=4):
    torch.manual_seed(0)
    values = torch.randn(4, points, outputs)
    known = torch.ones(4, points, dtype=torch.bool) if observed is None else observed
    return MixedLabels(values, CLASSES, SCALE, known)


def test_each_kind_has_its_own_density():
    labels = law()
    value = labels.sample()
    out = labels.outputs
    expected = torch.stack(
        [
            Normal(out[0, :, 0], SCALE).log_prob(value[0]).sum(),
            Bernoulli(logits=out[1, :, 0]).log_prob(value[1]).sum(),
            Categorical(logits=out[2, :, :3]).log_prob(value[2]).sum(),
            Categorical(logits=out[3]).log_prob(value[3]).sum(),
        ]
    )
    torch.testing.assert_close(labels.log_prob(value), expected)


def test_what_is_not_observed_counts_for_nothing_and_has_no_gradient():
    observed = torch.rand(4, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    labels = law(observed=observed)
    labels.outputs.requires_grad_()
    value = labels.sample()
    other = torch.where(observed, value, 1.0)
    torch.testing.assert_close(labels.log_prob(value), labels.log_prob(other))
    labels.log_prob(value).sum().backward()
    assert labels.outputs.grad.isfinite().all()
    assert not labels.outputs.grad[~observed].any()


def test_draws_have_the_mean_and_the_probabilities_that_they_say():
    labels = law(points=2)
    drawn = labels.sample((20_000,))
    assert drawn.shape == (20_000, 4, 2)
    torch.testing.assert_close(drawn.mean(0), labels.mean, atol=0.03, rtol=0)
    assert labels.probs[0].isnan().all()
    for task, kind in ((1, 2), (2, 3), (3, 4)):
        for name in range(4):
            share = (drawn[:, task] == name).float().mean(0)
            torch.testing.assert_close(labels.probs[task, :, name], share, atol=0.02, rtol=0)
        assert drawn[:, task].max() == kind - 1


def test_two_classes_need_one_output_only():
    labels = MixedLabels(torch.randn(4, 5, 1), CLASSES.clamp(max=2), SCALE, law().observed)
    assert labels.probs.shape == (4, 5, 2)
    torch.testing.assert_close(labels.probs[1].sum(-1), torch.ones(5))
    assert labels.probs[0].isnan().all()


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_it_expands_over_draws(shape):
    labels = law()
    value = labels.sample()
    expected = labels.log_prob(value).expand(shape)
    torch.testing.assert_close(labels.expand(torch.Size(shape)).log_prob(value), expected)
    assert labels.expand(torch.Size(shape)).sample().shape == (*shape, 5)


def test_a_task_uses_the_outputs_of_its_kind():
    expected = [[True, False, False, False]] * 2 + [[True] * 3 + [False], [True] * 4]
    assert outputs_of(CLASSES, 4).tolist() == expected
