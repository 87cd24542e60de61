# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Factors from many small tasks
#
# Hundreds of questions have been asked about the same kind of things, a few dozen answers each.
# Nobody has written down what the things are made of, but each question is about little of it.
# Fumero et al. (2023, arXiv:2304.07939) and Lachapelle et al. (2023, arXiv:2211.14666) show that
# this is enough to find the factors: of all features that answer as well, true factors need the
# fewest in each answer. What you hold at the end is a model in Pyro whose latents are the factors,
# and which learns a new question from ten answers, and knows how sure it is.
#
# Reading takes ten minutes, running a few.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.inference import Run, fit
from mutoscope.inference.adaptation import adapt
from mutoscope.inference.metrics import Importances, dci, feature_use, mean_correlation
from mutoscope.inference.plots import plot_few_shot, plot_heads, plot_importance
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.datasets import FactorTasks

SMOKE = bool(os.environ.get("MUTOSCOPE_SMOKE"))
TASKS, STEPS, TREES = (16, 5, 2) if SMOKE else (512, 1000, 30)

# %% [markdown]
# ## Tasks
#
# Made ones, so that we can look at the truth afterwards. A point is 32 numbers, which a random
# network makes of six factors. A task has 32 points, each labelled with a weighted sum of one, two
# or three of the factors, scaled to a variance of one, and noise. Labels may also be yes or no, or
# classes, all kinds together. Tasks for testing are new.

# %%
data = FactorTasks(kinds=(0,), num_tasks=TASKS, points=32, seed=0)
for name, tensor in data.train.first(100).observations.items():
    print(f"{name:9s}", tuple(tensor.shape))

# %% [markdown]
# ## The model
#
# For each task: `weight ~ Laplace`, one for each feature, and a `bias`. For each of its points:
# `features ~ Normal(0, I)`, `inputs ~ Normal(decoder(features), 0.1)`, and `labels` around
# `weight @ features + bias`. There are twelve features, twice as many as needed.
#
# Training charges for weights, so that each task reads few features, and for the entropy of their
# use by all tasks of a batch together, so that few features serve all. Near the end both let go,
# and what remains is the ELBO. Beside it we train the same network at no charge.


# %%
def train(data: FactorTasks, **options: object) -> Run:
    """Fit the model."""
    torch.manual_seed(0)
    model = SparseSharedFeatures(
        SparseSharedFeatures.Config(input_shape=data.input_shape, **options)
    )
    guide = SparseSharedFeaturesGuide(model)
    return fit(model, guide, data, max_steps=STEPS, batch_size=32, seed=0, progress=False)


run = train(data)
plain = train(data, sparsity=0.0, sharing=0.0, heads="normal")

# %% [markdown]
# ## Are features factors?
#
# Trees that tell each factor from all features say which of these matter: each true factor should
# be told by one feature, and each feature tell one factor. *Disentanglement* is 1 if features tell
# one factor each, *completeness* if factors are told by one feature each.


# %%
def codes(run: Run, data: FactorTasks) -> tuple[np.ndarray, np.ndarray]:
    """Return features and true factors of points of new tasks."""
    each = data.test.observations
    with torch.no_grad():
        features, _ = run.guide.eval().read(each["inputs"], each["observed"])
    found = features.flatten(0, 1)[:3000].numpy()
    return found, data.test.truth.factor_value.flatten(0, 1)[:3000].numpy()


def importance(run: Run, data: FactorTasks) -> Importances:
    return dci(*codes(run, data), bins=5, trees=TREES)


plot_importance(importance(run, data), factors=data.factor_names)

# %%
plot_importance(importance(plain, data), factors=data.factor_names)

# %% [markdown]
# Without charges, features tell as much, but each a bit of everything: labels and inputs alone do
# not say which way features should turn.
#
# ## What each task reads
#
# The heads of twenty new tasks, at the prices of training, and what they truly depend on. A feature
# is named for the factor that it correlates with most; signs and scales of features are free.

# %%
matched = mean_correlation(*codes(run, data))
names = ["unused"] * run.model.config.num_features
for factor, feature in enumerate(matched.code_of_factor):
    names[feature] = data.factor_names[factor]
order = np.lexsort(data.test.truth.support[:20].T.numpy()[::-1])[::-1].copy()


def heads(run: Run) -> torch.Tensor:
    """Return the weights of new tasks."""
    prices = run.model.config.sparsity, run.model.config.sharing
    with torch.no_grad():
        return run.guide.heads(**data.test.observations, prices=prices).mean[:, 0, :-1]


plot_heads(heads(run)[order], features=names, tasks=[str(k) for k in order])

# %%
true = data.test.truth.weight[order]
plot_heads(true, features=data.factor_names, tasks=[str(k) for k in order])

# %%
print(f"correlation of features with their factors: {matched.score:.3f}")
print(f"truth: {data.test.truth.support.sum(1).float().mean():.2f} factors in a task, of 6")
for name, each in {"sparse and shared": run, "at no charge": plain}.items():
    use = feature_use(heads(each))
    print(f"{name:17s}: {use.per_task:.2f} features in a task, of {use.used} in use")

# %% [markdown]
# ## A new task from ten labels
#
# The guide reads a head off labelled points, in one pass and without training. With heads that are
# open still, predictions are, too: intervals hold 90 % of labels.

# %%
new = data.test.observations
few, task = 10, 3
known, rest = new["labels"][:, :few], new["labels"][:, few:]
points = new["inputs"]
answer = adapt(run, points[:, :few], known, points[:, few:], classes=new["classes"])
held = (answer.lower <= rest) & (rest <= answer.upper)
print(f"{held.float().mean():.0%} of {held.numel()} labels are in their 90 % intervals")

by_truth = rest[task].argsort()
place = np.arange(len(by_truth))
low, mean, high = (each[task, by_truth] for each in (answer.lower, answer.mean, answer.upper))
figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
axes.vlines(place, low, high, color="#0072B2", alpha=0.5, label="90 % interval")
axes.plot(place, mean, "o", color="#0072B2", markersize=3, label="mean")
axes.plot(place, rest[task, by_truth], "_", color="#D55E00", label="truth")
axes.set(xlabel="point without a label, by its truth", ylabel="label", xticks=[])
axes.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# What labels leave open of the head is a posterior like any other:

# %%
idata = run.posterior(data.test.with_labels(few).first(20), draws=200, seed=0, progress=False)
weight = idata["posterior"]["weight"].isel(task=task, output=0)
for feature in np.argsort(-np.abs(weight.mean(("chain", "draw")).to_numpy()))[:4]:
    draws = weight.isel(feature=feature)
    print(f"{names[feature]:9s} {float(draws.mean()):5.2f} ± {float(draws.std()):.2f}")
print("truth:", ", ".join(np.array(data.factor_names)[data.test.truth.support[task]]))

# %% [markdown]
# Sparse heads on features that are factors need fewer labels than dense heads on mixed ones:

# %%
shots = [3, 5, 10, 20]
errors: dict[str, list[np.ndarray]] = {"sparse and shared": [], "at no charge": []}
for name, each in zip(errors, (run, plain), strict=True):
    for count in shots:
        given = points[:, :count], new["labels"][:, :count], points[:, 20:]
        found = adapt(each, *given, classes=new["classes"], draws=50)
        errors[name].append((found.mean - new["labels"][:, 20:]).square().mean(1).sqrt().numpy())
plot_few_shot(shots, errors, score="error, root mean square")

# %% [markdown]
# ## When it fails
#
# All rests on tasks that read *different* few factors. If every task reads all of them, or always
# the same two together, nothing says how to turn features, and no setting helps. Factors that are
# correlated are another matter: theory allows them for sparse heads, but not for sharing, which
# would rather use one feature for two factors that go together. So if you expect correlations, set
# `sharing=0`, and count on a few features too many.

# %%
other = {"kinds": (0,), "num_tasks": TASKS, "points": 32}
everything = FactorTasks(supports="all", **other)
blocks = FactorTasks(supports="blocks", **other)
together = FactorTasks(correlation=0.7, **other)
cases = {
    "every task reads all factors": (everything, {}),
    "tasks read fixed pairs of factors": (blocks, {}),
    "factors correlate by 0.7": (together, {}),
    "the same, sharing=0": (together, {"sharing": 0.0}),
}
for name, (case, options) in cases.items():
    found = importance(train(case, **options), case)
    print(f"{name:34s} disentanglement {found.disentanglement:.2f}", end=", ")
    print(f"completeness {found.completeness:.2f}")

# %% [markdown]
# You cannot see this from predictions, which are as good in all cases. Ask of your own tasks: is
# there, for each factor, a task that reads it and not its neighbour? If features do collapse,
# because sharing is too dear, `run.settings["alarms"]` says so.
#
# For your own data: `open_tasks("table.csv")` takes columns called `label:NAME` as tasks, with gaps
# where labels are missing; see also `mutoscope fit sparse-shared-features --help`.
