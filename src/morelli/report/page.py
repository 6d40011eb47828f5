"""One self-contained HTML page: no script, no request, light and dark, readable on a phone and by a screen reader."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from morelli.report.svg import THEME
from morelli.report.table import Column

_LONG = 28  # letters of a text that may wrap
_HEADING = 26  # letters of a heading that stands upright
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def _variables(place: int) -> str:
    return "".join(f"{values[0]}:{values[place]};" for values in THEME.values())


_STYLE = f"""
:root{{color-scheme:light dark;{_variables(1)}--paper:#fff;--card:#f5f7fa;--heat:31,95,208}}
@media(prefers-color-scheme:dark){{:root{{{_variables(2)}--paper:#12161c;--card:#1b212a;--heat:130,177,255}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:1.2rem;max-width:70rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}}
h1{{font-size:1.6rem;line-height:1.25;margin:.4rem 0}}
h2{{font-size:1.2rem;margin:2.4rem 0 .4rem;padding-top:.6rem;border-top:1px solid var(--grid)}}
p{{max-width:46rem;margin:.5rem 0}}
a{{color:var(--first)}}
.muted,figcaption,caption{{color:var(--muted)}}
nav ul{{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1rem;margin:.6rem 0}}
.tiles{{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.7rem;margin:1rem 0;padding:0}}
.tiles>div{{background:var(--card);border-radius:.6rem;padding:.7rem .9rem}}
.tiles dt{{font-size:.85rem;color:var(--muted)}}
.tiles dd{{margin:0;font-size:1.45rem;font-weight:650;line-height:1.3}}
.tiles dd small{{display:block;font-size:.8rem;font-weight:400;color:var(--muted)}}
.figures{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));gap:1.2rem;margin:1rem 0}}
figure{{margin:0;min-width:0}}
figure svg{{width:100%;height:auto;display:block}}
figcaption{{font-size:.9rem;margin-top:.3rem}}
.scroll{{overflow-x:auto;margin:.8rem 0}}
table{{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}}
caption{{text-align:left;padding:.2rem 0;font-size:.9rem}}
caption span{{display:block;max-width:calc(100vw - 2.6rem)}}
th,td{{padding:.3rem .6rem;text-align:left;border-bottom:1px solid var(--grid);vertical-align:top}}
thead th{{border-bottom:2px solid var(--muted);font-weight:600}}
td.n,th.n{{text-align:right;white-space:nowrap}}
tbody th{{font-weight:500}}
td,tbody th{{white-space:nowrap}}
.w{{white-space:normal!important;min-width:9rem}}
table.heat tbody th{{white-space:normal;min-width:7rem}}
table.heat td{{text-align:right;padding:.25rem .45rem;border:1px solid var(--paper)}}
table.heat thead th{{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;border:0;padding:.4rem .2rem}}
details{{margin:.6rem 0}}
summary{{cursor:pointer;color:var(--first)}}
ol.legend{{columns:12rem;padding-left:1.6rem;font-size:.9rem}}
.swatch{{display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin-right:.4em}}
"""


class Page:
    """Sections put together in order; every text is escaped.

    Parameters
    ----------
    title : str
    lead : str
        One or two sentences below it.
    style : str
        CSS beside the page's own.
    """

    def __init__(self, title: str, lead: str, style: str = "") -> None:
        self.title, self.lead, self.style = title, lead, style
        self._sections: list[tuple[str, str, str]] = []

    def section(self, name: str, title: str, *parts: str) -> None:
        """Add a section; ``name`` is its anchor, ``parts`` are HTML from the functions of this module."""
        self._sections.append((name, title, "\n".join(part for part in parts if part)))

    def render(self) -> str:
        """The whole page."""
        links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in self._sections)
        body = "\n".join(
            f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{escape(title)}</h2>\n'
            f"{inside}\n</section>"
            for name, title, inside in self._sections
        )
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            f"<title>{escape(self.title)}</title>\n<style>{_STYLE}{self.style}</style>\n</head>\n<body>\n<header>\n"
            f'<h1>{escape(self.title)}</h1>\n<p class="muted">{escape(self.lead)}</p>\n'
            f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n</header>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
        )


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def listing(lines: Sequence[str]) -> str:
    """A list; nothing where there is no line."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Figures to be seen first: (what it is, the figure, what to know of it)."""
    inside = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in entries
    )
    return f'<dl class="tiles">{inside}</dl>'


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], caption: str) -> str:
    """A table; the first column names the row. Wide ones scroll by themselves. Nothing where there is no row."""
    if not rows:
        return ""
    cells = [[column.cell(row) for column in columns] for row in rows]
    kind = []
    for number, column in enumerate(columns):
        # Long texts may wrap, figures with their intervals may not.
        long = max(len(line[number]) for line in cells) > _LONG
        kind.append((' class="w"' if long else "") if column.form == "text" else ' class="n"')
    head = "".join(f'<th scope="col"{k}>{escape(c.heading)}</th>' for c, k in zip(columns, kind, strict=True))
    lines = []
    for line in cells:
        first, *rest = (escape(cell) for cell in line)
        inside = "".join(f"<td{k}>{cell}</td>" for cell, k in zip(rest, kind[1:], strict=True))
        lines.append(f'<tr><th scope="row"{kind[0]}>{first}</th>{inside}</tr>')
    return _scroll(
        f"<table><caption><span>{escape(caption)}</span></caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>",
        caption,
    )


def heat_table(labels: Sequence[str], matrix: Sequence[Sequence[float]], caption: str) -> str:
    """A matrix of shares (rows sum to 1) in percent, darker where more; shares below half a percent are left blank."""
    short = [label if len(label) <= _HEADING else label[: _HEADING - 1] + "…" for label in labels]
    head = "".join(
        f'<th scope="col" title="{escape(label, quote=True)}">{escape(text)}</th>'
        for label, text in zip(labels, short, strict=True)
    )
    lines = []
    for label, row in zip(labels, matrix, strict=True):
        cells = "".join(_heat(share) for share in row)
        lines.append(f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>')
    return _scroll(
        f'<table class="heat"><caption><span>{escape(caption)}</span></caption><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>",
        caption,
    )


def _heat(share: float) -> str:
    text = f"{100 * share:.0f}" if share >= 0.005 else ""
    return f'<td style="background:rgba(var(--heat),{0.55 * share**0.5:.2f})">{text}</td>'


def _scroll(inside: str, label: str) -> str:
    # A region that scrolls must be reachable by the keyboard.
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label, quote=True)}">{inside}</div>'


def figure(svg: str, caption: str) -> str:
    """A figure with its caption; ``svg`` as `morelli.report.svg.svg_text` gives it."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def figures(*parts: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="figures">{"".join(parts)}</div>' if any(parts) else ""


def details(summary: str, *parts: str) -> str:
    """What opens on a click; nothing where there is nothing inside."""
    inside = "\n".join(part for part in parts if part)
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>" if inside else ""


def data_uri(content: bytes, media_type: str) -> str:
    """A file as the text of a link."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
