"""Pictures of a flow whose latents are ordered: what they explain, keep and show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..zoo.datasets.stills import StillSplit
from .codes import OrdersLatents
from .metrics.cores import mutual_information
from .metrics.particles import evaluation
from .metrics.principal import PrincipalComponents
from .run import Run
from .sealed import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NOISE", "components_above", "cores_of", "draw_core_pictures", "shown_to_components"]

NOISE = 0.2  # that is taken off
_CORES = (2, 4, 8, 16, 32)
_LARGER = (8, 16, 32, 64, 128)  # of images with so many latents or more
_MANY = 4096
_FITTED = 2**27  # numbers that principal components are fitted to
_SHOWN = 8
_NAMES = ("training", "spectrum", "information", "compression", "denoising", "traversals")


def cores_of(model: OrdersLatents, components: PrincipalComponents) -> list[int]:
    """Return the sizes of cores that are compared: there are as many principal components."""
    count, most = len(model.entropy), len(components.entropies())
    return [core for core in (_CORES if count < _MANY else _LARGER) if core <= min(count, most)]


def components_above(components: PrincipalComponents, entropy: float) -> int:
    """Return how many components have more than so many nats, but at least one."""
    return max(1, int((components.entropies() > entropy).sum()))


def shown_to_components(train: StillSplit) -> Tensor:
    """Return the training images that principal components are fitted to: all, or many of them."""
    size = train.batch([0])["x"].numel()
    return train.first(max(1, _FITTED // size)).observations["x"]


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
    images = shown_to_components(train)
    components = components or PrincipalComponents(images)
    shown = test.batch(torch.arange(min(_SHOWN, len(test))))["x"]
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
    for core in cores_of(model, components):
        rows[f"{core} latents"] = model.decompress(model.compress(shown, core)).numpy()
        rows[f"{core} components"] = components.reconstruct(shown, core)
    return plot_strips(rows, title="Compression: all latents but the first set to zero")


def _denoising(model: Any, components: PrincipalComponents, shown: Tensor) -> Figure:  # noqa: ANN401
    from .plots import plot_strips

    noisy = shown + NOISE * torch.randn_like(shown)
    few = components_above(components, model.noise_floor(NOISE))
    rows = {
        "image": shown.numpy(),
        f"noise {NOISE:g}": noisy.numpy(),
        "flow": model.denoise(noisy, NOISE).numpy(),
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
