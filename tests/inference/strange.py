"""Strange values to pass and to type, for tests that draw them with hypothesis."""

import math

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = [0, 1, 2, -1, 3.5, 1e300, 1e-300, math.nan, math.inf, 2**63 - 1, 2**63, 10**300, True]
WORDS = ["", "x", "cpu", "tpu", "auto", "best", "none", "lean", "Trace_ELBO", "64-true", "stream"]
OTHERS = [None, b"x", [], (), {}, ("x",), ["wandb"], 1j, object(), np.zeros(2), torch.zeros(2)]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.sampled_from(NUMBERS + WORDS + OTHERS) | SCALARS
# No digits, which might ask for a long training, and no way out of a folder.
NOISE = st.text("ax,:{}[]&*!%@#'\"|>-?= \t\n\0é\udcff", max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | NOISE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NOISE, inner, max_size=3),
    max_leaves=5,
)
REPEATED = [
    "max_steps",
    "max_epochs",
    "particles",
    "accumulate",
    "restarts",
    "devices",
    "num_nodes",
]
REPEATED += ["model.steps_per_frame"]


def is_quick(option, value):
    """Tell whether an option neither trains for long, nor starts processes, nor compiles."""
    if option == "compile":
        return value is not True
    return option not in REPEATED or not isinstance(value, int) or not 1 < value < 2**63
