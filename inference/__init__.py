"""Training, posteriors and what can be read from them."""

from .describe import describe
from .fit import FitOptions, fit, resume
from .posterior import summarize
from .run import Run

__all__ = ["FitOptions", "Run", "describe", "fit", "resume", "summarize"]
