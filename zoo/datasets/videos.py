"""Published sets of sequences: MPI3D, moving MNIST and two moving dSprites."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from .files import NPY_MAGIC, find_file, magic_of, only_data_errors, read_npy, read_npz
from .sequences import ImageSequences

__all__ = ["moving_mnist", "mpi3d", "two_dsprites"]

MPI3D_SIZES = (6, 6, 2, 3, 3, 40, 40)


@only_data_errors
def mpi3d(path: str | Path, seed: int = 0) -> ImageSequences:
    """Return MPI3D, a robot arm with an object, as colour sequences of 64 x 64 pixels.

    Of the published file of single images, every sequence sweeps the last factor (40 frames) and
    the other six are its truth. A file of recorded sequences also tells which factor moves; its
    sequences of one clip share their first frame and so are in one split.

    Args:
        path: A `.npz` file with `images`, or its folder.
        seed: Seed of the split.

    Raises:
        DataError: The file is missing, damaged or of another shape.
    """
    names = tuple(f"mpi3d_{kind}.npz" for kind in ("toy", "realistic", "real", "traversal_64x64"))
    file = find_file(path, names, ("mpi3d", "mpi3d_traversal"))
    arrays = read_npz(file, ("images",), ("variant", "clip", "factor", "factor_class"))
    images, truth, groups = arrays["images"], None, None
    varying: tuple[str, ...] = ()
    if images.ndim == 4 and len(images) == np.prod(MPI3D_SIZES):
        images = images.reshape(-1, MPI3D_SIZES[-1], *images.shape[1:])
        classes = np.unravel_index(np.arange(len(images)), MPI3D_SIZES[:-1])
        truth = {"classes": np.stack(classes, axis=-1)}
    elif images.ndim == 5 and {"variant", "clip", "factor", "factor_class"} <= arrays.keys():
        factor, variant = (
            np.unique(arrays[key], return_inverse=True)[1] for key in ("factor", "variant")
        )
        truth = {"factor": factor, "factor_class": arrays["factor_class"], "variant": variant}
        varying = ("factor_class",)
        groups = variant * (arrays["clip"].max() + 1) + arrays["clip"]
    elif images.ndim != 5:
        raise DataError(
            f"{file}: found images of shape {images.shape}, expected the "
            f"{np.prod(MPI3D_SIZES)} published images or sequences of images."
        )
    return ImageSequences(
        images,
        truth=truth,
        varying=varying,
        groups=groups,
        seed=seed,
        name="mpi3d",
        citation="M. W. Gondal et al.: On the Transfer of Inductive Bias from Simulation to the "
        "Real World, NeurIPS 2019 (CC BY 4.0).",
    )


@only_data_errors
def moving_mnist(path: str | Path, seed: int = 0) -> ImageSequences:
    """Return moving MNIST: two digits that bounce over 20 frames of 64 x 64 pixels.

    Args:
        path: The published `mnist_test_seq.npy`, or a `.npz` file with `frames` and optionally
            `position`, `digit_label` and `digit_index`, or the folder of one; time comes first.
        seed: Seed of the split. Sequences that share a digit are in one split where
            `digit_index` tells them.

    Raises:
        DataError: The file is missing, damaged or of another shape.
    """
    names = ("mnist_test_seq.npy", "moving_mnist_200x20.npz")
    file = find_file(path, names, ("moving_mnist", "derived_moving_mnist"))
    if magic_of(file).startswith(NPY_MAGIC):
        arrays = {"frames": read_npy(file)}
    else:
        arrays = read_npz(file, ("frames",), ("position", "digit_label", "digit_index"))
    frames = arrays.pop("frames")
    if frames.ndim != 4:
        raise DataError(
            f"{file}: found shape {frames.shape}, expected (time, sequence, height, width)."
        )
    digit_index = arrays.pop("digit_index", None)
    return ImageSequences(
        frames.swapaxes(0, 1)[:, :, None],
        truth=arrays or None,
        varying=("position",) if "position" in arrays else (),
        groups=None if digit_index is None else _linked(digit_index),
        seed=seed,
        name="moving_mnist",
        citation="N. Srivastava, E. Mansimov, R. Salakhutdinov: Unsupervised Learning of Video "
        "Representations using LSTMs, ICML 2015; digits of MNIST (CC BY-SA 3.0).",
    )


@only_data_errors
def two_dsprites(path: str | Path, seed: int = 0) -> ImageSequences:
    """Return two coloured dSprites that move and hide each other, 10 frames of 64 x 64 pixels.

    The truth has the masks (background, object 1, object 2), positions, visible shares, colours
    and the classes of shape, scale and orientation.

    Args:
        path: A `.npz` file with `image`, or its folder.
        seed: Seed of the split.

    Raises:
        DataError: The file is missing, damaged or of another format.
    """
    names = ("two_dsprites.npz", "two_dsprites_400x10.npz")
    file = find_file(path, names, ("two_dsprites", "derived_two_dsprites"))
    known = ("mask", "position", "visibility", "factor_class", "color")
    arrays = read_npz(file, ("image",), known)
    frames = arrays.pop("image")
    return ImageSequences(
        frames,
        truth=arrays or None,
        varying=[key for key in ("mask", "position", "visibility") if key in arrays],
        seed=seed,
        name="two_dsprites",
        citation="Made from L. Matthey et al.: dSprites, 2017 (Apache 2.0).",
    )


def _linked(digit_index: np.ndarray) -> np.ndarray:
    """Number the sequences so that those linked by common digits have one number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count, digits = digit_index.shape
    digit = count + np.unique(digit_index, return_inverse=True)[1].reshape(-1)
    sequence = np.arange(count).repeat(digits)
    size = int(digit.max()) + 1
    graph = coo_array((np.ones(len(digit)), (sequence, digit)), shape=(size, size))
    labels: np.ndarray = connected_components(graph, directed=False)[1][:count]
    return labels
