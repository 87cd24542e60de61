"""The entropy-ordered flow against closed forms, on data that need no images."""

import math

import pytest
import torch

from mutoscope.guides import EntropyOrderedFlowGuide
from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.inference.metrics import bits_per_dimension
from mutoscope.inference.posterior import posterior
from mutoscope.zoo import EntropyOrderedFlow
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.flows.jacobian import columns

from .flows.kinds import stirred


def small(dim=5, dtype=torch.float64, noise=0.2, **options):
    torch.manual_seed(0)
    sizes = {"couplings": 2, "hidden_dim": 8, "location": 0.0, "scale": 1.0, "noise": noise}
    config = EntropyOrderedFlow.Config(image_shape=(dim,), **(sizes | options))
    return stirred(EntropyOrderedFlow(config), 0.2).to(dtype)


def linear(variances, noise=0.2):
    """A flow that is a rotation times scales, with orthogonal columns: PCA of a known normal."""
    dim = len(variances)
    model = small(dim, noise=noise, couplings=1)
    generator = torch.Generator().manual_seed(4)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=generator).double())[0]
    mixing = turn * variances.sqrt()

    class Mixing(torch.nn.Module):
        def forward(self, latent):
            return latent @ mixing.T, mixing.det().abs().log()

        def inverse(self, data):
            return torch.linalg.solve(mixing, data.mT).mT, -mixing.det().abs().log()

    model.flow.layers = torch.nn.ModuleList([Mixing()])
    return model, mixing


VARIANCES = torch.tensor([0.3, 4.0, 0.05, 1.0]).double()


def normal_draws(mixing, count=4000, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, len(mixing), generator=generator).double() @ mixing.T


def test_the_elbo_is_the_density_of_noisy_data_under_the_flow():
    model = small()
    guide = EntropyOrderedFlowGuide(model)
    x = torch.randn(7, 5).double()
    torch.manual_seed(3)
    terms = Elbo(model, guide)({"x": x}, size=7)
    torch.manual_seed(3)
    noisy = x + 0.2 * torch.randn(7, 5, dtype=torch.float64)
    expected = model.log_prob(noisy).mean()
    torch.testing.assert_close(terms.elbo, expected, rtol=0, atol=1e-9)


def test_without_noise_the_elbo_is_the_exact_density():
    model = small(noise=0.0)
    x = torch.randn(7, 5).double()
    terms = Elbo(model, EntropyOrderedFlowGuide(model))({"x": x}, size=7)
    torch.testing.assert_close(terms.elbo, model.log_prob(x).mean(), rtol=0, atol=1e-10)
    assert not terms.kl
    assert "total_correlation" in terms.penalty


def test_probes_average_to_the_total_correlation_and_so_do_their_gradients():
    count = 20_000
    model = small(estimator="probes", noise=0.0)
    latent = model.flow.inv(torch.randn(1, 5).double()).detach()

    def gradient(latent, estimator):
        object.__setattr__(model.config, "estimator", estimator)
        model.zero_grad()
        value = model.total_correlation(latent)
        value.mean().backward()
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return value.detach(), torch.cat(grads)

    exact, expected = gradient(latent, "dense")
    torch.manual_seed(0)
    values, found = gradient(latent.expand(count, -1), "probes")
    error = float(values.std()) / count**0.5
    assert abs(float(values.mean() - exact)) < 5 * error < 0.2
    torch.manual_seed(1)
    _, again = gradient(latent.expand(count, -1), "probes")
    noise = float((found - again).norm()) / 2**0.5
    assert float((found - expected).norm()) < 2 * noise < 0.2 * float(expected.norm())


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("estimator", ["columns", "dense"])
def test_estimates_average_to_the_total_correlation(estimator, noise):
    model = small(estimator=estimator, noise=noise)
    x = torch.randn(3, 5).double()
    latent = model.flow.inv(x)
    whole = small(estimator="dense", noise=noise).total_correlation(latent)
    assert bool((whole >= 0).all())
    draws = torch.stack([model.total_correlation(latent) for _ in range(40)])
    found = torch.stack([*{float(row.detach().sum()): row for row in draws}.values()])
    assert len(found) == (5 if estimator == "columns" else 1)
    torch.testing.assert_close(found.mean(0), whole, rtol=0, atol=1e-8)


def test_rows_and_columns_agree_where_columns_are_orthogonal():
    model, mixing = linear(VARIANCES)
    latent = model.flow.inv(normal_draws(mixing, 3))
    for estimator in ("rows", "columns", "dense"):
        object.__setattr__(model.config, "estimator", estimator)
        found = torch.stack([model.total_correlation(latent) for _ in range(20)]).mean(0)
        assert float(found.abs().max()) < (1e-9 if estimator == "dense" else 3)
    norms = model.measure(normal_draws(mixing))
    torch.testing.assert_close(
        norms, (2 * math.pi * math.e * VARIANCES).log() / 2, rtol=0, atol=0.05
    )


def test_explained_entropies_are_those_of_principal_components():
    model, mixing = linear(VARIANCES)
    x = normal_draws(mixing, 100_000)
    expected = (2 * math.pi * math.e * VARIANCES).log() / 2
    torch.testing.assert_close(model.measure(x), expected, rtol=0, atol=0.02)
    assert model.order.tolist() == [1, 3, 0, 2]


def test_the_core_reconstructs_as_principal_components_do():
    model, mixing = linear(VARIANCES)
    x = normal_draws(mixing)
    model.measure(x)
    kept = mixing[:, [1, 3]] / mixing[:, [1, 3]].norm(dim=0)
    torch.testing.assert_close(model.decompress(model.compress(x, 2)), x @ kept @ kept.T)
    torch.testing.assert_close(model.decompress(model.compress(x, 4)), x)


def test_the_core_size_follows_the_noise_floor():
    model, mixing = linear(VARIANCES)
    model.measure(normal_draws(mixing))
    assert model.core_above(model.noise_floor(0.3)) == 3
    assert model.core_above(model.noise_floor(1.5)) == 1
    assert model.core_above(1e9) == 1
    x = normal_draws(mixing, 5)
    torch.testing.assert_close(model.denoise(x, 0.9), model.decompress(model.compress(x, 2)))


def test_denoising_takes_off_noise():
    model, mixing = linear(torch.tensor([3.0, 2.0, 1e-4, 1e-4, 1e-4, 1e-4]).double())
    clean = normal_draws(mixing)
    model.measure(clean)
    noisy = clean + 0.3 * torch.randn_like(clean)
    before, after = ((each - clean).square().mean() for each in (noisy, model.denoise(noisy, 0.3)))
    assert float(after / before) == pytest.approx(1 / 3, abs=0.03)


def test_density_of_the_core_is_that_of_a_normal_on_its_subspace():
    model, mixing = linear(VARIANCES)
    x = normal_draws(mixing, 6)
    model.measure(normal_draws(mixing))
    code = model.compress(x, 2)
    expected = model.prior(2).log_prob(code) - VARIANCES[[1, 3]].log().sum() / 2
    torch.testing.assert_close(model.log_prob(x, 2), expected)
    torch.testing.assert_close(model.log_prob(x, 4), model.log_prob(x))


def test_the_posterior_of_the_core_is_exact_for_a_linear_flow():
    model, mixing = linear(VARIANCES)
    x = normal_draws(mixing, 6)
    model.measure(normal_draws(mixing))
    guide = EntropyOrderedFlowGuide(model).core_guide(2, noise=0.5)
    loadings = mixing[:, [1, 3]]
    precision = torch.eye(2).double() + loadings.T @ loadings / 0.25
    found = guide.core_posterior(x)
    torch.testing.assert_close(found.variance, torch.linalg.inv(precision).diag().expand(6, 2))
    # The centre is f(x), which does not shrink towards the prior as the exact mean does.
    shrunk = torch.linalg.solve(precision, loadings.T @ x.mT / 0.25).mT
    shrinkage = 1 - found.variance
    torch.testing.assert_close(found.mean * shrinkage, shrunk)


def test_codes_get_error_bars_in_arviz():
    model = small(dtype=torch.float32)
    guide = EntropyOrderedFlowGuide(model).core_guide(2)
    idata = posterior(guide.model, guide, {"x": torch.randn(4, 5)}, draws=6, progress=False)
    codes = idata["posterior"]["z_core"]
    assert dict(codes.sizes) == {"chain": 1, "draw": 6, "datum": 4, "core": 2}
    assert float(codes.std("draw").min()) > 0


def test_training_keeps_running_entropies():
    model, mixing = linear(VARIANCES)
    model.train()
    for seed in range(200):
        latent = model.flow.inv(normal_draws(mixing, 64, seed).requires_grad_())
        model.total_correlation(latent)
    running = model.entropy.clone()
    torch.testing.assert_close(running, model.measure(normal_draws(mixing)), rtol=0, atol=0.15)


@pytest.mark.parametrize("estimator", ["rows", "columns", "probes"])
def test_a_few_steps_lower_the_total_correlation(estimator):
    torch.manual_seed(0)
    x = torch.randn(400, 4) @ torch.randn(4, 4)
    sizes = {"couplings": 1, "hidden_dim": 8, "location": 0.0, "scale": 2.0, "noise": 0.1}
    config = EntropyOrderedFlow.Config(image_shape=(4,), estimator=estimator, **sizes)
    model = EntropyOrderedFlow(config)
    run = fit(
        model,
        EntropyOrderedFlowGuide(model),
        {"x": x},
        max_steps=80,
        learning_rate=2e-2,
        log_every=8,
        progress=False,
    )
    first, last = run.history[1], run.history[-1]
    assert last["elbo"] > first["elbo"]
    terms = [row["penalty(total_correlation)"] for row in run.history]
    assert min(terms[-3:]) < 0.5 * max(terms[:3])


def test_samples_come_from_their_seed_and_leave_the_global_one():
    model = small()
    state = torch.get_rng_state()
    first, same, other = (model.sample(3, core=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"image_shape": (1,)}, "at least two features"),
        ({"image_shape": (1, 1, 1)}, "at least two features"),
        ({"image_shape": ()}, "one to three"),
        ({"image_shape": (4,), "noise": -0.1}, "zero or positive"),
        ({"image_shape": (4,), "scale": 0.0}, "positive"),
        ({"image_shape": (4,), "couplings": 0}, "at least 1"),
        ({"image_shape": (4,), "bits": 0}, "1 to 16"),
        ({"image_shape": (1, 28, 28), "levels": -1}, "zero or positive"),
        ({"image_shape": (1, 28, 28), "levels": 3}, "cannot be halved 3 times"),
        ({"image_shape": (64,), "levels": 1}, "cannot be halved 1 times"),
        ({"image_shape": (1, 8, 8), "levels": 3}, "coarsest image has one number"),
        ({"image_shape": (1, 8, 8), "levels": 1, "steps": 0}, "at least 1"),
    ],
)
def test_impossible_configurations(options, reason):
    with pytest.raises(ConfigError, match=reason):
        EntropyOrderedFlow.Config(**options)


@pytest.mark.parametrize("core", [0, -1, 6])
def test_impossible_cores(core):
    model = small()
    x = torch.zeros(2, 5).double()
    for use in (model.core_model, lambda c: model.compress(x, c), lambda c: model.log_prob(x, c)):
        with pytest.raises(ConfigError, match=rf"core of {core} latents.*1 to 5"):
            use(core)
    with pytest.raises(ConfigError, match=r"noise=0.*positive"):
        model.core_model(2, noise=0.0)


IMAGES = {"couplings": 1, "hidden_dim": 8, "steps": 1, "filters": 8}


def of_images(shape=(1, 8, 8), levels=1, dtype=torch.float64, **options):
    torch.manual_seed(0)
    config = EntropyOrderedFlow.Config(image_shape=shape, levels=levels, **(IMAGES | options))
    return stirred(EntropyOrderedFlow(config), 0.1).to(dtype)


def eight_bit(count, *shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, *shape), generator=generator).to(dtype) / 255


def test_the_elbo_of_rounded_data_is_their_log_density_in_steps():
    model = of_images(bits=8)
    guide, x = EntropyOrderedFlowGuide(model), eight_bit(5, 1, 8, 8)
    torch.manual_seed(3)
    terms = Elbo(model, guide)({"x": x}, size=5)
    torch.manual_seed(3)
    noisy = model.noisy(x)
    assert float((noisy - x).abs().max()) <= 0.5 / 255
    expected = model.log_prob(noisy).mean() - 64 * math.log(255)
    torch.testing.assert_close(terms.elbo, expected, rtol=0, atol=1e-8)
    assert terms.likelihood["x"].item() == 0
    assert bits_per_dimension(terms.elbo.reshape(1), 64) == pytest.approx(
        bits_per_dimension(model.log_prob(noisy), 64, step=1 / 255)
    )


def test_bits_of_a_known_normal_are_those_of_its_rounded_probabilities():
    scale = 0.05
    config = {"image_shape": (2,), "bits": 8, "location": 0.5, "scale": scale, "couplings": 1}
    model = EntropyOrderedFlow(EntropyOrderedFlow.Config(hidden_dim=4, **config)).double()
    torch.manual_seed(0)
    x = ((0.5 + scale * torch.randn(4000, 2).double()) * 255).round() / 255
    terms = Elbo(model, EntropyOrderedFlowGuide(model))({"x": x}, size=4000)
    normal = torch.distributions.Normal(0.5, scale)
    exact = (normal.cdf(x + 0.5 / 255) - normal.cdf(x - 0.5 / 255)).log().sum(-1)
    found, expected = (bits_per_dimension(each, 2) for each in (terms.elbo.reshape(1), exact))
    assert 0 <= found - expected < 5e-3


def test_simulated_images_have_their_bits():
    model = of_images(bits=8)
    drawn = model(size=6).detach() * 255
    torch.testing.assert_close(drawn, drawn.round())
    model = of_images(bits=1)
    with pytest.raises(DataError, match=r"0\.\d+ in x, which is none of the 2 levels of.* 1 bits"):
        model.check_data({"x": eight_bit(5, 1, 8, 8)})
    of_images(bits=8).check_data({"x": eight_bit(5, 1, 8, 8, dtype=torch.float32)})


def test_a_flow_over_scales_may_start_in_the_units_of_its_data():
    torch.manual_seed(0)
    config = EntropyOrderedFlow.Config(image_shape=(3, 8, 8), levels=2, noise=0.01, **IMAGES)
    model = EntropyOrderedFlow(config)
    x = 0.3 + 0.05 * torch.randn(200, 3, 8, 8)
    before = model.log_prob(x).mean()
    model.initialise(x)
    latent, log_det = model.encoded(x)
    assert float((model.log_prob(x).mean() - before).detach()) > 100
    torch.testing.assert_close(latent.std(), torch.ones(()), rtol=0.05, atol=0)
    torch.testing.assert_close(model.decompress(latent[:, model.order]), x, rtol=0, atol=1e-5)
    found = -torch.linalg.slogdet(columns(model.flow, latent[:1]))[1]
    torch.testing.assert_close(found, log_det[:1], rtol=1e-4, atol=0)
    with pytest.raises(DataError, match="same for all"):
        model.flow.initialise(torch.zeros(5, 192))


def test_latents_of_all_scales_are_ordered_together():
    model = of_images((3, 8, 8), 2, dtype=torch.float32)
    x = eight_bit(40, 3, 8, 8, dtype=torch.float32)
    exact = model.measure(x)
    latent, _ = model.encoded(x)
    norms = columns(model.flow, latent).norm(dim=-2).log()
    expected = (latent.square() / 2 + norms).mean(0) + math.log(2 * math.pi) / 2
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-4)
    torch.manual_seed(0)
    estimated = model.measure(x, probes=16)
    assert float((estimated - exact).abs().mean()) < 0.04
    model.measure(x)
    assert model.compress(x, 7).shape == (40, 7)
    torch.testing.assert_close(model.decompress(model.compress(x, model.dim)), x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("estimator", ["rows", "columns", "dense"])
def test_estimates_over_scales_average_to_the_total_correlation(estimator):
    model = of_images((1, 4, 2), 1, estimator=estimator)
    latent = model.flow.inv(torch.randn(2, 8).double())
    jacobian = columns(model.flow, latent)
    dense = jacobian.norm(dim=-2).log().sum(-1) - torch.linalg.slogdet(jacobian)[1]
    rows = torch.linalg.inv(jacobian).norm(dim=-1).log().sum(-1)
    rows = rows + torch.linalg.slogdet(jacobian)[1]
    draws = torch.stack(
        [model.total_correlation(latent) for _ in range(1 if estimator == "dense" else 100)]
    )
    found = torch.stack([*{round(float(row.detach().sum()), 9): row for row in draws}.values()])
    assert len(found) == (1 if estimator == "dense" else 8)
    expected = rows if estimator == "rows" else dense
    torch.testing.assert_close(found.mean(0), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda model: model.compress(torch.zeros(2, 1, 8, 6), 2), r"shape \(2, 1, 8, 6\).*8, 8"),
        (lambda model: model.log_prob(torch.zeros(2, 64)), r"shape \(2, 64\).*\(1, 8, 8\)"),
        (lambda model: model.denoise(torch.full((1, 1, 8, 8), math.nan), 0.1), "64 numbers.*NaN"),
        (lambda model: model.measure(torch.full((1, 1, 8, 8), math.inf)), "64 numbers.*infin"),
        (lambda model: model.log_prob(torch.full((1, 1, 8, 8), math.nan)), "64 numbers.*NaN"),
    ],
)
def test_data_that_cannot_be_read(use, reason):
    with pytest.raises(DataError, match=reason):
        use(of_images(dtype=torch.float32))


def table(count=40, dim=4):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


def constant():
    return torch.cat([table()[:, :3], torch.ones(40, 1)], 1)


@pytest.mark.parametrize(
    ("x", "noise", "reason"),
    [
        (lambda: table(dim=3), 0.1, r"shape \(40, 3\).*built for \(datum, 4\)"),
        (lambda: table().long(), 0.1, "floats are needed"),
        (lambda: table().index_fill(1, torch.tensor(2), math.nan), 0.1, "NaN or infin"),
        (constant, 0.0, r"Features \[3\].*same for all.*noise"),
        (lambda: table()[:, [0, 1, 2, 1]], 0.0, "copies of others.*noise"),
        (lambda: (4 * table(400)).round(), 0.0, "values only.*noise"),
    ],
)
def test_data_that_cannot_be_fitted(x, noise, reason):
    model = EntropyOrderedFlow(EntropyOrderedFlow.Config(image_shape=(4,), noise=noise))
    with pytest.raises(DataError, match=reason):
        fit(model, EntropyOrderedFlowGuide(model), {"x": x()}, max_steps=1, progress=False)


def test_noise_makes_discrete_and_constant_data_possible():
    model = EntropyOrderedFlow(EntropyOrderedFlow.Config(image_shape=(4,), noise=0.1))
    for x in (constant(), table()[:, [0, 1, 2, 1]], (4 * table()).round()):
        model.check_data({"x": x})
