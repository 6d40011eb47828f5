"""A map of embeddings: t-SNE in two dimensions, models that the references have and models that they lack."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.centroid import unit_vectors
from morelli.errors import InputError, MissingExtraError
from morelli.report.confusion import figure_format, save_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

#: Images that are placed: t-SNE of more takes long and shows no more.
MOST = 3000
_LEGEND_UP_TO = 24
_MARKERS = "os^DvP*Xp<>h"


def require_tsne() -> None:
    """Refuse where scikit-learn, which places the points, is not installed.

    Raises
    ------
    MissingExtraError
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("figures", "A map of embeddings")


def place(data: LabelledEmbeddings, *, seed: int = 0) -> NDArray[np.float32]:
    """Coordinates of n embeddings in the plane, shape (n, 2): t-SNE of unit-norm embeddings by the cosine.

    Neighbours on the map are neighbours among the embeddings; distances between far points mean nothing.

    Raises
    ------
    InputError
        Fewer than four images.
    MissingExtraError
        scikit-learn is not installed.
    """
    require_tsne()
    if len(data) < 4:
        raise InputError(f"a map needs four images, and here are {len(data)}.", argument="--map")
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    x = unit_vectors(data.vectors).astype(np.float32)
    # 50 directions first, as the authors of t-SNE do (van der Maaten and Hinton, 2008).
    if min(x.shape) > 50:
        x = PCA(50, random_state=seed).fit_transform(x)
    perplexity = float(min(30, (len(x) - 1) / 3))
    return TSNE(2, perplexity=perplexity, init="pca", metric="cosine", random_state=seed).fit_transform(x)


def embedding_map(
    data: LabelledEmbeddings,
    path: str | Path,
    *,
    seen: Collection[str] | None = None,
    title: str = "",
    seed: int = 0,
) -> Path:
    """Draw the map and save it: one colour and mark a model, rings for models that are not among the seen ones.

    Parameters
    ----------
    data : LabelledEmbeddings
        Of more than `MOST` images as many are drawn by the seed.
    path : str or Path
        Ends in .png, .svg or .pdf; an existing file is replaced.
    seen : collection of str, optional
        Models that references are there of; None: all.
    title : str
    seed : int

    Raises
    ------
    InputError, MissingExtraError, StorageError
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure_format(path)
    if len(data) > MOST:
        data = data.take(np.sort(np.random.default_rng(seed).permutation(len(data))[:MOST]))
    points = place(data, seed=seed)
    models = np.unique(data.models)
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    for number, model in enumerate(models.tolist()):
        ink = colormaps["tab20"](number % 20)
        known = seen is None or model in seen
        at = points[data.models == model]
        axes.scatter(
            at[:, 0],
            at[:, 1],
            s=14,
            marker=_MARKERS[number % len(_MARKERS)],
            facecolors=[ink] if known else "none",
            edgecolors=[ink],
            linewidths=0.8,
            label=model if known else f"{model} (no references)",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    if len(models) <= _LEGEND_UP_TO:
        legend = figure.legend(loc="outside right upper", fontsize=7, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    if title:
        axes.set_title(title, parse_math=False)
    return save_figure(figure, path)
