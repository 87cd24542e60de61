"""Published sets of rendered scenes with known factors: dSprites, 3D Shapes, Falcor3D, Isaac3D."""

from pathlib import Path

import torch

from ..errors import DataError
from .files import find_file, magic_of, only_data_errors, read_npz
from .images import Images, channels_first

__all__ = ["dsprites", "falcor3d", "isaac3d", "shapes3d"]

DSPRITES_FACTORS = ("color", "shape", "scale", "orientation", "posX", "posY")
SHAPES3D_FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
NVIDIA = (
    "W. Nie et al.: Semi-Supervised StyleGAN for Disentanglement Learning, ICML 2020 (CC BY 4.0)."
)


@only_data_errors
def dsprites(path: str | Path, every: int = 1) -> Images:
    """Return dSprites, white shapes on black of 64 x 64 pixels, labelled by latent classes.

    Args:
        path: The published `.npz` file, one of the same keys, or its folder.
        every: Keep every so many-th image; all 737280 need 3 GB.

    Raises:
        DataError: The file is missing, damaged or of another format.
    """
    names = ("dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz", "dsprites_traversal_64x64.npz")
    file = find_file(path, names, ("dsprites", "dsprites_traversal"))
    arrays = read_npz(file, ("imgs", "latents_classes"))
    pixels = arrays["imgs"][:: _positive(every)]
    if pixels.size and pixels.max() > 1:
        raise DataError(f"{file}: found pixels up to {pixels.max()}, expected 0 and 1.")
    return Images(
        pixels=torch.from_numpy(pixels * 255).unsqueeze(1),
        labels=torch.from_numpy(arrays["latents_classes"][::every].copy()),
        label_names=DSPRITES_FACTORS,
        name="dsprites",
        citation="L. Matthey, I. Higgins, D. Hassabis, A. Lerchner: dSprites, 2017 (Apache 2.0).",
    )


@only_data_errors
def shapes3d(path: str | Path, every: int = 1) -> Images:
    """Return 3D Shapes, colour images of 64 x 64 pixels, labelled by factor values.

    Args:
        path: The published `.h5` file, one of the same keys, or its folder.
        every: Read every so many-th image; all 480000 need 6 GB.

    Raises:
        DataError: The file is missing, damaged or of another format.
    """
    import h5py

    file = find_file(
        path,
        ("3dshapes.h5", "3dshapes_traversal.h5"),
        ("3dshapes", "shapes3d", "shapes3d_traversal"),
    )
    magic_of(file)
    try:
        with h5py.File(file, "r") as content:
            pixels = content["images"][:: _positive(every)]
            labels = content["labels"][::every]
    except (OSError, KeyError) as error:
        raise DataError(
            f"{file}: expected an HDF5 file with `images` and `labels` ({error}). Fetch it again."
        ) from error
    return Images(
        pixels=channels_first(torch.from_numpy(pixels)),
        labels=torch.from_numpy(labels),
        label_names=SHAPES3D_FACTORS,
        name="shapes3d",
        citation="C. Burgess, H. Kim: 3D Shapes Dataset, 2018 (Apache 2.0).",
    )


@only_data_errors
def falcor3d(path: str | Path) -> Images:
    """Return Falcor3D sweeps, a living room under changing light; class -1 is unknown.

    Args:
        path: A `.npz` file with `images`, `latents_classes` and `factor_names`, or its folder.

    Raises:
        DataError: The file is missing, damaged or of another format.
    """
    return _nvidia(path, "falcor3d")


@only_data_errors
def isaac3d(path: str | Path) -> Images:
    """Return Isaac3D sweeps, a robot arm in a kitchen; class -1 is unknown.

    Args:
        path: A `.npz` file with `images`, `latents_classes` and `factor_names`, or its folder.

    Raises:
        DataError: The file is missing, damaged or of another format.
    """
    return _nvidia(path, "isaac3d")


def _nvidia(path: str | Path, name: str) -> Images:
    names = (f"{name}.npz", f"{name}_traversal_128x128.npz")
    file = find_file(path, names, (name, "falcor3d_isaac3d_traversal"))
    arrays = read_npz(file, ("images", "latents_classes", "factor_names"))
    return Images(
        pixels=channels_first(torch.from_numpy(arrays["images"])),
        labels=torch.from_numpy(arrays["latents_classes"]),
        label_names=tuple(str(factor) for factor in arrays["factor_names"]),
        name=name,
        citation=NVIDIA,
    )


def _positive(every: int) -> int:
    if every < 1:
        raise DataError(f"every={every}: expected 1 or more.")
    return every
