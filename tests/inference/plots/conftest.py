import numpy as np
import pytest

from mutoscope.inference.labelled import Labelled, to_arviz

FIELDS = ["a", "b", "c"]
FACTORS = ["rotation", "scale"]


@pytest.fixture
def groups():
    """Draws of three fields: the third follows the first factor, the first the second factor."""
    rng = np.random.default_rng(0)
    shape = (1, 40, 6, 8)
    spike = rng.random((6, 8, 2)) < 0.6
    true = spike * rng.uniform(0.5, 1.5, spike.shape) * np.array([20.0, 0.1])
    speed = np.zeros((*shape, 3))
    speed[..., 2] = true[..., 0] / 20 * rng.lognormal(0, 0.1, shape)
    speed[..., 0] = -true[..., 1] / 0.1 * rng.lognormal(0, 0.1, shape)
    drawn, known = ("chain", "draw", "sequence", "time", "field"), ("sequence", "time", "factor")
    return {
        "posterior": {"speed": Labelled(drawn, speed), "spike": Labelled(drawn, speed != 0)},
        "constant_data": {
            "speed": Labelled(known, true),
            "spike": Labelled(known, spike),
            "unit": Labelled(("factor",), np.array(["degree", "log-scale"])),
        },
    }


@pytest.fixture
def idata(groups):
    return to_arviz(groups, {"posterior": {"field": FIELDS}, "constant_data": {"factor": FACTORS}})
