"""What the command line learns from, as options."""

from dataclasses import dataclass
from typing import Any

from ..zoo.config import AbstractConfig
from ..zoo.errors import DataError

__all__ = ["DataOptions"]

_OF_BALLS = ("support", "blocks", "occlusion")
_OF_MOTION = ("transforms", "length", "steps", "sequences_per_image", "signed")


@dataclass(frozen=True, kw_only=True)
class DataOptions(AbstractConfig):
    """What to learn from.

    Attributes:
        data: Name of a data set (digits, mnist, fashion_mnist, sprites, …), or path of a file or
            folder of images.
        data_dir: Folder of its published files; the digits need none.
        transforms: What moves the images, separated by commas: rotation, scale, hue, translation_x,
            translation_y, brightness. None takes those that suit the data.
        length: Number of frames of a sequence. None takes what suits the data.
        steps: Numbers of steps after which each of `transforms` is back, separated by commas, such
            as 10 for a rotation by 36 degrees. In each sequence one such transformation, or one
            for each factor together, acts between any two frames. None lets speeds vary.
        stay: Probability that what acts goes on acting; with `steps` only. Below 1, suits
            `--model.dynamics markov`.
        labelled: Whether the model is told which one acts; with `steps` only.
        sequences_per_image: Number of sequences made from each image. None makes 4 of each of the
            few digits and 1 of others; with `steps`, all pairs of start and transformation up
            to 100.
        signed: Whether motion goes both ways.
        support: Where the heights of balls lie, which stand side by side: square, l_shape, u_shape
            or disconnected; with `data=balls` only, as the next two. None takes the L.
        blocks: What moves in pictures of balls: their height, or both coordinates, independent or
            dependent. None takes the height.
        occlusion: Whether the second ball hides the first, so that pictures are no sums.
        limit: Use at most this many images.
    """

    data: str = "digits"
    data_dir: str | None = None
    transforms: str | None = None
    length: int | None = None
    steps: str | None = None
    stay: float = 1.0
    labelled: bool = False
    sequences_per_image: int | None = None
    signed: bool = False
    support: str | None = None
    blocks: str | None = None
    occlusion: bool = False
    limit: int | None = None

    def check(self) -> None:
        """Refuse steps that are no whole numbers, and what does not go together."""
        words = [] if self.steps is None else self.steps.split(",")
        whole = all(word.strip().isdecimal() for word in words)
        self.require(whole, "steps", "whole numbers separated by commas, or None")
        self.require(self.steps is not None or not self.labelled, "labelled", "False without steps")
        self.require(0 < self.stay <= 1, "stay", "above 0 and at most 1")
        if self.data != "balls":
            for name in _OF_BALLS:
                self.require(not getattr(self, name), name, "left out unless data=balls")

    def open(self, *, seed: int, stills: bool = False) -> Any:  # noqa: ANN401 - any data set
        """Return the data set.

        Args:
            seed: Of the split and of all motion.
            stills: Whether single images are wanted, not sequences.

        Raises:
            DataError: The data are unknown, missing or bad, or options of motion were given for
                images that do not move.
        """
        if stills:
            return self._open_stills(seed)
        if self.data == "balls":
            return self._open_balls(seed)
        from ..zoo.datasets import open_data, open_orbits

        if self.steps is not None:
            return open_orbits(
                self.data,
                self.data_dir,
                orders=[int(word) for word in self.steps.split(",")],
                factors=(self.transforms or "rotation").split(","),
                length=2 if self.length is None else self.length,
                sequences_per_image=self.sequences_per_image,
                labelled=self.labelled,
                stay=self.stay,
                limit=self.limit,
                seed=seed,
            )

        sequences = self.sequences_per_image
        if sequences is None and self.data == "digits":
            sequences = 4
        asked: dict[str, Any] = {"sequences_per_image": sequences}
        asked["signed"] = self.signed or None
        return open_data(
            self.data,
            self.data_dir,
            transforms=None if self.transforms is None else self.transforms.split(","),
            length=self.length,
            seed=seed,
            limit=self.limit,
            **{name: value for name, value in asked.items() if value is not None},
        )

    def _open_balls(self, seed: int) -> Any:  # noqa: ANN401 - a data set of pictures of balls
        from ..zoo.datasets import open_balls

        if any(getattr(self, name) for name in _OF_MOTION):
            raise DataError(f"balls do not move. Leave out {', '.join(_OF_MOTION)}.")
        asked: dict[str, Any] = {name: getattr(self, name) or None for name in _OF_BALLS}
        asked = {name: value for name, value in asked.items() if value is not None}
        return open_balls(seed=seed, limit=self.limit, **asked)

    def _open_stills(self, seed: int) -> Any:  # noqa: ANN401 - a data set of still images
        from ..zoo.datasets.stills import open_stills

        options = (self.transforms, self.length, self.sequences_per_image, self.signed or None)
        if any(option is not None for option in options):
            raise DataError(
                "This model reads single images. Leave out transforms, length, "
                "sequences_per_image and signed."
            )
        return open_stills(self.data, self.data_dir, seed=seed, limit=self.limit)
