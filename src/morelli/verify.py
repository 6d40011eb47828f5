"""The facade for pairs: did one model make both? With a gallery a calibrated probability, without one a likeness."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli._version import __version__
from morelli.attribution.centroid import unit_vectors
from morelli.attribution.pair_judge import PairJudge, learn_pair_judge
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.embed import embed
from morelli.encoders.variants import source_name
from morelli.errors import InputError
from morelli.gallery.sizes import size_notes
from morelli.gallery.view import GalleryView
from morelli.images.load import Picture, load_image
from morelli.images.pixels import is_blank
from morelli.types import LabelledEmbeddings, Reference, VerificationVerdict, VerifiedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from morelli.attribution.base import Vectors
    from morelli.encoders.base import Encoder
    from morelli.encoders.embed import Source

__all__ = ["UNSURE", "Verifier"]

#: Between these probabilities the answer is "unsure".
UNSURE = (0.25, 0.75)
#: What was learnt without some of the references is remembered for so many pairs that had references in them.
REMEMBERED = 8


class Verifier:
    """Says whether one model made two images.

    Parameters
    ----------
    gallery : str, Path or GalleryView, optional
        Its models teach how images of one model scatter and how models differ; the two images may be of others. None:
        the answer is a likeness that is not calibrated, and no decision.
    encoder : Encoder or str, optional
        By default the gallery's; of several one joined of ``efficientnet-lite0``, or that, or else the first. Without a
        gallery ``efficientnet-lite0``.
    prior : float
        Share of the pairs in question that are of one model, between 0 and 1.
    cache : str or Path, optional
        Folder for embeddings; by default `default_folder`.
    keep : bool
        Keep the embeddings of the images that are asked about there.

    Examples
    --------
    >>> Verifier("references.morelli").verify("a.png", "b.png").probability  # doctest: +SKIP
    0.93
    """

    def __init__(
        self,
        gallery: GalleryView | str | Path | None = None,
        *,
        encoder: Encoder | str | None = None,
        prior: float = 0.5,
        cache: str | Path | None = None,
        keep: bool = True,
    ) -> None:
        self.gallery = gallery
        self.encoder = encoder
        self.prior = prior
        self.cache = cache
        self.keep = keep
        self._judges: dict[frozenset[int], PairJudge] = {}

    def verify(
        self, first: Source, second: Source, *, on_learn: Callable[[], None] | None = None
    ) -> VerificationVerdict:
        """Compare two images.

        Parameters
        ----------
        first, second : Path, str, bytes or Picture
        on_learn : callable, optional
            Called before the gallery's statistics are learnt, which may take some seconds.

        Raises
        ------
        ImageError
            One of them cannot be read or is too small; the message names it.
        MissingGalleryError, EmptyGalleryError, GalleryMismatchError, NotEnoughReferencesError
            The gallery does not allow the question.
        UnknownNameError
            No such encoder.
        InputError
            ``prior`` is not between 0 and 1.
        """
        if not 0.0 < self.prior < 1.0:
            raise InputError(f"must lie between 0 and 1; got {self.prior:g}.", argument="prior")
        pictures = [source if isinstance(source, Picture) else load_image(source) for source in (first, second)]
        names = [source_name(source) for source in (first, second)]
        encoder = self._network  # what is wrong with the gallery is told before an image is embedded
        flat = [name for name, picture in zip(names, pictures, strict=True) if is_blank(picture.pixels)]
        if flat:
            note = f"cannot tell: {' and '.join(dict.fromkeys(flat))} is one flat colour, and shows no model's habits."
            return self._answer(names, pictures, "unsure", notes=[note])
        cache = EmbeddingCache(self._folder) if self.keep else None
        made = embed(encoder, pictures, cache=cache, on_error="raise")
        x = unit_vectors(made.vectors)
        similarity = float(x[0] @ x[1])
        if pictures[0].content == pictures[1].content:
            note = "Both files hold the same pixels: it is one picture, and nothing was compared."
            return self._answer(names, pictures, "same", similarity=similarity, notes=[note])
        if self.gallery is None:
            note = "Not calibrated: without a gallery there is only a likeness, and nothing says how high is high."
            fix = "Name a gallery of several models for a probability: --gallery G."
            return self._answer(names, pictures, "unsure", similarity=similarity, notes=[f"{note} {fix}"])
        return self._compared(names, pictures, made.vectors, similarity, on_learn)

    def learn(self) -> None:
        """Learn from the gallery now what comparing two images needs; raises what the gallery does not allow."""
        _ = self._network  # an encoder that the gallery was not made with is refused before the long work
        self._judge(frozenset(), None)

    def must_learn(self, pictures: Sequence[Picture]) -> bool:
        """Whether an answer would have to learn first: from all of the gallery, or from what is left without these."""
        if self.gallery is None or len({each.content for each in pictures}) < len(pictures):
            return False
        if any(is_blank(each.pixels) for each in pictures):
            return False
        return frozenset(self._own(pictures).values()) not in self._judges

    def _own(self, pictures: Sequence[Picture]) -> dict[str, int]:
        """By content, the rows of the references that the pictures are themselves."""
        return {picture.content: self._rows[picture.content] for picture in pictures if picture.content in self._rows}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {reference.content: number for number, reference in enumerate(self._held[0])}

    def _compared(
        self,
        names: list[str],
        pictures: list[Picture],
        vectors: Vectors,
        similarity: float,
        on_learn: Callable[[], None] | None,
    ) -> VerificationVerdict:
        references, _ = self._held
        own = self._own(pictures)
        judge = self._judge(frozenset(own.values()), on_learn)
        score = judge.ratio(vectors)
        notes = [
            f"{name} is a reference of the gallery ({references[own[picture.content]].model}) and was left out of its "
            "statistics."
            for name, picture in zip(names, pictures, strict=True)
            if picture.content in own
        ]
        shapes = (picture.pixels.shape for picture in pictures)
        sizes = {name: (width, height) for name, (height, width, _) in zip(names, shapes, strict=True)}
        notes += size_notes(references, sizes)
        if judge.calibration is None:
            notes.append(
                f"Not calibrated: {judge.models} models, or the few images of each, give too few pairs that other "
                "models can be learnt for."
            )
            return self._answer(names, pictures, "unsure", similarity=similarity, score=score, notes=notes)
        probability = float(judge.calibration.probability(score, self.prior))
        low, high = UNSURE
        decision = "same" if probability >= high else "different" if probability <= low else "unsure"
        return self._answer(
            names, pictures, decision, similarity=similarity, score=score, probability=probability, notes=notes
        )

    def _answer(
        self,
        names: list[str],
        pictures: list[Picture],
        decision: str,
        *,
        similarity: float | None = None,
        score: float | None = None,
        probability: float | None = None,
        notes: list[str],
    ) -> VerificationVerdict:
        stamp = self._network.stamp
        images = [VerifiedImage(name, picture.sha256) for name, picture in zip(names, pictures, strict=True)]
        view = self._view
        method = {
            "name": "plda" if score is not None else "cosine",
            "encoder": stamp.encoder,
            "encoder_revision": stamp.revision,
            "gallery": None if view is None else view.path,
            "gallery_version": None if view is None else view.version,
        }
        return VerificationVerdict(
            images=images,
            version=__version__,
            decision=decision,
            probability=probability,
            calibrated=probability is not None,
            prior=self.prior,
            score=score,
            similarity=similarity,
            method=method,
            notes=notes,
        )

    # -- gallery, encoder, statistics ---------------------------------------------------------------------------------

    @cached_property
    def _folder(self) -> Path:
        return default_folder() if self.cache is None else Path(self.cache)

    @cached_property
    def _view(self) -> GalleryView | None:
        if self.gallery is None or isinstance(self.gallery, GalleryView):
            return self.gallery
        return GalleryView.open(self.gallery)

    @cached_property
    def _network(self) -> Encoder:
        given, view = self.encoder, self._view
        if given is None:
            given = DEFAULT_ENCODER if view is None else view.usual_encoder(DEFAULT_ENCODER)
        loaded = load_encoder(given) if isinstance(given, str) else given
        if view is not None:
            view.require(loaded.stamp)
        return loaded

    @cached_property
    def _held(self) -> tuple[tuple[Reference, ...], LabelledEmbeddings]:
        if self._view is None:
            raise InputError("there is no gallery to learn from.", argument="gallery")
        return self._view.embeddings(self._network.stamp.encoder)

    def _judge(self, left_out: frozenset[int], on_learn: Callable[[], None] | None) -> PairJudge:
        judge = self._judges.get(left_out)
        if judge is None:
            if on_learn is not None:
                on_learn()
            _, data = self._held
            # Of all that is there no copy: it may be gigabytes.
            judge = learn_pair_judge(data.take(np.setdiff1d(np.arange(len(data)), [*left_out])) if left_out else data)
            for old in [each for each in tuple(self._judges) if each][: -REMEMBERED + 1]:
                self._judges.pop(old, None)
            self._judges[left_out] = judge
        return judge
