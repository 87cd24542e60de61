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
# # How fast did it turn? And how sure are we?
#
# Tutorial 01 ends with a posterior over speeds. Two questions are left open before anybody can use
# it. *How fast* is a speed of 1.3: what is that in degrees? And *how sure* are we really: the bands
# come from a network that was trained to make them, and nothing in them says whether they are
# right. Here we put speeds in the units of the world, find out how far the posterior can be
# trusted (not far, at first), and mend it.
#
# Reading takes ten minutes; running takes about fifteen, a quarter of it training.

# %%
import os

import numpy as np
import torch

from mutoscope.guides import SparseTransformationGuide
from mutoscope.inference import SpeedUnits, check, describe_speeds, fit
from mutoscope.inference.checking import Budget
from mutoscope.inference.diagnostics import (
    importance_sampling,
    interval_coverage,
    simulation_based_calibration,
)
from mutoscope.inference.plots import (
    plot_calibration,
    plot_coverage,
    plot_forest,
    plot_khat,
    plot_speeds,
)
from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.datasets import FirstOf, TransformedDigits

SMOKE = bool(os.environ.get("MUTOSCOPE_SMOKE"))

# %% [markdown]
# ## The model of tutorial 01
#
# Real digits that turn and grow, at speeds that nobody tells the model. Held-out digits come with
# their true speeds, which we use for two things only: sixty-four sequences are *labelled*, as if
# somebody had measured them, and the others tell us in the end whether we were right.

# %%
data = TransformedDigits(transforms=("rotation", "scale"), length=9, sequences_per_image=4, seed=0)
torch.manual_seed(0)
model = SparseTransformation(
    SparseTransformation.Config(image_shape=data.image_shape, num_fields=4)
)
guide = SparseTransformationGuide(model)
run = fit(model, guide, data, seed=0, max_steps=20 if SMOKE else 4000, progress=False)

# %%
labelled = range(12 if SMOKE else 64)
held_out = FirstOf(data.test, 24 if SMOKE else 128)
idata = run.posterior(held_out, draws=50 if SMOKE else 500, seed=0, progress=False)
idata["posterior"]["speed"].sizes

# %% [markdown]
# ## How fast? Speeds in the units of the world
#
# A field moves latents at a speed whose unit is its own. `SpeedUnits` learns from the labelled
# sequences which field is which factor, and a monotone map from the field's speed to degrees or
# growth per frame. It is a *posterior* over such maps: what few labels leave open, and what the
# field's speed does not tell at all, widens the intervals.

# %%
units = SpeedUnits.learn(idata, sequences=labelled)
others = {"sequence": slice(len(labelled), None)}
speeds, true = units.convert(idata).isel(others), idata["constant_data"]["speed"].isel(others)
for frame in range(4):
    print(describe_speeds(speeds, sequence=0, frame=frame))
print("in truth:", true[0, :4].values.astype(float).round(2).tolist())

# %% [markdown]
# A whole sequence at a glance: an interval that is a point at zero says that a factor rests.

# %%
plot_forest(speeds, sequence=0)

# %% [markdown]
# Against the truth, which the maps have not seen:

# %%
plot_speeds(
    idata,
    sequences=[20] if SMOKE else [70, 71, 72],
    units=SpeedUnits.learn(idata, sequences=labelled),
)

# %% [markdown]
# ## How sure? The truth, where we have it
#
# A 90 percent interval should hold the truth nine times out of ten. Does it?

# %%
before = interval_coverage(speeds, true)
print(before)
plot_coverage(
    before.share["level"].values,
    before.share.values,
    before.lower.values,
    before.upper.values,
    names=before.share["factor"].values,
)

# %% [markdown]
# It does, roughly. But look at what that rests on: the maps were learned from the *same* guide, so
# they took whatever is wrong with it for scatter and made room. That works where labels exist.
# Where there are none, only the model itself can tell whether the guide says what it should.
#
# ## How sure? The model's own verdict
#
# Two questions need no truth. First: *do draws of the guide stand for the posterior?* The
# importance weights of draws say so. The tail of their distribution has a shape, Pareto's k. Below
# 0.5 the guide is close; up to about 0.7 weights can mend what it misses; above they cannot.

# %%
weights = importance_sampling(idata)
print(weights)
plot_khat(weights.khat.values, largest=weights.largest_khat)

# %% [markdown]
# Second: *does the guide find again what the model makes up?* Simulate speeds and images from the
# model, infer, and look where the true value lies among the draws. If the guide is right, it lies
# anywhere with equal chance, and the curves stay within the grey band.

# %%
calibration = simulation_based_calibration(
    run.model, run.guide, held_out, simulations=10 if SMOKE else 300, seed=0
)
print(calibration)
plot_calibration(
    calibration.place.values,
    names=calibration.place["quantity"].values,
    probability=calibration.probability,
)

# %% [markdown]
# The guide is too narrow in every latent. It is one network for all sequences, it takes latents as
# independent, and training rewards being narrow. No plot of bands would have told us.
#
# ## Mend it
#
# Both repairs are options of `run.posterior`. `refine=400` takes four hundred steps for each
# sequence from where the guide starts: latents may come to depend on each other, spikes stick to
# those before them as they do in the model, and the last steps make draws reach as far as the
# posterior does. `resample=True` then chooses among the draws by their weights.

# %%
mended = run.posterior(
    held_out,
    draws=50 if SMOKE else 1000,
    seed=0,
    refine=2 if SMOKE else 400,
    resample=True,
    groups=("posterior", "sample_stats", "constant_data"),
    progress=False,
)
khat = mended["sample_stats"]["khat"].values
print(f"median Pareto k: {np.median(weights.khat):.2f} before, {np.median(khat):.2f} after")
plot_khat(khat, largest=1 - 1 / np.log10(1000))  # the limit for so many draws

# %% [markdown]
# From useless to about as good as the limit asks for, and `khat` says for which sequences it is
# enough: keep to these, or take more steps for the others. Does what we say of speeds still hold?

# %%
units = SpeedUnits.learn(mended, sequences=labelled)
after = interval_coverage(units.convert(mended).isel(others), true)
print(after)
plot_coverage(
    after.share["level"].values,
    after.share.values,
    after.lower.values,
    after.upper.values,
    names=after.share["factor"].values,
)

# %% [markdown]
# It does. If anything, intervals are somewhat wider than they need be, which is the safe side.

# %%
if not SMOKE:
    assert np.median(weights.khat) > 1
    assert np.median(khat) < 0.7
    assert 0.85 < float(after.share.sel(level=0.9).mean()) < 0.95

# %% [markdown]
# ## All of it in one call
#
# `check` asks all of these questions, and some more, and answers with a verdict. In a notebook it
# shows itself as a page; `report.save("check.html")` writes it with its pictures. It would also try
# whether refinement helps, which we know by now.

# %%
small = {"data": 24, "draws": 50, "simulations": 10} if SMOKE else {}
budget = Budget(**small, refine=0)
report = check(run, held_out, budget=budget, seed=0, progress=False)
print(report)

# %% [markdown]
# The same from a terminal, for the run in a folder:
#
# ```
# mutoscope check runs/digits
# ```
