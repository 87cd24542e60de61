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
from mutoscope.inference.metrics import Importances, dci, mean_correlation
from mutoscope.inference.plots import plot_few_shot, plot_heads, plot_importance, plot_use
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.datasets import FactorTasks

SMOKE = bool(os.environ.get("MUTOSCOPE_SMOKE"))
TASKS, NEW, STEPS, TREES = (16, 24, 5, 2) if SMOKE else (512, 200, 800, 30)

# %% [markdown]
# ## Tasks
#
# Made ones, so that we can look at the truth afterwards. A point is 32 numbers, which a random
# network makes of six factors. A task has 32 points, each labelled with a weighted sum of one, two
# or three of the factors, scaled to a variance of one, and noise. Labels may also be yes or no, or
# classes, all kinds together. Tasks for testing are new.

# %%
data = FactorTasks(kinds=(0,), num_tasks=TASKS, test_tasks=NEW, points=32, seed=0)
for name, tensor in data.train.first(100).observations.items():
    print(f"{name:9s}", tuple(tensor.shape))

# %% [markdown]
# ## The model
#
# There are twelve features, twice as many as needed. Each is read by a share of all tasks,
# `inclusion ~ Beta(0.3, 1)`, which makes features that nobody reads cheap. For each task, `weight`
# of a feature is zero, or with that probability normal. For each of its points, `features ~
# Normal(0, I)`, `inputs ~ Normal(decoder(features), 0.1)`, and `labels` are around `weight @
# features + bias`.
#
# Training has a price for each weight that is not zero, which sets in once features have formed.
# Near the end it lets go, and what remains is the ELBO. Beside it we train the same network with
# dense heads: all weights are normal, at no price.


# %%
def train(data: FactorTasks, **options: object) -> Run:
    """Fit the model."""
    torch.manual_seed(0)
    model = SparseSharedFeatures(
        SparseSharedFeatures.Config(input_shape=data.input_shape, **options)
    )
    guide = SparseSharedFeaturesGuide(model)
    return fit(model, guide, data, max_steps=STEPS, batch_size=32, seed=0, progress=False)


DENSE = {"heads": "normal", "sparsity": 0.0, "sharing": 0.0}
run, plain = train(data), train(data, **DENSE)

# %% [markdown]
# While it trains, features that no task needs go out of use, and heads do not lose for it: below is
# what they explain of held-out labels that they have not seen. If that falls while features go,
# tasks needed them, and `run.settings["alarms"]` says so.

# %%
plot_use(run.history)

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
    found = features.flatten(0, 1)[:1500].numpy()
    return found, data.test.truth.factor_value.flatten(0, 1)[:1500].numpy()


def importance(run: Run, data: FactorTasks) -> Importances:
    return dci(*codes(run, data), bins=5, trees=TREES)


plot_importance(importance(run, data), factors=data.factor_names)

# %%
plot_importance(importance(plain, data), factors=data.factor_names)

# %% [markdown]
# With dense heads, features tell as much, but each a bit of everything: labels and inputs alone do
# not say which way features should turn.
#
# ## What each task reads
#
# The guide reads the head of a new task off its labelled points, in one pass. Here are twenty, with
# the probability that a weight is not zero, and what they truly depend on. A feature is named for
# the factor that it is matched to; signs and scales of features are free.

# %%
matched = mean_correlation(*codes(run, data))
names = ["unused"] * run.model.config.num_features
for factor, feature in enumerate(matched.code_of_factor):
    names[feature] = data.factor_names[factor]
order = np.lexsort(data.test.truth.support[:20].T.numpy()[::-1])[::-1].copy()
numbers = [str(k) for k in order]

idata = run.posterior(data.test, draws=100, seed=0, groups=["posterior"], progress=False)
drawn = idata["posterior"]["weight"].to_numpy()[0, :, :, 0]
mean, inclusion = drawn.mean(0), (drawn != 0).mean(0)
plot_heads(mean[order], inclusion=inclusion[order], features=names, tasks=numbers)

# %%
true = data.test.truth.weight[order]
plot_heads(true, features=data.factor_names, tasks=numbers)

# %%
print(f"correlation of features with their factors: {matched.score:.3f}")
print(f"truth: {data.test.truth.support.sum(1).float().mean():.2f} factors in a task, of 6")
print(f"model: {inclusion.sum(1).mean():.2f}; {(inclusion > 0.5).any(0).sum()} features in use")

# %% [markdown]
# ## A new task from ten labels
#
# Ten labels leave open which features a task reads. Predictions average over that, and their
# intervals say how much it matters.

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
# The head itself is a posterior like any other:

# %%
shown = data.test.with_labels(few).first(20)
weight = run.posterior(shown, draws=200, seed=0, progress=False)["posterior"]["weight"]
weight = weight.isel(task=task, output=0, chain=0).to_numpy()
for feature in np.argsort(-(weight != 0).mean(0))[:4]:
    draws = weight[:, feature]
    print(f"{names[feature]:9s} read with probability {(draws != 0).mean():.2f}", end=", ")
    print(f"weight {draws.mean():.2f} ± {draws.std():.2f}")
print("truth:", ", ".join(np.array(data.factor_names)[data.test.truth.support[task]]))

# %% [markdown]
# While labels are few, sparse heads on features that are factors make smaller errors than dense
# heads on mixed ones. With many labels, predictions do not tell which features are factors.

# %%
shots = [3, 5, 10, 20]
errors: dict[str, list[np.ndarray]] = {"sparse": [], "dense": []}
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
# the same two together, nothing says how to turn features, and no setting helps. Correlated factors
# are another matter. Sparse heads allow them, as long as nothing else prefers independent features,
# as `features ~ Normal(0, I)` does. With `correlated=True` their correlations are learned. It is
# not the default, since it leaves more features in use.

# %%
other = {"kinds": (0,), "num_tasks": TASKS, "test_tasks": NEW, "points": 32}
everything = FactorTasks(supports="all", **other)
blocks = FactorTasks(supports="blocks", **other)
together = FactorTasks(correlation=0.7, **other)
cases = {
    "every task reads all factors": (everything, {}),
    "tasks read fixed pairs of factors": (blocks, {}),
    "factors correlate by 0.7": (together, {}),
    "the same, correlated=True": (together, {"correlated": True}),
}
for name, (case, options) in cases.items():
    found = importance(train(case, **options), case)
    print(f"{name:34s} disentanglement {found.disentanglement:.2f}", end=", ")
    print(f"completeness {found.completeness:.2f}")

# %% [markdown]
# Ask of your own tasks: is there, for each factor, a task that reads it and not its neighbour?
#
# For your own data: `data = open_tasks("table.csv")` takes columns called `label:NAME` as tasks,
# with gaps where labels are missing, and other columns as points, which it scales. Tasks are drawn
# from these: a label, and some points that have it. Rows of your own go through `data.scaled(rows)`
# before `adapt`, and `data.label_scales` leads from predicted numbers back to your units. From the
# shell: `mutoscope fit sparse-shared-features --data table.csv`.
