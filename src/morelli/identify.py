"""The facade: an image, perhaps its prompt, and a gallery become a verdict. The command line and the web use it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from morelli._version import __version__
from morelli.attribution.calibration import MIN_QUERIES
from morelli.attribution.catalogue import DEFAULT_METHOD, load_attributor
from morelli.attribution.compare import Comparer, Comparison
from morelli.attribution.decision import UNKNOWN_LEVEL, decide, state
from morelli.attribution.learned import Learned
from morelli.attribution.persist import statistics_key
from morelli.attribution.target import Own, case_1, decide_one
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.variants import Variants, embed_variants, source_name
from morelli.errors import InputError, MorelliError, NotEnoughReferencesError, UnknownNameError
from morelli.gallery.prompts import find_prompt
from morelli.gallery.view import GalleryView
from morelli.images.degrade import parse
from morelli.types import (
    CheckVerdict,
    Degradation,
    EncoderStamp,
    Evidence,
    LabelledEmbeddings,
    Ranked,
    Reference,
    Verdict,
)

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.encoders.embed import Source

#: Called with the stage ("learning", then "identifying"), how much is done and how much there is.
Progress = Callable[[str, int, int], None]

#: What a verdict's stability is told from: mild forms of what pictures go through, all of which keep their size.
STABILITY = ("jpeg:95", "webp:95", "blur:0.4", "crop:0.95", "noise:0.5")
#: Nearest references that are told.
EVIDENCE = 5


@dataclass(frozen=True)
class Failure:
    """A source without a verdict, and what was wrong with it."""

    image: str
    error: MorelliError


@dataclass(frozen=True, eq=False)
class _Held:
    """A gallery's references, with their embeddings under one encoder."""

    view: GalleryView
    stamp: EncoderStamp
    references: tuple[Reference, ...]
    data: LabelledEmbeddings

    @cached_property
    def row(self) -> dict[str, int]:
        return {reference.content: row for row, reference in enumerate(self.references)}

    @cached_property
    def families(self) -> dict[str, str]:
        return {reference.model: reference.family for reference in self.references}

    @cached_property
    def sizes(self) -> set[tuple[int, int]]:
        return {(reference.width, reference.height) for reference in self.references}


class Identifier:
    """Says which model of a gallery made an image.

    Parameters
    ----------
    gallery : str, Path or GalleryView
        With references of two models at least.
    method : str
        An attributor's name.
    encoder : Encoder or str, optional
        By default the gallery's; of several ``efficientnet-lite0`` or else the first.
    epsilon : float
        Candidate sets hold the models with a conformal p-value above it; between 0 and 1.
    stability : bool
        Also compare degraded copies of the image (`STABILITY`).
    cache : str or Path, optional
        Folder for embeddings and for what is learnt from the gallery; by default `default_folder`.
    fall_back : bool
        Compare without the prompt where the gallery lacks references of it, instead of refusing.

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
    ) -> None:
        self.gallery = gallery
        self.method = method
        self.encoder = encoder
        self.epsilon = epsilon
        self.stability = stability
        self.cache = cache
        self.fall_back = fall_back

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
            ``epsilon`` is not between 0 and 1.
        """
        _between(self.epsilon, "epsilon")
        prompts, notes = self._ask(prompt)
        comparison = self._comparer.compare(
            prompts, fall_back=self.fall_back, on_learn=self._on_learn(progress), notes=notes
        )
        steps = STABILITY if self.stability else ()
        return self._each(sources, steps, progress, lambda name, found: self._verdict(name, found, steps, comparison))

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
        comparison = None
        if case == "1" or (case == "auto" and len(held.families) > 1):
            fall_back = self.fall_back or case == "auto"
            comparison = self._comparer.compare(
                prompts, fall_back=fall_back, on_learn=self._on_learn(progress), notes=notes
            )
        own = Own(held.data, model, prompts) if case != "1" else None

        def judge(name: str, found: Variants) -> CheckVerdict:
            return self._check_verdict(name, found, model, alpha, comparison, own, notes)

        return self._each(sources, (), progress, judge)

    def _each(
        self,
        sources: Sequence[Source],
        steps: Sequence[str],
        progress: Progress | None,
        judge: Callable[[str, Variants], Any],
    ) -> Iterator[Any]:
        # Here and not at the first answer: what is wrong with the encoder is told before any picture is read.
        answers = embed_variants(self._network, sources, [parse(step) for step in steps], self._embeddings)

        def each() -> Iterator[Any]:
            for number, (source, found) in enumerate(zip(sources, answers, strict=True)):
                name = source_name(source)
                try:
                    answer = Failure(name, found) if isinstance(found, MorelliError) else judge(name, found)
                except MorelliError as error:
                    answer = Failure(name, error)
                if progress is not None:
                    progress("identifying", number + 1, len(sources))
                yield answer

        return each()

    # -- gallery, encoder, statistics ---------------------------------------------------------------------------------

    @cached_property
    def _folder(self) -> Path:
        return default_folder() if self.cache is None else Path(self.cache)

    @cached_property
    def _embeddings(self) -> EmbeddingCache:
        return EmbeddingCache(self._folder)

    @cached_property
    def _held(self) -> _Held:
        view = self.gallery if isinstance(self.gallery, GalleryView) else GalleryView.open(self.gallery)
        known = [stamp.encoder for stamp in view.stamps()]
        if self.encoder is None:
            chosen = DEFAULT_ENCODER if DEFAULT_ENCODER in known or not known else known[0]
        elif isinstance(self.encoder, str):
            # What names an encoder need not be the id that its embeddings are kept under.
            chosen = self.encoder if self.encoder in known else load_encoder(self.encoder).stamp.encoder
        else:
            chosen = self.encoder.stamp.encoder
        references, data = view.embeddings(chosen)
        return _Held(view, view.stamp(chosen), references, data)

    @cached_property
    def _network(self) -> Encoder:
        """The encoder, loaded; refused where the gallery's embeddings are not its own."""
        given = self._held.stamp.encoder if self.encoder is None else self.encoder
        encoder = load_encoder(given) if isinstance(given, str) else given
        self._held.view.require(encoder.stamp)
        return _spread(encoder)

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

    def _on_learn(self, progress: Progress | None) -> Callable[[], None]:
        def on_learn() -> None:
            _ = self._network  # an encoder that the gallery was not made with is refused before the long work
            if progress is not None:
                progress("learning", 0, 1)

        return on_learn

    # -- answers ------------------------------------------------------------------------------------------------------

    def _used(self, found: Variants, comparison: Comparison, fall_back: bool) -> Comparison:
        row = self._held.row.get(found.info.content)
        return comparison if row is None else self._comparer.without(comparison, row, fall_back=fall_back)

    def _verdict(self, name: str, found: Variants, steps: Sequence[str], comparison: Comparison) -> Verdict:
        held = self._held
        used = self._used(found, comparison, self.fall_back)
        scores = used.scores(found.vectors)
        first = [used.models[best] for best in scores.argmax(axis=1)]
        stated = state(used.calibration, scores[:1])
        order = np.argsort(-scores[0], kind="stable").tolist()
        ranking = [
            Ranked(used.models[j], held.families[used.models[j]], stated.probabilities[j], float(scores[0, j]))
            for j in order
        ]
        candidates = [used.models[j] for j in order if stated.p_values and stated.p_values[j] > self.epsilon]
        rejected = stated.known is not None and stated.known <= UNKNOWN_LEVEL
        agreement = float(np.mean([other == first[0] for other in first[1:]])) if steps else None
        decision, reason = decide(
            [line.model for line in ranking],
            candidates,
            calibrated=used.calibration is not None,
            rejected=rejected,
            agreement=agreement,
        )
        notes = [f"{decision}: {reason}"] if reason else []
        notes += [*self._notes(found, used), *_kinship(candidates, held.families)]
        near = used.nearest(found.vectors, EVIDENCE)
        return Verdict(
            image=name,
            sha256=found.info.sha256,
            version=__version__,
            decision=decision,
            calibrated=used.calibration is not None,
            ranking=ranking,
            candidates=candidates,
            epsilon=self.epsilon,
            p_value=stated.known,
            rejected=rejected,
            agreement=agreement,
            degradations=[Degradation(step, model) for step, model in zip(steps, first[1:], strict=True)],
            method=self._method(used.k, used.prompt),
            evidence=[Evidence(_short(held.references[row]), held.references[row].model, far) for row, far in near],
            notes=notes,
        )

    def _method(self, k: int, prompt: str | None) -> dict[str, Any]:
        held = self._held
        return {
            "name": self.method,
            "encoder": held.stamp.encoder,
            "encoder_revision": held.stamp.revision,
            "gallery": held.view.path,
            "gallery_version": held.view.version,
            "k": k,
            "prompt_used": prompt,
        }

    def _notes(self, found: Variants, used: Comparison) -> list[str]:
        notes = list(used.notes)
        if used.calibration is None:
            notes.append(
                f"Not calibrated: the references give fewer than {MIN_QUERIES} images that can be scored by what other "
                "prompts teach. Probabilities are a softmax of the scores, and there is no candidate set."
            )
        width, height = found.info.width, found.info.height
        if (width, height) not in self._held.sizes:
            notes.append(
                f"No reference has this picture's size, {width}×{height}: resizing or cropping may weigh more than the "
                "model."
            )
        return notes

    def _check_verdict(
        self,
        name: str,
        found: Variants,
        model: str,
        alpha: float,
        comparison: Comparison | None,
        own: Own | None,
        notes: tuple[str, ...],
    ) -> CheckVerdict:
        row = self._held.row.get(found.info.content)
        used, first, second, told = None, None, None, list(notes)
        if comparison is not None:
            used = self._used(found, comparison, own is not None or self.fall_back)
            told = self._notes(found, used)
            first = case_1(used, found.vectors, model, alpha)
        if own is not None:
            try:
                second, more = own.case_2(found.vectors, alpha, row)
            except NotEnoughReferencesError as error:
                if comparison is None:
                    raise
                more = (f"Case 2 was not asked: {error.message}",)
            told += more
        return CheckVerdict(
            image=name,
            sha256=found.info.sha256,
            version=__version__,
            model=model,
            family=self._held.families[model],
            decision=decide_one(first, second),
            alpha=alpha,
            case_1=first,
            case_2=second,
            method=self._method(used.k if used else 0, used.prompt if used else None),
            notes=told,
        )


def _between(value: float, name: str) -> None:
    if not 0.0 < value < 1.0:
        raise InputError(f"must lie between 0 and 1; got {value:g}.", argument=name)


def _spread(encoder: Encoder) -> Encoder:
    """An embedded encoder's few images spread over the cores; any other encoder as it is."""
    if "torch" not in sys.modules:  # an encoder of another kind: nothing to import torch for
        return encoder
    from morelli.encoders.embedded import EmbeddedEncoder
    from morelli.encoders.split import SplitEncoder

    return SplitEncoder(encoder) if isinstance(encoder, EmbeddedEncoder) else encoder


def _short(reference: Reference) -> str:
    return f"{reference.name} ({reference.content[:12]})"


def _kinship(candidates: Sequence[str], families: Mapping[str, str]) -> list[str]:
    kin = {families[model] for model in candidates}
    if len(candidates) < 2 or len(kin) > 1:
        return []
    return [f"All candidates are of the family {kin.pop()}."]
