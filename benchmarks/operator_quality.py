"""Error of transported images: distributed operators, and what they are measured against.

    python benchmarks/operator_quality.py [--seeds 3] [--rotation]

Polygons that are drawn from the same laws for all (14 x 14 pixels and seven exact translations; or
28 x 28 and ten rotations, each image turned from the one before, as published). A model sees the
first image of a pair of unseen shapes, is told which element acts, and predicts the second; numbers
are mean squared errors of pixels.

Autoencoders have no operator. The best they can do with a single latent is searched for, in their
favour, on the very pairs that are scored: one latent of all, moved by the best of 41 steps for each
element.
"""

import argparse
import statistics

import torch
from torch import Tensor

from mutoscope.guides import DistributedOperatorGuide, VariationalAutoencoderGuide
from mutoscope.inference import Run, fit
from mutoscope.zoo import DistributedOperator, VariationalAutoencoder
from mutoscope.zoo.datasets import OrbitSequences, polygons

SCORED = 2000
REACH = torch.linspace(-4, 4, 41)  # steps of a latent, whose prior has unit variance


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--rotation", action="store_true")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[float]] = {}
    for seed in range(chosen.seeds):
        data = rotations(seed) if chosen.rotation else translations(seed)
        for name, error in errors(data, seed).items():
            rows.setdefault(name, []).append(error)
            print(f"seed {seed}  {name:44}{error:.2e}", flush=True)
    print()
    for name, found in rows.items():
        print(f"{name:44}{statistics.mean(found):.2e}   {', '.join(f'{e:.1e}' for e in found)}")


def translations(seed: int) -> OrbitSequences:
    return OrbitSequences(
        polygons(450, 14),
        (7,),
        ("translation_x",),
        seed=seed,
        labelled=True,
        fractions=(0.4, 0.05, 0.55),
    )


def rotations(seed: int) -> OrbitSequences:
    return OrbitSequences(polygons(300), seed=seed, labelled=True, warp="accumulate")


def errors(data: OrbitSequences, seed: int) -> dict[str, float]:
    """Return the error of each model on the same unseen pairs."""
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))
    rows = order[:SCORED]
    images, acted = data.test.batch(rows)["images"], data.test.truth.acted[rows]
    first, second = images.unbind(1)
    mean = data.train.batch(range(min(2000, len(data.train))))["images"].mean((0, 1))
    found = {"mean image": error(mean, second), "nothing moves": error(first, second)}
    for operator in ("disentangled", "shift", "complex"):
        run = trained(data, operator, seed)
        with torch.no_grad():
            code = run.guide.codes(images)[:, 0]
            moved = run.model.decoder(run.model.operator(code, acted))
        found[operator] = error(moved, second)
    for name, beta in (("autoencoder", 1e-3), ("VAE", 1.0), ("beta-VAE (4)", 4.0)):
        found[f"{name}, best single latent"] = traversal(data, images, acted, seed, beta)
    return found


def error(predicted: Tensor, seen: Tensor) -> float:
    return float((predicted - seen).square().mean())


def steps_of(data: OrbitSequences) -> dict[str, int]:
    return {"max_epochs": 10} if data.image_shape[1] == 28 else {"max_steps": 2000}


def trained(data: OrbitSequences, operator: str, seed: int) -> Run:
    latent = 1000 if data.image_shape[1] == 28 else 210
    torch.manual_seed(seed)
    config = DistributedOperator.Config(operator=operator, latent_dim=latent, **data.model_options)
    model = DistributedOperator(config)
    return fit(
        model,
        DistributedOperatorGuide(model),
        data,
        batch_size=32,
        learning_rate=1e-3,
        seed=seed,
        progress=False,
        **steps_of(data),
    )


def traversal(data: OrbitSequences, images: Tensor, acted: Tensor, seed: int, beta: float) -> float:
    """Return the error of the single latent, and steps of it, that fit best."""
    torch.manual_seed(seed)
    config = VariationalAutoencoder.Config(image_shape=data.image_shape, length=2, latent_dim=10)
    model = VariationalAutoencoder(config)
    guide = VariationalAutoencoderGuide(model)
    train = {"images": data.train.batch(range(len(data.train)))["images"]}
    fit(
        model,
        guide,
        train,
        batch_size=32,
        learning_rate=1e-3,
        seed=seed,
        progress=False,
        beta=beta,
        **steps_of(data),
    )
    with torch.no_grad():
        code = guide.latent_posterior(images[:, :1]).mean[:, 0]
        return min(_with_latent(model, code, images[:, 1], acted, j) for j in range(10))


def _with_latent(
    model: VariationalAutoencoder, code: Tensor, second: Tensor, acted: Tensor, latent: int
) -> float:
    total = torch.zeros(())
    for element in acted.unique():
        rows = acted == element
        moved = code[rows].repeat(len(REACH), 1, 1)
        moved[..., latent] += REACH[:, None]
        wrong = (torch.sigmoid(model.decoder(moved)) - second[rows]).square().flatten(2).mean(-1)
        total = total + wrong.sum(1).min()
    return float(total / len(acted))


if __name__ == "__main__":
    main()
