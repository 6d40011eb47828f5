"""The map of a gallery's embeddings: one mark a reference, its name and thumbnail when it is pointed at or focused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from morelli.gallery.thumbnail import MEDIA_TYPE
from morelli.report.embedding_map import place as placed
from morelli.report.page import data_uri
from morelli.web.galleries import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.gallery.view import GalleryView
    from morelli.types import LabelledEmbeddings, Reference

#: References that are drawn; of more, as many as this at random, evenly over the models.
MOST = 240
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


#: The keys of the map: Tab comes to one mark and leaves the map from any, and arrows go from mark to mark.
KEYS = """
addEventListener("focusin",e=>{const d=e.target.closest(".map .dot");if(!d)return;
for(const o of d.parentNode.querySelectorAll(".dot"))o.tabIndex=o===d?0:-1});
addEventListener("keydown",e=>{const d=e.target.closest&&e.target.closest(".map .dot");
if(!d||e.altKey||e.ctrlKey||e.metaKey)return;
const all=[...d.parentNode.querySelectorAll(".dot")],at=all.indexOf(d),m=o=>o.dataset.model,
first=o=>all.findIndex(x=>m(x)===m(o)),
to={ArrowRight:at+1,ArrowLeft:at-1,Home:0,End:all.length-1,
ArrowDown:all.findIndex((x,i)=>i>at&&m(x)!==m(d)),ArrowUp:first(all[Math.max(0,first(d)-1)])}[e.key];
if(to===undefined)return;e.preventDefault();if(all[to])all[to].focus()});
"""


def embedding_map(
    found: Snapshot, seed: int = 0, report: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> str:
    """The map as HTML, with a legend.

    Parameters
    ----------
    found : Snapshot
    seed : int
    report : callable
        Called with the stage, how much is done and how much there is; what it raises ends the work.

    Raises
    ------
    MissingExtraError
        scikit-learn, which places the points, is not installed.
    InputError, EmptyGalleryError
        Too few references for a map.
    """
    report("reading embeddings", 0, 0)
    references, data, of = drawn(found.view, found.encoder_of(None), seed)
    report("placing the marks", 0, 0)
    at = placed(data, seed=seed)
    report("reading thumbnails", 0, 0)
    low, high = at.min(axis=0), at.max(axis=0)
    spots = ((at - low) / np.maximum(high - low, 1e-9)).tolist()
    models = sorted(set(of.values()))
    number = {model: place for place, model in enumerate(models)}
    pictures = found.view.thumbnails(reference.content for reference in references)
    # Model by model, and from left to right: so go the keys, and who hears the map.
    marks = sorted(zip(references, spots, strict=True), key=lambda each: (each[0].model, each[1]))
    dots = "".join(
        _dot(reference, number[reference.model], pictures[reference.content], spot, first=not place)
        for place, (reference, spot) in enumerate(marks)
    )
    alt = f"{len(references)} of {len(of)} references placed by the likeness of their embeddings (t-SNE)."
    lines = "".join(f"<li>{_mark(place)}{escape(model)}</li>" for model, place in number.items())
    return (
        f'<h4>Map of the embeddings</h4><div class="map" role="group" aria-label="{alt}">{dots}</div>'
        f'<p class="hint">{alt} Near marks are alike; how far apart distant ones are means nothing. '
        "Keys: left and right go from mark to mark, up and down from model to model.</p>"
        f'<ul class="legend">{lines}</ul>'
    )


def drawn(
    view: GalleryView, encoder: str, seed: int
) -> tuple[tuple[Reference, ...], LabelledEmbeddings, Mapping[str, str]]:
    """The references that are drawn, their embeddings, and the models of all that could have been, by content hash.

    They are chosen by their models alone, so that of the others no embedding is read. Only where some of them have none
    under this encoder are those looked for that have.

    Raises
    ------
    EmptyGalleryError
        No reference has embeddings under this encoder.
    """
    of = view.models()
    references, data = view.embeddings(encoder, _picked(of, seed), copies=False)
    if len(references) < min(len(of), MOST):
        of = view.models(encoder)
        references, data = view.embeddings(encoder, _picked(of, seed), copies=False)
    return references, data, of


def _picked(of: Mapping[str, str], seed: int) -> list[str]:
    contents = list(of)
    return [contents[row] for row in chosen(np.array(list(of.values())), seed).tolist()]


def chosen(models: NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    """Rows to draw, sorted: all, or `MOST` of them dealt to the models in turn.

    Parameters
    ----------
    models : ndarray of str, shape (n,)
        The model of each row.
    seed : int
    """
    if len(models) <= MOST:
        return np.arange(len(models))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(models))
    turn = np.empty(len(models), dtype=np.intp)
    for model in np.unique(models):
        own = order[models[order] == model]
        turn[own] = np.arange(len(own))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:MOST])


def _dot(reference: Reference, model: int, thumbnail: bytes | None, spot: tuple[float, float], *, first: bool) -> str:
    """One mark; ``model`` is its model's number, ``spot`` its place, fractions from the left and the top."""
    (x, y), index = spot, 0 if first else -1  # Tab comes to the first one, or to the one that had the focus last
    image = f'<img src="{data_uri(thumbnail, MEDIA_TYPE)}" alt="">' if thumbnail else ""
    # What it shows stays inside the map: to the left of marks at the right, above those in the lower half.
    sides = " ".join(["dot", *(["left"] if x > 0.5 else []), *(["up"] if y > 0.5 else [])])
    label = f"{reference.model}: {reference.name}"
    return (
        f'<span class="{sides}" tabindex="{index}" role="img" data-model="{model}" '
        f'aria-label="{escape(label, quote=True)}" style="left:{100 * x:.2f}%;top:{100 * y:.2f}%">{_mark(model)}'
        f'<span class="tip" aria-hidden="true">{image}<b>{escape(reference.model)}</b>{escape(reference.name)}'
        "</span></span>"
    )


def _mark(number: int) -> str:
    turn, place = divmod(number, len(INKS))
    ink, shape = INKS[place], _SHAPES[(place + turn) % len(_SHAPES)]
    return (
        f'<svg viewBox="-8 -8 16 16" aria-hidden="true"><g fill="{ink}" fill-opacity=".85" stroke="#fff" '
        f'stroke-width=".8">{shape}</g></svg>'
    )
