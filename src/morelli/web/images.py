"""The images of one request, decoded one after the other, and what is said of each."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from morelli.errors import ImageTooLargeError, MorelliError
from morelli.identify import Failure
from morelli.types import Verdict
from morelli.web.answers import Answer
from morelli.web.decoders import Decoders, Read
from morelli.web.problems import busy

if TYPE_CHECKING:
    from morelli.images.load import Picture
    from morelli.web.admission import Seat
    from morelli.web.forms import Upload
    from morelli.web.settings import Settings


@dataclass(frozen=True)
class Images:
    """Reads the images of one request, in its own thread; no more than one of them is in memory at a time.

    Attributes
    ----------
    uploads : sequence of Upload
    decoders : Decoders
    settings : Settings
        ``max_bytes`` counts.
    seat : Seat
        Says until when, and whether anybody still waits.
    """

    uploads: Sequence[Upload]
    decoders: Decoders
    settings: Settings
    seat: Seat

    def each(self, ask: Callable[[Picture], Iterable[Any]], *, claims: bool = False) -> Iterator[Answer]:
        """One answer an image, in order.

        Parameters
        ----------
        ask : callable
            The picture to one verdict, or `Failure`; what it raises ends the whole question.
        claims : bool
            Put into a `Verdict` what its file says of itself.
        """
        for upload in self.uploads:
            digest, read = self.read(upload, claims=claims)
            if not isinstance(read, Read):
                yield Answer.failed(read, upload.name, [digest])
                continue
            for verdict in ask(read.picture):
                if isinstance(verdict, Failure):
                    yield Answer.failed(verdict.error, upload.name, [digest])
                else:
                    yield Answer.of(read.beside(verdict) if isinstance(verdict, Verdict) else verdict, [digest])

    def read(self, upload: Upload, *, claims: bool = False) -> tuple[str, Read | MorelliError]:
        """SHA-256 of an image's file, and the picture, or what is wrong with it.

        Raises
        ------
        RefusedError
            Nobody waits for the answer any more.
        """
        if self.seat.abandoned.is_set():
            raise busy("this was given up.")
        data = upload.data()
        digest = hashlib.sha256(data).hexdigest()
        try:
            if len(data) > self.settings.max_bytes:
                raise ImageTooLargeError(
                    f"the file is larger than the limit of {self.settings.max_bytes} bytes.",
                    argument=upload.name,
                    fix="Shrink the picture.",
                )
            return digest, self.decoders.read(data, upload.name, claims=claims, wait=self.seat.until - time.monotonic())
        except MorelliError as error:
            return digest, error
