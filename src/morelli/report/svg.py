"""matplotlib figures as SVG inside a page, coloured by its light or dark theme.

A figure is drawn with stand-in colours; each is replaced by a variable of the page's style sheet, or by its light value
in a file of its own.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.figure import Figure

#: Stand-in colour → (variable of the page, its light value, its dark value).
THEME = {
    "#010101": ("--ink", "#1c2430", "#e8ecf2"),
    "#020202": ("--muted", "#5b6675", "#a3adbb"),
    "#030303": ("--grid", "#dde2e9", "#343d4a"),
    "#0101f1": ("--first", "#1f5fd0", "#82b1ff"),
    "#f10101": ("--second", "#b3480a", "#ffab70"),
    "#01f101": ("--third", "#0b7a5c", "#67d7b3"),
}
INK, MUTED, GRID, FIRST, SECOND, THIRD = THEME

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "morelli",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.labelcolor": INK,
}
#: Inches; at this width the letters of a figure stay readable on a phone.
WIDTH = 5.0


def new_figure(height: float = 3.2) -> Figure:
    """An empty figure of the page's width.

    Parameters
    ----------
    height : float
        Inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_RC):
        return Figure(figsize=(WIDTH, height), layout="constrained")


def drawing() -> AbstractContextManager[None]:
    """A block in which axes take the page's look: ``with drawing(): axes = figure.add_subplot()``."""
    from matplotlib import rc_context

    return rc_context(_RC)


def svg_text(figure: Figure, *, name: str, alt: str, themed: bool = True) -> str:
    """The figure as an ``<svg>`` element.

    Parameters
    ----------
    figure : Figure
        Made by `new_figure`.
    name : str
        Begins every id inside, so that several figures can share a page.
    alt : str
        What the figure shows, for those who do not see it.
    themed : bool
        Colours are variables of the page; False: its light colours, for a file.
    """
    from html import escape

    out = io.StringIO()
    with drawing():
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{name}-\1"', text)
    for stand_in, (variable, light, _) in THEME.items():
        text = text.replace(stand_in, f"var({variable})" if themed else light)
    # The stand-ins aside, the page's own typeface.
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    head, rest = text.split(">", 1)
    if themed:
        head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(alt, quote=True)}">{rest}'
