"""Training, posteriors and what can be read from them."""

from .fit import FitOptions, fit, resume
from .run import Run

__all__ = ["FitOptions", "Run", "fit", "resume"]
