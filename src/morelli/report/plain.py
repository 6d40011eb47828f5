"""Answers and errors as JSON can hold them; what the command line prints and what the API sends is made here."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from morelli.errors import MorelliError, StorageError
from morelli.types import ERROR_SCHEMA

# What a disk says when it refuses. Lance and Arrow raise OSError without errno and put the number in the text.
_REFUSALS = {
    errno.ENOSPC: ("the disk is full.", "Free some space, or choose another place, and run the same command again."),
    errno.EDQUOT: ("the disk quota is used up.", "Free some space, or choose another place, and run it again."),
    errno.EROFS: ("the file system is read-only.", "Choose a place that can be written to."),
    errno.EACCES: ("permission was denied.", "Choose a place that you may read and write, or change its permissions."),
    errno.EPERM: ("the operation is not permitted.", "Choose a place that you may read and write."),
    errno.EIO: ("the disk reported an input/output error.", "Check the disk; what was written before is still there."),
}
_OS_ERROR = re.compile(r"\bos error (\d+)\b|\berrno:? (\d+)\b", re.IGNORECASE)


def plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy becomes Python, paths become text, NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r}")


def error_json(error: MorelliError, image: str | PurePath | None = None) -> dict[str, Any]:
    """The object of schema ``morelli.error/1``; ``image`` is the picture that failed, if one did."""
    return {
        "schema": ERROR_SCHEMA,
        "image": None if image is None else str(image),
        "argument": error.argument,
        "message": error.message,
        "fix": error.fix,
    }


def refusal(error: OSError) -> StorageError | None:
    """What the disk refused, in words; None for any other trouble of the operating system."""
    number = error.errno
    if number not in _REFUSALS:
        found = _OS_ERROR.search(str(error))
        number = int(found[1] or found[2]) if found else None
    if number is None or number not in _REFUSALS:
        return None
    message, fix = _REFUSALS[number]
    where = None if error.filename is None else str(error.filename)
    return StorageError(message, argument=where, fix=fix)
