"""The galleries of a server by name, each in its newest version, with the encoders that all requests share."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.errors import InputError, MorelliError, UnknownNameError
from morelli.gallery.view import GalleryView
from morelli.web.collector import Collector
from morelli.web.problems import busy

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder

_LOG = logging.getLogger(__name__)

GALLERY_SCHEMA = "morelli.gallery/1"

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.+)", re.DOTALL)
_BAD = re.compile(r"[^A-Za-z0-9._-]+")


def parse_galleries(given: Sequence[str]) -> dict[str, str]:
    """Names and places from ``NAME=PATH`` or ``PATH``, which is called after its last part.

    Raises
    ------
    InputError
        None was given, or two of one name.
    """
    places: dict[str, str] = {}
    for text in given:
        found = _NAMED.fullmatch(text)
        last = text.rstrip("/").rpartition("/")[2].removesuffix(".morelli")
        name, place = found.groups() if found else (_BAD.sub("-", last).strip("-.") or "gallery", text)
        if name in places:
            raise InputError(
                f"two galleries are called {name!r}.", argument="--gallery", fix="Name them: --gallery NAME=PATH"
            )
        places[name] = place
    if not places:
        raise InputError(
            "no gallery was named, so there is nothing to compare with.",
            argument="--gallery",
            fix="Name one, or set MORELLI_GALLERY; to make one: morelli gallery add GALLERY DATASET",
        )
    return places


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One version of a gallery.

    Attributes
    ----------
    name : str
        What callers call it.
    view : GalleryView
    identity : tuple
        Differs between versions, and between a gallery and another one that was made in its place.
    """

    name: str
    view: GalleryView
    identity: tuple[int, ...]

    def encoder_of(self, wanted: str | None) -> str:
        """The encoder to compare under: the one wanted, if the gallery has it; else the usual one.

        Raises
        ------
        UnknownNameError
            The gallery has no embeddings of it. Nothing else is ever loaded for a caller: an encoder's name may be a
            path or a hub's.
        """
        known = [stamp.encoder for stamp in self.view.stamps()]
        if wanted is not None and wanted not in known:
            raise UnknownNameError("encoder", wanted, known)
        return wanted or self.view.usual_encoder(DEFAULT_ENCODER)


class Galleries:
    """Galleries by name, and encoders by id.

    Parameters
    ----------
    places : mapping of str to str
        From `parse_galleries`; the first is the one that is asked where none is named.
    collect : callable
        ``collect(encoder)`` gives the `Collector` of an encoder that was loaded.
    """

    def __init__(self, places: Mapping[str, str], collect: Callable[[Any], Collector] = Collector) -> None:
        self.places = dict(places)
        self._collect = collect
        self._held: dict[str, Snapshot] = {}
        self._summaries: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {}
        self._encoders: dict[str, Collector] = {}
        self._lock = threading.Lock()
        self._loading = threading.Lock()  # of its own: who only asks for a gallery need not wait for an encoder

    def names(self) -> list[str]:
        """In the order in which they were given."""
        return list(self.places)

    def load(self) -> None:
        """Open every gallery and load the encoder that it is asked under by default.

        Raises
        ------
        GalleryError, StorageError, WeightsError, UnknownNameError
            What cannot be used, by its place.
        """
        for name, place in self.places.items():
            GalleryView.open(place)
            self.encoder(self.current(name).encoder_of(None))

    def current(self, name: str | None = None) -> Snapshot:
        """The newest version of a gallery; of none in particular, of the first.

        Raises
        ------
        UnknownNameError
            No gallery is called that. It is a name, and never a path.
        RefusedError
            It cannot be opened any more; the log says why.
        """
        name = next(iter(self.places)) if name is None else name
        if name not in self.places:
            raise UnknownNameError("gallery", name, self.places)
        view, identity = self._open(name)
        # From here on answers and messages call it by its name: where it lies is no caller's business.
        view.path = name
        with self._lock:
            if name not in self._held or self._held[name].identity != identity:
                self._held[name] = Snapshot(name, view, identity)
            return self._held[name]

    def encoder(self, name: str) -> Collector:
        """The shared encoder of that id, loaded when first asked for.

        No more are kept than the galleries have: those of none any more are put away when another one is loaded.
        """
        with self._loading:
            if name not in self._encoders:
                self._put_away(name)
                self._encoders[name] = self._collect(_spread(load_encoder(name)))
            return self._encoders[name]

    def network(self, name: str) -> Encoder:
        """The same encoder itself, for who follows gradients through it; several threads may do so at once."""
        return self.encoder(name).encoder

    def _put_away(self, wanted: str) -> None:
        with self._lock:
            known = {stamp.encoder for held in self._held.values() for stamp in held.view.stamps()}
        for name in self._encoders.keys() - known - {wanted}:
            self._encoders.pop(name).close()

    def summary(self, name: str) -> dict[str, Any]:
        """A gallery at a glance: the object of schema ``morelli.gallery/1``."""
        view, identity = self._open(name)
        known = self._summaries.get(name)
        if known is None or known[0] != identity:
            known = self._summaries[name] = (identity, _summary(name, view))
        return known[1]

    def _open(self, name: str) -> tuple[GalleryView, tuple[int, ...]]:
        try:
            view = GalleryView.open(self.places[name])
            return view, (view.version, *_birth(view.path))
        except (MorelliError, OSError) as error:
            _LOG.error("The gallery %s cannot be opened: %s", name, error)
            raise busy(f"the gallery {name!r} cannot be opened at the moment.") from error

    def close(self) -> None:
        """End the encoders' threads."""
        with self._loading:
            for each in self._encoders.values():
                each.close()


def _spread(encoder: Encoder) -> Encoder:
    """A network whose few images may run side by side spread over the cores; any other as it is."""
    if not getattr(encoder, "side_by_side", False):
        return encoder
    from morelli.encoders.split import SplitEncoder  # here, as it loads torch, which the encoder has loaded by now

    return SplitEncoder(encoder)


def _birth(path: str) -> tuple[int, ...]:
    """What tells a local gallery from another one made anew in its place, whose versions count from 1 again."""
    if "://" in path:
        return ()
    status = Path(path).stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _summary(name: str, view: GalleryView) -> dict[str, Any]:
    found = view.summary()
    return {
        "schema": GALLERY_SCHEMA,
        "gallery": name,
        "version": found.version,
        "references": found.references,
        "prompts": found.prompts,
        "size_bytes": found.size,
        "models": [asdict(model) for model in found.models],
        "encoders": [
            {
                "encoder": each.stamp.encoder,
                "revision": each.stamp.revision,
                "preprocessing": each.stamp.preprocessing,
                "dims": dict(each.stamp.dims),
                "references": each.references,
            }
            for each in found.encoders
        ],
    }
