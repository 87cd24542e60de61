"""CelebA, photographs of faces with forty attributes, from its published files."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ..errors import DataError
from .files import find_file, only_data_errors
from .images import Images, spaced
from .motion import check_name

__all__ = ["celeba"]

CITATION = (
    "Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild, ICCV 2015 "
    "(for non-commercial research)."
)
PICTURES = "img_align_celeba"
PARTITION = "list_eval_partition.txt"
ATTRIBUTES = "list_attr_celeba.txt"
FOLDERS = ("celeba", "CelebA", "Eval", "Anno", "celeba/Eval", "celeba/Anno")
TEST = 2  # in the published partition; 0 is training and 1 validation


@only_data_errors
def celeba(
    data_dir: str | Path | None,
    split: Literal["train", "test"] = "train",
    *,
    size: int = 64,
    limit: int | None = None,
) -> Images:
    """Return aligned faces, cut to their middle square and reduced in size.

    Labels are the forty attributes, 0 or 1, where their file is there.

    Args:
        data_dir: Folder of `img_align_celeba/` (or `Img/img_align_celeba/`), with the JPEG files
            as published, `list_eval_partition.txt` and, if wished, `list_attr_celeba.txt`.
        split: The published training and validation parts together, or the test part.
        size: Height and width in pixels.
        limit: Read so many of the part only, evenly spaced.

    Raises:
        DataError: A file is missing or damaged, or lists what is not there.
    """
    check_name(split, ("train", "test"), "split")
    if data_dir is None:
        raise DataError("celeba is read from files. Give their folder as data_dir.")
    partition = find_file(data_dir, (PARTITION,), FOLDERS)
    wanted = [name for name, part in _rows(partition) if (part == [str(TEST)]) == (split == "test")]
    if not wanted:
        raise DataError(f"{partition} lists no {split} images. Fetch or copy it again.")
    names = [wanted[k] for k in spaced(len(wanted), limit or len(wanted))]
    pictures = _pictures(Path(data_dir).expanduser())
    pixels = np.stack([_face(pictures / name, size) for name in names])
    label_names, labels = _attributes(Path(data_dir).expanduser(), names)
    return Images(
        pixels=torch.from_numpy(pixels).movedim(-1, 1).contiguous(),
        labels=labels,
        label_names=label_names,
        name="celeba",
        citation=CITATION,
    )


def _rows(path: Path, skipped: int = 0) -> list[tuple[str, list[str]]]:
    """Return the name of each picture with what a published list says of it."""
    lines = path.read_text().splitlines()[skipped:]
    return [(words[0], words[1:]) for words in map(str.split, lines) if words]


def _pictures(folder: Path) -> Path:
    places = [folder / part / PICTURES for part in ("", "Img", "celeba", "CelebA", "celeba/Img")]
    found = next((place for place in [folder, *places] if any(place.glob("??????.jpg"))), None)
    if found is None:
        raise DataError(
            f"Found no pictures such as 000001.jpg in {', '.join(map(str, places))}. Unpack "
            f"{PICTURES}.zip there."
        )
    return found


def _face(path: Path, size: int) -> np.ndarray:
    """Return the middle square of a picture, reduced."""
    from PIL import Image

    if not path.is_file():
        raise DataError(f"{path} is missing, though {PARTITION} lists it. Unpack {PICTURES}.zip.")
    try:
        with Image.open(path) as image:
            side = min(image.size)
            left, top = ((length - side) // 2 for length in image.size)
            square = (left, top, left + side, top + side)
            return np.array(image.convert("RGB").resize((size, size), Image.Resampling.BOX, square))
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} is no readable image ({error}). Copy it again.") from error


def _attributes(folder: Path, names: list[str]) -> tuple[tuple[str, ...], torch.Tensor | None]:
    places = [folder / part / ATTRIBUTES for part in ("", *FOLDERS)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return (), None
    heads = tuple(path.read_text().splitlines()[1].split())
    known = dict(_rows(path, skipped=2))
    if missing := [name for name in names if len(known.get(name, ())) != len(heads)]:
        raise DataError(
            f"{path} lacks the {len(heads)} attributes of {len(missing)} pictures, such as "
            f"{missing[0]}. Fetch or copy it again."
        )
    rows = [[int(word) > 0 for word in known[name]] for name in names]
    return heads, torch.tensor(rows, dtype=torch.int64)
