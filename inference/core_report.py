"""What a run of ordered latents learned: a table of figures and the pictures that go with it.

Works for any model that can `compress` and `decompress` with a core chosen afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from .codes import draw_codes
from .core_pictures import (
    NOISE,
    components_above,
    cores_of,
    draw_core_pictures,
    shown_to_components,
)
from .metrics.bits import bits_per_dimension
from .metrics.particles import evaluation
from .metrics.principal import PrincipalComponents, decibels
from .report import Findings
from .run import Run
from .sealed import write_whole

__all__ = ["core_report"]

_MOST = 512  # test images
_MEASURED = 256  # training images on which entropies are computed exactly
_EXACTLY = 256  # latents; of more they are estimated, to about a hundredth of a nat
_PROBES = 16


def core_report(
    run: Run,
    data: Any,  # noqa: ANN401 - any data set of still images
    folder: Path,
    *,
    autoencoders: Sequence[Run] = (),
    draws: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> Findings:
    """Measure a run on held-out images, and write table, posterior and pictures to its folder.

    Explained entropies are computed first, and the run is saved once more with them. Principal
    components stand beside everything.

    Args:
        run: The run.
        data: Its data set; the test split is used, up to 512 images.
        folder: Where `report.json`, `posterior.nc` and `figures/` go.
        autoencoders: Runs of autoencoders of the same images, as `StillImages.as_frames` gives
            them, to compare with those cores that are as large.
        draws: Number of posterior draws of the codes.
        seed: Of all draws.
        progress: Show a bar while the posterior is drawn, if there is a terminal.
    """
    split = data.test.first(_MOST)
    train, test = shown_to_components(data.train), split.observations["x"]
    model: Any = run.model
    components = PrincipalComponents(train)
    with evaluation(model, *(each.model for each in autoencoders), seed=seed):
        probes = 0 if len(model.entropy) <= _EXACTLY else _PROBES
        model.measure(model.noisy(train[:_MEASURED]), probes=probes)
        run.save(folder)
        figures = _figures(model, components, autoencoders, test)
    codes = folder / "posterior.nc"
    draw_codes(run, split, draws=draws, seed=seed, out=codes, progress=progress)
    findings = Findings(figures, ())
    text = json.dumps(findings.by_name(), indent=2) + "\n"
    write_whole(folder / "report.json", lambda path: path.write_text(text))
    figures_at = folder / "figures"
    draw_core_pictures(run, data.train, split, figures_at, seed=seed, components=components)
    return findings


def _figures(
    model: Any,  # noqa: ANN401 - any model that orders its latents
    components: PrincipalComponents,
    autoencoders: Sequence[Run],
    test: Tensor,
) -> dict[str, float | list[float]]:
    figures: dict[str, float | list[float]] = dict([_likelihood(model, test)])
    figures["latents above the noise floor"] = float(model.core_above(model.noise_floor()))
    for core in cores_of(model, components):
        own = model.decompress(model.compress(test, core))
        linear = components.reconstruct(test, core)
        figures[f"squared error of {core} latents (times 1000)"] = _error(own, test)
        figures[f"the same of {core} principal components"] = _error(linear, test)
        for run in autoencoders:
            if _size(run) == core:
                rebuilt = _rebuilt(run, test)
                figures[f"the same of an autoencoder with {core}"] = _error(rebuilt, test)
    return figures | _of_denoising(model, components, autoencoders, test)


def _likelihood(model: Any, test: Tensor) -> tuple[str, float]:  # noqa: ANN401
    """Return what the log-density of held-out images is called, and how large it is."""
    log_prob, dim = model.log_prob(model.noisy(test)), test[0].numel()
    if step := model.config.step:
        return "bits per dimension", bits_per_dimension(log_prob, dim, step=step)
    return "log p of noisy images (nats per pixel)", float(log_prob.mean()) / dim


def _of_denoising(
    model: Any,  # noqa: ANN401 - any model that orders its latents
    components: PrincipalComponents,
    autoencoders: Sequence[Run],
    test: Tensor,
) -> dict[str, float]:
    noisy = test + NOISE * torch.randn_like(test)
    core = model.core_above(model.noise_floor(math.hypot(NOISE, model.spread)))
    few = components_above(components, model.noise_floor(NOISE))
    linear = components.reconstruct(noisy, few)
    figures = {
        f"images with noise {NOISE} (dB)": decibels(noisy, test),
        f"denoised by {core} latents (dB)": decibels(model.denoise(noisy, NOISE, core), test),
        f"denoised by {few} principal components (dB)": decibels(linear, test),
    }
    for run in autoencoders:
        name = f"denoised by an autoencoder with {_size(run)} (dB)"
        figures[name] = decibels(_rebuilt(run, noisy.clamp(0, 1)), test)
    return figures


def _error(found: Any, true: Tensor) -> float:  # noqa: ANN401 - a tensor or an array
    difference: Tensor = torch.as_tensor(found).cpu() - true.cpu()
    return 1000 * float(difference.square().mean())


def _size(run: Run) -> int:
    model: Any = run.model
    size: int = model.config.latent_dim
    return size


def _rebuilt(run: Run, x: Tensor) -> Tensor:
    """Return what an autoencoder of frames makes of images."""
    model, guide = cast(Any, run.model), cast(Any, run.guide)
    latent = guide.latent_posterior(x.unsqueeze(1)).mean
    found: Tensor = model.image_likelihood(latent).mean.squeeze(1)
    return found
