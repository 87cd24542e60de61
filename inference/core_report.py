"""What a run of ordered latents learned: a table of figures and the pictures that go with it.

Works for any model that can `compress` and `decompress` with a core chosen afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from ..zoo.datasets.stills import StillSplit
from .metrics.bits import bits_per_dimension
from .metrics.cores import mutual_information
from .metrics.particles import evaluation
from .metrics.principal import PrincipalComponents, decibels
from .posterior import posterior
from .report import Findings
from .run import Run
from .sealed import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OrdersLatents", "core_report", "draw_core_pictures"]

_MOST = 512  # test images
_MEASURED = 256  # training images on which entropies are computed exactly
_EXACTLY = 256  # latents; of more they are estimated, to about a hundredth of a nat
_PROBES = 16
_CORES = (2, 4, 8, 16, 32)
_LARGER = (8, 16, 32, 64, 128)  # of images with so many latents or more
_MANY = 4096
_CODED = 64  # latents at most in the posterior that is kept, and images if there are many latents
_NOISE = 0.2
_SHOWN = 8
_NAMES = ("training", "spectrum", "information", "compression", "denoising", "traversals")


@runtime_checkable
class OrdersLatents(Protocol):
    """What this report needs of a model, see `EntropyOrderedFlow`."""

    entropy: Tensor
    spread: float

    def noisy(self, x: Tensor) -> Tensor:
        """Return data with the noise of training added."""

    def measure(self, x: Tensor, *, probes: int = 0) -> Tensor:
        """Compute the explained entropies on data."""

    def noise_floor(self, noise: float | None = None) -> float:
        """Return the entropy of one direction of noise."""

    def core_above(self, entropy: float) -> int:
        """Return how many latents explain more."""

    def compress(self, x: Tensor, core: int) -> Tensor:
        """Return the latents that explain most."""

    def decompress(self, code: Tensor) -> Tensor:
        """Return the data that a code stands for."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log-densities."""


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
    train, test = data.train.observations["x"], split.observations["x"]
    model: Any = run.model
    components = PrincipalComponents(train)
    with evaluation(model, *(each.model for each in autoencoders), seed=seed):
        probes = 0 if len(model.entropy) <= _EXACTLY else _PROBES
        model.measure(model.noisy(train[:_MEASURED]), probes=probes)
        run.save(folder)
        figures = _figures(model, components, autoencoders, test)
        core = min(_CODED, model.core_above(model.noise_floor()))
        left = model.decompress(model.compress(train[:_MEASURED], core)) - train[:_MEASURED]
    coded = split if len(model.entropy) <= _EXACTLY else split.first(_CODED)
    guide: Any = run.guide
    local = guide.core_guide(core, noise=max(model.spread, float(left.square().mean().sqrt())))
    posterior(
        local.model,
        local,
        coded,
        draws=draws,
        seed=seed,
        groups=("posterior", "sample_stats", "observed_data"),
        out=folder / "posterior.nc",
        progress=progress,
    )
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
    for core in _cores(model):
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
    noisy = test + _NOISE * torch.randn_like(test)
    core = model.core_above(model.noise_floor(math.hypot(_NOISE, model.spread)))
    few = _components_above(components, model.noise_floor(_NOISE))
    linear = components.reconstruct(noisy, few)
    figures = {
        f"images with noise {_NOISE} (dB)": decibels(noisy, test),
        f"denoised by {core} latents (dB)": decibels(model.denoise(noisy, _NOISE, core), test),
        f"denoised by {few} principal components (dB)": decibels(linear, test),
    }
    for run in autoencoders:
        name = f"denoised by an autoencoder with {_size(run)} (dB)"
        figures[name] = decibels(_rebuilt(run, noisy.clamp(0, 1)), test)
    return figures


def _cores(model: OrdersLatents) -> list[int]:
    count = len(model.entropy)
    return [core for core in (_CORES if count < _MANY else _LARGER) if core <= count]


def _components_above(components: PrincipalComponents, entropy: float) -> int:
    return max(1, int((components.entropies() > entropy).sum()))


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


def draw_core_pictures(
    run: Run,
    train: StillSplit,
    test: StillSplit,
    folder: Path,
    *,
    seed: int,
    components: PrincipalComponents | None = None,
) -> None:
    """Draw spectrum, mutual information, compression, denoising and traversals as PNG files.

    Args:
        run: A run whose entropies have been measured.
        train: Images that principal components are fitted to.
        test: Images that are shown.
        folder: Where the files go.
        seed: Of the noise.
        components: Those of the training images, where they are known.
    """
    from .plots import plot_information, plot_spectrum, plot_training

    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    model: Any = run.model
    images = train.observations["x"]
    components = components or PrincipalComponents(images)
    shown = test.batch(torch.arange(_SHOWN))["x"]
    columns = {name: [row[name] for row in run.history] for name in run.history[0]}
    _save(plot_training(columns), folder / "training.png")
    entropies = model.entropy[model.order].cpu().numpy()
    figure = plot_spectrum(
        entropies,
        floor=model.noise_floor() if model.spread else None,
        components=components.entropies(model.spread),
    )
    _save(figure, folder / "spectrum.png")
    with evaluation(model, seed=seed):
        jacobian = model.core_columns(images[:64], min(16, len(entropies)))
        _save(plot_information(mutual_information(jacobian)), folder / "information.png")
        _save(_compression(model, components, shown), folder / "compression.png")
        _save(_denoising(model, components, shown), folder / "denoising.png")
        _save(_traversals(model), folder / "traversals.png")


def _compression(model: Any, components: PrincipalComponents, shown: Tensor) -> Figure:  # noqa: ANN401
    from .plots import plot_strips

    rows = {"image": shown.numpy()}
    for core in _cores(model):
        rows[f"{core} latents"] = model.decompress(model.compress(shown, core)).numpy()
        rows[f"{core} components"] = components.reconstruct(shown, core)
    return plot_strips(rows, title="Compression: all latents but the first set to zero")


def _denoising(model: Any, components: PrincipalComponents, shown: Tensor) -> Figure:  # noqa: ANN401
    from .plots import plot_strips

    noisy = shown + _NOISE * torch.randn_like(shown)
    few = _components_above(components, model.noise_floor(_NOISE))
    rows = {
        "image": shown.numpy(),
        f"noise {_NOISE:g}": noisy.numpy(),
        "flow": model.denoise(noisy, _NOISE).numpy(),
        f"{few} components": components.reconstruct(noisy, few),
    }
    return plot_strips(rows, title="Denoising: latents below the noise floor set to zero")


def _traversals(model: Any) -> Figure:  # noqa: ANN401
    from .plots import plot_strips

    steps = torch.linspace(-2, 2, _SHOWN + 1).to(model.entropy)
    count = min(10, len(model.entropy))
    rows = {}
    for latent in range(count):
        code = steps.new_zeros(len(steps), count)
        code[:, latent] = steps
        rows[f"{latent + 1}: {model.entropy[model.order[latent]]:.2f} nats"] = (
            model.decompress(code).cpu().numpy()
        )
    names = [f"{step:g}".replace("-", "\N{MINUS SIGN}") for step in steps.tolist()]
    return plot_strips(rows, title="Single latents, in order", columns=names)


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, lambda beside: figure.savefig(beside, format="png"))
