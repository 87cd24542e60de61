"""What `fit` costs beside a loop written by hand: seconds of a step, as ratios.

    python benchmarks/fit_overhead.py [--rows 60] [--compile]

Both train the same variational autoencoder on the same 28x28 images in batches of 128: the loop by
hand in plain torch with an analytic KL and Adam's defaults, `fit` with everything on (progress bar,
CSV, checkpoints every ten seconds). The two take turns of ten steps each; the ratio is that of
medians over turns.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import pyro
import torch
from pyro.distributions import Normal
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from mutoscope.inference import fit
from mutoscope.zoo.distributions import PixelBernoulli

BATCH, LATENT, COUNT, LOG_EVERY = 128, 16, 4096, 10


def perceptron() -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder with one hidden layer of 400."""
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 2 * LATENT)
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT, 400), nn.ReLU(), nn.Linear(400, 784), nn.Unflatten(-1, (1, 28, 28))
    )
    return encoder, decoder


def convolutional() -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder with two strided convolutions and a hidden layer."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 49, 256),
        nn.ReLU(),
        nn.Linear(256, 2 * LATENT),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT, 256),
        nn.ReLU(),
        nn.Linear(256, 64 * 49),
        nn.ReLU(),
        nn.Unflatten(-1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1),
    )
    return encoder, decoder


class Model(nn.Module):
    """`z ~ Normal(0, I)`, `images ~ Bernoulli(decoder(z))`."""

    dims: ClassVar = {"z": ("image", "latent"), "images": ("image", "channel", "row", "column")}

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("zero", torch.zeros(LATENT))

    def forward(self, images: Tensor | None = None, *, size: int = 1) -> None:
        """Run the generative story."""
        count = size if images is None else len(images)
        with pyro.plate("image", size, subsample=torch.arange(count), dim=-1):
            latent = pyro.sample("z", Normal(self.zero, torch.ones_like(self.zero)).to_event(1))
            pyro.sample("images", PixelBernoulli(self.decoder(latent)), obs=images)


class Guide(nn.Module):
    """`z ~ Normal(encoder(images))`."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor, *, size: int) -> None:
        """Draw the latents."""
        location, scale = self.encoder(images).chunk(2, -1)
        with pyro.plate("image", size, subsample=torch.arange(len(images)), dim=-1):
            pyro.sample("z", Normal(location, softplus(scale) + 1e-4).to_event(1))


def by_hand(
    make: Callable[[], tuple[nn.Module, nn.Module]], images: Tensor
) -> Callable[[int], float]:
    """Return a function that takes so many steps and returns the seconds of one."""
    encoder, decoder = make()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)

    def step(batch: Tensor) -> None:
        location, scale = encoder(batch).chunk(2, -1)
        scale = softplus(scale) + 1e-4
        latent = location + scale * torch.randn_like(scale)
        logits = decoder(latent)
        likelihood = -binary_cross_entropy_with_logits(logits, batch, reduction="sum")
        divergence = 0.5 * (location**2 + scale**2 - 1 - 2 * scale.log()).sum()
        loss = (divergence - likelihood) / len(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(images)).split(BATCH)

    rows = batches()

    def run(steps: int) -> float:
        started = time.perf_counter()
        for _, indices in zip(range(steps), rows, strict=False):
            step(images[indices])
        return (time.perf_counter() - started) / steps

    return run


class Turns:
    """A logger that lets the loop by hand take as many steps after each row of `fit`.

    Attributes:
        seconds: Of a step, by who took it; those of the first rows, which compile, are left out.
    """

    def __init__(self, hand: Callable[[int], float]) -> None:
        self._hand, self._rows, self._began = hand, 0, 0.0
        self.seconds: dict[str, list[float]] = {"hand": [], "fit": []}

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """End the turn of `fit`, and give one to the loop by hand."""
        ended = time.perf_counter()
        by_hand = self._hand(LOG_EVERY)
        self._rows += 1
        if self._rows > 3:
            self.seconds["fit"].append((ended - self._began) / LOG_EVERY)
            self.seconds["hand"].append(by_hand)
        self._began = time.perf_counter()


def compare(
    name: str, make: Callable[[], tuple[nn.Module, nn.Module]], rows: int, *, compiled: bool
) -> None:
    images = torch.rand(COUNT, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    turns = Turns(by_hand(make, images))
    encoder, decoder = make()
    with tempfile.TemporaryDirectory() as folder:
        fit(
            Model(decoder),
            Guide(encoder),
            {"images": images},
            out=folder,
            max_steps=rows * LOG_EVERY,
            batch_size=BATCH,
            log_every=LOG_EVERY,
            checkpoint_seconds=10.0,
            compile=compiled,
            loggers=[turns],
        )
    hand, ours = (1e3 * statistics.median(turns.seconds[who]) for who in ("hand", "fit"))
    print(f"{name:14s} by hand {hand:6.2f} ms   fit {ours:6.2f} ms   ratio {ours / hand:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60, help=f"turns of {LOG_EVERY} steps")
    parser.add_argument("--compile", action="store_true", help="fit with compile=True")
    arguments = parser.parse_args()
    os.environ["TTY_COMPATIBLE"] = "1"  # draw the bar, wherever the output goes
    versions = f"torch {torch.__version__}, pyro {pyro.__version__}"
    print(f"{versions}, Python {platform.python_version()}, {torch.get_num_threads()} threads")
    compare("perceptron VAE", perceptron, arguments.rows, compiled=arguments.compile)
    compare("conv VAE", convolutional, arguments.rows, compiled=arguments.compile)


if __name__ == "__main__":
    main()
