"""Configurations: frozen dataclasses that round-trip through JSON and refuse unknown keys."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Self

from .errors import ConfigError

__all__ = ["AbstractConfig"]

_LARGEST = 3.4e38  # of single precision, in which most of training runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractConfig:
    """Base of every model configuration.

    Subclasses are frozen, keyword-only dataclasses whose fields are JSON values (numbers, strings,
    booleans, None, or tuples of these). Values are checked against their annotations when an
    instance is made; a subclass adds its own range checks in `check`.

    Raises:
        ConfigError: A value has the wrong type, is not finite or is out of range.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, expected = getattr(self, field.name), hints[field.name]
            if not _matches(value, expected):
                raise ConfigError(
                    f"{type(self).__qualname__}: {field.name}={_shown(value)} is not a valid "
                    f"{_describe(expected)}."
                )
        self.check()

    def check(self) -> None:
        """Raise `ConfigError` when a value is out of range."""

    def require(self, condition: bool, name: str, expected: str) -> None:
        """Raise `ConfigError` unless `condition` holds for the field called `name`."""
        if not condition:
            found = _shown(getattr(self, name))
            raise ConfigError(
                f"{type(self).__qualname__}: {name}={found}, but it must be {expected}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from JSON values (lists become tuples).

        Raises:
            ConfigError: A key is unknown, and the message names the nearest known one; or one that
                has no default is missing.
        """
        if not isinstance(values, Mapping):
            found = type(values).__name__
            raise ConfigError(f"{cls.__qualname__}: found {found}, expected values by name.")
        known = {field.name: field for field in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigError(unknown_key(cls.__qualname__, key, [*known]))
        for name, field in known.items():
            if name not in values and field.default is field.default_factory is dataclasses.MISSING:
                raise ConfigError(f"{cls.__qualname__}: {name} is missing and has no default.")
        return cls(**{key: _tuples(value) for key, value in values.items()})


def unknown_key(where: str, key: object, known: Sequence[str]) -> str:
    """Return the sentence that refuses a key and names the nearest known one."""
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
    return f"{where} has no key {_shown(key)}. {hint}"


def _tuples(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _matches(value: object, expected: Any) -> bool:  # noqa: ANN401 - any annotation
    """Tell whether `value` is an instance of the annotation `expected`."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Literal:
        return any(type(value) is type(option) and value == option for option in arguments)
    if origin in (types.UnionType, typing.Union):
        return any(_matches(value, option) for option in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(_matches(v, arguments[0]) for v in value)
        return len(value) == len(arguments) and all(map(_matches, value, arguments))
    if expected is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(typing.cast(float, value)) <= _LARGEST
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, expected)


def _shown(value: object) -> str:
    """Return a value in one line, and not more of it than can be read."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 200 else f"{line[:200]}…"


def _describe(expected: Any) -> str:  # noqa: ANN401 - any annotation
    if typing.get_origin(expected) is typing.Literal:
        return "choice: expected one of " + ", ".join(map(repr, typing.get_args(expected)))
    if expected is float:
        return f"float of at most {_LARGEST:g}"
    return expected.__name__ if isinstance(expected, type) else str(expected)
