"""Flows of principal directions start as principal components, and know what is settled."""

import math

import pytest
import torch

from mutoscope.inference.metrics import PrincipalComponents
from mutoscope.zoo import EntropyOrderedFlow
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.flows import PrincipalSubspace
from mutoscope.zoo.flows.jacobian import log_column_norms
from mutoscope.zoo.flows.total_correlation import total_correlation

from .kinds import stirred

DIM, COUNT = 9, 4


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator, dtype=torch.float64))[0]
    draws = torch.randn(5000, DIM, generator=generator, dtype=torch.float64)
    return 1 + draws * torch.linspace(1, -1, DIM).exp() @ turn.T


def make(**options):
    torch.manual_seed(0)
    sizes = {"image_shape": (DIM,), "couplings": 2, "hidden_dim": 8, "noise": 0.0}
    config = EntropyOrderedFlow.Config(principal=COUNT, **sizes | options)
    return EntropyOrderedFlow(config).double()


def test_it_starts_as_principal_components(data):
    model = make()
    model.initialise(data)
    components = PrincipalComponents(data)
    variances = torch.linalg.eigvalsh(torch.cov(data.T)).flip(0)
    expected = (2 * math.pi * math.e * variances).log() / 2
    with torch.no_grad():
        assert float(-model.log_prob(data).mean() - expected.sum()) == pytest.approx(0, abs=1e-3)
        model.measure(data)
    assert torch.allclose(model.entropy.sort(descending=True).values, expected, atol=1e-3)
    for core in (1, 3, 6):
        found = model.decompress(model.compress(data[:20], core)).detach()
        assert torch.allclose(found, torch.as_tensor(components.reconstruct(data[:20], core)))


def test_columns_of_other_directions_are_known(data):
    model = make()
    model.initialise(data)
    stirred(model)
    latent = model.flow.encode(data[:6])[0]
    known = model._known_norms()
    norms = log_column_norms(model.flow, latent)[:, COUNT:]
    assert torch.allclose(norms, known.expand(6, -1), atol=1e-10)


@pytest.mark.parametrize("estimator", ["rows", "columns"])
def test_total_correlation_is_that_of_the_leading_directions(data, estimator):
    model = make()
    model.initialise(data)
    stirred(model, 0.1)
    model.requires_grad_(False)
    latent = model.flow.encode(data[:1])[0].repeat(COUNT, 1)  # a batch looks at each once
    found = (
        total_correlation(model.flow, latent, estimator, model._known_norms()).value.mean().detach()
    )
    if estimator == "columns":
        expected = total_correlation(model.flow, latent[:1], "dense").value
    else:
        jacobian = torch.func.jacrev(lambda x: model.flow.encode(x)[0])(data[0])
        norms = jacobian.norm(dim=-1).log().sum()
        expected = norms - torch.linalg.slogdet(jacobian)[1]
    assert float(found) == pytest.approx(float(expected), abs=1e-8)


def test_what_has_no_principal_directions_is_refused(data):
    layer = PrincipalSubspace(DIM, COUNT, []).double()
    with pytest.raises(DataError, match="9 data of 9 features"):
        layer.initialise(data[:9])
    with pytest.raises(DataError, match="no scale"):
        layer.initialise(data * torch.eye(DIM, dtype=torch.float64)[0])
    with pytest.raises(ConfigError, match="Give 2 to 8"):
        PrincipalSubspace(DIM, 9, [])
    with pytest.raises(ConfigError, match="principal"):
        EntropyOrderedFlow.Config(image_shape=(4,), principal=4)
