"""The facade: an image, perhaps its prompt, and a gallery become a verdict. The command line and the web use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from morelli._identify.answers import Failure, Progress, answers
from morelli._identify.check import CheckJudge
from morelli._identify.held import Held, hold, load_network
from morelli._identify.rivals import Rivals
from morelli._identify.verdict import VerdictJudge
from morelli.attribution.catalogue import DEFAULT_METHOD, load_attributor
from morelli.attribution.compare import Comparer
from morelli.attribution.learned import Learned
from morelli.attribution.persist import statistics_key
from morelli.attribution.target import Own
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.variants import embed_variants
from morelli.errors import InputError, UnknownNameError
from morelli.gallery.prompts import find_prompt
from morelli.images.claims.attach import with_claims
from morelli.images.claims.credentials import load_roots
from morelli.images.degrade import parse
from morelli.types import CheckVerdict, Verdict

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.encoders.embed import Source
    from morelli.encoders.variants import Variants
    from morelli.gallery.view import GalleryView

__all__ = ["STABILITY", "Failure", "Identifier", "Progress"]

#: What can be attributed.
LEVELS = ("model", "base")

T = TypeVar("T")

#: What a verdict's stability is told from: mild forms of what pictures go through, all of which keep their size.
STABILITY = ("jpeg:85", "webp:85", "blur:0.6", "crop:0.9", "noise:1.5")


class Identifier:
    """Says which model of a gallery made an image.

    Parameters
    ----------
    gallery : str, Path or GalleryView
        With references of two models at least.
    method : str
        An attributor's name.
    encoder : Encoder or str, optional
        By default the gallery's; of several one joined of ``efficientnet-lite0``, or that, or else the first.
    epsilon : float
        Candidate sets hold the models with a conformal p-value above it; between 0 and 1.
    stability : bool
        Also compare degraded copies of the image (`STABILITY`).
    cache : str or Path, optional
        Folder for embeddings and for what is learnt from the gallery; by default `default_folder`.
    fall_back : bool
        Compare without the prompt where the gallery lacks references of it, instead of refusing.
    level : {"model", "base"}
        Attribute to models, or to the bases that they derive from, as the gallery names them.
    claims : bool
        Also tell what each file says of itself; the rest of the verdict is the same with and without.
    trust : str or Path, optional
        Certificates (PEM) of the authorities whose signers of Content Credentials are known.
    keep : bool
        Keep the embeddings of the images that are asked about in the cache; what is learnt is kept in any case.

    Examples
    --------
    >>> for verdict in Identifier("references.morelli").identify(["query.png"]):  # doctest: +SKIP
    ...     print(verdict.decision, verdict.ranking[0])
    """

    def __init__(
        self,
        gallery: GalleryView | str | Path,
        *,
        method: str = DEFAULT_METHOD,
        encoder: Encoder | str | None = None,
        epsilon: float = 0.1,
        stability: bool = True,
        cache: str | Path | None = None,
        fall_back: bool = False,
        level: str = "model",
        claims: bool = True,
        trust: str | Path | None = None,
        keep: bool = True,
    ) -> None:
        self.gallery = gallery
        self.method = method
        self.encoder = encoder
        self.epsilon = epsilon
        self.stability = stability
        self.cache = cache
        self.fall_back = fall_back
        self.level = level
        self.claims = claims
        self.trust = trust
        self.keep = keep

    def identify(
        self, sources: Sequence[Source], *, prompt: str | None = None, progress: Progress | None = None
    ) -> Iterator[Verdict | Failure]:
        """One verdict a source, in order, as they are ready; a source that cannot be read gives a `Failure`.

        Parameters
        ----------
        sources : sequence of Path, str, bytes or Picture
            Files, files' bytes, or decoded pictures (`morelli.images.load.from_array`).
        prompt : str, optional
            What the images were made from: a prompt id of the gallery, or the prompt's wording.
        progress : callable, optional
            ``progress(stage, done, total)``.

        Raises
        ------
        MissingGalleryError, EmptyGalleryError, GalleryMismatchError, NotEnoughReferencesError
            The gallery does not allow the question: absent, empty, of another encoder, one model only, models without
            references of the prompt.
        UnknownNameError
            No such method, encoder or prompt.
        InputError
            ``epsilon`` is not between 0 and 1, or ``trust`` is no file of certificates.
        """
        _between(self.epsilon, "epsilon")
        roots = load_roots(self.trust)
        prompts, notes = self._ask(prompt)
        rivals = self._rivals(prompts, self.fall_back, progress, notes)
        steps = STABILITY if self.stability else ()
        verdicts = self._each(sources, steps, progress, VerdictJudge(rivals, self.method, self.epsilon, steps))
        return with_claims(sources, verdicts, roots=roots) if self.claims else verdicts

    def check(
        self,
        sources: Sequence[Source],
        model: str,
        *,
        alpha: float = 0.9,
        prompt: str | None = None,
        case: Literal["auto", "1", "2"] = "auto",
        progress: Progress | None = None,
    ) -> Iterator[CheckVerdict | Failure]:
        """Is each image from this model? One answer a source, in order.

        Parameters
        ----------
        sources, prompt, progress
            As in `identify`.
        model : str
            A model of the gallery.
        alpha : float
            Share of the model's own images that should be accepted, between 0 and 1.
        case : {"auto", "1", "2"}
            Compare with the references of all models (Case 1), with the model's own alone (Case 2), or both as far as
            the references allow.

        Raises
        ------
        UnknownNameError
            The gallery has no such model; others as in `identify`.
        """
        _between(alpha, "alpha")
        if case not in ("auto", "1", "2"):
            raise UnknownNameError("case", case, ("auto", "1", "2"))
        held = self._held
        if model not in held.families:
            raise UnknownNameError("model", model, held.families)
        prompts, notes = self._ask(prompt)
        rivals = None
        if case == "1" or (case == "auto" and len(held.families) > 1):
            # Beside Case 2, Case 1 does what it can: it compares without the prompt where a rival lacks it.
            rivals = self._rivals(prompts, self.fall_back or case == "auto", progress, notes)
        own = Own(held.data, model, prompts) if case != "1" else None
        return self._each(
            sources, (), progress, CheckJudge(held, self.method, model, alpha, rivals, own, prompts, notes)
        )

    def _each(
        self,
        sources: Sequence[Source],
        steps: Sequence[str],
        progress: Progress | None,
        judge: Callable[[str, Variants], T],
    ) -> Iterator[T | Failure]:
        # Here and not at the first answer: what is wrong with the encoder is told before any picture is read.
        embedded = embed_variants(self._network, sources, [parse(step) for step in steps], self._embeddings)
        return answers(sources, embedded, judge, progress)

    # -- gallery, encoder, statistics ---------------------------------------------------------------------------------

    @cached_property
    def _folder(self) -> Path:
        return default_folder() if self.cache is None else Path(self.cache)

    @cached_property
    def _embeddings(self) -> EmbeddingCache | None:
        return EmbeddingCache(self._folder) if self.keep else None

    @cached_property
    def _held(self) -> Held:
        if self.level not in LEVELS:
            raise UnknownNameError("level", self.level, LEVELS)
        return hold(self.gallery, self.encoder, self.level)

    @cached_property
    def _network(self) -> Encoder:
        return load_network(self._held, self.encoder)

    @cached_property
    def _comparer(self) -> Comparer:
        attributor = load_attributor(self.method)
        held = self._held
        key = statistics_key(attributor, held.data, [r.content for r in held.references], held.stamp)
        learned = Learned(attributor, held.data, self._folder / "statistics" / f"{key}.npz")
        return Comparer(held.references, held.data, learned, held.view.path)

    def _ask(self, prompt: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The prompt's ids in the gallery, and notes."""
        if prompt is None:
            return (), ()
        try:
            return find_prompt(self._held.references, prompt), ()
        except UnknownNameError as error:
            if not self.fall_back:
                raise
            return (), (f"Compared without the prompt: {error.message}",)

    def _rivals(
        self, prompts: tuple[str, ...], fall_back: bool, progress: Progress | None, notes: tuple[str, ...]
    ) -> Rivals:
        def on_learn() -> None:
            _ = self._network  # an encoder that the gallery was not made with is refused before the long work
            if progress is not None:
                progress("learning", 0, 1)

        comparison = self._comparer.compare(prompts, fall_back=fall_back, on_learn=on_learn, notes=notes)
        return Rivals(self._held, self._comparer, comparison, fall_back)


def _between(value: float, name: str) -> None:
    if not 0.0 < value < 1.0:
        raise InputError(f"must lie between 0 and 1; got {value:g}.", argument=name)
