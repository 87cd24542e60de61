"""Neural networks shared by models and guides."""

from .mlp import ImageDecoder, ImageEncoder, LinearDecoder, mlp
from .pixels import PixelNet

__all__ = ["ImageDecoder", "ImageEncoder", "LinearDecoder", "PixelNet", "mlp"]
