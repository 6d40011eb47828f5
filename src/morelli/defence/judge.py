"""Who is recognised before and after: one image's versions, attributed with a gallery under one attributor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.compare import Comparer, Comparison
from morelli.attribution.decision import conclude
from morelli.attribution.learned import Learned
from morelli.attribution.persist import statistics_key
from morelli.encoders.embed import embed
from morelli.errors import NotEnoughReferencesError

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.gallery.view import GalleryView
    from morelli.images.load import Picture

# Candidate sets hold the models with a conformal p-value above it, as in morelli identify.
_EPSILON = 0.1


@dataclass(frozen=True, slots=True)
class Judged:
    """What an attributor says of one version of an image.

    Attributes
    ----------
    decision : str
        A model, "none" or "unsure", without a test of stability.
    first : str
        The likeliest model.
    probability : float
        Of the first, 0–1; a softmax of the scores where nothing was calibrated.
    order : tuple of str
        All models, likeliest first.
    """

    decision: str
    first: str
    probability: float
    order: tuple[str, ...]

    def rank(self, model: str | None) -> int | None:
        """Place of a model, 1 is the first; None where it is not known or no candidate."""
        return self.order.index(model) + 1 if model in self.order else None

    def to_json(self, model: str | None) -> dict[str, Any]:
        """The object that reports list under ``before`` and ``after``."""
        return {
            "decision": self.decision,
            "first": self.first,
            "probability": self.probability,
            "rank": self.rank(model),
        }


class Judge:
    """Attributes versions of images with one gallery.

    Parameters
    ----------
    view : GalleryView
    encoder : Encoder
        With embeddings in the gallery.
    method : str
        An attributor's name.
    folder : Path
        For what is learnt from the gallery.
    cache : EmbeddingCache, optional

    Raises
    ------
    GalleryMismatchError, EmptyGalleryError, UnknownNameError
        The gallery has nothing under that encoder, or there is no such attributor.
    NotEnoughReferencesError
        It holds one model only.
    """

    def __init__(
        self, view: GalleryView, encoder: Encoder, method: str, folder: Path, cache: EmbeddingCache | None = None
    ) -> None:
        self.encoder, self.method, self.cache = encoder, method, cache
        self.references, self.data = view.embeddings(encoder.stamp.encoder)
        view.require(encoder.stamp)
        self.families = {reference.model: reference.family for reference in self.references}
        if len(self.families) < 2:
            raise NotEnoughReferencesError(
                f"holds references of one model only, {next(iter(self.families))}.",
                argument=view.path,
                fix="Add references of another model.",
            )
        attributor = load_attributor(method)
        key = statistics_key(attributor, self.data, [r.content for r in self.references], encoder.stamp)
        learned = Learned(attributor, self.data, folder / "statistics" / f"{key}.npz")
        self._comparer = Comparer(self.references, self.data, learned, view.path)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each reference, by the hash of its pixels."""
        return {reference.content: row for row, reference in enumerate(self.references)}

    def compare(
        self, prompts: Sequence[str], on_learn: Callable[[], None] = lambda: None, *, fall_back: bool = False
    ) -> Comparison:
        """What images of a prompt (its ids in the gallery; none: unknown) are compared with.

        Parameters
        ----------
        prompts : sequence of str
        on_learn : callable
            Called before something is learnt.
        fall_back : bool
            Compare without the prompt, with a note, where a model has no reference of it.

        Raises
        ------
        NotEnoughReferencesError
            Models without a reference of the prompt, or too few references for the attributor.
        """
        return self._comparer.compare(tuple(prompts), fall_back=fall_back, on_learn=on_learn)

    def versions(self, comparison: Comparison, pictures: Sequence[Picture]) -> list[Judged]:
        """What is said of each version of one image; where the first is a reference, it has no part in any comparison.

        Raises
        ------
        MorelliError
            A version that cannot be embedded.
        """
        row = self.rows.get(pictures[0].content)
        used = comparison if row is None else self._comparer.without(comparison, row, fall_back=True)
        found = embed(self.encoder, list(pictures), cache=self.cache, on_error="raise")
        return [self._judged(used, {n: v[i : i + 1] for n, v in found.vectors.items()}) for i in range(len(pictures))]

    def _judged(self, used: Comparison, vectors: dict[str, Any]) -> Judged:
        made = conclude(
            used.models,
            self.families,
            used.scores(vectors),
            used.calibration,
            degraded=used.condition(vectors) != "",
            epsilon=_EPSILON,
        )
        order = tuple(line.model for line in made.ranking)
        return Judged(made.decision, order[0], made.ranking[0].probability, order)
