"""Images are decoded in a few processes that can be ended: a file that never finishes or crashes them costs no more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from morelli.errors import ImageTooLargeError, MorelliError, UnreadableImageError
from morelli.images.claims.credentials import load_roots
from morelli.images.load import Picture
from morelli.types import Claim, Verdict
from morelli.web.decoder import Decoder, LostError
from morelli.web.problems import busy
from morelli.web.settings import Settings

#: Images after which a process is replaced: what a library leaks ends with it.
LIFE = 1000


@dataclass(frozen=True, slots=True)
class Read:
    """A decoded image, and what its file says of itself."""

    picture: Picture
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()
    claims_read: bool = False

    def beside(self, verdict: Verdict) -> Verdict:
        """A verdict on the picture with what its file says of itself; nothing else of it changes."""
        notes = (*verdict.notes, *self.notes)
        return replace(verdict, claims=self.claims, claims_read=self.claims_read, notes=notes)


class Decoders:
    """A few `Decoder` processes, and a queue before them.

    Parameters
    ----------
    settings : Settings
    trust : Path or None
        Certificates (PEM) of known authorities.
    on_loss : callable
        Called when a process had to be replaced.

    Raises
    ------
    InputError
        ``trust`` is no file of certificates.
    MorelliError
        The processes do not start.
    """

    def __init__(self, settings: Settings, trust: Path | None = None, on_loss: Callable[[], None] = lambda: None):
        self._settings, self._on_loss = settings, on_loss
        self._roots = load_roots(trust)
        self._free: queue.Queue[Decoder] = queue.Queue()
        self._lock = threading.Lock()
        self._all: set[Decoder] = set()
        self._closed = False
        for decoder in [self._start() for _ in range(settings.decoders)]:
            try:
                decoder.ready()
            except LostError as error:
                self.close()
                raise MorelliError("the processes that decode images do not start.", argument="decoders") from error
            self._free.put(decoder)

    def read(self, data: bytes, name: str, *, claims: bool, wait: float) -> Read:
        """Decode a file, and read its claims.

        Parameters
        ----------
        data : bytes
        name : str
            What messages call it.
        claims : bool
        wait : float
            Seconds to wait for a free process.

        Raises
        ------
        ImageError
            The file is no image, or breaks a limit of size, time or memory.
        RefusedError
            No process became free.
        """
        try:
            decoder = self._free.get(timeout=max(wait, 0.0))
        except queue.Empty:
            raise busy("all processes that decode images are at work.") from None
        try:
            if not decoder.alive:  # it ended while it had nothing to do, as when the system lacks memory
                decoder = self._replace(decoder)
            return self._read(decoder, data, name, claims)
        finally:
            try:
                if decoder.done >= LIFE or not decoder.alive:
                    decoder = self._replace(decoder)
            finally:  # where the system gives no process, the next image asks it again
                self._free.put(decoder)

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed, held = True, list(self._all)
            self._all.clear()
        for decoder in held:
            decoder.kill()

    def _read(self, decoder: Decoder, data: bytes, name: str, claims: bool) -> Read:
        seconds = self._settings.decode_seconds
        try:
            decoder.ready()
        except LostError:
            raise busy("a process that decodes images did not start.") from None
        try:
            picture = decoder.decode(data, name, claims)
        except LostError as error:
            self._on_loss()
            if error.late:
                raise ImageTooLargeError(f"decoding it takes more than {seconds:g} seconds.", argument=name) from None
            fix = "Save the picture anew with another program."
            raise UnreadableImageError("the decoder crashed or ran out of memory.", argument=name, fix=fix) from None
        if not claims:
            return Read(picture)
        try:
            return Read(picture, *decoder.claims(), claims_read=True)
        except LostError:
            self._on_loss()
            said = f"decoding and claims took more than {seconds:g} seconds together"
            note = f"Claims not read: the reader crashed, or {said}."
            return Read(picture, notes=(note,))

    def _start(self) -> Decoder:
        decoder = Decoder(self._settings, self._roots)
        with self._lock:
            if not self._closed:
                self._all.add(decoder)
                return decoder
        decoder.kill()
        return decoder

    def _replace(self, old: Decoder) -> Decoder:
        old.kill()
        with self._lock:
            self._all.discard(old)
        return self._start()
