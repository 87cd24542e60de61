"""Neural networks shared by models and guides."""

from .mlp import ImageDecoder, ImageEncoder, mlp

__all__ = ["ImageDecoder", "ImageEncoder", "mlp"]
