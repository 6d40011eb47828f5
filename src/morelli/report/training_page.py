"""A training's log as sections of a report: every number over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from morelli.report.page import Page, details, figure, figures, table
from morelli.report.svg import FIRST, MUTED, SECOND, THIRD, drawing, new_figure, svg_text
from morelli.report.table import Column

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Models (of a log that has several) in one figure; lines of the table.
MOST_LINES, MOST_ROWS = 8, 400
_INKS = (FIRST, SECOND, THIRD, MUTED)


def series(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Quantity → model ("" where the log has one) → its (step, value), in the log's order; numbers alone."""
    out: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in lines:
        model = str(line.get("model", ""))
        for key, value in line.items():
            if key != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                out.setdefault(key, {}).setdefault(model, []).append((line["step"], float(value)))
    return out


def fill_training(page: Page, lines: Sequence[Mapping[str, Any]], name: str = "") -> None:
    """Add the sections of one log; `name` begins every id inside the figures."""
    drawn = []
    for number, (key, by_model) in enumerate(series(lines).items()):
        alt = f"{key} over {lines[-1]['step']} steps."
        if len(by_model) > MOST_LINES:
            alt += f" The first {MOST_LINES} of {len(by_model)} models."
        drawn.append(figure(svg_text(_curve(key, by_model), name=f"{name}q{number}", alt=alt), alt))
    keys = list(dict.fromkeys(key for line in lines for key in line))
    columns = [Column(key, form=_form(lines, key)) for key in keys]
    page.section("training", "Training", figures(*drawn))
    told = "All lines" if len(lines) <= MOST_ROWS else f"The last {MOST_ROWS} of {len(lines)} lines"
    page.section("log", "Log", details(told, table(lines[-MOST_ROWS:], columns, told)))


def _form(lines: Sequence[Mapping[str, Any]], key: str) -> Any:
    values = [line[key] for line in lines if line.get(key) is not None]
    if values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return "count"
    numbers = values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return "number" if numbers else "text"


def _curve(key: str, by_model: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    drawn = new_figure()
    with drawing():
        axes = drawn.add_subplot()
        for number, (model, points) in enumerate(list(by_model.items())[:MOST_LINES]):
            mark = "os^Dv"[number % 5] if len(points) < 40 else ""
            style = ("-", "--", ":", "-.")[number // len(_INKS) % 4]
            axes.plot(*zip(*points, strict=True), mark + style, color=_INKS[number % len(_INKS)], markersize=4,
                      label=model or key)  # fmt: skip
        axes.set_xlabel("step")
        axes.set_ylabel(key, parse_math=False)
        if len(by_model) > 1:
            legend = drawn.legend(loc="outside upper center", ncols=3)
            for text in legend.get_texts():
                text.set_parse_math(False)
    return drawn
