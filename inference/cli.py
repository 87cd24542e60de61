"""The command line: `mutoscope list` and `mutoscope fit MODEL`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..zoo.config import AbstractConfig
from ..zoo.errors import ConfigError, MutoscopeError

__all__ = ["main"]


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
        sequences_per_image: Number of sequences made from each image. None makes 4 of each of the
            few digits and 1 of others.
        signed: Whether motion goes both ways.
        limit: Use at most this many images.
    """

    data: str = "digits"
    data_dir: str | None = None
    transforms: str | None = None
    length: int | None = None
    sequences_per_image: int | None = None
    signed: bool = False
    limit: int | None = None

    def open(self, *, seed: int) -> Any:  # noqa: ANN401 - any data set of image sequences
        """Return the data set.

        Raises:
            DataError: The data are unknown, missing or bad.
        """
        from ..zoo.datasets import open_data

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None takes those of the process.

    Returns:
        The exit status: 0, 1 after an error that is explained in one line, 130 when interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    words = [_with_underscores(word) for word in given]
    try:
        _check_config_file(words)
        chosen = _parser().parse_args(words)
        if chosen.command == "list":
            _list()
        else:
            _fit(chosen.fit)
    except MutoscopeError as error:
        sys.stderr.write(f"mutoscope: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("mutoscope: interrupted.\n")
        return 130
    return 0


def _with_underscores(word: str) -> str:
    """Let options be written with hyphens too: `--data-dir` is `--data_dir`."""
    name, equals, value = word.partition("=")
    return (
        name.replace("-", "_").replace("__", "--", 1) + equals + value if word[:2] == "--" else word
    )


def _parser() -> Any:  # noqa: ANN401 - jsonargparse carries no types
    from jsonargparse import ArgumentParser

    from ..guides.registry import ENTRIES
    from .fit import FitOptions

    parser = ArgumentParser(
        prog="mutoscope",
        allow_abbrev=False,
        description="Probabilistic models of how the world transforms.",
        version=version("mutoscope"),
    )
    commands = parser.add_subcommands(dest="command")
    commands.add_subcommand(
        "list", ArgumentParser(), help="list the models", description="List the models."
    )
    fit = ArgumentParser(
        allow_abbrev=False, description="Train a model and report what it learned."
    )
    commands.add_subcommand("fit", fit, help="train a model and report what it learned")
    entries = fit.add_subcommands(dest="entry")
    for entry in ENTRIES:
        one = ArgumentParser(allow_abbrev=False, description=f"Train: {entry.summary}.")
        one.add_argument("--config", action="config", help="file with any of these options")
        one.add_class_arguments(DataOptions)
        _add_output(one)
        one.add_class_arguments(FitOptions)
        one.add_class_arguments(entry.model.Config, "model", skip={"image_shape", "length"})
        one.add_class_arguments(entry.guide.Config, "guide")
        entries.add_subcommand(entry.name, one, help=entry.summary)
    return parser


def _add_output(parser: Any) -> None:  # noqa: ANN401 - jsonargparse carries no types
    add = parser.add_argument
    add("--out", default="runs/latest", help="folder of weights, history, posterior and figures")
    add("--overwrite", action="store_true", help="replace a run that is already there")
    add("--draws", type=int, default=100, help="posterior draws of each sequence")
    add("--no_baseline", action="store_true", help="leave out the autoencoder to compare with")
    add("--quiet", action="store_true", help="leave out the progress bars")


def _check_config_file(words: Sequence[str]) -> None:
    """Refuse unknown keys with a clear word: the parser's own is lost between subcommands."""
    from ..guides.registry import ENTRIES, Entry
    from .config_file import check_config_file, config_file
    from .fit import FitOptions

    path = config_file(words)
    if path is not None and len(words) > 1 and words[1] in {entry.name for entry in ENTRIES}:
        others = ("out", "overwrite", "draws", "no_baseline", "quiet")
        check_config_file(path, Entry.named(words[1]), (DataOptions, FitOptions), others)


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from ..guides.registry import ENTRIES

    table = Table("name", "model", "guide", "what it is")
    for entry in ENTRIES:
        table.add_row(entry.name, entry.model.__name__, entry.guide.__name__, entry.summary)
    Console().print(table)


def _options(kind: type[AbstractConfig], chosen: Any) -> Any:  # noqa: ANN401 - any configuration
    return kind.from_dict({field.name: chosen[field.name] for field in fields(kind)})


def _fit(chosen: Any) -> None:  # noqa: ANN401 - a jsonargparse namespace
    from ..guides.registry import Entry
    from .fit import FitOptions
    from .job import Job

    entry = Entry.named(chosen.entry)
    words = chosen[chosen.entry]
    folder = Path(words.out)
    if folder.is_file():
        raise ConfigError(f"--out {folder} is a file. Choose a folder.")
    if words.draws < 1:
        raise ConfigError(f"--draws {words.draws}, but at least 1 is needed.")
    if folder.exists() and any(folder.iterdir()) and not words.overwrite:
        raise ConfigError(
            f"{folder} already holds files. Choose another --out, or pass --overwrite."
        )
    Job(
        entry=entry,
        data=_options(DataOptions, words),
        options=_options(FitOptions, words),
        model=dict(vars(words.model)),
        guide=dict(vars(words.guide)),
        draws=words.draws,
        baseline=not words.no_baseline,
        quiet=words.quiet,
    ).run(folder)
