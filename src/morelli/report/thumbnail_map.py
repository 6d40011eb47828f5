"""A map of one prompt's images: thumbnails where t-SNE puts their embeddings, framed and numbered by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from morelli.gallery.thumbnail import MEDIA_TYPE, make_thumbnail
from morelli.report.embedding_map import place
from morelli.report.page import data_uri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.evaluation.data import EvaluationSet

#: Images of a model that one map shows.
MOST = 6
_SIDE = 400
_THUMBNAIL = 64


def model_inks(models: Sequence[str]) -> dict[str, str]:
    """A colour a model; with more than twenty they repeat, and the numbers tell them apart."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return {model: to_hex(colormaps["tab20"](number % 20)) for number, model in enumerate(models)}


def thumbnail_map(data: EvaluationSet, prompt: str, inks: Mapping[str, str], *, seed: int = 0) -> str | None:
    """An ``<svg>`` with the prompt's images; None for fewer than four, which make no map.

    Parameters
    ----------
    data : EvaluationSet
    prompt : str
        Its id.
    inks : mapping of str to str
        Colour of every model, in the order in which they are numbered.
    seed : int

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    ImageError
        A picture that was readable is not any more.
    """
    rows = _shown(data, prompt, seed)
    if len(rows) < 4:
        return None
    at = place(data.embeddings.take(rows), seed=seed)
    low, high = at.min(axis=0), at.max(axis=0)
    side = float(np.clip(_SIDE / (1.5 * np.sqrt(len(rows))), 22, 60))
    corner = (at - low) / np.maximum(high - low, 1e-9) * (_SIDE - side - 8) + 4
    numbers = {model: number + 1 for number, model in enumerate(inks)}
    parts = []
    for pixels, (x, y), model in zip(data.pictures(rows), corner, data.embeddings.models[rows].tolist(), strict=True):
        link = data_uri(make_thumbnail(pixels, _THUMBNAIL), MEDIA_TYPE)
        box = f'x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}"'
        parts.append(
            f"<g><title>{escape(model)}</title>"
            f'<image href="{link}" {box} preserveAspectRatio="xMidYMid slice"/>'
            f'<rect {box} fill="none" stroke="{inks[model]}" stroke-width="2.5"/>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="13" height="11" fill="{inks[model]}"/>'
            f'<text x="{x + 6.5:.1f}" y="{y + 8.8:.1f}" font-size="9" text-anchor="middle" fill="#fff" '
            f'stroke="#000" stroke-width="1.6" paint-order="stroke">{numbers[model]}</text></g>'
        )
    alt = f"{len(rows)} images of {len(set(data.embeddings.models[rows].tolist()))} models placed by likeness."
    return f'<svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{alt}">{"".join(parts)}</svg>'


def _shown(data: EvaluationSet, prompt: str, seed: int) -> NDArray[np.intp]:
    """Rows of the prompt, `MOST` a model at most."""
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(data.embeddings.prompts == prompt)
    models = data.embeddings.models[rows]
    groups = [rng.permutation(rows[models == model])[:MOST] for model in np.unique(models)]
    return np.sort(np.concatenate(groups)) if groups else rows


def legend(inks: Mapping[str, str]) -> str:
    """The models with their numbers and colours, as a list."""
    lines = "".join(
        f'<li><span class="swatch" style="background:{ink}"></span>{escape(model)}</li>' for model, ink in inks.items()
    )
    return f'<ol class="legend">{lines}</ol>'
