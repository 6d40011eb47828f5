"""How much of a file's own words is read, and how they are made fit to show. All of it is hostile until proven dull."""

from __future__ import annotations

import json
import unicodedata
import zlib
from typing import Any

from morelli.errors import InputError

#: Bytes of one text, before or after decompression. A workflow of hundreds of nodes is a tenth of that.
MAX_TEXT = 2 * 2**20
#: Bytes of all texts of one file: what the slowest of them costs to parse stays well below a second.
MAX_ALL = 4 * 2**20
#: Texts of one file.
MAX_TEXTS = 64
#: Chunks, segments or blocks of one container; a PNG of 256 MB with Pillow's 64 KB chunks has 4,000.
MAX_BLOCKS = 100_000
#: Claims that are told of one file; more are counted.
MAX_CLAIMS = 32
#: Characters of a prompt or a statement's part that are shown.
SHOWN = 240
#: Characters of a name.
SHOWN_NAME = 100


def clean(text: str, limit: int = SHOWN) -> str:
    """One line of printable text: no control characters, no terminal codes, no marks that turn reading direction.

    Parameters
    ----------
    text : str
        From a file.
    limit : int
        Characters at most; what is cut is shown as "…".
    """
    head = text[: 4 * limit]
    # Category C holds controls, format characters (bidirectional marks among them), surrogates and unassigned ones.
    line = " ".join("".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in head).split())
    return line if len(line) <= limit and len(head) == len(text) else f"{line[:limit]}…"


def quoted(text: str, limit: int = SHOWN_NAME) -> str:
    """The cleaned text in double quotes, which it cannot close from within."""
    return '"' + clean(text, limit).replace('"', "'") + '"'


def word(value: Any, limit: int = SHOWN_NAME) -> str:
    """A JSON scalar as cleaned text; "" for null, true, false, lists and objects."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean(str(value), limit)


def inflate(data: bytes, *, limit: int = MAX_TEXT, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Decompress, and stop at the limit: a bomb costs no more than that.

    Raises
    ------
    InputError
        More bytes than the limit, or no valid stream.
    """
    machine = zlib.decompressobj(wbits)
    try:
        out = machine.decompress(data, limit + 1)
    except zlib.error as error:
        raise InputError(f"cannot be decompressed ({error}).") from error
    if len(out) > limit:
        raise InputError(f"is more than {limit} bytes when decompressed.")
    if not machine.eof:
        raise InputError("is cut off.")
    return out


def parse_json(text: str) -> Any:
    """JSON from a file.

    Raises
    ------
    InputError
        Not JSON, too long, or nested too deeply.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"is longer than {MAX_TEXT} characters.")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError("is nested too deeply.") from error
    except ValueError as error:  # also of numbers with thousands of digits
        raise InputError("is no valid JSON.") from error


def decode_text(data: bytes) -> str:
    """UTF-8 where it is that, else Latin-1: PNG says Latin-1, and many tools write UTF-8 all the same."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
