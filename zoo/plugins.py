"""What other installed packages add, found through their entry points."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from .errors import ConfigError

__all__ = ["Plugin", "find_plugin", "plugins"]

Made = TypeVar("Made")


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package, not imported yet.

    Attributes:
        package: Name of the package, as it was installed.
        point: Its entry point.
    """

    package: str
    point: EntryPoint

    @property
    def name(self) -> str:
        """What reaches it whatever else is installed: `package:name`."""
        return f"{self.package}:{self.point.name}"

    def load(self, make: Callable[[Any], Made]) -> Made:
        """Import what the entry point names, and return what `make` makes of it.

        Raises:
            ConfigError: One of the two failed; the message names the package and the cause.
        """
        try:
            return make(self.point.load())
        except Exception as error:
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"{self.name} ({self.point.value}) cannot be used: {cause}. "
                f"Repair, upgrade or uninstall the package {self.package}."
            ) from error


def plugins(group: str) -> tuple[Plugin, ...]:
    """Return what installed packages declare in a group of entry points, by package and name."""
    found = (Plugin(p.dist.name, p) for p in entry_points(group=group) if p.dist is not None)
    return tuple(sorted(found, key=lambda plugin: plugin.name))


def find_plugin(group: str, name: str) -> Plugin | None:
    """Return the entry point called `name`, or `package:name`, if there is one.

    Raises:
        ConfigError: Several packages have one of that name.
    """
    found = [p for p in plugins(group) if name in (p.name, p.point.name)]
    if len(found) > 1:
        names = " or ".join(plugin.name for plugin in found)
        raise ConfigError(f"Several packages have a {name!r}. Ask for {names}.")
    return found[0] if found else None
