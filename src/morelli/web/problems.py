"""What goes wrong on the way, as a status and the one error object ``morelli.error/1``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from morelli.errors import (
    EmptyGalleryError,
    GalleryError,
    GalleryMismatchError,
    ImageTooLargeError,
    InputError,
    MissingExtraError,
    MorelliError,
    NotEnoughReferencesError,
    StorageError,
    UnknownNameError,
    WeightsError,
)

#: Seconds after which a client should come again where nothing better is known.
SOON = 1

# The first line that fits counts. 409: the question is sound, and the gallery as it is does not allow it.
_STATUS: tuple[tuple[type[MorelliError], int], ...] = (
    (ImageTooLargeError, 413),
    (NotEnoughReferencesError, 409),
    (EmptyGalleryError, 409),
    (GalleryMismatchError, 409),
    (GalleryError, 503),
    (StorageError, 503),
    (WeightsError, 503),
    (MissingExtraError, 503),
    (InputError, 422),
    (UnknownNameError, 422),
)


class RefusedError(MorelliError):
    """The server will not answer this request, or not now.

    Parameters
    ----------
    status : int
        Of HTTP, 400–599.
    message, argument, fix
        As in `MorelliError`.
    retry_after : int, optional
        Seconds after which it may be asked again.
    headers : mapping of str to str, optional
        Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        argument: str | None = None,
        fix: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, argument=argument, fix=fix)
        self.status = status
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def busy(message: str, retry_after: int = SOON) -> RefusedError:
    """The answer 503 with ``Retry-After``."""
    fix = f"Ask again in {retry_after} {'second' if retry_after == 1 else 'seconds'}."
    return RefusedError(503, message, fix=fix, retry_after=retry_after)


def status_of(error: MorelliError) -> int:
    """The status that says whose fault an error is."""
    if isinstance(error, RefusedError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def headers_of(error: MorelliError) -> dict[str, str]:
    """Headers of the answer that tells an error; each 503 says when to come again, each 408 ends the connection."""
    held = dict(error.headers) if isinstance(error, RefusedError) else {}
    status = status_of(error)
    if status == 503:
        held.setdefault("Retry-After", str(SOON))
    elif status == 408:
        held.setdefault("Connection", "close")
    return held


def plain_status(status: int, headers: Mapping[str, str] | None = None) -> RefusedError:
    """What the router itself refuses: an unknown path, a wrong method."""
    words = {
        404: ("there is nothing at that path.", "See /openapi.json for what there is."),
        405: ("this path does not take that method.", "See /openapi.json for what it takes."),
    }
    known = HTTPStatus(status).phrase.lower() if status in {each.value for each in HTTPStatus} else "refused"
    message, fix = words.get(status, (f"{known}.", None))
    return RefusedError(status, message, fix=fix, headers=headers)


def broken() -> RefusedError:
    """Our own mistake: what it was stands in the server's log, and not in the answer."""
    return RefusedError(500, "the server made a mistake.", fix="Tell its operator; its log has the details.")
