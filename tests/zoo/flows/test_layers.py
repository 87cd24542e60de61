import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.flows import ActNorm, AffineCoupling, FlowTransform, Rotation, SplineCoupling
from mutoscope.zoo.flows.spline import apply_spline, invert_spline, numbers_of

from .kinds import stirred


@pytest.mark.parametrize("layer", [AffineCoupling(5), SplineCoupling(5), Rotation(5), ActNorm(5)])
def test_layers_begin_as_the_identity(layer):
    latent = 2 * torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    data, log_det = layer(latent)
    torch.testing.assert_close(data, latent, rtol=0, atol=1e-5)
    assert float(log_det.detach().abs().max()) < 1e-5


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.floats(0, 20), bins=st.integers(1, 12))
def test_splines_are_monotone_and_inverted_whatever_their_numbers(seed, spread, bins):
    generator = torch.Generator().manual_seed(seed)
    free = spread * torch.randn(numbers_of(bins), generator=generator, dtype=torch.float64)
    x = torch.linspace(-6, 6, 401, dtype=torch.float64)
    free = free.expand(401, -1)
    y, slope = apply_spline(x, free, bound=4.0)
    assert bool((y.diff() > 0).all())
    back, other = invert_spline(y, free, bound=4.0)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-6)
    torch.testing.assert_close(apply_spline(back, free, bound=4.0)[1], -other)
    assert slope.isfinite().all()


def test_splines_survive_large_weights_in_single_precision():
    torch.manual_seed(0)
    layer = stirred(SplineCoupling(8, [32]), 2.0)
    data, log_det = layer(3 * torch.randn(500, 8))
    assert data.isfinite().all()
    assert log_det.isfinite().all()


def test_scales_of_affine_couplings_stay_within_their_clamp():
    layer = stirred(AffineCoupling(6, [8], clamp=1.5), 10.0)
    _, log_det = layer(100 * torch.ones(1, 6))
    assert float(log_det.detach().abs()) <= 3 * 1.5


def test_a_rotation_is_orthogonal_whatever_its_weight():
    matrix = stirred(Rotation(7).double(), 5.0).matrix().detach()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(7, dtype=torch.float64))
    assert float(torch.linalg.det(matrix)) == pytest.approx(1)


def test_act_norm_starts_from_data_only_where_it_is_told_to():
    data = 3 + 2 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    flow = FlowTransform([AffineCoupling(4), ActNorm(4)])
    with torch.no_grad():
        flow.decode(torch.randn(5, 4))
        torch.testing.assert_close(flow.encode(data)[0], data)
        flow.initialise(data)
        latent = flow.encode(data)[0]
    torch.testing.assert_close(latent.mean(0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(latent.std(0), torch.ones(4))


def test_act_norm_refuses_what_has_no_scale():
    data = torch.randn(20, 3)
    data[:, 1] = 0.3
    with pytest.raises(DataError, match=r"\[1\].*same for all"):
        ActNorm(3).initialise(data)
    with pytest.raises(DataError, match="at least two"):
        ActNorm(3).initialise(data[:1])


def test_a_single_feature_cannot_be_coupled():
    with pytest.raises(ConfigError, match="at least 2"):
        AffineCoupling(1)
