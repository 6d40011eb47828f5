"""The facades, kept ready: what was learnt from a version of a gallery serves all requests that ask about it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from morelli.attribution.catalogue import DEFAULT_METHOD, attributor_names
from morelli.errors import InputError, UnknownNameError
from morelli.identify import Identifier
from morelli.protect import PerturbSettings, Protector
from morelli.verify import Verifier
from morelli.web.galleries import Galleries
from morelli.web.settings import MIB
from morelli.web.shelf import Recipe, Shelf

if TYPE_CHECKING:
    from morelli.errors import MorelliError
    from morelli.images.load import Picture
    from morelli.protect import Progress, Protected
    from morelli.types import VerificationVerdict
    from morelli.web.shared import SharedView


def parse_methods(given: str | None) -> tuple[str, ...]:
    """Names of attributors, in the order of ``fused,euclid``; None: all there are, the usual one first.

    Raises
    ------
    UnknownNameError, InputError
        No such attributor; none is named.
    """
    known = attributor_names()
    if given is None:
        return (DEFAULT_METHOD, *(name for name in known if name != DEFAULT_METHOD))
    named = tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if not named:
        raise InputError("names no method.", argument="--methods", fix=f"Choose from: {', '.join(known)}.")
    for name in named:
        if name not in known:
            raise UnknownNameError("method", name, known)
    return named


class Facades:
    """Identifiers, verifiers and protectors of galleries, the most recently asked ones.

    All of one version of a gallery share its references and embeddings; each has what it learnt from them.

    Parameters
    ----------
    galleries : Galleries
    held : int
        Bytes of references, embeddings and what was learnt that are kept.
    cache : Path, optional
        Folder of what is learnt from galleries; by default the usual one.
    methods : sequence of str, optional
        Attributors that may be asked for, from `parse_methods`; the first is the usual one.
    """

    def __init__(
        self,
        galleries: Galleries,
        held: int = 4096 * MIB,
        cache: Path | None = None,
        methods: Sequence[str] | None = None,
    ) -> None:
        self.galleries = galleries
        self.methods = parse_methods(None) if methods is None else tuple(methods)
        self._cache = cache
        self._shelf = Shelf(held)

    @property
    def learning(self) -> bool:
        """Whether something is learnt in the background."""
        return self._shelf.learning

    @contextmanager
    def identifier(
        self,
        gallery: str | None,
        encoder: str | None,
        method: str | None,
        until: float,
        *,
        prompt: str | None = None,
        level: str = "model",
        epsilon: float = 0.1,
        stability: bool = True,
        fall_back: bool = False,
    ) -> Iterator[Identifier]:
        """An identifier for one request; inside the block no other thread learns from the same gallery.

        Parameters
        ----------
        gallery : str or None
            A name; None: the first.
        encoder, method, level, epsilon, stability, fall_back
            As in `Identifier`.
        until : float
            On the monotonic clock: when to stop waiting for another thread that learns.
        prompt : str or None
            What will be asked; a later version of the gallery learns for it before it answers.

        Raises
        ------
        RefusedError
            The gallery cannot be opened, or another request is still learning from it.
        UnknownNameError
            No such gallery, or no such encoder in it.
        InputError
            This server does not offer the method.
        """
        found = self.galleries.current(gallery)
        network, method = found.encoder_of(encoder), self._offered(method)

        def make(view: SharedView) -> Identifier:
            return Identifier(
                view,
                method=method,
                encoder=self.galleries.encoder(network),
                cache=self._cache,
                level=level,
                claims=False,  # they are read where the file is decoded
                keep=False,
            )

        recipe = Recipe((found.name, "identify", network, method, level), network, make, _learn_identifier)
        kept = self._shelf.get(recipe, found, until)
        with kept.alone(until):
            # They are read when a question is put, which is inside the block, and not when its answers are taken.
            kept.facade.epsilon, kept.facade.stability, kept.facade.fall_back = epsilon, stability, fall_back
            yield kept.facade
            kept.asked[prompt is not None] = prompt
        self._shelf.learnt(kept)

    def is_busy(self, kind: str, gallery: str | None, method: str | None = None, level: str | None = None) -> bool:
        """Whether a question would have to wait for another one that learns; looks at nothing but memory.

        Parameters
        ----------
        kind : {"identify", "verify", "protect"}
        gallery, method : str or None
            As they were asked for.
        level : str or None
            None: of no matter.
        """
        name = next(iter(self.galleries.places)) if gallery is None else gallery
        used = None if kind == "verify" else method or self.methods[0]
        return self._shelf.is_busy((name, kind, None, used, level))

    def prepare(self, gallery: str) -> None:
        """Learn what the first question without a prompt would have to learn. Raises as `identifier`."""
        with self.identifier(gallery, None, None, math.inf) as identifier:
            list(identifier.identify([]))

    def verify(
        self, pictures: Sequence[Picture], gallery: str | None, encoder: str | None, until: float, prior: float
    ) -> VerificationVerdict:
        """Ask the verifier of a gallery about two pictures; while it has learnt nothing, one request at a time."""
        found = self.galleries.current(gallery)
        network = found.encoder_of(encoder)

        def make(view: SharedView) -> Verifier:
            return Verifier(view, encoder=self.galleries.encoder(network), cache=self._cache, keep=False)

        recipe = Recipe((found.name, "verify", network), network, make, lambda facade, _: facade.learn(), copies=0)
        kept = self._shelf.get(recipe, found, until)
        if not kept.ready:
            with kept.alone(until):
                kept.facade.prior = prior
                answer = kept.facade.verify(*pictures)
            if answer.score is not None:
                self._shelf.learnt(kept)
            return answer
        mine = copy.copy(kept.facade)  # it shares what was learnt, and has this request's prior
        mine.prior = prior
        if mine.must_learn(pictures):  # of a copy of the embeddings, without these pictures: one request at a time
            with kept.one_by_one(until):
                return mine.verify(*pictures)
        return mine.verify(*pictures)

    def protect(
        self,
        picture: Picture,
        gallery: str | None,
        encoder: str | None,
        until: float,
        *,
        defence: str,
        settings: PerturbSettings,
        method: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Protected | MorelliError]:
        """Protect a picture with networks, references and statistics that all requests share.

        Nobody else waits while gradients are computed, which is when the answer is taken; networks are loaded, and the
        gallery is read and learnt from, by one request at a time. No embedding of the picture is kept.

        Parameters
        ----------
        picture : Picture
        gallery, encoder, until
            As in `identifier`, with what it raises.
        defence, settings, method
            As in `Protector`.
        model, prompt, progress
            As `Protector.protect` takes them, with what it raises.
        """
        found = self.galleries.current(gallery)
        network, method = found.encoder_of(encoder), self._offered(method)

        def make(view: SharedView) -> Protector:
            own, load = self.galleries.encoder(network), self.galleries.network
            return Protector(view, encoder=own, method=method, cache=self._cache, keep=False, load=load)

        recipe = Recipe((found.name, "protect", network, method), network, make, _learn_protector)
        kept = self._shelf.get(recipe, found, until)
        with kept.alone(until):
            mine = kept.facade.beside(defence=defence, settings=settings)
            answers = mine.protect([picture], model=model, prompt=prompt, progress=progress)
            kept.asked[prompt is not None] = prompt
        self._shelf.learnt(kept)
        return answers

    def _offered(self, method: str | None) -> str:
        if method is None:
            return self.methods[0]
        if method not in self.methods and method in attributor_names():
            fix = f"Choose from: {', '.join(self.methods)}."
            raise InputError(f"the method {method!r} is not offered here.", argument="method", fix=fix)
        return method  # one that there is not is told as such where it is loaded


def _learn_identifier(facade: Identifier, asked: dict[bool, str | None]) -> None:
    facade.fall_back = True
    for prompt in asked.values() or (None,):
        list(facade.identify([], prompt=prompt))


def _learn_protector(facade: Protector, asked: dict[bool, str | None]) -> None:
    judge = facade.beside(defence="canonical", settings=PerturbSettings())
    for prompt in asked.values() or (None,):
        list(judge.protect([], prompt=prompt))
