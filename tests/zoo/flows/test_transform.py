import copy

import normflows
import pyro
import pytest
import torch
from pyro.distributions import MultivariateNormal, Normal
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormalizingFlow

from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.flows import AffineCoupling, FlowTransform, Rotation

from .kinds import DIM, IMAGES, KINDS, made, stirred


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def points(dim, *leading, seed=0, dtype=torch.float64):
    return torch.randn(*leading, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_inverse_leads_back(kind):
    flow, dim = made(kind)
    latent = points(dim, 20)
    data, log_det = flow.decode(latent)
    back, other = flow.encode(data)
    torch.testing.assert_close(back, latent, rtol=0, atol=1e-8)
    torch.testing.assert_close(other, -log_det, rtol=0, atol=1e-8)


def test_log_determinants_are_those_of_the_jacobian(kind):
    flow, dim = made(kind)
    latent = points(dim, 3)
    _, log_det = flow.decode(latent)
    for k in range(3):
        one = torch.autograd.functional.jacobian(lambda z: flow.decode(z)[0], latent[k])
        torch.testing.assert_close(torch.linalg.slogdet(one)[1], log_det[k], rtol=0, atol=1e-8)


def test_any_leading_axes(kind):
    flow, dim = made(kind)
    data = points(dim, 2, 3)
    found = flow.distribution(dim).log_prob(data)
    flat = flow.distribution(dim).log_prob(data.reshape(6, dim))
    torch.testing.assert_close(found, flat.reshape(2, 3))
    assert flow.inv(data).shape == data.shape
    assert flow.distribution(dim).log_prob(data[0, 0]).shape == ()


def test_precision_is_that_of_the_data(kind):
    for dtype in (torch.float32, torch.float64):
        flow, dim = made(kind, dtype)
        for value, log_det in (flow.decode(x := points(dim, 5, dtype=dtype)), flow.encode(x)):
            assert value.dtype == log_det.dtype == dtype


def test_log_determinants_do_not_lose_digits():
    flow, dim = made("normflows")
    data = points(dim, 7)
    expected = normflows.NormalizingFlow(
        normflows.distributions.DiagGaussian(dim, trainable=False).double(), list(flow.layers)
    ).log_prob(data)
    found = flow.distribution(dim).log_prob(data)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_everything_follows_the_data_to_another_device(kind):
    flow, dim = made(kind)
    if kind == "MultiscaleFlow":
        pytest.skip("its ActNorm reads a number back from the device")
    flow = copy.deepcopy(flow).to("meta")
    if kind in ("normflows", "NormalizingFlow"):
        pytest.skip("their masks choose elements by value")
    value, log_det = flow.decode(torch.empty(5, dim, dtype=torch.float64, device="meta"))
    assert value.device.type == log_det.device.type == "meta"


def test_numbers_on_another_device_are_brought_over():
    flow = FlowTransform([normflows.flows.Permute(DIM, mode="swap"), AffineCoupling(DIM)])
    _, log_det = flow.to("meta").decode(torch.empty(5, DIM, device="meta"))
    assert log_det.device.type == "meta"


def test_density_integrates_to_one(kind):
    if kind in ("normflows", "NormalizingFlow", "principal", *IMAGES):
        pytest.skip("of more than two features")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [type(layer)(2) for layer in KINDS[kind]().layers]
    flow = FlowTransform(layers).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).double())
        line = torch.linspace(-10, 10, 501, dtype=torch.float64)
        grid = torch.cartesian_prod(line, line)
        total = flow.distribution(2).log_prob(grid).exp().sum() * (line[1] - line[0]) ** 2
    assert float(total) == pytest.approx(1, abs=2e-3)


def test_loss_of_svi_is_the_negative_log_likelihood(kind):
    flow, dim = made(kind)
    data = points(dim, 8)

    def model():
        pyro.module("flow", flow)
        with pyro.plate("data", 80, subsample=torch.arange(8)):
            pyro.sample("x", flow.distribution(dim), obs=data)

    with pyro.validation_enabled(False), pyro.get_param_store().scope():
        loss = Trace_ELBO().loss(model, lambda: None)
    expected = -10 * float(flow.distribution(dim).log_prob(data).sum().detach())
    assert loss == pytest.approx(expected, rel=1e-10)


class Counting(AffineCoupling):
    calls = 0

    def inverse(self, data):
        self.calls += 1
        return super().inverse(data)


def test_one_pass_gives_value_and_log_determinant():
    flow = FlowTransform([layer := Counting(DIM)])
    data = points(DIM, 5, dtype=torch.float32)
    flow.distribution(DIM).log_prob(data)
    assert layer.calls == 1
    latent = flow.inv(data)
    assert flow(latent) is data
    assert layer.calls == 1


def test_a_pass_outlives_gradients_that_are_to_be_differentiated():
    flow = FlowTransform([layer := Counting(DIM)])
    data = points(DIM, 5, dtype=torch.float32).requires_grad_()
    latent = flow.inv(data)
    torch.autograd.grad(latent.sum(), data, create_graph=True)
    flow.log_abs_det_jacobian(latent, data)
    assert layer.calls == 1
    latent.sum().backward()
    flow.inv(data)
    assert layer.calls == 2


def test_nothing_is_remembered_after_a_step():
    flow, _ = made("all of ours")
    data, density = points(DIM, 5), flow.distribution(DIM)
    optimizer = torch.optim.SGD(flow.parameters(), lr=0.1)
    loss = -density.log_prob(data).sum()
    loss.backward()
    optimizer.step()
    again = -density.log_prob(data).sum()
    fresh = -copy.deepcopy(flow).distribution(DIM).log_prob(data).sum()
    assert torch.equal(again, fresh)
    assert not torch.equal(again, loss)


def test_nothing_is_remembered_after_parameters_moved_without_a_backward_pass():
    flow, _ = made("all of ours")
    data = points(DIM, 5)
    before = flow.inv(data)
    stirred(flow, 0.1)
    assert not torch.equal(flow.inv(data), before)


class Exact(AffineCoupling):
    def inverse(self, data):
        value, log_det = super().inverse(data)
        return value, log_det.double()


def test_a_layer_that_is_more_exact_does_not_change_the_precision():
    flow = FlowTransform([Exact(DIM)])
    assert flow.encode(points(DIM, 5, dtype=torch.float32))[1].dtype == torch.float32


def test_nothing_is_remembered_of_data_that_changed():
    flow, _ = made("affine")
    data = points(DIM, 5)
    before = flow.inv(data)
    data.add_(1)
    assert not torch.equal(flow.inv(data), before)


def test_a_second_backward_pass_of_the_same_data():
    flow, _ = made("all of ours")
    data = points(DIM, 5)
    for _ in range(2):
        flow.zero_grad()
        flow.distribution(DIM).log_prob(data).sum().backward()
    for _ in range(2):
        flow.inv(data).square().sum().backward()


def test_values_without_gradients_are_not_given_to_those_who_need_them():
    flow, _ = made("affine")
    data = points(DIM, 5)
    with torch.no_grad():
        flow.inv(data)
    assert flow.inv(data).requires_grad
    with torch.inference_mode():
        flow.inv(data)
    assert flow.inv(data).requires_grad


def test_copies_share_nothing(kind):
    flow, dim = made(kind)
    data = points(dim, 5)
    before = flow.distribution(dim).log_prob(data)
    other = copy.deepcopy(flow)
    assert torch.equal(other.distribution(dim).log_prob(data), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    assert torch.equal(flow.distribution(dim).log_prob(data), before)


def test_state_moves_to_another_flow():
    first, _ = made("all of ours")
    second = FlowTransform(KINDS["all of ours"]().layers).double()
    second.load_state_dict(first.state_dict())
    data = points(DIM, 5)
    assert torch.equal(second.inv(data), first.inv(data))


def test_the_inverse_makes_a_guide_whose_model_looks_the_data_up():
    flow = FlowTransform([layer := Counting(DIM)])
    x = points(DIM, 5, dtype=torch.float32)
    posterior = pyro.distributions.TransformedDistribution(Normal(x, 0.1).to_event(1), [flow.inv])
    latent = posterior.rsample()
    log_q = posterior.log_prob(latent)
    data = flow(latent)
    assert layer.calls == 1
    expected = Normal(x, 0.1).to_event(1).log_prob(data) + flow.decode(latent)[1]
    torch.testing.assert_close(log_q, expected)


def test_it_is_the_guide_of_a_posterior_that_is_known():
    torch.manual_seed(0)
    mean, root = torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0], [0.8, 0.6]])

    def model():
        pyro.sample("z", MultivariateNormal(mean, scale_tril=root))

    def flow_of(dim):
        return FlowTransform([AffineCoupling(dim, [8]), Rotation(dim), AffineCoupling(dim, [8])])

    with pyro.get_param_store().scope():
        guide = AutoNormalizingFlow(model, flow_of)
        loss = Trace_ELBO(num_particles=128, vectorize_particles=True, max_plate_nesting=0)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 2e-2}), loss)
        for _ in range(200):
            svi.step()
        with torch.no_grad(), pyro.plate("draws", 4000, dim=-1):
            draws = guide()["z"]
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(draws.T.cov(), root @ root.T, rtol=0, atol=0.15)


def test_a_flow_prior_reaches_its_parameters():
    flow = FlowTransform([Rotation(DIM), AffineCoupling(DIM)])
    flow.distribution(DIM).log_prob(flow.distribution(DIM).rsample((6,)).detach()).sum().backward()
    assert all(parameter.grad is not None for parameter in flow.parameters())


def test_a_multiscale_flow_needs_the_shape_of_its_images():
    glow = made("MultiscaleFlow")[0].layers[0].flow
    with pytest.raises(ConfigError, match="event_shape"):
        FlowTransform(glow)
