"""The front door: a file, and what it says of itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ImageFile

from morelli._version import __version__
from morelli.errors import ImageError, InputError, UnreadableImageError
from morelli.images.claims.carried import Carried
from morelli.images.claims.credentials import credential_claims
from morelli.images.claims.described import described_claims
from morelli.images.claims.exif import read_exif
from morelli.images.claims.generation import generation_claims
from morelli.images.claims.jpeg import read_jpeg
from morelli.images.claims.limits import MAX_CLAIMS, decode_text
from morelli.images.claims.png import read_png
from morelli.images.claims.stealth import hidden_text
from morelli.images.claims.watermark import watermark_claims
from morelli.images.claims.webp import read_webp
from morelli.images.header import FORMATS, Limits, check_bytes, explain, open_file, open_header, sniff
from morelli.images.load import Picture
from morelli.types import Claim, FileClaims

#: Pixels above which no mark is looked for: generators and their upscalers stay below, and decoding more takes seconds.
MARKED_PIXELS = 24_000_000

_READERS: Mapping[str, Callable[[bytes, Carried], int | None]] = {
    "PNG": read_png,
    "JPEG": read_jpeg,
    "WEBP": read_webp,
}


def read_claims(
    source: str | Path | bytes | Picture, *, roots: str | None = None, limits: Limits = Limits()
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
    marks = _marks(data, name, limits, carried) if whole else []
    claims = [
        *credential_claims(data, kind, roots, carried),
        *described_claims(carried),
        *generation_claims(carried),
        *marks,
    ]
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
        if end < len(data):
            carried.note(f"{len(data) - end} bytes follow the end of the image; they were not read.")
    elif kind == "TIFF":
        read_exif(data, carried, "TIFF")
    else:
        _from_pillow(data, name, limits, carried)
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


def _marks(data: bytes, name: str, limits: Limits, carried: Carried) -> list[Claim]:
    """Marks in the pixels; a record that is hidden in them joins the texts."""
    try:
        image = _decode(data, name, replace(limits, min_side=1, max_pixels=min(limits.max_pixels, MARKED_PIXELS)))
    except ImageError as error:
        carried.note(f"No mark in the pixels was looked for: {error.message}")
        return []
    if image.mode not in ("RGB", "RGBA"):  # a mark needs colours of 8 bits
        return []
    pixels = np.asarray(image)
    try:
        hidden = hidden_text(pixels)
    except InputError as error:
        carried.note(f"The record that is hidden in the pixels was not read: it {error.message}")
        hidden = None
    if hidden is not None:
        carried.text("hidden in pixels", "parameters", hidden)
    return watermark_claims(pixels[:, :, :3])


def _decode(data: bytes, name: str, limits: Limits) -> ImageFile.ImageFile:
    """The picture as it stands in the file: no profile, no orientation, no background, all of which hide marks."""
    stream = io.BytesIO(data)
    image = open_header(stream, name, limits)
    try:
        image.load()
    # A decoder fed with a hostile file may raise anything; whatever it is, the file is at fault and is named.
    except Exception as error:
        raise explain(error, stream, image.format or "", name) from error
    return image
