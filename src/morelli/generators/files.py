"""Writing so that a crash, or a full disk, leaves what was there before."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from morelli.errors import InputError, StorageError

LOCK_NAME = ".morelli.lock"
_KEPT = "Everything made so far is kept. Free some space, or mend what is wrong, and run the same command again."


def storage_error(path: Path, error: OSError) -> StorageError:
    """What the disk refused, with the place and what to do."""
    return StorageError(f"cannot be written ({error.strerror or error}).", argument=str(path), fix=_KEPT)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append(file: Path, data: bytes) -> None:
    """Add whole lines at the end of a file and see them onto the disk; where that fails, the file is as it was.

    Raises
    ------
    StorageError
        The disk is full, read-only or gone.
    """
    try:
        with file.open("ab", buffering=0) as handle:
            before = os.fstat(handle.fileno()).st_size
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(handle.fileno(), left) :]
                os.fsync(handle.fileno())
            except OSError:
                os.ftruncate(handle.fileno(), before)
                raise
    except OSError as error:
        raise storage_error(file, error) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, see it onto the disk, and rename it: whole or not at all.

    Raises
    ------
    StorageError
        The disk is full, read-only or gone.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            with part.open("xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; the system lets go of it however the process ends.

    Raises
    ------
    InputError
        Another process holds it.
    StorageError
        The lock's file cannot be made.
    """
    file = folder / LOCK_NAME
    try:
        handle = file.open("ab")
    except OSError as error:
        raise storage_error(file, error) from error
    with handle:
        try:
            _lock(handle.fileno())
        except OSError as error:
            raise InputError(
                "another process is writing to this folder.",
                argument=str(folder),
                fix="Wait until it has ended, or choose another folder.",
            ) from error
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(number: int) -> None:
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
