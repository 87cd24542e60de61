"""What the command line learns from, as options."""

from dataclasses import dataclass
from typing import Any

from ..zoo.config import AbstractConfig
from ..zoo.errors import DataError

__all__ = ["DataOptions"]

_OF_BALLS = ("support", "blocks", "balls", "occlusion")
_OF_TASKS = ("points", "classes", "halved")
_OF_MOTION = ("transforms", "steps", "sequences_per_image", "signed")


@dataclass(frozen=True, kw_only=True)
class DataOptions(AbstractConfig):
    """What to learn from.

    Attributes:
        data: Name of a data set (digits, mnist, fashion_mnist, sprites, …), or path of a file or
            folder of images; for models of tasks factors, ellipses, a set of images with labels,
            or path of a CSV file, in which columns called label:NAME are labels, empty where
            missing, and all others numbers; or of an npz file of `inputs` and labels.
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
            or disconnected; with `data=balls` only, as the next three. None takes the L.
        blocks: What moves in pictures of balls: their height, or both coordinates, independent,
            dependent, or so beyond a curve (curved). None takes the height.
        balls: Least and largest number of balls in a picture, separated by a comma, such as 1,2.
            None takes two.
        occlusion: Whether the second ball hides the first, so that pictures are no sums.
        points: Number of points of a task, for models of tasks only, as the next two. None takes
            32, or 128 vectors that are made.
        classes: Draw so many classes of a label for each task. None takes all.
        halved: Halve the height and width of images so many times.
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
    balls: str | None = None
    occlusion: bool = False
    points: int | None = None
    classes: int | None = None
    halved: int = 0
    limit: int | None = None

    def check(self) -> None:
        """Refuse steps that are no whole numbers, and what does not go together."""
        words = [] if self.steps is None else self.steps.split(",")
        whole = all(word.strip().isdecimal() for word in words)
        self.require(whole, "steps", "whole numbers separated by commas, or None")
        self.require(self.steps is not None or not self.labelled, "labelled", "False without steps")
        self.require(0 < self.stay <= 1, "stay", "above 0 and at most 1")
        numbers = ["2", "2"] if self.balls is None else self.balls.split(",")
        pair = len(numbers) == 2 and all(word.strip().isdecimal() for word in numbers)
        self.require(pair, "balls", "two whole numbers separated by a comma, or None")
        if self.data != "balls":
            for name in _OF_BALLS:
                self.require(not getattr(self, name), name, "left out unless data=balls")

    def open(self, *, seed: int, reads: str = "sequences") -> Any:  # noqa: ANN401 - any data set
        """Return the data set.

        Args:
            seed: Of the split and of all motion.
            reads: What is wanted: "sequences" of images, "stills" or "tasks".

        Raises:
            DataError: The data are unknown, missing or bad, or options of motion were given for
                images that do not move.
        """
        if reads == "tasks":
            return self._open_tasks(seed)
        if any(getattr(self, name) for name in _OF_TASKS):
            raise DataError(f"This model reads no tasks. Leave out {', '.join(_OF_TASKS)}.")
        if reads == "stills":
            return self._open_stills(seed)
        if self.data in ("balls", "ball_sequences"):
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
        from ..zoo.datasets import open_ball_sequences, open_balls

        still = self.data == "balls"
        refused = [*_OF_MOTION, *["length"] * still]
        if any(getattr(self, name) for name in refused):
            raise DataError(f"Nothing else moves {self.data}. Leave out {', '.join(refused)}.")
        if not still:
            return open_ball_sequences(length=self.length, limit=self.limit, seed=seed)
        asked: dict[str, Any] = {name: getattr(self, name) or None for name in _OF_BALLS}
        asked = {name: value for name, value in asked.items() if value is not None}
        if self.balls is not None:
            asked["balls"] = tuple(int(word) for word in self.balls.split(","))
        return open_balls(seed=seed, limit=self.limit, **asked)

    def _open_tasks(self, seed: int) -> Any:  # noqa: ANN401 - a data set of tasks
        from ..zoo.datasets import open_tasks

        refused = (*_OF_MOTION, "length", *_OF_BALLS)
        if any(getattr(self, name) for name in refused):
            raise DataError(f"This model reads tasks. Leave out {', '.join(refused)}.")
        return open_tasks(
            self.data,
            self.data_dir,
            seed=seed,
            limit=self.limit,
            points=self.points,
            classes=self.classes,
            halved=self.halved,
        )

    def _open_stills(self, seed: int) -> Any:  # noqa: ANN401 - a data set of still images
        from ..zoo.datasets.stills import open_stills

        options = (self.transforms, self.length, self.sequences_per_image, self.signed or None)
        if any(option is not None for option in options):
            raise DataError(
                "This model reads single images. Leave out transforms, length, "
                "sequences_per_image and signed."
            )
        return open_stills(self.data, self.data_dir, seed=seed, limit=self.limit)
