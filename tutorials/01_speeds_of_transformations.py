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
# # From moving images to a posterior over speeds
#
# Digits turn and grow. Nobody tells the model that there is such a thing as turning or growing, how
# many such things there are, or when each happens. It sees pixels, and has to find a few **flow
# fields** in a latent space along which images are carried, each at its own **speed**, most of the
# time not at all. This is *sparse transformation analysis* (Song et al. 2024, arXiv:2410.05564).
#
# At the end you hold an ArviZ `InferenceData` whose `speed` is a labelled array, with credible
# intervals, beside the true speeds. Reading takes ten minutes; running takes about five.

# %%
import os

import arviz as az
import torch

from mutoscope.guides import SparseTransformationGuide
from mutoscope.inference import fit
from mutoscope.inference.forecast import forecast
from mutoscope.inference.metrics import match_fields, sparse_mean
from mutoscope.inference.plots import (
    plot_activity,
    plot_correlation,
    plot_frames,
    plot_speeds,
    plot_training,
)
from mutoscope.inference.posterior import predict_mean
from mutoscope.zoo import SparseTransformation
from mutoscope.zoo.datasets import FirstOf, TransformedDigits

SMOKE = bool(os.environ.get("MUTOSCOPE_SMOKE"))

# %% [markdown]
# ## Data with a known truth
#
# Each sequence shows one of scikit-learn's digits. In each of 8 transitions it rotates, or grows,
# or both, at a speed drawn anew between half and one and a half times 20 degrees, or 10 percent, a
# frame. What moves tends to keep moving. Splits are by digit image, so held-out digits are new.

# %%
data = TransformedDigits(transforms=("rotation", "scale"), length=9, sequences_per_image=4, seed=0)
print(len(data.train), "training sequences,", len(data.test), "held out")
data.test[0]["images"].shape

# %% [markdown]
# The truth travels beside the images. No model or guide ever sees it.

# %%
truth = data.test.truth
print(data.units)
truth.speed[0]

# %% [markdown]
# ## The model is a story, the guide reads it backwards
#
# For each sequence: a starting point `z0`; for each transition and field a `speed`, which is
# exactly zero unless its *spike* is on (spikes are sticky, speeds that are on are log-normal); then
# `z0` is carried along the fields, and every point on the way is decoded to a frame. The guide is
# one network that looks at a whole sequence and returns distributions over `z0` and `speed`.

# %%
torch.manual_seed(0)
model = SparseTransformation(
    SparseTransformation.Config(image_shape=data.image_shape, num_fields=4)
)
guide = SparseTransformationGuide(model)
model.config

# %% [markdown]
# We allow four fields although two things happen. Whether the other two stay unused is for the
# sparsity prior to decide.
#
# ## Fit
#
# Stochastic variational inference. The history itemises the ELBO by site: how well frames are
# explained, and what the start and the speeds cost. The first half of training looks at windows of
# three frames, where it is easiest to tell what moves; the jump is where whole sequences begin.

# %%
run = fit(model, guide, data, seed=0, max_steps=20 if SMOKE else 4000, progress=False)
plot_training(run.history)

# %% [markdown]
# ## Read the posterior
#
# One call, and everything is labelled.

# %%
held_out = FirstOf(data.test, 16 if SMOKE else 256)
idata = run.posterior(held_out, draws=100, seed=0)
idata["posterior"]["speed"].sizes

# %%
az.summary(idata.sel(sequence=0, time=slice(0, 3)), var_names=["spike", "speed"], kind="stats")

# %% [markdown]
# Fields come in no order and in units of their own. Match them to the factors by correlation, which
# needs labels, and is only for us to see what was found:

# %%
inferred = sparse_mean(idata["posterior"]["speed"].to_numpy()[0])
true = idata["constant_data"]["speed"].to_numpy()
matching = match_fields(inferred, true)
plot_correlation(matching, factors=["rotation", "scale"], fields=model.coords["field"])

# %%
if not SMOKE:
    assert min(matching.correlation) > 0.8

# %% [markdown]
# How fast, and how sure? Bands are 50 and 90 percent credible intervals, black is the truth.

# %%
plot_speeds(idata, sequences=[0, 1, 2])

# %% [markdown]
# Which field moves when, above what truly moved:

# %%
plot_activity(idata, sequences=[0, 1, 2])

# %% [markdown]
# ## Look at the frames, and at what comes next
#
# `reconstructed` carries the first frame's latent along the inferred speeds: one starting point and
# a few numbers a frame draw the whole row. The forecast looks at five frames only, and lets go on
# what moved last.

# %%
images = held_out.batch(torch.arange(3))["images"]
reconstructed = predict_mean(model, guide, {"images": images}, draws=8, seed=0)
coming = forecast(model, guide, images, seen=5, seed=0)
plot_frames(images, reconstructed, coming, seen_frames=5)

# %% [markdown]
# ## Keep it
#
# `run.save("runs/digits")` writes JSON, safetensors and CSV; `Run.load("runs/digits")` reads back
# equal numbers. The same from a terminal, with baseline, table and pictures:
#
# ```
# mutoscope fit sta --out runs/digits
# ```
