"""What a run says of itself: written and read strictly, whichever version of Mutoscope wrote it."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from ..zoo.errors import RunError

__all__ = ["SCHEMA", "as_json", "migrate", "read_described"]

SCHEMA = 2
_LONGEST = 2**26
_STATES = ("training", "finished")
_FIELDS: dict[str, tuple[type, ...]] = {
    "state": (str,),
    "entry": (str, NoneType),
    "classes": (dict,),
    "model": (dict, NoneType),
    "guide": (dict, NoneType),
    "dtypes": (list, NoneType),
    "settings": (dict,),
    "versions": (dict,),
}


def as_json(described: Mapping[str, Any]) -> str:
    """Return the text of a description.

    Raises:
        RunError: It holds something else than finite JSON values, or is too long to be read back.
    """
    try:
        text = json.dumps(described, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise RunError(
            f"Settings and configurations must be finite JSON values ({error}). Leave others out."
        ) from error
    if len(text) > _LONGEST:
        raise RunError(
            f"Settings and configurations have {len(text)} characters, expected {_LONGEST} at "
            "most. Keep large values in a file of their own."
        )
    return text


def read_described(path: Path) -> tuple[dict[str, Any], int]:
    """Return the description in a file, in today's form, and the schema that it was written in.

    Raises:
        RunError: The file is damaged, is no description, or is from a newer version.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise ValueError(f"found {path.stat().st_size} bytes, expected {_LONGEST} at most")
        text = path.read_text(encoding="utf-8")
        read = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}. Restore it from a copy.") from error
    if not isinstance(read, dict):
        raise RunError(f"{path} is damaged: it holds {type(read).__name__}, expected an object.")
    try:
        return migrate(read, read.get("schema")), read["schema"]
    except RunError as error:
        raise RunError(f"{path}: {error}") from error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not finite")
    return number


def migrate(described: dict[str, Any], schema: object) -> dict[str, Any]:
    """Return a description in today's form.

    Args:
        described: JSON values, as they were read.
        schema: What they say is their schema, which is checked here.

    Raises:
        RunError: The schema is unknown, or the description is not in its form.
    """
    if type(schema) is not int or schema < 1:  # for True is an int too
        raise RunError(f"it has schema {schema!r}, expected 1 to {SCHEMA}. Give a run's folder.")
    if schema > SCHEMA:
        raise RunError(
            f"it has schema {schema}, but this version of Mutoscope reads 1 to {SCHEMA}. "
            "Upgrade Mutoscope."
        )
    for step in _STEPS[schema - 1 :]:
        described = step(described)
    for name, kinds in _FIELDS.items():
        if name not in described or not isinstance(described[name], kinds):
            found = type(described[name]).__name__ if name in described else "nothing"
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise RunError(f"its {name!r} is {found}, expected {expected}. Restore it from a copy.")
    if described["state"] not in _STATES:
        raise RunError(f"its state is {described['state']!r}, expected one of {_STATES}.")
    return described


def _from_1(described: dict[str, Any]) -> dict[str, Any]:
    """Only finished runs were written, without classes, versions and dtypes."""
    unknown: dict[str, Any] = {"classes": {}, "dtypes": None, "versions": {}, "settings": {}}
    return unknown | described | {"schema": 2, "state": "finished"}


_STEPS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_from_1,)
