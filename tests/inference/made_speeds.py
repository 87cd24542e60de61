"""True speeds of two factors, and draws of the fields that stand for them."""

import numpy as np

from mutoscope.inference.labelled import Labelled, to_arviz

LABELLED, FACTORS, FIELDS = 40, ("turning", "growing"), ("a", "b", "c")
DRAWN, KNOWN = ("chain", "draw", "sequence", "time", "field"), ("sequence", "time", "factor")


def turned(x):
    return 8 * x + 6 * x**2


def grown(x):
    return -0.1 * np.sqrt(x)


def made(sequences, seed, *, doubt=0.1, noise=0.06, drift=0.0, draws=80):
    """Return true speeds, and draws of a guide whose doubt is right but does not tell all."""
    rng = np.random.default_rng(seed)
    shape = (sequences, 8, 2)
    chance = rng.choice([0.0, 0.02, 0.6, 1.0], shape, p=[0.3, 0.1, 0.1, 0.5])
    on, centre = rng.random((draws + 1, *shape)) < chance, rng.uniform(0.5, 1.5, shape)
    x = on * (centre + doubt * rng.normal(size=on.shape))
    place = np.cumsum(x[0], 1) - x[0]
    true = np.stack([turned(x[0, ..., 0]), grown(x[0, ..., 1])], -1) * np.exp(-drift * place)
    true = true + on[0] * noise * np.array([14, 0.1]) * rng.normal(size=shape)
    field = np.zeros((2, draws // 2, *shape[:2], 3))
    field[..., 2] = x[1:, ..., 0].reshape(field.shape[:-1])
    field[..., 0] = 3 * x[1:, ..., 1].reshape(field.shape[:-1])
    return true, field


def posterior(speed, true=None, *, fields=FIELDS, name="speed"):
    groups = {"posterior": {name: Labelled(DRAWN, speed)}}
    if true is not None:
        unit = Labelled(("factor",), np.array(["degree", "log-scale"]))
        groups["constant_data"] = {name: Labelled(KNOWN, true), "unit": unit}
    return to_arviz(groups, {"posterior": {"field": fields}, "constant_data": {"factor": FACTORS}})
