"""Training: it learns, it repeats, and it says what is wrong."""

import pytest
import torch

from mutoscope.guides import SparseTransformationGuide, VariationalAutoencoderGuide
from mutoscope.inference import FitOptions, fit
from mutoscope.zoo import SparseTransformation, VariationalAutoencoder
from mutoscope.zoo.datasets import TransformedDigits
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.schedules import Schedule


@pytest.fixture(scope="module")
def data():
    return TransformedDigits(length=3, image_size=12, digit_size=8, seed=0)


def autoencoder(data, seed=0):
    torch.manual_seed(seed)
    config = VariationalAutoencoder.Config(
        image_shape=data.image_shape, length=data.length, latent_dim=4, decoder_hidden_dim=32
    )
    model = VariationalAutoencoder(config)
    sizes = VariationalAutoencoderGuide.Config(hidden_dim=32, feature_dim=32)
    return model, VariationalAutoencoderGuide(model, sizes)


def test_the_elbo_rises_on_held_out_data(data):
    run = fit(*autoencoder(data), data, max_steps=150, log_every=50, progress=False)
    scores = [row["validation elbo"] for row in run.history]
    assert scores[-1] > scores[0] + 5


def test_the_same_seed_gives_the_same_numbers(data):
    runs = [
        fit(*autoencoder(data), data, max_steps=5, log_every=1, seed=3, progress=False)
        for _ in range(2)
    ]
    rows = [[{**row, "seconds": 0.0} for row in run.history] for run in runs]
    assert rows[0] == rows[1]


def test_another_seed_gives_other_numbers(data):
    elbos = [
        fit(*autoencoder(data), data, max_steps=2, seed=seed, progress=False).history[-1]["elbo"]
        for seed in (0, 1)
    ]
    assert elbos[0] != elbos[1]


def test_the_global_random_state_is_left_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(*autoencoder(data, seed=5), data, max_steps=1, progress=False)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), expected)


def test_terms_add_up_to_the_elbo(data):
    run = fit(*autoencoder(data), data, max_steps=2, log_every=1, progress=False)
    for row in run.history:
        assert row["elbo"] == pytest.approx(row["log p(images)"] - row["KL(z)"], rel=1e-5)


def test_declared_schedules_are_driven(data):
    model, guide = autoencoder(data)
    guide.register_buffer("knob", torch.tensor(0.0))
    guide.schedules = {"knob": Schedule(start=1.0, end=3.0, until=0.5)}
    fit(model, guide, data, max_steps=4, progress=False)
    assert guide.knob.item() == 3.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_data_that_are_not_finite_are_refused_before_training(data, bad):
    images = torch.rand(4, 3, *data.image_shape)
    images[2, 1, 0, 3, 3] = bad
    with pytest.raises(DataError, match="NaN or infinity"):
        fit(*autoencoder(data), {"images": images}, progress=False)


def test_an_empty_set_is_refused(data):
    with pytest.raises(DataError, match="empty"):
        fit(*autoencoder(data), {"images": torch.rand(0, 3, *data.image_shape)}, progress=False)


def test_tensors_of_different_lengths_are_refused(data):
    tensors = {"images": torch.rand(4, 3, *data.image_shape), "other": torch.rand(5)}
    with pytest.raises(DataError, match="one length"):
        fit(*autoencoder(data), tensors, progress=False)


def test_foreign_data_are_refused(data):
    with pytest.raises(DataError, match="expected named tensors"):
        fit(*autoencoder(data), [1, 2, 3], progress=False)


def test_parameters_that_are_not_finite_are_named_before_training(data):
    model, guide = autoencoder(data)
    with torch.no_grad():
        model.decoder.net[0].weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"model\.decoder\.net\.0\.weight.*not finite"):
        fit(model, guide, data, max_steps=3, progress=False)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'max_steps'"):
        FitOptions.from_dict({"max_step": 3})


@pytest.mark.parametrize("name", ["max_steps", "batch_size", "log_every"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        FitOptions(**{name: 0})


def test_the_learning_rate_warms_up_and_falls():
    options = FitOptions(max_steps=1000, learning_rate=1.0)
    rates = [options.learning_rate_at(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == 1.0
    assert rates[-1] < 0.03


def test_restarts_go_on_with_the_best_and_keep_every_score(data):
    model, guide = autoencoder(data)
    run = fit(model, guide, data, max_steps=20, log_every=2, restarts=3, progress=False)
    scores = run.settings["restart scores"]
    assert len(scores) == 3
    assert run.history[1]["step"] == 4
    assert run.history[1]["validation elbo"] == max(scores)
    assert [row["step"] for row in run.history] == list(range(2, 21, 2))
    assert run.model is model
    assert not model.training


@pytest.mark.parametrize(
    ("options", "estimator", "said"),
    [
        ({}, "enumerate", "Exact enumeration of 32 spikes"),
        ({"reject_zero": True}, "disarm", "disarm"),
        ({"reject_zero": True}, "local_expectation", "local_expectation"),
    ],
)
def test_what_cannot_work_on_whole_sequences_is_refused_before_training(options, estimator, said):
    model = SparseTransformation(SparseTransformation.Config(image_shape=(1, 4, 4), **options))
    guide = SparseTransformationGuide(model, SparseTransformationGuide.Config(estimator=estimator))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ConfigError, match=said):
        fit(model, guide, {"images": torch.rand(3, 9, 1, 4, 4)}, max_steps=4, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_early_training_sees_windows_and_late_training_whole_sequences():
    sizes = {"latent_dim": 2, "decoder_hidden_dim": 8, "num_fields": 2}
    model = SparseTransformation(SparseTransformation.Config(image_shape=(1, 4, 4), **sizes))
    guide = SparseTransformationGuide(model)
    seen = []
    hook = guide.frames.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    fit(model, guide, {"images": torch.rand(3, 6, 1, 4, 4)}, max_steps=4, progress=False)
    hook.remove()
    *rehearsals, first, second, third, fourth = seen
    assert set(rehearsals) == {6}
    assert [first, second, third, fourth] == [3, 3, 6, 6]
