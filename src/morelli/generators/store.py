"""Images on disk as they are made: a dataset at every moment, and never the same image twice.

::

    DIR/metadata.csv             one row an image
    DIR/<model>/<key>.png        the key is a hash of model, revision, settings, prompt and seed
    DIR/spending.jsonl           what hosted images cost, see `morelli.generators.spending`

An image is written under a temporary name and renamed, then its row is added. A process that is killed in between
leaves a whole image without a row; it gets its row when it is asked for again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from PIL import Image

from morelli.errors import DatasetError, MorelliError
from morelli.generators.base import Generated, Generator, Setting
from morelli.generators.files import LOCK_NAME, append, locked, storage_error, write_whole
from morelli.images.load import load_image
from morelli.images.metadata import METADATA_NAMES

COLUMNS = ("file_name", "model", "family", "base", "prompt_id", "prompt", "seed", "source", "revision", "settings")
METADATA = "metadata.csv"
LEDGER = "spending.jsonl"
_HEADER = ",".join(COLUMNS).encode() + b"\n"
_NAME = re.compile(rb"/[0-9a-f]{24}\.png,")
# What `write_whole` may leave of an image where the process was killed.
_LEFT = re.compile(r"\.[0-9a-f]{24}\.png\.[0-9a-f]{32}\.tmp")


def image_key(generator: Generator, prompt: str, seed: int) -> str:
    """Identity of an image before it is made: 24 hexadecimal digits of a SHA-256."""
    what = [generator.model, generator.revision, dict(generator.settings), prompt, seed]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]


def folder_name(model: str) -> str:
    """A model's name as a folder's: ``org/name`` becomes ``org--name``, and what file systems refuse becomes ``_``."""
    name = re.sub(r"[^\w.+=@-]", "_", model.replace("/", "--"))[:80].strip(".") or "_"
    return f"_{name}" if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name) else name


class ImageStore:
    """A folder of generated images; held for this process alone while it is open.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist. One that this class wrote is taken up where it was left.

    Raises
    ------
    DatasetError
        The folder holds metadata that are not from here.
    InputError
        Another process writes to it.
    StorageError
        The disk refuses.

    Examples
    --------
    ``with ImageStore("out") as store: image = store.get(generator, "a cat", 0)``
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._stack = ExitStack()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        fresh = not (self.folder / LOCK_NAME).exists()
        self._stack.enter_context(locked(self.folder))
        self._headed = False
        try:
            self._names = self._open()
        except BaseException as error:
            self.close()
            if fresh and isinstance(error, DatasetError):  # it is not ours: nothing is left in it
                (self.folder / LOCK_NAME).unlink(missing_ok=True)
            raise

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._names)

    def close(self) -> None:
        """Let go of the folder."""
        self._stack.close()

    def path(self, generator: Generator, prompt: str, seed: int) -> Path:
        """Where the image is, or would be."""
        return self.folder / folder_name(generator.model) / f"{image_key(generator, prompt, seed)}.png"

    def get(self, generator: Generator, prompt: str, seed: int, prompt_id: str = "") -> Generated | None:
        """The image, if it was made before; one whose row was lost to a crash gets it now.

        A file that cannot be decoded counts as not made.
        """
        path = self.path(generator, prompt, seed)
        if not path.is_file():
            return None
        try:
            pixels = load_image(path).pixels
        except MorelliError:
            return None  # damaged from outside: it is made anew and replaced
        made = Generated(
            pixels, generator.model, generator.family, generator.revision, prompt, seed, dict(generator.settings)
        )
        self._note(generator, made, prompt_id, path)
        return made

    def add(self, generator: Generator, made: Generated, prompt_id: str = "") -> Path:
        """Keep an image: the file first, then its row.

        Raises
        ------
        StorageError
            The disk refuses; what was there stays.
        """
        path = self.path(generator, made.prompt, made.seed)
        file = io.BytesIO()
        Image.fromarray(made.pixels).save(file, "PNG")
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(path.parent, error) from error
        write_whole(path, file.getvalue())
        self._note(generator, made, prompt_id, path)
        return path

    def _note(self, generator: Generator, made: Generated, prompt_id: str, path: Path) -> None:
        name = path.relative_to(self.folder).as_posix()
        if name in self._names:
            return
        source = f"{generator.id} at {generator.host}" if generator.host else generator.id
        settings: Mapping[str, Setting] = made.settings
        base = getattr(generator, "base", "")
        fields = [name, made.model, made.family, base, prompt_id, made.prompt, made.seed, source, made.revision]
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([*fields, json.dumps(dict(settings), sort_keys=True)])
        head = b"" if self._headed else _HEADER
        append(self.folder / METADATA, head + line.getvalue().encode())
        self._names.add(name)
        self._headed = True

    def _open(self) -> set[str]:
        """Names of the rows that are there; leftovers of a crash are taken away."""
        others = [name for name in METADATA_NAMES if name != METADATA and (self.folder / name).exists()]
        if others:
            raise _not_ours(self.folder, f"there is a {others[0]}")
        file = self.folder / METADATA
        try:
            data = file.read_bytes() if file.exists() else b""
        except OSError as error:
            raise storage_error(file, error) from error
        rows, whole = self._rows(data)
        # Nothing is mended before the folder is known to be ours.
        try:
            if whole < len(data):
                os.truncate(file, whole)
            for part in self.folder.glob("*/.*.tmp"):
                if _LEFT.fullmatch(part.name):
                    part.unlink()
        except OSError as error:
            raise storage_error(file, error) from error
        self._headed = whole > 0
        return {row[0] for row in rows}

    def _rows(self, data: bytes) -> tuple[list[list[str]], int]:
        """Rows below the header, and the length of the whole rows; what follows was cut off by a crash, bytes."""
        if not data.startswith((_HEADER, _HEADER[:-1] + b"\r\n")):
            if not _HEADER.startswith(data):
                raise _not_ours(self.folder, f"its {METADATA} has other columns")
            return [], 0
        whole = whole_rows(data)
        try:
            rows = list(csv.reader(io.StringIO(data[:whole].decode(), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise _not_ours(self.folder, f"its {METADATA} is malformed ({error})") from error
        if any(len(row) != len(COLUMNS) for row in rows):
            raise _not_ours(self.folder, f"its {METADATA} has other columns")
        if len(_NAME.findall(data[whole:])) > 1:  # a crash costs the last row alone
            raise _not_ours(self.folder, f"more than one row of its {METADATA} is malformed")
        return rows[1:], whole


def whole_rows(data: bytes) -> int:
    """Length of the part of a CSV file that ends with a whole row: a newline outside quotes, bytes."""
    quoted, end = False, 0
    for found in re.finditer(rb'["\n]', data):
        if found[0] == b'"':
            quoted = not quoted
        elif not quoted:
            end = found.end()
    return end


def _not_ours(folder: Path, why: str) -> DatasetError:
    return DatasetError(
        f"this folder was not written by `morelli generate`: {why}.", argument=str(folder), fix="Choose another folder."
    )
