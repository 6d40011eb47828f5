"""The facades, kept ready: what was learnt from a version of a gallery serves all requests that ask about it."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.identify import Identifier
from morelli.protect import Protector
from morelli.verify import Verifier
from morelli.web.galleries import Galleries
from morelli.web.problems import busy

if TYPE_CHECKING:
    from morelli.errors import MorelliError
    from morelli.images.load import Picture
    from morelli.protect import PerturbSettings, Progress, Protected
    from morelli.types import VerificationVerdict


@dataclass(eq=False)
class _Kept:
    """A facade, and a lock for what only one thread may do: learning."""

    facade: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    ready: bool = False


class Facades:
    """Identifiers, verifiers and protectors of galleries, the most recently asked ones.

    Parameters
    ----------
    galleries : Galleries
    held : int
        How many are kept.
    cache : Path, optional
        Folder of what is learnt from galleries; by default the usual one.
    """

    def __init__(self, galleries: Galleries, held: int = 8, cache: Path | None = None) -> None:
        self.galleries = galleries
        self._limit, self._cache = held, cache
        self._kept: OrderedDict[tuple[Hashable, ...], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def identifier(
        self,
        gallery: str | None,
        encoder: str | None,
        method: str | None,
        until: float,
        *,
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

        Raises
        ------
        RefusedError
            The gallery cannot be opened, or another request is still learning from it.
        UnknownNameError
            No such gallery, or no such encoder in it.
        """
        found = self.galleries.current(gallery)
        network, method = found.encoder_of(encoder), method or DEFAULT_METHOD

        def make() -> Identifier:
            return Identifier(
                found.view,
                method=method,
                encoder=self.galleries.encoder(network),
                cache=self._cache,
                level=level,
                claims=False,  # they are read where the file is decoded
                keep=False,
            )

        kept = self._get((found.name, found.identity, network, method, level), make)
        with _held(kept.lock, until):
            # They are read when a question is put, which is inside the block, and not when its answers are taken.
            kept.facade.epsilon, kept.facade.stability, kept.facade.fall_back = epsilon, stability, fall_back
            yield kept.facade

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

        def make() -> Verifier:
            return Verifier(found.view, encoder=self.galleries.encoder(network), cache=self._cache, keep=False)

        kept = self._get((found.name, found.identity, network), make)
        if not kept.ready:
            with _held(kept.lock, until):
                kept.facade.prior = prior
                answer = kept.facade.verify(*pictures)
                kept.ready = kept.ready or answer.score is not None
                return answer
        mine = copy.copy(kept.facade)  # it shares what was learnt, and has this request's prior
        mine.prior = prior
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
        network, method = found.encoder_of(encoder), method or DEFAULT_METHOD

        def make() -> Protector:
            own, load = self.galleries.encoder(network), self.galleries.network
            return Protector(found.view, encoder=own, method=method, cache=self._cache, keep=False, load=load)

        kept = self._get((found.name, found.identity, "protect", network, method), make)
        with _held(kept.lock, until):
            mine = kept.facade.beside(defence=defence, settings=settings)
            return mine.protect([picture], model=model, prompt=prompt, progress=progress)

    def _get(self, key: tuple[Hashable, ...], make: Callable[[], Any]) -> _Kept:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _Kept(make())  # outside the lock: an encoder may have to be loaded
        with self._lock:
            kept = self._kept.setdefault(key, made)
            # Earlier versions of the gallery are asked about no more.
            for old in [other for other in self._kept if other[0] == key[0] and other[1] != key[1]]:
                del self._kept[old]
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
            return kept


@contextmanager
def _held(lock: threading.Lock, until: float) -> Iterator[None]:
    if not lock.acquire(timeout=min(max(until - time.monotonic(), 0.0), threading.TIMEOUT_MAX)):
        raise busy("the statistics of the gallery are being learnt.", 5)
    try:
        yield
    finally:
        lock.release()
