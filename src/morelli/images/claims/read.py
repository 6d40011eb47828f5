"""The front door: a file, and what it says of itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from morelli._version import __version__
from morelli.errors import ImageError, InputError, UnreadableImageError
from morelli.images.claims.carried import Carried
from morelli.images.claims.credentials import credential_claims
from morelli.images.claims.decoded import Decoded
from morelli.images.claims.described import described_claims
from morelli.images.claims.ends import ENDS, note_tail
from morelli.images.claims.exif import read_exif
from morelli.images.claims.generation import generation_claims
from morelli.images.claims.jpeg import read_jpeg
from morelli.images.claims.limits import MAX_CLAIMS, decode_text
from morelli.images.claims.marks import mark_claims
from morelli.images.claims.png import read_png
from morelli.images.claims.watermark import watermark_claims
from morelli.images.claims.webp import read_webp
from morelli.images.header import FORMATS, Limits, check_bytes, open_file, open_header, sniff
from morelli.images.load import Picture
from morelli.types import FileClaims

_READERS: Mapping[str, Callable[[bytes, Carried], int | None]] = {
    "PNG": read_png,
    "JPEG": read_jpeg,
    "WEBP": read_webp,
}


def read_claims(
    source: str | Path | bytes | Picture,
    *,
    roots: str | None = None,
    limits: Limits = Limits(),
    decoded: Decoded | None = None,
) -> FileClaims:
    """What a file says of itself. Nothing is fetched, and nothing is believed.

    Parameters
    ----------
    source : str, Path, bytes or Picture
        A file, its bytes, or a decoded picture, of which only the marks in its pixels are left.
    roots : str, optional
        Certificates (PEM) of the authorities whose signers are known, as
        `morelli.images.claims.credentials.load_roots` reads them.
    limits : Limits
        Largest file.
    decoded : Decoded, optional
        The same file's picture, and when its claims must be there: what would take longer is left out, with a note.

    Returns
    -------
    FileClaims
        What could not be read is in its notes.

    Raises
    ------
    MissingImageError, UnreadableImageError, ImageTooLargeError
        No file, no image, or one larger than the limit.

    Examples
    --------
    >>> import io
    >>> from PIL import Image, PngImagePlugin
    >>> info = PngImagePlugin.PngInfo()
    >>> info.add_text("parameters", "a cat\\nSteps: 20, Sampler: Euler, Seed: 1, Model: anything")
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (32, 32)).save(file, "PNG", pnginfo=info)
    >>> read_claims(file.getvalue()).claims[0].statement
    'model "anything"; seed 1; steps 20; sampler Euler; prompt "a cat"'
    """
    if isinstance(source, Picture):
        return FileClaims(source.name, source.sha256, __version__, watermark_claims(source.pixels), ())
    data, name = _bytes(source, limits)
    kind = sniff(data[:64])
    if kind is None:
        known = ", ".join(FORMATS)
        said = "not an image of a format that is read." if data else "the file is empty (zero bytes)."
        raise UnreadableImageError(said, argument=name, fix=f"Use one of {known}.")
    carried = Carried()
    whole = _collect(data, kind, name, limits, carried)
    marks = mark_claims(data, name, limits, carried, decoded) if whole else []
    told = [*described_claims(carried), *generation_claims(carried), *marks]
    # Told first and read last: it is a process of its own, which can be given what time is left.
    claims = [*credential_claims(data, kind, roots, carried, decoded.left() if decoded else None), *told]
    if len(claims) > MAX_CLAIMS:
        carried.note(f"The file makes {len(claims)} claims; {MAX_CLAIMS} are told.")
    digest = hashlib.sha256(data).hexdigest()
    return FileClaims(name, digest, __version__, tuple(claims[:MAX_CLAIMS]), tuple(carried.notes))


def _bytes(source: str | Path | bytes, limits: Limits) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        check_bytes(len(source), "bytes", limits)
        return source, "bytes"
    if not isinstance(source, str | Path):
        raise InputError(f"must be a path, bytes or a picture, not {type(source).__name__}.", argument="source")
    name = str(source)
    with open_file(Path(source), name, limits) as file:
        try:
            data = file.read(limits.max_bytes + 1)
        except OSError as error:
            raise UnreadableImageError(
                f"the file cannot be read ({error.strerror or error}).", argument=name
            ) from error
    check_bytes(len(data), name, limits)
    return data, name


def _collect(data: bytes, kind: str, name: str, limits: Limits, carried: Carried) -> bool:
    """Texts and packets of the container, up to the image's end; whether it has one, and so is worth decoding."""
    if kind in _READERS:
        end = _READERS[kind](data, carried)
        if end is None:
            carried.note("No mark in the pixels was looked for: the file is broken.")
            return False
    else:
        end = ENDS[kind](data)
        if kind == "TIFF":
            read_exif(data, carried, "TIFF")
        else:
            _from_pillow(data, name, limits, carried)
    note_tail(data, kind, end, carried)
    return True


def _from_pillow(data: bytes, name: str, limits: Limits, carried: Carried) -> None:
    """Of the formats with no reader of ours: what Pillow's header finds."""
    try:
        info = open_header(io.BytesIO(data), name, replace(limits, min_side=1)).info
    except ImageError as error:
        carried.note(f"The file's texts were not read: {error.message}")
        return
    if isinstance(info.get("exif"), bytes):
        read_exif(info["exif"], carried)
    if isinstance(info.get("xmp"), bytes):
        carried.packet("XMP", info["xmp"])
    if isinstance(info.get("comment"), bytes):
        carried.text("comment", "comment", decode_text(info["comment"]))
