"""Generative models p(x, z)."""
