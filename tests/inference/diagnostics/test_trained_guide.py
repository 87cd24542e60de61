"""A guide that was trained is the posterior, by its moments and by every diagnostic."""

import numpy as np
import pytest
import torch

from mutoscope.inference import fit
from mutoscope.inference.diagnostics import (
    importance_sampling,
    interval_coverage,
    predictive_check,
    simulation_based_calibration,
)

from ..linear_gaussian import LinearGaussian, LinearGaussianGuide, simulated


@pytest.fixture(scope="module")
def run():
    torch.manual_seed(0)
    model = LinearGaussian()
    return fit(
        model,
        LinearGaussianGuide(model),
        simulated(2000)[0],
        max_steps=1500,
        batch_size=500,
        particles=16,
        learning_rate=0.02,
        progress=False,
    )


@pytest.mark.slow
def test_its_moments_are_those_of_the_posterior(run):
    data = simulated(20, seed=1)[0]
    drawn = run.posterior(data, draws=100_000, groups=("posterior",), progress=False)
    path = drawn["posterior"]["path"].values[0].astype(float)
    weight, covariance = run.model.exact()
    mean = (data["seen"].double().flatten(1) @ weight.T).reshape(path.shape[1:]).numpy()
    deviation = covariance.diagonal().sqrt().reshape(path.shape[2:]).numpy()
    assert np.abs((path.mean(0) - mean) / deviation).max() < 0.02
    assert np.abs(path.std(0) / deviation - 1).max() < 0.02


@pytest.mark.slow
def test_every_diagnostic_passes(run):
    data, path = simulated(200, seed=1)
    idata = run.posterior(data, draws=200, progress=False)
    weights = importance_sampling(idata)
    assert float(weights.good.mean()) >= 0.95
    exact = run.model.log_evidence(data["seen"])
    np.testing.assert_allclose(weights.bound, exact, atol=0.01)
    calibration = simulation_based_calibration(run.model, run.guide, data)
    assert set(calibration.verdicts.values()) == {"calibrated"}
    coverage = interval_coverage(idata["posterior"]["path"], path.numpy())
    check = predictive_check(idata)
    for found in (weights, calibration, coverage, check):
        assert not found.concerns
