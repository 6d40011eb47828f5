"""An evaluation as sections of a report: its figure, its table and its leak test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from morelli.report.curves import curves
from morelli.report.evaluation import evaluation_columns, several_encoders, shown_rows
from morelli.report.page import Page, figure, figures, listing, table, tiles
from morelli.report.svg import FIRST, INK, MUTED, SECOND, THIRD, drawing, new_figure, svg_text
from morelli.report.table import format_percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INKS = (FIRST, SECOND, THIRD, MUTED, INK)
#: What a protocol's bars show: key, its interval's keys, words.
_FIGURE = {
    "verification": ("auroc", "auroc_low", "auroc_high", "AUC, %"),
    "one-vs-many": ("tpr", "tpr_low", "tpr_high", "own images accepted, %"),
}
_TOP1 = ("top1", "top1_low", "top1_high", "top-1, %")


def fill_evaluation(page: Page, result: Mapping[str, Any], name: str = "") -> None:
    """Add the sections of one evaluation.

    Parameters
    ----------
    page : Page
        Or whatever else has its ``section``.
    result : mapping
        Schema ``morelli.evaluation/1``.
    name : str
        Begins every id inside the figures.
    """
    found = dict(result)
    key, low, high, words = _FIGURE.get(found["protocol"], _TOP1)
    drawn = []
    if found["protocol"] == "robustness":
        for kind, by_method in curves(found["rows"]).items():
            alt = f"Top-1 against the strength of {kind}, by method, with 95 % intervals."
            drawn.append(figure(svg_text(_curve(kind, by_method), name=_plain(f"{name}{kind}"), alt=alt), alt))
    several = several_encoders(found)
    known = [row for row in found["rows"] if row.get(key) is not None]
    if known and not drawn:
        alt = f"{words.rpartition(',')[0]} of each row of the table, with its 95 % interval."
        drawn.append(
            figure(svg_text(_bars(known, several, key, low, high, words), name=_plain(f"{name}rows"), alt=alt), alt)
        )
    page.section("results", "Results", _tiles(found, known, several, key, low, high, words), figures(*drawn),
                 table(shown_rows(found), evaluation_columns(found), "All rows; intervals of 95 % by bootstrap over "
                       "prompts"))  # fmt: skip
    page.section("leaks", "Leak test and notes", listing([_leaks(found["leaks"]), *found["notes"]]))


def _plain(name: str) -> str:
    """A name as part of an id: what comes from a file may hold anything."""
    return re.sub(r"[^A-Za-z0-9-]", "-", name)


def _tiles(found: Mapping[str, Any], known: Sequence[Mapping[str, Any]], several: bool, *keys: str) -> str:
    entries = []
    if known:
        key, low, high, words = keys
        best = max(known, key=lambda row: row[key])
        entries.append(
            (f"Best: {row_label(best, several)}", format_percent(best[key]), f"{words} " + _ends(best, low, high))
        )
    entries += [
        ("Queries", str(found.get("n_queries", "–")), f"{found.get('n_models', '–')} models"),
        ("Prompts", str(found.get("n_prompts", "–")), f"protocol {found['protocol']}"),
        ("References a model", "all" if found.get("k") is None else str(found["k"]), "k"),
    ]
    return tiles(entries)


def _ends(row: Mapping[str, Any], low: str, high: str) -> str:
    ends = row.get(low), row.get(high)
    return "" if None in ends else f"({format_percent(ends[0])}–{format_percent(ends[1])})"


def _leaks(leaks: Mapping[str, Any]) -> str:
    if "accuracy" not in leaks:
        return "Leak test: not measured."
    words = ", ".join(leaks.get("sources") or []) or "none"
    return (
        f"Leak test: size, format and quantisation tables alone name {100 * leaks['accuracy']:.1f} % "
        f"(chance {100 * leaks['chance']:.1f} %); leaking: {words}."
    )


def row_label(row: Mapping[str, Any], several: bool) -> str:
    """A row in words; with its encoder where there are several."""
    parts = [str(row["method"]), *([str(row["encoder"])] if several and row.get("encoder") else [])]
    for key in ("background", "degradation", "alpha", "pairs"):
        if row.get(key) is not None and row[key] != "all":
            parts.append(f"α {row[key]:g}" if key == "alpha" else str(row[key]))
    text = ", ".join(parts)
    return text if len(text) <= 34 else text[:33] + "…"


def _bars(rows: Sequence[Mapping[str, Any]], several: bool, key: str, low: str, high: str, words: str) -> Figure:
    drawn = new_figure(max(1.6, 0.36 * len(rows) + 0.9))
    with drawing():
        axes = drawn.add_subplot()
        places = range(len(rows))
        axes.barh(places, [100 * row[key] for row in rows], height=0.6, color=FIRST, alpha=0.75)
        for place, row in zip(places, rows, strict=True):
            if row.get(low) is not None and row.get(high) is not None:
                axes.plot([100 * row[low], 100 * row[high]], [place, place], color=INK, linewidth=1.4)
        axes.set_yticks(list(places), [row_label(row, several) for row in rows], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlim(0, 102)
        axes.set_xlabel(words)
        axes.grid(axis="y", visible=False)
    return drawn


def _curve(kind: str, by_method: Mapping[str, Sequence[tuple[float, ...]]]) -> Figure:
    drawn = new_figure()
    with drawing():
        axes = drawn.add_subplot()
        for number, (method, points) in enumerate(by_method.items()):
            ink = _INKS[number % len(_INKS)]
            # Methods differ by their marks too, and not by colour alone.
            axes.plot([p[0] for p in points], [100 * p[1] for p in points], "os^Dv"[number % 5] + "-", color=ink,
                      markersize=4, label=method)  # fmt: skip
            low, high = ([float("nan") if p[i] is None else 100 * p[i] for p in points] for i in (2, 3))
            axes.fill_between([p[0] for p in points], low, high, color=ink, alpha=0.15, linewidth=0)
        axes.set_xlabel(kind)
        axes.set_ylabel("top-1, %")
        axes.set_ylim(0, 102)
        drawn.legend(loc="outside upper center", ncols=3)
    return drawn
