"""What a run of ordered latents learned: a table of figures and the pictures that go with it.

Works for any model that can `compress` and `decompress` with a core chosen afterwards.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..zoo.datasets.stills import StillSplit
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
_CORES = (2, 4, 8, 16, 32)
_NOISE = 0.2
_SHOWN = 8
_NAMES = ("training", "spectrum", "information", "compression", "denoising", "traversals")


@runtime_checkable
class OrdersLatents(Protocol):
    """What this report needs of a model, see `EntropyOrderedFlow`."""

    entropy: Tensor

    def measure(self, x: Tensor) -> Tensor:
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
    draws: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> Findings:
    """Measure a run on held-out images, and write table, posterior and pictures to its folder.

    Explained entropies are computed exactly first, and the run is saved once more with them.

    Args:
        run: The run.
        data: Its data set; the test split is used, up to 512 images.
        folder: Where `report.json`, `posterior.nc` and `figures/` go.
        draws: Number of posterior draws of the codes.
        seed: Of all draws.
        progress: Show a bar while the posterior is drawn, if there is a terminal.
    """
    split = data.test.first(_MOST)
    train, test = data.train.observations["x"], split.observations["x"]
    model: Any = run.model
    with evaluation(model, seed=seed):
        some = train[:_MEASURED]
        model.measure(model.noisy(some))
        run.save(folder)
        figures = _figures(model, train, test)
    core = model.core_above(model.noise_floor())
    guide: Any = run.guide
    local = guide.core_guide(core)
    posterior(
        local.model,
        local,
        split,
        draws=draws,
        seed=seed,
        groups=("posterior", "sample_stats", "observed_data"),
        out=folder / "posterior.nc",
        progress=progress,
    )
    findings = Findings(figures, ())
    text = json.dumps(findings.by_name(), indent=2) + "\n"
    write_whole(folder / "report.json", lambda path: path.write_text(text))
    draw_core_pictures(run, data.train, split, folder / "figures", seed=seed)
    return findings


def _figures(model: Any, train: Tensor, test: Tensor) -> dict[str, float | list[float]]:  # noqa: ANN401
    components = PrincipalComponents(train)
    noisy = model.noisy(test)
    nats = float(model.log_prob(noisy).mean()) / test[0].numel()
    figures: dict[str, float | list[float]] = {
        "log p of noisy images (nats per pixel)": nats,
        "latents above the noise floor": float(model.core_above(model.noise_floor())),
    }
    for core in (core for core in _CORES if core <= len(model.entropy)):
        own = float((model.decompress(model.compress(test, core)) - test).square().mean())
        linear = float(((components.reconstruct(test, core) - test.numpy()) ** 2).mean())
        figures[f"squared error of {core} latents (times 1000)"] = 1000 * own
        figures[f"the same of {core} principal components"] = 1000 * linear
    blurred = test + _NOISE * torch.randn_like(test)
    both = math.hypot(_NOISE, model.spread)
    few = int((components.entropies() > model.noise_floor(_NOISE)).sum())
    core = model.core_above(model.noise_floor(both))
    figures |= {
        f"images with noise {_NOISE} (dB)": decibels(blurred, test),
        f"denoised by {core} latents (dB)": decibels(model.denoise(blurred, _NOISE, core), test),
        f"denoised by {few} principal components (dB)": decibels(
            components.reconstruct(blurred, max(1, few)), test
        ),
    }
    return figures


def draw_core_pictures(
    run: Run, train: StillSplit, test: StillSplit, folder: Path, *, seed: int
) -> None:
    """Draw spectrum, mutual information, compression, denoising and traversals as PNG files.

    Args:
        run: A run whose entropies have been measured.
        train: Images that principal components are fitted to.
        test: Images that are shown.
        folder: Where the files go.
        seed: Of the noise.
    """
    from .plots import plot_information, plot_spectrum, plot_training

    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    model: Any = run.model
    images = train.observations["x"]
    components, shown = PrincipalComponents(images), test.batch(torch.arange(_SHOWN))["x"]
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
    for core in (core for core in _CORES if core <= len(model.entropy)):
        rows[f"{core} latents"] = model.decompress(model.compress(shown, core)).numpy()
        rows[f"{core} components"] = components.reconstruct(shown, core)
    return plot_strips(rows, title="Compression: all latents but the first set to zero")


def _denoising(model: Any, components: PrincipalComponents, shown: Tensor) -> Figure:  # noqa: ANN401
    from .plots import plot_strips

    noisy = shown + _NOISE * torch.randn_like(shown)
    few = max(1, int((components.entropies() > model.noise_floor(_NOISE)).sum()))
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
