"""The command line: what can be typed after `mutoscope`, and what the exit status says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ..zoo.errors import ConfigError, Interrupted, MutoscopeError

if TYPE_CHECKING:
    from ..guides.registry import Entry

__all__ = ["main"]

_ON_MODELS = {
    "describe": "show sites, plates, shapes and parameters of a model",
    "fit": "train a model and report what it learned",
}
_DEFAULT_OUT = "runs/latest"
_NO_MEMORY = re.compile(
    "allocate memory|out of memory|bad_alloc|size calculation overflowed|multiplication overflow"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None takes those of the process.

    Returns:
        The exit status: 0, 1 after an error that is explained in one line, 130 when interrupted
        and 143 when asked to end. Words that are not understood exit with 2.
    """
    given = sys.argv[1:] if arguments is None else arguments
    words = [_with_underscores(word) for word in given]
    try:
        _run(_parsed(words))
    except Interrupted as stopped:
        return _say(stopped, 128 + stopped.signal)
    except MutoscopeError as error:
        return _say(error, 1)
    except OSError as error:
        return _say(f"{error.strerror or error}: {error.filename or ''}", 1)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        return _say(f"not enough memory. Make the sizes smaller: {error}", 1)
    except ValueError as error:
        if "null byte" not in str(error):
            raise
        return _say("a path holds a null byte. Leave it out.", 1)
    except KeyboardInterrupt:
        return _say("interrupted.", 130)
    return 0


def _say(reason: object, status: int) -> int:
    """Tell why the command line ends with a status, in one line whatever was typed."""
    sys.stderr.write(f"mutoscope: {' '.join(str(reason).split())}\n")
    return status


def _with_underscores(word: str) -> str:
    """Let options be written with hyphens too: `--data-dir` is `--data_dir`."""
    name, equals, value = word.partition("=")
    return (
        name.replace("-", "_").replace("__", "--", 1) + equals + value if word[:2] == "--" else word
    )


def _parsed(words: Sequence[str]) -> Any:  # noqa: ANN401 - a jsonargparse namespace
    _check_config_file(words)
    try:
        return _parser(words).parse_args(words)
    except UnicodeError as error:
        raise ConfigError(f"A file that --model or --guide names is no text: {error}.") from error
    except IndexError as error:  # the parser's own, at `--print_config=--`
        raise ConfigError("Found `--` as the value of an option. Leave it out.") from error


def _parser(words: Sequence[str]) -> Any:  # noqa: ANN401 - jsonargparse carries no types
    """Return the parser, with the options of those models only that the words ask for."""
    from . import commands
    from .parser import Parser

    parser = Parser(
        prog="mutoscope",
        allow_abbrev=False,
        description="Probabilistic models of how the world transforms.",
        version=version("mutoscope"),
    )
    known = parser.add_subcommands(dest="command")
    known.add_subcommand("list", Parser(), help="list models and data sets")
    for name, help_text in _ON_MODELS.items():
        one = Parser(allow_abbrev=False, description=f"{help_text.capitalize()}.")
        known.add_subcommand(name, one, help=help_text)
        if words[:1] == [name]:
            _add_models(one, name, _wanted(words))
    for name, (function, help_text) in _on_runs(commands).items():
        one = Parser(allow_abbrev=False, description=f"{help_text.capitalize()}.")
        one.add_function_arguments(function, as_positional=True, skip={"quiet"})
        if name == "resume":
            one.add_argument("--quiet", action="store_true", help="leave out the progress bars")
        known.add_subcommand(name, one, help=help_text)
    return parser


def _on_runs(commands: Any) -> dict[str, tuple[Callable[..., None], str]]:  # noqa: ANN401 - a module
    return {
        "resume": (commands.resume, "go on with a training that was stopped"),
        "posterior": (commands.posterior, "draw the posterior of held-out data"),
        "check": (commands.check, "say how far a run's posterior can be trusted"),
        "plot": (commands.plot, "draw the pictures of a run again"),
        "cite": (commands.cite, "print BibTeX for exactly what was used"),
    }


def _wanted(words: Sequence[str]) -> dict[str, Entry]:
    """Return the entry that the words name, or all where they name none."""
    from ..guides.registry import Entry, entries

    if len(words) > 1 and not words[1].startswith("-"):
        return {words[1]: Entry.named(words[1])}
    return {entry.name: entry for entry in entries()}


def _add_models(parser: Any, command: str, entries: Mapping[str, Entry]) -> None:  # noqa: ANN401 - jsonargparse carries no types
    """Add a subcommand for each model, with all options that the command takes."""
    from .data_options import DataOptions
    from .job import OF_DATA
    from .options import FitOptions
    from .parser import Parser

    models = parser.add_subcommands(dest="entry")
    for name, entry in entries.items():
        one = Parser(allow_abbrev=False, description=f"{entry.summary.capitalize()}.")
        one.add_argument("--config", action="config", help="file with any of these options")
        one.add_class_arguments(DataOptions)
        if command == "fit":
            _add_output(one)
            one.add_class_arguments(FitOptions)
        one.add_class_arguments(entry.model.Config, "model", skip=set(OF_DATA))
        one.add_class_arguments(entry.guide.Config, "guide")
        kinds = (DataOptions, FitOptions) if command == "fit" else (DataOptions,)
        known = {option.name for kind in kinds for option in fields(kind)}
        one.set_defaults({k: x for k, x in entry.defaults.items() if k in known})
        models.add_subcommand(name, one, help=entry.summary)


def _add_output(parser: Any) -> None:  # noqa: ANN401 - jsonargparse carries no types
    add = parser.add_argument
    add("--out", default=_DEFAULT_OUT, help="folder of weights, history, posterior and figures")
    add("--overwrite", action="store_true", help="replace a run that is already there")
    add("--draws", type=int, default=100, help="posterior draws of each sequence")
    add("--no_baseline", action="store_true", help="leave out the autoencoder to compare with")
    add(
        "--autoencoders",
        default="",
        help="sizes, such as 8,16, of autoencoders to train and compare cores of a flow with",
    )
    add("--quiet", action="store_true", help="leave out the progress bars")


def _check_config_file(words: Sequence[str]) -> None:
    """Refuse unknown keys with a clear word: the parser's own is lost between subcommands."""
    from .config_file import check_config_file, config_file

    path = config_file(words)
    if path is not None and len(words) > 1 and words[0] in _ON_MODELS:
        from ..guides.registry import Entry
        from .data_options import DataOptions
        from .options import FitOptions

        switches = dict.fromkeys(("overwrite", "no_baseline", "quiet"), bool)
        others = (
            {"out": str, "draws": int, "autoencoders": str, **switches} if words[0] == "fit" else {}
        )
        options = (DataOptions, FitOptions) if words[0] == "fit" else (DataOptions,)
        check_config_file(path, Entry.named(words[1]), options, others)


def _run(chosen: Any) -> None:  # noqa: ANN401 - a jsonargparse namespace
    from . import commands

    if chosen.command == "list":
        commands.list_known()
    elif chosen.command in _ON_MODELS:
        one = chosen[chosen.command]
        getattr(commands, chosen.command)(one.entry, one[one.entry])
    else:
        function, _ = _on_runs(commands)[chosen.command]
        function(**vars(chosen[chosen.command]))
