"""What additive decoders identify, and what they make of blocks that were never seen together.

    python benchmarks/additive_quality.py [--seeds 5] [--supports square l_shape disconnected]

Balls that move up and down, 12 x 12 pixels; `--restarts` candidates, of which the held-out ELBO
chooses. Errors are root mean squares over pixels in [0, 1]. In the corner, each block comes from a
picture of the training support whose ball stands where it is to stand, so that only the decoder
goes beyond that support. About 90 seconds for each fit on one free core.
"""

import argparse
import statistics
from typing import Literal

import torch
from torch import Tensor

from mutoscope.guides import AdditiveDecoderGuide
from mutoscope.inference import Run, fit
from mutoscope.inference.metrics import BlockMatching, match_blocks
from mutoscope.inference.recombination import recombine
from mutoscope.zoo import AdditiveDecoder
from mutoscope.zoo.datasets import MovingBalls
from mutoscope.zoo.datasets.balls import BallSplit, BallTruth

Decoder = Literal["additive", "joint"]


def trained(data: MovingBalls, decoder: Decoder, *, seed: int, restarts: int, steps: int) -> Run:
    """Fit the published autoencoder."""
    torch.manual_seed(seed)
    config = AdditiveDecoder.Config(image_shape=data.image_shape, decoder=decoder, prior="none")
    model = AdditiveDecoder(config)
    guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(posterior="point"))
    return fit(
        model,
        guide,
        data,
        max_steps=steps,
        batch_size=128,
        learning_rate=1e-3,
        restarts=restarts,
        seed=seed,
        log_every=100,
        progress=False,
    )


def inferred(run: Run, images: Tensor) -> Tensor:
    """Return the latents of pictures, (picture, block, latent)."""
    with torch.no_grad():
        return run.guide.latent_posterior(images).mean[:, 0]


def matching(run: Run, split: BallSplit) -> BlockMatching:
    """Match blocks to balls by their heights."""
    heights = split.truth.position[:, 0, :, 1:]
    return match_blocks(inferred(run, split.observations["images"]), heights)


def error(found: Tensor, true: Tensor) -> float:
    """Return the root mean square error of pixels in [0, 1]."""
    return float((found.clamp(0, 1) - true).square().mean().sqrt())


def donors(split: BallSplit, ball: int) -> Tensor:
    """Return pictures whose `ball` stands where it does in the split, the other one low."""
    position = split.truth.position.clone()
    low = torch.rand(len(position), generator=torch.Generator().manual_seed(ball))
    position[:, 0, 1 - ball, 1] = 0.1 + 0.3 * low
    truth = BallTruth(position=position)
    return BallSplit(truth, size=split.size, radius=split.radius).observations["images"]


def corner_error(run: Run, data: MovingBalls) -> float:
    """Return the error of pictures of the corner, made of blocks from the support."""
    of_truth = matching(run, data.test).block_of_truth
    given = [{"images": donors(data.corner, int(ball))} for ball in of_truth.argsort()]
    found = recombine(run.model, run.guide, given)
    return error(found, data.corner.observations["images"])


def reconstruction_error(run: Run, data: MovingBalls) -> float:
    """Return the error of test pictures."""
    images = data.test.observations["images"]
    return error(recombine(run.model, run.guide, [{"images": images}] * 2), images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--restarts", type=int, default=6)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--supports", nargs="+", default=["square", "l_shape", "disconnected"])
    parser.add_argument("--decoders", nargs="+", default=["additive", "joint"])
    given = parser.parse_args()
    for support in given.supports:
        for decoder in given.decoders:
            rows = []
            for seed in range(given.seeds):
                data = MovingBalls(support, seed=seed)
                run = trained(data, decoder, seed=seed, restarts=given.restarts, steps=given.steps)
                score = matching(run, data.test).score
                rows.append((reconstruction_error(run, data), score, corner_error(run, data)))
                print(f"{support} {decoder} {seed}: {rows[-1]}", flush=True)
            for name, column in zip(
                ("RMSE", "score", "corner RMSE"), zip(*rows, strict=True), strict=True
            ):
                worst = min(column) if name == "score" else max(column)
                print(f"  {name}: median {statistics.median(column):.4f}, worst {worst:.4f}")


if __name__ == "__main__":
    main()
