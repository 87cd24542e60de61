"""A user's own images: an array file, an IDX file or a folder of PNG and JPEG images."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from .files import NPY_MAGIC, NPZ_MAGIC, magic_of, npz_keys, only_data_errors, read_npy, read_npz
from .idx import GZIP_MAGIC, read_idx
from .images import Images

__all__ = ["array_from", "images_from"]

USUAL_KEYS = ("images", "imgs", "image", "frames", "pixels", "x", "x_train", "arr_0")
SUFFIXES = (".png", ".jpg", ".jpeg")


@only_data_errors
def images_from(path: str | Path, key: str | None = None) -> Images:
    """Return the images of a file or folder.

    Args:
        path: A `.npy`, `.npz` or IDX file of shape (image, height, width),
            (image, channel, height, width) or (image, height, width, channel), told by content
            and not by name; or a folder of PNG and JPEG images of one size, at any depth.
        key: Which array of a `.npz` file; not needed if there is one, or one with a usual name.

    Raises:
        DataError: The path is missing, in another format, damaged, or holds no images of one
            size, type and range.
    """
    return Images.from_array(array_from(path, key), name=Path(path).stem)


@only_data_errors
def array_from(path: str | Path, key: str | None = None) -> np.ndarray:
    """Return the array in a file, or the images of a folder stacked to one.

    Raises:
        DataError: As for `images_from`.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist. Give a file or a folder of images.")
    if path.is_dir():
        return _folder(path)
    magic = magic_of(path)
    if magic.startswith(NPY_MAGIC):
        return read_npy(path)
    if magic.startswith(NPZ_MAGIC):
        chosen = key or _usual_key(path)
        return read_npz(path, (chosen,))[chosen]
    if magic.startswith((GZIP_MAGIC, b"\0\0")):
        return read_idx(path)
    raise DataError(
        f"{path} is neither a .npy, .npz or IDX file nor a folder: it starts with "
        f"{magic.hex(' ')}. Save the images with numpy.save, or give a folder of PNG images."
    )


def _usual_key(path: Path) -> str:
    keys = npz_keys(path)
    if len(keys) == 1:
        return keys[0]
    usual = [key for key in USUAL_KEYS if key in keys]
    if len(usual) != 1:
        raise DataError(f"{path} has the arrays {', '.join(keys)}. Name one as key.")
    return usual[0]


def _folder(path: Path) -> np.ndarray:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{path} holds no PNG or JPEG image. Give a folder that does.")
    images = [_picture(file) for file in files]
    shape = images[0].shape
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != shape[:2]:
            raise DataError(
                f"{files[0]} has height and width {shape[:2]} but {file} {image.shape[:2]}. "
                "Resize all images to one size."
            )
    if any(image.ndim == 3 for image in images):
        images = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=-1) for i in images]
    return np.stack(images)


def _picture(file: Path) -> np.ndarray:
    """Return an image as uint8, (height, width) if grey or (height, width, 3)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(
                    f"{file} has {image.mode} pixels, expected 8 bits a channel. Convert it."
                )
            return np.array(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, SyntaxError) as error:
        raise DataError(f"{file} is no readable image ({error}). Remove or replace it.") from error
