"""Mutoscope: a probabilistic-programming model zoo for learning how the world transforms."""

__version__ = "0.1.0.dev0"
