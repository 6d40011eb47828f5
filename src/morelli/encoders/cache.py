"""Embeddings that were computed before, on disk.

One SQLite file for each encoder stamp (encoder, revision, preprocessing and vector sizes), so a key is the content
hash of the pixels alone and another preprocessing can never be mixed in. An entry is the vectors' bytes with a
checksum. A cache that fails is switched off with one warning: it may cost time, never a result.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from morelli.types import EncoderStamp

_LOG = logging.getLogger(__name__)

Vectors = Mapping[str, NDArray[np.float32]]

# Below SQLite's oldest limit on the number of parameters of one statement (999).
_ASK_AT_ONCE = 500
_WAIT_SECONDS = 15.0
_CHECK_BYTES = 8
_TABLE = "CREATE TABLE IF NOT EXISTS embeddings (content TEXT PRIMARY KEY, vectors BLOB NOT NULL) WITHOUT ROWID"


def default_folder() -> Path:
    """``$MORELLI_CACHE``, or ``morelli`` in the platform's folder for caches."""
    chosen = os.environ.get("MORELLI_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    try:
        home = Path.home()
    except RuntimeError:  # a user without an entry, as in some containers
        home = Path(tempfile.gettempdir())
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "morelli"
    variable, usual = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    base = os.environ.get(variable, "")
    return (Path(base) if Path(base).is_absolute() else home / usual) / "morelli"


class Cache(Protocol):
    """Embeddings that were computed before; see `EmbeddingCache`."""

    def get(self, stamp: EncoderStamp, contents: Sequence[str]) -> dict[str, dict[str, NDArray[np.float32]]]:
        """What is known of these pictures."""
        ...

    def put(self, stamp: EncoderStamp, entries: Mapping[str, Vectors]) -> None:
        """Keep embeddings."""
        ...

    def contents(self, stamp: EncoderStamp) -> frozenset[str]:
        """Content hashes of all pictures that are known."""
        ...


class EmbeddingCache:
    """Embeddings by encoder stamp and content hash; safe with several threads and several processes.

    Parameters
    ----------
    folder : Path or str, optional
        Where the files lie; made when first written to. Default: `default_folder`.

    Attributes
    ----------
    enabled : bool
        False once the disk refused; everything is then a miss and nothing is written.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).expanduser()
        self.enabled = True
        self._lock = threading.RLock()
        self._open: dict[str, sqlite3.Connection] = {}
        self._restarted: set[Path] = set()
        self._process = os.getpid()

    def path(self, stamp: EncoderStamp) -> Path:
        """The file that holds this stamp's embeddings."""
        key = json.dumps([stamp.encoder, stamp.revision, stamp.preprocessing, list(stamp.dims.items())])
        return self.folder / "embeddings" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.sqlite"

    def get(self, stamp: EncoderStamp, contents: Sequence[str]) -> dict[str, dict[str, NDArray[np.float32]]]:
        """What is known of these pictures.

        Parameters
        ----------
        stamp : EncoderStamp
            Whose embeddings.
        contents : sequence of str
            Content hashes of the pixels that were embedded.

        Returns
        -------
        dict of str to dict of str to ndarray, shape (d,), float32
            Content hash → the named vectors. Absent and damaged entries are left out.
        """
        found: dict[str, dict[str, NDArray[np.float32]]] = {}
        with self._lock:
            if not self.enabled:
                return found
            try:
                if stamp_file := self._existing(stamp):
                    for start in range(0, len(contents), _ASK_AT_ONCE):
                        found |= _select(stamp_file, stamp, contents[start : start + _ASK_AT_ONCE])
            except (sqlite3.Error, OSError) as error:
                self._failed(stamp, error)
        return found

    def contents(self, stamp: EncoderStamp) -> frozenset[str]:
        """Content hashes of all pictures that have an entry under this stamp; a damaged one counts until it is read."""
        with self._lock:
            if not self.enabled:
                return frozenset()
            try:
                file = self._existing(stamp)
                return (
                    frozenset(row[0] for row in file.execute("SELECT content FROM embeddings")) if file else frozenset()
                )
            except (sqlite3.Error, OSError) as error:
                self._failed(stamp, error)
                return frozenset()

    def put(self, stamp: EncoderStamp, entries: Mapping[str, Vectors]) -> None:
        """Keep embeddings, all of them or none: content hash → named vectors of shape (d,), float32."""
        rows = [(content, _pack(content, stamp, vectors)) for content, vectors in entries.items()]
        with self._lock:
            if not self.enabled or not rows:
                return
            try:
                with self._connection(stamp) as connection:
                    connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)
            except (sqlite3.Error, OSError) as error:
                self._failed(stamp, error)

    def close(self) -> None:
        """Close the files. The cache opens them again when it is next asked."""
        with self._lock:
            for connection in self._open.values():
                connection.close()
            self._open.clear()

    def _existing(self, stamp: EncoderStamp) -> sqlite3.Connection | None:
        path = self.path(stamp)
        return self._connection(stamp) if str(path) in self._open or path.exists() else None

    def _connection(self, stamp: EncoderStamp) -> sqlite3.Connection:
        if self._process != os.getpid():  # a connection must not cross a fork; the parent's is left alone
            self._process, self._open = os.getpid(), {}
        path = self.path(stamp)
        if str(path) not in self._open:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[str(path)] = _connect(path)
        return self._open[str(path)]

    def _failed(self, stamp: EncoderStamp, error: Exception) -> None:
        """Start a damaged file anew; switch off, saying so once, where the disk refuses."""
        path = self.path(stamp)
        connection = self._open.pop(str(path), None)
        if connection is not None:
            connection.close()
        # Exactly this class says that the file is no database; its subclasses say that the disk or a lock refused.
        if type(error) is sqlite3.DatabaseError and path not in self._restarted:
            self._restarted.add(path)
            try:
                for part in ("", "-wal", "-shm"):
                    Path(f"{path}{part}").unlink(missing_ok=True)
                _LOG.warning("The embedding cache %s was damaged and is started anew.", path)
                return
            except OSError as refused:
                error = refused
        self.enabled = False
        _LOG.warning("The embedding cache %s cannot be used and is off: %s", self.folder, error)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
    try:
        # Readers and one writer at a time do not block each other; a power cut may lose the last entries, no more.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(_TABLE)
        connection.commit()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _select(
    connection: sqlite3.Connection, stamp: EncoderStamp, contents: Sequence[str]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    marks = ",".join("?" * len(contents))
    query = f"SELECT content, vectors FROM embeddings WHERE content IN ({marks})"  # noqa: S608 (only marks)
    found = {}
    for content, blob in connection.execute(query, list(contents)):
        vectors = _unpack(content, stamp, blob)
        if vectors is not None:
            found[content] = vectors
    return found


def _pack(content: str, stamp: EncoderStamp, vectors: Vectors) -> bytes:
    data = b"".join(np.asarray(vectors[name], dtype="<f4").tobytes() for name in stamp.dims)
    return _checksum(content, data) + data


def _unpack(content: str, stamp: EncoderStamp, blob: object) -> dict[str, NDArray[np.float32]] | None:
    """The named vectors of an entry, or None where its length or its checksum is wrong."""
    if not isinstance(blob, bytes) or len(blob) != _CHECK_BYTES + 4 * sum(stamp.dims.values()):
        return None
    data = blob[_CHECK_BYTES:]
    if blob[:_CHECK_BYTES] != _checksum(content, data):
        return None
    values = np.frombuffer(data, dtype="<f4").astype(np.float32)
    ends = np.cumsum(list(stamp.dims.values()))
    return dict(zip(stamp.dims, np.split(values, ends[:-1]), strict=True))


def _checksum(content: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECK_BYTES, key=content.encode()[:64]).digest()
