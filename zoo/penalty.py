"""Terms that training pays for and that are no part of a model's density."""

from collections.abc import Mapping
from typing import Any, cast

import pyro
from jaxtyping import Float
from pyro.distributions import Unit
from torch import Tensor

__all__ = ["is_penalty", "penalise"]

_MARK = "mutoscope_penalty"


def penalise(name: str, term: Float[Tensor, "*batch"]) -> None:
    """Charge training with a term for each datum; write it inside their plate.

    To Pyro's own ELBOs it is `pyro.factor(name, -term)`, weighed by plates as any density. Ours
    books it as a penalty, so that the ELBO beside it stays true. A model without a store of global
    parameters is trained by SVI as `lambda x: pyro.module("model", model)(x)`, or by any optimizer
    of PyTorch on `Trace_ELBO()(model, guide)`, which is a module.

    Args:
        name: What the term is called.
        term: In nats, as it is weighed.
    """
    unit = Unit(-term)
    marked = cast(Any, {"is_auxiliary": True, _MARK: True})
    pyro.sample(name, unit, obs=unit.sample(), infer=marked)


def is_penalty(site: Mapping[str, Any]) -> bool:
    """Tell whether a site of a trace was written by `penalise`."""
    return bool(site["type"] == "sample" and site["infer"].get(_MARK))
