"""What a run learned about motion: a table of figures and the pictures that go with it.

Works for any model whose posterior has a spike-and-slab `speed`, a `transformation` that is an
element of the model's `group`, or an `angle`, and leaves out what the model, the data or their
truth do not offer.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..zoo.datasets import FirstOf
from .angles import angles_of
from .blocks import matching_of
from .elements import accuracy_of
from .metrics.activity import active_fields, distinct_fields
from .metrics.blocks import RANDOM_ROTATION
from .metrics.bounds import elbo_and_iwae, importance_log_weights
from .metrics.equivariance import equivariance_error
from .metrics.matching import match_fields, sparse_mean
from .posterior import predict_mean
from .run import Run
from .sealed import write_whole

if TYPE_CHECKING:
    import arviz
    from rich.table import Table

__all__ = ["Findings", "report"]

_MOST_SEQUENCES = 512
_BOUND_SEQUENCES = 64
_PARTICLES = 500
_GROUPS = ("posterior", "sample_stats", "log_likelihood", "observed_data", "constant_data")


@dataclass(frozen=True)
class Findings:
    """Figures by name, in the order in which they are told.

    Attributes:
        figures: Numbers, or lists of one number for each factor.
        factors: Names of the factors.
    """

    figures: dict[str, float | list[float]]
    factors: tuple[str, ...]

    def by_name(self) -> dict[str, float | dict[str, float]]:
        """Return the figures as JSON values, those of factors by the factor's name."""
        return {
            name: dict(zip(self.factors, value, strict=True)) if isinstance(value, list) else value
            for name, value in self.figures.items()
        }

    def table(self, title: str = "held-out sequences") -> Table:
        """Return the figures as a table for the terminal."""
        from rich.table import Table

        table = Table(title=title, show_header=False)
        for name, value in self.figures.items():
            if isinstance(value, list):
                shown = ", ".join(f"{f} {v:.2f}" for f, v in zip(self.factors, value, strict=True))
            else:
                shown = f"{value:.2f}"
            table.add_row(name, shown)
        return table


def report(
    run: Run,
    data: Any,  # noqa: ANN401 - any data set of image sequences
    folder: Path,
    *,
    baseline: Run | None = None,
    draws: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> Findings:
    """Measure a run on held-out sequences, and write table, posterior and pictures to its folder.

    Args:
        run: The run.
        data: Its data set; the test split is used, up to 512 sequences.
        folder: Where `report.json`, `posterior.nc` and `figures/` go.
        baseline: A run of a model of single frames, whose reconstruction of the first frame stands
            for "nothing moves".
        draws: Number of posterior draws.
        seed: Of all draws.
        progress: Show a bar while the posterior is drawn, if there is a terminal.
    """
    split = FirstOf(data.test, _MOST_SEQUENCES)
    images = split.observations
    figures: dict[str, float | list[float]] = dict(_bounds(run, images, seed))
    figures |= _frame_errors(run, images, baseline, seed)
    folder.mkdir(parents=True, exist_ok=True)
    idata = run.posterior(
        split,
        draws=draws,
        seed=seed,
        groups=_GROUPS,
        out=folder / "posterior.nc",
        progress=progress,
    )
    factors = tuple(getattr(split.truth, "factors", ()))
    if "spike" in idata["posterior"]:
        figures |= _motion(idata, with_truth=bool(factors))
    if (found := accuracy_of(run, idata)) is not None:
        figures["accuracy of what acted, up to relabelling"] = found.accuracy
    if (angles := angles_of(run, idata)) is not None:
        figures["median error of angles (degrees)"] = math.degrees(angles.median_error)
        figures[f"{angles.level:.0%} intervals that hold the angle"] = float(angles.covered.mean())
    if (matching := matching_of(idata)) is not None:
        figures[f"latent matching score ({RANDOM_ROTATION})"] = matching.score
    findings = Findings(figures, factors)
    text = json.dumps(findings.by_name(), indent=2) + "\n"
    write_whole(folder / "report.json", lambda path: path.write_text(text))
    from .pictures import draw_pictures

    draw_pictures(run, split, idata, folder / "figures", seed=seed)
    return findings


def _bounds(run: Run, images: dict[str, torch.Tensor], seed: int) -> dict[str, float]:
    batch = {name: tensor[:_BOUND_SEQUENCES] for name, tensor in images.items()}
    weights = importance_log_weights(run.model, run.guide, batch, particles=_PARTICLES, seed=seed)
    bounds = elbo_and_iwae(weights)
    return {
        "ELBO (nats per sequence)": float(bounds.elbo.mean()),
        f"IWAE-{_PARTICLES} (nats per sequence)": float(bounds.iwae.mean()),
    }


def _frame_errors(
    run: Run, images: dict[str, torch.Tensor], baseline: Run | None, seed: int
) -> dict[str, float]:
    seen = images["images"]
    if seen.shape[1] == 1:
        found = predict_mean(run.model, run.guide, images, seed=seed).clamp(0, 1)
        return {
            "reconstruction error (root mean square)": float((found - seen).square().mean() ** 0.5)
        }
    own = equivariance_error(seen, predict_mean(run.model, run.guide, images, seed=seed))
    frames = seen.shape[1] - 1
    errors = {"equivariance error (L1, summed over frames)": own.total}
    if baseline is not None:
        held = {"images": seen[:, :1].expand_as(seen)}
        still = predict_mean(baseline.model, baseline.guide, held, seed=seed)
        errors["the same if nothing moved (autoencoder)"] = (
            other := equivariance_error(seen, still).total
        )
        errors["ratio of the two"] = own.total / other
    errors["reconstruction floor (first frame's error, times frames)"] = own.floor * frames
    return errors


def _motion(idata: arviz.InferenceData, *, with_truth: bool) -> dict[str, float | list[float]]:
    spike = idata["posterior"]["spike"].to_numpy()[0]
    speed = sparse_mean(idata["posterior"]["speed"].to_numpy()[0])
    figures: dict[str, float | list[float]] = {"active fields per frame": active_fields(spike)}
    figures["distinct fields in use"] = float(len(distinct_fields(spike.mean(0) > 0.5)))
    if not with_truth:
        return figures
    true = idata["constant_data"]["speed"].to_numpy()
    figures["active factors per frame (truth)"] = active_fields(true != 0)
    matching = match_fields(speed, true)
    figures["matched correlation of speeds"] = matching.correlation.tolist()
    active = match_fields(speed, true, active_only=True)
    figures["the same on frames where both move"] = active.correlation.tolist()
    figures["F1 of what moves"] = matching.spike_f1.tolist()
    return figures
