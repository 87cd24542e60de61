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
# # Which symmetry acted?
#
# Two pictures of one object: something was done to it in between. What? If all that can be done are
# the elements of a finite group, there is an answer in probabilities, and nobody has to label a
# single pair. We need an operator for each element, on a latent code that we are free to choose.
#
# The usual wish is to *disentangle*: pose in a few coordinates, all else untouched by it.
# Bouchacourt, Ibrahim and Deny (2021, arXiv:2102.05623) show why this cannot work where objects
# have symmetries of their own, and let the transformation act on the *whole* code instead. Here
# both are models in Pyro, and the element that acted is a latent variable that is summed out
# exactly.
#
# Reading takes ten minutes, running about two.

# %%
import dataclasses
import os
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch

from mutoscope.guides import ContinuousOperatorGuide, DistributedOperatorGuide
from mutoscope.inference import fit
from mutoscope.inference.metrics import angle_agreement, element_accuracy, topological_defect
from mutoscope.inference.plots import plot_angles, plot_confusion, plot_defect, plot_orbit
from mutoscope.inference.posterior import posterior
from mutoscope.zoo import ContinuousOperator, DistributedOperator
from mutoscope.zoo.datasets import FirstOf, OrbitSequences, polygons

SMOKE = bool(os.environ.get("MUTOSCOPE_SMOKE"))
SHAPES, STEPS = (100, 40) if SMOKE else (2000, 3000)

# %% [markdown]
# ## A group, and pictures that it acts on
#
# Outlines of random pentagons, 16 pixels wide, on a torus: what leaves on the right comes back on
# the left. A step is two pixels, so eight steps are once around: the group is that of the numbers 0
# to 7, where one adds and forgets multiples of 8. A pair shows a shape somewhere, and again, so
# many steps further. Splits are by shape, so held-out shapes are new.


# %%
def pairs(*, labelled: bool, **options: object) -> OrbitSequences:
    shapes = polygons(SHAPES, image_size=16)
    return OrbitSequences(
        shapes, (8,), ("translation_x",), labelled=labelled, fractions=(0.8, 0.1, 0.1), **options
    )


labelled = pairs(labelled=True)
group = labelled.group
print(len(labelled.train), "pairs for training,", len(labelled.test), "of unseen shapes")
print(group.labels)

# %% [markdown]
# ## Two operators
#
# An operator has to be a *representation*: doing a and then b is doing their product. On 240
# numbers, `shift` cuts the code into eight blocks and moves them around a ring. `disentangled`
# turns one plane and leaves the other 238 coordinates alone. Both keep the rules of the group.
# But no change of coordinates, however learned, makes one of the other: the trace of an operator
# does not depend on coordinates, and what a translation does to pixels has the traces of `shift`.


# %%
def build(operator: str) -> tuple:
    torch.manual_seed(0)
    config = DistributedOperator.Config(
        operator=operator, latent_dim=240, image_scale=0.05, **labelled.model_options
    )
    model = DistributedOperator(config)
    return model, DistributedOperatorGuide(model)


for operator in ("shift", "disentangled"):
    psi = build(operator)[0].operator(torch.eye(240), torch.arange(8)[:, None])
    print(f"{operator:14}", [f"{float(trace):.1f}" for trace in psi.diagonal(0, 1, 2).sum(1)])

# %% [markdown]
# ## With labels
#
# First we tell the models which element acted. Encoder and decoder are linear, as in the paper: all
# the structure is in the operator.

# %%
runs = {
    operator: fit(
        *build(operator),
        labelled,
        max_steps=STEPS,
        batch_size=32,
        learning_rate=3e-3,
        progress=False,
    )
    for operator in ("shift", "disentangled")
}

rows = torch.arange(500)
images, acted = labelled.test.batch(rows)["images"], labelled.test.truth.acted[rows]
with torch.no_grad():
    for operator, run in runs.items():
        code = run.guide.codes(images)[:, 0]
        moved = run.model.decoder(run.model.operator(code, acted))
        error = (moved - images[:, 1]).square().mean()
        print(f"{operator:14} squared error of the second image {error:.1e}")

# %% [markdown]
# One unseen shape, carried by each element. The code that was disentangled can say that something
# moves, but not what.

# %%
one = next(k for k in range(500) if acted[k] == 1)
steps = torch.arange(8)
with torch.no_grad():
    strips = {
        operator: run.model.orbit(run.guide.codes(images[one : one + 1])[:, 0])[0].clamp(0, 1)
        for operator, run in runs.items()
    }
truth = torch.stack([images[one, 0].roll(2 * k, -1) for k in range(8)])
plot_orbit({"truth": truth, **strips}, elements=group.labels)

# %% [markdown]
# ## Why: the defect
#
# A comb whose teeth are four pixels apart looks the same after two steps. So its code on the
# circle would have to be its own image under a turn by two steps, and no point of a circle is. We
# walk along a path of pictures: from a comb with a mark on the left, through the plain comb, to
# one with a mark on the right, with a second mark that fades and comes back, and watch the code,
# made a unit vector, in steps that get ever finer. A continuous code makes smaller jumps where
# pictures make smaller ones. The disentangled code vanishes at the comb, and just before and just
# after it points in opposite directions: its largest jump stays.
#
# (So that this shows cleanly, the learned encoder is averaged over the group: it then does exactly
# what its operator asks.)

# %%
comb = torch.zeros(16, 16)
comb[4:12, 1::4] = 1
mark = torch.zeros(16, 16)
mark[1:3, 2:4] = 1


def path(position: torch.Tensor) -> torch.Tensor:
    side = (2 * position - 1)[:, None, None]
    left, right = -side.clamp(max=0) * mark, side.clamp(min=0) * mark.roll(8, -1)
    return (comb + left + right + side.square() * mark.roll(4, -1))[:, None]


def code_of(operator: str) -> Callable[[torch.Tensor], torch.Tensor]:
    model, guide = runs[operator].model, runs[operator].guide

    def code(images: torch.Tensor) -> torch.Tensor:
        walked = torch.stack([images.roll(2 * k, -1) for k in range(8)], 1)
        code = model.operator(guide.codes(walked), group.inverse).mean(1)
        return code[:, :2] if operator == "disentangled" else code

    return code


defects = {
    operator: topological_defect(code_of(operator), path, (31, 63, 127, 255, 511))
    for operator in runs
}
print({operator: f"grows as steps^{found.growth:.2f}" for operator, found in defects.items()})
plot_defect(defects)

# %% [markdown]
# ## Without labels
#
# Now nobody says what acted. The model is the same, and `transformation` is a latent, uniform on
# the group. The guide asks which element carries the code of the first image to that of the
# second: a *phase correlation*, computed for all elements at once by a Fourier transform over the
# group. Then all of them are summed out exactly, again by a Fourier transform.
#
# There are local optima: for a composite number of steps, 8 say, a model may get by on the even
# ones. They can be told by their ELBO. So we let eight initial guesses race for a fifth of the
# training, and only the best goes on. `complex` is the Fourier form of `shift`, and cheaper.

# %%
data = pairs(labelled=False)
run = fit(
    *build("complex"),
    data,
    max_steps=STEPS,
    batch_size=32,
    learning_rate=3e-3,
    restarts=2 if SMOKE else 8,
    progress=False,
    seed=0,
)
print("held-out ELBO of each guess:", [round(score) for score in run.settings["restart scores"]])

# %% [markdown]
# ## Read the posterior
#
# Draws of `transformation` are labelled by the elements of the group; their mean is a probability.

# %%
test = FirstOf(data.test, 500)
idata = run.posterior(test, draws=200, seed=0, progress=False)
probability = idata["posterior"]["transformation"].mean(("chain", "draw"))
probability.isel(sequence=0).round(2)

# %% [markdown]
# What is inferred is known up to an *automorphism*: whether a step is called 1 or 3 is no fact
# about the world, as long as two of them are called 2 or 6. Accuracy allows for that. Boxes show
# the relabelling that fits best.

# %%
found = element_accuracy(probability, test.truth.acted, group.automorphisms())
if not SMOKE:
    assert found.accuracy > 0.95
plot_confusion(found, elements=group.labels)

# %% [markdown]
# ## A shape with symmetries
#
# What if the comb moves by one step? By three, five or seven it would look the same. The exact
# posterior, by Bayes' rule, says so: a quarter for each of the four.

# %%
moved = torch.stack([comb, comb.roll(2, -1)])[None, :, None]
exact = run.guide.inferring("exact")
answer = posterior(
    run.model, exact, {"images": moved}, draws=2000, seed=0, groups=["posterior"], progress=False
)
comb_probability = answer["posterior"]["transformation"].mean(("chain", "draw")).isel(sequence=0)
comb_probability.round(2)

# %% [markdown]
# ## A walk
#
# The model has learned from pairs what each element does. Its `markov` form reads sequences in
# which the element changes now and then, with the same weights. Whatever the length, it looks at
# eight poses, not at eight to the power of the number of transitions.

# %%
walks = pairs(labelled=False, length=9, stay=0.6, sequences_per_image=1)
walker = DistributedOperator(dataclasses.replace(run.model.config, dynamics="markov", stay=0.6))
walker.load_state_dict(run.model.state_dict())
reader = DistributedOperatorGuide(walker)
reader.load_state_dict(run.guide.state_dict())
shown = FirstOf(walks.test, 3)
walked = posterior(walker, reader, shown, draws=200, seed=0, groups=["posterior"], progress=False)

figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True, layout="constrained")
for k, panel in enumerate(axes):
    chance = walked["posterior"]["transformation"].mean(("chain", "draw")).isel(sequence=k)
    panel.imshow(chance.T, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    true = torch.as_tensor(found.relabelling)[shown.truth.acted[k]]
    panel.plot(true, "o", color="#D55E00", mfc="none", label="truth, relabelled")
    panel.set(title=f"sequence {k}", xlabel="transition", yticks=range(8), yticklabels=group.labels)
axes[0].legend(loc="upper left", fontsize=7)
plt.show()

# %% [markdown]
# ## Between the steps
#
# Why only eight translations? Planes that turn by whole multiples of an angle can turn by any
# angle. `ContinuousOperator` is learned from pairs whose steps are known, here sixteen of one
# pixel, and then reads translations that are no steps at all, from images alone: `angle` is a
# latent on the circle, once around the torus. Its posterior is by Bayes' rule, in arcs so short
# that each has one mode; a shape with symmetries would leave several.


# %%
def moving(steps: int, *, labelled: bool) -> OrbitSequences:
    shapes = polygons(SHAPES // 4, image_size=16)
    return OrbitSequences(
        shapes,
        (steps,),
        ("translation_x",),
        labelled=labelled,
        sequences_per_image=20,
        fractions=(0.8, 0.1, 0.1),
    )


known, finer = moving(16, labelled=True), moving(160, labelled=False)
torch.manual_seed(0)
config = ContinuousOperator.Config(
    image_shape=known.image_shape,
    orders=known.orders,
    factors=known.factors,
    highest_frequency=6,
    latent_dim=14 * 16,
    image_scale=0.13,
)
turning = ContinuousOperator(config)
turned = fit(
    turning,
    ContinuousOperatorGuide(turning),
    known,
    max_steps=STEPS,
    batch_size=32,
    learning_rate=2e-3,
    progress=False,
    seed=0,
)
unseen = FirstOf(finer.test, 100)
angles = posterior(
    turning,
    turned.guide,
    unseen,
    draws=200,
    seed=0,
    groups=["posterior"],
    progress=False,
)["posterior"]["angle"]
true = torch.pi * 2 * unseen.truth.acted / 160
compared = angle_agreement(angles.to_numpy()[0], true)
plot_angles(compared)

# %% [markdown]
# A step of training was 22.5 degrees. Do intervals hold what they say? They are as wide as
# `image_scale` and the model make them, and pixels err together where the model takes them as
# independent. Labelled pairs tell: choose `image_scale` so that intervals cover their share.

# %%
print(
    f"median error {torch.rad2deg(torch.tensor(compared.median_error)):.1f} degrees; "
    f"{compared.covered.mean():.0%} of {compared.level:.0%} intervals hold the truth"
)
