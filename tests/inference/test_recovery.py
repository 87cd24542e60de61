"""What sparse transformation analysis must show on the digits: minutes of training for each seed.

Run with `pytest -m slow`. The default suite keeps the laws; these keep the claim.
"""

import functools

import pytest
import torch

from mutoscope.guides import Entry
from mutoscope.inference import Run, SpeedUnits, fit
from mutoscope.inference.diagnostics import importance_sampling, interval_coverage
from mutoscope.inference.job import build
from mutoscope.inference.metrics import (
    active_fields,
    elbo_and_iwae,
    equivariance_error,
    importance_log_weights,
    match_fields,
    sparse_mean,
)
from mutoscope.inference.posterior import predict_mean
from mutoscope.inference.resampling import resample
from mutoscope.zoo.datasets import FirstOf, TransformedDigits
from mutoscope.zoo.flow_penalties import hamilton_jacobi_terms

pytestmark = pytest.mark.slow

SEEDS = (0, 1, 2)
STEPS = 4000
LABELLED, UNLABELLED = 64, 64
WITHOUT_SPARSITY = (("initial", 0.5), ("stay", 0.5), ("switch_on", 0.5))


@functools.cache
def digits(seed: int) -> TransformedDigits:
    return TransformedDigits(sequences_per_image=4, seed=seed)


@functools.cache
def trained(name: str, seed: int, options: tuple[tuple[str, object], ...] = ()) -> Run:
    """Train once what several tests look at."""
    data, steps = digits(seed), STEPS if name == "sta" else 1500
    pair = build(Entry.named(name), data, dict(options), {}, seed=seed)
    return fit(*pair, data, max_steps=steps, seed=seed, progress=False)


def speeds(run: Run, seed: int):
    """Return held-out spikes' draws, inferred speeds and true speeds."""
    idata = run.posterior(FirstOf(digits(seed).test, 512), draws=50, seed=0)
    draws = idata["posterior"]["speed"].to_numpy()[0]
    return draws != 0, sparse_mean(draws), idata["constant_data"]["speed"].to_numpy()


@functools.cache
def refined(steps: int):
    """Return draws for the first held-out sequences of a guide that was refined for them."""
    return trained("sta", 0).posterior(
        FirstOf(digits(0).test, LABELLED + UNLABELLED),
        draws=1000,
        refine=steps,
        groups=("posterior", "sample_stats", "constant_data"),
        progress=False,
    )


def errors(run: Run, images: torch.Tensor):
    return equivariance_error(images, predict_mean(run.model, run.guide, {"images": images}))


@pytest.mark.parametrize("seed", SEEDS)
def test_carried_frames_are_far_closer_than_still_ones(seed):
    images = digits(seed).test.observations["images"]
    held = equivariance_error(images, _first_frame(trained("vae", seed), images))
    assert errors(trained("sta", seed), images).total <= 0.4 * held.total


def _first_frame(run: Run, images: torch.Tensor) -> torch.Tensor:
    first = images[:, :1].expand_as(images)
    return predict_mean(run.model, run.guide, {"images": first})[:, :1].expand_as(images)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_factor_has_a_field_of_its_own(seed):
    _, inferred, true = speeds(trained("sta", seed), seed)
    assert min(match_fields(inferred, true).correlation) >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_speeds_say_how_fast_and_not_only_whether(seed):
    _, inferred, true = speeds(trained("sta", seed), seed)
    rotation, scale = match_fields(inferred, true, active_only=True).correlation
    assert rotation >= 0.8
    assert scale >= 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_as_many_fields_move_as_factors_do(seed):
    spikes, _, true = speeds(trained("sta", seed), seed)
    assert active_fields(spikes) == pytest.approx(active_fields(true != 0), rel=0.3)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_the_sparsity_prior_that_keeps_fields_still(seed):
    with_prior, _, true = speeds(trained("sta", seed), seed)
    without, _, _ = speeds(trained("sta", seed, WITHOUT_SPARSITY), seed)
    assert active_fields(without) > 1.2 * active_fields(with_prior)
    assert active_fields(without) > 1.3 * active_fields(true != 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_are_in_order(seed):
    run = trained("sta", seed)
    batch = {"images": digits(seed).test.observations["images"][:100]}
    weights = importance_log_weights(run.model, run.guide, batch, particles=500, seed=0)
    few, many = (elbo_and_iwae(weights, particles).iwae.mean() for particles in (50, 500))
    assert weights.mean() <= few <= many


def test_refinement_brings_draws_to_where_weights_can_mend_them():
    before, after = (importance_sampling(refined(steps)) for steps in (0, 400))
    assert float(before.khat.median()) > 1
    assert float(after.khat.median()) < 0.7
    assert float((after.bound - before.bound).mean()) > 4


def test_intervals_of_speeds_in_units_of_the_world_hold_the_truth_after_repair():
    idata = resample(refined(400))
    speeds = SpeedUnits.learn(idata, sequences=range(LABELLED)).convert(idata)
    rest = {"sequence": slice(LABELLED, None)}
    coverage = interval_coverage(speeds.isel(rest), idata["constant_data"]["speed"].isel(rest))
    assert 0.85 <= float(coverage.share.sel(level=0.9).mean()) <= 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_twice_as_long_sequences_are_followed(seed):
    """With pauses, so that digits stay in the picture; without, the README says how far."""
    data = TransformedDigits(length=17, p_stay=0.5, reject_all_zero=False, seed=seed)
    images = data.test.observations["images"]
    per_frame = errors(trained("sta", seed), images).per_frame
    assert per_frame[9:].mean() <= 2 * per_frame[1:9].mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_regulariser_brings_fields_close_to_hamilton_jacobi(seed):
    data = TransformedDigits(length=5, image_size=16, digit_size=9, seed=seed)
    options = {"time_dependent": True, "field_hidden_dim": 16}

    def residual(weight: float) -> float:
        entry = Entry.named("sta")
        pair = build(entry, data, options | {"hamilton_jacobi": weight}, {}, seed=seed)
        run = fit(*pair, data, max_steps=900, seed=seed, progress=False)
        path = run.posterior(FirstOf(data.test, 100), draws=1, seed=0)["posterior"]["z"]
        latent, times = torch.from_numpy(path.to_numpy()[0, 0]), torch.arange(5.0)
        with torch.no_grad():
            terms = hamilton_jacobi_terms(
                run.model.potential, latent, times, run.model.flow_penalties.force
            )
        return float(terms[0].abs().mean() / terms[1].mean())

    on, off = residual(100.0), residual(0.0)
    assert on <= off / 5
    assert on <= 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_one_field_for_a_sequence_is_found_without_labels(seed):
    data = TransformedDigits(
        length=6,
        image_size=16,
        digit_size=9,
        one_factor=True,
        speed=(1.0, 1.0),
        seed=seed,
    )
    pair = build(Entry.named("sta"), data, {"activity": "one", "num_fields": 2}, {}, seed=seed)
    run = fit(*pair, data, max_steps=800, seed=seed, progress=False)
    idata = run.posterior(data.test, draws=20, seed=0)
    found = idata["posterior"]["speed"].to_numpy()[0].mean(0)[:, 0].argmax(-1)
    true = data.test.truth.spike[:, 0].float().argmax(-1).numpy()
    accuracy = (found == true).mean()
    assert max(accuracy, 1 - accuracy) >= 0.95
