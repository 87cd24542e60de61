"""MNIST and Fashion-MNIST from their published IDX files."""

import dataclasses
from pathlib import Path
from typing import Literal

import torch

from ..errors import DataError
from .files import find_file, only_data_errors
from .idx import read_idx
from .images import Images
from .motion import check_name

__all__ = ["fashion_mnist", "mnist"]


@dataclasses.dataclass(frozen=True)
class Published:
    """Where four IDX files are published, and how a good copy is told."""

    name: str
    url: str
    folders: tuple[str, ...]
    citation: str
    checksums: dict[str, str]


MNIST = Published(
    name="mnist",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    folders=("mnist", "MNIST", "MNIST/raw"),
    citation="Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits "
    "(CC BY-SA 3.0).",
    checksums={
        "train-images-idx3-ubyte": "sha256:"
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "sha256:"
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "sha256:"
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "sha256:"
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION = Published(
    name="fashion_mnist",
    url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
    citation="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747 (MIT).",
    checksums={
        "train-images-idx3-ubyte": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    },
)


@only_data_errors
def mnist(
    data_dir: str | Path | None = None,
    split: Literal["train", "test"] = "train",
    *,
    limit: int | None = None,
) -> Images:
    """Return MNIST: 60000 training or 10000 test digits of 28 x 28 pixels, with their labels.

    Args:
        data_dir: Folder of the four published IDX files, gzipped or not; without it they are
            downloaded once to the user's cache and checked.
        split: Which of the two published parts.
        limit: Return so many of it only, evenly spaced.

    Raises:
        DataError: A file is missing, damaged or cannot be downloaded.
    """
    return _published(MNIST, data_dir, split).spaced(limit)


@only_data_errors
def fashion_mnist(
    data_dir: str | Path | None = None,
    split: Literal["train", "test"] = "train",
    *,
    limit: int | None = None,
) -> Images:
    """Return Fashion-MNIST: pictures of clothing, in the format and sizes of MNIST.

    Args:
        data_dir: Folder of the four published IDX files, gzipped or not; without it they are
            downloaded once to the user's cache and checked.
        split: Which of the two published parts.
        limit: Return so many of it only, evenly spaced.

    Raises:
        DataError: A file is missing, damaged or cannot be downloaded.
    """
    return _published(FASHION, data_dir, split).spaced(limit)


def _published(source: Published, data_dir: str | Path | None, split: str) -> Images:
    check_name(split, ("train", "test"), "split")
    part = "train" if split == "train" else "t10k"
    pixels_path = _path(source, data_dir, f"{part}-images-idx3-ubyte")
    labels_path = _path(source, data_dir, f"{part}-labels-idx1-ubyte")
    pixels, labels = read_idx(pixels_path), read_idx(labels_path)
    if pixels.ndim != 3 or labels.ndim != 1:
        raise DataError(
            f"{pixels_path} has {pixels.ndim} axes and {labels_path} {labels.ndim}, expected 3 "
            "for images and 1 for labels. Check that the files are not swapped."
        )
    return Images(
        pixels=torch.from_numpy(pixels).unsqueeze(1),
        labels=torch.from_numpy(labels).long(),
        name=source.name,
        citation=source.citation,
    )


def _path(source: Published, data_dir: str | Path | None, stem: str) -> Path:
    """Find a file in `data_dir` or else download it."""
    if data_dir is not None:
        if Path(data_dir).expanduser().is_file():
            raise DataError(f"{data_dir} is a file. Give the folder that holds {stem}.gz.")
        names = (f"{stem}.gz", stem, stem.replace("-idx", ".idx"))
        return find_file(data_dir, names, source.folders)
    import pooch

    url, cache = f"{source.url}{stem}.gz", pooch.os_cache("mutoscope") / source.name
    try:
        return Path(
            pooch.retrieve(url, known_hash=source.checksums[stem], fname=f"{stem}.gz", path=cache)
        )
    except (OSError, ValueError) as error:
        files = ", ".join(f"{name}.gz" for name in source.checksums)
        raise DataError(
            f"{url} could not be downloaded ({error}). Put {files} into a folder and give it as "
            f"data_dir, or put them into {cache}."
        ) from error
