"""One active field for a sequence, and image likelihoods in one go."""

import pytest
import torch
from pyro.distributions import Bernoulli, Normal
from torch.distributions import Categorical, kl_divergence

from mutoscope.zoo.distributions import OneActiveField, PixelBernoulli, PixelNormal

T, K = 4, 3


def test_one_field_is_active_in_every_frame() -> None:
    value = OneActiveField(torch.randn(50, K), length=T).sample()
    assert value.shape == (50, T, K)
    assert torch.equal(value.sum(-1), torch.ones(50, T))
    assert torch.equal(value, value[:, :1].expand_as(value))


def test_one_active_field_is_a_categorical() -> None:
    logits, other = torch.randn(5, K), torch.randn(5, K)
    law, field = OneActiveField(logits, length=T), torch.tensor([0, 1, 2, 1, 0])
    speed = OneActiveField.speed_of(field, T, K)
    assert torch.equal(law.log_prob(speed), Categorical(logits=logits).log_prob(field))
    divergence = kl_divergence(law, OneActiveField(other, length=T))
    expected = kl_divergence(Categorical(logits=logits), Categorical(logits=other))
    assert torch.equal(divergence, expected)
    assert law.expand(torch.Size([2, 5])).sample().shape == (2, 5, T, K)


def test_other_speeds_than_one_active_field_are_impossible() -> None:
    possible = OneActiveField.speed_of(torch.tensor(1), T, K)
    value = possible.expand(7, T, K).clone()
    value[1] = 0.0
    value[2, :, 0] = 1.0
    value[3, 2] = torch.tensor([1.0, 0.0, 0.0])
    value[4, T - 1] = 0.0
    value[5] = value[5] / 2
    value[6, 0] = float("nan")
    log_prob = OneActiveField(torch.randn(K), length=T).log_prob(value)
    assert log_prob[0].isfinite()
    assert (log_prob[1:] == -torch.inf).all()


def test_proposals_sum_the_field_out() -> None:
    logits = torch.randn(5, K, dtype=torch.float64, requires_grad=True)
    law = OneActiveField(logits, length=T)
    proposals = law.proposals(law.rsample())
    weights = torch.randn(T, K).double()
    total = proposals.combine((proposals.values * weights).sum((-1, -2)).exp())
    expected = (logits.softmax(-1) * weights.sum(0).exp()).sum(-1)
    assert torch.allclose(total, expected)
    found, wanted = (torch.autograd.grad(x.sum(), logits)[0] for x in (total, expected))
    assert torch.allclose(found, wanted)
    assert wanted.abs().min() > 0


def test_pixel_bernoulli_equals_the_sum_over_pixels() -> None:
    logits, value = torch.randn(6, 2, 3, 4, 5), torch.rand(6, 2, 3, 4, 5).round()
    expected = Bernoulli(logits=logits).to_event(3).log_prob(value)
    assert torch.allclose(PixelBernoulli(logits).log_prob(value), expected, atol=1e-4)
    assert torch.allclose(
        PixelBernoulli(logits[:, :1]).to_event(1).log_prob(value[:, :1]), expected[:, 0], atol=1e-4
    )


def test_pixel_bernoulli_broadcasts_over_proposals() -> None:
    logits, value = torch.randn(7, 6, 1, 4, 5), torch.rand(6, 1, 4, 5)
    law = PixelBernoulli(logits)
    assert law.log_prob(value).shape == (7, 6)
    assert torch.allclose(law.log_prob(value)[2], PixelBernoulli(logits[2]).log_prob(value))


def test_pixel_normal_equals_the_sum_over_pixels() -> None:
    loc, value, scale = torch.randn(6, 3, 4, 5), torch.randn(6, 3, 4, 5), torch.tensor(0.3)
    expected = Normal(loc, scale).to_event(3).log_prob(value)
    assert torch.allclose(PixelNormal(loc, scale).log_prob(value), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["bernoulli", "normal"])
def test_pixels_sample_expand_and_have_a_mean(kind: str) -> None:
    image = torch.randn(2, 1, 4, 5)
    normal = PixelNormal(image, torch.tensor(0.2))
    law = normal if kind == "normal" else PixelBernoulli(image)
    value = law.sample(torch.Size([4000]))
    assert value.shape == (4000, 2, 1, 4, 5)
    assert torch.allclose(value.mean(0), law.mean, atol=0.05)
    assert law.expand(torch.Size([3, 2])).sample().shape == (3, 2, 1, 4, 5)
    assert law.expand(torch.Size([3, 2])).log_prob(value[0]).shape == (3, 2)
