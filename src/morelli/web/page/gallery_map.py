"""The map of a gallery's embeddings: one mark a reference, its thumbnail when it is pointed at."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from morelli.gallery.thumbnail import MEDIA_TYPE
from morelli.report.embedding_map import place as placed
from morelli.report.page import data_uri
from morelli.web.galleries import Snapshot

if TYPE_CHECKING:
    from morelli.types import LabelledEmbeddings

#: References that are drawn; of more, as many as this at random, evenly over the models.
MOST = 240
_WIDTH, _HEIGHT, _THUMBNAIL = 640, 480, 96
#: Okabe and Ito's colours, and shapes for when they repeat.
INKS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#c8b900", "#7f7f7f")
_SHAPES = (
    '<circle r="6"/>',
    '<rect x="-5" y="-5" width="10" height="10"/>',
    '<path d="M0-7 7 5H-7Z"/>',
    '<path d="M0-7 7 0 0 7-7 0Z"/>',
    '<path d="M-2-7H2V-2H7V2H2V7H-2V2H-7V-2H-2Z"/>',
    '<path d="M0 7 7-5H-7Z"/>',
)


def embedding_map(found: Snapshot, seed: int = 0) -> str:
    """The map as HTML, with a legend.

    Raises
    ------
    MissingExtraError
        scikit-learn, which places the points, is not installed.
    InputError, EmptyGalleryError
        Too few references for a map.
    """
    references, data = found.view.embeddings(found.encoder_of(None))
    rows = chosen(data, seed)
    at = placed(data.take(rows), seed=seed)
    low, high = at.min(axis=0), at.max(axis=0)
    spots = (at - low) / np.maximum(high - low, 1e-9) * (_WIDTH - 40, _HEIGHT - 40) + 20
    models = sorted(set(data.models.tolist()))
    look = {model: _mark(number) for number, model in enumerate(models)}
    dots = []
    for row, (x, y) in zip(rows.tolist(), spots, strict=True):
        reference = references[row]
        thumbnail = found.view.thumbnail(reference.content)
        # It stays inside the picture: to the left of marks at the right, above those at the bottom.
        dx = -_THUMBNAIL - 10 if x > _WIDTH - _THUMBNAIL - 20 else 10
        dy = -_THUMBNAIL - 10 if y > _HEIGHT - _THUMBNAIL - 20 else 10
        image = (
            f'<image href="{data_uri(thumbnail, MEDIA_TYPE)}" x="{dx}" y="{dy}" width="{_THUMBNAIL}" '
            f'height="{_THUMBNAIL}"/>'
            if thumbnail
            else ""
        )
        label = escape(f"{reference.model}: {reference.name}")
        # What comes later in SVG covers what came before: the mark that is pointed at moves to the end.
        dots.append(
            f'<g class="dot" transform="translate({x:.1f} {y:.1f})" onpointerenter="this.parentNode.append(this)">'
            f"<title>{label}</title>{look[reference.model]}{image}</g>"
        )
    alt = f"{len(rows)} of {len(data)} references placed by the likeness of their embeddings (t-SNE)."
    lines = "".join(
        f'<li><svg viewBox="-8 -8 16 16" aria-hidden="true">{look[model]}</svg>{escape(model)}</li>' for model in models
    )
    return (
        f'<h4>Map of the embeddings</h4><div class="map"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{alt}">{"".join(dots)}</svg></div><p class="hint">{alt} Near marks are alike; '
        f'how far apart distant ones are means nothing.</p><ul class="legend">{lines}</ul>'
    )


def chosen(data: LabelledEmbeddings, seed: int) -> np.ndarray:
    """Rows to draw, sorted: all, or `MOST` of them dealt to the models in turn."""
    if len(data) <= MOST:
        return np.arange(len(data))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data))
    turn = np.empty(len(data), dtype=np.intp)
    for model in np.unique(data.models):
        own = order[data.models[order] == model]
        turn[own] = np.arange(len(own))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:MOST])


def _mark(number: int) -> str:
    ink, shape = INKS[number % len(INKS)], _SHAPES[(number + number // len(INKS)) % len(_SHAPES)]
    return f'<g fill="{ink}" fill-opacity=".85" stroke="#fff" stroke-width=".8">{shape}</g>'
