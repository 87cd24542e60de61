"""A report of findings: a verdict, sections of words, numbers and pictures; as text or one page."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .sealed import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "Section"]

_WIDTH = 88

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.verdict { border-left: 0.4rem solid #555; background: #f4f4f4; padding: 0.8rem 1.2rem; }
.good { border-color: #0072b2; } .resample { border-color: #e69f00; }
.bad { border-color: #d55e00; }
.verdict strong { font-size: 1.2rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td { padding: 0.2rem 1.5rem 0.2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td + td { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 0.9rem; }
"""


@dataclass(frozen=True, eq=False)
class Section:
    """One question, and what was found.

    Attributes:
        title: The question.
        words: What was found, in sentences; each line is a paragraph.
        numbers: Names and values, as they are to be read.
        figures: Pictures by caption.
    """

    title: str
    words: str
    numbers: dict[str, str]
    figures: dict[str, Figure]


@dataclass(frozen=True, eq=False)
class Report:
    """What was found about a posterior, and the verdict.

    Printing it gives text; a notebook shows the page.

    Attributes:
        title: What was looked at.
        level: "good", "resample" or "bad".
        verdict: The same in words.
        reasons: Why, a sentence each.
        sections: What was found, question by question.
    """

    title: str
    level: str
    verdict: str
    reasons: tuple[str, ...]
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        """Return the report as text, without its pictures."""
        import textwrap

        lines = [self.title, "", f"VERDICT: {self.verdict}"]
        for reason in self.reasons:
            lines.append(textwrap.fill(reason, _WIDTH, initial_indent="- ", subsequent_indent="  "))
        for section in self.sections:
            words = [textwrap.fill(line, _WIDTH) for line in section.words.splitlines()]
            lines += ["", section.title, *words]
            widest = max(map(len, section.numbers), default=0)
            lines += [f"  {name:<{widest}}  {value}" for name, value in section.numbers.items()]
        return "\n".join(lines)

    def page(self) -> str:
        """Return the report as one HTML page that needs nothing else: pictures are inside."""
        reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in self.reasons)
        title = html.escape(self.title)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
            f'<div class="verdict {self.level}"><strong>{html.escape(self.verdict)}</strong>'
            f"<ul>{reasons}</ul></div>\n{''.join(map(_section, self.sections))}</body></html>\n"
        )

    def save(self, path: str | Path) -> None:
        """Write the page.

        Raises:
            RunError: The file cannot be written.
        """
        text = self.page()
        write_whole(Path(path), lambda beside: beside.write_text(text, encoding="utf-8"))

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{html.escape(self.page())}" width="100%" height="700"></iframe>'


def _section(section: Section) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in section.numbers.items()
    )
    table = f"<table>{rows}</table>" if rows else ""
    figures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{_png(figure)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, figure in section.figures.items()
    )
    words = "<br>".join(map(html.escape, section.words.splitlines()))
    return f"<h2>{html.escape(section.title)}</h2><p>{words}</p>{table}{figures}\n"


def _png(figure: Figure) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return base64.b64encode(content.getvalue()).decode()
