"""Configuration files of the command line: every key is known, or the nearest one is named."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..guides.registry import Entry
from ..zoo.config import AbstractConfig, unknown_key
from ..zoo.errors import ConfigError

__all__ = ["check_config_file", "config_file"]


def config_file(words: Sequence[str]) -> str | None:
    """Return the path that follows `--config` on a command line, if there is one."""
    for position, word in enumerate(words):
        if word == "--config" and position + 1 < len(words):
            return words[position + 1]
        if word.startswith("--config="):
            return word.partition("=")[2]
    return None


def check_config_file(
    path: str, entry: Entry, options: Sequence[type[AbstractConfig]], others: Mapping[str, type]
) -> None:
    """Refuse a file with a key that the command does not know, or a switch that is none.

    Args:
        path: A YAML or JSON file.
        entry: Whose configurations `model` and `guide` are.
        options: Configurations whose fields are keys of the file.
        others: Further keys, and the types of their values.

    Raises:
        ConfigError: The file is missing, is no mapping, or has an unknown key or a further one of
            another type.
    """
    import yaml

    if not Path(path).is_file():
        raise ConfigError(f"--config {path} does not exist.")
    try:
        found = yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = " ".join(str(error).split())
        raise ConfigError(f"--config {path} is neither YAML nor JSON: {cause}") from error
    known = [field.name for kind in options for field in fields(kind)]
    _check(path, found, [*known, *others, "model", "guide"])
    for name, kind in others.items():
        if not isinstance(found.get(name, kind()), kind):
            raise ConfigError(f"--config {path}: {name}={found[name]!r}, expected {kind.__name__}.")
    for part in ("model", "guide"):
        config: Any = getattr(entry, part).Config
        _check(f"{path}, {part}", found.get(part, {}), [field.name for field in fields(config)])


def _check(where: str, found: object, known: Sequence[str]) -> None:
    if not isinstance(found, Mapping):
        raise ConfigError(f"--config {where} holds {type(found).__name__}, expected named options.")
    for key in found:
        if key not in known:
            raise ConfigError(unknown_key(f"--config {where}", key, known))
