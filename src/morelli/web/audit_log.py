"""Who asked what and what the answer was: one JSON line an answer, without a picture, its name or its prompt."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from morelli.errors import StorageError


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer.

    Attributes
    ----------
    token : str or None
        The token's name; None where there are no tokens, or none was valid.
    route : str
        Method and path.
    status : int
        Of HTTP; of an image among several, its own.
    sha256 : sequence of str
        Of the image files that the answer is about; none where the request was refused before they were read.
    decision : str or None
        What was decided; None where nothing was.
    milliseconds : float
        From the request's arrival to this answer.
    change : mapping or None
        Of a gallery: id (of both its lines), state ("begun", "done" or "failed"), gallery, model, and once it is done
        what was changed; None where nothing was to be changed.
    exposure : mapping or None
        Of a dataset's exposure: dataset (by the operator's name), curves (whether they were asked for) and measured
        (false: an earlier result was shown); None of any other answer.
    """

    token: str | None
    route: str
    status: int
    sha256: Sequence[str]
    decision: str | None
    milliseconds: float
    change: Mapping[str, Any] | None = None
    exposure: Mapping[str, Any] | None = None

    def about(self, change: Mapping[str, Any]) -> Entry:
        """The same, of a change to a gallery."""
        return replace(self, change=change)

    def line(self, now: datetime) -> str:
        """The entry as one line of JSON."""
        told = {
            "time": now.isoformat(timespec="milliseconds"),
            "token": self.token,
            "route": self.route,
            "status": self.status,
            "sha256": list(self.sha256),
            "decision": self.decision,
            "milliseconds": round(self.milliseconds, 1),
            **({} if self.change is None else {"change": dict(self.change)}),
            **({} if self.exposure is None else {"exposure": dict(self.exposure)}),
        }
        return json.dumps(told) + "\n"


class AuditLog:
    """Appends to a file that only its owner may read.

    Every entry is one write to a file opened for appending, so that a server that is killed leaves whole lines. A file
    that was moved or deleted meanwhile, as logrotate does, is made anew at the next entry: no signal is needed.

    Parameters
    ----------
    path : Path or None
        None: nothing is kept.

    Raises
    ------
    StorageError
        The file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: int | None = None
        if path is not None:
            try:
                self._file = _opened(path)
            except OSError as error:
                raise _unwritten(error, str(path)) from error

    def write(self, entries: Sequence[Entry]) -> None:
        """Append entries.

        Raises
        ------
        StorageError
            The disk refused. An answer that cannot be recorded is not given.
        """
        if not entries:
            return
        now = datetime.now(UTC)
        data = "".join(entry.line(now) for entry in entries).encode()
        with self._lock:
            if self._file is None or self.path is None:
                return
            try:
                self._file = _current(self._file, self.path)
                written = os.write(self._file, data)
                if written < len(data):
                    os.write(self._file, b"\n")  # a part of a line must not swallow the next one
            except OSError as error:
                raise _unwritten(error, "audit log") from error
        if written < len(data):
            raise StorageError("was written in part only: the disk is full.", argument="audit log")

    def close(self) -> None:
        """Close the file; later entries are dropped."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)


def _current(file: int, path: Path) -> int:
    """The file that has the log's name now: the open one, or another that takes its place."""
    held = os.fstat(file)
    try:
        named = path.stat()
        if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino):
            return file
    except FileNotFoundError:
        pass
    fresh = _opened(path)
    os.close(file)
    return fresh


def _unwritten(error: OSError, argument: str) -> StorageError:
    return StorageError(f"cannot be written ({error.strerror or error}).", argument=argument)
