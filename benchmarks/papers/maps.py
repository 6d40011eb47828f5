"""Maps of embeddings of seen and of unseen models, after figure 13 of paper 002; and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.papers.plan import MAPPED
from benchmarks.papers.work import map_path

from morelli.report.embedding_map import MOST, place
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS = ("seen", "unseen")


def draw_maps(out: Path, source: str, current: Sequence[str], seed: int = 0) -> Path | None:
    """One row of panels a method, seen models left and unseen ones right; None where no embeddings are kept.

    Parameters
    ----------
    out : Path
    source : str
        Name of the data set.
    current : sequence of str
        Methods whose embeddings are of this run; another version's are not shown.
    seed : int
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    there = [name for name in MAPPED if name in current and map_path(out, source, name).exists()]
    if not there:
        return None
    figure = Figure(figsize=(9, 3.6 * len(there)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, name in enumerate(there):
        with np.load(map_path(out, source, name)) as held:
            kept = {key: held[key] for key in held.files}
        for column, group in enumerate(GROUPS):
            axes = figure.add_subplot(len(there), 2, 2 * row + column + 1)
            _panel(axes, kept, group, f"{name}: {group} models", seed)
    path = out / f"map-{source}.png"
    figure.savefig(path, dpi=110)
    return path


def _panel(axes: Any, kept: Mapping[str, np.ndarray], group: str, title: str, seed: int) -> None:
    from matplotlib import colormaps

    mine = np.flatnonzero(kept["group"] == group)[:MOST]
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9, parse_math=False)
    if len(mine) < 4:
        axes.set_xlabel("fewer than four images")
        return
    models = kept["models"][mine]
    blank = np.full(len(mine), "")
    points = place(LabelledEmbeddings({"v": kept["vectors"][mine]}, models, blank, blank), seed=seed)
    names = np.unique(models)
    for number, model in enumerate(names.tolist()):
        at = points[models == model]
        axes.scatter(at[:, 0], at[:, 1], s=9, color=colormaps["tab20"](number % 20), label=model)
    if len(names) <= 8:
        for text in axes.legend(fontsize=6, frameon=False).get_texts():
            text.set_parse_math(False)


def curve_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy by the part of the budget that a training had: lines for seen models, dashes for unseen ones."""
    from morelli.report.svg import drawing, new_figure

    figure = new_figure(3.4)
    with drawing():
        axes = figure.add_subplot()
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for number, method in enumerate(methods):
        mine = [row for row in rows if row["method"] == method]
        colour = f"C{number}"
        for group, style in (("seen", "-"), ("unseen", "--")):
            points = [
                (row["part"], 100 * row[f"{group}_point"]) for row in mine if row.get(f"{group}_point") is not None
            ]
            if points:
                label = method if group == "seen" else None
                axes.plot(*zip(*points, strict=True), style, marker="o", ms=3, color=colour, label=label)
    axes.set(xlabel="part of the training (— seen, - - unseen models)", ylabel="accuracy %", ylim=(0, 102))
    if methods:
        axes.legend(fontsize=8)
    return figure
