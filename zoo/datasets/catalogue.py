"""Data sets by name, as the command line asks for them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from ..errors import DataError
from ..plugins import Plugin, find_plugin, plugins
from .ball_sequences import BallSequences
from .balls import BallOptions, MovingBalls
from .celeba import celeba
from .digits import digits
from .files import only_data_errors
from .folders import array_from
from .images import Images
from .mnist import fashion_mnist, mnist
from .motion import check_name
from .orbits import OrbitSequences
from .polygons import polygons
from .sequences import ImageSequences
from .sprites import sprites
from .transformed import TransformedImages, TransformOptions
from .traversals import dsprites, falcor3d, isaac3d, shapes3d
from .videos import moving_mnist, mpi3d, two_dsprites

__all__ = [
    "SOURCES",
    "load_images",
    "open_ball_sequences",
    "open_balls",
    "open_data",
    "open_orbits",
    "sources",
]

GROUP = "mutoscope.datasets"
# With a published test part.
PARTED: dict[str, Callable[..., Images]] = {
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "celeba": celeba,
}
SINGLE: dict[str, Callable[[str | Path], Images]] = {
    "dsprites": dsprites,
    "shapes3d": shapes3d,
    "falcor3d": falcor3d,
    "isaac3d": isaac3d,
}
RECORDED: dict[str, Callable[..., ImageSequences]] = {
    "sprites": sprites,
    "mpi3d": mpi3d,
    "moving_mnist": moving_mnist,
    "two_dsprites": two_dsprites,
}
SOURCES = ("digits", *PARTED, *SINGLE, *RECORDED, "polygons", "balls", "ball_sequences")

_BALLS = (2000, 1000)  # pictures for training, and of each other split
_BALL_SEQUENCES = (2000, 500)
_WAY = 0.6  # of the fastest ball, in sides of the picture


def sources() -> tuple[str, ...]:
    """Return the names of all data sets: ours, and `package:name` for those of other packages."""
    return (*SOURCES, *(plugin.name for plugin in plugins(GROUP)))


@only_data_errors
def load_images(
    name: str, data_dir: str | Path | None = None, *, seed: int = 0
) -> Images | ImageSequences:
    """Return the images or recorded sequences of a source.

    Another package adds one by an entry point in the group `mutoscope.datasets`: a function that is
    called as `load(data_dir, seed=seed)` and returns `Images` or `ImageSequences`.

    Args:
        name: One of `sources()`, also without its package if no other has that name, or the path
            of a file or folder of images or sequences; an array with five axes is (sequence, time,
            channel, height, width) or channels last.
        data_dir: Folder of the published files; digits and polygons need none, and the two
            MNISTs are downloaded without it.
        seed: Seed of the split of recorded sequences.

    Raises:
        DataError: The name is unknown, or the files are missing or bad.
        ConfigError: The name is that of another package, and that cannot be used.
    """
    if name == "digits":
        return digits()
    if name == "polygons":
        return polygons()
    if name in ("balls", "ball_sequences"):
        raise DataError(
            f"{name} are made in splits of their own, for models of sequences such as additive. "
            "Choose such a model and no steps, or other images."
        )
    if name in PARTED:
        return PARTED[name](data_dir)
    if name in SINGLE or name in RECORDED:
        if data_dir is None:
            raise DataError(f"{name} is read from files. Give their folder as data_dir.")
        if name in SINGLE:
            return SINGLE[name](data_dir)
        return RECORDED[name](data_dir, seed=seed)
    if plugin := find_plugin(GROUP, name):
        return _installed(plugin, data_dir, seed)
    if not Path(name).expanduser().exists():
        looks_like_path = Path(name).suffix != "" or len(Path(name).parts) > 1
        if looks_like_path:
            raise DataError(f"{name} does not exist. Known names: {', '.join(sources())}.")
        check_name(name, sources(), "data set")
    array = array_from(name)
    if array.ndim == 5:
        return ImageSequences(array, seed=seed, name=Path(name).stem)
    return Images.from_array(array, name=Path(name).stem)


def _installed(plugin: Plugin, data_dir: str | Path | None, seed: int) -> Images | ImageSequences:
    load: Callable[..., object] = plugin.load(lambda found: found)
    source = load(data_dir, seed=seed)
    if not isinstance(source, Images | ImageSequences):
        raise DataError(
            f"{plugin.name} returned {type(source).__name__}; expected Images or ImageSequences. "
            f"Report this to the authors of {plugin.package}."
        )
    return source


def open_data(
    name: str,
    data_dir: str | Path | None = None,
    *,
    transforms: Sequence[str] | None = None,
    length: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    **options: Unpack[TransformOptions],
) -> TransformedImages | ImageSequences:
    """Return a data set ready for training: transformed images, or recorded sequences.

    The test split of the two MNISTs and CelebA shows images of their published test part only.

    Args:
        name: As for `load_images`.
        data_dir: As for `load_images`.
        transforms: Factors that move; rotation and scale when None. For single images only.
        length: Number of frames; when None, 9 for transformed images and all for recorded ones.
        seed: Seed of the split and of all motion.
        limit: Use so many images or sequences, evenly spaced, of each published part.
        **options: Further options of `TransformedImages`. For single images only.

    Raises:
        DataError: The name or an option is wrong, or the files are missing or bad.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: expected 1 or more.")
    source = load_images(name, data_dir, seed=seed)
    if isinstance(source, ImageSequences):
        if transforms is not None or options:
            given = ", ".join(["transforms"] * (transforms is not None) + list(options))
            raise DataError(f"{name} has recorded motion. Leave out {given}.")
        return source.shortened(length=length, limit=limit)
    test = PARTED[name](data_dir, split="test") if name in PARTED else None
    return TransformedImages(
        source.spaced(limit),
        ("rotation", "scale") if transforms is None else tuple(transforms),
        9 if length is None else length,
        seed,
        test_images=None if test is None else test.spaced(limit),
        **options,
    )


def open_balls(
    *, limit: int | None = None, seed: int = 0, **options: Unpack[BallOptions]
) -> MovingBalls:
    """Return pictures of two balls.

    Args:
        limit: Make at most so many pictures for each split.
        seed: Of all that is drawn.
        **options: Where the balls are, see `MovingBalls`.

    Raises:
        DataError: An option is wrong.
    """
    train, test = _sizes(_BALLS, limit)
    return MovingBalls(seed=seed, train_size=train, test_size=test, **options)


def open_ball_sequences(
    *, length: int | None = None, limit: int | None = None, seed: int = 0
) -> BallSequences:
    """Return sequences of two balls.

    Args:
        length: Number of frames, in which the fastest ball moves by 0.6 sides of the picture; 5
            when None.
        limit: Make at most so many sequences for each split.
        seed: Of all that is drawn.

    Raises:
        DataError: An option is wrong.
    """
    train, test = _sizes(_BALL_SEQUENCES, limit)
    frames = 5 if length is None else length
    fastest = _WAY / max(frames - 1, 1)
    return BallSequences(
        length=frames, fastest=fastest, seed=seed, train_size=train, test_size=test
    )


def _sizes(counts: tuple[int, int], limit: int | None) -> tuple[int, int]:
    """Return sizes of the training split and of others."""
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: expected 1 or more.")
    train, test = (count if limit is None else min(count, limit) for count in counts)
    return train, test


def open_orbits(
    name: str,
    data_dir: str | Path | None = None,
    *,
    orders: Sequence[int],
    factors: Sequence[str],
    length: int = 2,
    sequences_per_image: int | None = None,
    labelled: bool = False,
    stay: float = 1.0,
    limit: int | None = None,
    seed: int = 0,
) -> OrbitSequences:
    """Return a data set in which a finite group acts on single images.

    The test split of the two MNISTs and CelebA shows images of their published test part only.

    Args:
        name: As for `load_images`.
        data_dir: As for `load_images`.
        orders: See `OrbitSequences`, as for all that follow but one.
        factors: What moves.
        length: Number of frames.
        sequences_per_image: Sequences of each image.
        labelled: Whether models are told which element acts.
        stay: Probability that the same element acts again.
        limit: Use so many images, evenly spaced, of each published part.
        seed: Seed of the split, the starts and the elements.

    Raises:
        DataError: The name or an option is wrong, or the files are missing or bad.
        ConfigError: The orders make no group.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: expected 1 or more.")
    source = load_images(name, data_dir, seed=seed)
    if isinstance(source, ImageSequences):
        raise DataError(f"{name} has recorded motion, but a group acts on single images.")
    test = PARTED[name](data_dir, split="test") if name in PARTED else None
    return OrbitSequences(
        source.spaced(limit),
        orders,
        factors,
        length=length,
        seed=seed,
        labelled=labelled,
        stay=stay,
        sequences_per_image=sequences_per_image,
        test_images=None if test is None else test.spaced(limit),
    )
