"""A parser of command lines that says in one line what it does not understand."""

import difflib
import re
import sys
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

__all__ = ["Parser"]


class Parser(ArgumentParser):
    """jsonargparse's parser, without its page of usage before each error."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong, what may have been meant and where to look, and exit with 2.

        Args:
            message: What is wrong.
            ex: What was raised; it knows which subcommand it belongs to.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        program = parser.prog.replace(" [options]", "")
        said = " ".join(f"{message.rstrip('.')}.{_meant(message, parser)}".split())
        sys.stderr.write(f"mutoscope: {said} `{program} --help` lists what there is.\n")
        sys.exit(2)


def _meant(message: str, parser: Any) -> str:  # noqa: ANN401 - jsonargparse carries no types
    unknown = re.search(r"unrecognized arguments: (--\w[\w.]*)", message, re.IGNORECASE)
    options = parser._option_string_actions
    near = difflib.get_close_matches(unknown[1], options, 1) if unknown else []
    return f" Did you mean {near[0]}?" if near else ""
