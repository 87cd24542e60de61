"""Heads are the optima that they are said to be."""

import pytest
import torch
from torch.distributions import Normal

from mutoscope.guides.head_solvers import normal_heads, spiky_heads
from mutoscope.guides.label_evidence import Heads, LabelEvidence
from mutoscope.guides.proximal_heads import ProximalHeads
from mutoscope.zoo.distributions import MixedLabels
from mutoscope.zoo.head_prices import vanishing_price

SCALE = torch.tensor(0.5, dtype=torch.float64)
ONE = torch.ones((), dtype=torch.float64)


def tasks(kinds, points=40, features=3, outputs=1, seed=0):
    """Return features, labels drawn from known heads, which of them there are, and kinds."""
    torch.manual_seed(seed)
    x = torch.randn(len(kinds), points, features, dtype=torch.float64)
    classes = torch.tensor(kinds)
    observed = torch.rand(len(kinds), points) < 0.9
    weight = torch.randn(len(kinds), outputs, features, dtype=torch.float64)
    law = MixedLabels(x @ weight.mT, classes, SCALE, observed)
    return x, law.sample(), observed, classes


def evidence(x, labels, observed, classes, outputs=1, scale=0.0):
    return LabelEvidence(
        x,
        torch.full_like(x, scale),
        labels,
        observed,
        classes,
        num_outputs=outputs,
        label_scale=SCALE,
        count=ONE,
    )


def start(x, outputs=1):
    return torch.ones(len(x), outputs, x.shape[-1], dtype=torch.float64)


def test_heads_of_numbers_under_a_normal_prior_are_the_exact_posterior():
    x, labels, observed, classes = tasks([0])
    heads = normal_heads(
        evidence(x, labels, observed, classes), torch.ones_like, 0.1, start(x), rounds=2
    )
    design = torch.cat([x, torch.ones_like(x[..., :1])], -1)[observed]
    prior = torch.diag(torch.tensor([1, 1, 1, 0.1], dtype=torch.float64))
    covariance = torch.linalg.inv(design.mT @ design / SCALE**2 + prior)
    mean = covariance @ design.mT @ labels[observed] / SCALE**2
    torch.testing.assert_close(heads.covariance[0, 0], covariance)
    torch.testing.assert_close(heads.mean[0, 0], mean)


def test_where_the_bound_of_classes_touches_does_not_depend_on_how_often_labels_count():
    x, labels, observed, classes = tasks([4], outputs=4)
    heads = Heads(
        torch.randn(1, 4, 4, dtype=torch.float64),
        torch.eye(4, dtype=torch.float64).expand(1, 4, 4, 4),
    )
    once, often = (
        LabelEvidence(
            x,
            torch.zeros_like(x),
            labels,
            observed,
            classes,
            num_outputs=4,
            label_scale=SCALE,
            count=count * ONE,
        )
        for count in (1, 100)
    )
    for each in (once, often):
        each.tighten(heads)
    matrix, vector = once.quadratic
    more, larger = often.quadratic
    torch.testing.assert_close(more, 100 * matrix)
    torch.testing.assert_close(larger, 100 * vector)


def test_uncertain_features_weigh_less():
    x, labels, observed, classes = tasks([0])
    sure, unsure = (
        normal_heads(
            evidence(x, labels, observed, classes, scale=scale),
            torch.ones_like,
            0.1,
            start(x),
            rounds=2,
        )
        for scale in (0.0, 1.0)
    )
    assert unsure.mean[..., :-1].norm() < 0.7 * sure.mean[..., :-1].norm()


@pytest.mark.parametrize(("kind", "outputs"), [(2, 1), (3, 3), (7, 7)])
def test_heads_of_classes_are_nearly_the_most_probable_ones(kind, outputs):
    x, labels, observed, classes = tasks([kind] * 5, points=60, outputs=outputs)
    x = 3 * x
    given = evidence(x, labels, observed, classes, outputs)
    heads = normal_heads(given, torch.ones_like, 0.1, start(x, outputs), 60, 3)

    def log_posterior(each):
        outputs = x @ each[..., :-1].mT + each[..., -1].unsqueeze(-2)
        likelihood = MixedLabels(outputs, classes, SCALE, observed).log_prob(labels)
        prior = each[..., :-1].square().sum((-1, -2)) + 0.1 * each[..., -1].square().sum(-1)
        return likelihood - prior / 2

    best = torch.zeros_like(heads.mean).requires_grad_()
    optimizer = torch.optim.LBFGS([best], max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        lost = -log_posterior(best).sum()
        lost.backward()
        return lost

    optimizer.step(loss)
    lost = log_posterior(best) - log_posterior(heads.mean)
    assert (lost > -1e-6).all()
    assert (lost < 0.5 * outputs).all()


def test_heads_of_classes_are_finite_in_half_precision():
    """Labels that features tell for certain: one class has all the probability, to rounding."""
    torch.manual_seed(0)
    x = 3 * torch.randn(2, 60, 3)
    labels = (x[..., 0] > -1).float() + (x[..., 0] > 1)
    known = {"num_outputs": 3, "label_scale": SCALE.float(), "count": ONE.float()}
    observed, classes = torch.ones(2, 60).bool(), torch.tensor([3, 3])
    given = LabelEvidence(x, torch.zeros_like(x), labels, observed, classes, **known)
    start = torch.ones(2, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        heads = normal_heads(given, lambda s: 0.01 + 0 * s, 0.1, start, 20, 3)
    assert heads.mean.isfinite().all()
    assert heads.covariance.isfinite().all()


@pytest.mark.parametrize(("kind", "outputs", "slack"), [(0, 1, 0.02), (2, 1, 0.5), (3, 3, 0.5)])
def test_no_other_normal_is_much_better(kind, outputs, slack):
    x, labels, observed, classes = tasks([kind], outputs=outputs)
    given = evidence(x, labels, observed, classes, outputs)
    heads = normal_heads(given, torch.ones_like, 0.1, start(x, outputs), 20)
    found = elbo(heads, x, labels, observed, classes)
    assert elbo(heads, x, labels, observed, classes, noise=0.0) > found
    for factor in (0.5, 0.8, 1.25, 2.0):
        for other in (
            Heads(factor * heads.mean, heads.covariance),
            Heads(heads.mean, factor * heads.covariance),
        ):
            assert elbo(other, x, labels, observed, classes) < found + slack


def elbo(heads, x, labels, observed, classes, noise=1.0):
    """Return the expected log-likelihood, by many draws, minus the divergence from the prior."""
    generator = torch.Generator().manual_seed(0)
    factor = torch.linalg.cholesky(heads.covariance)
    normal = torch.randn(2000, *heads.mean.shape, dtype=torch.float64, generator=generator)
    drawn = heads.mean + noise * (factor @ normal.unsqueeze(-1)).squeeze(-1)
    outputs = x @ drawn[..., :-1].mT + drawn[..., -1].unsqueeze(-2)
    likelihood = MixedLabels(outputs, classes, SCALE, observed).log_prob(labels).mean()
    precision = torch.ones_like(heads.mean)
    precision[..., -1] = 0.1
    quadratic = (precision * heads.second).sum() / 2
    return float(likelihood - quadratic + torch.logdet(heads.covariance).sum() / 2)


def test_a_laplace_prior_shrinks_small_weights_most():
    x, labels, observed, classes = tasks([0], features=4)
    given = evidence(x, labels, observed, classes)
    dense = normal_heads(given, lambda s: 1e-3 + 0 * s, 0.1, start(x), 20)
    sparse = normal_heads(given, lambda s: 20 / s.sqrt(), 0.1, start(x), 20)
    least = dense.mean[0, 0, :-1].abs().argmin()
    ratio = (sparse.mean / dense.mean).abs()[0, 0, :-1]
    assert ratio.argmin() == least
    assert (ratio < 1).all()


def test_points_are_the_minimum_and_exactly_zero_where_a_price_keeps_them():
    from sklearn.linear_model import Lasso

    x, labels, _, classes = tasks([0], features=5)
    observed = torch.ones_like(labels, dtype=torch.bool)
    known = {"num_outputs": 1, "label_scale": SCALE, "count": ONE}
    everything = vanishing_price(x, labels, classes, observed, SCALE, 1)
    price = 0.8 * everything[:, None, None]
    solver = ProximalHeads(x, labels, observed, classes, **known)
    weight, bias = solver.solve([lambda size: price], 0 * price, 2000, 1)
    lasso = Lasso(
        alpha=float(price) * float(SCALE) ** 2 / labels.shape[1], tol=1e-12, max_iter=100_000
    )
    lasso.fit(x[0].numpy(), labels[0].numpy())
    torch.testing.assert_close(weight[0, 0], torch.tensor(lasso.coef_), atol=1e-6, rtol=0)
    torch.testing.assert_close(float(bias[0, 0]), lasso.intercept_, atol=1e-6, rtol=0)
    assert (weight == 0).sum() == (lasso.coef_ == 0).sum() > 0
    weight, _ = solver.solve([lambda size: 1.251 * price], 0 * price, 2000, 1)
    assert not weight.any()


@pytest.mark.parametrize(("kind", "outputs"), [(2, 1), (3, 3)])
def test_points_leave_no_slope(kind, outputs):
    x, labels, observed, classes = tasks([kind], outputs=outputs)
    known = {"num_outputs": outputs, "label_scale": SCALE, "count": ONE}
    zero, ridge = torch.zeros(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1).double()
    solver = ProximalHeads(x, labels, observed, classes, **known)
    weight, bias = solver.solve([lambda size: zero], ridge, 3000, 1)
    weight, bias = weight.detach().requires_grad_(), bias.detach()
    law = MixedLabels(x @ weight.mT + bias.unsqueeze(-2), classes, SCALE, observed)
    loss = weight.square().sum() / 2 - law.log_prob(labels).sum()
    loss.backward()
    assert weight.grad.abs().max() < 1e-4


def test_spikes_agree_with_the_sum_over_all_patterns():
    """With orthogonal features, independent spikes are exact."""
    torch.manual_seed(0)
    design = torch.linalg.qr(torch.randn(30, 4, dtype=torch.float64)).Q[:, 1:].unsqueeze(0) * 5
    design = design - design.mean(1, keepdim=True)
    design = torch.linalg.qr(design[0]).Q.unsqueeze(0) * 5
    labels = (design @ torch.tensor([0.6, 0.15, 0.0], dtype=torch.float64)).squeeze(-1)
    labels = labels + SCALE * torch.randn(1, 30, dtype=torch.float64)
    observed, classes = torch.ones(1, 30, dtype=torch.bool), torch.tensor([0])
    given = evidence(design, labels, observed, classes)
    begin = normal_heads(given, torch.ones_like, 1e6, start(design), 2)
    odds = torch.full((1, 1, 3), -1.0, dtype=torch.float64)
    slab = torch.ones(1, 1, 1, dtype=torch.float64)
    gate, heads = spiky_heads(given, odds, slab, 1e6, begin, 20)
    for k in range(3):
        x = design[0, :, k]
        noise = Normal(torch.zeros(()).double(), SCALE)
        off = noise.log_prob(labels[0]).sum()
        wide = SCALE**2 * torch.eye(30).double() + torch.outer(x, x)
        on = torch.distributions.MultivariateNormal(torch.zeros(30).double(), wide)
        expected = odds[0, 0, k] + on.log_prob(labels[0]) - off
        torch.testing.assert_close(gate[0, 0, k], expected, atol=1e-3, rtol=1e-3)
        precision = 25 / SCALE**2 + 1
        torch.testing.assert_close(heads.covariance[0, 0, k, k], 1 / precision)
