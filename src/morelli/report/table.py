"""Rows of results as a Markdown table, or as a table on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

NOTHING = "–"

Form = Literal["text", "count", "number", "percent", "lift"]


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is taken from the rows and written.

    Attributes
    ----------
    key : str
        Where its value is in a row. A missing key, None and NaN are written as "–".
    title : str
        Heading; the key where empty.
    form : str
        "text"; "count" (an integer); "number" (three decimals); "percent" (a fraction, 0.873 → "87.3"); "lift" (a
        difference of fractions, with its sign, 0.213 → "+21.3").
    low, high : str
        Keys of the interval's ends, for "percent" and "lift".
    """

    key: str
    title: str = ""
    form: Form = "text"
    low: str = ""
    high: str = ""

    @property
    def heading(self) -> str:
        return self.title or self.key

    def cell(self, row: Mapping[str, Any]) -> str:
        """The text of this column for one row."""
        value = row.get(self.key)
        if _absent(value):
            return NOTHING
        if self.form == "percent" or self.form == "lift":
            return format_percent(value, row.get(self.low), row.get(self.high), signed=self.form == "lift")
        if self.form == "number":
            return f"{value:.3f}"
        if self.form == "count":
            return f"{value:d}"
        return " ".join(str(value).split())


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def format_percent(
    point: float | None, low: float | None = None, high: float | None = None, *, signed: bool = False, digits: int = 1
) -> str:
    """A fraction as percent with its interval: ``format_percent(0.873, 0.851, 0.894)`` is "87.3 (85.1–89.4)".

    Signed figures are written "+21.3 (+18.0 to +24.5)", as a dash would read as a minus. An interval that lacks an end
    is not written; a figure that is None or NaN is "–".
    """
    if point is None or _absent(point):
        return NOTHING
    spec = f"{'+' if signed else ''}.{digits}f"
    text = f"{100 * point:{spec}}"
    if low is None or high is None or _absent(low) or _absent(high):
        return text
    return f"{text} ({100 * low:{spec}}{' to ' if signed else '–'}{100 * high:{spec}})"


def _columns(columns: Sequence[Column | str]) -> list[Column]:
    return [Column(c) if isinstance(c, str) else c for c in columns]


def render_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column | str]) -> str:
    """A Markdown table, one line a row, numbers to the right; a plain string in ``columns`` is a column of text.

    A bar in a text is escaped so that it does not end the cell.
    """
    chosen = _columns(columns)
    lines = [[c.heading for c in chosen], ["---" if c.form == "text" else "---:" for c in chosen]]
    lines += [[c.cell(row) for c in chosen] for row in rows]
    return "\n".join("| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in lines)


def print_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column | str], *, title: str = "", file: TextIO | None = None
) -> None:
    """Print a table: with rules and colour on a terminal, as plain aligned lines where the output is piped.

    Parameters
    ----------
    rows, columns
        As in `render_rows`.
    title : str
        A line above the table.
    file : text stream, optional
        Default: standard output.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    chosen = _columns(columns)
    console = Console(file=file or sys.stdout)
    if not console.is_terminal:
        for line in ([title] if title else []) + _aligned(rows, chosen):
            console.file.write(line + "\n")
        return
    # Text, not str: a model called "[red]" is no markup.
    table = Table(title=Text(title) if title else None)
    for column in chosen:
        table.add_column(Text(column.heading), justify="left" if column.form == "text" else "right")
    for row in rows:
        table.add_row(*(Text(column.cell(row)) for column in chosen))
    console.print(table)


def _aligned(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[str]:
    from rich.cells import cell_len

    lines = [[c.heading for c in columns], *([c.cell(row) for c in columns] for row in rows)]
    widths = [max(cell_len(text) for text in column) for column in zip(*lines, strict=True)]
    out = []
    for line in lines:
        cells = []
        for text, width, column in zip(line, widths, columns, strict=True):
            pad = " " * (width - cell_len(text))
            cells.append(text + pad if column.form == "text" else pad + text)
        out.append("  ".join(cells).rstrip())
    return out
