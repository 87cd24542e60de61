"""Time of a training step of distributed operators, against the work of the published step.

    python benchmarks/operator_step.py [--rounds 15]

Both have the sizes, the losses and the optimizer of the published runs (28 x 28 pixels, K = 10,
batches of 32; Bouchacourt et al. 2021, brief in the docstrings of our classes). The published
step's work is written in plain torch as its text has it: with labels, a dense matrix of the
operator for each sample; without, a decoding for each of K elements, one after the other. Programs
run in turns on one thread; ratios are of medians of processor time.
"""

import argparse
import platform

import pyro
import torch
from step_time import Step, measure
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mutoscope.guides import DistributedOperatorGuide
from mutoscope.inference.objective import Objective
from mutoscope.zoo import DistributedOperator
from mutoscope.zoo.checks import deferred_checks

BATCH, SHAPE, PIXELS, ORDER = 32, (1, 28, 28), 784, 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=15, help="runs of each program")
    rounds = options.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, pyro {pyro.__version__}, Python {platform.python_version()}; "
        f"B={BATCH}, K={ORDER}, 28 x 28 pixels, one thread"
    )
    report(
        "with labels, D=1000: dense matrices over",
        {
            "dense matrices": dense_step("shift"),
            "ours, shift": our_step("shift"),
            "ours, complex": our_step("complex"),
        },
        rounds,
    )
    report(
        "disentangled, D=1000: dense matrices over",
        {
            "dense matrices": dense_step("disentangled"),
            "ours": our_step("disentangled"),
        },
        rounds,
    )
    report(
        "without labels, D=784 (ours 800) complex numbers: K decodings in a loop over",
        {"loop": loop_step(), "ours, complex": our_step("complex", labelled=False, latent=1600)},
        rounds,
    )
    orders = (8, 16, 32, 64, 128, 256)
    programs = {f"K={k}": our_step("shift", order=k, latent=1024) for k in orders}
    programs |= {f"K={k}, complex": our_step("complex", order=k, latent=1024) for k in orders}
    report("ours with labels as K grows, D=1024: the first over", programs, rounds)


def report(title: str, programs: dict[str, Step], rounds: int) -> None:
    """Print times, and how many times faster than the first program each is."""
    times = measure(programs, rounds)
    first = next(iter(times.values()))[0]
    print(f"\n{title}\n{'':24}{'CPU ms':>10}{'wall ms':>10}{'ratio':>10}")
    for name, (cpu, wall) in times.items():
        print(f"{name:24}{1e3 * cpu:10.1f}{1e3 * wall:10.1f}{first / cpu:10.2f}", flush=True)


def pairs() -> tuple[Tensor, Tensor]:
    return torch.rand(BATCH, 2, *SHAPE), torch.randint(ORDER, (BATCH,))


def our_step(
    operator: str, *, labelled: bool = True, order: int = ORDER, latent: int = 1000
) -> Step:
    images, element = pairs()
    config = DistributedOperator.Config(
        image_shape=SHAPE, orders=(order,), operator=operator, latent_dim=latent
    )
    model = DistributedOperator(config)
    objective = Objective(model, DistributedOperatorGuide(model), size=60_000)
    adam = torch.optim.Adam(objective.parameters(), lr=1e-3, fused=True)
    batch = {"images": images} | ({"transformation": element} if labelled else {})

    def step() -> None:
        with deferred_checks(), pyro.validation_enabled(False):
            objective(batch)[0].backward()
        adam.step()
        adam.zero_grad()

    return step


def dense_step(operator: str, latent: int = 1000) -> Step:
    """Return the step with labels: a matrix for each sample, made in the step."""
    (images, element), blocks = pairs(), latent // ORDER
    encoder, decoder = nn.Linear(PIXELS, latent, bias=False), nn.Linear(latent, PIXELS, bias=False)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    first, second = images.flatten(2).unbind(1)
    one = torch.eye(latent)

    def matrix(k: int) -> Tensor:
        if operator == "shift":
            return one.roll(k * blocks, 0)
        angle = torch.tensor(2 * torch.pi * k / ORDER)
        turned = one.clone()
        turned[0, 0] = turned[1, 1] = angle.cos()
        turned[1, 0], turned[0, 1] = angle.sin(), -angle.sin()
        return turned

    def step() -> None:
        code = encoder(first)
        matrices = torch.stack([matrix(k) for k in element.tolist()])
        moved = (matrices @ code.unsqueeze(-1)).squeeze(-1)
        (mse_loss(decoder(code), first) + mse_loss(decoder(moved), second)).backward()
        adam.step()
        adam.zero_grad()

    return step


def loop_step(latent: int = PIXELS) -> Step:
    """Return the step without labels: complex codes, and a decoding for each element in turn."""
    images, _ = pairs()
    parts = [nn.Linear(PIXELS, latent, bias=False) for _ in range(2)]
    parts += [nn.Linear(latent, PIXELS, bias=False) for _ in range(2)]
    real, imaginary, real_out, imaginary_out = parts
    adam = torch.optim.Adam([p for part in parts for p in part.parameters()], lr=1e-3, fused=True)
    first, second = images.flatten(2).unbind(1)
    frequency = torch.arange(latent) % ORDER
    angle = 2 * torch.pi * torch.arange(ORDER)[:, None] * frequency / ORDER
    phases = torch.polar(torch.ones_like(angle), angle)

    def encode(pixels: Tensor) -> Tensor:
        return torch.complex(real(pixels), imaginary(pixels))

    def decode(code: Tensor) -> Tensor:
        return real_out(code.real) - imaginary_out(code.imag)

    def step() -> None:
        one, other = encode(first), encode(second)
        cross = other * one.conj()
        cross = cross / cross.abs()
        score = torch.stack([(cross * phases[k].conj()).real.mean(-1) for k in range(ORDER)], -1)
        weight = (score / 0.1).softmax(-1)
        loss = mse_loss(decode(one), first)
        for k in range(ORDER):
            error = (decode(one * phases[k]) - second).square().mean(-1)
            loss = loss + (weight[:, k] * error).mean()
        loss.backward()
        adam.step()
        adam.zero_grad()

    return step


if __name__ == "__main__":
    main()
