import math

import numpy as np
import pytest
import torch

from mutoscope.inference.metrics import PrincipalComponents, decibels
from mutoscope.inference.metrics.cores import core_agreement, mutual_information
from mutoscope.zoo.errors import ConfigError, DataError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_information_is_that_of_the_angle_between_two_directions() -> None:
    angle = 0.7
    columns = np.array([[[3.0, 2 * math.cos(angle), 0.0], [0.0, 2 * math.sin(angle), 5.0]]])
    found = mutual_information(columns)
    assert found[0, 1] == found[1, 0] == pytest.approx(-math.log(math.sin(angle)))
    assert found[0, 2] == pytest.approx(0)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_information_of_two_latents_is_their_total_correlation(rng: np.random.Generator) -> None:
    jacobian = rng.normal(size=(50, 2, 2))
    total = np.log(np.linalg.norm(jacobian, axis=1)).sum(1) - np.linalg.slogdet(jacobian)[1]
    assert mutual_information(jacobian)[0, 1] == pytest.approx(total.mean())


def test_agreement_does_not_see_order_or_sign(rng: np.random.Generator) -> None:
    codes = rng.normal(size=(300, 3))
    found = core_agreement(codes, -2 * codes[:, [2, 0, 1]] + 1)
    np.testing.assert_array_equal(found.match, [1, 2, 0])
    assert found.matched == pytest.approx(1)
    assert found.subspace == pytest.approx(1)
    assert found.same_rank < 0.3


def test_a_rotation_keeps_the_subspace_alone(rng: np.random.Generator) -> None:
    codes = rng.normal(size=(2000, 4))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = core_agreement(codes, codes @ turn)
    assert found.subspace == pytest.approx(1)
    assert found.matched < 0.9


def test_runs_that_have_nothing_in_common(rng: np.random.Generator) -> None:
    found = core_agreement(rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4)))
    assert found.subspace < 0.05
    assert found.matched < 0.1
    with pytest.raises(DataError, match="same data"):
        core_agreement(np.zeros((5, 3)), np.zeros((6, 3)))


def test_principal_components_of_a_known_normal(rng: np.random.Generator) -> None:
    scales = np.array([3.0, 1.0, 0.1])
    data = rng.normal(size=(20_000, 3)) * scales + 5
    components = PrincipalComponents(data)
    expected = 0.5 * np.log(2 * math.pi * math.e * scales**2)
    np.testing.assert_allclose(components.entropies(), expected, atol=0.02)
    noisy = 0.5 * np.log(2 * math.pi * math.e * (scales**2 + 0.25))
    np.testing.assert_allclose(components.entropies(0.5), noisy, atol=0.02)
    assert ((components.reconstruct(data, 2) - data) ** 2).sum(1).mean() == pytest.approx(
        0.01, rel=0.05
    )
    with pytest.raises(ConfigError, match="core=4"):
        components.reconstruct(data, 4)


def test_decibels() -> None:
    assert decibels(torch.full((2, 4), 0.1), torch.zeros(2, 4)) == pytest.approx(20)


def test_of_many_features_the_first_components_are_found(rng: np.random.Generator) -> None:
    scales = np.array([9.0, 5.0, 3.0])
    directions = np.linalg.qr(rng.normal(size=(1100, 3)))[0]
    data = rng.normal(size=(1100, 3)) * scales @ directions.T + 1e-3 * rng.normal(size=(1100, 1100))
    components = PrincipalComponents(data)
    assert len(components.entropies()) == 256
    expected = 0.5 * np.log(2 * math.pi * math.e * scales**2)
    np.testing.assert_allclose(components.entropies()[:3], expected, atol=0.1)
    assert np.abs(components.reconstruct(data, 3) - data).max() < 0.01
