import arviz
import numpy as np
import pytest


@pytest.fixture
def idata() -> arviz.InferenceData:
    """Draws of three fields: the third follows the first factor, the first the second factor."""
    rng = np.random.default_rng(0)
    shape = (1, 40, 6, 8)
    spike = rng.random((6, 8, 2)) < 0.6
    true = spike * rng.uniform(0.5, 1.5, spike.shape) * np.array([20.0, 0.1])
    speed = np.zeros((*shape, 3))
    speed[..., 2] = true[..., 0] / 20 * rng.lognormal(0, 0.1, shape)
    speed[..., 0] = -true[..., 1] / 0.1 * rng.lognormal(0, 0.1, shape)
    posterior = arviz.from_dict(
        posterior={"speed": speed, "spike": speed != 0},
        dims={name: ["sequence", "time", "field"] for name in ("speed", "spike")},
        coords={"field": ["a", "b", "c"]},
    )
    truth = arviz.from_dict(
        constant_data={"speed": true, "spike": spike, "unit": np.array(["degree", "log-scale"])},
        dims={
            "speed": ["sequence", "time", "factor"],
            "spike": ["sequence", "time", "factor"],
            "unit": ["factor"],
        },
        coords={"factor": ["rotation", "scale"]},
    )
    return arviz.concat(posterior, truth)
