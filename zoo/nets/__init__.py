"""Neural networks shared by models and guides."""

from .mlp import ImageDecoder, ImageEncoder, LinearDecoder, mlp

__all__ = ["ImageDecoder", "ImageEncoder", "LinearDecoder", "mlp"]
