"""Tables of text, for terminals and for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["TextTable"]


class TextTable(NamedTuple):
    """Cells of text, which may have several lines, under the names of their columns."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def of_rich(self) -> Table:
        """Return the table for `rich` to print: what is too wide is folded, never cut."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Column, Table
        from rich.text import Text

        columns = (Column(name, overflow="fold") for name in self.columns)
        table = Table(
            *columns, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
        )
        for row in self.rows:
            table.add_row(*map(Text, row))
        table.add_row()
        return table

    def html(self) -> str:
        """Return the table as HTML."""
        return (
            f"<table>{_row('th', self.columns)}{''.join(_row('td', r) for r in self.rows)}</table>"
        )


def _row(tag: str, cells: Sequence[str]) -> str:
    start = f"<{tag} style='text-align: left; vertical-align: top'>"  # a notebook's own is right
    texts = (html.escape(cell).replace("\n", "<br>") for cell in cells)
    return f"<tr>{''.join(f'{start}{text}</{tag}>' for text in texts)}</tr>"
