"""Time of a training step, against automatic differentiation and against plain Pyro.

    python benchmarks/step_time.py

Programs run in turns on one thread. CPU time of the process is what counts: it hardly depends on
what else the machine does. The last column says how many times the cost of ours a program has.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import get_args

import pyro
import torch
from by_autograd import AllAtOnceFlow, AutogradFlow, PlainGuide, PlainModel
from torch import Tensor

from mutoscope.guides import SparseTransformationGuide
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.fields import AbstractFlow, PotentialField, RotationalField, join_ridge_flows
from mutoscope.zoo.transport import Method, transport, transport_error

NUM_FIELDS, LATENT_DIM, FRAMES = 8, 16, 9
IMAGE_SHAPE = (1, 28, 28)
SIZE = 60_000  # of the whole data set

Step = Callable[[], object]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=9, help="runs of each program")
    repeats = options.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    report(
        f"Fields and transport, forward and backward (B=128, K={NUM_FIELDS}, D={LATENT_DIM}, "
        f"{FRAMES} frames, rk4)",
        measure(transport_programs(128), repeats),
    )
    report(
        f"Training step of sparse transformation analysis (B=32, {FRAMES} frames of 28 x 28)",
        measure(training_programs(32), repeats),
    )
    programs, errors = solver_programs(128)
    report("Solvers, forward and backward (B=128)", measure(programs, repeats), errors)


def measure(programs: dict[str, Step], repeats: int) -> dict[str, tuple[float, float]]:
    """Return the median CPU and wall time of each program in seconds, run in turns."""
    for step in programs.values():
        step()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, step in programs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            step()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: median_of(times) for name, times in taken.items()}


def median_of(times: list[tuple[float, float]]) -> tuple[float, float]:
    cpu, wall = zip(*times, strict=True)
    return statistics.median(cpu), statistics.median(wall)


def report(
    title: str, times: dict[str, tuple[float, float]], notes: dict[str, str] | None = None
) -> None:
    """Print one table; the first program is ours."""
    ours = next(iter(times.values()))[0]
    print(f"\n{title}\n{'':34}{'CPU ms':>10}{'wall ms':>10}{'ratio':>8}")
    for name, (cpu, wall) in times.items():
        note = (notes or {}).get(name, "")
        print(f"{name:34}{1e3 * cpu:10.1f}{1e3 * wall:10.1f}{cpu / ours:8.2f}{note}", flush=True)


def transport_programs(batch: int) -> dict[str, Step]:
    """Return the same transport with closed-form and with automatic gradients, checked equal."""
    potential = PotentialField(NUM_FIELDS, LATENT_DIM)
    rotational = RotationalField(NUM_FIELDS, LATENT_DIM)
    parameters = [p for p in (*potential.parameters(), *rotational.parameters()) if p.requires_grad]
    latent = torch.randn(batch, LATENT_DIM, requires_grad=True)
    speed = torch.rand(batch, FRAMES - 1, NUM_FIELDS, requires_grad=True)

    def program(make: Callable[[], AbstractFlow]) -> Callable[[], tuple[Tensor, ...]]:
        def step() -> tuple[Tensor, ...]:
            moved = transport(make(), latent, speed).latent
            inputs = [latent, speed, *parameters]
            return moved, *torch.autograd.grad(moved.square().mean(), inputs)

        return step

    programs = {
        "closed form (ours)": program(
            lambda: join_ridge_flows(potential.flow(), rotational.flow())
        ),
        "autograd, field by field": program(lambda: AutogradFlow(potential, rotational)),
        "autograd, all fields at once": program(lambda: AllAtOnceFlow(potential, rotational)),
    }
    ours, *others = (step() for step in programs.values())
    for other in others:
        for found, expected in zip(other, ours, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    return dict(programs)


def training_programs(batch: int) -> dict[str, Step]:
    """Return one training step of ours and one of plain Pyro."""
    images = torch.rand(batch, FRAMES, *IMAGE_SHAPE).round()
    options = {"num_fields": NUM_FIELDS, "latent_dim": LATENT_DIM, "length": FRAMES}
    steps = {}
    for method in ("rk4", "dopri5"):
        config = SparseTransformation.Config.from_dict(
            {"image_shape": IMAGE_SHAPE, "slab": "laplace", "slab_scale": 0.1, "method": method}
            | options
        )
        steps[f"Mutoscope, {method}"] = our_step(config, images)
    return steps | {"plain Pyro, dopri5": plain_step(images)}


def our_step(config: SparseTransformation.Config, images: Tensor) -> Step:
    model = SparseTransformation(config)
    elbo = Elbo(model, SparseTransformationGuide(model))
    adam = torch.optim.Adam(elbo.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        with pyro.validation_enabled(False):
            elbo({"images": images}, size=SIZE).objective.backward()
        adam.step()
        adam.zero_grad()

    return step


def plain_step(images: Tensor, method: str = "dopri5") -> Step:
    sizes = IMAGE_SHAPE, NUM_FIELDS, LATENT_DIM
    warnings.filterwarnings("ignore", message="drift was not registered")  # it is a constant
    inference = pyro.infer.SVI(
        PlainModel(*sizes, method),
        PlainGuide(*sizes),
        pyro.optim.Adam({"lr": 1e-3}),
        pyro.infer.Trace_ELBO(),
    )

    def step() -> None:
        with pyro.validation_enabled(True):
            inference.step(images, SIZE)

    return step


def solver_programs(batch: int) -> tuple[dict[str, Step], dict[str, str]]:
    """Return our transport by each solver, and the error of each."""
    potential = PotentialField(NUM_FIELDS, LATENT_DIM)
    rotational = RotationalField(NUM_FIELDS, LATENT_DIM)
    latent = torch.randn(batch, LATENT_DIM, requires_grad=True)
    speed = torch.rand(batch, FRAMES - 1, NUM_FIELDS)

    def make() -> AbstractFlow:
        return join_ridge_flows(potential.flow(), rotational.flow())

    def program(method: Method, *, adjoint: bool = False) -> Step:
        def step() -> None:
            moved = transport(make(), latent, speed, method=method, adjoint=adjoint)
            moved.latent.square().mean().backward()

        return step

    order: list[Method] = ["rk4", *(name for name in get_args(Method) if name != "rk4")]
    programs = {name: program(name) for name in order}
    errors = {
        name: f"   error {transport_error(make(), latent, speed, method=name):.1e}"
        for name in order
    }
    adjoints = {f"{name}, adjoint": program(name, adjoint=True) for name in ("rk4", "dopri5")}
    return programs | adjoints, errors


if __name__ == "__main__":
    main()
