"""What sparse heads and sharing make of features, beside the same network without them.

    python benchmarks/shared_features_quality.py arms [--seeds 0 1 2] [--points 64] [--kinds 2]
    python benchmarks/shared_features_quality.py few_shot [--seeds 0 1 2]
    python benchmarks/shared_features_quality.py images [--kinds 0] [--network convolutional]
    python benchmarks/shared_features_quality.py sprites --data-dir FOLDER

`arms`: 6 factors, 12 features; codes are those of points of unseen tasks. Heads are those of 200
unseen tasks with 256 points: by use, as sparse as in training; accuracy (for numbers, R2) is that
of the posterior of half of the points on the other half. `few_shot`: 10 factors, 30 features, 1 or
2 factors in each task; accuracy on points without labels, heads by their posterior. `images`:
ellipses of 32 x 32 pixels. `sprites`: frames of 32 x 32 pixels, whose attributes, action and
direction are tasks and factors. DCI is that of 30 trees, 5 classes of a continuous factor and 3000
points.

Seconds of one core for each fit: 50 on vectors, 85 with 30 features, 200 on images (convolutional
networks take five times as long as perceptrons).
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.inference import Run, fit
from mutoscope.inference.adaptation import Adaptation, adapt
from mutoscope.inference.metrics import (
    dci,
    disentanglement,
    feature_use,
    mean_correlation,
    support_f1,
)
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.datasets import FactorTasks, LabelledTasks, open_tasks
from mutoscope.zoo.datasets.task_split import TaskSplit

Row = dict[str, float]

LAPLACE, FREE = {"heads": "laplace"}, {"sparsity": 0.0, "sharing": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    "spike and slab": {},
    "Laplace, shared": LAPLACE,
    "Laplace alone": LAPLACE | {"sharing": 0.0},
    "shared alone": LAPLACE | {"sparsity": 0.0},
    "neither": LAPLACE | FREE,
    "ridge": {"heads": "normal"} | FREE,
    "horseshoe": {"heads": "horseshoe"},
}
SCORED, TREES, BINS = 3000, 30, 5
SHOTS = (10, 25)


def trained(
    data: FactorTasks | LabelledTasks, chosen: Mapping[str, Any], *, seed: int, steps: int
) -> Run:
    """Fit the model; say what it cost."""
    torch.manual_seed(seed)
    sizes = {"input_shape": data.input_shape, "num_outputs": data.num_outputs}
    config = SparseSharedFeatures.Config(**sizes, **chosen)
    model = SparseSharedFeatures(config)
    guide = SparseSharedFeaturesGuide(model)
    begun = time.process_time()
    run = fit(model, guide, data, max_steps=steps, batch_size=32, seed=seed, progress=False)
    print(f"  {time.process_time() - begun:.0f} s of processor time, {run.settings['alarms']}")
    return run


def codes_of(run: Run, split: TaskSplit, count: int = SCORED) -> tuple[np.ndarray, np.ndarray]:
    """Return mean features and true factors of some points."""
    each = split.observations
    with torch.no_grad():
        found, _ = run.guide.eval().read(each["inputs"], each["observed"])
    kept = each["observed"].flatten()
    rows = torch.randperm(int(kept.sum()), generator=torch.Generator().manual_seed(0))[:count]
    return (
        found.flatten(0, 1)[kept][rows].numpy(),
        split.truth.factor_value.flatten(0, 1)[kept][rows].numpy(),
    )


def independent(codes: np.ndarray, count: int) -> np.ndarray:
    """Return as many independent components of codes."""
    from sklearn.decomposition import FastICA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of slow convergence
        ica = FastICA(count, whiten="unit-variance", max_iter=1000, random_state=0)
        return ica.fit_transform(codes)


def code_scores(codes: np.ndarray, factors: np.ndarray) -> Row:
    found = dci(codes, factors, bins=BINS, trees=TREES)
    return {
        "DCI-D": found.disentanglement,
        "DCI-C": found.completeness,
        "MCC": mean_correlation(codes, factors).score,
    }


def head_scores(run: Run, split: TaskSplit) -> Row:
    """Score which features unseen tasks read, against the factors that they depend on."""
    config, each = run.model.config, split.observations
    guide = run.guide.eval()
    if config.heads in ("laplace", "normal"):
        with torch.no_grad():
            prices = config.sparsity, config.sharing
            weight = guide.heads(**each, prices=prices).mean[..., :-1]
    else:
        drawn = predicted(run, each, each["labels"].shape[1] - 1).latents["weight"]
        weight = drawn.median(0).values
    use = feature_use(weight)
    matched = mean_correlation(*codes_of(run, split)).code_of_factor
    return {
        "used": use.used,
        "per task": use.per_task,
        "true": float(split.truth.support.sum(1).float().mean()),
        "F1": support_f1(use.active, split.truth.support, matched),
    }


def predicted(run: Run, each: Mapping[str, Tensor], shots: int) -> Adaptation:
    """Return what labels of the first points say of the rest."""
    inputs, labels = each["inputs"], each["labels"]
    known = inputs[:, :shots], labels[:, :shots], inputs[:, shots:]
    return adapt(run, *known, classes=each["classes"], draws=100)


def accuracies(run: Run, split: TaskSplit, shots: int) -> Tensor:
    """Return the share of right labels of each task; of numbers, the variance explained."""
    each = split.observations
    rest = each["labels"][:, shots:]
    found = predicted(run, each, shots)
    explained = 1 - (found.mean - rest).square().mean(1) / rest.var(1)
    return torch.where(each["classes"] == 0, explained, (found.label == rest).float().mean(1))


def show(rows: Mapping[str, list[Row]]) -> None:
    """Print means over seeds, and in brackets the worst and the best."""
    for name, several in rows.items():
        cells = []
        for column in several[0]:
            values = [row[column] for row in several]
            ends = f" [{min(values):.3f}, {max(values):.3f}]" if len(values) > 1 else ""
            cells.append(f"{column} {np.mean(values):.3f}{ends}")
        print(f"{name:18s} {'  '.join(cells)}", flush=True)


def arms(given: argparse.Namespace) -> None:
    rows: dict[str, list[Row]] = {}
    options = {"kinds": given.kinds, "correlation": given.correlation, "supports": given.supports}
    for seed in given.seeds:
        data = FactorTasks(points=given.points, seed=seed, **options)
        new = FactorTasks(points=256, num_tasks=1, seed=seed, **options).test
        for name in given.arms:
            run = trained(data, ARMS[name], seed=seed, steps=given.steps or 1200)
            codes, factors = codes_of(run, data.test)
            accuracy = float(accuracies(run, new, 128).mean())
            row = code_scores(codes, factors) | head_scores(run, new) | {"accuracy": accuracy}
            rows.setdefault(name, []).append(row)
            show({f"{name}, {seed}": [row]})
            if name == "neither":
                found = code_scores(independent(codes, factors.shape[1]), factors)
                rows.setdefault("independent", []).append(found)
                show({f"its ICA, {seed}": [found]})
    show(rows)


def few_shot(given: argparse.Namespace) -> None:
    rows: dict[str, list[Row]] = {}
    for seed in given.seeds:
        data = FactorTasks(num_factors=10, support_sizes=(1, 2), points=given.points, seed=seed)
        for name in given.arms:
            chosen = ARMS[name] | {"num_features": 30}
            run = trained(data, chosen, seed=seed, steps=given.steps or 1200)
            row = code_scores(*codes_of(run, data.test)) | head_scores(run, data.test)
            for shots in SHOTS:
                row[f"{shots} labels"] = float(accuracies(run, data.test, shots).mean())
            rows.setdefault(name, []).append(row)
            show({f"{name}, {seed}": [row]})
    show(rows)


def images(given: argparse.Namespace) -> None:
    rows: dict[str, list[Row]] = {}
    for seed in given.seeds:
        data = FactorTasks(images=True, points=32, test_tasks=100, kinds=given.kinds, seed=seed)
        for name in given.arms:
            chosen = ARMS[name] | {"network": given.network}
            run = trained(data, chosen, seed=seed, steps=given.steps or 1200)
            row = code_scores(*codes_of(run, data.test)) | head_scores(run, data.test)
            row["accuracy"] = float(accuracies(run, data.test, 24).mean())
            rows.setdefault(name, []).append(row)
            show({f"{name}, {seed}": [row]})
    show(rows)


def sprites(given: argparse.Namespace) -> None:
    rows: dict[str, list[Row]] = {}
    for seed in given.seeds:
        data = open_tasks("sprites", given.data_dir, halved=1, seed=seed)
        print(", ".join(data.names))
        for name in given.arms:
            chosen = ARMS[name] | {"network": given.network}
            run = trained(data, chosen, seed=seed, steps=given.steps or 1200)
            held = data.validation  # published test characters all wear the same top
            row = disentanglement(*codes_of(run, held, 1500), trees=TREES)
            row["accuracy"] = float(accuracies(run, held, 24).mean())
            rows.setdefault(name, []).append(row)
            show({f"{name}, {seed}": [row]})
    show(rows)


TABLES: dict[str, tuple[Callable[[argparse.Namespace], None], list[str]]] = {
    "arms": (arms, list(ARMS)[:-1]),
    "few_shot": (few_shot, ["spike and slab", "Laplace, shared", "ridge"]),
    "images": (images, ["spike and slab", "ridge"]),
    "sprites": (sprites, ["spike and slab", "ridge"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--kinds", nargs="+", type=int, default=[2])
    parser.add_argument("--correlation", type=float, default=0.0)
    parser.add_argument("--supports", default="random")
    parser.add_argument("--network", default="perceptron")
    parser.add_argument("--data-dir")
    given = parser.parse_args()
    table, usual = TABLES[given.table]
    given.arms = given.arms or usual
    table(given)


if __name__ == "__main__":
    main()
