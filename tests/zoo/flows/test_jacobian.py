import pytest
import torch

from mutoscope.zoo.flows.jacobian import (
    columns,
    log_column_norm,
    log_column_norms,
    log_row_norm,
    probed_log_norms,
    spread_over,
)

from .kinds import KINDS, made

ALL = [kind for kind in KINDS if kind != "MultiscaleFlow"]


def latents(dim, count=5):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(2)).double()


def dense(flow, latent):
    one = [torch.autograd.functional.jacobian(lambda z: flow.decode(z)[0], z) for z in latent]
    return torch.stack(one)


@pytest.mark.parametrize("kind", ALL)
def test_columns_are_those_of_the_jacobian(kind):
    flow, dim = made(kind)
    latent = latents(dim)
    expected = dense(flow, latent)
    torch.testing.assert_close(columns(flow, latent), expected, rtol=0, atol=1e-10)
    some = torch.tensor([2, 0])
    torch.testing.assert_close(columns(flow, latent, some), expected[..., some], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ALL)
def test_single_columns_and_rows_have_the_norms_of_the_jacobian(kind):
    flow, dim = made(kind)
    latent = latents(dim)
    jacobian, index = dense(flow, latent), torch.arange(5) % dim
    column = jacobian[torch.arange(5), :, index].norm(dim=-1).log()
    row = torch.linalg.inv(jacobian)[torch.arange(5), index].norm(dim=-1).log()
    torch.testing.assert_close(log_column_norm(flow, latent, index), column, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_row_norm(flow, latent, index), row, rtol=0, atol=1e-9)
    data = flow.decode(latent)[0].detach().requires_grad_()
    encoded = flow.inv(data)
    torch.testing.assert_close(log_row_norm(flow, encoded, index), row, rtol=0, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(log_row_norm(flow, latent, index), row, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", [log_column_norm, log_row_norm])
@pytest.mark.parametrize("kind", ["affine", "spline", "normflows", "all of ours"])
def test_gradients_of_single_norms_add_up_to_the_dense_one(kind, norm):
    flow, dim = made(kind)
    latent = latents(dim, 3)
    data = flow.decode(latent)[0].detach()

    def gradient(loss):
        flow.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None])

    def encoded():
        return flow.encode(data)[0]

    total = sum(norm(flow, encoded(), torch.full((3,), k)).sum() for k in range(dim))
    found = gradient(total)
    jacobian = columns(flow, encoded())
    if norm is log_column_norm:
        reference = jacobian.norm(dim=-2).log().sum()
    else:
        reference = torch.linalg.inv(jacobian).norm(dim=-1).log().sum()
    torch.testing.assert_close(total, reference, rtol=0, atol=1e-8)
    torch.testing.assert_close(found, gradient(reference), rtol=0, atol=1e-7)


def test_every_latent_is_looked_at_equally_often():
    torch.manual_seed(0)
    index = spread_over(torch.zeros(3, 4, 6))
    assert index.shape == (3, 4)
    assert torch.equal(index.flatten().bincount(), torch.full((6,), 2))
    firsts = torch.stack([spread_over(torch.zeros(1, 6))[0] for _ in range(600)])
    assert int(firsts.bincount(minlength=6).min()) > 50


@pytest.mark.parametrize("probes", [1, 3])
def test_probes_find_the_logarithms_of_norms_without_bias(probes):
    flow, dim = made("all of ours")
    latent = latents(dim, 2)
    exact = log_column_norms(flow, latent)
    expected = columns(flow, latent).norm(dim=-2).log()
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-10)
    count = 4000
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = probed_log_norms(flow, latent.repeat(count, 1), probes).reshape(count, 2, dim)
    error = draws.std(0) / count**0.5
    assert bool(((draws.mean(0) - exact).abs() < 5 * error).all())


def test_a_batch_looks_at_latents_all_over():
    index = spread_over(torch.zeros(50, 1000))
    gaps = torch.cat([index.sort().values, index.sort().values[:1] + 1000]).diff()
    assert len(index.unique()) == 50
    assert int(gaps.max()) < 50
