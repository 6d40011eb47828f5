"""What was learnt from galleries, kept ready within so many bytes; what a gallery's new version teaches is learnt
while the version before still answers."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from morelli.errors import MorelliError
from morelli.web.problems import RefusedError, busy
from morelli.web.shared import SharedView

if TYPE_CHECKING:
    from morelli.web.galleries import Snapshot

_LOG = logging.getLogger(__name__)

#: Seconds that requests wait for what a new version teaches before the version before answers: small galleries take
#: less, so that a change is seen at the next request.
PATIENCE = 2.0
#: Seconds after which one who has for itself a facade that has learnt is taken to learn more: else that is a matter of
#: milliseconds.
LONG = 0.5
#: Bytes that a facade counts for at least.
LEAST = 2**20


@dataclass(eq=False)
class Kept:
    """A facade of one version of a gallery, and what goes with it.

    Attributes
    ----------
    facade : Identifier, Verifier or Protector
    view : SharedView
        What it reads.
    identity : tuple
        Of the version.
    encoder : str
        Whose embeddings it compares.
    own : int
        Bytes, about, that it holds beside what the view keeps.
    lock : Lock
        For what only one thread may do: learning.
    since : float
        On the monotonic clock: when the thread that has the lock took it; infinite while none has.
    ready : bool
        It has learnt what a question needs.
    asked : dict of bool to (str or None)
        The prompt that was asked about last, under True; None under False where the prompt was not known.
    """

    facade: Any
    view: SharedView
    identity: tuple[int, ...]
    encoder: str
    own: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    apart: threading.Lock = field(default_factory=threading.Lock)
    since: float = math.inf
    ready: bool = False
    asked: dict[bool, str | None] = field(default_factory=dict)

    @contextmanager
    def one_by_one(self, until: float) -> Iterator[None]:
        """For what takes memory and changes nothing that others wait for: inside is one thread, and nobody is busy.

        A `RefusedError` where the turn does not come until then.
        """
        if not self.apart.acquire(timeout=min(max(until - time.monotonic(), 0.0), threading.TIMEOUT_MAX)):
            raise learning()
        try:
            yield
        finally:
            self.apart.release()

    @contextmanager
    def alone(self, until: float) -> Iterator[None]:
        """Inside the block no other thread learns; a `RefusedError` where the lock is not to be had until then."""
        if not self.lock.acquire(timeout=min(max(until - time.monotonic(), 0.0), threading.TIMEOUT_MAX)):
            raise learning()
        self.since = time.monotonic()
        try:
            yield
        finally:
            self.since = math.inf
            self.lock.release()


@dataclass(frozen=True, eq=False)
class Recipe:
    """How one kind of question is answered.

    Attributes
    ----------
    key : tuple
        Tells it from others; begins with the gallery's name.
    encoder : str
        Whose embeddings are compared.
    make : callable
        A view to a facade.
    learn : callable
        Has a facade learn what questions like those in ``asked`` need.
    copies : int
        How often the facade has the embeddings for itself, in a space of its own.
    """

    key: tuple[Hashable, ...]
    encoder: str
    make: Callable[[SharedView], Any]
    learn: Callable[[Any, dict[bool, str | None]], None]
    copies: int = 1


def learning() -> RefusedError:
    """The answer to those for whom it takes too long."""
    return busy("the statistics of the gallery are being learnt.", 5)


class _Coming:
    """A facade of a new version that is on its way."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.done = threading.Event()


class Shelf:
    """The facades asked most recently, one version of each.

    Parameters
    ----------
    limit : int
        Bytes. The facade asked last is kept in any case; requests under way keep theirs until they are done.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[Hashable, ...], Kept] = OrderedDict()
        self._views: WeakValueDictionary[tuple[Hashable, ...], SharedView] = WeakValueDictionary()
        self._coming: dict[tuple[Hashable, ...], _Coming] = {}
        self._lock = threading.Lock()
        self._one = threading.Lock()  # versions are learnt one after the other: each takes memory and all cores

    @property
    def learning(self) -> bool:
        """Whether something is learnt in the background."""
        return bool(self._coming)

    def get(self, recipe: Recipe, found: Snapshot, until: float) -> Kept:
        """A facade of a gallery's version; while that one is being learnt, of the version learnt before.

        Parameters
        ----------
        recipe : Recipe
        found : Snapshot
            The newest version.
        until : float
            On the monotonic clock: when to stop waiting.
        """
        with self._lock:
            kept = self._kept.get(recipe.key)
            if kept is not None:
                self._kept.move_to_end(recipe.key)
            if kept is not None and kept.identity == found.identity:
                return kept
            old = kept if kept is not None and kept.ready else None
            coming = None if old is None else self._coming.get(recipe.key) or self._begin(recipe, found, old)
        if old is None or coming is None:
            return self._put(recipe, self._make(recipe, found))
        coming.done.wait(max(0.0, min(coming.begun + PATIENCE, until) - time.monotonic()))
        with self._lock:
            return self._kept.get(recipe.key, old)

    def is_busy(self, key: tuple[Hashable, ...]) -> bool:
        """Whether somebody learns with a facade of such a key; None in it stands for anything."""
        begun = time.monotonic() - LONG
        with self._lock:
            return any(
                kept.since < (begun if kept.ready else math.inf)
                and all(part in (None, whole) for part, whole in zip(key, each, strict=False))
                for each, kept in self._kept.items()
            )

    def learnt(self, kept: Kept) -> None:
        """A facade has learnt what a question needs."""
        if not kept.ready:
            kept.ready = True
            with self._lock:
                self._trim()

    def _make(self, recipe: Recipe, found: Snapshot) -> Kept:
        with self._lock:
            view = self._views.get((found.name, found.identity))
            if view is None:
                view = self._views[found.name, found.identity] = SharedView.of(found.view)
        own = max(LEAST, recipe.copies * view.expected(recipe.encoder))
        return Kept(recipe.make(view), view, found.identity, recipe.encoder, own)

    def _put(self, recipe: Recipe, made: Kept) -> Kept:
        with self._lock:
            kept = self._kept.get(recipe.key)
            if kept is None or kept.identity != made.identity:  # else another request was quicker
                kept = self._kept[recipe.key] = made
                self._kept.move_to_end(recipe.key)
            self._trim()
            return kept

    def _begin(self, recipe: Recipe, found: Snapshot, old: Kept) -> _Coming | None:
        """Learn a new version in the background; None where the system gives no thread for it."""
        coming = _Coming()

        def work() -> None:
            made = None
            try:
                with self._one:
                    made = self._make(recipe, found)
                    recipe.learn(made.facade, dict(old.asked))
                    made.ready, made.asked = True, dict(old.asked)
            except MorelliError as error:  # requests are told the same
                _LOG.warning("%s: %s", found.name, error)
            except Exception:  # noqa: BLE001 - a bug; the next request meets it too, and is answered
                _LOG.exception("%s: a new version could not be learnt.", found.name)
            finally:
                with self._lock:
                    del self._coming[recipe.key]
                    if made is not None:
                        self._kept[recipe.key] = made
                        self._trim()
                    else:  # the next request makes it, and hears what is wrong
                        self._kept.pop(recipe.key, None)
                coming.done.set()

        try:
            threading.Thread(target=work, name="morelli-learn", daemon=True).start()
        except RuntimeError:
            return None
        self._coming[recipe.key] = coming
        return coming

    def _trim(self) -> None:
        """Put away what was asked longest ago, until the rest fits."""
        while len(self._kept) > 1 and self._total() > self._limit:
            self._kept.popitem(last=False)

    def _total(self) -> int:
        views: dict[SharedView, set[str]] = {}
        for kept in self._kept.values():
            views.setdefault(kept.view, set()).add(kept.encoder)
        return sum(view.size(encoders) for view, encoders in views.items()) + sum(k.own for k in self._kept.values())
