"""Which pixels blocks draw, against the true masks of two sprites that move and hide each other.

    python benchmarks/additive_objects.py FOLDER [--seeds 3] [--steps 4000]

FOLDER holds `two_dsprites_400x10.npz`. Frames are shrunk to 16 x 16 pixels and taken one by one. A
masked decoder with two blocks says which block adds most to each pixel. One network that reads all
latents has no parts; it is asked in two ways,

- latents: which half of the latents, if set to their mean, changes a pixel most;
- colours: k-means with two clusters of the colours of its pictures, in each picture by itself;

and k-means of the colours of the data stands beside. Numbers are adjusted Rand indices over the
pixels of true objects, averaged over held-out frames that show both. About three minutes for a fit.
"""

import argparse
import statistics

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import avg_pool2d

from mutoscope.guides import AdditiveDecoderGuide
from mutoscope.inference import Run, fit
from mutoscope.inference.blocks import block_images
from mutoscope.inference.metrics import foreground_agreement, owners_of_pixels
from mutoscope.inference.posterior import predict_mean
from mutoscope.zoo import AdditiveDecoder
from mutoscope.zoo.datasets import two_dsprites
from mutoscope.zoo.datasets.sequences import SequenceSplit

SIDE = 16


def frames_of(split: SequenceSplit) -> tuple[Tensor, Tensor]:
    """Return single frames, (frame, 1, channel, height, width), and the shares of both objects."""
    images = split.observations["images"].flatten(0, 1)
    masks = split.truth["mask"].flatten(0, 1).float()
    factor = images.shape[-1] // SIDE
    return avg_pool2d(images, factor).unsqueeze(1), avg_pool2d(masks, factor)[:, 1:]


def trained(images: Tensor, decoder: str, *, seed: int, steps: int) -> Run:
    """Fit frames by an autoencoder with a prior."""
    torch.manual_seed(seed)
    config = AdditiveDecoder.Config(
        image_shape=tuple(images.shape[2:]),
        block_dim=6,
        decoder=decoder,
        network="broadcast",
        decoder_layers=3,
        ground=0.0,
        image_scale=0.1,
    )
    model = AdditiveDecoder(config)
    guide = AdditiveDecoderGuide(model, AdditiveDecoderGuide.Config(network="places"))
    options = {"max_steps": steps, "log_every": 500, "progress": False}
    return fit(model, guide, {"images": images}, seed=seed, **options)


def by_latents(run: Run, images: Tensor) -> np.ndarray:
    """Return which block, if set to its mean, changes each pixel most."""
    with torch.no_grad():
        latent = run.guide.latent_posterior(images).mean[:, 0]
        whole, changes = run.model.mean_image(latent), []
        for block in range(latent.shape[1]):
            less = latent.clone()
            less[:, block] = latent[:, block].mean(0)
            changes.append(whole - run.model.mean_image(less))
    return owners_of_pixels(torch.stack(changes, 1))


def by_colours(images: Tensor, masks: Tensor) -> np.ndarray:
    """Return clusters of the colours of the pixels of objects, in each frame by itself."""
    found = np.zeros((len(images), SIDE, SIDE), dtype=int)
    for image, mask, regions in zip(images.numpy(), masks.sum(1).numpy(), found, strict=True):
        where = mask >= 0.5
        colours = image[:, where].T
        if len(np.unique(colours, axis=0)) > 1:
            regions[where] = KMeans(2, n_init=3, random_state=0).fit_predict(colours)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=4000)
    given = options.parse_args()
    torch.set_num_threads(1)
    data = two_dsprites(given.folder)
    train, _ = frames_of(data.train)
    test, masks = frames_of(data.test)
    print(f"colours of the data {foreground_agreement(by_colours(test[:, 0], masks), masks):.3f}")
    rows: dict[str, list[float]] = {"blocks": [], "latents": [], "colours": []}
    for seed in range(given.seeds):
        run = trained(train, "masked", seed=seed, steps=given.steps)
        parts = block_images(run.model, run.guide, test)[:, 0]
        joint = trained(train, "joint", seed=seed, steps=given.steps)
        made = predict_mean(joint.model, joint.guide, {"images": test})[:, 0]
        regions = {
            "blocks": owners_of_pixels(parts),
            "latents": by_latents(joint, test),
            "colours": by_colours(made, masks),
        }
        for name, found in regions.items():
            rows[name].append(foreground_agreement(found, masks))
        print(seed, {name: round(scores[-1], 3) for name, scores in rows.items()}, flush=True)
    for name, scores in rows.items():
        print(f"{name}: median {statistics.median(scores):.3f}, worst {min(scores):.3f}")


if __name__ == "__main__":
    main()
