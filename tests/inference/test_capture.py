"""A captured step is the step: the same numbers, the same noise, without Python in between."""

import copy
import shutil
from collections.abc import Callable
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn

from mutoscope.guides import SparseTransformationGuide, VariationalAutoencoderGuide
from mutoscope.inference.capture import CannotCapture, Captured, compile_networks
from mutoscope.inference.objective import Objective
from mutoscope.zoo import SparseTransformation, VariationalAutoencoder
from mutoscope.zoo.checks import deferred_checks
from mutoscope.zoo.errors import ConfigError, TransportDiverged

SHAPE = (1, 4, 4)


def sparse_transformation(**options: object) -> Objective:
    sizes: dict[str, Any] = {"num_fields": 2, "latent_dim": 3, "decoder_hidden_dim": 8, **options}
    model = SparseTransformation(SparseTransformation.Config(image_shape=SHAPE, **sizes))
    config = SparseTransformationGuide.Config(hidden_dim=8, feature_dim=8)
    return Objective(model, SparseTransformationGuide(model, config), size=50)


def autoencoder(particles: int = 1) -> Objective:
    config = VariationalAutoencoder.Config(image_shape=SHAPE, latent_dim=3, decoder_hidden_dim=8)
    model = VariationalAutoencoder(config)
    return Objective(model, VariationalAutoencoderGuide(model), size=50, particles=particles)


def autoencoder_by_two_particles() -> Objective:
    return autoencoder(particles=2)


def images(count: int, frames: int = 3) -> dict[str, Tensor]:
    return {"images": torch.rand(count, frames, *SHAPE)}


def gradients(objective: nn.Module) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in objective.named_parameters()}


def by_autograd(objective: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    objective.zero_grad()
    with deferred_checks():
        loss, terms = objective(batch)
    loss.backward()
    return loss.detach(), terms


Step = Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, Tensor]]


def train(objective: Objective, batches: list[dict[str, Tensor]], step: Step) -> list[Tensor]:
    learned = [p for p in objective.parameters() if p.requires_grad]
    adam = torch.optim.Adam(learned, lr=1e-2, fused=True)
    torch.manual_seed(7)
    found = []
    for index, batch in enumerate(batches):
        objective.drive(index / len(batches))
        loss, terms = step(objective, batch)
        nn.utils.clip_grad_norm_(learned, 1.0)
        adam.step()
        found += [loss, terms]
    return [*found, torch.rand(1)]


def runs_of(objective: nn.Module) -> list[int]:
    runs: list[int] = []
    objective.register_forward_pre_hook(lambda *_: runs.append(1))
    return runs


@pytest.mark.parametrize("make", [sparse_transformation, autoencoder, autoencoder_by_two_particles])
def test_captured_training_equals_plain_training_bit_by_bit(make: Callable[[], Objective]) -> None:
    objective = make()
    again = copy.deepcopy(objective)
    short, whole = images(6, 2), images(6, 4)
    batches = ([short] * 4 + [images(2, 2)]) * 2 + ([whole] * 4 + [images(2, 4)]) * 2
    captured, runs = Captured(again, {6}, backend="eager"), runs_of(again)
    expected = train(objective, batches, by_autograd)
    found = train(again, batches, lambda _, batch: captured(batch))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
    for name, parameter in objective.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    without_graph = 4  # the short batches
    assert len(runs) <= 2 * 2 + without_graph, "a captured step runs no Python of the objective"


class Quadratic(nn.Module):
    """Parameters that share a gradient, have one that is expanded, or have none at all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.expanded = (nn.Parameter(torch.rand(4)) for _ in range(3))
        self.transposed = nn.Parameter(torch.rand(3, 4))
        self.unused = nn.Parameter(torch.rand(2))
        self.frozen = nn.Parameter(torch.rand(4), requires_grad=False)
        self.register_buffer("scale", torch.tensor(2.0))

    scale: Tensor

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        shared = (self.first + self.second) * batch["x"][0] + self.expanded * self.frozen.sum()
        loss = shared.sum() + (batch["x"] @ self.transposed.T).square().sum() * self.scale
        return loss + self.expanded.sum(), torch.stack([loss.detach(), self.scale])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_changes_in_place_count(backend: str) -> None:
    objective, batch = Quadratic(), {"x": torch.rand(5, 4)}
    captured = Captured(objective, {5}, backend=backend)
    for _ in range(3):
        loss, terms = captured(batch)
        found = gradients(objective)
        expected = by_autograd(objective, batch)
        assert torch.equal(loss, expected[0])
        assert torch.equal(terms, expected[1])
        for name, gradient in gradients(objective).items():
            assert (gradient is None) == (found[name] is None) == (name in ("unused", "frozen"))
            assert gradient is None or torch.equal(found[name], gradient), name
        objective.scale.mul_(3)
        objective.load_state_dict({n: x + 0.5 for n, x in objective.state_dict().items()})


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("size", [5, 6], ids=["captured", "plain"])
def test_gradients_share_memory_with_nothing(backend: str, size: int) -> None:
    objective, batch = Quadratic(), {"x": torch.rand(5, 4)}
    captured = Captured(objective, {size}, backend=backend)
    loss, _ = captured(batch)
    found = {name: x for name, x in gradients(objective).items() if x is not None}
    before = {name: x.clone() for name, x in found.items()}
    state = {name: x.clone() for name, x in objective.state_dict().items()}
    for name, gradient in found.items():
        gradient.mul_(10)
        assert all(torch.equal(x, before[n]) for n, x in found.items() if n != name)
        gradient.copy_(before[name])
    assert all(torch.equal(x, state[n]) for n, x in objective.state_dict().items())
    assert torch.equal(captured(batch)[0], loss)
    for name, gradient in found.items():
        assert gradient.stride() == objective.get_parameter(name).stride()


def test_results_are_detached_and_leave_the_parameters_alone() -> None:
    objective = autoencoder()
    state = {name: x.clone() for name, x in objective.state_dict().items()}
    captured = Captured(objective, {3}, backend="eager")
    for count in (3, 2):  # with a graph and without
        loss, terms = captured(images(count))
        assert not loss.requires_grad
        assert not terms.requires_grad
    assert all(torch.equal(x, state[name]) for name, x in objective.state_dict().items())
    assert all(parameter.requires_grad for parameter in objective.parameters())


class Counting(nn.Module):
    """Counts its own steps in a buffer, as a normalisation keeps its averages."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(()))
        self.register_buffer("steps", torch.zeros(()))

    steps: Tensor

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        self.steps += 1
        return self.weight * batch["x"].sum() + torch.rand(()), self.steps.clone()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_capturing_leaves_no_trace(backend: str) -> None:
    objective, batch = Counting(), {"x": torch.rand(3)}
    torch.manual_seed(3)
    expected = [by_autograd(copy.deepcopy(objective), batch)[0], torch.rand(())]
    torch.manual_seed(3)
    captured = Captured(objective, {3}, backend=backend)
    found = [captured(batch)[0], torch.rand(())]
    assert found == expected
    captured(batch)
    assert objective.steps == 2


def test_graphs_are_few_and_for_the_sizes_that_are_wanted() -> None:
    objective = autoencoder()
    captured, runs = Captured(objective, {4, 5}, backend="eager"), runs_of(objective)

    def makes_graph(count: int, frames: int) -> bool:
        batch = images(count, frames)
        captured(batch)
        runs.clear()
        captured(batch)
        return not runs

    assert not makes_graph(3, 2), "a smaller batch"
    assert makes_graph(4, 2)
    assert makes_graph(4, 3), "another window"
    assert makes_graph(5, 2), "another size"
    assert makes_graph(4, 4)
    assert not makes_graph(4, 5), "a fifth graph"
    assert makes_graph(4, 2), "a graph is kept"


class Branching(nn.Module):
    """What it computes depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(()))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        sign = 1 if batch["x"].sum() > 0 else -1
        loss = sign * self.weight + torch.rand(())
        return loss, loss.detach().reshape(1)


def no_compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    raise FileNotFoundError("g++")


@pytest.mark.parametrize(
    ("make", "backend", "reason"),
    [
        (Branching, "eager", "DataDependent"),
        (Quadratic, "none such", "InvalidBackend: .*none such"),
        (Quadratic, no_compiler, r"FileNotFoundError: g\+\+"),
    ],
)
def test_what_cannot_be_captured_is_told_before_anything_has_happened(
    make: Callable[[], nn.Module], backend: Any, reason: str
) -> None:
    objective = make()
    captured = Captured(objective, {2}, backend=backend)
    noise = torch.get_rng_state()
    with pytest.raises(CannotCapture, match=reason):
        captured({"x": torch.ones(2, 4)})
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(gradient is None for gradient in gradients(objective).values())


def test_solvers_that_adapt_their_steps_cannot_be_captured() -> None:
    with pytest.raises(CannotCapture):
        Captured(sparse_transformation(method="dopri5"), {3}, backend="eager")(images(3))


class Mistaken(nn.Module):
    """Raises what a user has to see."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(()))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        raise ConfigError("Only one site may have proposals.")


def test_errors_of_the_objective_come_out_as_they_are() -> None:
    with pytest.raises(ConfigError, match="Only one site"):
        Captured(Mistaken(), {3}, backend="eager")({"x": torch.rand(3)})


def test_models_are_captured_whether_pyro_validates_or_not() -> None:
    objective = autoencoder()
    captured, runs = Captured(objective, {3}, backend="eager"), runs_of(objective)
    with pyro.validation_enabled(True):
        captured(images(3))
        runs.clear()
        captured(images(3))
    assert not runs


def test_a_captured_step_that_diverges_is_not_finite() -> None:
    objective, batch = sparse_transformation(), images(3)
    captured = Captured(objective, {3}, backend="eager")
    assert captured(batch)[0].isfinite()
    objective.get_parameter("elbo.model.potential.weight").data.fill_(1e9)
    assert captured(batch)[0].isnan()
    with pytest.raises(TransportDiverged):
        objective(batch)


class Careful(nn.Module):
    """Computes with lower precision, but not everything."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.rand(4, 4)) for _ in range(2))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        hidden = batch["x"] @ self.first
        with torch.autocast("cpu", enabled=False):
            loss = torch.tanh(hidden.float() @ self.second).square().sum()
        return loss, torch.stack([loss])


def test_lower_precision_is_captured() -> None:
    objective, batch = Careful(), {"x": torch.rand(3, 4)}
    captured = Captured(objective, {3}, backend="eager")
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = captured(batch)[0]
            ours = gradients(objective)
            objective.zero_grad()
            loss, _ = objective(batch)
        loss.backward()
        assert torch.equal(found, loss)
        for name, gradient in gradients(objective).items():
            assert torch.equal(ours[name], gradient), name
    assert objective(batch)[0] != loss, "the precision is lower indeed"


class Noisy(nn.Module):
    """Small enough to be compiled in a test."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 4))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        noise = torch.randn_like(batch["x"]) * torch.rand_like(batch["x"])
        loss = torch.tanh((batch["x"] + noise) @ self.weight).square().mean()
        return loss, torch.stack([loss.detach(), noise.sum()])


def agree_compiled(objective: nn.Module, batch: dict[str, Tensor]) -> None:
    captured = Captured(objective, {len(next(iter(batch.values())))})
    for seed in range(2):
        torch.manual_seed(seed)
        found = captured(batch)
        ours = gradients(objective)
        torch.manual_seed(seed)
        torch.testing.assert_close(found, by_autograd(objective, batch), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours, gradients(objective), rtol=1e-3, atol=1e-5)
    next(objective.parameters()).data.fill_(torch.nan)
    assert not captured(batch)[0].isfinite()


compiles = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")


@compiles
def test_a_compiled_step_draws_the_same_noise() -> None:
    agree_compiled(Noisy(), {"x": torch.rand(3, 4)})


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("make", [autoencoder, sparse_transformation])
def test_compiled_steps_of_models_agree(make: Callable[[], Objective]) -> None:
    agree_compiled(make(), images(4))


# Torch hides this warning of its own from users, but not from filters that make errors of it.
quiet = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@quiet
def test_networks_are_compiled_in_place_and_compute_the_same() -> None:
    objective = sparse_transformation()
    batch, names = images(3), set(objective.state_dict())
    torch.manual_seed(0)
    expected = by_autograd(objective, batch)[0]
    seen: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        seen.append(graph.code)
        return graph.forward

    compile_networks(objective.elbo.model, objective.elbo.guide, backend=backend)
    torch.manual_seed(0)
    assert torch.equal(by_autograd(objective, batch)[0], expected)
    assert set(objective.state_dict()) == names
    assert len(seen) == 3, "decoder, encoder of frames, comparison of neighbours"


@quiet
def test_there_may_be_many_networks() -> None:
    seen: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        seen.append(1)
        return graph.forward

    networks = nn.ModuleList(nn.Sequential(nn.Linear(3, 3), *[nn.Tanh()] * n) for n in range(1, 13))
    program = nn.Identity()
    program.networks = networks
    compile_networks(program, nn.Identity(), backend=backend)
    for network in networks:
        network(torch.rand(2, 3))
    assert len(seen) == len(networks)


@quiet
def test_networks_that_do_not_compile_stay_as_they_are() -> None:
    objective, batch = autoencoder(), images(3)
    torch.manual_seed(0)
    expected = by_autograd(objective, batch)[0]
    tried: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        tried.append(1)
        raise FileNotFoundError("g++")

    compile_networks(objective.elbo.model, objective.elbo.guide, backend=backend)
    for _ in range(2):
        torch.manual_seed(0)
        assert torch.equal(by_autograd(objective, batch)[0], expected)
    assert len(tried) == 2, "once for each network"
