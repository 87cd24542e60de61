"""Time of a training step of sparse transformation analysis: plain Pyro, ours, ours compiled.

    python benchmarks/sparse_transformation_step.py [--rounds 9]

All have the same sizes, priors and likelihood. Plain Pyro is what one would write first: a
PyroModule, Trace_ELBO with validation, dopri5 on gradients by autograd of one field after the
other, relaxed spikes beside slabs, a site for each frame; the second program differs from it by our
solver. Ours takes one Runge-Kutta step of order four for each frame, in closed form. Programs run
in turns on one thread; ratios are of medians of processor time. Compiling takes up to a minute or
two the first time, and is not counted.
"""

import argparse
import platform
import time

import pyro
import torch
from step_time import FRAMES, IMAGE_SHAPE, LATENT_DIM, NUM_FIELDS, SIZE, Step, measure, plain_step
from torch import Tensor

from mutoscope.guides import SparseTransformationGuide
from mutoscope.inference.capture import Captured
from mutoscope.inference.objective import Objective
from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.checks import deferred_checks

BATCH = 32
PLAIN, PLAIN_IN_STEPS = "plain Pyro, dopri5", "plain Pyro, rk4"
WRITTEN, COMPILED = "Mutoscope, as written", "Mutoscope, captured and compiled"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=9, help="runs of each program")
    rounds = options.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.rand(BATCH, FRAMES, *IMAGE_SHAPE).round()
    compiled, began = compiled_step(images), time.perf_counter()
    compiled()
    print(f"compiled in {time.perf_counter() - began:.0f} s")
    programs = {
        PLAIN: plain_step(images),
        PLAIN_IN_STEPS: plain_step(images, "rk4"),
        WRITTEN: written_step(images),
        COMPILED: compiled,
    }
    report(measure(programs, rounds))


def report(times: dict[str, tuple[float, float]]) -> None:
    """Print times, and how many times faster than plain Pyro each program is."""
    print(
        f"torch {torch.__version__}, pyro {pyro.__version__}, Python {platform.python_version()}; "
        f"B={BATCH}, T={FRAMES}, D={LATENT_DIM}, K={NUM_FIELDS}, one thread"
    )
    print(f"{'':34}{'CPU ms':>10}{'wall ms':>10}{'speedup':>10}")
    for name, (cpu, wall) in times.items():
        print(f"{name:34}{1e3 * cpu:10.1f}{1e3 * wall:10.1f}{times[PLAIN][0] / cpu:10.1f}")


def objective() -> Objective:
    """Return our loss, with fields of the width that those of plain Pyro have."""
    config = SparseTransformation.Config(
        image_shape=IMAGE_SHAPE,
        length=FRAMES,
        num_fields=NUM_FIELDS,
        latent_dim=LATENT_DIM,
        field_hidden_dim=32,
        slab="laplace",
        slab_scale=0.1,
        likelihood="bernoulli",
    )
    model = SparseTransformation(config)
    return Objective(model, SparseTransformationGuide(model), size=SIZE)


def written_step(images: Tensor) -> Step:
    loss = objective()
    adam = adam_of(loss)

    def step() -> None:
        adam.zero_grad()
        with pyro.validation_enabled(False), deferred_checks():
            loss({"images": images})[0].backward()
        adam.step()

    return step


def compiled_step(images: Tensor) -> Step:
    loss = objective()
    adam, captured = adam_of(loss), Captured(loss, {len(images)})

    def step() -> None:
        captured({"images": images})
        adam.step()

    return step


def adam_of(loss: Objective) -> torch.optim.Adam:
    learned = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    return torch.optim.Adam(learned, lr=1e-3, fused=True)


if __name__ == "__main__":
    main()
