"""The confusion matrix as a picture: which model is taken for which."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError, InputError, StorageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

_FORMATS = ("png", "svg", "pdf")
_NUMBERS_UP_TO = 25  # labels; with more the numbers would be too small to read
_LONGEST = 44  # characters of a label


def confusion_figure(
    matrix: ArrayLike,
    labels: Sequence[str],
    path: str | Path,
    *,
    families: Sequence[str] | None = None,
    title: str = "",
) -> Path:
    """Draw a confusion matrix and save it.

    Rows are normalised to percent of their queries; a row without queries is grey. Models of one family stand next to
    each other, with a line around each family. One hue that only grows darker needs no colour vision; it grows as the
    square root, so that a few percent off the diagonal are seen. Up to 25 labels the numbers are written, from 0.5 on.

    Parameters
    ----------
    matrix : array, shape (m, m), non-negative
        Images, or parts of them: rows are the truth, columns what was said.
    labels : sequence of str, length m
    path : str or Path
        Ends in .png, .svg or .pdf; an existing file is replaced.
    families : sequence of str, length m, optional
        Orders the labels; without it they stay as given.
    title : str

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ArrayError
        For a matrix that does not fit the labels or is not of counts.
    InputError
        For another ending.
    StorageError
        Where the file cannot be written.
    """
    from matplotlib.figure import Figure

    target = Path(path)
    figure_format(target)
    counts, names, kin = _ordered(matrix, labels, families)
    m = len(names)
    cell = 0.62 if m <= 12 else 0.3
    margin = 0.085 * max(len(name) for name in names)
    side = cell * m
    figure = Figure(figsize=(side + margin + 1.6, side + margin + (0.9 if title else 0.5)), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, counts, names, kin)
    if title:
        axes.set_title(title, parse_math=False)
    return save_figure(figure, target)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the name's ending; the folder is made where it does not exist.

    Raises
    ------
    InputError
        For another ending than .png, .svg or .pdf.
    StorageError
        Where the file cannot be written.
    """
    from matplotlib import rc_context

    target, buffer = Path(path), io.BytesIO()
    kind = figure_format(target)
    # Text stays text in an SVG, so it can be searched; no date, so the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "morelli"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=None if kind == "png" else _NO_DATE[kind])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(buffer.getvalue())
    except OSError as error:
        raise StorageError(f"cannot write the figure: {error}.", argument=str(target)) from error
    return target


def figure_format(path: str | Path) -> str:
    """The format that the name's ending asks for: "png", "svg" or "pdf".

    Raises
    ------
    InputError
        For another ending.
    """
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in _FORMATS:
        raise InputError(f"cannot draw {Path(path).name!r}.", argument="path", fix="End it in .png, .svg or .pdf.")
    return kind


_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def _ordered(
    matrix: ArrayLike, labels: Sequence[str], families: Sequence[str] | None
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    counts = np.asarray(matrix, dtype=np.float64)
    m = len(labels)
    if not m or counts.shape != (m, m) or not np.isfinite(counts).all() or counts.min() < 0:
        raise ArrayError(f"needs counts of shape ({m}, {m}) for {m} labels, got {counts.shape}.", argument="matrix")
    if families is not None and len(families) != m:
        raise ArrayError(f"needs a family a label, {m}, got {len(families)}.", argument="families")
    kin = list(labels if families is None else families)
    order = list(range(m)) if families is None else sorted(range(m), key=lambda i: (kin[i], labels[i]))
    return counts[np.ix_(order, order)], [_shorten(labels[i]) for i in order], [kin[i] for i in order]


def _shorten(name: str) -> str:
    """The start and the end of a long name: versions stand at the end."""
    if len(name) <= _LONGEST:
        return name
    return name[: _LONGEST // 2] + "…" + name[-(_LONGEST // 2 - 1) :]


def _draw(axes: Axes, counts: NDArray[np.float64], names: list[str], families: list[str]) -> None:
    from matplotlib.colors import PowerNorm

    m = len(names)
    total = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100 * counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    axes.set_facecolor("0.85")
    scale = PowerNorm(0.5, vmin=0, vmax=100)
    image = axes.imshow(np.ma.masked_invalid(percent), cmap="Blues", norm=scale, aspect="equal")
    small = 9 if m <= 12 else 7
    axes.set_xticks(range(m), names, rotation=90 if m > 4 else 0, fontsize=small, parse_math=False)
    axes.set_yticks(range(m), names, fontsize=small, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("attributed to")
    axes.set_ylabel("made by")
    edges = np.arange(m + 1) - 0.5
    for edge in edges[1:-1]:
        axes.axhline(edge, color="0.9", linewidth=0.4)
        axes.axvline(edge, color="0.9", linewidth=0.4)
    _family_frames(axes, families)
    if m <= _NUMBERS_UP_TO:
        for (i, j), value in np.ndenumerate(percent):
            if value >= 0.5:
                ink = "w" if scale(value) > 0.6 else "k"
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=small, color=ink)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("% of the row's queries")


def _family_frames(axes: Axes, families: list[str]) -> None:
    """A frame on the diagonal around each run of two or more models of one family, and lines between families."""
    from matplotlib.patches import Rectangle

    m = len(families)
    starts = [i for i in range(m) if i == 0 or families[i] != families[i - 1]]
    if len(starts) == m:
        return
    for start, stop in zip(starts, [*starts[1:], m], strict=True):
        if start:
            axes.axhline(start - 0.5, color="0.55", linewidth=0.6)
            axes.axvline(start - 0.5, color="0.55", linewidth=0.6)
        if stop - start > 1:
            corner, side = (start - 0.5, start - 0.5), stop - start
            frame = Rectangle(
                corner, side, side, fill=False, edgecolor="#d55e00", linewidth=1.4, clip_on=False, zorder=3
            )
            axes.add_patch(frame)
