"""Files that visitors sent to the page: a private folder with a limit, and nothing outside it can be named."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile

from morelli.errors import InputError
from morelli.web.forms import SHOWN_NAME, Upload

#: Seconds after which a file that a visitor sent is deleted.
KEPT = 1800.0


class Uploads:
    """A folder that only this server reads, deleted when it ends.

    Parameters
    ----------
    limit : int
        Bytes of all files; the oldest go first.
    clock : callable
        Seconds since the epoch, as files have them.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="morelli-page-")).resolve()  # mode 700
        self.limit = limit
        self._clock = clock

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self, coming: int = 0) -> None:
        """Delete what is old, and the oldest while all together are more than the limit.

        Parameters
        ----------
        coming : int
            Bytes to make room for.
        """
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder) / name
                try:
                    status = path.lstat()
                except FileNotFoundError:  # another request's sweep was quicker
                    continue
                found.append((status.st_mtime, status.st_size, path))
        held = coming + sum(size for _, size, _ in found)
        for made, size, path in sorted(found, key=lambda entry: entry[0]):
            if held > self.limit or self._clock() - made > KEPT:
                path.unlink(missing_ok=True)
                held -= size

    def check(self, value: Any) -> None:
        """Refuse a message to the page that names a file which no visitor sent.

        Gradio would copy files of other places, and fetch addresses, that a message names as a file's path.

        Raises
        ------
        InputError
        """
        if isinstance(value, dict):
            if "path" in value or "url" in value:
                self._inside(value.get("path"))
            for each in value.values():
                self.check(each)
        elif isinstance(value, list):
            for each in value:
                self.check(each)

    def read(self, path: str, number: int = 1) -> Upload:
        """A file that a visitor sent, as the API's questions take it.

        Raises
        ------
        InputError
            It is none of them, or was deleted meanwhile.
        """
        place = self._inside(path)
        try:
            file = place.open("rb")
        except OSError:
            raise _gone() from None
        name = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in place.name[:SHOWN_NAME])
        return Upload(name or f"image-{number}", place.stat().st_size, UploadFile(file))

    def _inside(self, path: Any) -> Path:
        if not isinstance(path, str) or "\0" in path or "://" in path:
            raise InputError("must be a file that was sent to this page.", argument="path")
        place = Path(path).resolve()
        if self.folder not in place.parents:
            raise InputError("must be a file that was sent to this page.", argument="path")
        if not place.is_file():
            raise _gone()
        return place


def _gone() -> InputError:
    return InputError("that file is not here any more.", argument="path", fix="Choose it again.")
