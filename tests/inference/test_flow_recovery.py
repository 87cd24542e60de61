"""Entropy-ordered flows find what is known of data; trains for minutes."""

import math

import numpy as np
import pytest
import torch

from mutoscope.guides import EntropyOrderedFlowGuide, VariationalAutoencoderGuide
from mutoscope.inference import fit
from mutoscope.inference.metrics import PrincipalComponents, core_agreement, decibels
from mutoscope.zoo import EntropyOrderedFlow, VariationalAutoencoder
from mutoscope.zoo.datasets import mnist as load_mnist
from mutoscope.zoo.datasets.images import to_float
from mutoscope.zoo.datasets.stills import open_stills

pytestmark = pytest.mark.slow


def trained(data, *, seed=0, steps=1500, batch_size=256, gradient_norm=100.0, **options):
    """Return a flow that was trained on tensors `x`, or on a data set of them."""
    torch.manual_seed(seed)
    model = EntropyOrderedFlow(EntropyOrderedFlow.Config(**options))
    guide = EntropyOrderedFlowGuide(model)
    how = {"max_steps": steps, "batch_size": batch_size, "gradient_norm": gradient_norm}
    fit(model, guide, data, seed=seed, progress=False, **how)
    return model


@pytest.fixture(scope="module")
def normal():
    generator = torch.Generator().manual_seed(0)
    variances = torch.linspace(2, -3, 8).exp()
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    draws = torch.randn(2, 20_000, 8, generator=generator)
    train, test = draws * variances.sqrt() @ turn.T
    return train, test, (2 * math.pi * math.e * variances).log() / 2


NORMAL = {
    "image_shape": (8,),
    "noise": 0.0,
    "couplings": 6,
    "hidden_dim": 64,
    "location": 0.0,
    "scale": 1.5,
}


@pytest.mark.parametrize("estimator", ["rows", "columns"])
def test_entropies_of_a_normal_are_those_of_its_principal_components(normal, estimator):
    train, test, expected = normal
    model = trained({"x": train}, estimator=estimator, **NORMAL)
    found = model.measure(test).sort(descending=True).values
    assert float((found - expected).abs().max()) <= 0.02
    assert float(-model.log_prob(test).mean().detach() - expected.sum()) < 0.03


def test_without_the_penalty_they_are_not(normal):
    train, test, expected = normal
    model = trained({"x": train}, total_correlation=0.0, **NORMAL)
    found = model.measure(test).sort(descending=True).values
    assert float((found - expected).abs().max()) > 0.5


RADII = torch.linspace(-1.0, -2.4, 10).exp()
BEND, THICK = 0.8, 0.1  # of angles in radians, and of radii as a share of each


def arcs(count, seed):
    """Return ten bent normals in twenty dimensions, and the angles and radii that made them."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(2, count, 10, generator=generator)
    angle, radius = BEND * draws[0], RADII * (1 + THICK * draws[1])
    x = torch.cat([radius * angle.cos(), radius * angle.sin()], -1)
    return x, draws.transpose(0, 1).flatten(1)


def entropies_of_arcs():
    """Return the entropies of angles and radii, along which the data move at right angles."""
    generator = torch.Generator().manual_seed(9)
    thick = (1 + THICK * torch.randn(1_000_000, generator=generator)).log().mean()
    constant = 0.5 * math.log(2 * math.pi * math.e)
    along = constant + math.log(BEND) + RADII.log() + thick
    return torch.cat([along, constant + (THICK * RADII).log()])


@pytest.mark.parametrize("seed", range(3))
def test_bent_normals_are_straightened(seed):
    """With a fifth of the data the likelihood of others is lower, by 0.01 nats a feature."""
    (train, _), (test, true) = arcs(500_000, 1), arcs(4000, 2)
    options = {"noise": 0.0, "couplings": 10, "location": 0.0, "scale": 0.15, "image_shape": (20,)}
    how = {"steps": 5000, "batch_size": 512, "gradient_norm": 5.0, "seed": seed}
    model = trained({"x": train}, **how, **options).requires_grad_(False)
    expected = entropies_of_arcs()
    found = model.measure(test[:1000])
    surprise = float(-model.log_prob(test).mean())
    assert (surprise - float(expected.sum())) / 20 <= 0.02
    total = float(found.sum() + model.log_prob(test[:1000]).mean())
    assert 0 <= total <= 0.3
    ordered = [each.sort(descending=True).values for each in (found, expected)]
    assert float((ordered[0] - ordered[1]).abs().mean()) <= 0.05
    agreement = core_agreement(true, model.flow.encode(test)[0])
    assert agreement.matched >= 0.9


def test_runs_agree_on_what_bends_most():
    """Five runs with the penalty, three without."""
    (train, _), (test, _) = arcs(100_000, 1), arcs(2000, 2)
    options = {"noise": 0.0, "couplings": 6, "hidden_dim": 64, "location": 0.0, "scale": 0.15}
    found = {}
    for weight, seeds in ((1.0, 5), (0.0, 3)):
        codes = []
        for seed in range(seeds):
            chosen = options | {"total_correlation": weight, "image_shape": (20,)}
            model = trained({"x": train}, seed=seed, **chosen).eval().requires_grad_(False)
            model.measure(test[:500])
            codes.append(model.compress(test, 10))
        pairs = [core_agreement(a, b) for i, a in enumerate(codes) for b in codes[:i]]
        found[weight] = float(np.mean([pair.matched for pair in pairs]))
    assert found[1.0] >= 0.8, found
    assert found[0.0] <= 0.5, found


@pytest.fixture(scope="module")
def digits():
    return open_stills("digits", seed=0)


def of_digits(data, **options):
    model = trained(data, image_shape=data.image_shape, **options)
    some = data.train.observations["x"]
    torch.manual_seed(0)
    model.measure(some + 0.1 * torch.randn_like(some))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def flows(digits):
    return [of_digits(digits, seed=seed, steps=1600) for seed in range(3)]


@pytest.fixture(scope="module")
def controls(digits):
    return [of_digits(digits, seed=seed, steps=800, total_correlation=0.0) for seed in range(2)]


def errors_of(digits, model, core):
    test = digits.test.observations["x"]
    components = PrincipalComponents(digits.train.observations["x"])
    own = float((model.decompress(model.compress(test, core)) - test).square().mean())
    return own, float(((components.reconstruct(test, core) - test.numpy()) ** 2).mean())


@pytest.mark.parametrize("core", [8, 16])
def test_the_core_keeps_more_than_principal_components(digits, flows, core):
    for model in flows:
        own, linear = errors_of(digits, model, core)
        assert own <= 0.75 * linear


@pytest.mark.parametrize("core", [8, 16])
def test_without_the_penalty_it_keeps_less(digits, controls, core):
    for model in controls:
        own, linear = errors_of(digits, model, core)
        assert own > linear


def test_denoising_by_the_noise_floor_is_no_worse_than_the_best_components(digits, flows):
    test = digits.test.observations["x"]
    components = PrincipalComponents(digits.train.observations["x"])
    torch.manual_seed(1)
    noisy = test + 0.2 * torch.randn_like(test)
    best = max(decibels(components.reconstruct(noisy, core), test) for core in range(8, 40, 2))
    found = [decibels(model.denoise(noisy, 0.2), test) for model in flows]
    assert np.mean(found) >= best
    assert np.mean(found) >= decibels(noisy, test) + 2.5


def agreements(digits, models, core):
    test = digits.test.observations["x"]
    codes = [model.compress(test, core) for model in models]
    pairs = [(a, b) for i, a in enumerate(codes) for b in codes[:i]]
    return [core_agreement(*pair) for pair in pairs]


def test_runs_agree_on_the_core(digits, flows, controls):
    found, other = (agreements(digits, each, 8) for each in (flows, controls))
    assert np.mean([each.matched for each in found]) >= 0.6
    assert np.mean([each.matched for each in other]) <= 0.4
    assert np.mean([each.subspace for each in other]) <= 0.4


@pytest.mark.xfail(
    reason="0.75 to 0.82, pair by pair: the eighth latent explains as the ninth does"
)
def test_runs_agree_on_the_space_of_the_core(digits, flows):
    assert np.mean([each.subspace for each in agreements(digits, flows, 8)]) >= 0.8


@pytest.fixture(scope="module")
def mnist_digits(data_dir):
    train, test = (load_mnist(data_dir / "mnist", split=split) for split in ("train", "test"))
    return to_float(train.pixels[:50_000]), to_float(test.pixels[:2000])


@pytest.fixture(scope="module")
def mnist_flow(mnist_digits):
    """Return a flow of the 128 leading principal directions, and what is compared with it."""
    torch.manual_seed(0)
    train, _ = mnist_digits
    config = EntropyOrderedFlow.Config(
        image_shape=(1, 28, 28), principal=128, hidden_dim=256, total_correlation=0.3
    )
    model = EntropyOrderedFlow(config)
    model.initialise(train[: model.starting_data])
    options = {"max_steps": 8000, "batch_size": 256, "learning_rate": 2e-3}
    fit(model, EntropyOrderedFlowGuide(model), {"x": train}, seed=0, progress=False, **options)
    model.eval().requires_grad_(False)
    some = train[:256]
    model.measure(some + 0.1 * torch.randn_like(some), probes=32)
    return model, PrincipalComponents(train[:10_000])


@pytest.mark.parametrize(("core", "share"), [(8, 0.85), (16, 0.6), (32, 0.65)])
def test_cores_of_mnist_keep_more_than_principal_components(mnist_digits, mnist_flow, core, share):
    (_, test), (model, components) = mnist_digits, mnist_flow
    own = float((model.decompress(model.compress(test, core)) - test).square().mean())
    linear = float(((components.reconstruct(test, core) - test.numpy()) ** 2).mean())
    assert own <= share * linear


def test_a_core_of_32_keeps_more_of_mnist_than_an_autoencoder_of_32(mnist_digits, mnist_flow):
    """With 16 latents an autoencoder of as many steps keeps a little more: 0.0131 and 0.0135."""
    (train, test), (model, _) = mnist_digits, mnist_flow
    torch.manual_seed(0)
    sizes = {"image_shape": (1, 28, 28), "length": 1, "latent_dim": 32}
    other = VariationalAutoencoder(VariationalAutoencoder.Config(**sizes))
    guide = VariationalAutoencoderGuide(other)
    options = {"max_steps": 8000, "batch_size": 256, "seed": 0, "progress": False}
    fit(other, guide, {"images": train[:, None]}, **options)
    with torch.no_grad():
        code = guide.latent_posterior(test[:, None]).mean[:, 0]
        theirs = float((torch.sigmoid(other.decoder(code)) - test).square().mean())
    own = float((model.decompress(model.compress(test, 32)) - test).square().mean())
    assert own < theirs


@pytest.mark.xfail(reason="19.4 dB of 19.6; trained with a noise of 0.2 it was 19.55 of 19.66")
def test_cores_denoise_mnist(mnist_digits, mnist_flow):
    (_, test), (model, components) = mnist_digits, mnist_flow
    torch.manual_seed(1)
    noisy = test + 0.2 * torch.randn_like(test)
    cores = (16, 24, 32, 48, 64, 96)
    best = max(decibels(components.reconstruct(noisy, core), test) for core in cores)
    found = max(decibels(model.denoise(noisy, 0.2, core), test) for core in cores)
    assert found >= best
    assert found >= decibels(noisy, test) + 2.5
