"""Sprites: characters of the Liberated Pixel Cup who walk, cast spells and slash."""

from pathlib import Path
from typing import Literal

import numpy as np

from .files import find_file, only_data_errors, read_npz
from .motion import check_name
from .sequences import ImageSequences

__all__ = ["sprites"]

CITATION = (
    "Y. Li, S. Mandt: Disentangled Sequential Autoencoder, ICML 2018; art by the authors of the "
    "Liberated Pixel Cup (CC BY-SA 3.0 or GPL 3.0)."
)
ACTIONS = ("walk", "spellcard", "slash")
DIRECTIONS = ("front", "left", "right")
FOLDERS = ("sprites_lpc", "sprites")


@only_data_errors
def sprites(
    data_dir: str | Path, size: Literal["small", "full"] = "small", seed: int = 0
) -> ImageSequences:
    """Return colour sequences of 8 frames of 64 x 64 pixels, split by character.

    The truth has the attributes (body, bottomwear, topwear, hair), the action and the direction of
    each sequence as class numbers.

    Args:
        data_dir: Folder of `sprites_train.npz` and `sprites_test.npz` (216 characters), or with
            size "full" of `index.npz` and the nine files such as `walk_front_frames.npz` (1296
            characters, 1.2 GB in memory).
        size: Which of the two.
        seed: Seed of the split of the published training part into training and validation.

    Raises:
        DataError: A file is missing or damaged.
    """
    check_name(size, ("small", "full"), "size")
    frames, attributes, action, direction, in_test = (
        _small(data_dir) if size == "small" else _full(data_dir)
    )
    return ImageSequences(
        frames,
        truth={"attributes": attributes, "action": action, "direction": direction},
        groups=attributes @ np.array([216, 36, 6, 1]),
        in_test=in_test,
        seed=seed,
        name="sprites",
        citation=CITATION,
    )


def _small(data_dir: str | Path) -> tuple[np.ndarray, ...]:
    keys = ("frames", "attributes", "action", "direction")
    names = ("sprites_train.npz", "sprites_test.npz")
    parts = [read_npz(find_file(data_dir, (name,), FOLDERS), keys) for name in names]
    in_test = np.repeat([False, True], [len(part["frames"]) for part in parts])
    return (*(np.concatenate([part[key] for part in parts]) for key in keys), in_test)


def _full(data_dir: str | Path) -> tuple[np.ndarray, ...]:
    folders = ("full", *(f"{folder}/full" for folder in FOLDERS), *FOLDERS)
    index_path = find_file(data_dir, ("index.npz",), folders)
    index = read_npz(index_path, ("attributes", "test_idx"))
    kinds = [(a, d) for a in range(len(ACTIONS)) for d in range(len(DIRECTIONS))]
    frames = [
        read_npz(
            find_file(index_path.parent, (f"{ACTIONS[a]}_{DIRECTIONS[d]}_frames.npz",)), ("frames",)
        )["frames"]
        for a, d in kinds
    ]
    characters = len(index["attributes"])
    in_test = np.zeros(characters, dtype=bool)
    in_test[index["test_idx"]] = True
    action, direction = (np.repeat(column, characters) for column in np.array(kinds).T)
    attributes = np.tile(index["attributes"], (len(kinds), 1))
    return np.concatenate(frames), attributes, action, direction, np.tile(in_test, len(kinds))
