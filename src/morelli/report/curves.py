"""Curves of the protocol robustness: top-1 against the strength of one kind of degradation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morelli.errors import InputError
from morelli.report.confusion import figure_format, save_figure

_WORDS = {
    "jpeg": "JPEG quality",
    "webp": "WebP quality",
    "blur": "blur, sigma in pixels",
    "resize": "scale of the sides",
    "crop": "share of the sides that is kept",
    "cut": "share of the sides that is kept, at its scale",
    "noise": "noise, sigma in levels",
}

Point = tuple[float, float, float, float]


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Point]]]:
    """Kind of degradation → method → (strength, top-1, low, high), by rising strength.

    Where rows have several encoders, a method's name is followed by its encoder.
    Chains have no one strength and are left out, as are kinds with a single strength.
    """
    out: dict[str, dict[str, list[Point]]] = {}
    for row, method in zip(rows, _lines(rows), strict=True):
        kind, colon, strength = str(row["degradation"]).partition(":")
        if colon and "+" not in strength:
            point = (float(strength), row["top1"], row["top1_low"], row["top1_high"])
            out.setdefault(kind, {}).setdefault(method, []).append(point)
    found = {kind: {m: sorted(points) for m, points in by.items()} for kind, by in out.items()}
    return {kind: by for kind, by in found.items() if max(map(len, by.values())) > 1}


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which line each row is a point of."""
    several = len({row["encoder"] for row in rows if row.get("encoder")}) > 1
    return [f"{row['method']}, {row['encoder']}" if several and row.get("encoder") else row["method"] for row in rows]


def robustness_figure(rows: Sequence[Mapping[str, Any]], path: str | Path, *, title: str = "") -> Path:
    """Draw one panel a kind of degradation, one line a method with its interval; untouched queries are dashed.

    Parameters
    ----------
    rows : sequence of mapping
        Of an evaluation by the protocol robustness.
    path : str or Path
        Ends in .png, .svg or .pdf; an existing file is replaced.
    title : str

    Raises
    ------
    InputError
        No kind of degradation has two strengths, or another ending.
    StorageError
        Where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure_format(path)
    found = curves(rows)
    if not found:
        raise InputError(
            "a curve needs two strengths of one degradation.",
            argument="--figure",
            fix='Ask for a sweep: --degrade "jpeg:50-100:10,crop:0.5-1:0.1"',
        )
    lines = _lines(rows)
    untouched = {line: row["top1"] for line, row in zip(lines, rows, strict=True) if row["degradation"] == "none"}
    figure = Figure(figsize=(0.8 + 4.2 * len(found), 3.6), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    methods = list(dict.fromkeys(lines))
    for axes, (kind, by_method) in zip(panels, found.items(), strict=True):
        for number, method in enumerate(methods):
            ink = f"C{number}"
            points = by_method.get(method, [])
            x = [point[0] for point in points]
            axes.plot(x, [100 * point[1] for point in points], "o-", color=ink, markersize=3, label=method)
            low, high = ([float("nan") if p[i] is None else 100 * p[i] for p in points] for i in (2, 3))
            axes.fill_between(x, low, high, color=ink, alpha=0.15, linewidth=0)
            if method in untouched:
                axes.axhline(100 * untouched[method], color=ink, linestyle="--", linewidth=0.8)
        axes.set_xlabel(_WORDS.get(kind, kind))
        axes.grid(color="0.9")
    panels[0].set_ylabel("top-1, % (dashed: untouched)")
    panels[0].set_ylim(bottom=0)
    panels[-1].legend(frameon=False)
    if title:
        figure.suptitle(title, parse_math=False)
    return save_figure(figure, path)
