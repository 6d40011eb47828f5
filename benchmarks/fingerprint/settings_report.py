"""What the comparison of settings came to: a table in Markdown, a heat map, and a map of the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.fingerprint.settings_weights import Deployments
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from morelli.report.confusion import save_figure
from morelli.report.embedding_map import MOST, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

_NUMBERS_UP_TO = 25  # deployments; with more the numbers would be too small to read


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of a result, percentages with 95 % intervals over prompts."""
    found = result["deployments"]
    models, weights, bases = (len({each[what] for each in found}) for what in ("name", "weights", "base"))
    heads = ["encoder", "method", "queries at", "images", "weights, top-1 %", "base, top-1 %", "own settings, top-1 %"]
    lines = [
        f"{result['n_images']} images by {models} deployments of {weights} weights and {bases} bases, "
        f"{result['n_prompts']} prompts. Pairs have different seeds; embeddings are centred over all images. "
        "Brackets: 95 % intervals by bootstrap over prompts.",
        "",
        *_rows(["encoder", "prompts", "pairs of", "pairs", "mean cosine", "spread (sd)"], "lllrrr", _kinds(result)),
        *_rows(["encoder", "prompts", "pairs of", "above pairs of", "AUC, % (chance 50)"], "llllr", _areas(result)),
        f"Attributed to {weights} weights by references at own settings, of other prompts than the queries' and "
        f"of the same seeds; chance {_percent(result['chance'])} %. The column *own settings* is what the same weights "
        "reach there.",
        "",
        *_rows([*heads, "most often taken for"], "lllrrrrl", _attributions(result)),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _rows(heads: Sequence[str], sides: str, rows: Iterator[Sequence[str]]) -> list[str]:
    rule = "|".join("---:" if side == "r" else "---" for side in sides)
    return [f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _kinds(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for encoder in result["encoders"]:
        for each in encoder["kinds"]:
            mean = _with_interval(each, "mean", lambda value: f"{value:.3f}")
            spread = "–" if each["sd"] is None else f"{each['sd']:.3f}"
            yield encoder["id"], each["prompts"], each["kind"], str(each["n"]), mean, spread


def _areas(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for encoder in result["encoders"]:
        for each in encoder["areas"]:
            yield encoder["id"], each["prompts"], each["kind"], each["against"], _with_interval(each, "auc", _percent)


def _attributions(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for encoder in result["encoders"]:
        for each in encoder["weights"]:
            taken = f"{each['taken_for']} ({_percent(each['taken_share'])} %)" if each["taken_for"] else "–"
            figures = _with_interval(each, "top1", _percent), _percent(each["base_top1"]), _percent(each["own_top1"])
            yield encoder["id"], each["method"], each["setting"], str(each["n"]), *figures, taken


def _with_interval(row: Mapping[str, Any], name: str, text: Any) -> str:
    values = [row[f"{name}{end}"] for end in ("", "_low", "_high")]
    if values[0] is None:
        return "–"
    return text(values[0]) if None in values else "{} ({} to {})".format(*map(text, values))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def plain(value: float) -> float | None:
    """None for NaN, which JSON has not."""
    return None if isnan(value) else float(value)


def heat_map(matrix: NDArray[np.float64], found: Deployments, path: Path, title: str) -> Path:
    """Draw the mean cosine between deployments and save it: a frame around those of one weights, lines between bases.

    Parameters
    ----------
    matrix : ndarray, shape (D, D)
        In the order of the deployments; NaN is grey.
    found : Deployments
    path : Path
        Ends in .png; an existing file is replaced.
    title : str

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    m = len(found.names)
    side = max(4.0, 0.34 * m)
    figure = Figure(figsize=(side + 3.4, side + 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.85")
    largest = float(np.nanmax(np.abs(matrix))) if np.isfinite(matrix).any() else 1.0
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes.set_xticks(range(m), list(found.names), rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(range(m), list(found.names), fontsize=8, parse_math=False)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=10, parse_math=False)
    if m <= _NUMBERS_UP_TO:
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                ink = "w" if abs(value) > 0.65 * largest else "k"
                axes.text(j, i, f"{round(100 * value)}", ha="center", va="center", fontsize=6, color=ink)
    for start, _ in _runs(found.bases)[1:]:
        for line in (axes.axhline, axes.axvline):
            line(start - 0.5, color="0.35", linewidth=0.8)
    _frames(axes, found.weights)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("mean cosine, images of different prompts (cells: hundredths)")
    return save_figure(figure, path)


def _frames(axes: Axes, weights: Sequence[str]) -> None:
    for start, stop in _runs(weights):
        if stop - start > 1:
            corner, side = (start - 0.5, start - 0.5), stop - start
            axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="k", linewidth=1.6, clip_on=False))


def settings_map(
    data: LabelledEmbeddings, weights: NDArray[np.str_], own: NDArray[np.bool_], path: Path, title: str, seed: int = 0
) -> Path:
    """Draw one t-SNE in two panels: images at their models' own settings, at all others (paper 002, figures 14, 15).

    Parameters
    ----------
    data : LabelledEmbeddings
        Of n images; of more than `MOST` as many are drawn by the seed.
    weights : ndarray of str, shape (n,)
        One colour each.
    own : ndarray of bool, shape (n,)
        Made at own settings.
    path : Path
        Ends in .png; an existing file is replaced.
    title : str
    seed : int

    Raises
    ------
    InputError, MissingExtraError, StorageError
        Fewer than four images; scikit-learn is not installed; the file cannot be written.
    """
    from matplotlib import colormaps

    if len(data) > MOST:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(data))[:MOST])
        data, weights, own = data.take(drawn), weights[drawn], own[drawn]
    points = place(data, seed=seed)
    names = np.unique(weights).tolist()
    ink = colormaps["tab10" if len(names) <= 10 else "tab20"]
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    for column, (here, what) in enumerate(((own, "own settings"), (~own, "other settings"))):
        axes = figure.add_subplot(1, 2, column + 1)
        axes.set(xticks=[], yticks=[], xlim=_limits(points[:, 0]), ylim=_limits(points[:, 1]))
        axes.set_title(f"{title}: {what}", fontsize=9, parse_math=False)
        for number, name in enumerate(names):
            at = points[here & (weights == name)]
            axes.scatter(at[:, 0], at[:, 1], s=9, color=ink(number % ink.N), label=name)
    for text in figure.axes[0].legend(fontsize=7, frameon=False).get_texts():
        text.set_parse_math(False)
    return save_figure(figure, path)


def _limits(values: NDArray[np.floating]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    edge = 0.03 * (high - low) + 1e-6
    return low - edge, high + edge


def _runs(labels: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end of each run of equal labels."""
    starts = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    return list(zip(starts, [*starts[1:], len(labels)], strict=True))
