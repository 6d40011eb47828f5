"""What table 001 scores pictures by: a method that learnt from training images, of whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.papers.methods import kept_in

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.image import FeatureAttributor, is_image_attributor, load_image_attributor
from morelli.attribution.learned import free_references
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.copies import SAMPLE, choose_sample, embed_copies
from morelli.encoders.embed import embed
from morelli.images.degrade import degrade
from morelli.images.load import Picture, from_array, load_image
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder

    Score = Callable[[Sequence[Picture]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Known:
    """An image to learn from: its file, model, family and prompt."""

    path: Path
    model: str
    family: str
    prompt: str


def scorer(spec: str, training: Sequence[Known], encoder: Encoder, out: str) -> tuple[Score, list[str], str]:
    """Train a method.

    Methods over embeddings have degraded copies of some training images, as a gallery does; methods that see pictures
    are trained as published.

    Parameters
    ----------
    spec : str
    training : sequence of Known
    encoder : Encoder
        Of methods over embeddings.
    out : str
        Folder for trained methods and embeddings.

    Returns
    -------
    score : callable
        Pictures to scores, shape (n, m).
    models : list of str
        Its columns.
    under_trained : str
    """
    if not is_image_attributor(spec):
        return (*_by_embeddings(spec, training, encoder, out), "")
    attributor = load_image_attributor(spec, kept_in(out))
    attributor.fit([load_image(each.path).pixels for each in training], np.array([each.model for each in training]))
    assert not (isinstance(attributor, FeatureAttributor) and attributor.uses_texts)
    models = attributor.models_.tolist()
    return lambda pictures: attributor.scores([each.pixels for each in pictures]), models, attributor.under_trained


def _by_embeddings(name: str, training: Sequence[Known], encoder: Encoder, out: str) -> tuple[Score, list[str]]:
    cache, paths = EmbeddingCache(Path(out) / "cache"), [each.path for each in training]
    embedded = embed(encoder, paths, cache=cache, on_error="raise")
    models, prompts, families = (
        np.array([getattr(each, label) for each in training]) for label in ("model", "prompt", "family")
    )
    rows = choose_sample(models.tolist(), [each.content for each in embedded.pictures], SAMPLE)
    copies = embed_copies(encoder, [paths[row] for row in rows], rows, cache=cache)
    data = LabelledEmbeddings(embedded.vectors, models, prompts, families, copies)
    attributor = load_attributor(name).fit(data)
    assert isinstance(attributor, LikelihoodAttributor)
    references = free_references(attributor, data)

    def score(pictures: Sequence[Picture]) -> NDArray[np.float64]:
        found = embed(encoder, list(pictures), cache=cache, on_error="raise")
        return attributor.scores(found.vectors, references)

    return score, attributor.candidates(references).tolist()


def attacked(picture: Picture, text: str, name: str) -> Picture:
    """A picture after an attack in its text form, "" for none; its noise is its own, the same in every run."""
    if not text:
        return picture
    return from_array(degrade(picture.pixels, text, seed=int(picture.content[:8], 16)), name)
